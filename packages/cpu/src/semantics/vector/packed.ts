import { type Expressions, Op, type Value } from '@nest86/wasm';
import { zero } from '../../library/vector/constants.ts';
import type { Definition, Operation } from '../operation.ts';
import { checkPending } from '../x87/stack.ts';
import { readMmxPair, writeMmx } from './mmx.ts';

/** What an instruction does in each 16-byte lane. */
type LaneUnary = (x: Expressions, a: Value, lane: number) => Value;
export type LaneBinary = (x: Expressions, a: Value, b: Value, lane: number) => Value;

/** Bytes of a shuffle that moves whole elements. @param elements numbers: of the first vector, then of the second */
function elementLanes(bits: number, elements: readonly number[]): number[] {
  const bytes = bits / 8;
  return elements.flatMap((element) => Array.from({ length: bytes }, (_, i) => element * bytes + i));
}

export function shuffleElements(
  x: Expressions,
  bits: number,
  a: Value,
  b: Value,
  elements: readonly number[],
): Value {
  return x.shuffle(a, b, elementLanes(bits, elements));
}

/** A scalar (i32, or i64 for 64 bits) with zeros above. */
export function lowElement(x: Expressions, bits: number, value: Value): Value {
  return x.replaceLane(bits === 64 ? Op.i64x2ReplaceLane : Op.i32x4ReplaceLane, zero(x), value, 0);
}

/** Splat of elements of `bits` from an i32, or an i64 for 64 bits. */
export function splatOf(bits: number): number {
  switch (bits) {
    case 8:
      return Op.i8x16Splat;
    case 16:
      return Op.i16x8Splat;
    case 32:
      return Op.i32x4Splat;
    default:
      return Op.i64x2Splat;
  }
}

/** Highest bit of each element, as an i32. */
export function bitmaskOf(bits: number): number {
  switch (bits) {
    case 8:
      return Op.i8x16Bitmask;
    case 32:
      return Op.i32x4Bitmask;
    default:
      return Op.i64x2Bitmask;
  }
}

/** The source operands of an instruction with two: VEX has a destination of its own. */
export function sources(op: Operation): readonly [number, number] {
  return op.isVex ? [1, 2] : [0, 1];
}

export function writeLanes(op: Operation, compute: (lane: number) => Value): void {
  op.writeVector(
    0,
    Array.from({ length: op.lanes }, (_, lane) => compute(lane)),
  );
}

/** One source. */
export function unary(compute: LaneUnary): Definition {
  return (op) => {
    if (op.kind(0) === 'mmx') {
      checkPending(op);
      writeMmx(op, lowHalf(op.x, compute(op.x, readMmxPair(op, 1), 0)));
    } else writeLanes(op, (lane) => compute(op.x, op.readVector(1, lane), lane));
  };
}

/**
 * Two sources.
 * @param computeMmx the same for MMX operands, each twice in its vector; only the lower half of the result counts
 */
export function binary(compute: LaneBinary, computeMmx: LaneBinary = compute): Definition {
  return (op) => {
    if (op.kind(0) === 'mmx') {
      checkPending(op);
      writeMmx(op, lowHalf(op.x, computeMmx(op.x, readMmxPair(op, 0), readMmxPair(op, 1), 0)));
      return;
    }
    const [first, second] = sources(op);
    writeLanes(op, (lane) => compute(op.x, op.readVector(first, lane), op.readVector(second, lane), lane));
  };
}

/** Two sources, by one WebAssembly instruction. */
export function direct(opcode: number): Definition {
  return binary((x, a, b) => x.compute(opcode, a, b));
}

/** Two MMX operands as one vector: what pairs up elements of `a` and then of `b` works on it as both sources. */
export function joinMmx(compute: LaneBinary): LaneBinary {
  return (x, a, b, lane) => {
    const both = shuffleElements(x, 64, a, b, [0, 2]);
    return compute(x, both, both, lane);
  };
}

export function lowHalf(x: Expressions, vector: Value): Value {
  return x.extractLane(Op.i64x2ExtractLane, vector, 0);
}

/** The definitions and the same ones under their VEX names. */
export function withVex(definitions: Readonly<Record<string, Definition>>): Record<string, Definition> {
  return Object.fromEntries(
    Object.entries(definitions).flatMap(([name, definition]) => [
      [name, definition],
      [`V${name}`, definition],
    ]),
  );
}

/** Mnemonics with and without V. */
export function namesWithVex(names: readonly string[]): string[] {
  return names.flatMap((name) => [name, `V${name}`]);
}
