import { Op, type Value, ValueType } from '@nest86/wasm';
import type { LibraryFunction } from '../function.ts';
import {
  Body,
  exponentBias,
  float80Function,
  fullPrecision,
  isDenormal,
  isInfinite,
  isNotZero,
  isSpecialNan,
  isZero,
  normalize,
  type Operand,
  Status,
  topBit,
} from './body.ts';
import { propagate } from './nan.ts';
import { round } from './round.ts';
import {
  arcSeries,
  exponentialSeries,
  inexact,
  multiply,
  normalizeWide,
  quotient,
  toFraction,
} from './series.ts';
import {
  addWide,
  clzWide,
  lessWide,
  multiplyWide,
  selectWide,
  shiftLeftWide,
  shiftRightWide,
  subtractWide,
  type Wide,
  wideConstant,
} from './wide.ts';

/** ln 2 in U0.128. */
const ln2 = [0xb17217f7, 0xd1cf79ab, 0xc9e3b398, 0x03f2f6af] as const;
/** 2 / ln 2 in U2.126. */
const twoOverLn2 = [0xb8aa3b29, 0x5c17f0bb, 0xbe87fed0, 0x691d3e88] as const;
/** √2 in U1.63. */
const root2 = [0xb504f333, 0xf9de6484] as const;

/**
 * F2XM1: 2^a - 1 for a from -1 to 1. Beyond, where the manual defines nothing, the result is a, as on AMD's processors. PC does not matter.
 */
export const exponential: LibraryFunction = float80Function('exponential', 1, (body) => {
  const { x } = body;
  const [a] = body.operands;
  x.block((leave) => {
    x.if(isSpecialNan(x, a), () => {
      body.giveNan(a, undefined, propagate);
      leave();
    });
    body.giveOperand(a);
    leave(isZero(x, a));
    x.if(isInfinite(x, a), () => {
      x.if(a.sign, () => body.give(topBit(x), x.i32(0x8000 | exponentBias)));
      leave();
    });
    body.checkDenormal(isDenormal(x, a), leave);
    x.if(x.geU(a.exponent, x.i32(exponentBias)), () => {
      const isOne = x.and(x.eq(a.exponent, x.i32(exponentBias)), x.eq(a.significand, topBit(x)));
      x.if(
        isOne,
        // 1 or -½.
        () => body.give(topBit(x), x.sub(a.signExponent, x.shrU(a.sign, x.i32(15)))),
        () => body.raiseConstant(Status.precision),
      );
      leave();
    });
    const { significand, exponent } = normalize(x, a);
    const unbiased = x.sub(exponent, x.i32(exponentBias));
    const product = multiply(body, { high: significand, low: x.i64(0) }, wideConstant(x, ln2));
    const fraction = toFraction(body, product, unbiased);
    const series = body.callWide(exponentialSeries, [body.state, fraction.high, fraction.low, a.sign]);
    const result = normalizeWide(body, multiply(body, product, series), x.add(exponent, x.i32(1)));
    const { high, low } = inexact(body, result.wide);
    const control = x.or(body.control, x.i32(fullPrecision));
    body.giveCall(round, [body.state, a.sign, result.exponent, high, low, control]);
  });
});

/**
 * e + 2 artanh(±n / d × 2^scale) / ln 2: (state, e i32, negative i32, scale i32, n, d) to a magnitude with its top bit set, or 0; sign
 * and biased exponent are stored, without limit: bit 31 is the sign. |artanh| is below 0.18 if e is not 0.
 */
const logarithmOfQuotient: LibraryFunction = {
  name: 'float80.logarithmOfQuotient',
  parameters: [
    ValueType.i32,
    ValueType.i32,
    ValueType.i32,
    ValueType.i32,
    ValueType.i64,
    ValueType.i64,
    ValueType.i64,
    ValueType.i64,
  ],
  result: ValueType.i64,
  build: (x, [state, e, negative, scale, nHigh, nLow, dHigh, dLow], call) => {
    const body = new Body(x, [state, x.i32(0)], call);
    const z = body.callWide(quotient, [state, nHigh, nLow, dHigh, dLow]);
    // z is a significand in U1.127 by 2 to the power of one less.
    const exponent = x.add(x.sub(body.storedExponent(), x.i32(1)), scale);
    const fraction = toFraction(body, z, exponent);
    const w = multiply(body, fraction, fraction);
    const series = body.callWide(arcSeries, [state, w.high, w.low, x.i32(0)]);
    const scaled = multiply(body, multiply(body, z, series), wideConstant(x, twoOverLn2));
    const isWhole = isNotZero(x, e);
    x.if(
      isWhole,
      () => {
        // In U16.112 beside the integer: the significand is in U4.124 now.
        const places = x.sub(x.i32(12), exponent);
        const limited = x.select(x.ltU(places, x.i32(127)), places, x.i32(127));
        const part = shiftRightWide(x, scaled, x.extendU(limited));
        const isBelow = x.compute(Op.i32LtS, e, x.i32(0));
        const magnitude = x.extendU(x.select(isBelow, x.sub(x.i32(0), e), e));
        const whole = { high: x.shl(magnitude, x.i64(48)), low: x.i64(0) };
        const isDifference = x.ne(isBelow, isNotZero(x, negative));
        const sum = selectWide(x, isDifference, subtractWide(x, whole, part), addWide(x, whole, part));
        const result = normalizeWide(body, sum, x.i32(exponentBias + 15));
        body.storeExponent(x.or(x.shl(isBelow, x.i32(31)), result.exponent));
        body.giveWide(result.wide);
      },
      () => {
        const result = normalizeWide(body, scaled, x.add(exponent, x.i32(exponentBias + 3)));
        const sign = x.shl(isNotZero(x, negative), x.i32(31));
        // The least exponent, of a denormal, is above -0x4000: bit 30 tells its sign.
        body.storeExponent(x.or(sign, x.and(result.exponent, x.i32(0x7fffffff))));
        body.giveWide(result.wide);
      },
    );
    return body.finish();
  },
};

