import { type Expressions, Op, type Value, ValueType } from '@nest86/wasm';
import type { LibraryFunction } from '../function.ts';

/** Aggregations of PCMPxSTRx, bits 3:2 of the immediate (SDM vol. 2, 4.1.4). */
const equalAny = 0;
const ranges = 1;
const equalEach = 2;

const functions = new Map<number, LibraryFunction>();

/**
 * PCMPESTRI and relatives up to IntRes2 (SDM vol. 2, 4.1): (first source, second source, their lengths in elements: i32, 0 to 16 or 8) → one
 * bit per element, i32.
 * @param immediate bits 5:0 count
 */
export function stringComparison(immediate: number): LibraryFunction {
  const control = immediate & 0x3f;
  let known = functions.get(control);
  if (known === undefined) {
    known = build(control);
    functions.set(control, known);
  }
  return known;
}

function build(control: number): LibraryFunction {
  const isWide = (control & 1) !== 0;
  const isSigned = (control & 2) !== 0;
  const aggregation = (control >> 2) & 3;
  const count = isWide ? 8 : 16;
  const allBits = (1 << count) - 1;
  const compare = isWide
    ? { equal: Op.i16x8Eq, greaterEqual: isSigned ? Op.i16x8GeS : Op.i16x8GeU, bits: Op.i16x8Bitmask }
    : { equal: Op.i8x16Eq, greaterEqual: isSigned ? Op.i8x16GeS : Op.i8x16GeU, bits: Op.i8x16Bitmask };

  /** Element `index` (i32) everywhere. */
  function everywhere(x: Expressions, vector: Value, index: Value): Value {
    if (!isWide) return x.compute(Op.i8x16Swizzle, vector, x.compute(Op.i8x16Splat, index));
    const control = x.add(x.mul(index, x.i32(0x0202)), x.i32(0x0100));
    return x.compute(Op.i8x16Swizzle, vector, x.compute(Op.i16x8Splat, control));
  }

  return {
    name: `compareStrings.${control.toString(16)}`,
    parameters: [ValueType.v128, ValueType.v128, ValueType.i32, ValueType.i32],
    result: ValueType.i32,
    build: (x, parameters) => {
      const [first, second, firstLength, secondLength] = parameters.map((value) => x.copy(value));
      const below = (length: Value): Value => x.sub(x.shl(x.i32(1), length), x.i32(1));
      const valid = x.copy(below(secondLength));
      const found = x.temporary(ValueType.i32);

      /** For each `step`-th valid element of the first source, its number. */
      const forEach = (step: number, body: (index: Value) => void): void => {
        const number = x.temporary(ValueType.i32);
        x.write(number, x.i32(0));
        // A range needs both its ends.
        const end = step === 2 ? x.and(firstLength, x.i32(~1)) : firstLength;
        x.block((leave) => {
          leave(x.eqz(end));
          x.loop((again) => {
            const index = x.copy(x.read(number));
            body(index);
            x.write(number, x.add(index, x.i32(step)));
            again(x.ltU(x.read(number), end));
          });
        });
      };
      const bitsOf = (mask: Value): Value => x.compute(compare.bits, mask);
      const equals = (index: Value): Value =>
        bitsOf(x.compute(compare.equal, everywhere(x, first, index), second));

      switch (aggregation) {
        case equalAny:
          x.write(found, x.i32(0));
          forEach(1, (index) => x.write(found, x.or(x.read(found), equals(index))));
          x.write(found, x.and(x.read(found), valid));
          break;
        case ranges:
          x.write(found, x.i32(0));
          forEach(2, (index) => {
            const [low, high] = [index, x.add(index, x.i32(1))].map((i) => everywhere(x, first, i));
            const inside = x.compute(
              Op.v128And,
              x.compute(compare.greaterEqual, second, low),
              x.compute(compare.greaterEqual, high, second),
            );
            x.write(found, x.or(x.read(found), bitsOf(inside)));
          });
          x.write(found, x.and(x.read(found), valid));
          break;
        case equalEach: {
          // Equal where both are valid, and where both are not.
          const firstValid = below(firstLength);
          const both = x.and(bitsOf(x.compute(compare.equal, first, second)), x.and(firstValid, valid));
          const neither = x.xor(x.or(firstValid, valid), x.i32(allBits));
          x.write(found, x.or(both, neither));
          break;
        }
        default:
          // Equal ordered: what lies beyond the second source's register is not compared, what lies beyond its end differs.
          x.write(found, x.i32(allBits));
          forEach(1, (index) => {
            const matches = x.or(x.and(equals(index), valid), x.i32(~allBits));
            x.write(found, x.and(x.read(found), x.shrS(matches, index)));
          });
      }
      const result = x.read(found);
      switch ((control >> 4) & 3) {
        case 1:
          return x.xor(result, x.i32(allBits));
        case 3:
          return x.xor(result, valid);
        default:
          return result;
      }
    },
  };
}
