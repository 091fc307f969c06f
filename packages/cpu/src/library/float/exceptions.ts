import { type Expressions, Op, type Value, ValueType } from '@nest86/wasm';
import { stateOffset } from '../../state/layout.ts';
import type { LibraryFunction } from '../function.ts';
import {
  type FloatFormat,
  f32,
  f64,
  isDenormal,
  isNan,
  isSignalling,
  quietBit,
  signBit,
  signOf,
} from './format.ts';

/** Exception flags in their places in MXCSR (SDM vol. 1, 10.2.3); the mask of flag n is bit n + 7. */
export const FloatFlag = {
  invalid: 1,
  denormal: 2,
  divideByZero: 4,
  overflow: 8,
  underflow: 16,
  precision: 32,
} as const;

/** Other bits of MXCSR. */
export const Mxcsr = {
  denormalsAreZero: 0x40,
  flushToZero: 0x8000,
  /** Bit number of RC: 0 nearest even, 1 down, 2 up, 3 toward zero. */
  roundingControl: 13,
  /** Bit number of the mask of flag 0. */
  masks: 7,
} as const;

/** Adds exceptions (i32) to those of the instruction. */
export function report(x: Expressions, state: Value, flags: Value): void {
  const all = x.or(x.load(Op.i32Load, state, stateOffset.floatFlags), flags);
  x.store(Op.i32Store, state, all, stateOffset.floatFlags);
}

export function reportConstant(x: Expressions, state: Value, flag: number): void {
  report(x, state, x.i32(flag));
}

/**
 * Exceptions as an SSE instruction shows them, after all its lanes: if an unmasked one is found before the computation (invalid, denormal, divide by
 * zero), nothing is computed and what only the computation could raise stays clear (SDM vol. 1, 11.5.2.1).
 * @param flags i32, what the lanes reported
 */
export function settleFlags(x: Expressions, flags: Value, mxcsr: Value): Value {
  const before = x.i32(FloatFlag.invalid | FloatFlag.denormal | FloatFlag.divideByZero);
  const unmasked = unmaskedOf(x, flags, mxcsr);
  return x.select(x.and(unmasked, before), x.and(flags, before), flags);
}

/** Those flags whose masks are clear: any means an exception, #XM. */
export function unmaskedOf(x: Expressions, flags: Value, mxcsr: Value): Value {
  return x.and(x.and(flags, x.xor(x.shrU(mxcsr, x.i32(Mxcsr.masks)), x.i32(-1))), x.i32(0x3f));
}

/** i32, 0 or not. */
export function isUnmasked(x: Expressions, mxcsr: Value, flag: number): Value {
  return x.eqz(x.and(mxcsr, x.i32(flag << Mxcsr.masks)));
}

/** Operands after DAZ, and the denormal exception (i32, flag or 0) that they raise if nothing of higher priority happens. */
export interface Operands {
  readonly words: readonly Value[];
  readonly denormal: Value;
}

/** Applies DAZ. @param words numbers or NaNs */
export function takeOperands(
  x: Expressions,
  format: FloatFormat,
  words: readonly Value[],
  mxcsr: Value,
): Operands {
  const flag = x.temporary(ValueType.i32);
  const cells = words.map((word) => {
    const cell = x.temporary(ValueType.i64);
    x.write(cell, word);
    return cell;
  });
  x.write(flag, x.i32(0));
  const denormals = words.map((word) => isDenormal(x, format, word));
  x.if(
    denormals.reduce((a, b) => x.or(a, b)),
    () =>
      x.if(
        x.and(mxcsr, x.i32(Mxcsr.denormalsAreZero)),
        () => {
          words.forEach((word, i) => {
            x.write(cells[i], x.select(denormals[i], signOf(x, format, word), word));
          });
        },
        () => x.write(flag, x.i32(FloatFlag.denormal)),
      ),
    undefined,
    false,
  );
  return { words: cells.map((cell) => x.read(cell)), denormal: x.read(flag) };
}

/**
 * The NaN that an operation with NaN operands answers (SDM vol. 1, table 4-7, SSE): the first operand that is one, made quiet. Reports invalid
 * if any is signalling.
 */
function propagation(format: FloatFormat, count: number): LibraryFunction {
  return {
    name: `${format.name}.nan${count}`,
    parameters: [ValueType.i32, ...Array.from({ length: count }, () => ValueType.i64)],
    result: ValueType.i64,
    build: (x, [state, ...words]) => {
      x.if(
        words.map((word) => isSignalling(x, format, word)).reduce((a, b) => x.or(a, b)),
        () => reportConstant(x, state, FloatFlag.invalid),
      );
      let chosen = words[count - 1];
      for (let i = count - 2; i >= 0; i--) chosen = x.select(isNan(x, format, words[i]), words[i], chosen);
      return x.or(chosen, quietBit(x, format));
    },
  };
}

const propagations = new Map(
  [f32, f64].flatMap((format) =>
    [1, 2, 3].map((count) => {
      const made = propagation(format, count);
      return [made.name, made] as const;
    }),
  ),
);

/** Function (state, words...) → word for the number of operands; some operand must be a NaN. */
export function nanOf(format: FloatFormat, count: 1 | 2 | 3): LibraryFunction {
  return propagations.get(`${format.name}.nan${count}`)!;
}

/** i32 */
export function anyNaN(x: Expressions, format: FloatFormat, words: readonly Value[]): Value {
  return words.map((word) => isNan(x, format, word)).reduce((a, b) => x.or(a, b));
}

/** Sign of an exact zero that is the sum of numbers with different signs: negative when rounding down. */
export function cancelledZero(x: Expressions, format: FloatFormat, mxcsr: Value): Value {
  const control = x.and(mxcsr, x.i32(3 << Mxcsr.roundingControl));
  return x.select(x.eq(control, x.i32(1 << Mxcsr.roundingControl)), signBit(x, format), x.i64(0));
}
