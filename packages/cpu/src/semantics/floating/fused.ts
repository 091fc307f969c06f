import { type Expressions, Op, type Value, ValueType } from '@nest86/wasm';
import { answer } from '../../library/float/format.ts';
import { FmaSign } from '../../library/float/fused.ts';
import { fastFma, fastFmaPacked } from '../../library/float/fused-fast.ts';
import { native } from '../../library/float/native.ts';
import type { Definition, Family } from '../operation.ts';
import { shuffleElements } from '../vector/packed.ts';
import { collectExceptions, collectingContext, computeLanes, contextOf, quickUnless } from './exceptions.ts';
import { doubtfulElements, isDoubtful } from './fast.ts';
import { type Elementwise, elementwise, type Kernel, readBits, readLow, sized } from './operands.ts';

const { negateProduct, negateAddend, flipOddAddends } = FmaSign;

/** Operands in the order a, b, c of a · b + c: the digits of the mnemonic, from 0. */
type Order = readonly [number, number, number];

/** Upper and lower half of four f32 numbers as f64 ones. */
function widened(x: Expressions, vector: Value): readonly [Value, Value] {
  const upper = shuffleElements(x, 64, vector, vector, [1, 1]);
  return [x.compute(Op.f64x2PromoteLowF32x4, vector), x.compute(Op.f64x2PromoteLowF32x4, upper)];
}

/**
 * a · b + c in f32: the product is exact in f64, and the sum is rounded twice, to 53 and to 24 bits. The second rounding errs only if the first came
 * to lie halfway between two f32 numbers. What is not normal, or may show that it is inexact, is left to the library.
 */
const quickKernel =
  (signs: number): Kernel =>
  (context, vectors, isScalar) => {
    const { x, call, state, mxcsr } = context;
    const negate = (vector: Value, mask: readonly number[]): Value =>
      mask.some((word) => word !== 0) ? x.compute(Op.v128Xor, vector, x.v128(mask)) : vector;
    const signWords = (isEvenNegated: boolean, isOddNegated: boolean): readonly number[] =>
      [0, 1, 2, 3].map((i) => (((i & 1) === 0 ? isEvenNegated : isOddNegated) ? 0x80000000 | 0 : 0));
    const isProductNegated = (signs & negateProduct) !== 0;
    const isEvenNegated = (signs & negateAddend) !== 0;
    const isOddNegated = isEvenNegated !== ((signs & flipOddAddends) !== 0);
    const factor = negate(vectors[0], signWords(isProductNegated, isProductNegated));
    const addend = negate(vectors[2], signWords(isEvenNegated, isOddNegated));
    const wide = [factor, vectors[1], addend].map((vector) => widened(x, vector));
    const halves = (isScalar ? [0] : [0, 1]).map((half) => {
      const sum = x.compute(Op.f64x2Mul, wide[0][half], wide[1][half]);
      return x.compute(Op.f64x2Add, sum, wide[2][half]);
    });
    const narrow = halves.map((half) => x.compute(Op.f32x4DemoteF64x2Zero, half));
    const computed = isScalar ? narrow[0] : shuffleElements(x, 64, narrow[0], narrow[1], [0, 2]);
    // Of either half, the elements' signs: 29 bits below f32's last place that are 1 and zeros.
    const halfways = halves.map((half) => {
      const below = x.compute(Op.v128And, half, x.v128([0x1fffffff, 0, 0x1fffffff, 0]));
      return x.compute(Op.i64x2Eq, below, x.v128([0x10000000, 0, 0x10000000, 0]));
    });
    const halfway = isScalar ? halfways[0] : shuffleElements(x, 32, halfways[0], halfways[1], [0, 2, 4, 6]);
    const doubts = x.compute(Op.v128Or, doubtfulElements(context, 'f32', [...vectors], computed), halfway);
    return quickUnless(x, ValueType.v128, computed, isDoubtful(context, 'f32', doubts, isScalar), () => {
      const slow = sized(fusedSingles, isScalar);
      return answer(call, slow, [state, ...vectors, x.i32(signs), mxcsr]);
    });
  };

/** (state, a, b, c, signs, mxcsr) → v128. */
const fusedSingles: Elementwise = {
  packed: fastFmaPacked.f32,
  scalar: elementwise(fastFma.f32, { from: 32, to: 32, vectors: 3 }).scalar,
};

/** Of f32: several calls of the library need one collection of exceptions. */
const packedSingles =
  (signs: number, order: Order): Definition =>
  (op) => {
    const lanes = Array.from({ length: op.lanes }, (_, lane) =>
      order.map((operand) => op.readVector(operand, lane)),
    );
    computeLanes(op, (context, lane) => quickKernel(signs)(context, lanes[lane], false));
  };

const scalarSingles =
  (signs: number, order: Order): Definition =>
  (op) => {
    const { x } = op;
    const operands = order.map((operand) => readLow(op, operand, 'f32'));
    const low = quickKernel(signs)(collectingContext(op), operands, true);
    op.writeVector(0, [shuffleElements(x, 32, low, op.readVector(0), [0, 5, 6, 7])]);
  };

const packedDoubles =
  (signs: number, order: Order): Definition =>
  (op) => {
    const { x } = op;
    const lanes = Array.from({ length: op.lanes }, (_, lane) =>
      order.map((operand) => op.readVector(operand, lane)),
    );
    const { state, call, mxcsr } = contextOf(op);
    collectExceptions(op, () => {
      for (const [lane, operands] of lanes.entries())
        lanes[lane] = [answer(call, fastFmaPacked.f64, [state, ...operands, x.i32(signs), mxcsr])];
    });
    op.writeVector(0, lanes.flat());
  };

const scalarDoubles =
  (signs: number, order: Order): Definition =>
  (op) => {
    const { x } = op;
    const operands = order.map((operand) => readBits(op, operand, 'f64'));
    const { state, call, mxcsr } = contextOf(op);
    let result = operands[0];
    collectExceptions(op, () => {
      result = answer(call, fastFma.f64, [state, ...operands, x.i32(signs), mxcsr]);
    });
    op.writeVector(0, [x.replaceLane(native.f64.packed.replace, op.readVector(0), result, 0)]);
  };

const kinds = {
  MADD: 0,
  MSUB: negateAddend,
  NMADD: negateProduct,
  NMSUB: negateProduct | negateAddend,
} as const;
const alternatingKinds = {
  MADDSUB: negateAddend | flipOddAddends,
  MSUBADD: flipOddAddends,
} as const;

function define(): Record<string, Definition> {
  const definitions: Record<string, Definition> = {};
  for (const digits of ['132', '213', '231']) {
    const order = [...digits].map((digit) => Number(digit) - 1) as unknown as Order;
    for (const [name, signs] of Object.entries({ ...kinds, ...alternatingKinds })) {
      definitions[`VF${name}${digits}PS`] = packedSingles(signs, order);
      definitions[`VF${name}${digits}PD`] = packedDoubles(signs, order);
    }
    for (const [name, signs] of Object.entries(kinds)) {
      definitions[`VF${name}${digits}SS`] = scalarSingles(signs, order);
      definitions[`VF${name}${digits}SD`] = scalarDoubles(signs, order);
    }
  }
  return definitions;
}

/** FMA3. */
export const fused: Family = { definitions: define() };
