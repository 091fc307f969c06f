import { type Expressions, Op, type Value } from '@nest86/wasm';
import { bytesVector, zero } from '../../library/vector/constants.ts';
import { stringComparison } from '../../library/vector/string-compare.ts';
import { joinFlags } from '../flags.ts';
import type { Definition, Family, Operation } from '../operation.ts';
import { lowElement, withVex } from './packed.ts';
import { writeXmm0 } from './registers.ts';

/** Length that a register says: its absolute value, at most `most`. */
function explicitLength(op: Operation, register: number, bits: 32 | 64, most: number): Value {
  const { x } = op;
  const value = op.readRegister(register, bits);
  const sign = x.shrS(value, bits === 64 ? x.i64(63) : x.i32(31));
  const size = x.sub(x.xor(value, sign), sign);
  if (bits === 64) return x.select(x.ltU(size, x.i64(most)), x.wrap(size), x.i32(most));
  return x.select(x.ltU(size, x.i32(most)), size, x.i32(most));
}

/** Length up to the first element that is 0. */
function implicitLength(x: Expressions, vector: Value, isWide: boolean): Value {
  const zeros = x.compute(isWide ? Op.i16x8Eq : Op.i8x16Eq, vector, zero(x));
  const bits = x.compute(isWide ? Op.i16x8Bitmask : Op.i8x16Bitmask, zeros);
  return x.ctz(x.or(bits, x.i32(isWide ? 0x100 : 0x10000)));
}

/** All ones in the elements whose bits are set. */
function expand(x: Expressions, bits: Value, isWide: boolean): Value {
  if (isWide) {
    const own = x.v128([0, 2, 4, 6].map((i) => (1 << i) | (2 << (i + 16))));
    return x.compute(Op.i16x8Eq, x.compute(Op.v128And, x.compute(Op.i16x8Splat, bits), own), own);
  }
  const own = bytesVector(
    x,
    Array.from({ length: 16 }, (_, i) => 1 << (i & 7)),
  );
  const all = x.compute(Op.i16x8Splat, bits);
  const spread = x.shuffle(all, all, [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]);
  return x.compute(Op.i8x16Eq, x.compute(Op.v128And, spread, own), own);
}

/** PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM. @param lengthBits of the registers with the lengths; undefined: up to a zero */
const compareStrings =
  (lengthBits: 32 | 64 | undefined, givesMask: boolean): Definition =>
  (op) => {
    const { x } = op;
    const control = op.constantImmediate(2) & 0x7f;
    const isWide = (control & 1) !== 0;
    const count = isWide ? 8 : 16;
    const [first, second] = [op.readVector(0), op.readVector(1)];
    const [firstLength, secondLength] = (
      lengthBits === undefined
        ? [implicitLength(x, first, isWide), implicitLength(x, second, isWide)]
        : [explicitLength(op, 0, lengthBits, count), explicitLength(op, 2, lengthBits, count)]
    ).map((length) => x.copy(length));
    const bits = op.library(stringComparison(control), [first, second, firstLength, secondLength]) as Value;
    const isLast = (control & 0x40) !== 0;
    if (givesMask) writeXmm0(op, isLast ? expand(x, bits, isWide) : lowElement(x, 32, bits));
    else {
      const index = isLast ? x.sub(x.i32(31), x.clz(bits)) : x.ctz(bits);
      op.writeRegister(1, 32, x.select(bits, index, x.i32(count)));
    }
    op.writeFlags(
      joinFlags(x, {
        carry: x.ne(bits, x.i32(0)),
        parity: x.i32(0),
        auxiliary: x.i32(0),
        zero: x.ltU(secondLength, x.i32(count)),
        sign: x.ltU(firstLength, x.i32(count)),
        overflow: x.and(bits, x.i32(1)),
      }),
    );
  };

const definitions = withVex({
  PCMPESTRI: compareStrings(32, false),
  PCMPESTRI64: compareStrings(64, false),
  PCMPESTRM: compareStrings(32, true),
  PCMPESTRM64: compareStrings(64, true),
  PCMPISTRI: compareStrings(undefined, false),
  PCMPISTRM: compareStrings(undefined, true),
});

/** String comparisons of SSE4.2. */
export const strings: Family = { definitions, constantImmediates: Object.keys(definitions) };
