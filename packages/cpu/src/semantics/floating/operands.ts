import { type Expressions, Op, type Value, ValueType } from '@nest86/wasm';
import { vectorLimits } from '../../library/float/careful.ts';
import type { FastContext } from '../../library/float/fast.ts';
import { answer, type FloatFormat, f32, f64, type PerFormat, perFormat } from '../../library/float/format.ts';
import { native } from '../../library/float/native.ts';
import type { LibraryFunction } from '../../library/function.ts';
import type { Definition, Operation } from '../operation.ts';
import { sources } from '../vector/packed.ts';
import { collectingContext } from './exceptions.ts';

export type FormatName = 'f32' | 'f64';

export const formats: Readonly<Record<FormatName, FloatFormat>> = { f32, f64 };

const extractFloat = { f32: Op.f32x4ExtractLane, f64: Op.f64x2ExtractLane } as const;
const replaceFloat = { f32: Op.f32x4ReplaceLane, f64: Op.f64x2ReplaceLane } as const;

/** The lowest element of a vector. */
export function lowFloat(x: Expressions, format: FormatName, vector: Value): Value {
  return x.extractLane(extractFloat[format], vector, 0);
}

export function replaceLow(x: Expressions, format: FormatName, vector: Value, value: Value): Value {
  return x.replaceLane(replaceFloat[format], vector, value, 0);
}

/**
 * A scalar operand as f32 or f64. Registers are read whole: they are written whole, and a processor forwards a store only to loads of no
 * more bytes.
 */
export function readFloat(op: Operation, operand: number, format: FormatName): Value {
  const { x } = op;
  const { fromBits } = native[format];
  if (op.isMemory(operand)) return x.compute(fromBits, op.readElement(operand, formats[format].bits));
  return lowFloat(x, format, op.readVector(operand));
}

/** The same as bits: i32 or i64. */
export function readBits(op: Operation, operand: number, format: FormatName): Value {
  const { bits } = formats[format];
  if (op.isMemory(operand)) return op.readElement(operand, bits);
  return op.x.extractLane(native[format].packed.extract, op.readVector(operand), 0);
}

/**
 * An instruction on the lowest elements: the others come from the first source.
 * @param compute gets both sources, f32 or f64, and answers the result in the same type
 */
export function scalar(
  format: FormatName,
  compute: (context: FastContext, a: Value, b: Value) => Value,
): Definition {
  return (op) => {
    const [first, second] = sources(op);
    const upper = op.readVector(first);
    const b = readFloat(op, second, format);
    const result = compute(collectingContext(op), lowFloat(op.x, format, upper), b);
    op.writeVector(0, [replaceLow(op.x, format, upper, result)]);
  };
}

export function and(x: Expressions, a: Value, b: Value): Value {
  return x.compute(Op.v128And, a, b);
}

/** i32: all elements of all vectors are zeros, normal numbers or infinities: no denormals, no NaNs. */
export function areClean(x: Expressions, format: FormatName, vectors: readonly Value[]): Value {
  const { packed } = native[format];
  const { least, zero } = vectorLimits(x, formats[format]);
  const clean = vectors.map((vector) => {
    const isLarge = x.compute(packed.atLeast, x.compute(packed.abs, vector), least);
    return x.compute(Op.v128Or, isLarge, x.compute(packed.equal, vector, zero));
  });
  return x.compute(
    packed.allTrue,
    clean.reduce((a, b) => and(x, a, b)),
  );
}

/** i32: the same for one number, given by its bits. */
export function isClean(x: Expressions, format: FormatName, bits: Value): Value {
  const { fraction, maxExponent, bits: width } = formats[format];
  const is32 = width === 32;
  const place = fraction + 1 - (is32 ? 0 : 32);
  const constant = (low: number, high: number): Value => (is32 ? x.i32(high) : x.i64(low, high));
  const size = x.shl(bits, constant(1, is32 ? 1 : 0));
  // Of what is below the smallest normal number, only 0 wraps around.
  const isNoDenormal = x.geU(x.sub(size, constant(1, is32 ? 1 : 0)), constant(-1, (1 << place) - 1));
  return x.and(isNoDenormal, x.leU(size, constant(0, maxExponent << place)));
}

/** How {@link elementwise} takes a vector apart. */
interface Elements {
  /** How many results there are, in the lowest elements; the rest is 0. */
  readonly results: number;
  /** Widths of what `callee` takes and answers, in its first so many elements of each vector. */
  readonly from: number;
  readonly to: number;
  /** How many vectors there are. */
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

/**
 * A library function for each element of vectors: (state, vectors..., the rest) → v128.
 * @param callee (state, elements..., the rest) → element
 */
export function elementwise(
  callee: LibraryFunction,
  { results, from, to, vectors = 1 }: Elements,
): LibraryFunction {
  const [state, ...others] = callee.parameters;
  const given = Array.from({ length: vectors }, () => ValueType.v128);
  return {
    name: `${callee.name}.elements`,
    parameters: [state, ...given, ...others.slice(vectors)],
    result: ValueType.v128,
    build: (x, [cells, ...parameters], call) => {
      let result = x.v128([0, 0, 0, 0]);
      for (let lane = 0; lane < results; lane++) {
        const elements = parameters
          .slice(0, vectors)
          .map((vector) => x.extractLane(extractBits[from], vector, lane));
        const value = answer(call, callee, [cells, ...elements, ...parameters.slice(vectors)]);
        result = x.replaceLane(replaceBits[to], result, value, lane);
      }
      return result;
    },
  };
}

/** The same for operations on two whole vectors of a format. */
export function elementwisePairs(functions: PerFormat): PerFormat {
  return perFormat(({ name, bits }) =>
    elementwise(functions[name === 'f32' ? 'f32' : 'f64'], {
      results: 128 / bits,
      from: bits,
      to: bits,
      vectors: 2,
    }),
  );
}
