import { type Expressions, Op, type Value, ValueType } from '@nest86/wasm';
import type { LibraryFunction } from '../function.ts';
import {
  Body,
  exponentBias,
  exponentSpecial,
  isInfinite,
  isNotZero,
  isSpecial,
  isSpecialNan,
  isUnsupported,
  isZero,
  memoryDenormal,
  type Operand,
  Rounding,
  Status,
  topBit,
} from './body.ts';
import { roundsUp } from './round.ts';
import { shiftRightSticky } from './wide.ts';

/** A binary format of IEEE 754. */
interface Format {
  readonly name: string;
  /** Bits of the fraction. */
  readonly fraction: number;
  /** Exponent of infinities and NaNs. */
  readonly special: number;
  readonly bias: number;
  readonly type: typeof ValueType.i32 | typeof ValueType.i64;
}

const single: Format = { name: 'Float32', fraction: 23, special: 0xff, bias: 127, type: ValueType.i32 };
const double: Format = { name: 'Float64', fraction: 52, special: 0x7ff, bias: 1023, type: ValueType.i64 };

/**
 * FLD m32fp, m64fp: (state, bits, control). Only IE, for a signaling NaN, keeps the value from being pushed if it is unmasked, DE does not.
 * @param isOperand for arithmetic with a memory operand, where the operation judges: signaling NaNs stay, nothing is raised, and `memoryDenormal` is
 * set with the exponent of what was a denormal
 */
function fromFloat({ name, fraction, special, bias, type }: Format, isOperand: boolean): LibraryFunction {
  return {
    name: isOperand ? `float80.operandFrom${name}` : `float80.from${name}`,
    parameters: [ValueType.i32, type, ValueType.i32],
    result: ValueType.i64,
    build: (x, [state, value, control], call) => {
      const body = new Body(x, [state, control], call);
      const bits = type === ValueType.i32 ? x.extendU(value) : value;
      const exponent = x.and(x.wrap(x.shrU(bits, x.i64(fraction))), x.i32(special));
      const signPlace = type === ValueType.i32 ? 31 : 63;
      const sign = x.shl(x.wrap(x.shrU(bits, x.i64(signPlace))), x.i32(15));
      // Without the integer bit.
      const significand = x.shrU(x.shl(bits, x.i64(64 - fraction)), x.i64(1));
      const full = x.or(significand, topBit(x));
      x.if(
        x.eqz(exponent),
        () => {
          const zeros = x.clz(significand);
          x.if(
            x.eqz(significand),
            () => body.giveZero(sign),
            () => {
              const scaled = x.sub(x.i32(exponentBias - bias + 1), x.wrap(zeros));
              const mark = isOperand ? memoryDenormal : 0;
              body.give(x.shl(significand, zeros), x.or(sign, x.or(scaled, x.i32(mark))));
              if (!isOperand) body.raiseConstant(Status.denormal);
            },
          );
        },
        () => {
          x.if(
            x.eq(exponent, x.i32(special)),
            () => {
              if (isOperand) {
                body.give(full, x.or(sign, x.i32(exponentSpecial)));
                return;
              }
              const quietBit = x.i64(0, 0x40000000);
              const isSignaling = x.and(isNotZero(x, significand), x.eqz(x.and(significand, quietBit)));
              x.if(isSignaling, () => body.raiseConstant(Status.invalid));
              const quieted = x.select(isSignaling, x.or(full, quietBit), full);
              body.give(quieted, x.or(sign, x.i32(exponentSpecial)));
            },
            () => body.give(full, x.or(sign, x.add(exponent, x.i32(exponentBias - bias)))),
            false,
          );
        },
        false,
      );
      return body.finish();
    },
  };
}

/**
 * FST m32fp, m64fp: (state, a, control) to the bits. If floatFlags then has an exception that is unmasked and not PE, memory stays as it
 * was and the register is not popped.
 */
