import type { Random } from './random.ts';

/*
 * Operand values that find mistakes: edges of integers and floating-point formats among random ones.
 */

/** Low and high halves. */
const integerEdges: readonly (readonly [number, number])[] = [
  [0, 0],
  [1, 0],
  [-1, -1],
  [-2, -1],
  [0x7f, 0],
  [0x80, 0],
  [0xff, 0],
  [-0x80, -1],
  [0x7fff, 0],
  [0x8000, 0],
  [0xffff, 0],
  [-0x8000, -1],
  [0x7fffffff, 0],
  [-0x80000000, 0],
  [-0x80000000, -1],
  [-1, 0],
  [0, 1],
  [-1, 0x7fffffff],
  [0, -0x80000000],
  [0x01020408, 0x10204080],
];

const singleEdges: readonly number[] = [
  0, 0x80000000, 1, 0x80000001, 0x007fffff, 0x807fffff, 0x00400000, 0x00800000, 0x80800000, 0x00ffffff,
  0x7f7fffff, 0xff7fffff, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000, 0x7f800001, 0xffbfffff, 0x7fa00000,
  0x7fffffff, 0x3f800000, 0xbf800000, 0x3f000000, 0xbf000000, 0x3fc00000, 0x40000000, 0x40400000, 0x40200000,
  0x3f7fffff, 0x3f800001, 0x4b000000, 0x4b7fffff, 0x4b800001, 0x4effffff, 0x4f000000, 0xcf000000, 0xcf000001,
  0x4f7fffff, 0x4f800000, 0x5effffff, 0x5f000000, 0xdf000000, 0x5f800000, 0x33800000, 0x1f800000, 0x20000000,
  0x60000000, 0x477fe000, 0x477fefff, 0x477ff000, 0x33000000, 0x387fc000, 0x38800000,
];

/** Low and high halves. */
const doubleEdges: readonly (readonly [number, number])[] = [
  [0, 0],
  [0, 0x80000000],
  [1, 0],
  [1, 0x80000000],
  [0xffffffff, 0x000fffff],
  [0, 0x00080000],
  [0, 0x00100000],
  [0, 0x80100000],
  [0xffffffff, 0x001fffff],
  [0xffffffff, 0x7fefffff],
  [0xffffffff, 0xffefffff],
  [0, 0x7ff00000],
  [0, 0xfff00000],
  [0, 0x7ff80000],
  [0, 0xfff80000],
  [1, 0x7ff00000],
  [0xffffffff, 0xfff7ffff],
  [0xffffffff, 0x7fffffff],
  [0, 0x3ff00000],
  [0, 0xbff00000],
  [0, 0x3fe00000],
  [0, 0x3ff80000],
  [0, 0x40000000],
  [0, 0x40040000],
  [0, 0x40080000],
  [0xffffffff, 0x3fefffff],
  [1, 0x3ff00000],
  [0, 0x41e00000],
  [0xffc00000, 0x41dfffff],
  [0xffe00000, 0x41dfffff],
  [0, 0xc1e00000],
  [0x00100000, 0xc1e00000],
  [0x00200000, 0xc1e00000],
  [0xffe00000, 0x41efffff],
  [0, 0x41f00000],
  [0, 0x43e00000],
  [0xffffffff, 0x43dfffff],
  [0, 0xc3e00000],
  [0, 0x43f00000],
  [0, 0x43300000],
  [1, 0x43300000],
  [0, 0x3ca00000],
  [0, 0x47efffff],
  [0xf0000000, 0x47efffff],
  [0, 0x47f00000],
  [0, 0x36a00000],
  [0, 0x36900000],
  [0, 0x380fffff],
  [0, 0x38100000],
  [0, 0x20000000],
  [0, 0x60000000],
];

/** Exponents (with room for the sign) and upper and lower halves of significands of 80-bit values. */
const extendedExponents: readonly number[] = [
  0, 0, 1, 2, 0x3fbe, 0x3fc0, 0x3ffe, 0x3fff, 0x3fff, 0x4000, 0x4001, 0x400e, 0x401e, 0x403d, 0x403e, 0x403f,
  0x43fe, 0x43ff, 0x3c00, 0x3c01, 0x407e, 0x407f, 0x3f81, 0x7ffd, 0x7ffe, 0x7fff, 0x7fff, 0x7fff,
];
const extendedHigh: readonly number[] = [
  0x80000000, 0x80000000, 0xc0000000, 0xffffffff, 0xa0000000, 0xbfffffff, 0, 0x40000000, 0x7fffffff, 1,
];

