import { Op, ValueType } from '@nest86/wasm';
import { divideWide, shiftLeftWide } from '../float80/wide.ts';
import type { LibraryFunction } from '../function.ts';

const { i64 } = ValueType;

/** Quotient of 128 bits (high, low) by 64, unsigned; high is below the divisor. */
export const divideUnsigned: LibraryFunction = {
  name: 'divide_unsigned_128',
  parameters: [i64, i64, i64],
  result: i64,
  build: (x, [high, low, divisor]) => {
    const quotient = x.temporary(i64);
    x.if(
      x.eqz(high),
      () => x.write(quotient, x.compute(Op.i64DivU, low, divisor)),
      () => {
        const shift = x.clz(divisor);
        const dividend = shiftLeftWide(x, { high, low }, shift);
        x.write(quotient, divideWide(x, dividend, x.shl(divisor, shift)).quotient);
      },
    );
    return x.read(quotient);
  },
};
