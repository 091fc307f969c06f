import { type Expressions, Op, type Value, ValueType } from '@nest86/wasm';
import { isNotZero } from './body.ts';

/** A 128-bit number as two i64. */
export interface Wide {
  readonly high: Value;
  readonly low: Value;
}

/** The product of two i64, unsigned. */
export function multiplyWide(x: Expressions, a: Value, b: Value): Wide {
  const [aLow, aHigh] = halves(x, a);
  const [bLow, bHigh] = halves(x, b);
  const lowest = x.mul(aLow, bLow);
  const middle = x.add(x.mul(aHigh, bLow), upper(x, lowest));
  const other = x.add(x.mul(aLow, bHigh), lower(x, middle));
  return {
    high: x.add(x.add(x.mul(aHigh, bHigh), upper(x, middle)), upper(x, other)),
    low: x.or(x.shl(other, x.i64(32)), lower(x, lowest)),
  };
}

export function addWide(x: Expressions, a: Wide, b: Wide): Wide {
  const low = x.add(a.low, b.low);
  const carry = x.extendU(x.ltU(low, b.low));
  return { high: x.add(x.add(a.high, b.high), carry), low };
}

export function subtractWide(x: Expressions, a: Wide, b: Wide): Wide {
  const borrow = x.extendU(x.ltU(a.low, b.low));
  return { high: x.sub(x.sub(a.high, b.high), borrow), low: x.sub(a.low, b.low) };
}

/** i32: a < b, unsigned. */
export function lessWide(x: Expressions, a: Wide, b: Wide): Value {
  return x.select(x.eq(a.high, b.high), x.ltU(a.low, b.low), x.ltU(a.high, b.high));
}

export function selectWide(x: Expressions, condition: Value, yes: Wide, no: Wide): Wide {
  return { high: x.select(condition, yes.high, no.high), low: x.select(condition, yes.low, no.low) };
}

/** @param count i64, 0 to 127 */
export function shiftLeftWide(x: Expressions, { high, low }: Wide, count: Value): Wide {
  const isLong = isNotZero(x, x.and(count, x.i64(64)));
  // Two steps, for a shift by 64 - 0 would be one by 0.
  const crossing = x.shrU(x.shrU(low, x.i64(1)), x.xor(count, x.i64(63)));
  const shifted = x.shl(low, count);
  return {
    high: x.select(isLong, shifted, x.or(x.shl(high, count), crossing)),
    low: x.select(isLong, x.i64(0), shifted),
  };
}

/** @param count i64, 0 to 127 */
export function shiftRightWide(x: Expressions, { high, low }: Wide, count: Value): Wide {
  const isLong = isNotZero(x, x.and(count, x.i64(64)));
  const crossing = x.shl(x.shl(high, x.i64(1)), x.xor(count, x.i64(63)));
  const shifted = x.shrU(high, count);
  return {
    high: x.select(isLong, x.i64(0), shifted),
    low: x.select(isLong, shifted, x.or(x.shrU(low, count), crossing)),
  };
}

/** Shift to the right; what falls out makes the lowest bit 1. @param count i32, 0 or more, not limited */
export function shiftRightSticky(x: Expressions, wide: Wide, count: Value): Wide {
  const limited = x.extendU(x.select(x.ltU(count, x.i32(127)), count, x.i32(127)));
  const shifted = shiftRightWide(x, wide, limited);
  const back = shiftLeftWide(x, shifted, limited);
  const lost = x.or(x.xor(back.high, wide.high), x.xor(back.low, wide.low));
  // At 127 the highest bit would remain: then it is below the sticky position all the same.
  const isGone = x.compute(Op.i32GtU, count, x.i32(126));
  const low = x.or(shifted.low, x.extendU(isNotZero(x, lost)));
  return {
    high: shifted.high,
    low: x.select(isGone, x.extendU(isNotZero(x, x.or(wide.high, wide.low))), low),
  };
}

/** i64: leading zeros, 0 to 128. */
export function clzWide(x: Expressions, { high, low }: Wide): Value {
  return x.select(x.eqz(high), x.add(x.clz(low), x.i64(64)), x.clz(high));
}

/**
 * `dividend` / `divisor`, unsigned, where dividend.high < divisor and the divisor's top bit is set: quotient and remainder, i64. Two
 * digits of 32 bits by schoolbook division.
 */
export function divideWide(
  x: Expressions,
  dividend: Wide,
  divisor: Value,
): { quotient: Value; remainder: Value } {
  const [divisorLow, divisorHigh] = halves(x, divisor);
  const digit = (rest: Value, next: Value): { digit: Value; rest: Value } => {
    let guess = x.compute(Op.i64DivU, rest, divisorHigh);
    let guessRest = x.sub(rest, x.mul(guess, divisorHigh));
    // The guess is at most two too large.
    for (let i = 0; i < 2; i++) {
      const tooLarge = x.or(
        isNotZero(x, upper(x, guess)),
        x.gtU(x.mul(guess, divisorLow), x.or(x.shl(guessRest, x.i64(32)), next)),
      );
      const lower = x.extendU(x.and(x.eqz(upper(x, guessRest)), tooLarge));
      guess = x.sub(guess, lower);
      guessRest = x.add(guessRest, x.mul(lower, divisorHigh));
    }
    return { digit: guess, rest: x.sub(x.or(x.shl(rest, x.i64(32)), next), x.mul(guess, divisor)) };
  };
  const first = digit(dividend.high, upper(x, dividend.low));
  const second = digit(first.rest, lower(x, dividend.low));
  return { quotient: x.or(x.shl(first.digit, x.i64(32)), second.digit), remainder: second.rest };
}

/** What {@link divideWide}'s remainder is to rounding: the fraction of `divisor`, as bits 63 (half) and 62 (rest). */
export function fractionOf(x: Expressions, remainder: Value, divisor: Value): Value {
  const other = x.sub(divisor, remainder);
  const compared = x.select(
    x.eq(remainder, other),
    x.i64(0, 0x80000000 | 0),
    x.select(x.gtU(remainder, other), x.i64(0, 0xc0000000 | 0), x.i64(0, 0x40000000)),
  );
  return x.select(x.eqz(remainder), x.i64(0), compared);
}

export function wideConstant(x: Expressions, words: readonly [number, number, number, number]): Wide {
  return { high: x.i64(words[1], words[0]), low: x.i64(words[3], words[2]) };
}

/** A variable for a wide number. */
export class WideVariable {
  private readonly high: number;
  private readonly low: number;

  constructor(
    private readonly x: Expressions,
    initial: Wide,
  ) {
    this.high = x.temporary(ValueType.i64);
    this.low = x.temporary(ValueType.i64);
    this.write(initial);
  }

  /** A copy: usable whatever is written later. */
  read(): Wide {
    const { x } = this;
    return { high: x.copy(x.read(this.high)), low: x.copy(x.read(this.low)) };
  }

  write({ high, low }: Wide): void {
    this.x.write(this.high, high);
    this.x.write(this.low, low);
  }
}

function halves(x: Expressions, value: Value): [Value, Value] {
  return [lower(x, value), upper(x, value)];
}

function lower(x: Expressions, value: Value): Value {
  return x.and(value, x.i64(-1, 0));
}

function upper(x: Expressions, value: Value): Value {
  return x.shrU(value, x.i64(32));
}
