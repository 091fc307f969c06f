import { Op, type Value, ValueType } from '@nest86/wasm';
import type { LibraryFunction } from '../function.ts';
import { Body, isNotZero } from './body.ts';
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
  WideVariable,
} from './wide.ts';

/*
 * Arithmetic of 128 bits and the power series of the transcendental instructions, in fixed point. All is unsigned; Un.m means n bits
 * before and m behind the binary point. Results have their lower half in floatSecond. Errors are a few units of 2^-110 or less, so that
 * results rounded to 64 bits are the nearest in all but about one of 2^44 cases.
 */

/** 1 in U1.127. */
const oneHigh = 0x80000000 | 0;

/** (state, a, b: high and low) to the upper 128 bits of the product of two 128-bit numbers, a few units too small at most. */
const multiplyHigh: LibraryFunction = {
  name: 'float80.multiplyHigh',
  parameters: [ValueType.i32, ValueType.i64, ValueType.i64, ValueType.i64, ValueType.i64],
  result: ValueType.i64,
  build: (x, [state, aHigh, aLow, bHigh, bLow], call) => {
    const body = new Body(x, [state, x.i32(0)], call);
    const zero = x.i64(0);
    const first = multiplyWide(x, aHigh, bLow);
    const second = multiplyWide(x, aLow, bHigh);
    const lowest = multiplyWide(x, aLow, bLow).high;
    const cross = addWide(x, addWide(x, { high: zero, low: first.low }, { high: zero, low: second.low }), {
      high: zero,
      low: lowest,
    });
    const sum = addWide(x, multiplyWide(x, aHigh, bHigh), { high: zero, low: first.high });
    body.giveWide(
      addWide(x, addWide(x, sum, { high: zero, low: second.high }), { high: zero, low: cross.high }),
    );
    return body.finish();
  },
};

/** (state, a: high and low, divisor i64 below 2^32) to the quotient. */
const divideSmall: LibraryFunction = {
  name: 'float80.divideSmall',
  parameters: [ValueType.i32, ValueType.i64, ValueType.i64, ValueType.i64],
  result: ValueType.i64,
  build: (x, [state, high, low, divisor], call) => {
    const body = new Body(x, [state, x.i32(0)], call);
    let rest = x.i64(0);
    const digit = (half: Value): Value => {
      const dividend = x.or(x.shl(rest, x.i64(32)), half);
      const quotient = x.compute(Op.i64DivU, dividend, divisor);
      rest = x.sub(dividend, x.mul(quotient, divisor));
      return quotient;
    };
    const two = (value: Value): Value => {
      const first = digit(x.shrU(value, x.i64(32)));
      return x.or(x.shl(first, x.i64(32)), digit(x.and(value, x.i64(-1, 0))));
    };
    const upper = two(high);
    body.giveWide({ high: upper, low: two(low) });
    return body.finish();
  },
};

/**
 * (state, n, d: high and low; d is not 0) to n / d, 111 bits of it good, with its top bit set (or just short of it); stores q as exponent: n / d =
 * result × 2^(q - 128).
 */
export const quotient: LibraryFunction = {
  name: 'float80.quotient',
  parameters: [ValueType.i32, ValueType.i64, ValueType.i64, ValueType.i64, ValueType.i64],
  result: ValueType.i64,
  build: (x, [state, nHigh, nLow, dHigh, dLow], call) => {
    const body = new Body(x, [state, x.i32(0)], call);
    const one = x.i64(1);
    const normalized = (wide: Wide): { zeros: Value; wide: Wide } => {
      const zeros = clzWide(x, wide);
      const limited = x.and(zeros, x.i64(127));
      return { zeros: x.wrap(zeros), wide: shiftRightWide(x, shiftLeftWide(x, wide, limited), one) };
    };
    const n = normalized({ high: nHigh, low: nLow });
    const d = normalized({ high: dHigh, low: dLow });
    const isLess = lessWide(x, n.wide, d.wide);
    const dividend = selectWide(x, isLess, n.wide, shiftRightWide(x, n.wide, one));
    body.storeExponent(x.add(x.sub(d.zeros, n.zeros), x.eqz(isLess)));
    // Digits of 28 bits, each at most too small by 4/3: the divisor's upper bits plus one are divided by.
    const divisor = { high: x.copy(d.wide.high), low: x.copy(d.wide.low) };
    const upper = x.copy(x.add(x.shrU(divisor.high, x.i64(32)), one));
    const places = x.i64(28);
    const rest = new WideVariable(x, dividend);
    const digits = new WideVariable(x, { high: x.i64(0), low: x.i64(0) });
    const count = x.temporary(ValueType.i32);
    x.write(count, x.i32(4));
    x.loop((again) => {
      const present = rest.read();
      const digit = x.shrU(x.compute(Op.i64DivU, present.high, upper), x.i64(4));
      const product = multiplyWide(x, divisor.low, digit);
      const taken = { high: x.add(product.high, x.mul(divisor.high, digit)), low: product.low };
      rest.write(subtractWide(x, shiftLeftWide(x, present, places), taken));
      digits.write(addWide(x, shiftLeftWide(x, digits.read(), places), { high: x.i64(0), low: digit }));
      x.write(count, x.sub(x.read(count), x.i32(1)));
      again(x.read(count));
    });
    body.giveWide(shiftLeftWide(x, digits.read(), x.i64(16)));
    return body.finish();
  },
};

/** a × b, upper 128 bits. */
export function multiply(body: Body, a: Wide, b: Wide): Wide {
  return body.callWide(multiplyHigh, [body.state, a.high, a.low, b.high, b.low]);
}