/** A general register's value. */
export function writeInteger(random: Random, words: Int32Array, at: number): void {
  const choice = random();
  switch (choice & 7) {
    case 0:
    case 1: {
      const [low, high] = integerEdges[(choice >>> 3) % integerEdges.length];
      words[at] = low;
      words[at + 1] = high;
      break;
    }
    case 2:
      words[at] = (choice >>> 3) % 131;
      words[at + 1] = 0;
      break;
    case 3:
      words[at] = random();
      words[at + 1] = (choice & 8) === 0 ? 0 : -1;
      break;
    default:
      words[at] = random();
      words[at + 1] = random();
  }
}

/** Writes an 80-bit value to the first ten bytes of four words. */
export function writeExtended(random: Random, words: Int32Array, at: number): void {
  const choice = random();
  const sign = (choice & 1) << 15;
  words[at + 3] = 0;
  if ((choice & 0xe) === 0) {
    // An MMX value.
    words[at] = random();
    words[at + 1] = random();
    words[at + 2] = 0xffff;
    return;
  }
  if ((choice & 0xe) === 2) {
    // Few significant bits: exact results.
    words[at] = 0;
    words[at + 1] = (random() & 0x7f000000) | 0x80000000;
    words[at + 2] = sign | (0x3ff0 + (random() % 40));
    return;
  }
  words[at] = (choice & 0x10) === 0 ? 0 : (choice & 0x60) === 0 ? -1 : random();
  words[at + 1] =
    (choice & 0x80) === 0 ? random() | 0x80000000 : extendedHigh[random() % extendedHigh.length];
  words[at + 2] =
    sign |
    ((choice & 0x300) === 0
      ? random() & 0x7fff
      : (choice & 0x300) === 0x100
        ? 0x3fff - 70 + (random() % 140)
        : extendedExponents[random() % extendedExponents.length]);
}

/** 16 bytes: integers or floating-point values of one width, edges and random ones. */
export function writeVector(random: Random, words: Int32Array, at: number): void {
  const style = random() % 10;
  for (let i = 0; i < 4; i++) {
    const choice = random();
    switch (style) {
      case 0:
      case 1:
      case 2:
        // Single precision: edges, numbers near 1, anything.
        words[at + i] =
          (choice & 3) <= 1
            ? singleEdges[(choice >>> 2) % singleEdges.length]
            : (choice & 3) === 2
              ? (random() & 0x807fffff) | ((127 - 26 + (choice % 52)) << 23)
              : random();
        break;
      case 3:
      case 4:
      case 5:
        if ((i & 1) !== 0) break;
        if ((choice & 3) <= 1) {
          const [low, high] = doubleEdges[(choice >>> 2) % doubleEdges.length];
          words[at + i] = low;
          words[at + i + 1] = high;
        } else {
          words[at + i] = (choice & 4) === 0 ? random() : 0;
          words[at + i + 1] =
            (choice & 3) === 2 ? (random() & 0x800fffff) | ((1023 - 55 + (choice % 110)) << 20) : random();
        }
        break;
      case 6:
        // Bytes at the edges.
        for (let byte = 0; byte < 4; byte++) {
          const value = [0, 1, 0x7f, 0x80, 0xff, choice & 15, choice >>> 8, choice >>> 16][
            (choice >>> (byte * 3)) & 7
          ];
          words[at + i] = (words[at + i] << 8) | (value & 0xff);
        }
        break;
      case 7:
        // 16-bit integers and half-precision values.
        words[at + i] = (pickHalf(choice & 0xffff, random()) << 16) | pickHalf(choice >>> 16, random());
        break;
      case 8: {
        const [low] = integerEdges[choice % integerEdges.length];
        words[at + i] = low;
        break;
      }
      default:
        words[at + i] = choice;
    }
  }
}

const halfEdges: readonly number[] = [
  0, 1, 0x7fff, 0x8000, 0x8001, 0xffff, 0xfffe, 0x00ff, 0x0100, 0xff80, 0x007f, 0x0080, 0x7bff, 0x7c00,
  0xfc00, 0x7c01, 0x7e00, 0x0400, 0x03ff, 0x3c00,
];

function pickHalf(choice: number, value: number): number {
  return (choice & 1) === 0 ? halfEdges[(choice >>> 1) % halfEdges.length] : value & 0xffff;
}
