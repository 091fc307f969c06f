import { type Expressions, Op, type Value, ValueType } from '@nest86/wasm';
import type { LibraryFunction } from '../function.ts';
import { floatAdd, floatDivide, floatMultiply, floatSqrt, floatSubtract } from './arithmetic.ts';
import { Mxcsr } from './exceptions.ts';
import {
  answer,
  type FloatFormat,
  infinity,
  isDenormal,
  isZero,
  magnitudeOf,
  type PerFormat,
  perFormat,
  powerOfTwo,
  toWord,
} from './format.ts';
import {
  type ArithmeticName,
  isNotOrdinary,
  isNotSilent,
  isSilent,
  nameOf,
  nativeOf,
  withoutSign,
} from './native.ts';

const proper: Readonly<Record<ArithmeticName, PerFormat>> = {
  add: floatAdd,
  subtract: floatSubtract,
  multiply: floatMultiply,
  divide: floatDivide,
  sqrt: floatSqrt,
};

/** i32: a·b = r exactly, where r is a·b rounded to nearest; all are normal numbers. */
function isExactProduct(x: Expressions, format: FloatFormat, a: Value, b: Value, r: Value): Value {
  if (format.bits === 32) {
    // 48 bits fit f64.
    const [wideA, wideB, wideR] = [a, b, r].map((value) => x.compute(Op.f64PromoteF32, value));
    return x.compute(Op.f64Eq, x.compute(Op.f64Mul, wideA, wideB), wideR);
  }
  // The product of the significands modulo 2^64: exact if everything below its upper 53 bits is 0. With an exponent's lowest bit set, the
  // exponents do not reach the lower 53 bits of the product, and that bit itself is the significand's leading one.
  const [bitsA, bitsB, bitsR] = [a, b, r].map((value) => x.compute(Op.i64ReinterpretF64, value));
  const one = powerOfTwo(x, 52);
  const product = x.mul(x.or(bitsA, one), x.or(bitsB, one));
  // It has 106 bits, not 105, if its fraction is below that of a factor.
  const carries = x.ltU(x.shl(bitsR, x.i64(12)), x.shl(bitsA, x.i64(12)));
  return x.eqz(x.shl(product, x.sub(x.i64(12), x.extendU(carries))));
}

/** i32: a + b = r exactly, where r is a + b rounded to nearest (Knuth's TwoSum). False if anything is infinite or a NaN. */
function isExactSum(x: Expressions, format: FloatFormat, a: Value, b: Value, r: Value): Value {
  const { add, subtract, equal } = nativeOf(format);
  const virtualB = x.compute(subtract, r, a);
  const virtualA = x.compute(subtract, r, virtualB);
  const error = x.compute(add, x.compute(subtract, a, virtualA), x.compute(subtract, b, virtualB));
  return x.compute(equal, error, format.bits === 32 ? x.f32(0) : x.f64(0, 0));
}

/** i32: r, ordinary and rounded to nearest, is what `name` gives exactly for normal operands. */
function isExact(
  x: Expressions,
  name: ArithmeticName,
  format: FloatFormat,
  values: readonly Value[],
  r: Value,
): Value {
  const { neg, equal, multiply } = nativeOf(format);
  const [a, b] = values;
  switch (name) {
    case 'add':
      return isExactSum(x, format, a, b, r);
    case 'subtract':
      return isExactSum(x, format, a, x.compute(neg, b), r);
    case 'multiply':
      return isExactProduct(x, format, a, b, r);
    default: {
      // The quotient or root, multiplied again.
      const factor = name === 'divide' ? b : r;
      const back = x.compute(multiply, r, factor);
      return x.and(x.compute(equal, back, a), isExactProduct(x, format, r, factor, back));
    }
  }
}

/** i32, for a result that is 0: it is exact, and its sign is the same in every rounding. */
function isExactZero(
  x: Expressions,
  name: ArithmeticName,
  format: FloatFormat,
  words: readonly Value[],
  mxcsr: Value,
): Value {
  switch (name) {
    case 'add':
    case 'subtract': {
      const down = x.i32(1 << Mxcsr.roundingControl);
      return x.ne(x.and(mxcsr, x.i32(3 << Mxcsr.roundingControl)), down);
    }
    case 'multiply':
      return x.or(isZero(x, format, words[0]), isZero(x, format, words[1]));
    case 'divide':
      return x.or(isZero(x, format, words[0]), x.eq(magnitudeOf(x, format, words[1]), infinity(x, format)));
    default:
      return x.i32(1);
  }
}

