import { Op, ValueType } from '@nest86/wasm';
import { arctangent } from '../../src/library/float80/arctangent.ts';
import { add, div, mul, sqrt, sub } from '../../src/library/float80/arithmetic.ts';
import { compare, compareUnordered, examine } from '../../src/library/float80/comparison.ts';
import {
  loadLnOf2,
  loadLog2Of10,
  loadLog2OfE,
  loadLog10Of2,
  loadPi,
} from '../../src/library/float80/constants.ts';
import {
  fromDecimal,
  fromFloat32,
  fromFloat64,
  fromInteger,
  operandFromFloat32,
  operandFromFloat64,
  toDecimal,
  toFloat32,
  toFloat64,
  toInteger16,
  toInteger32,
  toInteger64,
} from '../../src/library/float80/conversion.ts';
import {
  exponential,
  logarithmPlusOneProduct,
  logarithmProduct,
} from '../../src/library/float80/exponential.ts';
import { remainderNearest, remainderTruncated } from '../../src/library/float80/remainder.ts';
import { extract, roundToIntegral, scale } from '../../src/library/float80/scaling.ts';
import { cosine, sine, sineAndCosine, tangent } from '../../src/library/float80/trigonometry.ts';
import type { LibraryFunction } from '../../src/library/function.ts';
import { stateOffset } from '../../src/state/layout.ts';
import type { Comparison } from './compare.ts';

const conditions = 0x4700;

/** An operation with ST(0) and a memory operand, in the other order if `isReverse`. */
function withMemory(
  operation: LibraryFunction,
  convert: LibraryFunction,
  isReverse = false,
): LibraryFunction {
  return {
    name: `test.${operation.name}.${convert.name}`,
    parameters: [ValueType.i32, ValueType.i64, ValueType.i32, convert.parameters[1], ValueType.i32],
    result: operation.result,
    build: (x, [state, significand, signExponent, bits, control], call) => {
      const converted = call(convert, [state, bits, control])!;
      const exponent = x.load(Op.i32Load, state, stateOffset.floatExponent);
      const pairs = [significand, signExponent, converted, exponent];
      const ordered = isReverse ? [converted, exponent, significand, signExponent] : pairs;
      return call(operation, [state, ...ordered, control]);
    },
  };
}

/** What must equal the host bit for bit, by the names of oracle.c. */
export const exact: Readonly<Record<string, Comparison>> = {
  add: { fn: add, args: ['a', 'b'] },
  sub: { fn: sub, args: ['a', 'b'] },
  mul: { fn: mul, args: ['a', 'b'] },
  div: { fn: div, args: ['a', 'b'] },
  sqrt: { fn: sqrt, args: ['a'] },
  rndint: { fn: roundToIntegral, args: ['a'] },
  scale: { fn: scale, args: ['a', 'b'], keeps: 'FSCALE' },
  xtract: { fn: extract, args: ['a'], result: 'two' },
  prem: { fn: remainderTruncated, args: ['a', 'b'], conditions, keeps: 'FPREM' },
  prem1: { fn: remainderNearest, args: ['a', 'b'], conditions, keeps: 'FPREM1' },
  com: { fn: compare, args: ['a', 'b'], result: 'conditions', conditions },
  ucom: { fn: compareUnordered, args: ['a', 'b'], result: 'conditions', conditions },
  xam: { fn: examine, args: ['a'], result: 'conditions', conditions },
  ld32: { fn: fromFloat32, args: ['f32'] },
  ld64: { fn: fromFloat64, args: ['f64'] },
  add32: { fn: withMemory(add, operandFromFloat32), args: ['a', 'b32'] },
  sub64: { fn: withMemory(sub, operandFromFloat64), args: ['a', 'b64'] },
  mul64: { fn: withMemory(mul, operandFromFloat64), args: ['a', 'b64'] },
  divr32: { fn: withMemory(div, operandFromFloat32, true), args: ['a', 'b32'] },
  com32: {
    fn: withMemory(compare, operandFromFloat32),
    args: ['a', 'b32'],
    result: 'conditions',
    conditions,
  },
  com64: {
    fn: withMemory(compare, operandFromFloat64),
    args: ['a', 'b64'],
    result: 'conditions',
    conditions,
  },
  st32: { fn: toFloat32, args: ['a'], result: 4 },
  st64: { fn: toFloat64, args: ['a'], result: 8 },
  ild16: { fn: fromInteger, args: ['i16'] },
  ild32: { fn: fromInteger, args: ['i32'] },
  ild64: { fn: fromInteger, args: ['i64'] },
  ist16: { fn: toInteger16, args: ['a'], result: 2 },
  ist32: { fn: toInteger32, args: ['a'], result: 4 },
  ist64: { fn: toInteger64, args: ['a'], result: 8 },
  istt16: { fn: toInteger16, args: ['a'], result: 2, truncates: true },
  istt32: { fn: toInteger32, args: ['a'], result: 4, truncates: true },
  istt64: { fn: toInteger64, args: ['a'], result: 8, truncates: true },
  bld: { fn: fromDecimal, args: ['a'] },
  bstp: { fn: toDecimal, args: ['a'], result: 'decimal' },
  ldl2t: { fn: loadLog2Of10, args: [] },
  ldl2e: { fn: loadLog2OfE, args: [] },
  ldpi: { fn: loadPi, args: [] },
  ldlg2: { fn: loadLog10Of2, args: [] },
  ldln2: { fn: loadLnOf2, args: [] },
};

/** What must be within a unit of the last place. */
export const transcendental: Readonly<Record<string, Comparison>> = {
  f2xm1: { fn: exponential, args: ['a'] },
  yl2x: { fn: logarithmProduct, args: ['a', 'b'] },
  yl2xp1: { fn: logarithmPlusOneProduct, args: ['a', 'b'] },
  sin: { fn: sine, args: ['a'], conditions: 0x600 },
  cos: { fn: cosine, args: ['a'], conditions: 0x600 },
  sincos: { fn: sineAndCosine, args: ['a'], result: 'two', conditions: 0x600 },
  ptan: { fn: tangent, args: ['a'], result: 'two', conditions: 0x600 },
  patan: { fn: arctangent, args: ['a', 'b'] },
};