/** The logarithm to base 2 of m × 2^e: (state, e, m U1.127 from 1 to 2), as {@link logarithmOfQuotient}. */
const logarithm: LibraryFunction = {
  name: 'float80.logarithm',
  parameters: [ValueType.i32, ValueType.i32, ValueType.i64, ValueType.i64],
  result: ValueType.i64,
  build: (x, [state, e, high, low], call) => {
    const body = new Body(x, [state, x.i32(0)], call);
    // From √½ to √2: (m - 1) / (m + 1), or (m - 2) / (m + 2) for m / 2, in U2.126.
    const isUpper = x.geU(high, x.i64(root2[1] | 0, root2[0] | 0));
    const m = shiftRightWide(x, { high, low }, x.i64(1));
    const one = {
      high: x.select(isUpper, x.i64(0, 0x80000000 | 0), x.i64(0, 0x40000000)),
      low: x.i64(0),
    };
    const isBelow = lessWide(x, m, one);
    const n = selectWide(x, isBelow, subtractWide(x, one, m), subtractWide(x, m, one));
    const d = addWide(x, m, one);
    const exponent = x.add(e, isUpper);
    const args = [state, exponent, isBelow, x.i32(0), n.high, n.low, d.high, d.low];
    body.giveWide(body.callWide(logarithmOfQuotient, args));
    return body.finish();
  },
};

/** Gives b times a logarithm as {@link logarithmOfQuotient} left it. @param isInexact i32 */
function giveProduct(body: Body, b: Operand, logarithm: Wide, isInexact: Value): void {
  const { x } = body;
  const stored = body.storedExponent();
  const sign = x.xor(b.sign, x.and(x.shrU(stored, x.i32(16)), x.i32(0x8000)));
  // Sign-extended from bit 30.
  const exponent = x.compute(Op.i32ShrS, x.shl(stored, x.i32(1)), x.i32(1));
  const factor = normalize(x, b);
  const upper = multiplyWide(x, logarithm.high, factor.significand);
  const lower = multiplyWide(x, logarithm.low, factor.significand);
  const product = addWide(x, upper, { high: x.i64(0), low: lower.high });
  const sum = x.sub(x.add(exponent, factor.exponent), x.i32(exponentBias - 1));
  const result = normalizeWide(body, product, sum);
  const rest = x.or(isNotZero(x, lower.low), isInexact);
  const { high, low } = inexact(body, result.wide, rest);
  const control = x.or(body.control, x.i32(fullPrecision));
  body.giveCall(round, [body.state, sign, result.exponent, high, low, control]);
}

/** FYL2X: b (ST(1)) times the logarithm to base 2 of a (ST(0)). PC does not matter. */
export const logarithmProduct: LibraryFunction = float80Function('logarithmProduct', 2, (body) => {
  const { x } = body;
  const [a, b] = body.operands;
  x.block((leave) => {
    x.if(x.or(isSpecialNan(x, a), isSpecialNan(x, b)), () => {
      body.giveNan(a, b, propagate);
      leave();
    });
    const isOne = x.and(x.eq(a.exponent, x.i32(exponentBias)), x.eq(a.significand, topBit(x)));
    const isBelowOne = x.ltU(a.exponent, x.i32(exponentBias));
    const isZeroA = isZero(x, a);
    const isZeroB = isZero(x, b);
    const isInfiniteA = isInfinite(x, a);
    const isInfiniteB = isInfinite(x, b);
    const isNegative = x.and(isNotZero(x, a.sign), x.eqz(isZeroA));
    // log 0 × 0, log ∞ × 0, log 1 × ∞.
    const isUndefined = x.or(x.and(isZeroB, x.or(isZeroA, isInfiniteA)), x.and(isInfiniteB, isOne));
    x.if(x.or(isNegative, isUndefined), () => {
      body.giveInvalid();
      leave();
    });
    const sign = x.xor(b.sign, x.shl(isBelowOne, x.i32(15)));
    x.if(isZeroA, () => {
      x.if(x.eqz(isInfiniteB), () => body.raiseConstant(Status.zeroDivide));
      body.giveInfinity(sign);
      leave();
    });
    body.giveOperand(a);
    body.checkDenormal(x.or(isDenormal(x, a), isDenormal(x, b)), leave);
    x.if(x.or(isInfiniteA, isInfiniteB), () => {
      body.giveInfinity(sign);
      leave();
    });
    x.if(x.or(isOne, isZeroB), () => {
      body.giveZero(sign);
      leave();
    });
    const { significand, exponent } = normalize(x, a);
    const e = x.sub(exponent, x.i32(exponentBias));
    const result = body.callWide(logarithm, [body.state, e, significand, x.i64(0)]);
    giveProduct(body, b, result, x.ne(significand, topBit(x)));
  });
});

