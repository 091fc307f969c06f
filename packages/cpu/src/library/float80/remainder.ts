import { Op, type Value, ValueType, type Variable } from '@nest86/wasm';
import type { LibraryFunction } from '../function.ts';
import {
  type Body,
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
} from './body.ts';
import { propagate } from './nan.ts';
import { round } from './round.ts';
import { divideWide } from './wide.ts';

/**
 * The remainder of a (ST(0)) by b (ST(1)), or a step towards it: then C2 is set. Else C0, C3, C1 are bits 2, 1, 0 of the quotient.
 * @param isNearest the quotient is rounded to nearest (FPREM1), not cut (FPREM)
 */
function remainder(name: string, isNearest: boolean): LibraryFunction {
  return float80Function(name, 2, (body) => {
    const { x } = body;
    const [a, b] = body.operands;
    x.block((leave) => {
      x.if(x.or(isSpecialNan(x, a), isSpecialNan(x, b)), () => {
        body.giveNan(a, b, propagate);
        leave();
      });
      x.if(x.or(isInfinite(x, a), isZero(x, b)), () => {
        body.giveInvalid();
        leave();
      });
      body.giveOperand(a);
      body.checkDenormal(x.or(isDenormal(x, a), isDenormal(x, b)), leave);
      leave(isZero(x, a));
      x.if(
        isInfinite(x, b),
        () => giveExact(body, a.sign, normalize(x, a)),
        () => writeRemainder(body, a, b, isNearest),
      );
    });
  });
}

/** Gives a number that needs no rounding but may be tiny. */
function giveExact(
  body: Body,
  sign: Value,
  { significand, exponent }: { significand: Value; exponent: Value },
): void {
  const { x } = body;
  const control = x.or(body.control, x.i32(fullPrecision));
  body.giveCall(round, [body.state, sign, exponent, significand, x.i64(0), control]);
}

function writeRemainder(body: Body, a: Operand, b: Operand, isNearest: boolean): void {
  const { x } = body;
  const dividend = normalize(x, a);
  const divisor = normalize(x, b);
  const distance = x.sub(dividend.exponent, divisor.exponent);
  const rest = x.temporary(ValueType.i64);
  const quotient = x.temporary(ValueType.i64);
  const sign = x.temporary(ValueType.i32);
  const exponent = x.temporary(ValueType.i32);
  x.write(sign, a.sign);
  const isPartial = x.compute(Op.i32GtS, distance, x.i32(63));
  // With a distance of 64 or more it is reduced by 32 to 63, so that a multiple of 32 is left.
  const partial = x.or(x.and(distance, x.i32(31)), x.i32(32));
  const count = x.select(isPartial, partial, distance);
  x.if(
    x.compute(Op.i32LtS, count, x.i32(0)),
    () => {
      x.write(quotient, x.i64(0));
      x.write(rest, dividend.significand);
      x.write(exponent, dividend.exponent);
    },
    () => {
      const places = x.extendU(count);
      const isLess = x.ltU(dividend.significand, divisor.significand);
      const first = x.select(isLess, dividend.significand, x.sub(dividend.significand, divisor.significand));
      // Two steps: a shift by 64 would be one by 0.
      const high = x.shrU(x.shrU(first, x.i64(1)), x.sub(x.i64(63), places));
      const divided = divideWide(x, { high, low: x.shl(first, places) }, divisor.significand);
      x.write(quotient, x.or(divided.quotient, x.shl(x.extendU(x.eqz(isLess)), places)));
      x.write(rest, divided.remainder);
      x.write(exponent, x.sub(dividend.exponent, count));
    },
  );
  if (isNearest) writeNearest(body, { rest, quotient, sign }, divisor, distance);
  x.if(
    isPartial,
    () => body.raiseConstant(Status.c2),
    () => {
      const bits = x.wrap(x.read(quotient));
      const c0 = x.shl(x.and(bits, x.i32(4)), x.i32(6));
      const c3 = x.shl(x.and(bits, x.i32(2)), x.i32(13));
      const c1 = x.shl(x.and(bits, x.i32(1)), x.i32(9));
      body.raise(x.or(c0, x.or(c3, c1)));
    },
  );
  x.if(
    isNotZero(x, x.read(rest)),
    () => {
      const zeros = x.clz(x.read(rest));
      giveExact(body, x.read(sign), {
        significand: x.shl(x.read(rest), zeros),
        exponent: x.sub(x.read(exponent), x.wrap(zeros)),
      });
    },
    () => body.giveZero(a.sign),
  );
}

/** One more in the quotient if the rest is above half of the divisor, or just half and the quotient is odd. */
function writeNearest(
  body: Body,
  { rest, quotient, sign }: { rest: Variable; quotient: Variable; sign: Variable },
  divisor: { significand: Value; exponent: Value },
  distance: Value,
): void {
  const { x } = body;
  x.if(x.and(x.compute(Op.i32GeS, distance, x.i32(-1)), x.compute(Op.i32LeS, distance, x.i32(63))), () => {
    const present = x.copy(x.read(rest));
    // At a distance of -1 the rest counts half as much as the divisor: more than half of it if it is larger.
    const isBelow = x.compute(Op.i32LtS, distance, x.i32(0));
    const other = x.select(isBelow, divisor.significand, x.sub(divisor.significand, present));
    const isOdd = x.wrap(x.and(x.read(quotient), x.i64(1)));
    const isMore = x.or(x.gtU(present, other), x.and(x.eq(present, other), isOdd));
    x.if(isMore, () => {
      // Twice the divisor less the rest, by the scale of the rest.
      const double = x.sub(x.shl(divisor.significand, x.i64(1)), present);
      x.write(rest, x.select(isBelow, double, other));
      x.write(quotient, x.add(x.read(quotient), x.i64(1)));
      x.write(sign, x.xor(x.read(sign), x.i32(0x8000)));
    });
  });
}

/** FPREM. */
export const remainderTruncated: LibraryFunction = remainder('remainderTruncated', false);

/** FPREM1: IEEE 754's remainder. */
export const remainderNearest: LibraryFunction = remainder('remainderNearest', true);