function divide(body: Body, a: Wide, divisor: Value): Wide {
  return body.callWide(divideSmall, [body.state, a.high, a.low, divisor]);
}

/**
 * (state, t U0.128 = r², last i64) to sin(r) / r, or cos(r), in U1.127, a little below it and never 1. `last` is the largest factor in
 * the divisors: the number of the last term, odd for the sine.
 */
export const trigonometricSeries: LibraryFunction = {
  name: 'float80.trigonometricSeries',
  parameters: [ValueType.i32, ValueType.i64, ValueType.i64, ValueType.i64],
  result: ValueType.i64,
  build: (x, [state, high, low, last], call) => {
    const body = new Body(x, [state, x.i32(0)], call);
    const t = { high: x.copy(high), low: x.copy(low) };
    const one = { high: x.i64(0, oneHigh), low: x.i64(0) };
    const sum = new WideVariable(x, one);
    const factor = x.temporary(ValueType.i64);
    x.write(factor, last);
    x.loop((again) => {
      const present = x.copy(x.read(factor));
      const divisor = x.mul(present, x.sub(present, x.i64(1)));
      sum.write(subtractWide(x, one, divide(body, multiply(body, t, sum.read()), divisor)));
      x.write(factor, x.sub(present, x.i64(2)));
      again(x.gtU(present, x.i64(3)));
    });
    // Never exactly 1: what is rounded has to be below it.
    body.giveWide(subtractWide(x, sum.read(), { high: x.i64(0), low: x.i64(1) }));
    return body.finish();
  },
};

/** Terms of the exponential series: 0.6932^29 / 30! is below 2^-120. */
const exponentialTerms = 29;

/** (state, y U0.128 up to ln 2, isNegative i32) to (e^±y - 1) / ±y in U1.127. */
export const exponentialSeries: LibraryFunction = {
  name: 'float80.exponentialSeries',
  parameters: [ValueType.i32, ValueType.i64, ValueType.i64, ValueType.i32],
  result: ValueType.i64,
  build: (x, [state, high, low, negative], call) => {
    const body = new Body(x, [state, x.i32(0)], call);
    const y = { high: x.copy(high), low: x.copy(low) };
    const isNegative = x.copy(negative);
    const one = { high: x.i64(0, oneHigh), low: x.i64(0) };
    const sum = new WideVariable(x, one);
    const factor = x.temporary(ValueType.i64);
    x.write(factor, x.i64(exponentialTerms));
    x.loop((again) => {
      const present = x.copy(x.read(factor));
      const term = divide(body, multiply(body, y, sum.read()), present);
      sum.write(selectWide(x, isNegative, subtractWide(x, one, term), addWide(x, one, term)));
      x.write(factor, x.sub(present, x.i64(1)));
      again(x.gtU(present, x.i64(2)));
    });
    body.giveWide(sum.read());
    return body.finish();
  },
};

/**
 * (state, w U0.128 up to 0.03, last i64 odd, isAlternating i32) to Σ (±w)^k / (2k + 1) in U1.127: with w = z², artanh(z) / z or arctan(z)
 * / z.
 */
export const arcSeries: LibraryFunction = {
  name: 'float80.arcSeries',
  parameters: [ValueType.i32, ValueType.i64, ValueType.i64, ValueType.i32],
  result: ValueType.i64,
  build: (x, [state, high, low, alternating], call) => {
    const body = new Body(x, [state, x.i32(0)], call);
    const w = { high: x.copy(high), low: x.copy(low) };
    const isAlternating = x.copy(alternating);
    const one = { high: x.i64(0, oneHigh), low: x.i64(0) };
    const sum = new WideVariable(x, { high: x.i64(0), low: x.i64(0) });
    const factor = x.temporary(ValueType.i64);
    // 0.03^22 / 45 is below 2^-116.
    x.write(factor, x.i64(43));
    x.loop((again) => {
      const present = x.copy(x.read(factor));
      const product = multiply(body, w, sum.read());
      const inverse = divide(body, one, present);
      sum.write(
        selectWide(x, isAlternating, subtractWide(x, inverse, product), addWide(x, inverse, product)),
      );
      x.write(factor, x.sub(present, x.i64(2)));
      again(x.gtU(present, x.i64(1)));
    });
    // Not exactly 1, on the side where the function is.
    const unit = { high: x.i64(0), low: x.i64(1) };
    body.giveWide(
      selectWide(x, isAlternating, subtractWide(x, sum.read(), unit), addWide(x, sum.read(), unit)),
    );
    return body.finish();
  },
};

/** A number as U0.128: significand × 2^(exponent + 1), at most 1. @param exponent i32, of a significand in U1.127; below 0 */
export function toFraction(body: Body, significand: Wide, exponent: Value): Wide {
  const { x } = body;
  const places = x.xor(exponent, x.i32(-1));
  const limited = x.select(x.ltU(places, x.i32(127)), places, x.i32(127));
  return shiftRightWide(x, significand, x.extendU(limited));
}

/** Top bit set; the exponent goes down by as much. */
export function normalizeWide(body: Body, wide: Wide, exponent: Value): { wide: Wide; exponent: Value } {
  const { x } = body;
  const zeros = clzWide(x, wide);
  return {
    wide: shiftLeftWide(x, wide, x.and(zeros, x.i64(127))),
    exponent: x.sub(exponent, x.wrap(zeros)),
  };
}

/** Something that is not exact: the lowest bit tells rounding. */
export function inexact(body: Body, { high, low }: Wide, isInexact?: Value): Wide {
  const { x } = body;
  const bit = isInexact === undefined ? x.i64(1) : x.extendU(isNotZero(x, isInexact));
  return { high, low: x.or(low, bit) };
}
