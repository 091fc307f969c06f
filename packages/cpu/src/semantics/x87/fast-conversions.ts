import { type Expressions, Op, type Value } from '@nest86/wasm';
import { type Extended, type Leave, type RegisterStack, Status } from './stack.ts';

/*
 * Conversions of normal numbers, rounded to nearest (or cut, to integers) with PE masked. All else is the 80-bit library's affair; what is
 * done here does exactly the same.
 */

/** Formats of IEEE 754 in memory. */
export interface FloatFormat {
  readonly fraction: 23 | 52;
  /** Exponent of infinities and NaNs. */
  readonly special: number;
  /** What is added to the exponent of a normal number to have that of 80 bits. */
  readonly rebias: number;
}

export const float32: FloatFormat = { fraction: 23, special: 0xff, rebias: 0x3fff - 0x7f };
export const float64: FloatFormat = { fraction: 52, special: 0x7ff, rebias: 0x3fff - 0x3ff };

interface Taken {
  /** Of the format's type. */
  readonly bits: Value;
  /** i32: PE and C1, or 0. */
  readonly flags: Value;
}

/** Converts ST(0); leaves if it cannot. */
export type FastTake = (stack: RegisterStack, value: Extended, leave: Leave) => Taken;

/** i32: not a normal number. @param bits i32 or i64 */
export function isNotNormal(x: Expressions, bits: Value, { fraction, special }: FloatFormat): Value {
  const upper = fraction === 23 ? bits : x.wrap(x.shrU(bits, x.i64(32)));
  const exponent = x.and(x.shrU(upper, x.i32(fraction & 31)), x.i32(special));
  return x.geU(x.sub(exponent, x.i32(1)), x.i32(special - 1));
}

/** The value of a normal number. @param bits i32 or i64 */
export function extend(x: Expressions, bits: Value, { fraction, special, rebias }: FloatFormat): Extended {
  const wide = fraction === 23 ? x.extendU(bits) : bits;
  const upper = fraction === 23 ? bits : x.wrap(x.shrU(bits, x.i64(32)));
  const exponent = x.and(x.shrU(upper, x.i32(fraction & 31)), x.i32(special));
  const sign = x.and(x.shrU(upper, x.i32(16)), x.i32(0x8000));
  return {
    significand: x.or(x.shl(wide, x.i64(63 - fraction)), x.i64(0, 0x80000000 | 0)),
    signExponent: x.or(x.add(exponent, x.i32(rebias)), sign),
  };
}

/** The value of an integer, i64. */
export function extendInteger(x: Expressions, value: Value): Extended {
  const sign = x.compute(Op.i64ShrS, value, x.i64(63));
  const magnitude = x.sub(x.xor(value, sign), sign);
  const zeros = x.clz(magnitude);
  const exponent = x.sub(x.i32(0x3fff + 63), x.wrap(zeros));
  const signBit = x.and(x.wrap(sign), x.i32(0x8000));
  return {
    significand: x.shl(magnitude, zeros),
    signExponent: x.select(x.eqz(magnitude), x.i32(0), x.or(exponent, signBit)),
  };
}

/** FST m32fp, m64fp. */
export function takeFloat({ fraction, special, rebias }: FloatFormat): FastTake {
  return ({ x, control }, { significand, signExponent }, leave) => {
    leave(x.ne(x.and(control, x.i32(0xc20)), x.i32(0x20)));
    leave(x.compute(Op.i64GeS, significand, x.i64(0)));
    const exponent = x.sub(x.and(signExponent, x.i32(0x7fff)), x.i32(rebias));
    // Rounding may lead to the next exponent.
    leave(x.geU(x.sub(exponent, x.i32(1)), x.i32(special - 2)));
    const kept = x.shrU(significand, x.i64(63 - fraction));
    const rest = x.shl(significand, x.i64(fraction + 1));
    const { up, flags } = toNearest(x, kept, rest);
    const sign = x.shl(x.and(signExponent, x.i32(0x8000)), x.i32(16));
    // The integer bit counts one in the exponent.
    const head = x.or(sign, x.shl(x.sub(exponent, x.i32(1)), x.i32(fraction & 31)));
    const fractionBits = x.add(kept, x.extendU(up));
    const bits =
      fraction === 23
        ? x.add(head, x.wrap(fractionBits))
        : x.add(x.shl(x.extendU(head), x.i64(32)), fractionBits);
    return { bits, flags };
  };
}

/** FIST, and FISTTP, which cuts whatever RC is. */
export function takeInteger(bits: 16 | 32 | 64, truncates: boolean): FastTake {
  return ({ x, control }, { significand, signExponent }, leave) => {
    leave(x.eqz(x.and(control, x.i32(Status.precision))));
    const rounding = x.and(control, x.i32(0xc00));
    const cuts = truncates ? x.i32(1) : x.eq(rounding, x.i32(0xc00));
    if (!truncates) leave(x.and(x.ne(rounding, x.i32(0)), x.eqz(cuts)));
    // Magnitudes from 1 to half of what the format holds, so that rounding stays within it.
    const exponent = x.and(signExponent, x.i32(0x7fff));
    leave(x.geU(x.sub(exponent, x.i32(0x3fff)), x.i32(bits - 2)));
    leave(x.compute(Op.i64GeS, significand, x.i64(0)));
    const count = x.extendU(x.sub(x.i32(0x3fff + 63), exponent));
    const kept = x.shrU(significand, count);
    const rest = x.shl(significand, x.sub(x.i64(64), count));
    const { up, flags } = toNearest(x, kept, rest);
    const inexact = x.select(x.eqz(rest), x.i32(0), x.i32(Status.precision));
    const magnitude = x.add(kept, x.extendU(x.select(cuts, x.i32(0), up)));
    const sign = x.extendU(x.shrU(x.and(signExponent, x.i32(0x8000)), x.i32(15)));
    const value = x.add(x.xor(magnitude, x.sub(x.i64(0), sign)), sign);
    return { bits: bits === 64 ? value : x.wrap(value), flags: x.select(cuts, inexact, flags) };
  };
}

/** @param rest i64: what is cut off; bit 63 is half of the last bit of `kept` */
export function toNearest(x: Expressions, kept: Value, rest: Value): { up: Value; flags: Value } {
  // Above a half, or just a half and the last bit is odd.
  const isAbove = x.or(x.ne(x.shl(rest, x.i64(1)), x.i64(0)), x.wrap(kept));
  const up = x.and(isAbove, x.wrap(x.shrU(rest, x.i64(63))));
  const inexact = x.or(x.i32(Status.precision), x.shl(up, x.i32(9)));
  return { up, flags: x.select(x.eqz(rest), x.i32(0), inexact) };
}
