import { type Expressions, Op, type Value, ValueType } from '@nest86/wasm';
import type { CallLibrary } from '../function.ts';
import { carefulOf, carefulPackedOf, vectorLimits } from './careful.ts';
import { answer, f32, f64 } from './format.ts';
import {
  type ArithmeticName,
  isNotOrdinary,
  isNotPositive,
  isNotSilent,
  isTiny,
  native,
  withoutSign,
} from './native.ts';

/*
 * Arithmetic by the host's own instructions, where these give the result and the flags that the library would. WebAssembly rounds to nearest
 * even and shows no flags. What must be excluded:
 *   - operands that are denormal: they raise DE, or are zeros under DAZ;
 *   - results that are NaN (bits are not portable), infinite (overflow, or an operand's), or tiny. The smallest normal number may be a
 *     rounded tiny result, so the result must be above it, or an exact 0;
 *   - an inexact result, unless nobody can see it: PE is set already, PM masks it, and RC is nearest ("silent").
 * DAZ, FTZ and the other masks have no influence on what is left.
 *
 * Inline code tests all of that for operands and results that are not 0. What fails goes to a `careful` library function, which knows zeros and
 * finds out by error-free transformations whether the result is exact; only what fails there too is computed by the library proper.
 */

/** What a definition hands to the fast paths. */
export interface FastContext {
  readonly x: Expressions;
  readonly call: CallLibrary;
  /** i32, address of the state block: exceptions are added to its `floatFlags`. */
  readonly state: Value;
  /** i32 */
  readonly mxcsr: Value;
}

const formats = { f32, f64 } as const;

/**
 * A scalar operation, most often without a call.
 * @param operands f32 or f64 values, one for `sqrt`, else two; the answer is of the same type
 */
export function fastScalar(
  { x, call, state, mxcsr }: FastContext,
  name: ArithmeticName,
  format: 'f32' | 'f64',
  operands: readonly Value[],
): Value {
  const ops = native[format];
  const shape = formats[format];
  const result = x.temporary(ops.type);
  const computed = x.compute(ops[name], operands[0], operands[1]);
  x.write(result, computed);
  x.block((done) => {
    x.block((unsure) => {
      const bitsOf = (value: Value): Value => x.compute(ops.toBits, value);
      unsure(isNotSilent(x, mxcsr));
      // The root of what is normal and positive is normal.
      if (name === 'sqrt') unsure(isNotPositive(x, shape, bitsOf(operands[0])));
      else {
        unsure(isNotOrdinary(x, shape, withoutSign(x, shape, bitsOf(computed))));
        for (const operand of operands) unsure(isTiny(x, shape, withoutSign(x, shape, bitsOf(operand))));
      }
      done();
    });
    const bits = operands.map((operand) => x.compute(ops.toBits, operand));
    const slow = answer(call, carefulOf(name, format), [state, ...bits, mxcsr]);
    x.write(result, x.compute(ops.fromBits, slow));
  });
  return x.read(result);
}

/**
 * The same for all lanes of 128 bits.
 * @param operands v128, one for `sqrt`, else two
 */
export function fastPacked(
  { x, call, state, mxcsr }: FastContext,
  name: ArithmeticName,
  format: 'f32' | 'f64',
  operands: readonly Value[],
): Value {
  const { packed } = native[format];
  const result = x.temporary(ValueType.v128);
  const computed = x.compute(packed[name], operands[0], operands[1]);
  x.write(result, computed);
  x.block((done) => {
    x.block((unsure) => {
      const { least, infinite } = vectorLimits(x, formats[format]);
      unsure(isNotSilent(x, mxcsr));
      const absolute = (vector: Value): Value => x.compute(packed.abs, vector);
      // A NaN makes the result one; the smallest of all sizes need not see it.
      const size = name === 'sqrt' ? operands[0] : absolute(computed);
      const sizes = name === 'sqrt' ? [] : operands.map(absolute);
      const smallest = sizes.reduce((a, b) => x.compute(packed.pmin, a, b), size);
      const isAbove = x.compute(packed.greater, smallest, least);
      const isBelow = x.compute(packed.less, size, infinite);
      unsure(x.eqz(x.compute(packed.allTrue, x.compute(Op.v128And, isAbove, isBelow))));
      done();
    });
    x.write(result, answer(call, carefulPackedOf(name, format), [state, ...operands, mxcsr]));
  });
  return x.read(result);
}
