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
import type { Definition, Family, Operation } from '../operation.ts';
import { namesWithVex, withVex } from '../vector/packed.ts';
import { collectingContext, quickUnless } from './exceptions.ts';
import {
  areSet,
  cleanElements,
  type Elementwise,
  elementwiseOf,
  type FormatName,
  formats,
  type Kernel,
  packed,
  readLow,
  scalar,
  sized,
} from './operands.ts';

// MIN and MAX.

const pseudo = {
  min: { f32: Op.f32x4Pmin, f64: Op.f64x2Pmin },
  max: { f32: Op.f32x4Pmax, f64: Op.f64x2Pmax },
} as const;
const extremeFunctions = { min: elementwiseOf(floatMin, 2), max: elementwiseOf(floatMax, 2) } as const;

/** `a < b ? a : b`, which WebAssembly has with exchanged operands. */
function extremeKernel(name: 'min' | 'max', format: FormatName): Kernel {
  return ({ x, call, state, mxcsr }, [a, b], isScalar) => {
    const isClean = areSet(x, format, cleanElements(x, format, [a, b]), isScalar);
    return quickUnless(x, ValueType.v128, x.compute(pseudo[name][format], b, a), x.eqz(isClean), () =>
      answer(call, sized(extremeFunctions[name][format], isScalar), [state, a, b, mxcsr]),
    );
  };
}

function extremes(mnemonic: string, name: 'min' | 'max'): Record<string, Definition> {
  return {
    [`${mnemonic}PS`]: packed(2, () => extremeKernel(name, 'f32')),
    [`${mnemonic}PD`]: packed(2, () => extremeKernel(name, 'f64')),
    [`${mnemonic}SS`]: scalar(2, 'f32', 32, () => extremeKernel(name, 'f32')),
    [`${mnemonic}SD`]: scalar(2, 'f64', 64, () => extremeKernel(name, 'f64')),
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

function maskFunctions(functions: PerFormat): Record<FormatName, Elementwise> {
  return elementwiseOf(
    { f32: maskFunction(functions.f32, 'f32'), f64: maskFunction(functions.f64, 'f64') },
    2,
  );
}

const quiet = maskFunctions(floatCompareQuiet);
const signalling = maskFunctions(floatCompareSignalling);

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

/** The predicate is the immediate: 3 bits in legacy instructions, 5 in VEX ones. */
const compareKernel =
  (format: FormatName) =>
  (op: Operation): Kernel => {
    const predicate = op.constantImmediate(op.isVex ? 3 : 2) & (op.isVex ? 31 : 7);
    const set = predicates[predicate & 15];
    const functions = isSignallingPredicate(predicate) ? signalling : quiet;
    return ({ x, call, state, mxcsr }, [a, b], isScalar) => {
      const quick = compareNumbers(x, format, set, a, b);
      const isClean = areSet(x, format, cleanElements(x, format, [a, b]), isScalar);
      return quickUnless(x, ValueType.v128, quick, x.eqz(isClean), () =>
        answer(call, sized(functions[format], isScalar), [state, a, b, x.i32(set), mxcsr]),
      );
    };
  };

// COMIS and UCOMIS.

/**
 * The flags of an order are (SDM vol. 2A, COMISD): less CF, equal ZF, unordered ZF, PF and CF. In the canonical form a `result` of 0 has PF, which bit 8 of `aux`
 * takes away.
 */
const lessAux = 0xc0000000 | 0;

const scalarOps = {
  f32: { extract: Op.f32x4ExtractLane, less: Op.f32Lt, equal: Op.f32Eq },
  f64: { extract: Op.f64x2ExtractLane, less: Op.f64Lt, equal: Op.f64Eq },
} as const;

const compareFlags =
  (functions: PerFormat, format: FormatName): Definition =>
  (op) => {
    const { x } = op;
    const ops = scalarOps[format];
    const vectors = [op.readVector(0), readLow(op, 1, format)];
    const { call, state, mxcsr } = collectingContext(op);
    const isZero = x.temporary(ValueType.i32);
    const aux = x.temporary(ValueType.i32);
    const [a, b] = vectors.map((vector) => x.extractLane(ops.extract, vector, 0));
    const isEqual = x.compute(ops.equal, a, b);
    x.write(isZero, isEqual);
    const carry = x.select(x.compute(ops.less, a, b), x.i32(lessAux), x.i32(0));
    x.write(aux, x.or(carry, x.shl(isEqual, x.i32(8))));
    x.if(
      x.eqz(areSet(x, format, cleanElements(x, format, vectors), true)),
      () => {
        const bits = vectors.map((vector) => x.extractLane(native[format].packed.extract, vector, 0));
        const order = answer(call, functions[format], [state, ...bits, mxcsr]);
        const isOf = (set: number): Value => x.ne(x.and(order, x.i32(set)), x.i32(0));
        x.write(isZero, isOf(equal | unordered));
        const slowCarry = x.select(isOf(less | unordered), x.i32(lessAux), x.i32(0));
        x.write(aux, x.or(slowCarry, x.shl(isOf(equal), x.i32(8))));
      },
      undefined,
      false,
    );
    op.writeFlags({ result: x.extendU(x.eqz(x.read(isZero))), aux: x.read(aux) });
  };

/** Comparisons, and what they select. */
export const compare: Family = {
  definitions: withVex({
    ...extremes('MIN', 'min'),
    ...extremes('MAX', 'max'),
    CMPPS: packed(2, compareKernel('f32')),
    CMPPD: packed(2, compareKernel('f64')),
    CMPSS: scalar(2, 'f32', 32, compareKernel('f32')),
    CMPSD: scalar(2, 'f64', 64, compareKernel('f64')),
    COMISS: compareFlags(floatCompareSignalling, 'f32'),
    COMISD: compareFlags(floatCompareSignalling, 'f64'),
    UCOMISS: compareFlags(floatCompareQuiet, 'f32'),
    UCOMISD: compareFlags(floatCompareQuiet, 'f64'),
  }),
  constantImmediates: namesWithVex(['CMPPS', 'CMPPD', 'CMPSS', 'CMPSD']),
};
