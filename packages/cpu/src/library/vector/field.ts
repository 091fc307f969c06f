import { type Expressions, Op, type Value } from '@nest86/wasm';
import { bytesVector, wordsVector, zero } from './constants.ts';

/*
 * GF(2^8) of AES and GFNI: polynomials over GF(2) modulo x^8 + x^4 + x^3 + x + 1.
 *
 * Inverses of 16 bytes at once by look-ups of nibbles, after M. Hamburg, "Accelerating AES with vector permute instructions" (CHES 2009). A byte is
 * i + j·u with i and j of the subfield GF(2^4) and u of order 17, so that u times its conjugate is 1 and with a = u + u^16 the norm of a byte is
 * N = i² + j² + a·i·j and its inverse (i + j·u^16) / N. With k = i + j,
 *   P = 1/(1/(1/i + a/k) + j) = (k + a·i) / N        Q = 1/(1/(1/j + a/k) + i) = (k + a·j) / N,
 * and i/N and j/N are linear in P and Q. All steps but additions are look-ups of nibbles; "infinity", 1/0, is 80H, which swizzles answer with 0 = 1/infinity,
 * whatever nibble was added to it.
 */

/** Product of two elements. */
function multiply(a: number, b: number): number {
  let product = 0;
  for (let i = 0; i < 8; i++) {
    if (((b >> i) & 1) !== 0) product ^= a;
    a = (a << 1) ^ ((a & 0x80) !== 0 ? 0x11b : 0);
  }
  return product;
}

function power(a: number, exponent: number): number {
  let result = 1;
  for (let i = 0; i < exponent; i++) result = multiply(result, a);
  return result;
}

/** 0 for 0. */
function inverse(a: number): number {
  return power(a, 254);
}

const infinity = 0x80;
const nibbles = Array.from({ length: 16 }, (_, i) => i);

/** What look-ups answer, see above. */
interface FieldTables {
  /** Of a byte's half: low nibble k, high nibble i. */
  readonly coordinates: ReadonlyMap<number, number>;
  /** Of 1/n and a/n. */
  readonly inverses: readonly number[];
  readonly aOver: readonly number[];
  /** What P = 1/n and Q = 1/n give to the inverse: with P and Q as above, i/N = (b·P + Q)/a² and j/N = (P + b·Q)/a², b = 1 + a. */
  readonly shareOfP: (n: number) => number;
  readonly shareOfQ: (n: number) => number;
}

function makeTables(): FieldTables {
  // 3 generates the multiplicative group of order 255: 3^15 has order 17, 3^17 order 15.
  const u = power(3, 15);
  const conjugateU = power(u, 16);
  const a = u ^ conjugateU;
  /** Basis of the subfield, and the element that a nibble stands for. */
  const basis = [0, 1, 2, 3].map((i) => power(3, 17 * i));
  const elementOf = (nibble: number): number =>
    basis.reduce((sum, base, i) => sum ^ (((nibble >> i) & 1) !== 0 ? base : 0), 0);
  const nibbleOf = new Map(nibbles.map((nibble) => [elementOf(nibble), nibble]));
  const coordinates = new Map<number, number>();
  for (const i of nibbles) {
    for (const j of nibbles) coordinates.set(elementOf(i) ^ multiply(elementOf(j), u), (i << 4) | (i ^ j));
  }
  const inverseOfSquare = inverse(multiply(a, a));
  const share =
    (ofI: number, ofJ: number) =>
    (n: number): number =>
      multiply(multiply(inverse(elementOf(n)), inverseOfSquare), ofI ^ multiply(ofJ, conjugateU));
  return {
    coordinates,
    inverses: nibbles.map((n) => (n === 0 ? infinity : nibbleOf.get(inverse(elementOf(n)))!)),
    aOver: nibbles.map((n) => (n === 0 ? infinity : nibbleOf.get(multiply(a, inverse(elementOf(n))))!)),
    shareOfP: share(1 ^ a, 1),
    shareOfQ: share(1, 1 ^ a),
  };
}

/** Made when the first such instruction is staged: most guests have none. */
let tables: FieldTables | undefined;

/**
 * `output(inverse(input(byte)))` of 16 bytes.
 * @param input affine over GF(2)
 * @param output linear over GF(2)
 */
export function invertBytes(
  x: Expressions,
  bytes: Value,
  input: (byte: number) => number,
  output: (byte: number) => number,
): Value {
  tables ??= makeTables();
  const { coordinates, inverses, aOver, shareOfP, shareOfQ } = tables;
  const add = (p: Value, q: Value): Value => x.compute(Op.v128Xor, p, q);
  const look = (entries: readonly number[], at: Value): Value =>
    x.compute(Op.i8x16Swizzle, bytesVector(x, entries), at);
  const lowNibbles = wordsVector(x, 0x0f0f0f0f);
  const low = (value: Value): Value => x.compute(Op.v128And, value, lowNibbles);
  const high = (value: Value): Value => low(x.compute(Op.i16x8ShrU, value, x.i32(4)));
  const constant = input(0);
  const coordinatesOf = (byte: number): number => coordinates.get(byte)!;
  const both = add(
    look(
      nibbles.map((n) => coordinatesOf(input(n))),
      low(bytes),
    ),
    look(
      nibbles.map((n) => coordinatesOf(input(n << 4) ^ constant)),
      high(bytes),
    ),
  );
  const [k, i] = [low(both), high(both)];
  const j = add(i, k);
  const quotient = look(aOver, k);
  const p = add(look(inverses, add(look(inverses, i), quotient)), j);
  const q = add(look(inverses, add(look(inverses, j), quotient)), i);
  // P and Q are never infinite themselves, so n is not 0.
  return add(
    look(
      nibbles.map((n) => (n === 0 ? 0 : output(shareOfP(n)))),
      p,
    ),
    look(
      nibbles.map((n) => (n === 0 ? 0 : output(shareOfQ(n)))),
      q,
    ),
  );
}

/** Each byte times x. */
export function timesX(x: Expressions, bytes: Value): Value {
  const isHigh = x.compute(Op.i8x16LtS, bytes, zero(x));
  const reduction = x.compute(Op.v128And, isHigh, wordsVector(x, 0x1b1b1b1b));
  return x.compute(Op.v128Xor, x.compute(Op.i8x16Add, bytes, bytes), reduction);
}
