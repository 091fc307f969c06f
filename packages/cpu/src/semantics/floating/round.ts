import { type Expressions, Op, type Value, ValueType } from '@nest86/wasm';
import { floatToIntegral } from '../../library/float/convert.ts';
import { Mxcsr } from '../../library/float/exceptions.ts';
import { answer, perFormat } from '../../library/float/format.ts';
import { native } from '../../library/float/native.ts';
import type { Definition, Family } from '../operation.ts';
import { namesWithVex, withVex } from '../vector/packed.ts';
import { computeLanes, unlessSure } from './exceptions.ts';
import { elementwise, type FormatName, scalar } from './operands.ts';

/** By RC: nearest, down, up, toward zero. */
const roundings = {
  f32: [Op.f32Nearest, Op.f32Floor, Op.f32Ceil, Op.f32Trunc],
  f64: [Op.f64Nearest, Op.f64Floor, Op.f64Ceil, Op.f64Trunc],
} as const;
const packedRoundings = {
  f32: [Op.f32x4Nearest, Op.f32x4Floor, Op.f32x4Ceil, Op.f32x4Trunc],
  f64: [Op.f64x2Nearest, Op.f64x2Floor, Op.f64x2Ceil, Op.f64x2Trunc],
} as const;

const packedFunctions = perFormat(({ name, bits }) =>
  elementwise(floatToIntegral[name === 'f32' ? 'f32' : 'f64'], { results: 128 / bits, from: bits, to: bits }),
);

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

const packed =
  (format: FormatName): Definition =>
  (op) => {
    const { x } = op;
    const control = op.constantImmediate(2) & 15;
    const { equal, allTrue } = native[format].packed;
    computeLanes(op, ({ call, state, mxcsr }, lane) => {
      const vector = op.readVector(1, lane);
      const quick = x.compute(packedRoundings[format][modeOf(control)], vector);
      const isExact = x.compute(allTrue, x.compute(equal, quick, vector));
      const isNumber = x.compute(allTrue, x.compute(equal, quick, quick));
      const isSure = x.or(isExact, x.and(isNumber, isQuick(x, control, mxcsr)));
      return unlessSure(x, ValueType.v128, quick, isSure, () =>
        answer(call, packedFunctions[format], [state, vector, x.i32(control), mxcsr]),
      );
    });
  };

const scalarRound =
  (format: FormatName): Definition =>
  (op) => {
    const { x } = op;
    const control = op.constantImmediate(op.isVex ? 3 : 2) & 15;
    const { type, equal, toBits, fromBits } = native[format];
    scalar(format, ({ call, state, mxcsr }, _, value) => {
      const quick = x.compute(roundings[format][modeOf(control)], value);
      const isExact = x.compute(equal, quick, value);
      const isNumber = x.compute(equal, quick, quick);
      const isSure = x.or(isExact, x.and(isNumber, isQuick(x, control, mxcsr)));
      return unlessSure(x, type, quick, isSure, () => {
        const bits = x.compute(toBits, value);
        const result = answer(call, floatToIntegral[format], [state, bits, x.i32(control), mxcsr]);
        return x.compute(fromBits, result);
      });
    })(op);
  };

/** ROUNDPS and the like. */
export const round: Family = {
  definitions: withVex({
    ROUNDPS: packed('f32'),
    ROUNDPD: packed('f64'),
    ROUNDSS: scalarRound('f32'),
    ROUNDSD: scalarRound('f64'),
  }),
  constantImmediates: namesWithVex(['ROUNDPS', 'ROUNDPD', 'ROUNDSS', 'ROUNDSD']),
};
