import { Op, type Value, ValueType } from '@nest86/wasm';
import { f16ToF32, f32ToF16 } from '../../library/float/convert.ts';
import { Mxcsr } from '../../library/float/exceptions.ts';
import type { FastContext } from '../../library/float/fast.ts';
import { answer } from '../../library/float/format.ts';
import { wordsVector, zero } from '../../library/vector/constants.ts';
import type { Definition, Family } from '../operation.ts';
import { lowHalf, shuffleElements } from '../vector/packed.ts';
import { sourceHalves } from './convert.ts';
import { computeLanes, isPrecisionSilent, laneResults, quickUnless } from './exceptions.ts';
import { and, areSet, elementwise, or } from './operands.ts';
import { joinHalves } from './to-integer.ts';

const halvesToSingles = elementwise(f16ToF32, { from: 16, to: 32 });
const singlesToHalves = {
  intel: elementwise(f32ToF16.intel, { from: 32, to: 16 }),
  amd: elementwise(f32ToF16.amd, { from: 32, to: 16 }),
};

/** What lies between the places of a fraction in f16 and in f32, and between the biases. */
const places = 13;
const biases = 112;

/** VCVTPH2PS: moving the bits makes numbers that are too small by a power of two, denormals included. NaNs are the library's. */
const widen: Definition = (op) => {
  const { x } = op;
  const halves = sourceHalves(op);
  computeLanes(op, ({ call, state }, lane) => {
    const half = halves[lane];
    const wide = x.compute(Op.i32x4ExtendLowI16x8U, half);
    const size = and(x, wide, wordsVector(x, 0x7fff));
    const sign = x.compute(Op.i32x4Shl, and(x, wide, wordsVector(x, 0x8000)), x.i32(16));
    const infinity = wordsVector(x, 0x7c00);
    const isInfinite = x.compute(Op.i32x4Eq, size, infinity);
    const moved = x.compute(Op.i32x4Shl, size, x.i32(places));
    const scaled = x.compute(Op.f32x4Mul, moved, wordsVector(x, (127 + biases) << 23));
    const number = or(x, scaled, and(x, isInfinite, wordsVector(x, 0x7f800000)));
    const isNumber = areSet(x, 'f32', x.compute(Op.i32x4LeU, size, infinity), false);
    return quickUnless(x, ValueType.v128, or(x, number, sign), x.eqz(isNumber), () =>
      answer(call, halvesToSingles.packed, [state, half]),
    );
  });
};

/**
 * Four f32 to f16 in the lower half. Quick are zeros and what neither overflows nor could be tiny, from 2^-14 to below 65,520; if inexact, only to nearest
 * with a silent PE.
 */
function narrowVector(
  { x, call, state, mxcsr }: FastContext,
  vendor: 'intel' | 'amd',
  vector: Value,
  control: number,
): Value {
  const bits = and(x, vector, wordsVector(x, 0x7fffffff));
  const cut = wordsVector(x, (1 << places) - 1);
  const isExact = areSet(x, 'f32', x.compute(Op.i32x4Eq, and(x, bits, cut), zero(x)), false);
  const isZero = x.compute(Op.i32x4Eq, bits, zero(x));
  const fits = and(
    x,
    x.compute(Op.i32x4GeS, bits, wordsVector(x, (127 - 14) << 23)),
    x.compute(Op.i32x4LtS, bits, wordsVector(x, 0x477ff000)),
  );
  const areFine = areSet(x, 'f32', or(x, fits, isZero), false);
  const rounding = x.and(mxcsr, x.i32((control & 4) === 0 ? 0 : 3 << Mxcsr.roundingControl));
  const isNearest = (control & 7) === 0 || (control & 4) !== 0 ? x.eqz(rounding) : x.i32(0);
  const isSure = x.and(areFine, x.or(isExact, x.and(isNearest, isPrecisionSilent(x, mxcsr))));
  // Half a place less one, and one more if the last place is odd.
  const last = and(x, x.compute(Op.i32x4ShrU, bits, x.i32(places)), wordsVector(x, 1));
  const step = x.compute(Op.i32x4Add, last, wordsVector(x, (1 << (places - 1)) - 1));
  const rounded = x.compute(Op.i32x4ShrU, x.compute(Op.i32x4Add, bits, step), x.i32(places));
  const biased = x.compute(Op.i32x4Sub, rounded, wordsVector(x, biases << 10));
  const sign = and(x, x.compute(Op.i32x4ShrU, vector, x.i32(16)), wordsVector(x, 0x8000));
  const number = or(x, x.compute(Op.v128AndNot, biased, isZero), sign);
  const quick = shuffleElements(x, 16, number, zero(x), [0, 2, 4, 6, 8, 8, 8, 8]);
  return quickUnless(x, ValueType.v128, quick, x.eqz(isSure), () =>
    answer(call, singlesToHalves[vendor].packed, [state, vector, x.i32(control), mxcsr]),
  );
}

/**
 * VCVTPS2PH. Whether memory that cannot be written or an exception of the numbers comes first is left to the processor (SDM vol. 3, 6.9): on AMD's it
 * is memory, on Intel's the numbers, whose flags stay if memory then faults.
 */
const narrow: Definition = (op) => {
  const { x } = op;
  const control = op.constantImmediate(2) & 7;
  if (op.isMemory(0) && op.vendor === 'amd') op.operandPlace(0, 'write');
  const results = laneResults(op, (context, lane) =>
    narrowVector(context, op.vendor, op.readVector(1, lane), control),
  );
  const result = joinHalves(op, results);
  if (op.isMemory(0) && op.lanes === 1) op.write(0, lowHalf(x, result));
  else op.writeVector(0, [result]);
};

/** F16C. */
export const half: Family = {
  definitions: { VCVTPH2PS: widen, VCVTPS2PH: narrow },
  constantImmediates: ['VCVTPS2PH'],
};
