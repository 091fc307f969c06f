import { type Expressions, Op, type Value, ValueType } from '@nest86/wasm';
import {
  floatCompareQuiet,
  floatCompareSignalling,
  floatMax,
  floatMin,
  Order,
} from '../../library/float/compare.ts';
import { answer, type PerFormat } from '../../library/float/format.ts';
import { native } from '../../library/float/native.ts';
import type { LibraryFunction } from '../../library/function.ts';
import { zero } from '../../library/vector/constants.ts';
import type { Definition, Family } from '../operation.ts';
import { namesWithVex, sources, splatOf, withVex } from '../vector/packed.ts';
import { collectingContext, computeLanes, unlessSure } from './exceptions.ts';
import {
  areClean,
  elementwisePairs,
  type FormatName,
  formats,
  isClean,
  lowFloat,
  readBits,
  replaceLow,
} from './operands.ts';

// MIN and MAX.

const extremes = { min: floatMin, max: floatMax } as const;
type ExtremeName = keyof typeof extremes;

const packedExtremes = { min: elementwisePairs(floatMin), max: elementwisePairs(floatMax) } as const;

const pseudo = {
  min: { f32: Op.f32x4Pmin, f64: Op.f64x2Pmin },
  max: { f32: Op.f32x4Pmax, f64: Op.f64x2Pmax },
} as const;

/** a < b ? a : b, which WebAssembly has with exchanged operands. */
function extremeOf(x: Expressions, name: ExtremeName, format: FormatName, a: Value, b: Value): Value {
  return x.compute(pseudo[name][format], b, a);
}

const packedExtreme =
  (name: ExtremeName, format: FormatName): Definition =>
  (op) => {
    const { x } = op;
    const [first, second] = sources(op);
    computeLanes(op, ({ call, state, mxcsr }, lane) => {
      const [a, b] = [op.readVector(first, lane), op.readVector(second, lane)];
      const quick = extremeOf(x, name, format, a, b);
      return unlessSure(x, ValueType.v128, quick, areClean(x, format, [a, b]), () =>
        answer(call, packedExtremes[name][format], [state, a, b, mxcsr]),
      );
    });
  };

const scalarExtreme =
  (name: ExtremeName, format: FormatName): Definition =>
  (op) => {
    const { x } = op;
    const [first, second] = sources(op);
    const { type, fromBits, packed } = native[format];
    const upper = op.readVector(first);
    const b = readBits(op, second, format);
    const a = x.extractLane(packed.extract, upper, 0);
    const { call, state, mxcsr } = collectingContext(op);
    const wide = x.compute(splatOf(formats[format].bits), b);
    const quick = lowFloat(x, format, extremeOf(x, name, format, upper, wide));
    const isSure = x.and(isClean(x, format, a), isClean(x, format, b));
    const result = unlessSure(x, type, quick, isSure, () =>
      x.compute(fromBits, answer(call, extremes[name][format], [state, a, b, mxcsr])),
    );
    op.writeVector(0, [replaceLow(x, format, upper, result)]);
  };

function allExtremes(mnemonic: string, name: ExtremeName): Record<string, Definition> {
  return {
    [`${mnemonic}PS`]: packedExtreme(name, 'f32'),
    [`${mnemonic}PD`]: packedExtreme(name, 'f64'),
    [`${mnemonic}SS`]: scalarExtreme(name, 'f32'),
    [`${mnemonic}SD`]: scalarExtreme(name, 'f64'),
  };
}

// CMP.

const { less, equal, greater, unordered } = Order;

/** The answers for which predicates 0 to 15 are true; 16 to 31 are the same (SDM vol. 2A, table 3-1). */
const predicates: readonly number[] = [
  equal,
  less,
  less | equal,
  unordered,
  less | greater | unordered,
  equal | greater | unordered,
  greater | unordered,
  less | equal | greater,
  equal | unordered,
  less | unordered,
  less | equal | unordered,
  0,
  less | greater,
  equal | greater,
  greater,
  less | equal | greater | unordered,
];

/** Whether a quiet NaN is invalid: for the predicates with < or > among 0 to 15, for the others from 16 on. */
function isSignallingPredicate(predicate: number): boolean {
  const isOrdering = ((predicate + 1) & 2) !== 0;
  return isOrdering !== predicate > 15;
}

/** (state, a, b, set of answers, mxcsr) → all ones or 0. */
function maskFunction(callee: LibraryFunction, format: FormatName): LibraryFunction {
  const { type } = formats[format];
  return {
    name: `${callee.name}.mask`,
    parameters: [ValueType.i32, type, type, ValueType.i32, ValueType.i32],
    result: type,
    build: (x, [state, a, b, set, mxcsr], call) => {
      const order = answer(call, callee, [state, a, b, mxcsr]);
      const mask = x.sub(x.i32(0), x.ne(x.and(order, set), x.i32(0)));
      return type === ValueType.i64 ? x.extendS(mask) : mask;
    },
  };
}

interface Comparison {
  readonly scalar: PerFormat;
  readonly packed: PerFormat;
}

function comparison(functions: PerFormat): Comparison {
  const scalar = { f32: maskFunction(functions.f32, 'f32'), f64: maskFunction(functions.f64, 'f64') };
  return { scalar, packed: elementwisePairs(scalar) };
}

const quiet = comparison(floatCompareQuiet);
const signalling = comparison(floatCompareSignalling);