function toFloat(format: Format): LibraryFunction {
  return {
    name: `float80.to${format.name}`,
    parameters: [ValueType.i32, ValueType.i64, ValueType.i32, ValueType.i32],
    result: format.type,
    build: (x, parameters, call) => {
      const body = new Body(x, parameters, call);
      writeToFloat(body, format);
      return format.type === ValueType.i32 ? x.wrap(body.finish()) : body.finish();
    },
  };
}

function writeToFloat(body: Body, { fraction, special, bias, type }: Format): void {
  const { x } = body;
  const [a] = body.operands;
  const cut = 63 - fraction;
  const signPlace = type === ValueType.i32 ? 31 : 63;
  const sign = x.shl(x.shrU(x.extendU(a.sign), x.i64(15)), x.i64(signPlace));
  const infinity = x.shl(x.i64(special), x.i64(fraction));
  x.block((leave) => {
    x.if(isSpecialNan(x, a), () => {
      const quiet = x.shl(x.i64(1), x.i64(fraction - 1));
      x.if(
        isUnsupported(x, a),
        () => {
          body.raiseConstant(Status.invalid);
          body.giveBits(x.or(x.or(infinity, quiet), x.shl(x.i64(1), x.i64(signPlace))));
        },
        () => {
          const isSignaling = x.eqz(x.and(a.significand, x.i64(0, 0x40000000)));
          x.if(isSignaling, () => body.raiseConstant(Status.invalid));
          const payload = x.shrU(x.shl(a.significand, x.i64(1)), x.i64(cut + 1));
          body.giveBits(x.or(x.or(sign, infinity), x.or(payload, quiet)));
        },
      );
      leave();
    });
    body.giveBits(x.or(sign, infinity));
    leave(isInfinite(x, a));
    body.giveBits(sign);
    leave(isZero(x, a));
    writeFiniteToFloat(body, a, { sign, infinity, cut, special, bias, fraction });
  });
}

function writeFiniteToFloat(
  body: Body,
  a: Operand,
  format: { sign: Value; infinity: Value; cut: number; special: number; bias: number; fraction: number },
): void {
  const { x } = body;
  const { sign, infinity, cut, special, bias, fraction } = format;
  const rounding = body.rounding();
  // A denormal's exponent is far below the target's least whatever its value: it need not be normalized.
  const exponent = x.sub(a.exponent, x.i32(exponentBias - bias));
  const rounded = (significand: Value, sticky: Value): { value: Value; flags: Value } => {
    const kept = x.shrU(significand, x.i64(cut));
    const rest = x.or(x.shl(significand, x.i64(64 - cut)), sticky);
    const up = roundsUp(x, rounding, a.sign, x.wrap(x.and(kept, x.i64(1))), rest);
    const inexact = x.select(up, x.i32(Status.precision | Status.c1), x.i32(Status.precision));
    return { value: x.add(kept, x.extendU(up)), flags: x.select(isNotZero(x, rest), inexact, x.i32(0)) };
  };
  const unbounded = rounded(a.significand, x.i64(0));
  const carry = x.wrap(x.shrU(unbounded.value, x.i64(fraction + 1)));
  const roundedExponent = x.add(exponent, carry);
  const overflow = (): void => {
    const away = x.select(a.sign, x.i32(Rounding.down), x.i32(Rounding.up));
    const isInfinity = x.or(x.eqz(rounding), x.eq(rounding, away));
    const flags = x.select(
      isInfinity,
      x.i32(Status.overflow | Status.precision | Status.c1),
      x.i32(Status.overflow | Status.precision),
    );
    // Nothing is stored if overflow is unmasked, so nothing is inexact either.
    body.raise(x.select(body.isMasked(Status.overflow), flags, x.i32(Status.overflow)));
    // The largest number's bits are those below infinity's.
    body.giveBits(x.or(sign, x.sub(infinity, x.extendU(x.eqz(isInfinity)))));
  };
  const underflow = (): void => {
    x.if(
      body.isMasked(Status.underflow),
      () => {
        const count = x.sub(x.i32(1), exponent);
        const shifted = shiftRightSticky(x, { high: a.significand, low: x.i64(0) }, count);
        const denormal = rounded(shifted.high, x.extendU(isNotZero(x, shifted.low)));
        body.raise(x.select(denormal.flags, x.or(denormal.flags, x.i32(Status.underflow)), denormal.flags));
        body.giveBits(x.or(sign, denormal.value));
      },
      () => body.raiseConstant(Status.underflow),
    );
  };
  x.if(
    x.ltU(x.sub(roundedExponent, x.i32(1)), x.i32(special - 1)),
    () => {
      body.raise(unbounded.flags);
      // The integer bit, or the carry, counts one in the exponent.
      const scale = x.shl(x.extendU(x.sub(exponent, x.i32(1))), x.i64(fraction));
      body.giveBits(x.or(sign, x.add(scale, unbounded.value)));
    },
    () => x.if(x.compute(Op.i32GtS, roundedExponent, x.i32(0)), overflow, underflow),
    true,
  );
}

