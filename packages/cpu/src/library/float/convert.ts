import { type Expressions, Op, type Value, ValueType } from '@nest86/wasm';
import type { CallLibrary, LibraryFunction } from '../function.ts';
import { reportDenormal } from './arithmetic.ts';
import { FloatFlag, Mxcsr, reportConstant, takeOperands } from './exceptions.ts';
import {
  exponentOf,
  type FloatFormat,
  f16,
  f32,
  f64,
  fractionOf,
  fromWord,
  infinity,
  isDenormal,
  isNan,
  isSignalling,
  isZero,
  lowBits,
  magnitudeOf,
  normalize,
  type PerFormat,
  perFormat,
  powerOfTwo,
  quietBit,
  signOf,
  toWord,
} from './format.ts';
import { roundTo } from './round.ts';

/** Sign of a word of one format, in its place in another. */
function moveSign(x: Expressions, from: FloatFormat, to: FloatFormat, word: Value): Value {
  const sign = signOf(x, from, word);
  return to.bits > from.bits
    ? x.shl(sign, x.i64(to.bits - from.bits))
    : x.shrU(sign, x.i64(from.bits - to.bits));
}

/** A NaN of one format as quiet NaN of another: the upper bits of the payload stay. Reports invalid for a signalling one. */
function convertNaN(x: Expressions, from: FloatFormat, to: FloatFormat, state: Value, word: Value): Value {
  x.if(isSignalling(x, from, word), () => reportConstant(x, state, FloatFlag.invalid));
  const fraction = fractionOf(x, from, word);
  const payload =
    to.fraction > from.fraction
      ? x.shl(fraction, x.i64(to.fraction - from.fraction))
      : x.shrU(fraction, x.i64(from.fraction - to.fraction));
  const magnitude = x.or(infinity(x, to), x.or(payload, quietBit(x, to)));
  return x.or(moveSign(x, from, to, word), magnitude);
}

/** To a wider format: exact. Half precision has no denormal exception, and DAZ does not concern it (SDM vol. 2, VCVTPH2PS). */
function widening(from: FloatFormat, to: FloatFormat): LibraryFunction {
  const isHalf = from.bits === 16;
  return {
    name: `${from.name}.to.${to.name}`,
    parameters: isHalf ? [ValueType.i32, from.type] : [ValueType.i32, from.type, ValueType.i32],
    result: to.type,
    build: (x, [state, bits, mxcsr]) => {
      const word = toWord(x, from, bits);
      const result = x.temporary(ValueType.i64);
      const finish = (magnitude: Value): void =>
        x.write(result, x.or(moveSign(x, from, to, word), magnitude));
      const wider = x.i64(to.fraction - from.fraction);
      const bias = x.shl(x.i64(to.bias - from.bias), x.i64(to.fraction));
      const exponent = exponentOf(x, from, word);
      const isOrdinary = x.ltU(x.sub(exponent, x.i32(1)), x.i32(from.maxExponent - 1));
      const denormal = (): void => {
        const { significand, exponent: normal } = normalize(x, from, word);
        const field = x.extendS(x.add(normal, x.i32(to.bias - from.bias - 1)));
        finish(x.add(x.shl(field, x.i64(to.fraction)), x.shl(significand, wider)));
      };
      const special = (): void =>
        x.if(
          isNan(x, from, word),
          () => x.write(result, convertNaN(x, from, to, state, word)),
          () =>
            x.if(
              exponent,
              () => finish(infinity(x, to)),
              () =>
                x.if(
                  isZero(x, from, word),
                  () => finish(x.i64(0)),
                  () => {
                    if (isHalf) denormal();
                    else {
                      x.if(
                        x.and(mxcsr, x.i32(Mxcsr.denormalsAreZero)),
                        () => finish(x.i64(0)),
                        () => {
                          reportConstant(x, state, FloatFlag.denormal);
                          denormal();
                        },
                      );
                    }
                  },
                ),
            ),
        );
      x.if(isOrdinary, () => finish(x.add(x.shl(magnitudeOf(x, from, word), wider), bias)), special, true);
      return fromWord(x, to, x.read(result));
    },
  };
}

