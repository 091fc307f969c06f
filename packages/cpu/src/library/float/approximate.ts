import { type Expressions, Op, type Value, ValueType } from '@nest86/wasm';
import type { LibraryFunction } from '../function.ts';

/*
 * RCPPS and RSQRTPS. The manual only bounds the relative error, 1.5 · 2^-12; these give what an AMD Zen 5 gives, measured over all fractions. The
 * processor's tables turned out to be bipartite: of the upper twelve bits of the fraction, t (4 bits), m (4) and l (4), the answer's fraction in units
 * of 2^-12 is
 *   base[t] - slope[t] · m - coarse[t][m] - fine[t][l]
 * where base, slope and coarse are one table of 256 rows, written in a shorter way here.
 */
interface Approximation {
  readonly base: readonly number[];
  readonly slope: readonly number[];
  /** 16 rows of 16 bytes, hexadecimal. */
  readonly coarse: string;
  readonly fine: string;
}

/** 1 / m for m from 1 to 2. */
const reciprocal: Approximation = {
  base: [4094, 3612, 3184, 2801, 2456, 2145, 1861, 1602, 1365, 1146, 945, 758, 584, 423, 272, 132],
  slope: [30, 26, 23, 21, 19, 17, 16, 14, 13, 12, 11, 10, 10, 9, 8, 8],
  coarse:
    '00020305050607070707070605040302' +
    '000204050708090a0b0c0c0c0c0c0c0b' +
    '0002040607090a0b0c0d0d0e0e0e0e0e' +
    '00010304050607080809090909090908' +
    '00010203040506060707080808080807' +
    '000103040506070809090a0a0b0b0b0b' +
    '00010102030303040404040404030303' +
    '0001030405060708090a0a0b0b0c0c0d' +
    '000103040405060707080909090a0a0a' +
    '00010203030405060607070808080909' +
    '000102030405060607080809090a0a0a' +
    '000102030405060708090a0a0b0b0c0d' +
    '00000001010101010202020201010101' +
    '00000102020303040405050505060606' +
    '0001020304050506070809090a0b0b0c' +
    '00010102020203030303040404040404',
  fine:
    '0002030507090b0d0f11121416181a1c' +
    '0001030506080a0b0d0f101214151719' +
    '000103040507080a0b0d0e1011131416' +
    '00010204050608090a0c0d0e10111214' +
    '0001020304060708090b0c0d0e0f1112' +
    '0001020405060708090a0b0c0e0f1011' +
    '000102030405060708090a0b0c0d0e0f' +
    '00010203040505060708090a0b0c0d0e' +
    '0001020203040506070808090a0b0c0d' +
    '000101020304050506070809090a0b0c' +
    '000102020304040506070708090a0a0b' +
    '0001010203030405050607070809090a' +
    '00000102020303040505060707080809' +
    '00000102020303040505060607080809' +
    '00000101020203030405050606070708' +
    '00000101020203040405050606070708',
};

/** 1 / √m for m from 1 to 2: numbers with an odd biased exponent. */
const rootOdd: Approximation = {
  base: [4095, 3851, 3627, 3421, 3230, 3054, 2890, 2736, 2593, 2457, 2330, 2210, 2096, 1989, 1886, 1789],
  slope: [15, 14, 12, 11, 11, 10, 9, 9, 8, 7, 7, 7, 6, 6, 6, 5],
  coarse:
    '00010202030404040505050505050504' +
    '00010102020202020202020202010100' +
    '0001030405060708090a0a0b0c0c0d0d' +
    '0001030405060708090a0a0b0c0c0d0d' +
    '00000001010101010101010101010000' +
    '00000101020203030303040404040404' +
    '00010203040405060607070808090909' +
    '00000001010101010101010101000000' +
    '00010202030304040505060606070707' +
    '000102030405060708090a0b0c0c0d0e' +
    '00010102030304040505060607070708' +
    '00000000010101010101010101010101' +
    '000102020304050606070808090a0a0b' +
    '00010102020303040404050505060606' +
    '00000000000000010101010101010101' +
    '0001020304040506070808090a0b0b0c',
  fine:
    '00010203040506070708090a0b0c0d0e' +
    '00010203030405060708090a0a0b0c0d' +
    '0001020203040506060708090a0b0b0c' +
    '000102020304040506070708090a0a0b' +
    '0000010202030405050607070809090a' +
    '0001010203030405050606070808090a' +
    '00000102020303040405060607080809' +
    '00000101020203040405050606070808' +
    '00010102020303040405050606070708' +
    '00000101020203030404050506060707' +
    '00000101020203030304040505060607' +
    '00010102020203030404050506060607' +
    '00000101010202030303040405050606' +
    '00000101020202030304040405050506' +
    '00000101010202030303040405050506' +
    '00000001010102020303030404040505',
};

