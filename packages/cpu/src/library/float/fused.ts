import { type Expressions, Op, type Value, ValueType } from '@nest86/wasm';
import { type Context, invalid, operation, reportDenormal } from './arithmetic.ts';
import { cancelledZero, takeOperands } from './exceptions.ts';
import {
  infinity,
  isZero,
  magnitudeOf,
  multiplyWide,
  normalize,
  type PerFormat,
  perFormat,
  shiftRightJam,
  signOf,
} from './format.ts';
import { roundTo } from './round.ts';

/**
 * Signs of the FMA3 instructions, bits of {@link floatFma}'s fifth parameter: MADD 0, MSUB 2, NMADD 1, NMSUB 3. The last is for packed ones: the
 * addend's sign once more in lanes 1 and 3, so MADDSUB is 6 and MSUBADD 4.
 */
export const FmaSign = { negateProduct: 1, negateAddend: 2, flipOddAddends: 4 } as const;

/** An exponent below all that a product can have: of a zero, which never is the larger term. */
const zeroExponent = -8192;

/** A term of the sum: leading one in bit 61 of `high`, or 0. */
interface Term {
  readonly sign: Value;
  readonly exponent: Value;
  readonly high: Value;
  /** 64 more bits, if the format needs them. */
  readonly low: Value;
}

function compute(context: Context, given: readonly Value[], [signs]: readonly Value[]): void {
  const { x, call, format, state, mxcsr, result, finish } = context;
  const { words, denormal } = takeOperands(x, format, given, mxcsr);
  const [a, b, c] = words;
  const top = x.i64(format.bits - 1);
  const wideSigns = x.extendU(signs);
  const productSign = signOf(x, format, x.xor(x.xor(a, b), x.shl(wideSigns, top)));
  const addendSign = signOf(x, format, x.xor(c, x.shl(x.shrU(wideSigns, x.i64(1)), top)));
  const zeros = words.map((word) => isZero(x, format, word));
  const infinities = words.map((word) => x.eq(magnitudeOf(x, format, word), infinity(x, format)));
  const zeroProduct = x.or(zeros[0], zeros[1]);
  const infiniteProduct = x.or(infinities[0], infinities[1]);
  x.if(
    x.or(infiniteProduct, infinities[2]),
    () => {
      const opposite = x.and(infinities[2], x.ne(productSign, addendSign));
      x.if(x.and(infiniteProduct, x.or(zeroProduct, opposite)), () => invalid(context));
      reportDenormal(context, denormal);
      finish(x.or(x.select(infiniteProduct, productSign, addendSign), infinity(x, format)));
    },
    undefined,
    false,
  );
  reportDenormal(context, denormal);
  const product = productTerm(context, a, b, zeroProduct, productSign);
  const addend = addendTerm(context, c, zeros[2], addendSign);
  const same = x.eq(product.exponent, addend.exponent);
  const swap = x.select(
    same,
    x.ltU(product.high, addend.high),
    x.compute(Op.i32LtS, product.exponent, addend.exponent),
  );
  const pick = (yes: Term, no: Term): Term => ({
    sign: x.select(swap, yes.sign, no.sign),
    exponent: x.select(swap, yes.exponent, no.exponent),
    high: x.select(swap, yes.high, no.high),
    low: x.select(swap, yes.low, no.low),
  });
  const [large, small] = [pick(addend, product), pick(product, addend)];
  const isDifference = x.ne(productSign, addendSign);
  const distance = x.sub(large.exponent, small.exponent);
  const sum = (format.bits === 32 ? sumOf64 : sumOf128)(x, large, small, distance, isDifference);
  x.if(
    x.eqz(sum.significand),
    () => finish(x.select(isDifference, cancelledZero(x, format, mxcsr), productSign)),
    undefined,
    false,
  );
  const unrounded = {
    sign: large.sign,
    exponent: x.add(large.exponent, sum.exponent),
    significand: sum.significand,
  };
  x.write(result, roundTo(x, call, format, state, unrounded, mxcsr));
}

/** a · b exactly: 48 bits fit `high`, 106 need both. */
function productTerm({ x, format }: Context, a: Value, b: Value, isProductZero: Value, sign: Value): Term {
  const [first, second] = [normalize(x, format, a), normalize(x, format, b)];
  const exponent = x.add(x.add(first.exponent, second.exponent), x.i32(-format.bias));
  const product =
    format.bits === 32
      ? { high: x.shl(x.mul(first.significand, second.significand), x.i64(61 - 47)), low: x.i64(0) }
      : multiplyWide(x, x.shl(first.significand, x.i64(10)), x.shl(second.significand, x.i64(10)));
  // The leading one stands in bit 60 or 61.
  const shift = x.xor(x.shrU(product.high, x.i64(61)), x.i64(1));
  const carried = x.shrU(x.shl(x.shrU(product.low, x.i64(1)), shift), x.i64(63));
  const high = format.bits === 32 ? x.shl(product.high, shift) : x.or(x.shl(product.high, shift), carried);
  const zero = x.i64(0);
  return {
    sign,
    exponent: x.select(isProductZero, x.i32(zeroExponent), x.sub(x.add(exponent, x.i32(1)), x.wrap(shift))),
    high: x.select(isProductZero, zero, high),
    low: format.bits === 32 ? zero : x.select(isProductZero, zero, x.shl(product.low, shift)),
  };
}

