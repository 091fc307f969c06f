import { Op, ValueType } from '@nest86/wasm';
import type { LibraryFunction } from '../function.ts';
import {
  exponentBias,
  float80Function,
  fullPrecision,
  isDenormal,
  isInfinite,
  isNotZero,
  isSpecialNan,
  isZero,
  normalize,
  Status,
} from './body.ts';
import { propagate } from './nan.ts';
import { round, roundsUp } from './round.ts';
import { shiftRightSticky } from './wide.ts';

/** FRNDINT: to an integer, as RC says; PC does not matter. */
export const roundToIntegral: LibraryFunction = float80Function('roundToIntegral', 1, (body) => {
  const { x } = body;
  const [a] = body.operands;
  x.block((leave) => {
    x.if(isSpecialNan(x, a), () => {
      body.giveNan(a, undefined, propagate);
      leave();
    });
    body.giveOperand(a);
    body.checkDenormal(isDenormal(x, a), leave);
    // Zeros, infinities and whatever has no bits behind the point.
    leave(isZero(x, a));
    leave(x.geU(a.exponent, x.i32(exponentBias + 63)));
    const count = x.sub(x.i32(exponentBias + 63), a.exponent);
    const shifted = shiftRightSticky(x, { high: a.significand, low: x.i64(0) }, count);
    const isOdd = x.wrap(x.and(shifted.high, x.i64(1)));
    const up = roundsUp(x, body.rounding(), a.sign, isOdd, shifted.low);
    const integer = x.add(shifted.high, x.extendU(up));
    x.if(isNotZero(x, shifted.low), () => {
      body.raise(x.select(up, x.i32(Status.precision | Status.c1), x.i32(Status.precision)));
    });
    const zeros = x.clz(integer);
    const exponent = x.sub(x.i32(exponentBias + 63), x.wrap(zeros));
    body.give(x.shl(integer, zeros), x.or(a.sign, x.select(x.eqz(integer), x.i32(0), exponent)));
  });
});

/** Beyond all exponents, even with the bias adjustment: results overflow or underflow massively (SDM vol. 1, 8.5.4). */
const largestScale = 0x10000;

/** FSCALE: a (ST(0)) times 2 to the power of b (ST(1)), cut to an integer. PC does not matter. */
export const scale: LibraryFunction = float80Function('scale', 2, (body) => {
  const { x } = body;
  const [a, b] = body.operands;
  x.block((leave) => {
    x.if(x.or(isSpecialNan(x, a), isSpecialNan(x, b)), () => {
      body.giveNan(a, b, propagate);
      leave();
    });
    // 0 × 2^∞ and ∞ × 2^-∞.
    const isInfiniteA = isInfinite(x, a);
    const isInfiniteB = isInfinite(x, b);
    x.if(x.and(isInfiniteB, x.select(b.sign, isInfiniteA, isZero(x, a))), () => {
      body.giveInvalid();
      leave();
    });
    body.giveOperand(a);
    body.checkDenormal(x.or(isDenormal(x, a), isDenormal(x, b)), leave);
    leave(x.or(isInfiniteA, isZero(x, a)));
    x.if(isInfiniteB, () => {
      x.if(
        b.sign,
        () => body.giveZero(a.sign),
        () => body.giveInfinity(a.sign),
      );
      leave();
    });
    const isLarge = x.geU(b.exponent, x.i32(exponentBias + 16));
    const places = x.extendU(x.sub(x.i32(exponentBias + 63), b.exponent));
    const isSmall = x.ltU(b.exponent, x.i32(exponentBias));
    const magnitude = x.select(isSmall, x.i32(0), x.wrap(x.shrU(b.significand, places)));
    const limited = x.select(isLarge, x.i32(largestScale), magnitude);
    const power = x.select(b.sign, x.sub(x.i32(0), limited), limited);
    const { significand, exponent } = normalize(x, a);
    const control = x.or(body.control, x.i32(fullPrecision));
    body.giveCall(round, [body.state, a.sign, x.add(exponent, power), significand, x.i64(0), control]);
  });
});

/** FXTRACT: the exponent, as a number, which replaces ST(0); second result: the significand, from 1 to 2, which is pushed. */
export const extract: LibraryFunction = float80Function('extract', 1, (body) => {
  const { x } = body;
  const [a] = body.operands;
  x.block((leave) => {
    x.if(isSpecialNan(x, a), () => {
      const nan = x.temporary(ValueType.i64);
      x.write(nan, body.call(propagate, [body.state, a.significand, a.signExponent, x.i64(0), x.i32(0)]));
      const exponent = body.storedExponent();
      body.give(x.read(nan), exponent);
      body.giveSecond(x.read(nan), exponent);
      leave();
    });
    body.giveSecond(a.significand, a.signExponent);
    x.if(isZero(x, a), () => {
      body.raiseConstant(Status.zeroDivide);
      body.giveInfinity(x.i32(0x8000));
      leave();
    });
    body.giveInfinity(x.i32(0));
    leave(isInfinite(x, a));
    body.checkDenormal(isDenormal(x, a), leave);
    const { significand, exponent } = normalize(x, a);
    body.giveSecond(significand, x.or(a.sign, x.i32(exponentBias)));
    const unbiased = x.sub(exponent, x.i32(exponentBias));
    const isNegative = x.compute(Op.i32LtS, unbiased, x.i32(0));
    const magnitude = x.extendU(x.select(isNegative, x.sub(x.i32(0), unbiased), unbiased));
    const zeros = x.clz(magnitude);
    x.if(
      x.eqz(magnitude),
      () => body.giveZero(x.i32(0)),
      () => {
        const size = x.sub(x.i32(exponentBias + 63), x.wrap(zeros));
        body.give(x.shl(magnitude, zeros), x.or(x.shl(isNegative, x.i32(15)), size));
      },
    );
  });
});
