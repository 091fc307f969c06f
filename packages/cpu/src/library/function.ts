import type { Expressions, Value, ValueType } from '@nest86/wasm';

/**
 * A function of the engine's own that definitions call where inlining would be too long: soft float, long division, table look-ups. Written
 * over the same expressions as definitions, so that compiled code, interpreter and evaluator share it.
 */
export interface LibraryFunction {
  /** Unique among all library functions. */
  readonly name: string;
  readonly parameters: readonly ValueType[];
  readonly result: ValueType | undefined;
  /** Writes the body; answers the result's value if there is a result. */
  readonly build: (x: Expressions, parameters: readonly Value[], call: CallLibrary) => Value | undefined;
}

/** Calls another library function; its result, if it has one. */
export type CallLibrary = (callee: LibraryFunction, args: readonly Value[]) => Value | undefined;