/** 1 / √m for m from 2 to 4. */
const rootEven: Approximation = {
  base: [1696, 1523, 1365, 1219, 1085, 960, 844, 735, 633, 538, 448, 363, 282, 206, 134, 65],
  slope: [10, 9, 9, 8, 7, 7, 6, 6, 5, 5, 5, 5, 4, 4, 4, 4],
  coarse:
    '00010204050506070809090a0b0b0c0c' +
    '000102040506070809090a0b0c0c0d0d' +
    '00010101020202020202020202020202' +
    '00000102020303040404050505060606' +
    '00010203040506070809090a0b0b0c0c' +
    '00000101020202030303030404040404' +
    '00010203040506070708090a0a0b0c0c' +
    '00000101020203030304040405050505' +
    '000102030405060708090a0b0c0d0e0e' +
    '0001020203040505060607080809090a' +
    '00000101020202030303040404040405' +
    '00000000000000000000000000000000' +
    '000001020304050506070808090a0a0b' +
    '00000101020303040405050606070707' +
    '00000101010202020303030304040404' +
    '00000000000000010101010101010101',
  fine:
    '0001010203030405050607070809090a' +
    '00000102020303040505060707080909' +
    '00000102020303040405060607070808' +
    '00000102020303040405050606070708' +
    '00000101020203030404050506060707' +
    '00010101020203030404050506060607' +
    '00000101020202030304040505050606' +
    '00000101020202030304040405050606' +
    '00000001010202020303030404050505' +
    '00000101010202020303030404040505' +
    '00000101010202020303030404040505' +
    '00010101020202030303040404040505' +
    '00000001010102020202030303040404' +
    '00000001010102020202030303040404' +
    '00000101010102020202030303030404' +
    '00000101010102020202030303030404',
};

/** 16 bytes of a table as a vector. */
function row(x: Expressions, bytes: readonly number[]): Value {
  const data = Uint8Array.from(bytes);
  return x.v128(Array.from(new Int32Array(data.buffer)));
}

function rowOf(x: Expressions, table: string, number: number): Value {
  const digits = table.slice(32 * number, 32 * number + 32).match(/../g)!;
  return row(
    x,
    digits.map((two) => Number.parseInt(two, 16)),
  );
}

function splat(x: Expressions, value: number): Value {
  return x.v128([value, value, value, value]);
}

const and = (x: Expressions, a: Value, b: Value): Value => x.compute(Op.v128And, a, b);
const or = (x: Expressions, a: Value, b: Value): Value => x.compute(Op.v128Or, a, b);

/** In each lane the byte `index` (0 to 255, in the lane's lowest byte) of a table. */
function lookUp(x: Expressions, table: string, index: Value): Value {
  const sixteen = splat(x, 0x10101010);
  let place = index;
  let found = x.compute(Op.i8x16Swizzle, rowOf(x, table, 0), place);
  for (let number = 1; number < 16; number++) {
    // Beyond its 16 bytes a row answers 0.
    place = x.compute(Op.i8x16Sub, place, sixteen);
    found = or(x, found, x.compute(Op.i8x16Swizzle, rowOf(x, table, number), place));
  }
  return and(x, found, splat(x, 0xff));
}

/** In each lane an entry of 16, by the lane's lowest byte. */
function choose(x: Expressions, entries: readonly number[], index: Value): Value {
  const low = x.compute(
    Op.i8x16Swizzle,
    row(
      x,
      entries.map((entry) => entry & 0xff),
    ),
    index,
  );
  const high = x.compute(
    Op.i8x16Swizzle,
    row(
      x,
      entries.map((entry) => entry >> 8),
    ),
    index,
  );
  const mask = splat(x, 0xff);
  return or(x, and(x, low, mask), x.compute(Op.i32x4Shl, and(x, high, mask), x.i32(8)));
}

