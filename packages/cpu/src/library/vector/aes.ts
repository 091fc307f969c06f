import { type Expressions, Op, type Value, ValueType } from '@nest86/wasm';
import type { LibraryFunction } from '../function.ts';
import { wordsVector } from './constants.ts';
import { invertBytes, timesX } from './field.ts';

/** The affine step of SubBytes without its constant (FIPS 197, 5.1.1), and its inverse. */
function rotations(byte: number, counts: readonly number[]): number {
  return counts.reduce((sum, count) => sum ^ (((byte << count) | (byte >> (8 - count))) & 0xff), 0);
}
const affine = (byte: number): number => rotations(byte, [0, 1, 2, 3, 4]);
const affineInverse = (byte: number): number => rotations(byte, [1, 3, 6]);
const affineConstant = 0x63;
const same = (byte: number): number => byte;

const add = (x: Expressions, a: Value, b: Value): Value => x.compute(Op.v128Xor, a, b);

function substitute(x: Expressions, state: Value): Value {
  return add(x, invertBytes(x, state, same, affine), wordsVector(x, 0x63636363));
}

function substituteInverse(x: Expressions, state: Value): Value {
  return invertBytes(x, state, (byte) => affineInverse(byte ^ affineConstant), same);
}

/** Byte 4·column + row comes from `direction` · row columns further. */
function shiftRows(x: Expressions, state: Value, direction: 1 | -1): Value {
  const from = Array.from({ length: 16 }, (_, i) => (i + 4 * direction * (i & 3)) & 15);
  return x.shuffle(state, state, from);
}

/** Turns each column by so many rows. */
function turn(x: Expressions, state: Value, rows: number): Value {
  const from = Array.from({ length: 16 }, (_, i) => (i & 12) | ((i + rows) & 3));
  return x.shuffle(state, state, from);
}

/** Columns times 3x³ + x² + x + 2: a' = 2(a + b) + b + c + d. */
function mixColumns(x: Expressions, state: Value): Value {
  const next = turn(x, state, 1);
  const sum = add(x, state, next);
  return add(x, add(x, timesX(x, sum), next), turn(x, sum, 2));
}

/** Columns times the inverse, which is the same times 4x² + 5. */
function mixColumnsInverse(x: Expressions, state: Value): Value {
  const sum = add(x, state, turn(x, state, 2));
  return mixColumns(x, add(x, state, timesX(x, timesX(x, sum))));
}

function round(name: string, step: (x: Expressions, state: Value) => Value): LibraryFunction {
  return {
    name,
    parameters: [ValueType.v128, ValueType.v128],
    result: ValueType.v128,
    build: (x, [state, key]) => add(x, step(x, state), key),
  };
}

/** Rounds of AES (FIPS 197): (state, round key) → state, all v128, byte 0 lowest. */
export const aesEncrypt: LibraryFunction = round('aesEncrypt', (x, state) =>
  mixColumns(x, substitute(x, shiftRows(x, state, 1))),
);
export const aesEncryptLast: LibraryFunction = round('aesEncryptLast', (x, state) =>
  substitute(x, shiftRows(x, state, 1)),
);
export const aesDecrypt: LibraryFunction = round('aesDecrypt', (x, state) =>
  mixColumnsInverse(x, substituteInverse(x, shiftRows(x, state, -1))),
);
export const aesDecryptLast: LibraryFunction = round('aesDecryptLast', (x, state) =>
  substituteInverse(x, shiftRows(x, state, -1)),
);

/** AESIMC: a round key for decryption. */
export const aesInverseMixColumns: LibraryFunction = {
  name: 'aesInverseMixColumns',
  parameters: [ValueType.v128],
  result: ValueType.v128,
  build: (x, [key]) => mixColumnsInverse(x, key),
};

/** AESKEYGENASSIST: (source, round constant: i32) → words 1 and 3 substituted, and these turned by a byte and with the constant. */
export const aesKeyAssist: LibraryFunction = {
  name: 'aesKeyAssist',
  parameters: [ValueType.v128, ValueType.i32],
  result: ValueType.v128,
  build: (x, [source, constant]) => {
    const words = substitute(x, source);
    const chosen = x.shuffle(words, words, [4, 5, 6, 7, 5, 6, 7, 4, 12, 13, 14, 15, 13, 14, 15, 12]);
    const constants = x.compute(Op.v128And, x.compute(Op.i32x4Splat, constant), x.v128([0, -1, 0, -1]));
    return add(x, chosen, constants);
  },
};