const comparisons = {
  f32: {
    [less]: Op.f32x4Lt,
    [equal]: Op.f32x4Eq,
    [greater]: Op.f32x4Gt,
    [less | equal]: Op.f32x4Le,
    [equal | greater]: Op.f32x4Ge,
    [less | greater]: Op.f32x4Ne,
  },
  f64: {
    [less]: Op.f64x2Lt,
    [equal]: Op.f64x2Eq,
    [greater]: Op.f64x2Gt,
    [less | equal]: Op.f64x2Le,
    [equal | greater]: Op.f64x2Ge,
    [less | greater]: Op.f64x2Ne,
  },
} as const;

/** Mask of numbers, none of them a NaN, whose order is in the set. */
function compareNumbers(x: Expressions, format: FormatName, set: number, a: Value, b: Value): Value {
  const ordered = set & ~unordered;
  if (ordered === 0) return zero(x);
  if (ordered === (less | equal | greater)) return x.v128([-1, -1, -1, -1]);
  return x.compute(comparisons[format][ordered as typeof less], a, b);
}

/** Legacy instructions have 3 bits for the predicate, VEX ones 5. */
function predicateOf(op: Parameters<Definition>[0]): { set: number; kind: Comparison } {
  const predicate = op.constantImmediate(op.isVex ? 3 : 2) & (op.isVex ? 31 : 7);
  return { set: predicates[predicate & 15], kind: isSignallingPredicate(predicate) ? signalling : quiet };
}

const packedCompare =
  (format: FormatName): Definition =>
  (op) => {
    const { x } = op;
    const [first, second] = sources(op);
    const { set, kind } = predicateOf(op);
    computeLanes(op, ({ call, state, mxcsr }, lane) => {
      const [a, b] = [op.readVector(first, lane), op.readVector(second, lane)];
      const quick = compareNumbers(x, format, set, a, b);
      return unlessSure(x, ValueType.v128, quick, areClean(x, format, [a, b]), () =>
        answer(call, kind.packed[format], [state, a, b, x.i32(set), mxcsr]),
      );
    });
  };

const scalarCompare =
  (format: FormatName): Definition =>
  (op) => {
    const { x } = op;
    const [first, second] = sources(op);
    const { set, kind } = predicateOf(op);
    const { packed } = native[format];
    const upper = op.readVector(first);
    const b = readBits(op, second, format);
    const a = x.extractLane(packed.extract, upper, 0);
    const { call, state, mxcsr } = collectingContext(op);
    const wide = x.compute(splatOf(formats[format].bits), b);
    const quick = x.extractLane(packed.extract, compareNumbers(x, format, set, upper, wide), 0);
    const isSure = x.and(isClean(x, format, a), isClean(x, format, b));
    const mask = unlessSure(x, formats[format].type, quick, isSure, () =>
      answer(call, kind.scalar[format], [state, a, b, x.i32(set), mxcsr]),
    );
    op.writeVector(0, [x.replaceLane(packed.replace, upper, mask, 0)]);
  };

// COMIS and UCOMIS.

/**
 * The flags of an order (SDM vol. 2, COMISD): less CF, equal ZF, unordered ZF, PF and CF; as the canonical `result` and `aux`.
 */
const lessAux = 0xc0000000 | 0;
const equalAux = 0x100;

const { lessThan, equalTo } = {
  lessThan: { f32: Op.f32Lt, f64: Op.f64Lt },
  equalTo: { f32: Op.f32Eq, f64: Op.f64Eq },
} as const;

const compareFlags =
  (functions: PerFormat, format: FormatName): Definition =>
  (op) => {
    const { x } = op;
    const { fromBits } = native[format];
    const b = readBits(op, 1, format);
    const a = readBits(op, 0, format);
    const { call, state, mxcsr } = collectingContext(op);
    const isZero = x.temporary(ValueType.i32);
    const aux = x.temporary(ValueType.i32);
    const [floatA, floatB] = [x.compute(fromBits, a), x.compute(fromBits, b)];
    const isEqual = x.compute(equalTo[format], floatA, floatB);
    x.write(isZero, isEqual);
    const carry = x.select(x.compute(lessThan[format], floatA, floatB), x.i32(lessAux), x.i32(0));
    x.write(aux, x.or(carry, x.shl(isEqual, x.i32(8))));
    x.if(
      x.eqz(x.and(isClean(x, format, a), isClean(x, format, b))),
      () => {
        const order = answer(call, functions[format], [state, a, b, mxcsr]);
        const isOf = (set: number): Value => x.ne(x.and(order, x.i32(set)), x.i32(0));
        x.write(isZero, isOf(equal | unordered));
        const slowCarry = x.select(isOf(less | unordered), x.i32(lessAux), x.i32(0));
        x.write(aux, x.or(slowCarry, x.select(isOf(equal), x.i32(equalAux), x.i32(0))));
      },
      undefined,
      false,
    );
    op.writeFlags({ result: x.extendU(x.eqz(x.read(isZero))), aux: x.read(aux) });
  };

/** Comparisons, and what they select. */
export const compare: Family = {
  definitions: withVex({
    ...allExtremes('MIN', 'min'),
    ...allExtremes('MAX', 'max'),
    CMPPS: packedCompare('f32'),
    CMPPD: packedCompare('f64'),
    CMPSS: scalarCompare('f32'),
    CMPSD: scalarCompare('f64'),
    COMISS: compareFlags(floatCompareSignalling, 'f32'),
    COMISD: compareFlags(floatCompareSignalling, 'f64'),
    UCOMISS: compareFlags(floatCompareQuiet, 'f32'),
    UCOMISD: compareFlags(floatCompareQuiet, 'f64'),
  }),
  constantImmediates: namesWithVex(['CMPPS', 'CMPPD', 'CMPSS', 'CMPSD']),
};
