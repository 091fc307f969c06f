import { type Expressions, Op, type Value, ValueType, type Variable } from '@nest86/wasm';
import type { CallLibrary, LibraryFunction } from '../function.ts';
import {
  anyNaN,
  cancelledZero,
  FloatFlag,
  nanOf,
  report,
  reportConstant,
  takeOperands,
} from './exceptions.ts';
import {
  answer,
  exponentOf,
  type FloatFormat,
  fractionOf,
  fromWord,
  indefinite,
  infinity,
  isZero,
  lowBits,
  magnitudeOf,
  multiplyWide,
  normalize,
  type PerFormat,
  perFormat,
  powerOfTwo,
  shiftRightJam,
  signBit,
  signOf,
  toWord,
} from './format.ts';
import { roundTo } from './round.ts';

/** What the parts of an operation share. */
export interface Context {
  readonly x: Expressions;
  readonly call: CallLibrary;
  readonly format: FloatFormat;
  readonly state: Value;
  readonly mxcsr: Value;
  /** The word that the operation answers. */
  readonly result: Variable;
  /** Ends the operation with this word. */
  readonly finish: (word: Value) => void;
}

/**
 * An operation (state, operands..., options..., mxcsr) → number; NaN operands are dealt with before `compute` runs.
 * @param options how many i32 there are that are no operands
 */
export function operation(
  name: string,
  format: FloatFormat,
  count: 1 | 2 | 3,
  compute: (context: Context, words: readonly Value[], options: readonly Value[]) => void,
  options = 0,
): LibraryFunction {
  return {
    name: `${format.name}.${name}`,
    parameters: [
      ValueType.i32,
      ...Array.from({ length: count }, () => format.type),
      ...Array.from({ length: options + 1 }, () => ValueType.i32),
    ],
    result: format.type,
    build: (x, [state, ...parameters], call) => {
      const words = parameters.slice(0, count).map((bits) => toWord(x, format, bits));
      const mxcsr = parameters[count + options];
      const result = x.temporary(ValueType.i64);
      x.block((leave) => {
        const finish = (word: Value): void => {
          x.write(result, word);
          leave();
        };
        x.if(
          anyNaN(x, format, words),
          () => finish(answer(call, nanOf(format, count), [state, ...words])),
          undefined,
          false,
        );
        const context = { x, call, format, state, mxcsr, result, finish };
        compute(context, words, parameters.slice(count, count + options));
      });
      return fromWord(x, format, x.read(result));
    },
  };
}

/** Reports invalid and ends with the indefinite NaN. */
export function invalid({ x, format, state, finish }: Context): void {
  reportConstant(x, state, FloatFlag.invalid);
  finish(indefinite(x, format));
}

/** Reports the denormal exception if there is one. */
export function reportDenormal({ x, state }: Pick<Context, 'x' | 'state'>, denormal: Value): void {
  x.if(denormal, () => report(x, state, denormal), undefined, false);
}

function addition(format: FloatFormat, isSubtraction: boolean): LibraryFunction {
  return operation(isSubtraction ? 'subtract' : 'add', format, 2, (context, given) => {
    const { x, call, state, mxcsr, result, finish } = context;
    const operands = takeOperands(x, format, given, mxcsr);
    const a = operands.words[0];
    const b = isSubtraction ? x.xor(operands.words[1], signBit(x, format)) : operands.words[1];
    const swap = x.ltU(magnitudeOf(x, format, a), magnitudeOf(x, format, b));
    const [large, small] = [x.select(swap, b, a), x.select(swap, a, b)];
    const sign = signOf(x, format, large);
    const differ = signOf(x, format, x.xor(a, b));
    const exponent = exponentOf(x, format, large);
    reportDenormal(context, operands.denormal);
    x.if(
      x.eq(exponent, x.i32(format.maxExponent)),
      () => {
        x.if(x.and(x.ne(differ, x.i64(0)), x.eq(magnitudeOf(x, format, small), infinity(x, format))), () =>
          invalid(context),
        );
        finish(large);
      },
      undefined,
      false,
    );
    // One bit above for the carry: the leading one of the larger stands in bit 61.
    const position = x.i64(61 - format.fraction);
    const parts = [large, small].map((word) => {
      const stored = exponentOf(x, format, word);
      const isNormal = x.ne(stored, x.i32(0));
      const hidden = x.shl(x.extendU(isNormal), x.i64(format.fraction));
      return {
        exponent: x.add(stored, x.eqz(stored)),
        significand: x.shl(x.or(fractionOf(x, format, word), hidden), position),
      };
    });
    const distance = x.sub(parts[0].exponent, parts[1].exponent);
    const shift = x.select(x.ltU(distance, x.i32(63)), distance, x.i32(63));
    const aligned = shiftRightJam(x, parts[1].significand, x.extendU(shift));
    const complement = x.sub(x.i64(0), x.extendU(x.ne(differ, x.i64(0))));
    const sum = x.add(parts[0].significand, x.sub(x.xor(aligned, complement), complement));
    x.if(
      x.eqz(sum),
      () => finish(x.select(x.ne(differ, x.i64(0)), cancelledZero(x, format, mxcsr), sign)),
      undefined,
      false,
    );
    const unrounded = { sign, exponent: x.add(parts[0].exponent, x.i32(1)), significand: sum };
    x.write(result, roundTo(x, call, format, state, unrounded, mxcsr));
  });
}

