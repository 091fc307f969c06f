import { Op, type Value, ValueType } from '@nest86/wasm';
import type { LibraryFunction } from '../function.ts';
import {
  type Body,
  exponentBias,
  float80Function,
  isDenormal,
  isInfinite,
  isNotZero,
  isSpecial,
  isSpecialNan,
  isZero,
  normalize,
  type Operand,
  Rounding,
  Status,
  topBit,
} from './body.ts';
import { propagate } from './nan.ts';
import { round } from './round.ts';
import {
  addWide,
  clzWide,
  divideWide,
  fractionOf,
  lessWide,
  multiplyWide,
  selectWide,
  shiftLeftWide,
  shiftRightSticky,
  subtractWide,
} from './wide.ts';

/** a ± b (SDM vol. 2A, FADD, FSUB). */
function writeAddition(body: Body, a: Operand, b: Operand): void {
  const { x } = body;
  x.block((leave) => {
    x.if(
      x.or(isSpecial(x, a), isSpecial(x, b)),
      () => {
        x.if(
          x.or(isSpecialNan(x, a), isSpecialNan(x, b)),
          () => body.giveNan(a, b, propagate),
          () => {
            const bothInfinite = x.and(isInfinite(x, a), isInfinite(x, b));
            x.if(
              x.and(bothInfinite, x.ne(a.sign, b.sign)),
              () => body.giveInvalid(),
              () => {
                body.giveOperand(a);
                body.checkDenormal(x.or(isDenormal(x, a), isDenormal(x, b)), leave);
                body.giveInfinity(x.select(isInfinite(x, a), a.sign, b.sign));
              },
            );
          },
        );
      },
      () => {
        body.giveOperand(a);
        body.checkDenormal(x.or(isDenormal(x, a), isDenormal(x, b)), leave);
        writeFiniteAddition(body, a, b);
      },
      false,
    );
  });
}

function writeFiniteAddition(body: Body, a: Operand, b: Operand): void {
  const { x } = body;
  const isLess = x.ltU(a.exponent, b.exponent);
  const larger = x.select(isLess, b.significand, a.significand);
  const smaller = x.select(isLess, a.significand, b.significand);
  const sign = x.select(isLess, b.sign, a.sign);
  // Denormals have the scale of exponent 1.
  const scaleOf = (exponent: Value): Value => x.select(exponent, exponent, x.i32(1));
  const [scaleA, scaleB] = [scaleOf(a.exponent), scaleOf(b.exponent)];
  const exponent = x.select(isLess, scaleB, scaleA);
  const distance = x.select(isLess, x.sub(scaleB, scaleA), x.sub(scaleA, scaleB));
  const zero = x.i64(0);
  const first = { high: larger, low: zero };
  const second = shiftRightSticky(x, { high: smaller, low: zero }, distance);
  const finish = (wide: { high: Value; low: Value }, resultSign: Value, resultExponent: Value): void => {
    const zeros = clzWide(x, wide);
    const { high, low } = shiftLeftWide(x, wide, zeros);
    const scaled = x.sub(resultExponent, x.wrap(zeros));
    body.giveCall(round, [body.state, resultSign, scaled, high, low, body.control]);
  };
  x.if(
    x.eq(a.sign, b.sign),
    () => {
      const sum = addWide(x, first, second);
      const carry = x.ltU(sum.high, first.high);
      x.if(
        carry,
        () => {
          const { high, low } = shiftRightSticky(x, sum, x.i32(1));
          const top = x.or(high, topBit(x));
          body.giveCall(round, [body.state, sign, x.add(exponent, x.i32(1)), top, low, body.control]);
        },
        () => {
          x.if(
            isNotZero(x, x.or(sum.high, sum.low)),
            () => finish(sum, sign, exponent),
            () => body.giveZero(sign),
          );
        },
      );
    },
    () => {
      const isNegative = lessWide(x, first, second);
      const difference = selectWide(
        x,
        isNegative,
        subtractWide(x, second, first),
        subtractWide(x, first, second),
      );
      x.if(
        isNotZero(x, x.or(difference.high, difference.low)),
        () => finish(difference, x.select(isNegative, x.xor(sign, x.i32(0x8000)), sign), exponent),
        // Zero from a difference is negative only when rounding down (SDM vol. 1, 4.8.3.1).
        () => body.giveZero(x.shl(x.eq(body.rounding(), x.i32(Rounding.down)), x.i32(15))),
      );
    },
  );
}

