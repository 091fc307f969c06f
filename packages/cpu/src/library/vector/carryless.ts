import { type Expressions, Op, type Value, ValueType } from '@nest86/wasm';
import type { LibraryFunction } from '../function.ts';
import { wordsVector, zero } from './constants.ts';

/**
 * Carry-less products of the low two 32-bit elements of `a` with those of `b`: two of 64 bits. Each factor is cut into four whose bits stand four apart;
 * of a product of two such, at most eight bits meet in one place, and carries stay out of the next place that counts.
 */
function productsOfLow(x: Expressions, a: Value, b: Value): Value {
  const cut = (value: Value): Value[] =>
    [0, 1, 2, 3].map((i) => x.compute(Op.v128And, value, wordsVector(x, (0x11111111 << i) | 0)));
  const [as, bs] = [cut(a), cut(b)];
  const places = [0, 1, 2, 3].map((place) => {
    const sum = as
      .map((part, i) => x.compute(Op.i64x2ExtmulLowI32x4U, part, bs[(place - i) & 3]))
      .reduce((p, q) => x.compute(Op.v128Xor, p, q));
    return x.compute(Op.v128And, sum, wordsVector(x, (0x11111111 << place) | 0));
  });
  return places.reduce((p, q) => x.compute(Op.v128Or, p, q));
}

/** PCLMULQDQ: (a, b: i64) → the 128 bits of their product over GF(2). */
export const carrylessProduct: LibraryFunction = {
  name: 'carrylessProduct',
  parameters: [ValueType.i64, ValueType.i64],
  result: ValueType.v128,
  build: (x, [a, b]) => {
    const [p, q] = [x.compute(Op.i64x2Splat, a), x.compute(Op.i64x2Splat, b)];
    const swapped = x.compute(Op.i64x2Splat, x.rotl(b, x.i64(32)));
    // Low with low and high with high; then low with high and high with low, which go 32 bits higher.
    const straight = productsOfLow(x, p, q);
    const crossed = productsOfLow(x, p, swapped);
    const middle = x.compute(
      Op.v128Xor,
      crossed,
      x.shuffle(crossed, crossed, [8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7]),
    );
    const nothing = zero(x);
    const placed = x.shuffle(middle, nothing, [16, 16, 16, 16, 0, 1, 2, 3, 4, 5, 6, 7, 16, 16, 16, 16]);
    return x.compute(Op.v128Xor, straight, placed);
  },
};
