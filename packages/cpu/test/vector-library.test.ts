import type { Scalar } from '@nest86/wasm';
import { describe, expect, test } from 'vitest';
import { evaluateLibrary } from '../src/library/evaluate-library.ts';
import type { LibraryFunction } from '../src/library/function.ts';
import {
  aesDecrypt,
  aesDecryptLast,
  aesEncrypt,
  aesEncryptLast,
  aesInverseMixColumns,
  aesKeyAssist,
} from '../src/library/vector/aes.ts';
import { carrylessProduct } from '../src/library/vector/carryless.ts';
import { fieldAffineOfInverse, fieldProducts } from '../src/library/vector/galois.ts';
import {
  sha1Message2,
  sha1Rounds,
  sha256Message1,
  sha256Message2,
  sha256Rounds,
} from '../src/library/vector/sha.ts';
import { stringComparison } from '../src/library/vector/string-compare.ts';
import { randomNumbers } from './harness/random.ts';

const memory = new ArrayBuffer(0);

function call(fn: LibraryFunction, ...args: Scalar[]): Scalar {
  return evaluateLibrary(fn, memory, args)!;
}

function vector(fn: LibraryFunction, ...args: Scalar[]): Uint8Array {
  return call(fn, ...args) as Uint8Array;
}

function hex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text.replaceAll(' ', ''), 'hex'));
}

/** 32-bit elements, the highest first, as the manuals write them. */
function words(...values: number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(values.reverse()).buffer);
}

function wordsOf(bytes: Uint8Array): number[] {
  return [...new Uint32Array(bytes.slice().buffer)].reverse();
}

const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);

describe('AES does the example of FIPS 197, appendix B', () => {
  /** The schedule of appendix A.1, by AESKEYGENASSIST as the instruction is meant to be used. */
  function keys(): Uint8Array[] {
    const all = [hex('2b7e1516 28aed2a6 abf71588 09cf4f3c')];
    for (let round = 1, constant = 1; round <= 10; round++) {
      const last = all[round - 1];
      const assist = vector(aesKeyAssist, last, constant).subarray(12);
      const next = new Uint8Array(16);
      for (let i = 0; i < 16; i++) next[i] = last[i] ^ (i < 4 ? assist[i] : next[i - 4]);
      all.push(next);
      constant = (constant << 1) ^ (constant >= 0x80 ? 0x11b : 0);
    }
    return all;
  }
  const plain = hex('3243f6a8 885a308d 313198a2 e0370734');
  const cipher = hex('3925841d 02dc09fb dc118597 196a0b32');
  const add = (a: Uint8Array, b: Uint8Array): Uint8Array => a.map((byte, i) => byte ^ b[i]);

  test('key schedule', () => {
    expect(keys()[10]).toEqual(hex('d014f9a8 c9ee2589 e13f0cc8 b6630ca6'));
  });

  test('encryption', () => {
    const [first, ...rest] = keys();
    let state = add(plain, first);
    for (const key of rest.slice(0, 9)) state = vector(aesEncrypt, state, key);
    expect(vector(aesEncryptLast, state, rest[9])).toEqual(cipher);
  });

  test('decryption, with the keys of the equivalent inverse cipher', () => {
    const all = keys();
    let state = add(cipher, all[10]);
    for (let round = 9; round > 0; round--)
      state = vector(aesDecrypt, state, vector(aesInverseMixColumns, all[round]));
    expect(vector(aesDecryptLast, state, all[0])).toEqual(plain);
  });
});

describe('SHA of "abc" is that of FIPS 180-4', () => {
  const message = [0x61626380, ...new Array<number>(14).fill(0), 24];

  test('SHA-1', () => {
    const w = [0, 4, 8, 12].map((i) => words(...message.slice(i, i + 4)));
    for (let i = 4; i < 20; i++) {
      // SHA1MSG1 and the exclusive-or between are plain, and no library functions.
      const [a, b, c, d] = [w[i - 4], w[i - 3], w[i - 2], w[i - 1]].map(wordsOf);
      const sums = [a[2] ^ a[0] ^ c[0], a[3] ^ a[1] ^ c[1], b[0] ^ a[2] ^ c[2], b[1] ^ a[3] ^ c[3]];
      w.push(vector(sha1Message2, words(...sums), words(...d)));
    }
    const start = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476];
    let state = words(...start);
    let e = 0xc3d2e1f0;
    for (let i = 0; i < 20; i++) {
      const [w0, ...others] = wordsOf(w[i]);
      const a = wordsOf(state)[0];
      state = vector(sha1Rounds[Math.floor(i / 5)], state, words((w0 + e) | 0, ...others));
      e = (a << 30) | (a >>> 2);
    }
    const digest = wordsOf(state).map((word, i) => (word + start[i]) >>> 0);
    expect([...digest, (e + 0xc3d2e1f0) >>> 0]).toEqual([
      0xa9993e36, 0x4706816a, 0xba3e2571, 0x7850c26c, 0x9cd0d89d,
    ]);
  });

  test('SHA-256', () => {
    const primes = Array.from({ length: 400 }, (_, i) => i + 2).filter((n) =>
      Array.from({ length: n - 2 }, (_, i) => i + 2).every((d) => n % d !== 0),
    );
    /** First 32 bits of the fraction of a root. */
    const fraction = (root: number): number => Math.floor((root % 1) * 2 ** 32);
    const constants = primes.slice(0, 64).map((prime) => fraction(Math.cbrt(prime)));
    const start = primes.slice(0, 8).map((prime) => fraction(Math.sqrt(prime)));
    // Lowest element first.
    const w = [0, 4, 8, 12].map((i) => words(...message.slice(i, i + 4).reverse()));
    for (let i = 4; i < 16; i++) {
      const sums = wordsOf(vector(sha256Message1, w[i - 4], w[i - 3]));
      const shifted = [...wordsOf(w[i - 1]).slice(3), ...wordsOf(w[i - 2]).slice(0, 3)];
      w.push(vector(sha256Message2, words(...sums.map((sum, k) => (sum + shifted[k]) | 0)), w[i - 1]));
    }
    const [a, b, c, d, e, f, g, h] = start;
    let [abef, cdgh] = [words(a, b, e, f), words(c, d, g, h)];
    for (let i = 0; i < 32; i++) {
      const two = wordsOf(w[i >> 1])
        .reverse()
        .slice(2 * (i & 1), 2 * (i & 1) + 2);
      const keys = two.map((word, k) => (word + constants[2 * i + k]) | 0);
      [abef, cdgh] = [vector(sha256Rounds, cdgh, abef, words(0, 0, keys[1], keys[0])), abef];
    }
    const [a1, b1, e1, f1] = wordsOf(abef);
    const [c1, d1, g1, h1] = wordsOf(cdgh);
    const digest = [a1, b1, c1, d1, e1, f1, g1, h1].map((word, i) => (word + start[i]) >>> 0);
    expect(digest.map((word) => word.toString(16).padStart(8, '0')).join('')).toBe(
      'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
    );
  });
});