function careful(name: ArithmeticName, format: FloatFormat): LibraryFunction {
  const count = name === 'sqrt' ? 1 : 2;
  const ops = nativeOf(format);
  return {
    name: `${format.name}.careful.${name}`,
    parameters: [ValueType.i32, ...Array.from({ length: count }, () => format.type), ValueType.i32],
    result: format.type,
    build: (x, parameters, call) => {
      const [bits, mxcsr] = [parameters.slice(1, count + 1), parameters[count + 1]];
      const words = bits.map((one) => toWord(x, format, one));
      const values = bits.map((one) => x.compute(ops.fromBits, one));
      const r = x.compute(ops[name], values[0], values[1]);
      const computed = x.compute(ops.toBits, r);
      const result = x.temporary(format.type);
      x.write(result, computed);
      x.block((done) => {
        x.block((unsure) => {
          for (const word of words) unsure(isDenormal(x, format, word));
          const shifted = withoutSign(x, format, computed);
          x.if(
            x.eqz(shifted),
            () => unsure(x.eqz(isExactZero(x, name, format, words, mxcsr))),
            () => {
              unsure(isNotOrdinary(x, format, shifted));
              x.if(isNotSilent(x, mxcsr), () => unsure(x.eqz(isExact(x, name, format, values, r))));
            },
          );
          done();
        });
        x.write(result, answer(call, proper[name][nameOf(format)], parameters));
      });
      return x.read(result);
    },
  };
}

const carefully: Readonly<Record<ArithmeticName, PerFormat>> = {
  add: perFormat((format) => careful('add', format)),
  subtract: perFormat((format) => careful('subtract', format)),
  multiply: perFormat((format) => careful('multiply', format)),
  divide: perFormat((format) => careful('divide', format)),
  sqrt: perFormat((format) => careful('sqrt', format)),
};

/**
 * The library's functions with a shorter way for what {@link fastScalar} leaves: (state, operands..., mxcsr) → number, the same results and
 * flags.
 */
export function carefulOf(name: ArithmeticName, format: 'f32' | 'f64'): LibraryFunction {
  return carefully[name][format];
}

/** (state, a, b, mxcsr) → result, v128. */
function carefulPacked(name: ArithmeticName, format: FloatFormat): LibraryFunction {
  const { packed, lanes } = nativeOf(format);
  const count = name === 'sqrt' ? 1 : 2;
  return {
    name: `${format.name}.careful.packed.${name}`,
    parameters: [ValueType.i32, ...Array.from({ length: count }, () => ValueType.v128), ValueType.i32],
    result: ValueType.v128,
    build: (x, parameters, call) => {
      const [state, mxcsr] = [parameters[0], parameters[count + 1]];
      const vectors = parameters.slice(1, count + 1);
      const r = x.compute(packed[name], vectors[0], vectors[1]);
      const result = x.temporary(ValueType.v128);
      x.write(result, r);
      x.block((done) => {
        x.if(
          isSilent(x, mxcsr),
          () => done(areLanesSure(x, name, format, vectors, r)),
          () => {
            // Only the sign of an exact zero depends on the rounding then.
            const control = x.and(mxcsr, x.i32(3 << Mxcsr.roundingControl));
            const isDown = x.eq(control, x.i32(1 << Mxcsr.roundingControl));
            const exact = areLanesExact(x, name, format, vectors, r);
            if (exact === undefined) return;
            done(x.and(x.and(exact, x.eqz(isDown)), areLanesSure(x, name, format, vectors, r)));
          },
        );
        for (let lane = 0; lane < lanes; lane++) {
          const operands = vectors.map((vector) => x.extractLane(packed.extract, vector, lane));
          const bits = answer(call, carefulOf(name, nameOf(format)), [state, ...operands, mxcsr]);
          x.write(result, x.replaceLane(packed.replace, x.read(result), bits, lane));
        }
      });
      return x.read(result);
    },
  };
}

