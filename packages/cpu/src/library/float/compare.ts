import { type Expressions, type Value, ValueType } from '@nest86/wasm';
import type { LibraryFunction } from '../function.ts';
import { reportDenormal } from './arithmetic.ts';
import { anyNaN, FloatFlag, reportConstant, takeOperands } from './exceptions.ts';
import {
  type FloatFormat,
  fromWord,
  isSignalling,
  lowBits,
  type PerFormat,
  perFormat,
  signBit,
  toWord,
} from './format.ts';

/** Answers of {@link floatCompareQuiet}: a predicate is a set of them. */
export const Order = { less: 1, equal: 2, greater: 4, unordered: 8 } as const;

/** An i64 that orders as the numbers do, signed; both zeros are 0. */
function orderKey(x: Expressions, format: FloatFormat, word: Value): Value {
  const magnitude = x.and(word, lowBits(x, format.bits - 1));
  const isNegative = x.ne(x.and(word, signBit(x, format)), x.i64(0));
  return x.select(isNegative, x.sub(x.i64(0), magnitude), magnitude);
}

function compare(format: FloatFormat, isSignallingKind: boolean): LibraryFunction {
  return {
    name: `${format.name}.compare${isSignallingKind ? 'Signalling' : 'Quiet'}`,
    parameters: [ValueType.i32, format.type, format.type, ValueType.i32],
    result: ValueType.i32,
    build: (x, [state, bitsA, bitsB, mxcsr]) => {
      const words = [bitsA, bitsB].map((bits) => toWord(x, format, bits));
      const order = x.temporary(ValueType.i32);
      x.if(
        anyNaN(x, format, words),
        () => {
          const signalling = x.or(isSignalling(x, format, words[0]), isSignalling(x, format, words[1]));
          x.if(isSignallingKind ? x.i32(1) : signalling, () => reportConstant(x, state, FloatFlag.invalid));
          x.write(order, x.i32(Order.unordered));
        },
        () => {
          const { words: taken, denormal } = takeOperands(x, format, words, mxcsr);
          reportDenormal({ x, state }, denormal);
          const [a, b] = taken.map((word) => orderKey(x, format, word));
          const unequal = x.select(x.ltS(a, b), x.i32(Order.less), x.i32(Order.greater));
          x.write(order, x.select(x.eq(a, b), x.i32(Order.equal), unequal));
        },
        false,
      );
      return x.read(order);
    },
  };
}

/** MIN, MAX: the second operand as it is if any is a NaN or both are zeros (SDM vol. 2, MINPS). */
function extreme(format: FloatFormat, isMax: boolean): LibraryFunction {
  return {
    name: `${format.name}.${isMax ? 'max' : 'min'}`,
    parameters: [ValueType.i32, format.type, format.type, ValueType.i32],
    result: format.type,
    build: (x, [state, bitsA, bitsB, mxcsr]) => {
      const words = [bitsA, bitsB].map((bits) => toWord(x, format, bits));
      const { words: taken, denormal } = takeOperands(x, format, words, mxcsr);
      const result = x.temporary(ValueType.i64);
      const [a, b] = taken;
      x.if(
        anyNaN(x, format, words),
        () => {
          reportConstant(x, state, FloatFlag.invalid);
          x.write(result, b);
        },
        () => {
          reportDenormal({ x, state }, denormal);
          const [keyA, keyB] = [orderKey(x, format, a), orderKey(x, format, b)];
          x.write(result, x.select(isMax ? x.ltS(keyB, keyA) : x.ltS(keyA, keyB), a, b));
        },
        false,
      );
      return fromWord(x, format, x.read(result));
    },
  };
}

/** (state, a, b, mxcsr) → {@link Order}. Quiet: only signalling NaNs are invalid (UCOMISS); signalling: all are (COMISS). */
export const floatCompareQuiet: PerFormat = perFormat((format) => compare(format, false));
export const floatCompareSignalling: PerFormat = perFormat((format) => compare(format, true));
/** (state, a, b, mxcsr) → number; a is the destination. */
export const floatMin: PerFormat = perFormat((format) => extreme(format, false));
export const floatMax: PerFormat = perFormat((format) => extreme(format, true));
