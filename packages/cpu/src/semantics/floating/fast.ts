import { Op, type Value, ValueType } from '@nest86/wasm';
import { carefulOf, carefulPackedOf } from '../../library/float/careful.ts';
import { answer } from '../../library/float/format.ts';
import { type ArithmeticName, native } from '../../library/float/native.ts';
import type { LibraryFunction } from '../../library/function.ts';
import { type FloatContext, quickUnless } from './exceptions.ts';
import { and, type Elementwise, elementwise, type FormatName, type Kernel, or, sized } from './operands.ts';

/*
 * Arithmetic by the host's own instructions where they give what the library would (library/float/fast.ts says when): operands that are not denormal,
 * results that are normal, MXCSR such that nobody sees whether they are inexact. What fails goes to a `careful` function of the library. Scalars are
 * computed as vectors, too: comparing in vector registers is cheaper than moving three numbers to general ones.
 */

const ints = {
  f32: { add: Op.i32x4Add, subtract: Op.i32x4Sub, bitmask: Op.i32x4Bitmask },
  f64: { add: Op.i64x2Add, subtract: Op.i64x2Sub, bitmask: Op.i64x2Bitmask },
} as const;

/** In each element: all bits but the sign. */
const magnitudes: Readonly<Record<FormatName, readonly number[]>> = {
  f32: [0x7fffffff, 0x7fffffff, 0x7fffffff, 0x7fffffff],
  f64: [-1, 0x7fffffff, -1, 0x7fffffff],
};
/** In each element: the bits of the number above the smallest normal one. */
const limits: Readonly<Record<FormatName, readonly number[]>> = {
  f32: [0x00800001, 0x00800001, 0x00800001, 0x00800001],
  f64: [1, 0x00100000, 1, 0x00100000],
};
/** What the tests for doubt use in every instruction. */
export const floatConstants: readonly (readonly number[])[] = [
  magnitudes.f32,
  magnitudes.f64,
  limits.f32,
  limits.f64,
];

/**
 * A vector with signs where a result is not above the smallest normal number (which a tiny result may have been rounded to) or not below the
 * largest, or an operand is not above the smallest. They are the signs of differences of bits.
 * @param results one number of each element
 */
export function doubtfulElements(
  { x, constant }: FloatContext,
  format: FormatName,
  operands: readonly Value[],
  result: Value,
): Value {
  const { add, subtract } = ints[format];
  const magnitude = constant(magnitudes[format]);
  const limit = constant(limits[format]);
  const size = (vector: Value): Value => and(x, vector, magnitude);
  const smaller = (a: Value, b: Value): Value =>
    x.compute(format === 'f32' ? Op.i32x4MinS : Op.f64x2Pmin, a, b);
  const resultSize = size(result);
  const smallest = [...new Set(operands)].map(size).reduce(smaller, resultSize);
  const aboveLeast = x.compute(subtract, smallest, limit);
  // The largest number, infinities and NaNs reach the sign bit.
  const belowInfinity = x.compute(add, resultSize, limit);
  return or(x, aboveLeast, belowInfinity);
}

/** The same for a root: that of what is normal and positive is normal. */
function doubtfulRoots({ x, constant }: FloatContext, format: FormatName, operand: Value): Value {
  const { add, subtract } = ints[format];
  const limit = constant(limits[format]);
  return or(x, x.compute(subtract, operand, limit), x.compute(add, operand, limit));
}

/** i32, not 0: signs of doubtful elements, or of the lowest, or inexact results show. */
export function isDoubtful(
  { x, isLoud }: FloatContext,
  format: FormatName,
  doubts: Value,
  isScalar: boolean,
): Value {
  const signs = x.compute(ints[format].bitmask, doubts);
  return x.or(isScalar ? x.and(signs, x.i32(1)) : signs, isLoud());
}

/** @param slow what computes doubtful elements: (state, vectors..., mxcsr) → v128 */
export function fastKernel(name: ArithmeticName, format: FormatName, slow: Elementwise): Kernel {
  return (context, vectors, isScalar) => {
    const { x, call, state, mxcsr } = context;
    const computed = x.compute(native[format].packed[name], vectors[0], vectors[1]);
    const doubts =
      name === 'sqrt'
        ? doubtfulRoots(context, format, vectors[0])
        : doubtfulElements(context, format, vectors, computed);
    return quickUnless(x, ValueType.v128, computed, isDoubtful(context, format, doubts, isScalar), () =>
      answer(call, sized(slow, isScalar), [state, ...vectors, mxcsr]),
    );
  };
}

function carefulElements(name: ArithmeticName, format: FormatName): Elementwise {
  const bits = format === 'f32' ? 32 : 64;
  const elements = { from: bits, to: bits, vectors: name === 'sqrt' ? 1 : 2 };
  const packed: LibraryFunction = carefulPackedOf(name, format);
  return { packed, scalar: elementwise(carefulOf(name, format), elements).scalar };
}

function carefulKernels(format: FormatName): Record<ArithmeticName, Kernel> {
  const of = (name: ArithmeticName): Kernel => fastKernel(name, format, carefulElements(name, format));
  return {
    add: of('add'),
    subtract: of('subtract'),
    multiply: of('multiply'),
    divide: of('divide'),
    sqrt: of('sqrt'),
  };
}

export const arithmeticKernels: Readonly<Record<FormatName, Readonly<Record<ArithmeticName, Kernel>>>> = {
  f32: carefulKernels('f32'),
  f64: carefulKernels('f64'),
};
