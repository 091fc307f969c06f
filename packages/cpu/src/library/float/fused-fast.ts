import { type Expressions, Op, type Value, ValueType } from '@nest86/wasm';
import type { LibraryFunction } from '../function.ts';
import { Mxcsr } from './exceptions.ts';
import { answer, type FloatFormat, f32, type PerFormat, perFormat } from './format.ts';
import { floatFma } from './fused.ts';
import { isSilent, native } from './native.ts';

/*
 * Fused multiply-add by the host's addition and multiplication, in two lanes of f64 at a time; WebAssembly has no such instruction.
 *
 * f32: the product is exact in f64, and the sum is rounded twice, to 53 and to 24 bits. The second rounding errs only if the first came to lie
 * halfway between two f32 numbers.
 *
 * f64: S. Boldo, G. Melquiond, "Emulation of FMA and correctly rounded sums: proved algorithms using rounding to odd" (IEEE Transactions on Computers 57,
 * 2008). The product as a sum of two (Dekker), then exact sums (Knuth), the last but one rounded to odd. Operands must keep away from where a
 * part of a product overflows or is denormal.
 */

/** A vector with this f64 in both lanes, of which the lower 32 bits are 0. */
const both = (x: Expressions, high: number): Value => x.v128([0, high, 0, high]);

const add = (x: Expressions, a: Value, b: Value): Value => x.compute(Op.f64x2Add, a, b);
const subtract = (x: Expressions, a: Value, b: Value): Value => x.compute(Op.f64x2Sub, a, b);
const multiply = (x: Expressions, a: Value, b: Value): Value => x.compute(Op.f64x2Mul, a, b);
const and = (x: Expressions, a: Value, b: Value): Value => x.compute(Op.v128And, a, b);
const or = (x: Expressions, a: Value, b: Value): Value => x.compute(Op.v128Or, a, b);
const isZeroLane = (x: Expressions, a: Value): Value => x.compute(Op.f64x2Eq, a, both(x, 0));

/** A sum rounded to nearest, and what is missing. */
interface Pair {
  readonly high: Value;
  readonly low: Value;
}

function twoSum(x: Expressions, a: Value, b: Value): Pair {
  const high = add(x, a, b);
  return { high, low: missing(x, a, b, high) };
}

/** What a + b is more than `sum`, their rounded sum. */
function missing(x: Expressions, a: Value, b: Value, sum: Value): Value {
  const virtualB = subtract(x, sum, a);
  const virtualA = subtract(x, sum, virtualB);
  return add(x, subtract(x, a, virtualA), subtract(x, b, virtualB));
}

/** Upper 26 bits and the rest (Veltkamp). */
function split(x: Expressions, a: Value): Pair {
  // (2^27 + 1) · a in one rounding.
  const factor = add(x, multiply(x, a, both(x, 0x41a00000)), a);
  const high = subtract(x, factor, subtract(x, factor, a));
  return { high, low: subtract(x, a, high) };
}

function twoProduct(x: Expressions, a: Value, b: Value): Pair {
  const high = multiply(x, a, b);
  const [partsA, partsB] = [split(x, a), split(x, b)];
  const top = subtract(x, multiply(x, partsA.high, partsB.high), high);
  const middle = add(
    x,
    add(x, top, multiply(x, partsA.high, partsB.low)),
    multiply(x, partsA.low, partsB.high),
  );
  return { high, low: add(x, middle, multiply(x, partsA.low, partsB.low)) };
}

/** Lanes of f64 that came out, and per lane all ones where the result is right, and where it also is exact. */
interface Lanes {
  readonly result: Value;
  readonly sure: Value;
  readonly exact: () => Value;
}

/** Lanes whose size is between two powers of two, given by the upper halves of their bits. */
function isBetween(x: Expressions, a: Value, least: number, most: number): Value {
  const size = x.compute(Op.f64x2Abs, a);
  return and(x, x.compute(Op.f64x2Ge, size, both(x, least)), x.compute(Op.f64x2Le, size, both(x, most)));
}

