import { ValueType } from '@nest86/wasm';
import { multiplyWide } from '../float80/wide.ts';
import type { LibraryFunction } from '../function.ts';

const { i64 } = ValueType;

/** Upper half of the unsigned product of two i64. */
export const multiplyHigh: LibraryFunction = {
  name: 'multiply_high',
  parameters: [i64, i64],
  result: i64,
  build: (x, [a, b]) => multiplyWide(x, a, b).high,
};

/** The same of the signed product. */
export const multiplyHighSigned: LibraryFunction = {
  name: 'multiply_high_signed',
  parameters: [i64, i64],
  result: i64,
  build: (x, [a, b]) => {
    const { high } = multiplyWide(x, a, b);
    const signs = x.add(x.and(x.shrS(a, x.i64(63)), b), x.and(x.shrS(b, x.i64(63)), a));
    return x.sub(high, signs);
  },
};
