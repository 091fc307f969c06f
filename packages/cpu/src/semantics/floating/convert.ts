import { type Expressions, Op, type Value, ValueType } from '@nest86/wasm';
import { f32ToF64, f64ToF32, floatFromI32, floatFromI64 } from '../../library/float/convert.ts';
import type { FastContext } from '../../library/float/fast.ts';
import { answer, f32 } from '../../library/float/format.ts';
import { isNotOrdinary, isSilent, native, withoutSign } from '../../library/float/native.ts';
import { wordsVector, zero } from '../../library/vector/constants.ts';
import type { Definition, Family, Operation } from '../operation.ts';
import { checkPendingX87, enterMmx, readMmx } from '../vector/mmx.ts';
import { lowElement, lowHalf, shuffleElements, sources, withVex } from '../vector/packed.ts';
import { collectingContext, computeLanes, laneResults, unlessSure } from './exceptions.ts';
import {
  and,
  areClean,
  elementwise,
  type FormatName,
  isClean,
  readBits,
  replaceLow,
} from './operands.ts';
import { joinHalves } from './to-integer.ts';

/** The source of an instruction that doubles widths: for each lane of the result, 64 bits in the lower half. */
export function sourceHalves(op: Operation): readonly Value[] {
  if (op.lanes === 1) return [op.isMemory(1) ? lowElement(op.x, 64, op.readElement(1, 64)) : op.readVector(1)];
  const vector = op.readVector(1);
  return [vector, shuffleElements(op.x, 64, vector, vector, [1, 1])];
}

// Between single and double precision.

const singlesToDoubles = elementwise(f32ToF64, { results: 2, from: 32, to: 64 });
const doublesToSingles = elementwise(f64ToF32, { results: 2, from: 64, to: 32 });

const widen: Definition = (op) => {
  const { x } = op;
  const halves = sourceHalves(op);
  computeLanes(op, ({ call, state, mxcsr }, lane) => {
    const vector = halves[lane];
    const low = shuffleElements(x, 64, vector, vector, [0, 0]);
    const quick = x.compute(Op.f64x2PromoteLowF32x4, vector);
    return unlessSure(x, ValueType.v128, quick, areClean(x, 'f32', [low]), () =>
      answer(call, singlesToDoubles, [state, vector, mxcsr]),
    );
  });
};

/** Where a normal number comes out, or 0 of 0, and it is exact or PE is silent. */
const narrow: Definition = (op) => {
  const { x } = op;
  const results = laneResults(op, ({ call, state, mxcsr }, lane) => {
    const vector = op.readVector(1, lane);
    const quick = x.compute(Op.f32x4DemoteF64x2Zero, vector);
    const back = x.compute(Op.f64x2PromoteLowF32x4, quick);
    const size = x.compute(Op.f64x2Abs, back);
    // Above 2^-126 and below infinity.
    const isOrdinary = and(
      x,
      x.compute(Op.f64x2Gt, size, x.v128([0, 0x38100000, 0, 0x38100000])),
      x.compute(Op.f64x2Lt, size, x.v128([0, 0x7ff00000, 0, 0x7ff00000])),
    );
    const isFine = x.compute(Op.v128Or, isOrdinary, x.compute(Op.f64x2Eq, vector, zero(x)));
    const isExact = x.compute(Op.i64x2AllTrue, x.compute(Op.f64x2Eq, back, vector));
    const isSure = x.and(x.compute(Op.i64x2AllTrue, isFine), x.or(isExact, isSilent(x, mxcsr)));
    return unlessSure(x, ValueType.v128, quick, isSure, () =>
      answer(call, doublesToSingles, [state, vector, mxcsr]),
    );
  });
  op.writeVector(0, [joinHalves(op, results)]);
};

/** A result of one format and what lies above it in the first source. */
function replaceScalar(op: Operation, format: FormatName, compute: (context: FastContext) => Value): void {
  const upper = op.readVector(sources(op)[0]);
  const result = compute(collectingContext(op));
  op.writeVector(0, [replaceLow(op.x, format, upper, result)]);
}

const widenScalar: Definition = (op) => {
  const { x } = op;
  const bits = readBits(op, sources(op)[1], 'f32');
  replaceScalar(op, 'f64', ({ call, state, mxcsr }) => {
    const quick = x.compute(Op.f64PromoteF32, x.compute(Op.f32ReinterpretI32, bits));
    return unlessSure(x, ValueType.f64, quick, isClean(x, 'f32', bits), () =>
      x.compute(Op.f64ReinterpretI64, answer(call, f32ToF64, [state, bits, mxcsr])),
    );
  });
};