/** The answer's fraction in its place, for four f32 numbers. */
function approximate(x: Expressions, { base, slope, coarse, fine }: Approximation, vector: Value): Value {
  const bits = (position: number, mask: number): Value =>
    and(x, x.compute(Op.i32x4ShrU, vector, x.i32(position)), splat(x, mask));
  const [t, m, l] = [bits(19, 15), bits(15, 15), bits(11, 15)];
  const linear = x.compute(Op.i32x4Sub, choose(x, base, t), x.compute(Op.i32x4Mul, choose(x, slope, t), m));
  const row16 = x.compute(Op.i32x4Shl, t, x.i32(4));
  const rest = x.compute(Op.i32x4Add, lookUp(x, coarse, or(x, row16, m)), lookUp(x, fine, or(x, row16, l)));
  return x.compute(Op.i32x4Shl, x.compute(Op.i32x4Sub, linear, rest), x.i32(11));
}

function select(x: Expressions, condition: Value, yes: Value, no: Value): Value {
  return x.compute(Op.v128Bitselect, yes, no, condition);
}

/** What both have in common: zeros and denormals give infinities, NaNs become quiet. @param ofInfinity what infinities give */
function special(x: Expressions, vector: Value, ordinary: Value, ofInfinity: Value): Value {
  const sign = and(x, vector, splat(x, 0x80000000 | 0));
  const size = and(x, vector, splat(x, 0x7fffffff));
  const infinity = splat(x, 0x7f800000);
  const isZero = x.compute(Op.i32x4LtS, size, splat(x, 0x00800000));
  const isNan = x.compute(Op.i32x4GtS, size, infinity);
  const finite = select(x, x.compute(Op.i32x4Eq, size, infinity), ofInfinity, ordinary);
  const number = select(x, isZero, or(x, sign, infinity), finite);
  return select(x, isNan, or(x, vector, splat(x, 0x00400000)), number);
}

/** Biased exponents of four f32 numbers. */
function exponents(x: Expressions, vector: Value): Value {
  return and(x, x.compute(Op.i32x4ShrU, vector, x.i32(23)), splat(x, 0xff));
}

/** RCPPS: (four f32 numbers) → v128. No exceptions, and MXCSR has no influence. A result below the normal numbers is 0. */
export const floatReciprocal: LibraryFunction = {
  name: 'f32x4.reciprocal',
  parameters: [ValueType.v128],
  result: ValueType.v128,
  build: (x, [vector]) => {
    const sign = and(x, vector, splat(x, 0x80000000 | 0));
    const exponent = x.compute(Op.i32x4Sub, splat(x, 253), exponents(x, vector));
    const number = or(x, x.compute(Op.i32x4Shl, exponent, x.i32(23)), approximate(x, reciprocal, vector));
    const isNormal = x.compute(Op.i32x4GtS, exponent, splat(x, 0));
    return special(x, vector, or(x, sign, and(x, number, isNormal)), sign);
  },
};

/** RSQRTPS: as {@link floatReciprocal}. Negative numbers answer the indefinite NaN. */
export const floatReciprocalRoot: LibraryFunction = {
  name: 'f32x4.reciprocalRoot',
  parameters: [ValueType.v128],
  result: ValueType.v128,
  build: (x, [vector]) => {
    const exponent = exponents(x, vector);
    const isOdd = x.compute(Op.i32x4Eq, and(x, exponent, splat(x, 1)), splat(x, 1));
    const halved = x.compute(Op.i32x4ShrU, x.compute(Op.i32x4Sub, splat(x, 380), exponent), x.i32(1));
    const fraction = select(x, isOdd, approximate(x, rootOdd, vector), approximate(x, rootEven, vector));
    const number = or(x, x.compute(Op.i32x4Shl, halved, x.i32(23)), fraction);
    const isNegative = x.compute(Op.i32x4LtS, vector, splat(x, 0));
    const indefinite = splat(x, 0xffc00000 | 0);
    const ofInfinity = and(x, isNegative, indefinite);
    return special(x, vector, select(x, isNegative, indefinite, number), ofInfinity);
  },
};