function fuseDoubles(x: Expressions, [a, b, c]: readonly Value[]): Lanes {
  const product = twoProduct(x, a, b);
  const t = twoSum(x, c, product.low);
  const v = twoSum(x, product.high, t.high);
  const z = twoSum(x, t.low, v.low);
  // To odd: if inexact and even, one place toward what is missing.
  const one = x.v128([1, 0, 1, 0]);
  const isInexact = x.compute(Op.f64x2Ne, z.low, both(x, 0));
  const isEven = x.compute(Op.i64x2Eq, and(x, z.high, one), both(x, 0));
  const opposite = x.compute(Op.i64x2ShrS, x.compute(Op.v128Xor, z.high, z.low), x.i32(63));
  const step = and(x, or(x, opposite, one), and(x, isInexact, isEven));
  const odd = x.compute(Op.i64x2Add, z.high, step);
  const result = add(x, v.high, odd);
  // Factors of at most 2^480 and no denormals, with a product of at least 2^-900, or 0 if something is added to it; an addend of at most 2^1000 and
  // no denormal; a result that is normal or 0.
  const zeros = [a, b, c].map((one) => isZeroLane(x, one));
  const fine = [a, b].map((one, i) => or(x, isBetween(x, one, 0x00100000, 0x5df00000), zeros[i]));
  const size = x.compute(Op.f64x2Ge, x.compute(Op.f64x2Abs, product.high), both(x, 0x07b00000));
  const nothing = x.compute(Op.v128AndNot, or(x, zeros[0], zeros[1]), zeros[2]);
  const factors = and(x, and(x, fine[0], fine[1]), or(x, size, nothing));
  const addend = or(x, isBetween(x, c, 0x00100000, 0x7e700000), zeros[2]);
  const outcome = or(x, isBetween(x, result, 0x00200000, 0x7fe00000), isZeroLane(x, result));
  return {
    result,
    sure: and(x, and(x, factors, addend), outcome),
    exact: () => x.compute(Op.v128AndNot, isZeroLane(x, missing(x, v.high, odd, result)), isInexact),
  };
}

/** Lanes of f32 numbers in f64; so is the result. */
function fuseSingles(x: Expressions, [a, b, c]: readonly Value[]): Lanes {
  const product = multiply(x, a, b);
  const result = add(x, product, c);
  const low29 = and(x, result, x.v128([0x1fffffff, 0, 0x1fffffff, 0]));
  const isHalfway = x.compute(Op.i64x2Eq, low29, x.v128([0x10000000, 0, 0x10000000, 0]));
  // No denormals: 0, or 2^-126 and more.
  const operands = [a, b, c]
    .map((one) => or(x, isBetween(x, one, 0x38100000, 0x7fe00000), isZeroLane(x, one)))
    .reduce((one, other) => and(x, one, other));
  // From 2^-125, so that none is a rounded tiny number, to 2^127.
  const outcome = or(x, isBetween(x, result, 0x38200000, 0x47e00000), isZeroLane(x, result));
  return {
    result,
    sure: x.compute(Op.v128AndNot, and(x, operands, outcome), isHalfway),
    // Exact in f32 too: nothing below its last place.
    exact: () =>
      and(x, isZeroLane(x, missing(x, product, c, result)), x.compute(Op.i64x2Eq, low29, both(x, 0))),
  };
}

/** Leaves if all lanes may be taken. */
function leaveIfSure(
  x: Expressions,
  lanes: readonly Lanes[],
  mxcsr: Value,
  leave: (condition: Value) => void,
): void {
  const every = (choose: (lanes: Lanes) => Value): Value =>
    x.compute(
      Op.i64x2AllTrue,
      lanes.map(choose).reduce((a, b) => and(x, a, b)),
    );
  x.if(
    every((one) => one.sure),
    () => {
      leave(isSilent(x, mxcsr));
      // What is exact is so in every rounding, but the sign of a zero.
      const control = x.and(mxcsr, x.i32(3 << Mxcsr.roundingControl));
      const isNotDown = x.ne(control, x.i32(1 << Mxcsr.roundingControl));
      leave(
        x.and(
          isNotDown,
          every((one) => one.exact()),
        ),
      );
    },
    undefined,
    true,
  );
}