const narrowScalar: Definition = (op) => {
  const { x } = op;
  const bits = readBits(op, sources(op)[1], 'f64');
  replaceScalar(op, 'f32', ({ call, state, mxcsr }) => {
    const value = x.compute(Op.f64ReinterpretI64, bits);
    const quick = x.compute(Op.f32DemoteF64, value);
    const size = withoutSign(x, f32, x.compute(Op.i32ReinterpretF32, quick));
    const isOrdinary = x.eqz(isNotOrdinary(x, f32, size));
    const isZero = x.eqz(x.shl(bits, x.i64(1)));
    const isExact = x.compute(Op.f64Eq, x.compute(Op.f64PromoteF32, quick), value);
    const isSure = x.and(x.or(isOrdinary, isZero), x.or(isExact, isSilent(x, mxcsr)));
    return unlessSure(x, ValueType.f32, quick, isSure, () =>
      x.compute(Op.f32ReinterpretI32, answer(call, f64ToF32, [state, bits, mxcsr])),
    );
  });
};

// From integers.

const integersToSingles = elementwise(floatFromI32.f32, { results: 4, from: 32, to: 32 });

/** Integers that f32 holds exactly: up to 2^24. */
function convertIntegers({ x, call, state, mxcsr }: FastContext, vector: Value): Value {
  const offset = x.compute(Op.i32x4Add, vector, wordsVector(x, 1 << 24));
  const isExact = x.compute(Op.i32x4AllTrue, x.compute(Op.i32x4LeU, offset, wordsVector(x, 1 << 25)));
  const quick = x.compute(Op.f32x4ConvertI32x4S, vector);
  return unlessSure(x, ValueType.v128, quick, x.or(isExact, isSilent(x, mxcsr)), () =>
    answer(call, integersToSingles, [state, vector, mxcsr]),
  );
}

const integersTo = {
  f32: (op: Operation): void =>
    computeLanes(op, (context, lane) => convertIntegers(context, op.readVector(1, lane))),
  f64: (op: Operation): void =>
    op.writeVector(
      0,
      sourceHalves(op).map((half) => op.x.compute(Op.f64x2ConvertLowI32x4S, half)),
    ),
} as const;

const converts = {
  f32: { 32: Op.f32ConvertI32S, 64: Op.f32ConvertI64S },
  f64: { 32: Op.f64ConvertI32S, 64: Op.f64ConvertI64S },
} as const;

/** i32: a number of up to 2^24 or 2^53 is exact. */
function isExactInteger(x: Expressions, format: FormatName, value: Value): Value {
  const is64 = x.typeOf(value) === ValueType.i64;
  const constant = (n: number): Value =>
    is64 ? (n < 32 ? x.i64(1 << n, 0) : x.i64(0, 1 << (n - 32))) : x.i32(1 << n);
  const places = format === 'f32' ? 24 : 53;
  return x.leU(x.add(value, constant(places)), constant(places + 1));
}

/** From a general register or memory. CVTSI2SD of 32 bits raises nothing. */
const integerTo =
  (format: FormatName): Definition =>
  (op) => {
    const { x } = op;
    const source = sources(op)[1];
    const bits = op.bits(source) === 64 ? 64 : 32;
    const value = op.read(source);
    const { type, fromBits } = native[format];
    replaceScalar(op, format, ({ call, state, mxcsr }) => {
      const quick = x.compute(converts[format][bits], value);
      if (format === 'f64' && bits === 32) return quick;
      const isSure = x.or(isExactInteger(x, format, value), isSilent(x, mxcsr));
      const callee = (bits === 64 ? floatFromI64 : floatFromI32)[format];
      return unlessSure(x, type, quick, isSure, () =>
        x.compute(fromBits, answer(call, callee, [state, value, mxcsr])),
      );
    });
  };

/**
 * The source of CVTPI2PS and CVTPI2PD as the lower half of a vector. If it is in memory, the x87 state stays as it is and no x87 exception is
 * raised: so the SDM of CVTPI2PD, and so does AMD for both.
 */
function readMmxSource(op: Operation): Value {
  if (!op.isMemory(1)) checkPendingX87(op);
  const vector = lowElement(op.x, 64, readMmx(op, 1));
  if (!op.isMemory(1)) enterMmx(op);
  return vector;
}

/** CVTPI2PS: the upper half stays. */
const mmxToSingles: Definition = (op) => {
  const { x } = op;
  const upper = op.readVector(0);
  const result = convertIntegers(collectingContext(op), readMmxSource(op));
  op.writeVector(0, [x.replaceLane(Op.i64x2ReplaceLane, upper, lowHalf(x, result), 0)]);
};

const mmxToDoubles: Definition = (op) =>
  op.writeVector(0, [op.x.compute(Op.f64x2ConvertLowI32x4S, readMmxSource(op))]);

/** Conversions to single and double precision. */
export const convert: Family = {
  definitions: {
    ...withVex({
      CVTPS2PD: widen,
      CVTPD2PS: narrow,
      CVTSS2SD: widenScalar,
      CVTSD2SS: narrowScalar,
      CVTDQ2PS: integersTo.f32,
      CVTDQ2PD: integersTo.f64,
      CVTSI2SS: integerTo('f32'),
      CVTSI2SD: integerTo('f64'),
    }),
    CVTPI2PS: mmxToSingles,
    CVTPI2PD: mmxToDoubles,
  },
};