/** i32: as {@link careful} decides, for all lanes at once where inexact results are silent. */
function areLanesSure(
  x: Expressions,
  name: ArithmeticName,
  format: FloatFormat,
  vectors: readonly Value[],
  r: Value,
): Value {
  const { packed } = nativeOf(format);
  const { least, infinite, zero } = vectorLimits(x, format);
  const and = (a: Value, b: Value): Value => x.compute(Op.v128And, a, b);
  const or = (a: Value, b: Value): Value => x.compute(Op.v128Or, a, b);
  const zeros = vectors.map((vector) => x.compute(packed.equal, vector, zero));
  const sizes = vectors.map((vector) => x.compute(packed.abs, vector));
  const fine = sizes.map((size, i) => or(x.compute(packed.atLeast, size, least), zeros[i]));
  const size = x.compute(packed.abs, r);
  const ordinary = and(x.compute(packed.greater, size, least), x.compute(packed.less, size, infinite));
  const isZeroResult = x.compute(packed.equal, r, zero);
  const exactZero =
    name === 'multiply'
      ? and(isZeroResult, or(zeros[0], zeros[1]))
      : name === 'divide'
        ? and(isZeroResult, or(zeros[0], x.compute(packed.equal, sizes[1], infinite)))
        : isZeroResult;
  const all = fine.reduce(and, or(ordinary, exactZero));
  return x.compute(packed.allTrue, all);
}

/** i32: all lanes are exact, where {@link areLanesSure}. Undefined: there is no quick way to know. */
function areLanesExact(
  x: Expressions,
  name: ArithmeticName,
  format: FloatFormat,
  [a, b]: readonly Value[],
  r: Value,
): Value | undefined {
  const { packed } = nativeOf(format);
  if (name === 'add' || name === 'subtract') {
    const addend = name === 'add' ? b : x.compute(packed.neg, b);
    const virtualB = x.compute(packed.subtract, r, a);
    const virtualA = x.compute(packed.subtract, r, virtualB);
    const errorA = x.compute(packed.subtract, a, virtualA);
    const error = x.compute(packed.add, errorA, x.compute(packed.subtract, addend, virtualB));
    return x.compute(packed.allTrue, x.compute(packed.equal, error, x.v128([0, 0, 0, 0])));
  }
  if (format.bits === 64) return undefined;
  // Of f32 products, 48 bits fit f64: two lanes at a time.
  const [factor, other, product] =
    name === 'multiply' ? [a, b, r] : name === 'divide' ? [r, b, a] : [r, r, a];
  const half = [8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15];
  const equal = [false, true].map((isUpper) => {
    const [wideFactor, wideOther, wideProduct] = [factor, other, product].map((vector) =>
      x.compute(Op.f64x2PromoteLowF32x4, isUpper ? x.shuffle(vector, vector, half) : vector),
    );
    return x.compute(Op.f64x2Eq, x.compute(Op.f64x2Mul, wideFactor, wideOther), wideProduct);
  });
  return x.compute(Op.i64x2AllTrue, x.compute(Op.v128And, equal[0], equal[1]));
}

/** In every lane: the smallest normal number, infinity, 0. */
export function vectorLimits(
  x: Expressions,
  format: FloatFormat,
): { least: Value; infinite: Value; zero: Value } {
  const splat = (high: number): Value =>
    format.bits === 32 ? x.v128([high, high, high, high]) : x.v128([0, high, 0, high]);
  const place = format.bits === 32 ? format.fraction : format.fraction - 32;
  return {
    least: splat(1 << place),
    infinite: splat(format.maxExponent << place),
    zero: x.v128([0, 0, 0, 0]),
  };
}

const carefullyPacked: Readonly<Record<ArithmeticName, PerFormat>> = {
  add: perFormat((format) => carefulPacked('add', format)),
  subtract: perFormat((format) => carefulPacked('subtract', format)),
  multiply: perFormat((format) => carefulPacked('multiply', format)),
  divide: perFormat((format) => carefulPacked('divide', format)),
  sqrt: perFormat((format) => carefulPacked('sqrt', format)),
};

export function carefulPackedOf(name: ArithmeticName, format: 'f32' | 'f64'): LibraryFunction {
  return carefullyPacked[name][format];
}
