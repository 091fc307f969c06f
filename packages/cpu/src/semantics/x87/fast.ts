import { type Expressions, Op, type Value, ValueType, type Variable } from '@nest86/wasm';
import { multiplyWide } from '../../library/float80/wide.ts';
import { toNearest } from './fast-conversions.ts';
import { type Extended, type Leave, type RegisterStack, Status } from './stack.ts';

/*
 * Sums and products of normal numbers as programs mostly have them: rounded to nearest with 64 or 53 bits, PE masked, with a normal result. All else is
 * the 80-bit library's affair, and whatever is done here does exactly the same.
 */

/** A result that is not rounded yet: bits of the fraction below the significand, too. */
interface Unrounded {
  readonly sign: Variable;
  readonly exponent: Variable;
  readonly high: Variable;
  readonly low: Variable;
}

export interface FastResult extends Extended {
  /** i32: PE and C1, or 0. */
  readonly flags: Value;
}

/** An operation with two operands; leaves if it cannot do it. */
export type FastOperation = (stack: RegisterStack, a: Extended, b: Extended, leave: Leave) => FastResult;

/** Biased exponents below those of infinities and above 0 less 1. */
const normals = 0x7ffe;

/** Control word: PC 64 or 53 bits, RC nearest, PE masked. Operands: normal numbers. */
function requireNormal({ x, control }: RegisterStack, a: Extended, b: Extended, leave: Leave): void {
  leave(x.ne(x.and(control, x.i32(0xe20)), x.i32(0x220)));
  leave(x.compute(Op.i64GeS, x.and(a.significand, b.significand), x.i64(0)));
  leave(x.geU(x.sub(exponentOf(x, a), x.i32(1)), x.i32(normals)));
  leave(x.geU(x.sub(exponentOf(x, b), x.i32(1)), x.i32(normals)));
}

/** Denormals in memory are marked by bit 16 and so are out of range. */
function exponentOf(x: Expressions, { signExponent }: Extended): Value {
  return x.and(signExponent, x.i32(~0x8000));
}

function unrounded(x: Expressions): Unrounded {
  return {
    sign: x.temporary(ValueType.i32),
    exponent: x.temporary(ValueType.i32),
    high: x.temporary(ValueType.i64),
    low: x.temporary(ValueType.i64),
  };
}

/** Rounds to nearest. The top bit of `high` is set. */
function round(stack: RegisterStack, { sign, exponent, high, low }: Unrounded, leave: Leave): FastResult {
  const { x } = stack;
  // With 53 bits the number is rounded 11 places lower.
  const places = x.temporary(ValueType.i64);
  x.write(places, x.i64(0));
  x.if(x.eqz(x.and(stack.control, x.i32(0x100))), () => {
    const present = x.copy(x.read(high));
    x.write(places, x.i64(11));
    x.write(low, x.or(x.shl(present, x.i64(53)), x.extendU(x.ne(x.read(low), x.i64(0)))));
    x.write(high, x.shrU(present, x.i64(11)));
  });
  const rest = x.copy(x.read(low));
  const kept = x.copy(x.read(high));
  const { up, flags } = toNearest(x, kept, rest);
  const rounded = x.shl(x.add(kept, x.extendU(up)), x.read(places));
  // All ones became 0.
  const carry = x.eqz(rounded);
  const finalExponent = x.add(x.read(exponent), carry);
  leave(x.geU(x.sub(finalExponent, x.i32(1)), x.i32(normals)));
  return {
    significand: x.or(rounded, x.shl(x.extendU(carry), x.i64(63))),
    signExponent: x.or(finalExponent, x.read(sign)),
    flags,
  };
}