/** The operands, in lanes of f64, with the signs that the instruction means. */
function withSigns(x: Expressions, [a, b, c]: readonly Value[], signs: Value): Value[] {
  const bit = (number: number): Value => x.shl(x.extendU(x.shrU(signs, x.i32(number))), x.i64(63));
  const product = x.compute(Op.i64x2Splat, bit(0));
  const even = bit(1);
  const addend = x.replaceLane(Op.i64x2ReplaceLane, x.compute(Op.i64x2Splat, even), x.xor(even, bit(2)), 1);
  return [x.compute(Op.v128Xor, a, product), b, x.compute(Op.v128Xor, c, addend)];
}

/** The signs that a lane has by itself. */
function signsOfLane(x: Expressions, signs: Value, lane: number): Value {
  const own = x.and(signs, x.i32(3));
  return (lane & 1) === 0 ? own : x.xor(own, x.and(x.shrU(signs, x.i32(1)), x.i32(2)));
}

function promote(x: Expressions, vector: Value): Value {
  return x.compute(Op.f64x2PromoteLowF32x4, vector);
}

function demote(x: Expressions, vector: Value): Value {
  return x.compute(Op.f32x4DemoteF64x2Zero, vector);
}

const upperHalf = [8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15];
const lowerHalves = [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23];

function fused(format: FloatFormat, isPacked: boolean): LibraryFunction {
  const name = format.name === 'f32' ? 'f32' : 'f64';
  const { packed, lanes } = native[name];
  const type = isPacked ? ValueType.v128 : format.type;
  const splat = format.bits === 32 ? Op.i32x4Splat : Op.i64x2Splat;
  return {
    name: `${name}.fast.${isPacked ? 'packed.' : ''}fma`,
    parameters: [ValueType.i32, type, type, type, ValueType.i32, ValueType.i32],
    result: type,
    build: (x, [state, a, b, c, signs, mxcsr], call) => {
      const result = x.temporary(type);
      const given = [a, b, c].map((one) => (isPacked ? one : x.compute(splat, one)));
      const take = (vector: Value): void =>
        x.write(result, isPacked ? vector : x.extractLane(packed.extract, vector, 0));
      x.block((done) => {
        if (name === 'f64') {
          const all = fuseDoubles(x, withSigns(x, given, signs));
          take(all.result);
          leaveIfSure(x, [all], mxcsr, done);
        } else {
          const halves = isPacked ? [given, given.map((one) => x.shuffle(one, one, upperHalf))] : [given];
          const all = halves.map((half) =>
            fuseSingles(
              x,
              withSigns(
                x,
                half.map((one) => promote(x, one)),
                signs,
              ),
            ),
          );
          const narrow = all.map((half) => demote(x, half.result));
          take(isPacked ? x.shuffle(narrow[0], narrow[1], lowerHalves) : narrow[0]);
          leaveIfSure(x, all, mxcsr, done);
        }
        if (!isPacked) x.write(result, answer(call, floatFma[name], [state, a, b, c, signs, mxcsr]));
        for (let lane = 0; isPacked && lane < lanes; lane++) {
          const operands = [a, b, c].map((one) => x.extractLane(packed.extract, one, lane));
          const own = signsOfLane(x, signs, lane);
          const bits = answer(call, floatFma[name], [state, ...operands, own, mxcsr]);
          x.write(result, x.replaceLane(packed.replace, x.read(result), bits, lane));
        }
      });
      return x.read(result);
    },
  };
}

/** As {@link floatFma}: the same parameters, results and flags, but quicker for ordinary numbers. A single f64 is not worth the effort. */
export const fastFma: PerFormat = { f32: fused(f32, false), f64: floatFma.f64 };
/** The same with v128 for operands and result. */
export const fastFmaPacked: PerFormat = perFormat((format) => fused(format, true));