/** To a narrower format, rounded as `control(mxcsr)` says. */
function narrow(
  x: Expressions,
  call: CallLibrary,
  [from, to]: readonly [FloatFormat, FloatFormat],
  [state, bits, mxcsr]: readonly Value[],
  control: Value,
  denormalsAreInexact = false,
): Value {
  const given = toWord(x, from, bits);
  const result = x.temporary(ValueType.i64);
  x.block((leave) => {
    const finish = (word: Value): void => {
      x.write(result, word);
      leave();
    };
    x.if(isNan(x, from, given), () => finish(convertNaN(x, from, to, state, given)), undefined, false);
    const { words, denormal } = takeOperands(x, from, [given], mxcsr);
    const [word] = words;
    reportDenormal({ x, state }, denormal);
    const sign = moveSign(x, from, to, word);
    x.if(isZero(x, from, word), () => finish(sign), undefined, false);
    x.if(
      x.eq(magnitudeOf(x, from, word), infinity(x, from)),
      () => finish(x.or(sign, infinity(x, to))),
      undefined,
      false,
    );
    const { significand, exponent } = normalize(x, from, word);
    const moved = x.shl(significand, x.i64(62 - from.fraction));
    const unrounded = {
      sign,
      exponent: x.add(exponent, x.i32(to.bias - from.bias)),
      significand: denormalsAreInexact ? x.or(moved, x.extendU(x.ne(denormal, x.i32(0)))) : moved,
    };
    x.write(result, roundTo(x, call, to, state, unrounded, control));
  });
  return fromWord(x, to, x.read(result));
}

/** CVTSS2SD: (state, f32, mxcsr) → f64. */
export const f32ToF64: LibraryFunction = widening(f32, f64);

/** CVTSD2SS: (state, f64, mxcsr) → f32. */
export const f64ToF32: LibraryFunction = {
  name: 'f64.to.f32',
  parameters: [ValueType.i32, ValueType.i64, ValueType.i32],
  result: ValueType.i32,
  build: (x, parameters, call) => narrow(x, call, [f64, f32], parameters, parameters[2]),
};

/** VCVTPH2PS: (state, f16 in the low half of an i32, the upper half 0) → f32. */
export const f16ToF32: LibraryFunction = widening(f16, f32);

function toHalf(vendor: 'intel' | 'amd'): LibraryFunction {
  return {
    name: vendor === 'intel' ? 'f32.to.f16.intel' : 'f32.to.f16',
    parameters: [ValueType.i32, ValueType.i32, ValueType.i32, ValueType.i32],
    result: ValueType.i32,
    build: (x, [state, bits, control, mxcsr], call) => {
      const effective = x.and(withRounding(x, control, mxcsr), x.i32(~Mxcsr.flushToZero));
      return narrow(x, call, [f32, f16], [state, bits, mxcsr], effective, vendor === 'intel');
    },
  };
}

/**
 * VCVTPS2PH: (state, f32, imm8, mxcsr) → f16 in the low half of an i32. Bit 2 of `imm8`: round as MXCSR says, else as bits 1:0 say. FTZ does
 * not concern it. With an unmasked underflow, Intel's processors set PE for every denormal source (seen on Xeon), AMD's if bits of it are lost;
 * the manuals do not say how exact a result is that is not delivered.
 */
export const f32ToF16: Readonly<Record<'intel' | 'amd', LibraryFunction>> = {
  intel: toHalf('intel'),
  amd: toHalf('amd'),
};

/** MXCSR with the rounding that an immediate byte asks for. */
function withRounding(x: Expressions, control: Value, mxcsr: Value): Value {
  const field = 3 << Mxcsr.roundingControl;
  const own = x.or(
    x.and(mxcsr, x.i32(~field)),
    x.shl(x.and(control, x.i32(3)), x.i32(Mxcsr.roundingControl)),
  );
  return x.select(x.and(control, x.i32(4)), mxcsr, own);
}

/** 1 if the magnitude, cut to an integer, is to grow by one (i32). @param rest fraction in units of 2^-64 @param isOdd i32 */
function roundsUp(x: Expressions, control: Value, isNegative: Value, rest: Value, isOdd: Value): Value {
  const half = x.i64(0, 0x80000000 | 0);
  const nearest = x.select(x.eq(rest, half), isOdd, x.gtU(rest, half));
  const away = x.and(x.eq(x.add(control, isNegative), x.i32(2)), x.ne(rest, x.i64(0)));
  return x.select(control, away, nearest);
}

function roundingControl(x: Expressions, mxcsr: Value): Value {
  return x.and(x.shrU(mxcsr, x.i32(Mxcsr.roundingControl)), x.i32(3));
}

