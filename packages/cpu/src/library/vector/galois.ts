import { type Expressions, Op, type Value, ValueType } from '@nest86/wasm';
import type { LibraryFunction } from '../function.ts';
import { zero } from './constants.ts';
import { invertBytes, timesX } from './field.ts';

const bytewise = (name: string, build: LibraryFunction['build']): LibraryFunction => ({
  name,
  parameters: [ValueType.v128, ValueType.v128],
  result: ValueType.v128,
  build,
});

/** All ones in bytes whose bit 7 is set. */
function highBits(x: Expressions, bytes: Value): Value {
  return x.compute(Op.i8x16LtS, bytes, zero(x));
}

function twice(x: Expressions, bytes: Value): Value {
  return x.compute(Op.i8x16Add, bytes, bytes);
}

/** GF2P8MULB: products of bytes. */
export const fieldProducts: LibraryFunction = bytewise('fieldProducts', (x, [a, b]) => {
  let rest = b;
  let product = x.compute(Op.v128And, a, highBits(x, rest));
  for (let bit = 6; bit >= 0; bit--) {
    rest = twice(x, rest);
    product = x.compute(Op.v128Xor, timesX(x, product), x.compute(Op.v128And, a, highBits(x, rest)));
  }
  return product;
});

/** Byte j of each half gets bits j of its bytes. */
function transpose(x: Expressions, rows: Value): Value {
  const steps = [
    [7, 0x00aa00aa, 0x00aa00aa],
    [14, 0x0000cccc, 0x0000cccc],
    [28, 0xf0f0f0f0 | 0, 0],
  ] as const;
  return steps.reduce((value, [distance, low, high]) => {
    const mask = x.v128([low, high, low, high]);
    const shifted = x.compute(Op.i64x2ShrU, value, x.i32(distance));
    const change = x.compute(Op.v128And, x.compute(Op.v128Xor, value, shifted), mask);
    const back = x.compute(Op.i64x2Shl, change, x.i32(distance));
    return x.compute(Op.v128Xor, value, x.compute(Op.v128Xor, change, back));
  }, rows);
}

/** Bytes times the 8 by 8 bit matrix in each half: bit i of a result is the parity of the byte and row 7 - i of the matrix. */
function transform(x: Expressions, bytes: Value, matrix: Value): Value {
  const rows = x.shuffle(matrix, matrix, [7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8]);
  const columns = transpose(x, rows);
  let rest = bytes;
  let result = zero(x);
  for (let bit = 7; bit >= 0; bit--) {
    const column = x.shuffle(
      columns,
      columns,
      Array.from({ length: 16 }, (_, i) => (i & 8) + bit),
    );
    result = x.compute(Op.v128Xor, result, x.compute(Op.v128And, column, highBits(x, rest)));
    if (bit > 0) rest = twice(x, rest);
  }
  return result;
}

/** GF2P8AFFINEQB without its constant: (bytes, matrices). */
export const fieldAffine: LibraryFunction = bytewise('fieldAffine', (x, [bytes, matrix]) =>
  transform(x, bytes, matrix),
);

/** The same of the bytes' inverses: GF2P8AFFINEINVQB. */
export const fieldAffineOfInverse: LibraryFunction = bytewise(
  'fieldAffineOfInverse',
  (x, [bytes, matrix]) => {
    const inverses = invertBytes(
      x,
      bytes,
      (byte) => byte,
      (byte) => byte,
    );
    return transform(x, inverses, matrix);
  },
);
