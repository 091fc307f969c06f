import { type Expressions, Op, type Value, ValueType } from '@nest86/wasm';
import { floatToIntegral } from '../../library/float/convert.ts';
import { Mxcsr } from '../../library/float/exceptions.ts';
import { answer } from '../../library/float/format.ts';
import { native } from '../../library/float/native.ts';
import type { Family, Operation } from '../operation.ts';
import { namesWithVex, withVex } from '../vector/packed.ts';
import { quickUnless } from './exceptions.ts';
import { areSet, elementwiseOf, type FormatName, type Kernel, packed, scalar, sized } from './operands.ts';

/** By RC: nearest, down, up, toward zero. */
const roundings = {
  f32: [Op.f32x4Nearest, Op.f32x4Floor, Op.f32x4Ceil, Op.f32x4Trunc],
  f64: [Op.f64x2Nearest, Op.f64x2Floor, Op.f64x2Ceil, Op.f64x2Trunc],
} as const;

const functions = elementwiseOf(floatToIntegral, 1);

/** Which of {@link roundings}: bits 1:0 of the immediate, or nearest if bit 2 asks for that of MXCSR. */
function modeOf(control: number): number {
  return (control & 4) === 0 ? control & 3 : 0;
}

/**
 * i32: the immediate's rounding is that of {@link modeOf}, denormals are what they are, and nobody sees that a result is inexact: bit 3 of the
 * immediate forbids it, or PE is set and masked. Exact results depend on nothing of that.
 */
function isQuick(x: Expressions, control: number, mxcsr: Value): Value {
  const own = (control & 4) === 0 ? 0 : 3 << Mxcsr.roundingControl;
  const silent = (control & 8) === 0 ? 0x1020 : 0;
  return x.eq(x.and(mxcsr, x.i32(Mxcsr.denormalsAreZero | own | silent)), x.i32(silent));
}

const kernel =
  (format: FormatName) =>
  (op: Operation): Kernel => {
    const control = op.constantImmediate(op.operandCount - 1) & 15;
    const { equal } = native[format].packed;
    return ({ x, call, state, mxcsr }, [vector], isScalar) => {
      const quick = x.compute(roundings[format][modeOf(control)], vector);
      const areEqual = (other: Value): Value => areSet(x, format, x.compute(equal, quick, other), isScalar);
      const isSure = x.or(areEqual(vector), x.and(areEqual(quick), isQuick(x, control, mxcsr)));
      return quickUnless(x, ValueType.v128, quick, x.eqz(isSure), () =>
        answer(call, sized(functions[format], isScalar), [state, vector, x.i32(control), mxcsr]),
      );
    };
  };

/** ROUNDPS and the like. */
export const round: Family = {
  definitions: withVex({
    ROUNDPS: packed(1, kernel('f32')),
    ROUNDPD: packed(1, kernel('f64')),
    ROUNDSS: scalar(1, 'f32', 32, kernel('f32')),
    ROUNDSD: scalar(1, 'f64', 64, kernel('f64')),
  }),
  constantImmediates: namesWithVex(['ROUNDPS', 'ROUNDPD', 'ROUNDSS', 'ROUNDSD']),
};
