import { type Expressions, Op, type Value, ValueType } from '@nest86/wasm';
import { f32ToF64, f64ToF32, floatFromI32, floatFromI64 } from '../../library/float/convert.ts';
import { answer } from '../../library/float/format.ts';
import { isSilent, native } from '../../library/float/native.ts';
import { wordsVector, zero } from '../../library/vector/constants.ts';
import type { Definition, Family, Operation } from '../operation.ts';
import { enterMmx, readMmx } from '../vector/mmx.ts';
import { lowElement, lowHalf, shuffleElements, sources, withVex } from '../vector/packed.ts';
import { checkPending } from '../x87/stack.ts';
import {
  collectingContext,
  computeLanes,
  type FloatContext,
  laneResults,
  quickUnless,
} from './exceptions.ts';
import {
  and,
  areSet,
  cleanElements,
  elementwise,
  type FormatName,
  type Kernel,
  or,
  scalar,
  sized,
} from './operands.ts';
import { joinHalves } from './to-integer.ts';

/** The source of an instruction that doubles widths: for each lane of the result, 64 bits in the lower half. */
export function sourceHalves(op: Operation): readonly Value[] {
  if (op.lanes === 1)
    return [op.isMemory(1) ? lowElement(op.x, 64, op.readElement(1, 64)) : op.readVector(1)];
  const vector = op.readVector(1);
  return [vector, shuffleElements(op.x, 64, vector, vector, [1, 1])];
}

// Between single and double precision.

const singlesToDoubles = elementwise(f32ToF64, { from: 32, to: 64 });
const doublesToSingles = elementwise(f64ToF32, { from: 64, to: 32 });

/** Of the lower half. */
const widenKernel: Kernel = ({ x, call, state, mxcsr }, [vector], isScalar) => {
  const clean = cleanElements(x, 'f32', [vector]);
  // Elements 0 and 1, or element 0.
  const isClean = areSet(x, 'f32', shuffleElements(x, 64, clean, clean, [0, 0]), isScalar);
  const quick = x.compute(Op.f64x2PromoteLowF32x4, vector);
  return quickUnless(x, ValueType.v128, quick, x.eqz(isClean), () =>
    answer(call, sized(singlesToDoubles, isScalar), [state, vector, mxcsr]),
  );
};

/** To the lower half, with zeros above. Quick where a normal number comes out, or 0 of 0, and it is exact or PE is silent. */
const narrowKernel: Kernel = ({ x, call, state, mxcsr }, [vector], isScalar) => {
  const quick = x.compute(Op.f32x4DemoteF64x2Zero, vector);
  const back = x.compute(Op.f64x2PromoteLowF32x4, quick);
  const size = x.compute(Op.f64x2Abs, back);
  // Above 2^-126 and below infinity.
  const isAbove = x.compute(Op.f64x2Gt, size, x.v128([0, 0x38100000, 0, 0x38100000]));
  const isBelow = x.compute(Op.f64x2Lt, size, x.v128([0, 0x7ff00000, 0, 0x7ff00000]));
  const isFine = or(x, and(x, isAbove, isBelow), x.compute(Op.f64x2Eq, vector, zero(x)));
  const areExact = areSet(x, 'f64', x.compute(Op.f64x2Eq, back, vector), isScalar);
  const isSure = x.and(areSet(x, 'f64', isFine, isScalar), x.or(areExact, isSilent(x, mxcsr)));
  return quickUnless(x, ValueType.v128, quick, x.eqz(isSure), () =>
    answer(call, sized(doublesToSingles, isScalar), [state, vector, mxcsr]),
  );
};

const widen: Definition = (op) => {
  const halves = sourceHalves(op);
  computeLanes(op, (context, lane) => widenKernel(context, [halves[lane]], false));
};

const narrow: Definition = (op) => {
  const results = laneResults(op, (context, lane) => narrowKernel(context, [op.readVector(1, lane)], false));
  op.writeVector(0, [joinHalves(op, results)]);
};

// From integers.

const integersToSingles = elementwise(floatFromI32.f32, { from: 32, to: 32 });

/** Integers that f32 holds exactly: up to 2^24. */
function convertIntegers({ x, call, state, mxcsr, isLoud }: FloatContext, vector: Value): Value {
  const offset = x.compute(Op.i32x4Add, vector, wordsVector(x, 1 << 24));
  const isExact = areSet(x, 'f32', x.compute(Op.i32x4LeU, offset, wordsVector(x, 1 << 25)), false);
  const quick = x.compute(Op.f32x4ConvertI32x4S, vector);
  return quickUnless(x, ValueType.v128, quick, x.select(isExact, x.i32(0), isLoud()), () =>
    answer(call, integersToSingles.packed, [state, vector, mxcsr]),
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

const replaces = { f32: Op.f32x4ReplaceLane, f64: Op.f64x2ReplaceLane } as const;

/** From a general register or memory. CVTSI2SD of 32 bits raises nothing. */
const integerTo =
  (format: FormatName): Definition =>
  (op) => {
    const { x } = op;
    const [first, source] = sources(op);
    const bits = op.bits(source) === 64 ? 64 : 32;
    const value = op.read(source);
    const { type, fromBits } = native[format];
    let result = x.compute(converts[format][bits], value);
    if (format === 'f32' || bits === 64) {
      const { call, state, mxcsr } = collectingContext(op);
      const isSure = x.or(isExactInteger(x, format, value), isSilent(x, mxcsr));
      const callee = (bits === 64 ? floatFromI64 : floatFromI32)[format];
      result = quickUnless(x, type, result, x.eqz(isSure), () =>
        x.compute(fromBits, answer(call, callee, [state, value, mxcsr])),
      );
    }
    op.writeVector(0, [x.replaceLane(replaces[format], op.readVector(first), result, 0)]);
  };

/**
 * The source of CVTPI2PS and CVTPI2PD as the lower half of a vector. If it is in memory, the x87 state stays as it is and no x87 exception is
 * raised: so the SDM of CVTPI2PD, and so does AMD for both.
 */
function readMmxSource(op: Operation): Value {
  if (!op.isMemory(1)) checkPending(op);
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
      CVTSS2SD: scalar(1, 'f32', 64, () => widenKernel),
      CVTSD2SS: scalar(1, 'f64', 32, () => narrowKernel),
      CVTDQ2PS: integersTo.f32,
      CVTDQ2PD: integersTo.f64,
      CVTSI2SS: integerTo('f32'),
      CVTSI2SD: integerTo('f64'),
    }),
    CVTPI2PS: mmxToSingles,
    CVTPI2PD: mmxToDoubles,
  },
};