/**
 * To a signed integer: (state, number, mxcsr) → i32 or i64. What does not fit, and NaNs, are invalid and answer the integer indefinite, only
 * the top bit (SDM vol. 1, 4.8.3.7). There is no denormal exception.
 */
function toInteger(format: FloatFormat, bits: 32 | 64, truncate: boolean): LibraryFunction {
  const type = bits === 32 ? ValueType.i32 : ValueType.i64;
  return {
    name: `${format.name}.${truncate ? 'truncate' : 'to'}.i${bits}`,
    parameters: [ValueType.i32, format.type, ValueType.i32],
    result: type,
    build: (x, [state, parameter, mxcsr]) => {
      const word = toWord(x, format, parameter);
      const result = x.temporary(ValueType.i64);
      const isNegative = x.ne(signOf(x, format, word), x.i64(0));
      const exponent = x.sub(exponentOf(x, format, word), x.i32(format.bias));
      const indefinite = powerOfTwo(x, bits - 1);
      x.block((leave) => {
        const finish = (value: Value): void => {
          x.write(result, value);
          leave();
        };
        const isTooLarge = x.compute(Op.i32GeS, exponent, x.i32(bits));
        x.if(
          isTooLarge,
          () => {
            reportConstant(x, state, FloatFlag.invalid);
            finish(indefinite);
          },
          undefined,
          false,
        );
        const flushed = x.and(
          x.ne(x.and(mxcsr, x.i32(Mxcsr.denormalsAreZero)), x.i32(0)),
          isDenormal(x, format, word),
        );
        x.if(x.or(isZero(x, format, word), flushed), () => finish(x.i64(0)), undefined, false);
        // The leading one in bit 63; a denormal without it is less than a half all the same.
        const fraction = x.shl(fractionOf(x, format, word), x.i64(63 - format.fraction));
        const significand = x.or(fraction, x.i64(0, 0x80000000 | 0));
        const isFraction = x.compute(Op.i32LtS, exponent, x.i32(0));
        const shift = x.extendU(x.sub(x.i32(63), exponent));
        const whole = x.select(isFraction, x.i64(0), x.shrU(significand, shift));
        // Below 1: a half and more has the exponent -1; of what is less it only matters that it is not 0.
        const small = x.select(x.eq(exponent, x.i32(-1)), significand, x.i64(1));
        const behind = x.shl(x.shl(significand, x.i64(1)), x.extendU(exponent));
        const rest = x.select(isFraction, small, behind);
        const control = truncate ? x.i32(3) : roundingControl(x, mxcsr);
        const up = roundsUp(x, control, isNegative, rest, x.and(x.wrap(whole), x.i32(1)));
        const magnitude = x.add(whole, x.extendU(up));
        const limit = x.add(lowBits(x, bits - 1), x.extendU(isNegative));
        x.if(
          x.gtU(magnitude, limit),
          () => {
            reportConstant(x, state, FloatFlag.invalid);
            finish(indefinite);
          },
          undefined,
          false,
        );
        x.if(x.ne(rest, x.i64(0)), () => reportConstant(x, state, FloatFlag.precision));
        x.write(result, x.select(isNegative, x.sub(x.i64(0), magnitude), magnitude));
      });
      return bits === 32 ? x.wrap(x.read(result)) : x.read(result);
    },
  };
}

/** From a signed integer: (state, i32 or i64, mxcsr) → number. */
function fromInteger(format: FloatFormat, bits: 32 | 64): LibraryFunction {
  return {
    name: `${format.name}.from.i${bits}`,
    parameters: [ValueType.i32, bits === 32 ? ValueType.i32 : ValueType.i64, ValueType.i32],
    result: format.type,
    build: (x, [state, parameter, mxcsr], call) => {
      const value = bits === 32 ? x.extendS(parameter) : parameter;
      const result = x.temporary(ValueType.i64);
      x.write(result, x.i64(0));
      x.if(
        x.ne(value, x.i64(0)),
        () => {
          const isNegative = x.shrU(value, x.i64(63));
          const magnitude = x.select(x.wrap(isNegative), x.sub(x.i64(0), value), value);
          // Bit 63 is one too high for rounding: it goes down, and what is lost stays visible.
          const halved = x.or(x.shrU(magnitude, x.i64(1)), x.and(magnitude, x.i64(1)));
          const isTop = x.wrap(x.shrU(magnitude, x.i64(63)));
          const unrounded = {
            sign: x.shl(isNegative, x.i64(format.bits - 1)),
            exponent: x.add(isTop, x.i32(format.bias + 62)),
            significand: x.select(isTop, halved, magnitude),
          };
          x.write(result, roundTo(x, call, format, state, unrounded, mxcsr));
        },
        undefined,
        true,
      );
      return fromWord(x, format, x.read(result));
    },
  };
}

