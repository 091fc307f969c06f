import { type Expressions, Op, type Value, ValueType } from '@nest86/wasm';
import type { LibraryFunction } from '../function.ts';
import { Body, exponentSpecial, isNotZero, Rounding, Status, topBit } from './body.ts';
import { shiftRightSticky, type Wide } from './wide.ts';

/** Added to or taken from the exponent for handlers of unmasked underflow and overflow (SDM vol. 1, 4.9.1.4 and 4.9.1.5). */
const biasAdjustment = 0x6000;

/**
 * i32, 0 or 1: whether the magnitude is rounded up.
 * @param rounding i32: see {@link Rounding}
 * @param sign i32: not 0 if negative
 * @param isOdd i32, 0 or 1: the last bit that stays
 * @param fraction i64: what is cut off; bit 63 is half of the last bit that stays
 */
export function roundsUp(x: Expressions, rounding: Value, sign: Value, isOdd: Value, fraction: Value): Value {
  const half = topBit(x);
  const nearest = x.or(x.gtU(fraction, half), x.and(x.eq(fraction, half), isOdd));
  const away = x.select(sign, x.i32(Rounding.down), x.i32(Rounding.up));
  const directed = x.and(x.eq(rounding, away), isNotZero(x, fraction));
  return x.select(rounding, directed, nearest);
}

/** Rounded to the precision of PC: what stays, what is cut off, whether it goes up; the carry is not added to the exponent. */
interface Rounded {
  readonly significand: Value;
  readonly fraction: Value;
  readonly up: Value;
  readonly carry: Value;
}

/**
 * Rounds a finite number that is not zero to the format, as PC and RC say, and reports overflow, underflow and precision (SDM vol. 1,
 * 8.5.4 to 8.5.6). Where the adjusted exponent of an unmasked exception does not fit either (FSCALE), infinity or zero:  (state, sign i32
 * 0 or 0x8000, exponent i32 biased but not limited, high i64 with its top bit set, low i64, control) to a significand and exponent.
 */
export const round: LibraryFunction = {
  name: 'float80.round',
  parameters: [ValueType.i32, ValueType.i32, ValueType.i32, ValueType.i64, ValueType.i64, ValueType.i32],
  result: ValueType.i64,
  build: (x, [state, sign, exponent, high, low, control], call) => {
    const body = new Body(x, [state, control], call);
    const precision = x.and(control, x.i32(0x300));
    const isSingle = x.eqz(precision);
    const isDouble = x.eq(precision, x.i32(0x200));
    // Bits of the significand that precision control cuts off.
    const cut = x.select(isSingle, x.i64(-1, 0xff), x.select(isDouble, x.i64(0x7ff), x.i64(0)));
    const unit = x.add(cut, x.i64(1));
    const cutLeft = x.select(isSingle, x.i64(24), x.i64(53));
    const rounding = body.rounding();

    const toPrecision = (wide: Wide): Rounded => {
      const rest = x.extendU(isNotZero(x, wide.low));
      const fraction = x.select(x.eqz(cut), wide.low, x.or(x.shl(wide.high, cutLeft), rest));
      const kept = x.and(wide.high, x.xor(cut, x.i64(-1)));
      const up = roundsUp(x, rounding, sign, isNotZero(x, x.and(kept, unit)), fraction);
      const significand = x.select(up, x.add(kept, unit), kept);
      return { significand, fraction, up, carry: x.and(up, x.eqz(significand)) };
    };
    const inexact = ({ fraction, up }: Rounded): Value =>
      x.select(
        isNotZero(x, fraction),
        x.or(x.i32(Status.precision), x.select(up, x.i32(Status.c1), x.i32(0))),
        x.i32(0),
      );

    const unbounded = toPrecision({ high, low });
    const roundedExponent = x.add(exponent, unbounded.carry);
    const significand = x.select(unbounded.carry, topBit(x), unbounded.significand);
    const isNormal = x.ltU(x.sub(roundedExponent, x.i32(1)), x.i32(0x7ffe));

    const overflow = (): void => {
      const adjusted = x.sub(roundedExponent, x.i32(biasAdjustment));
      const isMasked = isNotZero(x, body.isMasked(Status.overflow));
      x.if(
        x.or(isMasked, x.geU(adjusted, x.i32(exponentSpecial))),
        () => {
          // Infinity, or the largest number if rounding goes towards zero; unmasked and massive: infinity.
          const away = x.select(sign, x.i32(Rounding.down), x.i32(Rounding.up));
          const isInfinity = x.or(x.eqz(isMasked), x.or(x.eqz(rounding), x.eq(rounding, away)));
          body.raise(
            x.select(
              isInfinity,
              x.i32(Status.overflow | Status.precision | Status.c1),
              x.i32(Status.overflow | Status.precision),
            ),
          );
          body.give(
            x.select(isInfinity, topBit(x), x.xor(cut, x.i64(-1))),
            x.or(sign, x.select(isInfinity, x.i32(exponentSpecial), x.i32(exponentSpecial - 1))),
          );
        },
        () => {
          body.raise(x.or(x.i32(Status.overflow), inexact(unbounded)));
          body.give(significand, x.or(sign, adjusted));
        },
      );
    };
    const underflow = (): void => {
      const adjusted = x.add(roundedExponent, x.i32(biasAdjustment));
      const unmasked = (): void => {
        body.raise(x.or(x.i32(Status.underflow), inexact(unbounded)));
        body.give(significand, x.or(sign, adjusted));
      };
      const masked = (): void => {
        const denormal = toPrecision(shiftRightSticky(x, { high, low }, x.sub(x.i32(1), exponent)));
        const flags = inexact(denormal);
        body.raise(x.select(flags, x.or(flags, x.i32(Status.underflow)), flags));
        // Rounding may lead to the smallest normal number.
        const isNormal = x.wrap(x.shrU(denormal.significand, x.i64(63)));
        body.give(denormal.significand, x.or(sign, isNormal));
      };
      const isUnmasked = x.eqz(body.isMasked(Status.underflow));
      const isMassive = x.compute(Op.i32LeS, adjusted, x.i32(0));
      x.if(
        x.and(isUnmasked, isMassive),
        () => {
          body.raiseConstant(Status.underflow | Status.precision);
          body.giveZero(sign);
        },
        () => x.if(isUnmasked, unmasked, masked),
      );
    };
    x.if(
      isNormal,
      () => {
        body.raise(inexact(unbounded));
        body.give(significand, x.or(sign, roundedExponent));
      },
      () => x.if(x.compute(Op.i32GtS, roundedExponent, x.i32(0)), overflow, underflow),
      true,
    );
    return body.finish();
  },
};