function multiplication(format: FloatFormat): LibraryFunction {
  return operation('multiply', format, 2, (context, given) => {
    const { x, call, state, mxcsr, result, finish } = context;
    const { words, denormal } = takeOperands(x, format, given, mxcsr);
    const [a, b] = words;
    const sign = signOf(x, format, x.xor(a, b));
    const zero = x.or(isZero(x, format, a), isZero(x, format, b));
    const infinite = [a, b].map((word) => x.eq(magnitudeOf(x, format, word), infinity(x, format)));
    reportDenormal(context, denormal);
    x.if(
      x.or(infinite[0], infinite[1]),
      () => {
        x.if(zero, () => invalid(context));
        finish(x.or(sign, infinity(x, format)));
      },
      undefined,
      false,
    );
    x.if(zero, () => finish(sign), undefined, false);
    const [first, second] = [normalize(x, format, a), normalize(x, format, b)];
    const significand = productOf(x, format, first.significand, second.significand);
    const exponent = x.add(x.add(first.exponent, second.exponent), x.i32(1 - format.bias));
    x.write(result, roundTo(x, call, format, state, { sign, exponent, significand }, mxcsr));
  });
}

/** The product of two normalized significands: leading one in bit 61 or 62, ones that are lost show in bit 0. */
function productOf(x: Expressions, format: FloatFormat, a: Value, b: Value): Value {
  if (format.bits === 32) return x.shl(x.mul(a, b), x.i64(61 - 2 * format.fraction));
  const { high, low } = multiplyWide(x, x.shl(a, x.i64(10)), x.shl(b, x.i64(11)));
  return x.or(high, x.extendU(x.ne(low, x.i64(0))));
}

function division(format: FloatFormat): LibraryFunction {
  return operation('divide', format, 2, (context, given) => {
    const { x, call, state, mxcsr, result, finish } = context;
    const { words, denormal } = takeOperands(x, format, given, mxcsr);
    const [a, b] = words;
    const sign = signOf(x, format, x.xor(a, b));
    const [zeroA, zeroB] = [isZero(x, format, a), isZero(x, format, b)];
    const [infiniteA, infiniteB] = words.map((word) =>
      x.eq(magnitudeOf(x, format, word), infinity(x, format)),
    );
    x.if(
      x.or(x.or(zeroA, zeroB), x.or(infiniteA, infiniteB)),
      () => {
        x.if(x.or(x.and(zeroA, zeroB), x.and(infiniteA, infiniteB)), () => invalid(context));
        // Division by zero comes before the denormal exception; infinity / 0 is exact.
        x.if(x.and(zeroB, x.eqz(infiniteA)), () => {
          reportConstant(x, state, FloatFlag.divideByZero);
          finish(x.or(sign, infinity(x, format)));
        });
        reportDenormal(context, denormal);
        finish(x.select(infiniteA, x.or(sign, infinity(x, format)), sign));
      },
      undefined,
      false,
    );
    reportDenormal(context, denormal);
    const [first, second] = [normalize(x, format, a), normalize(x, format, b)];
    const quotient = (format.bits === 32 ? integerQuotient : floatQuotient)(
      x,
      first.significand,
      second.significand,
    );
    const exponent = x.add(x.sub(first.exponent, second.exponent), x.i32(format.bias));
    const unrounded = { sign, exponent, significand: quotient };
    x.write(result, roundTo(x, call, format, state, unrounded, mxcsr));
  });
}