/** a + b. */
export const add: LibraryFunction = float80Function('add', 2, (body) => {
  const [a, b] = body.operands;
  writeAddition(body, a, b);
});

/** a - b. */
export const sub: LibraryFunction = float80Function('sub', 2, (body) => {
  const { x } = body;
  const [a, b] = body.operands;
  // The sign of a NaN stays.
  const flip = x.select(isNotZero(x, isSpecialNan(x, b)), x.i32(0), x.i32(0x8000));
  writeAddition(body, a, body.operand(b.significand, x.xor(b.signExponent, flip)));
});

/** a × b. */
export const mul: LibraryFunction = float80Function('mul', 2, (body) => {
  const { x } = body;
  const [a, b] = body.operands;
  const sign = x.xor(a.sign, b.sign);
  const eitherDenormal = x.or(isDenormal(x, a), isDenormal(x, b));
  const eitherZero = x.or(isZero(x, a), isZero(x, b));
  x.block((leave) => {
    x.if(
      x.or(isSpecial(x, a), isSpecial(x, b)),
      () => {
        x.if(
          x.or(isSpecialNan(x, a), isSpecialNan(x, b)),
          () => body.giveNan(a, b, propagate),
          () => {
            x.if(
              eitherZero,
              () => body.giveInvalid(),
              () => {
                body.giveOperand(a);
                body.checkDenormal(eitherDenormal, leave);
                body.giveInfinity(sign);
              },
            );
          },
        );
      },
      () => {
        body.giveOperand(a);
        body.checkDenormal(eitherDenormal, leave);
        x.if(
          eitherZero,
          () => body.giveZero(sign),
          () => {
            const [one, other] = [normalize(x, a), normalize(x, b)];
            const product = multiplyWide(x, one.significand, other.significand);
            const zeros = x.clz(product.high);
            const { high, low } = shiftLeftWide(x, product, zeros);
            const sum = x.sub(x.add(one.exponent, other.exponent), x.i32(exponentBias - 1));
            const exponent = x.sub(sum, x.wrap(zeros));
            body.giveCall(round, [body.state, sign, exponent, high, low, body.control]);
          },
        );
      },
      false,
    );
  });
});

/** a / b; FDIVR passes its operands the other way round. */
export const div: LibraryFunction = float80Function('div', 2, (body) => {
  const { x } = body;
  const [a, b] = body.operands;
  const sign = x.xor(a.sign, b.sign);
  const eitherDenormal = x.or(isDenormal(x, a), isDenormal(x, b));
  x.block((leave) => {
    x.if(
      x.or(isSpecial(x, a), isSpecial(x, b)),
      () => {
        x.if(
          x.or(isSpecialNan(x, a), isSpecialNan(x, b)),
          () => body.giveNan(a, b, propagate),
          () => {
            x.if(
              x.and(isInfinite(x, a), isInfinite(x, b)),
              () => body.giveInvalid(),
              () => {
                body.giveOperand(a);
                body.checkDenormal(eitherDenormal, leave);
                x.if(
                  isInfinite(x, a),
                  () => body.giveInfinity(sign),
                  () => body.giveZero(sign),
                );
              },
            );
          },
        );
      },
      () => {
        x.if(
          isZero(x, b),
          () => {
            x.if(
              isZero(x, a),
              () => body.giveInvalid(),
              () => {
                // Before a denormal dividend is seen.
                body.raiseConstant(Status.zeroDivide);
                body.giveInfinity(sign);
              },
            );
          },
          () => {
            body.giveOperand(a);
            body.checkDenormal(eitherDenormal, leave);
            x.if(
              isZero(x, a),
              () => body.giveZero(sign),
              () => writeQuotient(body, a, b, sign),
            );
          },
          false,
        );
      },
      false,
    );
  });
});