/** FILD and integer operands: (state, value i64, control); narrower ones are sign-extended by the caller. Raises nothing. */
export const fromInteger: LibraryFunction = {
  name: 'float80.fromInteger',
  parameters: [ValueType.i32, ValueType.i64, ValueType.i32],
  result: ValueType.i64,
  build: (x, [state, value, control], call) => {
    const body = new Body(x, [state, control], call);
    const isNegative = x.compute(Op.i64LtS, value, x.i64(0));
    const magnitude = x.select(isNegative, x.sub(x.i64(0), value), value);
    giveMagnitude(body, magnitude, x.shl(isNegative, x.i32(15)));
    return body.finish();
  },
};

/** @param magnitude i64, unsigned @param sign i32: 0 or 0x8000 */
function giveMagnitude(body: Body, magnitude: Value, sign: Value): void {
  const { x } = body;
  const zeros = x.clz(magnitude);
  const exponent = x.sub(x.i32(exponentBias + 63), x.wrap(zeros));
  body.give(x.shl(magnitude, zeros), x.or(sign, x.select(x.eqz(magnitude), x.i32(0), exponent)));
}

/** Rounded to an integer by RC, if its magnitude is at most `limit` (i64, unsigned); else calls `invalid`. */
function toMagnitude(
  body: Body,
  a: Operand,
  limit: (x: Expressions) => Value,
  give: (magnitude: Value) => void,
  invalid: () => void,
): void {
  const { x } = body;
  x.block((leave) => {
    x.block((wrong) => {
      wrong(isSpecial(x, a));
      const count = x.sub(x.i32(exponentBias + 63), a.exponent);
      wrong(x.compute(Op.i32LtS, count, x.i32(0)));
      const shifted = shiftRightSticky(x, { high: a.significand, low: x.i64(0) }, count);
      const isOdd = x.wrap(x.and(shifted.high, x.i64(1)));
      const up = roundsUp(x, body.rounding(), a.sign, isOdd, shifted.low);
      const magnitude = x.add(shifted.high, x.extendU(up));
      wrong(x.gtU(magnitude, limit(x)));
      // All ones may have become zero.
      wrong(x.ltU(magnitude, shifted.high));
      const inexact = x.select(up, x.i32(Status.precision | Status.c1), x.i32(Status.precision));
      body.raise(x.select(isNotZero(x, shifted.low), inexact, x.i32(0)));
      give(magnitude);
      leave();
    });
    body.raiseConstant(Status.invalid);
    invalid();
  });
}

/**
 * FIST by RC: (state, a, control) to i32 (16 bits sign-extended) or i64. FISTTP passes a control word with RC = 3. The integer indefinite
 * is the result of what does not fit.
 */
function toInteger(bits: 16 | 32 | 64): LibraryFunction {
  const type = bits === 64 ? ValueType.i64 : ValueType.i32;
  return {
    name: `float80.toInteger${bits}`,
    parameters: [ValueType.i32, ValueType.i64, ValueType.i32, ValueType.i32],
    result: type,
    build: (x, parameters, call) => {
      const body = new Body(x, parameters, call);
      const [a] = body.operands;
      const least = x.shl(x.i64(-1), x.i64(bits - 1));
      const largest = x.sub(x.shl(x.i64(1), x.i64(bits - 1)), x.i64(1));
      toMagnitude(
        body,
        a,
        () => x.add(largest, x.extendU(isNotZero(x, a.sign))),
        (magnitude) => body.giveBits(x.select(a.sign, x.sub(x.i64(0), magnitude), magnitude)),
        () => body.giveBits(least),
      );
      return bits === 64 ? body.finish() : x.wrap(body.finish());
    },
  };
}