/** Quotient of 24-bit significands with its one for 1.0 in bit 62; a rest shows in bit 0. */
function integerQuotient(x: Expressions, a: Value, b: Value): Value {
  const scaled = x.shl(a, x.i64(39));
  const quotient = x.compute(Op.i64DivU, scaled, b);
  const isInexact = x.ne(x.mul(quotient, b), scaled);
  return x.or(x.shl(quotient, x.i64(23)), x.extendU(isInexact));
}

/**
 * The same for 53 bits: the host divides, to nearest; the sign of the rest, which fits 64 bits, tells on which side the quotient is. One unit
 * in bits that lie below every place where rounding could decide stands for it.
 */
function floatQuotient(x: Expressions, a: Value, b: Value): Value {
  const [floatA, floatB] = [a, b].map((significand) =>
    x.compute(Op.f64ReinterpretI64, fromOneToTwo(x, significand)),
  );
  const bits = x.compute(Op.i64ReinterpretF64, x.compute(Op.f64Div, floatA, floatB));
  const quotient = x.or(x.and(bits, lowBits(x, 52)), powerOfTwo(x, 52));
  // 52 places behind the point, or 53 for a quotient below 1.
  const isBelowOne = x.sub(x.i64(1023), x.shrU(bits, x.i64(52)));
  const scaled = x.shl(a, x.add(isBelowOne, x.i64(52)));
  const rest = x.sub(scaled, x.mul(quotient, b));
  return x.add(x.shl(quotient, x.sub(x.i64(10), isBelowOne)), signOfRest(x, rest));
}

/** The f64 from 1 to 2 with these 53 bits. */
function fromOneToTwo(x: Expressions, significand: Value): Value {
  return x.xor(significand, x.i64(0, 0x3fe << 20));
}

/** 1, 0 or -1 as an i64. */
function signOfRest(x: Expressions, rest: Value): Value {
  return x.or(x.shrS(rest, x.i64(63)), x.extendU(x.ne(rest, x.i64(0))));
}

function squareRoot(format: FloatFormat): LibraryFunction {
  return operation('sqrt', format, 1, (context, given) => {
    const { x, call, state, mxcsr, result, finish } = context;
    const { words, denormal } = takeOperands(x, format, given, mxcsr);
    const [a] = words;
    x.if(isZero(x, format, a), () => finish(a), undefined, false);
    x.if(x.ne(signOf(x, format, a), x.i64(0)), () => invalid(context), undefined, false);
    x.if(x.eq(a, infinity(x, format)), () => finish(a), undefined, false);
    reportDenormal(context, denormal);
    const { significand, exponent } = normalize(x, format, a);
    const unbiased = x.sub(exponent, x.i32(format.bias));
    const odd = x.extendU(x.and(unbiased, x.i32(1)));
    // From 1 to 4, so that the root is from 1 to 2; the host rounds it to nearest, the rest tells on which side it is.
    const wide = x.shl(significand, x.i64(52 - format.fraction));
    const radicand = x.add(fromOneToTwo(x, wide), x.shl(odd, x.i64(52)));
    const root = x.compute(Op.f64Sqrt, x.compute(Op.f64ReinterpretI64, radicand));
    const bits = x.compute(Op.i64ReinterpretF64, root);
    const rootBits = x.or(x.and(bits, lowBits(x, 52)), powerOfTwo(x, 52));
    const rest = x.sub(x.shl(wide, x.add(odd, x.i64(52))), x.mul(rootBits, rootBits));
    const unrounded = {
      sign: x.i64(0),
      exponent: x.add(x.shrS(unbiased, x.i32(1)), x.i32(format.bias)),
      significand: x.add(x.shl(rootBits, x.i64(10)), signOfRest(x, rest)),
    };
    x.write(result, roundTo(x, call, format, state, unrounded, mxcsr));
  });
}

/*
 * (state, a, b, mxcsr) → number. Square root: (state, a, mxcsr).
 */
export const floatAdd: PerFormat = perFormat((format) => addition(format, false));
/** a - b */
export const floatSubtract: PerFormat = perFormat((format) => addition(format, true));
export const floatMultiply: PerFormat = perFormat(multiplication);
/** a / b */
export const floatDivide: PerFormat = perFormat(division);
export const floatSqrt: PerFormat = perFormat(squareRoot);