/**
 * FYL2XP1: b (ST(1)) times the logarithm to base 2 of 1 + a (ST(0)). The manual defines it for |a| up to 1 - √½; larger ones are computed
 * as well, and from -1 down the result is a, as on AMD's processors. PC does not matter.
 */
export const logarithmPlusOneProduct: LibraryFunction = float80Function(
  'logarithmPlusOneProduct',
  2,
  (body) => {
    const { x } = body;
    const [a, b] = body.operands;
    x.block((leave) => {
      x.if(x.or(isSpecialNan(x, a), isSpecialNan(x, b)), () => {
        body.giveNan(a, b, propagate);
        leave();
      });
      const isZeroA = isZero(x, a);
      const isZeroB = isZero(x, b);
      const isInfiniteA = isInfinite(x, a);
      const isInfiniteB = isInfinite(x, b);
      const isUndefined = x.or(
        x.and(isInfiniteA, x.or(isNotZero(x, a.sign), isZeroB)),
        x.and(isInfiniteB, isZeroA),
      );
      x.if(isUndefined, () => {
        body.giveInvalid();
        leave();
      });
      body.giveOperand(a);
      body.checkDenormal(x.or(isDenormal(x, a), isDenormal(x, b)), leave);
      const sign = x.xor(a.sign, b.sign);
      x.if(x.or(isInfiniteA, isInfiniteB), () => {
        body.giveInfinity(sign);
        leave();
      });
      x.if(x.or(isZeroA, isZeroB), () => {
        body.giveZero(sign);
        leave();
      });
      x.if(x.and(isNotZero(x, a.sign), x.geU(a.exponent, x.i32(exponentBias))), () => {
        body.raiseConstant(Status.precision);
        leave();
      });
      const { significand, exponent } = normalize(x, a);
      x.if(
        x.compute(Op.i32LtS, exponent, x.i32(exponentBias - 2)),
        () => writeSmallPlusOne(body, a, b, significand, exponent),
        () => writeLargePlusOne(body, a, b, significand, exponent),
      );
    });
  },
);

/** |a| below ¼: a / (a + 2) has all of a's bits. */
function writeSmallPlusOne(body: Body, a: Operand, b: Operand, significand: Value, exponent: Value): void {
  const { x } = body;
  const scale = x.sub(exponent, x.i32(exponentBias));
  const n = { high: significand, low: x.i64(0) };
  // In U2.126.
  const fraction = shiftRightWide(x, toFraction(body, n, scale), x.i64(2));
  const two = { high: topBit(x), low: x.i64(0) };
  const d = selectWide(x, a.sign, subtractWide(x, two, fraction), addWide(x, two, fraction));
  // n is in U1.127, so half of it by the scale of d.
  const args = [x.i32(0), a.sign, x.sub(scale, x.i32(1)), n.high, n.low, d.high, d.low];
  const result = body.callWide(logarithmOfQuotient, [body.state, ...args]);
  giveProduct(body, b, result, x.i32(1));
}

function writeLargePlusOne(body: Body, a: Operand, b: Operand, significand: Value, exponent: Value): void {
  const { x } = body;
  const e = x.sub(exponent, x.i32(exponentBias));
  // 1 and |a| in U2.126 by the scale of the larger.
  const isLarge = x.compute(Op.i32GeS, e, x.i32(0));
  const distance = x.select(isLarge, e, x.sub(x.i32(0), e));
  const limited = x.extendU(x.select(x.ltU(distance, x.i32(127)), distance, x.i32(127)));
  const one = { high: x.i64(0, 0x40000000), low: x.i64(0) };
  const magnitude = shiftRightWide(x, { high: significand, low: x.i64(0) }, x.i64(1));
  const shiftedOne = selectWide(x, isLarge, shiftRightWide(x, one, limited), one);
  const shifted = selectWide(x, isLarge, magnitude, shiftRightWide(x, magnitude, limited));
  const difference = subtractWide(x, shiftedOne, shifted);
  const sum = selectWide(x, a.sign, difference, addWide(x, shiftedOne, shifted));
  const zeros = clzWide(x, sum);
  const m = shiftLeftWide(x, sum, zeros);
  const scale = x.add(x.select(isLarge, e, x.i32(0)), x.sub(x.i32(1), x.wrap(zeros)));
  const result = body.callWide(logarithm, [body.state, scale, m.high, m.low]);
  const isExact = x.and(x.eq(m.high, topBit(x)), x.eqz(m.low));
  const isCut = x.compute(Op.i32GtS, e, x.i32(126));
  giveProduct(body, b, result, x.or(x.eqz(isExact), isCut));
}
