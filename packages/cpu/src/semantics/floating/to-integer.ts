import { type Expressions, Op, type Value, ValueType } from '@nest86/wasm';
import { floatToI32, floatToI64, floatTruncateI32, floatTruncateI64 } from '../../library/float/convert.ts';
import type { FastContext } from '../../library/float/fast.ts';
import { answer } from '../../library/float/format.ts';
import { isSilent, native } from '../../library/float/native.ts';
import type { LibraryFunction } from '../../library/function.ts';
import type { Definition, Family, Operation } from '../operation.ts';
import { enterMmx } from '../vector/mmx.ts';
import { lowElement, lowHalf, shuffleElements, withVex } from '../vector/packed.ts';
import { checkPending } from '../x87/stack.ts';
import {
  collectingContext,
  computeLanes,
  isPrecisionSilent,
  laneResults,
  quickUnless,
} from './exceptions.ts';
import { areSet, elementwise, type FormatName, formats, readLow } from './operands.ts';

/** Rounded as MXCSR says, or cut. */
type Kind = 'round' | 'truncate';

/** i32: an inexact result raises nothing new; that of `nearest` also is the right one. */
function isInexactSilent(x: Expressions, kind: Kind, mxcsr: Value): Value {
  return kind === 'truncate' ? isPrecisionSilent(x, mxcsr) : isSilent(x, mxcsr);
}

// Scalars to general registers.

const functions = {
  round: { 32: floatToI32, 64: floatToI64 },
  truncate: { 32: floatTruncateI32, 64: floatTruncateI64 },
} as const;

const scalarOps = {
  f32: {
    extract: Op.f32x4ExtractLane,
    round: Op.f32Nearest,
    truncate: Op.f32Trunc,
    abs: Op.f32Abs,
    less: Op.f32Lt,
    equal: Op.f32Eq,
    32: Op.i32TruncSatF32S,
    64: Op.i64TruncSatF32S,
  },
  f64: {
    extract: Op.f64x2ExtractLane,
    round: Op.f64Nearest,
    truncate: Op.f64Trunc,
    abs: Op.f64Abs,
    less: Op.f64Lt,
    equal: Op.f64Eq,
    32: Op.i32TruncSatF64S,
    64: Op.i64TruncSatF64S,
  },
} as const;

/** 2^n */
function power(x: Expressions, format: FormatName, n: number): Value {
  const { bias, fraction } = formats[format];
  return format === 'f32' ? x.f32((bias + n) << fraction) : x.f64(0, (bias + n) << (fraction - 32));
}

const toRegister =
  (kind: Kind, format: FormatName): Definition =>
  (op) => {
    const { x } = op;
    const bits = op.bits(0) === 64 ? 64 : 32;
    const ops = scalarOps[format];
    const vector = readLow(op, 1, format);
    const value = x.extractLane(ops.extract, vector, 0);
    const { call, state, mxcsr } = collectingContext(op);
    const whole = x.compute(ops[kind], value);
    const isInRange = x.compute(ops.less, x.compute(ops.abs, whole), power(x, format, bits - 1));
    const isExact = x.compute(ops.equal, whole, value);
    const isSure = x.and(isInRange, x.or(isExact, isInexactSilent(x, kind, mxcsr)));
    const type = bits === 64 ? ValueType.i64 : ValueType.i32;
    const result = quickUnless(x, type, x.compute(ops[bits], whole), x.eqz(isSure), () => {
      const low = x.extractLane(native[format].packed.extract, vector, 0);
      return answer(call, functions[kind][bits][format], [state, low, mxcsr]);
    });
    op.write(0, result);
  };

// Vectors.

const packedOps = {
  f32: { round: Op.f32x4Nearest, truncate: Op.f32x4Trunc, convert: Op.i32x4TruncSatF32x4S },
  f64: { round: Op.f64x2Nearest, truncate: Op.f64x2Trunc, convert: Op.i32x4TruncSatF64x2SZero },
} as const;

const elements = (kind: Kind, format: FormatName): LibraryFunction =>
  elementwise(functions[kind][32][format], { from: formats[format].bits, to: 32 }).packed;

const packedFunctions = {
  round: { f32: elements('round', 'f32'), f64: elements('round', 'f64') },
  truncate: { f32: elements('truncate', 'f32'), f64: elements('truncate', 'f64') },
} as const;

/** 2^31 in each element. */
const limits = {
  f32: [0x4f000000, 0x4f000000, 0x4f000000, 0x4f000000],
  f64: [0, 0x41e00000, 0, 0x41e00000],
} as const;

/** Four integers of f32, or two of f64 and zeros above. */
function convertVector(
  { x, call, state, mxcsr }: FastContext,
  kind: Kind,
  format: FormatName,
  vector: Value,
): Value {
  const { less, equal, abs } = native[format].packed;
  const ops = packedOps[format];
  const whole = x.compute(ops[kind], vector);
  const isInRange = x.compute(less, x.compute(abs, whole), x.v128(limits[format]));
  const areInRange = areSet(x, format, isInRange, false);
  const areExact = areSet(x, format, x.compute(equal, whole, vector), false);
  const isSure = x.and(areInRange, x.or(areExact, isInexactSilent(x, kind, mxcsr)));
  return quickUnless(x, ValueType.v128, x.compute(ops.convert, whole), x.eqz(isSure), () =>
    answer(call, packedFunctions[kind][format], [state, vector, mxcsr]),
  );
}

const fromSingles =
  (kind: Kind): Definition =>
  (op) =>
    computeLanes(op, (context, lane) => convertVector(context, kind, 'f32', op.readVector(1, lane)));

/** The results of two lanes go into one. */
const fromDoubles =
  (kind: Kind): Definition =>
  (op) => {
    const results = laneResults(op, (context, lane) =>
      convertVector(context, kind, 'f64', op.readVector(1, lane)),
    );
    op.writeVector(0, [joinHalves(op, results)]);
  };

/** The lower halves of one or two vectors; of one, zeros above stay. */
export function joinHalves(op: Operation, [low, high]: readonly Value[]): Value {
  return high === undefined ? low : shuffleElements(op.x, 64, low, high, [0, 2]);
}

/** To an MMX register. AMD's processors enter the MMX state before they raise #XM. */
const toMmx =
  (kind: Kind, format: FormatName): Definition =>
  (op) => {
    checkPending(op);
    const vector = format === 'f32' ? lowElement(op.x, 64, op.readElement(1, 64)) : op.readVector(1);
    enterMmx(op);
    const result = convertVector(collectingContext(op), kind, format, vector);
    op.write(0, lowHalf(op.x, result));
  };

/** Conversions of floating-point numbers to integers. */
export const toInteger: Family = {
  definitions: {
    ...withVex({
      CVTSS2SI: toRegister('round', 'f32'),
      CVTSD2SI: toRegister('round', 'f64'),
      CVTTSS2SI: toRegister('truncate', 'f32'),
      CVTTSD2SI: toRegister('truncate', 'f64'),
      CVTPS2DQ: fromSingles('round'),
      CVTTPS2DQ: fromSingles('truncate'),
      CVTPD2DQ: fromDoubles('round'),
      CVTTPD2DQ: fromDoubles('truncate'),
    }),
    CVTPS2PI: toMmx('round', 'f32'),
    CVTTPS2PI: toMmx('truncate', 'f32'),
    CVTPD2PI: toMmx('round', 'f64'),
    CVTTPD2PI: toMmx('truncate', 'f64'),
  },
  aligned: ['CVTPD2PI', 'CVTTPD2PI'],
};
