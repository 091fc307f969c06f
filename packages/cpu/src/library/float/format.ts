import { type Expressions, Op, type Value, ValueType } from '@nest86/wasm';
import type { CallLibrary, LibraryFunction } from '../function.ts';

/**
 * A binary interchange format (SDM vol. 1, 4.2.2). Inside the library a number of any format is a *word*: its bits, zero-extended in an i64, so
 * that one definition serves all formats. Across the library's border f32 travels as i32, f64 as i64.
 */
export interface FloatFormat {
  readonly name: 'f16' | 'f32' | 'f64';
  /** Width of the number. */
  readonly bits: number;
  /** Width of the fraction; the leading one is not stored. */
  readonly fraction: number;
  readonly bias: number;
  /** All ones: infinities and NaNs. */
  readonly maxExponent: number;
  /** How the bits travel. */
  readonly type: typeof ValueType.i32 | typeof ValueType.i64;
}

export const f16: FloatFormat = {
  name: 'f16',
  bits: 16,
  fraction: 10,
  bias: 15,
  maxExponent: 31,
  type: ValueType.i32,
};
export const f32: FloatFormat = {
  name: 'f32',
  bits: 32,
  fraction: 23,
  bias: 127,
  maxExponent: 255,
  type: ValueType.i32,
};
export const f64: FloatFormat = {
  name: 'f64',
  bits: 64,
  fraction: 52,
  bias: 1023,
  maxExponent: 2047,
  type: ValueType.i64,
};

/** One function for each of the two formats that SSE computes with. */
export interface PerFormat {
  readonly f32: LibraryFunction;
  readonly f64: LibraryFunction;
}

export function perFormat(make: (format: FloatFormat) => LibraryFunction): PerFormat {
  return { f32: make(f32), f64: make(f64) };
}

/** 2^n as an i64. */
export function powerOfTwo(x: Expressions, n: number): Value {
  return n < 32 ? x.i64(1 << n, 0) : x.i64(0, 1 << (n - 32));
}

/** 2^n - 1 as an i64. @param n 0 to 63 */
export function lowBits(x: Expressions, n: number): Value {
  return n <= 32 ? x.i64(n === 32 ? -1 : (1 << n) - 1, 0) : x.i64(-1, ((1 << (n - 32)) - 1) | 0);
}

/** A parameter or a result of a call as a word. */
export function toWord(x: Expressions, format: FloatFormat, bits: Value): Value {
  return format.type === ValueType.i32 ? x.extendU(bits) : bits;
}

export function fromWord(x: Expressions, format: FloatFormat, word: Value): Value {
  return format.type === ValueType.i32 ? x.wrap(word) : word;
}

export function signBit(x: Expressions, format: FloatFormat): Value {
  return powerOfTwo(x, format.bits - 1);
}

/** The sign bit of a word, in its place. */
export function signOf(x: Expressions, format: FloatFormat, word: Value): Value {
  return x.and(word, signBit(x, format));
}

export function magnitudeOf(x: Expressions, format: FloatFormat, word: Value): Value {
  return x.and(word, lowBits(x, format.bits - 1));
}

/** i32, biased. */
export function exponentOf(x: Expressions, format: FloatFormat, word: Value): Value {
  return x.and(x.wrap(x.shrU(word, x.i64(format.fraction))), x.i32(format.maxExponent));
}

export function fractionOf(x: Expressions, format: FloatFormat, word: Value): Value {
  return x.and(word, lowBits(x, format.fraction));
}

/** +∞ */
export function infinity(x: Expressions, format: FloatFormat): Value {
  return x.shl(x.i64(format.maxExponent), x.i64(format.fraction));
}

/** Answer of a masked invalid operation, "QNaN floating-point indefinite" (SDM vol. 1, 4.8.3.7): negative, no payload. */
export function indefinite(x: Expressions, format: FloatFormat): Value {
  return x.or(infinity(x, format), x.or(quietBit(x, format), signBit(x, format)));
}

/** Set in quiet NaNs, clear in signalling ones. */
export function quietBit(x: Expressions, format: FloatFormat): Value {
  return powerOfTwo(x, format.fraction - 1);
}

/** i32 */
export function isNan(x: Expressions, format: FloatFormat, word: Value): Value {
  return x.gtU(magnitudeOf(x, format, word), infinity(x, format));
}

/** i32 */
export function isSignalling(x: Expressions, format: FloatFormat, word: Value): Value {
  return x.and(isNan(x, format, word), x.eqz(x.and(word, quietBit(x, format))));
}

/** i32: denormal, not zero. */
export function isDenormal(x: Expressions, format: FloatFormat, word: Value): Value {
  return x.ltU(x.sub(magnitudeOf(x, format, word), x.i64(1)), lowBits(x, format.fraction));
}

/** i32 */
export function isZero(x: Expressions, format: FloatFormat, word: Value): Value {
  return x.eqz(magnitudeOf(x, format, word));
}

/** A number other than 0, infinity and NaN with its leading one in bit `fraction`, and the biased exponent that fits, 0 or less for a denormal. */
export interface Normalized {
  readonly significand: Value;
  readonly exponent: Value;
}

export function normalize(x: Expressions, format: FloatFormat, word: Value): Normalized {
  const significand = x.temporary(ValueType.i64);
  const exponent = x.temporary(ValueType.i32);
  const stored = exponentOf(x, format, word);
  const fraction = fractionOf(x, format, word);
  x.if(
    stored,
    () => {
      x.write(significand, x.or(fraction, powerOfTwo(x, format.fraction)));
      x.write(exponent, stored);
    },
    () => {
      const shift = x.sub(x.clz(fraction), x.i64(63 - format.fraction));
      x.write(significand, x.shl(fraction, shift));
      x.write(exponent, x.sub(x.i32(1), x.wrap(shift)));
    },
    true,
  );
  return { significand: x.read(significand), exponent: x.read(exponent) };
}

/** Shifts right; if ones are lost, the lowest bit is set. @param count i64, 0 to 63 */
export function shiftRightJam(x: Expressions, value: Value, count: Value): Value {
  const shifted = x.shrU(value, count);
  return x.or(shifted, x.extendU(x.ne(x.shl(shifted, count), value)));
}

/** The product of two i64 in 128 bits. */
export function multiplyWide(x: Expressions, a: Value, b: Value): { high: Value; low: Value } {
  const half = x.i64(32);
  const mask = x.i64(-1, 0);
  const [aLow, aHigh] = [x.and(a, mask), x.shrU(a, half)];
  const [bLow, bHigh] = [x.and(b, mask), x.shrU(b, half)];
  const low = x.mul(aLow, bLow);
  const middle1 = x.add(x.mul(aHigh, bLow), x.shrU(low, half));
  const middle2 = x.add(x.mul(aLow, bHigh), x.and(middle1, mask));
  const high = x.add(x.add(x.mul(aHigh, bHigh), x.shrU(middle1, half)), x.shrU(middle2, half));
  return { high, low: x.or(x.shl(middle2, half), x.and(low, mask)) };
}

/** i32: a ≤ b, signed i32. */
export function atMost(x: Expressions, a: Value, b: Value): Value {
  return x.compute(Op.i32LeS, a, b);
}

/** Calls a function that answers a value. */
export function answer(call: CallLibrary, callee: LibraryFunction, args: readonly Value[]): Value {
  const result = call(callee, args);
  if (result === undefined) throw new Error(`library function "${callee.name}" answers nothing`);
  return result;
}
