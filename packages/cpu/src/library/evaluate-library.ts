import { Evaluator, type Scalar } from '@nest86/wasm';
import type { CallLibrary, LibraryFunction } from './function.ts';
import { typeOfLibrary } from './library.ts';

/** What an {@link Evaluator} takes as implementations of functions. */
export type Callees = Record<string, (...args: Scalar[]) => Scalar | undefined>;

/** Runs a library function, and those that it calls, by {@link Evaluator}. @param memory what loads and stores see */
export function evaluateLibrary(
  wanted: LibraryFunction,
  memory: ArrayBufferLike,
  args: readonly Scalar[],
): Scalar | undefined {
  const callees: Callees = {};
  const evaluator = new Evaluator(memory, callees);
  const variables = wanted.parameters.map((type, i) => evaluator.variable(type, args[i]));
  const parameters = variables.map((variable) => evaluator.read(variable));
  const result = wanted.build(evaluator, parameters, libraryCalls(evaluator, callees, memory));
  return result === undefined ? undefined : evaluator.scalar(result);
}

/**
 * `call` for definitions that an evaluator runs.
 * @param callees the record that `evaluator` was made with: an implementation enters it at its first use
 * @param memory what loads and stores of the functions see
 */
export function libraryCalls(evaluator: Evaluator, callees: Callees, memory: ArrayBufferLike): CallLibrary {
  return (callee, args) => {
    callees[callee.name] ??= (...scalars) => evaluateLibrary(callee, memory, scalars);
    return evaluator.call({ name: callee.name, type: typeOfLibrary(callee), index: -1 }, args);
  };
}