function addendTerm({ x, format }: Context, c: Value, isAddendZero: Value, sign: Value): Term {
  const { significand, exponent } = normalize(x, format, c);
  return {
    sign,
    exponent: x.select(isAddendZero, x.i32(zeroExponent), exponent),
    high: x.select(isAddendZero, x.i64(0), x.shl(significand, x.i64(61 - format.fraction))),
    low: x.i64(0),
  };
}

/** A sum's bits, and what its exponent is above that of the larger term when the leading one stands in bit 62. */
interface Sum {
  readonly significand: Value;
  readonly exponent: Value;
}

function sumOf64(x: Expressions, large: Term, small: Term, distance: Value, isDifference: Value): Sum {
  const shift = x.extendU(x.select(x.ltU(distance, x.i32(63)), distance, x.i32(63)));
  const aligned = shiftRightJam(x, small.high, shift);
  const complement = x.sub(x.i64(0), x.extendU(isDifference));
  return {
    significand: x.add(large.high, x.sub(x.xor(aligned, complement), complement)),
    exponent: x.i32(1),
  };
}

function sumOf128(x: Expressions, large: Term, small: Term, distance: Value, isDifference: Value): Sum {
  const high = x.temporary(ValueType.i64);
  const low = x.temporary(ValueType.i64);
  const exponent = x.temporary(ValueType.i32);
  x.write(exponent, x.i32(1));
  const one = x.i64(1);
  x.if(
    x.ltU(distance, x.i32(64)),
    () => {
      const count = x.extendU(distance);
      const rest = x.sub(x.i64(63), count);
      // Two shifts, since a count of 64 would be one of 0.
      const across = x.shl(x.shl(small.high, one), rest);
      const lost = x.shl(x.shl(small.low, one), rest);
      x.write(high, x.shrU(small.high, count));
      x.write(low, x.or(x.or(x.shrU(small.low, count), across), x.extendU(x.ne(lost, x.i64(0)))));
    },
    () => {
      const beyond = x.sub(distance, x.i32(64));
      const count = x.extendU(x.select(x.ltU(beyond, x.i32(63)), beyond, x.i32(63)));
      x.write(high, x.i64(0));
      x.write(low, x.or(shiftRightJam(x, small.high, count), x.extendU(x.ne(small.low, x.i64(0)))));
    },
  );
  const [otherHigh, otherLow] = [x.copy(x.read(high)), x.copy(x.read(low))];
  x.if(
    isDifference,
    () => {
      x.write(low, x.sub(large.low, otherLow));
      x.write(high, x.sub(x.sub(large.high, otherHigh), x.extendU(x.ltU(large.low, otherLow))));
    },
    () => {
      const sum = x.add(large.low, otherLow);
      x.write(low, sum);
      x.write(high, x.add(x.add(large.high, otherHigh), x.extendU(x.ltU(sum, otherLow))));
    },
  );
  // Everything cancelled but the lower half: its bits move up.
  x.if(
    x.eqz(x.read(high)),
    () => {
      const only = x.copy(x.read(low));
      x.write(high, x.shrU(only, one));
      x.write(low, x.shl(only, x.i64(63)));
      x.write(exponent, x.i32(1 - 63));
    },
    undefined,
    false,
  );
  // The bits that a shift to the left brings in come from the lower half.
  const shift = x.sub(x.clz(x.read(high)), one);
  const brought = x.shrU(x.shrU(x.read(low), one), x.sub(x.i64(63), shift));
  const rest = x.ne(x.shl(x.read(low), shift), x.i64(0));
  return {
    significand: x.or(x.or(x.shl(x.read(high), shift), brought), x.extendU(rest)),
    exponent: x.sub(x.read(exponent), x.wrap(shift)),
  };
}

/**
 * a · b + c with one rounding: (state, a, b, c, signs, mxcsr) → number, `signs` as in {@link FmaSign}. Of several NaN operands the first in the
 * order a, b, c answers, its sign as it is; the digits of the mnemonic name the instruction's operands in that order (213: a is the second). ∞ · 0 plus a quiet NaN
 * answers that NaN and is not invalid.
 */
export const floatFma: PerFormat = perFormat((format) => operation('fma', format, 3, compute, 1));