function writeQuotient(body: Body, a: Operand, b: Operand, sign: Value): void {
  const { x } = body;
  const [dividend, divisor] = [normalize(x, a), normalize(x, b)];
  // The quotient's top bit is set: of the dividend's, half is taken if it is not below the divisor.
  const isLess = x.ltU(dividend.significand, divisor.significand);
  const high = x.select(isLess, dividend.significand, x.shrU(dividend.significand, x.i64(1)));
  const low = x.select(isLess, x.i64(0), x.shl(dividend.significand, x.i64(63)));
  const { quotient, remainder } = divideWide(x, { high, low }, divisor.significand);
  const difference = x.add(x.sub(dividend.exponent, divisor.exponent), x.i32(exponentBias));
  const exponent = x.sub(difference, isLess);
  const fraction = fractionOf(x, remainder, divisor.significand);
  body.giveCall(round, [body.state, sign, exponent, quotient, fraction, body.control]);
}

/** Square root (FSQRT). */
export const sqrt: LibraryFunction = float80Function('sqrt', 1, (body) => {
  const { x } = body;
  const [a] = body.operands;
  x.block((leave) => {
    x.if(isSpecialNan(x, a), () => {
      body.giveNan(a, undefined, propagate);
      leave();
    });
    body.giveOperand(a);
    leave(isZero(x, a));
    x.if(a.sign, () => {
      body.giveInvalid();
      leave();
    });
    leave(isInfinite(x, a));
    body.checkDenormal(isDenormal(x, a), leave);
    writeRoot(body, a);
  });
});

function writeRoot(body: Body, a: Operand): void {
  const { x } = body;
  const { significand, exponent } = normalize(x, a);
  // The significand is a number from 1 to 4 times 2 to an even power; the root of it by 2 to the 126 has 64 bits.
  const unbiased = x.sub(exponent, x.i32(exponentBias));
  const isOdd = x.extendU(x.and(unbiased, x.i32(1)));
  const radicand = {
    high: x.shrU(significand, x.sub(x.i64(1), isOdd)),
    low: x.select(x.wrap(isOdd), x.i64(0), x.shl(significand, x.i64(63))),
  };
  // 53 bits from the host, then one step of Newton's method: off by one or two at most.
  const estimate = x.compute(Op.f64Sqrt, x.compute(Op.f64ConvertI64U, radicand.high));
  const scaled = x.compute(Op.f64Mul, estimate, x.f64(0, 0x41f00000));
  const guess = x.compute(Op.i64TruncSatF64U, scaled);
  const error = subtractWide(x, radicand, multiplyWide(x, guess, guess));
  const shifted = x.or(x.shl(error.high, x.i64(48)), x.shrU(error.low, x.i64(16)));
  const correction = x.compute(Op.i64DivS, shifted, x.shrU(guess, x.i64(15)));
  const root = x.temporary(ValueType.i64);
  x.write(root, x.add(guess, correction));
  const remainder = x.temporary(ValueType.i64);
  const beyond = x.temporary(ValueType.i32);
  const copied = { high: x.copy(radicand.high), low: x.copy(radicand.low) };
  x.loop((again) => {
    const candidate = x.copy(x.read(root));
    const rest = subtractWide(x, copied, multiplyWide(x, candidate, candidate));
    x.write(remainder, rest.low);
    // Too large: the rest is negative. Too small: it is above twice the root.
    const isTooLarge = x.compute(Op.i64LtS, rest.high, x.i64(0));
    const double = { high: x.shrU(candidate, x.i64(63)), low: x.shl(candidate, x.i64(1)) };
    const isTooSmall = x.and(x.eqz(isTooLarge), lessWide(x, double, rest));
    x.write(beyond, isNotZero(x, rest.high));
    x.write(root, x.add(candidate, x.extendS(x.sub(isTooSmall, isTooLarge))));
    again(x.or(isTooLarge, isTooSmall));
  });
  const result = x.copy(x.read(root));
  const rest = x.read(remainder);
  // (r + ½)² = r² + r + ¼: the fraction is above a half if the remainder is above r, and never a half.
  const isAbove = x.or(x.read(beyond), x.gtU(rest, result));
  const isExact = x.and(x.eqz(rest), x.eqz(x.read(beyond)));
  const inexact = x.select(isAbove, x.i64(0, 0xc0000000 | 0), x.i64(0, 0x40000000));
  const fraction = x.select(isExact, x.i64(0), inexact);
  const half = x.compute(Op.i32ShrS, unbiased, x.i32(1));
  const resultExponent = x.add(half, x.i32(exponentBias));
  body.giveCall(round, [body.state, x.i32(0), resultExponent, result, fraction, body.control]);
}
