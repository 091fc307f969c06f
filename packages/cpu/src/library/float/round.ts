import { type Expressions, Op, type Value, ValueType } from '@nest86/wasm';
import type { CallLibrary, LibraryFunction } from '../function.ts';
import { FloatFlag, isUnmasked, Mxcsr, report } from './exceptions.ts';
import {
  answer,
  atMost,
  type FloatFormat,
  f16,
  f32,
  f64,
  infinity,
  lowBits,
  powerOfTwo,
  shiftRightJam,
} from './format.ts';

/** Where the leading one of a significand stands that is to be rounded. */
const leadingBit = 62;

/** What is added to a significand before the bits below its last place are cut: depends on RC and sign (i64, 0 or not). */
function increment(x: Expressions, sign: Value, mxcsr: Value, discarded: number): Value {
  const control = x.and(x.shrU(mxcsr, x.i32(Mxcsr.roundingControl)), x.i32(3));
  const isNegative = x.ne(sign, x.i64(0));
  // Down with a negative or up with a positive number: away from zero.
  const away = x.eq(x.add(control, isNegative), x.i32(2));
  const directed = x.select(away, lowBits(x, discarded), x.i64(0));
  return x.select(control, directed, powerOfTwo(x, discarded - 1));
}

/**
 * Rounds and packs (SDM vol. 1, 4.8.4, 4.9.1.4 to 4.9.1.6): (state, sign, exponent, significand, mxcsr) → word.
 * `sign`: i64, the sign bit in its place. `significand`: i64 with its leading one in {@link leadingBit}; its lowest bit also stands for all that is
 * below. `exponent`: i32, biased, of that leading one; any value down to -100,000, up to what two finite numbers can make.
 *
 * Tiny is what is below the smallest normal number after rounding to the format's precision with an unbounded exponent. For an unmasked
 * overflow or underflow the flags are those of the rounding with unbounded exponent, and the answer means nothing.
 */
function rounding(format: FloatFormat): LibraryFunction {
  const discarded = leadingBit - format.fraction;
  return {
    name: `${format.name}.round`,
    parameters: [ValueType.i32, ValueType.i64, ValueType.i32, ValueType.i64, ValueType.i32],
    result: ValueType.i64,
    build: (x, [state, sign, exponent, significand, mxcsr]) => {
      const result = x.temporary(ValueType.i64);
      const rest = x.temporary(ValueType.i64);
      const field = x.temporary(ValueType.i64);
      const flags = x.temporary(ValueType.i32);
      const step = increment(x, sign, mxcsr, discarded);
      x.block((done) => {
        x.write(rest, significand);
        x.write(field, x.extendS(x.sub(exponent, x.i32(1))));
        x.write(flags, x.i32(0));
        x.if(
          atMost(x, exponent, x.i32(0)),
          () => {
            const carries = x.shrU(x.add(significand, step), x.i64(leadingBit + 1));
            x.if(x.or(x.compute(Op.i32LtS, exponent, x.i32(0)), x.wrap(x.xor(carries, x.i64(1)))), () => {
              x.write(flags, x.i32(FloatFlag.underflow));
              x.if(isUnmasked(x, mxcsr, FloatFlag.underflow), () => {
                report(x, state, x.or(x.i32(FloatFlag.underflow), precision(x, significand, discarded)));
                x.write(result, sign);
                done();
              });
              x.if(x.and(mxcsr, x.i32(Mxcsr.flushToZero)), () => {
                report(x, state, x.i32(FloatFlag.underflow | FloatFlag.precision));
                x.write(result, sign);
                done();
              });
            });
            const shift = x.sub(x.i32(1), exponent);
            const limited = x.select(atMost(x, shift, x.i32(63)), shift, x.i32(63));
            x.write(rest, shiftRightJam(x, significand, x.extendU(limited)));
            x.write(field, x.i64(0));
          },
          undefined,
          false,
        );
        const exact = x.read(rest);
        const low = x.and(exact, lowBits(x, discarded));
        // Halfway, to nearest: the last place becomes even.
        const isTie = x.and(
          x.eq(low, powerOfTwo(x, discarded - 1)),
          x.eqz(x.and(mxcsr, x.i32(3 << Mxcsr.roundingControl))),
        );
        const kept = x.shrU(x.add(exact, step), x.i64(discarded));
        const even = x.and(kept, x.xor(x.extendU(isTie), x.i64(-1)));
        const magnitude = x.add(x.shl(x.read(field), x.i64(format.fraction)), even);
        x.write(result, x.or(sign, magnitude));
        x.if(
          x.geU(magnitude, infinity(x, format)),
          () => {
            const limit = x.select(x.eqz(step), x.sub(infinity(x, format), x.i64(1)), infinity(x, format));
            x.write(result, x.or(sign, limit));
            const inexact = x.select(
              isUnmasked(x, mxcsr, FloatFlag.overflow),
              precision(x, exact, discarded),
              x.i32(FloatFlag.precision),
            );
            report(x, state, x.or(inexact, x.i32(FloatFlag.overflow)));
            done();
          },
          undefined,
          false,
        );
        x.if(x.ne(low, x.i64(0)), () => report(x, state, x.or(x.read(flags), x.i32(FloatFlag.precision))));
      });
      return x.read(result);
    },
  };
}

function precision(x: Expressions, significand: Value, discarded: number): Value {
  const lost = x.and(significand, lowBits(x, discarded));
  return x.shl(x.ne(lost, x.i64(0)), x.i32(5));
}

const roundings = { f16: rounding(f16), f32: rounding(f32), f64: rounding(f64) };

/** What is to be rounded. The leading one may stand anywhere below bit 63; not 0. */
export interface Unrounded {
  readonly sign: Value;
  /** Biased, i32, as if the leading one stood in {@link leadingBit}. */
  readonly exponent: Value;
  readonly significand: Value;
}

/** Moves the leading one where it must be and rounds; the answer is a word. */
export function roundTo(
  x: Expressions,
  call: CallLibrary,
  format: FloatFormat,
  state: Value,
  { sign, exponent, significand }: Unrounded,
  mxcsr: Value,
): Value {
  const shift = x.sub(x.clz(significand), x.i64(63 - leadingBit));
  const moved = x.shl(significand, shift);
  return answer(call, roundings[format.name], [state, sign, x.sub(exponent, x.wrap(shift)), moved, mxcsr]);
}
