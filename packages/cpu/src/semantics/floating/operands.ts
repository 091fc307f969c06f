import { type Expressions, Op, type Value, ValueType } from '@nest86/wasm';
import { vectorLimits } from '../../library/float/careful.ts';
import { answer, type FloatFormat, f32, f64, type PerFormat } from '../../library/float/format.ts';
import { native } from '../../library/float/native.ts';
import type { LibraryFunction } from '../../library/function.ts';
import type { Definition, Operation } from '../operation.ts';
import { bitmaskOf, shuffleElements, sources, splatOf } from '../vector/packed.ts';
import { collectingContext, computeLanes, type FloatContext } from './exceptions.ts';

export type FormatName = 'f32' | 'f64';

export const formats: Readonly<Record<FormatName, FloatFormat>> = { f32, f64 };

/**
 * What an instruction computes of 16 bytes of each source.
 * @param isScalar only the lowest elements count, of vectors and result
 */
export type Kernel = (context: FloatContext, vectors: readonly Value[], isScalar: boolean) => Value;

/** Without VEX, the destination is the first of two sources. */
function sourcesOf(op: Operation, count: 1 | 2): readonly number[] {
  return count === 1 ? [1] : sources(op);
}

export function packed(count: 1 | 2, kernel: (op: Operation) => Kernel): Definition {
  return (op) => {
    const compute = kernel(op);
    const operands = sourcesOf(op, count);
    computeLanes(op, (context, lane) =>
      compute(
        context,
        operands.map((operand) => op.readVector(operand, lane)),
        false,
      ),
    );
  };
}

/**
 * An instruction on the lowest elements: the rest of the result is that of the first source. Registers are read and written whole: a processor
 * forwards a store only to loads of no more bytes.
 *
 * @param format of the operands
 * @param result bits of the result's element
 */
export function scalar(
  count: 1 | 2,
  format: FormatName,
  result: number,
  kernel: (op: Operation) => Kernel,
): Definition {
  return (op) => {
    const compute = kernel(op);
    const [first, second] = sources(op);
    const upper = op.readVector(first);
    const last = readLow(op, second, format);
    const low = compute(collectingContext(op), count === 1 ? [last] : [upper, last], true);
    op.writeVector(0, [mergeLow(op.x, result, low, upper)]);
  };
}

/** A scalar operand as the lowest element of a vector. */
export function readLow(op: Operation, operand: number, format: FormatName): Value {
  if (!op.isMemory(operand)) return op.readVector(operand);
  const { bits } = formats[format];
  return op.x.compute(splatOf(bits), op.readElement(operand, bits));
}

/** The same as i32 or i64. */
export function readBits(op: Operation, operand: number, format: FormatName): Value {
  if (op.isMemory(operand)) return op.readElement(operand, formats[format].bits);
  return op.x.extractLane(native[format].packed.extract, op.readVector(operand), 0);
}

/** The lowest element of one vector, and what is above it in another. */
function mergeLow(x: Expressions, bits: number, low: Value, upper: Value): Value {
  return shuffleElements(x, bits, low, upper, bits === 32 ? [0, 5, 6, 7] : [0, 3]);
}

export function and(x: Expressions, a: Value, b: Value): Value {
  return x.compute(Op.v128And, a, b);
}

export function or(x: Expressions, a: Value, b: Value): Value {
  return x.compute(Op.v128Or, a, b);
}

/** i32, 0 or 1: the masks of all elements are set, or of the lowest. */
export function areSet(x: Expressions, format: FormatName, masks: Value, isScalar: boolean): Value {
  const { bits } = formats[format];
  const bitmask = x.compute(bitmaskOf(bits), masks);
  return isScalar ? x.and(bitmask, x.i32(1)) : x.eq(bitmask, x.i32((1 << (128 / bits)) - 1));
}

/** Masks of the elements that are zeros, normal numbers or infinities in all vectors: no denormals, no NaNs. */
export function cleanElements(x: Expressions, format: FormatName, vectors: readonly Value[]): Value {
  const ops = native[format].packed;
  const { least, zero } = vectorLimits(x, formats[format]);
  return vectors
    .map((vector) => {
      const isLarge = x.compute(ops.atLeast, x.compute(ops.abs, vector), least);
      return or(x, isLarge, x.compute(ops.equal, vector, zero));
    })
    .reduce((a, b) => and(x, a, b));
}

/** How {@link elementwise} takes a vector apart. */
interface Elements {
  /** Widths of what `callee` takes and answers, in its elements of each vector. */
  readonly from: number;
  readonly to: number;
  /** How many elements there are. Default: as many as fit in both forms. */
  readonly count?: number;
  /** How many vectors there are. Default 1. */
  readonly vectors?: number;
}

const extractBits: Readonly<Record<number, number>> = {
  16: Op.i16x8ExtractLaneU,
  32: Op.i32x4ExtractLane,
  64: Op.i64x2ExtractLane,
};
const replaceBits: Readonly<Record<number, number>> = {
  16: Op.i16x8ReplaceLane,
  32: Op.i32x4ReplaceLane,
  64: Op.i64x2ReplaceLane,
};

/** Library functions (state, vectors..., the rest) → v128 for the first elements of vectors; what is above them in the result is 0. */
export interface Elementwise {
  readonly packed: LibraryFunction;
  /** For the lowest element alone. */
  readonly scalar: LibraryFunction;
}

/** @param callee (state, elements..., the rest) → element */
export function elementwise(callee: LibraryFunction, elements: Elements): Elementwise {
  const { from, to, count = 128 / Math.max(from, to) } = elements;
  return {
    packed: elementFunction(`${callee.name}.elements`, callee, elements, count),
    scalar: elementFunction(`${callee.name}.element`, callee, elements, 1),
  };
}

function elementFunction(
  name: string,
  callee: LibraryFunction,
  { from, to, vectors = 1 }: Elements,
  count: number,
): LibraryFunction {
  const [state, ...others] = callee.parameters;
  const given = Array.from({ length: vectors }, () => ValueType.v128);
  return {
    name,
    parameters: [state, ...given, ...others.slice(vectors)],
    result: ValueType.v128,
    build: (x, [cells, ...parameters], call) => {
      let result = x.v128([0, 0, 0, 0]);
      for (let lane = 0; lane < count; lane++) {
        const values = parameters
          .slice(0, vectors)
          .map((vector) => x.extractLane(extractBits[from], vector, lane));
        const value = answer(call, callee, [cells, ...values, ...parameters.slice(vectors)]);
        result = x.replaceLane(replaceBits[to], result, value, lane);
      }
      return result;
    },
  };
}

/** For operations of a format on one or two vectors. */
export function elementwiseOf(functions: PerFormat, vectors: 1 | 2): Record<FormatName, Elementwise> {
  return {
    f32: elementwise(functions.f32, { from: 32, to: 32, vectors }),
    f64: elementwise(functions.f64, { from: 64, to: 64, vectors }),
  };
}

/** Which of the two. */
export function sized(functions: Elementwise, isScalar: boolean): LibraryFunction {
  return isScalar ? functions.scalar : functions.packed;
}
