import { type Expressions, Op, type Value, ValueType } from '@nest86/wasm';
import { settleFlags, unmaskedOf } from '../../library/float/exceptions.ts';
import type { FastContext } from '../../library/float/fast.ts';
import { answer } from '../../library/float/format.ts';
import type { LibraryFunction } from '../../library/function.ts';
import { stateOffset } from '../../state/layout.ts';
import { Exception, type Operation } from '../operation.ts';

/** (state) → i32, the unmasked exceptions. Adds what the library functions of one instruction reported to MXCSR. */
const settle: LibraryFunction = {
  name: 'simd.settle',
  parameters: [ValueType.i32],
  result: ValueType.i32,
  build: (x, [state]) => {
    const mxcsr = x.load(Op.i32Load, state, stateOffset.mxcsr);
    const flags = settleFlags(x, x.load(Op.i32Load, state, stateOffset.floatFlags), mxcsr);
    x.store(Op.i32Store, state, x.or(mxcsr, flags), stateOffset.mxcsr);
    return unmaskedOf(x, flags, mxcsr);
  },
};

/**
 * Runs code that calls library functions, then adds the exceptions they met to MXCSR and raises #XM if one is unmasked (SDM vol. 1, 11.5). These
 * flags are the only thing that changes before a fault; doing it twice does no harm. All lanes of an instruction, or of one stage of it, belong
 * in one `compute`: exceptions that precede the computation count first, whatever lane they are in.
 */
export function collectExceptions(op: Operation, compute: () => void): void {
  const { x, state } = op;
  x.store(Op.i32Store, state, x.i32(0), stateOffset.floatFlags);
  compute();
  x.if(
    x.load(Op.i32Load, state, stateOffset.floatFlags),
    () => {
      const unmasked = answer(op.library, settle, [state]);
      op.mxcsrChanged();
      op.fault(Exception.simd, unmasked);
    },
    undefined,
    false,
  );
}

/** What definitions of floating-point instructions hand to fast paths. */
export interface FloatContext extends FastContext {
  /** See `Operation`. */
  isLoud(): Value;
  constant(words: readonly number[]): Value;
}

export function readMxcsr(op: Operation): Value {
  return op.x.load(Op.i32Load, op.state, stateOffset.mxcsr);
}

/** For an instruction that is under {@link collectExceptions}. */
export function contextOf(op: Operation): FloatContext {
  return {
    x: op.x,
    call: op.library,
    state: op.state,
    mxcsr: readMxcsr(op),
    isLoud: () => op.isLoud(),
    constant: (words) => op.vectorConstant(words),
  };
}

/** For an instruction that calls at most one library function, which is then under {@link collectExceptions}: nothing to do on fast paths. */
export function collectingContext(op: Operation): FloatContext {
  return {
    ...contextOf(op),
    call: (callee, args) => {
      let result: Value | undefined;
      collectExceptions(op, () => {
        result = op.library(callee, args);
      });
      return result;
    },
  };
}

/** What `compute` answers for each 16-byte lane of the instruction; of each, one library function at most is called. */
export function laneResults(
  op: Operation,
  compute: (context: FloatContext, lane: number) => Value,
): readonly Value[] {
  if (op.lanes === 1) return [compute(collectingContext(op), 0)];
  const results: Value[] = [];
  const context = contextOf(op);
  collectExceptions(op, () => {
    for (let lane = 0; lane < op.lanes; lane++) results.push(compute(context, lane));
  });
  return results;
}

/** Writes {@link laneResults} to operand 0. */
export function computeLanes(op: Operation, compute: (context: FloatContext, lane: number) => Value): void {
  op.writeVector(0, laneResults(op, compute));
}

/**
 * `quick`, or if `isUnsure` (i32) is not 0 what `slow` computes. One test and a hint: calls that come in between as a matter of course cost
 * compiled code its registers, and twice the time.
 */
export function quickUnless(
  x: Expressions,
  type: ValueType,
  quick: Value,
  isUnsure: Value,
  slow: () => Value,
): Value {
  const result = x.temporary(type);
  x.write(result, quick);
  x.if(isUnsure, () => x.write(result, slow()), undefined, false);
  return x.read(result);
}

const precisionIsSilent = 0x1020;

/** i32: a precision exception changes nothing: PE is set and PM masks it. Other than for `isSilent`, rounding does not matter. */
export function isPrecisionSilent(x: Expressions, mxcsr: Value): Value {
  return x.eq(x.and(mxcsr, x.i32(precisionIsSilent)), x.i32(precisionIsSilent));
}
