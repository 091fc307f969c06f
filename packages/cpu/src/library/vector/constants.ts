import type { Expressions, Value } from '@nest86/wasm';

export function zero(x: Expressions): Value {
  return x.v128([0, 0, 0, 0]);
}

/** @param bytes 16, low first */
export function bytesVector(x: Expressions, bytes: readonly number[]): Value {
  return x.v128(
    [0, 4, 8, 12].map(
      (at) => bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24),
    ),
  );
}

/** The same 32 bits four times. */
export function wordsVector(x: Expressions, word: number): Value {
  return x.v128([word, word, word, word]);
}
