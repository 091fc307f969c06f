import { type Expressions, Op, type Value } from '@nest86/wasm';
import type { Definition, Family, Operation } from '../operation.ts';
import { lowElement } from './packed.ts';

/** Field of a 64-bit value, i64 both; a length of 0 means 64 (APM vol. 4, EXTRQ). */
interface Field {
  readonly length: Value;
  readonly index: Value;
}

/** From two immediates, or from the low bytes of a control word (i64). */
function fieldOf(op: Operation, firstImmediate: number, control: () => Value): Field {
  const { x } = op;
  if (op.operandCount > firstImmediate) {
    const number = (operand: number): Value => x.extendU(x.and(op.read(operand), x.i32(63)));
    return { length: number(firstImmediate), index: number(firstImmediate + 1) };
  }
  const word = control();
  return { length: x.and(word, x.i64(63)), index: x.and(x.shrU(word, x.i64(8)), x.i64(63)) };
}

/** i64: ones in the lowest `length` bits. */
function fieldMask(x: Expressions, { length }: Field): Value {
  return x.shrU(x.i64(-1), x.sub(x.i64(64), length));
}

/** Bits 127:64 are undefined: zeros, as AMD's processors leave. */
const extract: Definition = (op) => {
  const { x } = op;
  const field = fieldOf(op, op.kind(1) === 'immediate' ? 1 : 2, () => op.readElement(1, 64));
  const value = x.and(x.shrU(op.readElement(0, 64), field.index), fieldMask(x, field));
  op.writeVector(0, [lowElement(x, 64, value)]);
};

const insert: Definition = (op) => {
  const { x } = op;
  const field = fieldOf(op, 2, () => x.extractLane(Op.i64x2ExtractLane, op.readVector(1), 1));
  const mask = x.shl(fieldMask(x, field), field.index);
  const old = op.readElement(0, 64);
  const placed = x.shl(op.readElement(1, 64), field.index);
  const value = x.xor(old, x.and(x.xor(old, placed), mask));
  op.writeVector(0, [lowElement(x, 64, value)]);
};

export const sse4a: Family = { definitions: { EXTRQ: extract, INSERTQ: insert } };