/** 10^18 - 1. */
const largestDecimal = [0xa763ffff | 0, 0x0de0b6b3] as const;

/** FBSTP: (state, a, control) to the lower 16 digits; floatExponent has sign (bit 15) and the upper two. */
export const toDecimal: LibraryFunction = {
  name: 'float80.toDecimal',
  parameters: [ValueType.i32, ValueType.i64, ValueType.i32, ValueType.i32],
  result: ValueType.i64,
  build: (x, parameters, call) => {
    const body = new Body(x, parameters, call);
    const [a] = body.operands;
    toMagnitude(
      body,
      a,
      () => x.i64(...largestDecimal),
      (magnitude) => {
        const rest = x.temporary(ValueType.i64);
        const digits = x.temporary(ValueType.i64);
        const place = x.temporary(ValueType.i64);
        x.write(rest, magnitude);
        x.write(digits, x.i64(0));
        x.write(place, x.i64(0));
        const ten = x.i64(10);
        x.loop((again) => {
          const quotient = x.compute(Op.i64DivU, x.read(rest), ten);
          const digit = x.sub(x.read(rest), x.mul(quotient, ten));
          x.write(digits, x.or(x.read(digits), x.shl(digit, x.read(place))));
          x.write(rest, quotient);
          x.write(place, x.add(x.read(place), x.i64(4)));
          again(x.ltU(x.read(place), x.i64(64)));
        });
        const upper = x.wrap(x.read(rest));
        const tens = x.compute(Op.i32DivU, upper, x.i32(10));
        // 16 more per ten, where ten was.
        body.give(x.read(digits), x.or(a.sign, x.add(upper, x.mul(tens, x.i32(6)))));
      },
      // The decimal indefinite has the default NaN's bits.
      () => body.give(x.i64(0, 0xc0000000 | 0), x.i32(0xffff)),
    );
    return body.finish();
  },
};

/** FBLD: (state, lower 16 digits i64, sign and upper two digits i32, control). Raises nothing; digits above 9 count as such. */
export const fromDecimal: LibraryFunction = {
  name: 'float80.fromDecimal',
  parameters: [ValueType.i32, ValueType.i64, ValueType.i32, ValueType.i32],
  result: ValueType.i64,
  build: (x, parameters, call) => {
    const body = new Body(x, parameters, call);
    const [{ significand: lower, signExponent: upper, sign }] = body.operands;
    const number = x.temporary(ValueType.i64);
    const place = x.temporary(ValueType.i64);
    const tens = x.and(x.shrU(upper, x.i32(4)), x.i32(15));
    x.write(number, x.extendU(x.add(x.mul(tens, x.i32(10)), x.and(upper, x.i32(15)))));
    x.write(place, x.i64(64));
    x.loop((again) => {
      x.write(place, x.sub(x.read(place), x.i64(4)));
      const digit = x.and(x.shrU(lower, x.read(place)), x.i64(15));
      x.write(number, x.add(x.mul(x.read(number), x.i64(10)), digit));
      again(x.wrap(x.read(place)));
    });
    giveMagnitude(body, x.read(number), sign);
    return body.finish();
  },
};

export const fromFloat32: LibraryFunction = fromFloat(single, false);
export const fromFloat64: LibraryFunction = fromFloat(double, false);
export const operandFromFloat32: LibraryFunction = fromFloat(single, true);
export const operandFromFloat64: LibraryFunction = fromFloat(double, true);
export const toFloat32: LibraryFunction = toFloat(single);
export const toFloat64: LibraryFunction = toFloat(double);
export const toInteger16: LibraryFunction = toInteger(16);
export const toInteger32: LibraryFunction = toInteger(32);
export const toInteger64: LibraryFunction = toInteger(64);
