import { type Expressions, Op, type Value, ValueType } from '@nest86/wasm';
import { carefulOf, carefulPackedOf } from '../../library/float/careful.ts';
import { answer } from '../../library/float/format.ts';
import { type ArithmeticName, native } from '../../library/float/native.ts';
import type { LibraryFunction } from '../../library/function.ts';
import { quickUnless } from './exceptions.ts';
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

/** The same in each element. @param low lower half, of f64 only */
function splat(x: Expressions, format: FormatName, low: number, high: number): Value {
  return x.v128(format === 'f32' ? [high, high, high, high] : [low, high, low, high]);
}

/** Upper half, or all, of the smallest normal number. */
const least = { f32: 0x00800000, f64: 0x00100000 } as const;

/**
 * i32, a bit for each element: the result is not above the smallest normal number (which a tiny result may have been rounded to) or not finite,
 * or an operand is not above it. These are the signs of differences of bits.
 */
function doubtfulElements(
  x: Expressions,
  name: ArithmeticName,
  format: FormatName,
  operands: readonly Value[],
  computed: Value,
): Value {
  const { add, subtract, bitmask } = ints[format];
  const limit = least[format];
  const size = (vector: Value): Value => and(x, vector, splat(x, format, -1, 0x7fffffff));
  const smaller = (a: Value, b: Value): Value =>
    x.compute(format === 'f32' ? Op.i32x4MinS : Op.f64x2Pmin, a, b);
  // The root of what is normal and positive is normal.
  const result = name === 'sqrt' ? operands[0] : size(computed);
  const smallest = name === 'sqrt' ? result : operands.map(size).reduce(smaller, result);
  const aboveLeast = x.compute(subtract, smallest, splat(x, format, 1, format === 'f32' ? limit + 1 : limit));
  // Infinities and NaNs reach the sign bit.
  const belowInfinity = x.compute(add, result, splat(x, format, 0, limit));
  return x.compute(bitmask, or(x, aboveLeast, belowInfinity));
}

/** Not 0 if inexact results show: PE is clear or not masked, or RC is not nearest. */
function isLoud(x: Expressions, mxcsr: Value): Value {
  return x.xor(x.and(mxcsr, x.i32(0x7020)), x.i32(0x1020));
}

/** @param slow what computes doubtful elements: (state, vectors..., mxcsr) → v128 */
export function fastKernel(name: ArithmeticName, format: FormatName, slow: Elementwise): Kernel {
  return ({ x, call, state, mxcsr }, vectors, isScalar) => {
    const computed = x.compute(native[format].packed[name], vectors[0], vectors[1]);
    const doubts = doubtfulElements(x, name, format, vectors, computed);
    const isUnsure = x.or(isScalar ? x.and(doubts, x.i32(1)) : doubts, isLoud(x, mxcsr));
    return quickUnless(x, ValueType.v128, computed, isUnsure, () =>
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