/** a + b. */
export function fastSum(stack: RegisterStack, a: Extended, b: Extended, leave: Leave): FastResult {
  const { x } = stack;
  requireNormal(stack, a, b, leave);
  const result = unrounded(x);
  const distance = x.sub(exponentOf(x, a), exponentOf(x, b));
  const isLess = x.compute(Op.i32LtS, distance, x.i32(0));
  const larger = x.select(isLess, b.significand, a.significand);
  const smaller = x.select(isLess, a.significand, b.significand);
  const leader = x.select(isLess, b.signExponent, a.signExponent);
  const shift32 = x.select(isLess, x.sub(x.i32(0), distance), distance);
  leave(x.compute(Op.i32GtU, shift32, x.i32(63)));
  const shift = x.extendU(shift32);
  const whole = x.shrU(smaller, shift);
  // In two steps: a shift by 64 - 0 would be one by 0.
  const rest = x.shl(x.shl(smaller, x.i64(1)), x.xor(shift, x.i64(63)));
  const sign = x.and(leader, x.i32(0x8000));
  const exponent = x.and(leader, x.i32(0x7fff));
  x.write(result.sign, sign);
  const isSameSign = x.eqz(x.and(x.xor(a.signExponent, b.signExponent), x.i32(0x8000)));
  x.if(
    isSameSign,
    () => {
      const high = x.add(larger, whole);
      const carry = x.ltU(high, larger);
      const wideCarry = x.extendU(carry);
      x.write(result.exponent, x.add(exponent, carry));
      x.write(result.high, x.or(x.shrU(high, wideCarry), x.shl(wideCarry, x.i64(63))));
      // The bit that falls out of the lower half is a sticky one, kept in its last place.
      const shifted = x.or(x.or(x.shl(high, x.i64(63)), x.shrU(rest, x.i64(1))), x.and(rest, x.i64(1)));
      x.write(result.low, x.select(carry, shifted, rest));
    },
    () => {
      const difference = x.sub(x.sub(larger, whole), x.extendU(x.ne(rest, x.i64(0))));
      // Only with equal exponents, where there is no rest.
      const isNegative = x.ltU(larger, whole);
      const magnitude = x.select(isNegative, x.sub(x.i64(0), difference), difference);
      leave(x.eqz(magnitude));
      const low = x.sub(x.i64(0), rest);
      const zeros = x.clz(magnitude);
      const filled = x.shrU(x.shrU(low, x.i64(1)), x.xor(zeros, x.i64(63)));
      x.write(result.sign, x.xor(sign, x.shl(isNegative, x.i32(15))));
      x.write(result.exponent, x.sub(exponent, x.wrap(zeros)));
      x.write(result.high, x.or(x.shl(magnitude, zeros), filled));
      x.write(result.low, x.shl(low, zeros));
    },
  );
  return round(stack, result, leave);
}

/** a × b. */
export function fastProduct(stack: RegisterStack, a: Extended, b: Extended, leave: Leave): FastResult {
  const { x } = stack;
  requireNormal(stack, a, b, leave);
  const result = unrounded(x);
  const { high, low } = multiplyWide(x, a.significand, b.significand);
  // From 1 to 4: one place to the left if it is below 2.
  const zeros = x.clz(high);
  const exponent = x.sub(x.add(exponentOf(x, a), exponentOf(x, b)), x.i32(0x3ffe));
  x.write(result.sign, x.and(x.xor(a.signExponent, b.signExponent), x.i32(0x8000)));
  x.write(result.exponent, x.sub(exponent, x.wrap(zeros)));
  x.write(result.high, x.or(x.shl(high, zeros), x.and(x.shrU(low, x.i64(63)), zeros)));
  x.write(result.low, x.shl(low, zeros));
  return round(stack, result, leave);
}

/** a - b. */
export function fastDifference(stack: RegisterStack, a: Extended, b: Extended, leave: Leave): FastResult {
  const { x } = stack;
  return fastSum(stack, a, { ...b, signExponent: x.xor(b.signExponent, x.i32(0x8000)) }, leave);
}

/** C3 if a = b, C0 if a < b, i32; both are normal numbers or zeros. */
export function fastOrder(x: Expressions, a: Extended, b: Extended, leave: Leave): Value {
  const isOrdinary = (value: Extended): Value => {
    const isNormal = x.ltU(x.sub(exponentOf(x, value), x.i32(1)), x.i32(normals));
    const isValid = x.and(isNormal, x.compute(Op.i64LtS, value.significand, x.i64(0)));
    return x.or(isValid, x.eqz(x.or(value.significand, x.extendU(exponentOf(x, value)))));
  };
  leave(x.eqz(x.and(isOrdinary(a), isOrdinary(b))));
  const [exponentA, exponentB] = [exponentOf(x, a), exponentOf(x, b)];
  const isSameExponent = x.eq(exponentA, exponentB);
  const isBelow = x.select(isSameExponent, x.ltU(a.significand, b.significand), x.ltU(exponentA, exponentB));
  const isSame = x.and(isSameExponent, x.eq(a.significand, b.significand));
  const [signA, signB] = [x.and(a.signExponent, x.i32(0x8000)), x.and(b.signExponent, x.i32(0x8000))];
  const isSameSign = x.eq(signA, signB);
  // Of negative numbers the one with the larger magnitude is less.
  const isLess = x.select(isSameSign, x.xor(isBelow, x.shrU(signA, x.i32(15))), x.shrU(signA, x.i32(15)));
  const areZero = x.eqz(x.or(a.significand, b.significand));
  const isEqual = x.or(areZero, x.and(isSame, isSameSign));
  return x.select(isEqual, x.i32(Status.c3), x.select(isLess, x.i32(Status.c0), x.i32(0)));
}