test('every byte but 0 times its inverse is 1', () => {
  const identity = hex('8040201008040201'.repeat(2));
  for (let first = 0; first < 256; first += 16) {
    const bytes = Uint8Array.from({ length: 16 }, (_, i) => first + i);
    const inverses = vector(fieldAffineOfInverse, bytes, identity);
    const products = vector(fieldProducts, bytes, inverses);
    expect([...products]).toEqual([...bytes].map((byte) => (byte === 0 ? 0 : 1)));
  }
});

test(`carry-less products (SEED=${seed})`, () => {
  const random = randomNumbers(seed);
  const wide = (): bigint => (BigInt(random()) << 32n) | BigInt(random());
  for (let i = 0; i < 200; i++) {
    const [a, b] = i === 0 ? [2n ** 64n - 1n, 2n ** 64n - 1n] : [wide(), wide()];
    let product = 0n;
    for (let bit = 0n; bit < 64n; bit++) if (((b >> bit) & 1n) !== 0n) product ^= a << bit;
    const bytes = vector(carrylessProduct, BigInt.asIntN(64, a), BigInt.asIntN(64, b));
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    expect((view.getBigUint64(8, true) << 64n) | view.getBigUint64(0, true)).toBe(product);
  }
});

/** SDM vol. 2, 4.1, element by element. */
function compareByTable(
  control: number,
  first: number[],
  second: number[],
  lengths: [number, number],
): number {
  const count = first.length;
  const isValid = [first, second].map((_, source) => (i: number) => i < lengths[source]);
  const compare = (j: number, i: number): boolean => {
    const aggregation = (control >> 2) & 3;
    const [a, b] = [isValid[0](j), isValid[1](i)];
    if (!a || !b) return aggregation === 3 ? !a : aggregation === 2 ? a === b : false;
    if (aggregation !== 1) return first[j] === second[i];
    return j % 2 === 0 ? second[i] >= first[j] : second[i] <= first[j];
  };
  let result = 0;
  for (let i = 0; i < count; i++) {
    const all = Array.from({ length: count }, (_, j) => j);
    const bit = [
      () => all.some((j) => compare(j, i)),
      () => all.some((j) => j % 2 === 0 && compare(j, i) && compare(j + 1, i)),
      () => compare(i, i),
      () => all.every((j) => i + j >= count || compare(j, i + j)),
    ][(control >> 2) & 3]();
    const isNegated = (control & 0x10) !== 0 && ((control & 0x20) === 0 || isValid[1](i));
    if (bit !== isNegated) result |= 1 << i;
  }
  return result;
}

test(`string comparisons by the manual's table (SEED=${seed})`, () => {
  const random = randomNumbers(seed);
  for (let control = 0; control < 64; control++) {
    const isWide = (control & 1) !== 0;
    const isSigned = (control & 2) !== 0;
    const count = isWide ? 8 : 16;
    for (let i = 0; i < 40; i++) {
      // Few different elements, so that some are equal.
      const elements = (): number[] =>
        Array.from({ length: count }, () => (random() % 3) - (isSigned ? 1 : 0)).map((n) =>
          isSigned || n < 2 ? n : isWide ? 0xffff : 0xff,
        );
      const [first, second] = [elements(), elements()];
      const lengths: [number, number] = [random() % (count + 1), random() % (count + 1)];
      const bytes = (from: number[]): Uint8Array =>
        isWide ? new Uint8Array(Uint16Array.from(from).buffer) : Uint8Array.from(from);
      expect(call(stringComparison(control), bytes(first), bytes(second), ...lengths)).toBe(
        compareByTable(control, first, second, lengths),
      );
    }
  }
});