/**
 * ROUNDSS and the like: (state, number, imm8, mxcsr) → number. Bit 3 of `imm8`: no precision exception; bit 2: round as MXCSR says, else as
 * bits 1:0 say. There is no denormal exception; under DAZ a denormal is a zero.
 */
function toIntegral(format: FloatFormat): LibraryFunction {
  return {
    name: `${format.name}.roundToIntegral`,
    parameters: [ValueType.i32, format.type, ValueType.i32, ValueType.i32],
    result: format.type,
    build: (x, [state, bits, immediate, mxcsr]) => {
      const word = toWord(x, format, bits);
      const magnitude = magnitudeOf(x, format, word);
      const sign = signOf(x, format, word);
      const result = x.temporary(ValueType.i64);
      x.block((leave) => {
        const finish = (value: Value): void => {
          x.write(result, value);
          leave();
        };
        const exponent = x.sub(exponentOf(x, format, word), x.i32(format.bias));
        x.if(x.compute(Op.i32GeS, exponent, x.i32(format.fraction)), () => {
          x.if(isNan(x, format, word), () => {
            x.if(isSignalling(x, format, word), () => reportConstant(x, state, FloatFlag.invalid));
            finish(x.or(word, quietBit(x, format)));
          });
          finish(word);
        });
        const flushed = x.and(
          x.ne(x.and(mxcsr, x.i32(Mxcsr.denormalsAreZero)), x.i32(0)),
          isDenormal(x, format, word),
        );
        x.if(x.or(x.eqz(magnitude), flushed), () => finish(sign), undefined, false);
        const control = roundingControl(x, withRounding(x, immediate, mxcsr));
        const isNegative = x.ne(sign, x.i64(0));
        const inexact = (): void =>
          x.if(x.eqz(x.and(immediate, x.i32(8))), () => reportConstant(x, state, FloatFlag.precision));
        x.if(x.compute(Op.i32LtS, exponent, x.i32(0)), () => {
          // Exactly a half, more (exponent -1), or less.
          const fraction = x.shl(fractionOf(x, format, word), x.i64(63 - format.fraction));
          const rest = x.select(
            x.eq(exponent, x.i32(-1)),
            x.or(fraction, x.i64(0, 0x80000000 | 0)),
            x.i64(1),
          );
          const up = roundsUp(x, control, isNegative, rest, x.i32(0));
          const one = x.shl(x.i64(format.bias), x.i64(format.fraction));
          inexact();
          finish(x.or(sign, x.select(up, one, x.i64(0))));
        });
        // The fraction's last places are behind the point; a carry out of the others moves into the exponent, as it should.
        const places = x.extendU(x.sub(x.i32(format.fraction), exponent));
        const rest = x.shl(magnitude, x.sub(x.i64(64), places));
        x.if(x.eqz(rest), () => finish(word));
        const whole = x.shrU(magnitude, places);
        const up = roundsUp(x, control, isNegative, rest, x.and(x.wrap(whole), x.i32(1)));
        inexact();
        x.write(result, x.or(sign, x.shl(x.add(whole, x.extendU(up)), places)));
      });
      return fromWord(x, format, x.read(result));
    },
  };
}

/** CVTSS2SI, CVTSD2SI: rounded as MXCSR says. */
export const floatToI32: PerFormat = perFormat((format) => toInteger(format, 32, false));
export const floatToI64: PerFormat = perFormat((format) => toInteger(format, 64, false));
/** CVTTSS2SI, CVTTSD2SI: cut. */
export const floatTruncateI32: PerFormat = perFormat((format) => toInteger(format, 32, true));
export const floatTruncateI64: PerFormat = perFormat((format) => toInteger(format, 64, true));
/** CVTSI2SS, CVTSI2SD. From i32 to f64 it is exact: `f64.convert_i32_s` does as well. */
export const floatFromI32: PerFormat = perFormat((format) => fromInteger(format, 32));
export const floatFromI64: PerFormat = perFormat((format) => fromInteger(format, 64));
export const floatToIntegral: PerFormat = perFormat(toIntegral);
