import { Op, type Value, ValueType } from '@nest86/wasm';
import { stateOffset } from '../../state/layout.ts';
import type { LibraryFunction } from '../function.ts';
import {
  Body,
  exponentBias,
  float80Function,
  fullPrecision,
  isDenormal,
  isInfinite,
  isNotZero,
  isSpecialNan,
  isZero,
  normalize,
  type Operand,
  Status,
  topBit,
} from './body.ts';
import { propagate } from './nan.ts';
import { round } from './round.ts';
import { inexact, multiply, normalizeWide, quotient, toFraction, trigonometricSeries } from './series.ts';
import {
  addWide,
  clzWide,
  lessWide,
  multiplyWide,
  selectWide,
  shiftLeftWide,
  shiftRightWide,
  subtractWide,
  type Wide,
} from './wide.ts';

/*
 * The processor's π has 66 bits (SDM vol. 1, 8.3.8): 3.243F6A8885A308D3 in base 16. Arguments are reduced with it, exactly, so sines are
 * those of a slightly wrong argument if it is large, as on the processor.
 */

/** 2^64 times the processor's π, without its upper 3. */
const piLow = [0x243f6a88, 0x85a308d3] as const;
/** 2^129 over that number. */
const inverse = [0xa2f9836e, 0x4e44152a] as const;
/** The largest significand of exponent -1 up to π/4. */
const quarter = [0xc90fdaa2, 0x2168c234] as const;
/** Exponent from which on arguments are out of range. */
const rangeExponent = exponentBias + 63;

/**
 * a less a multiple of π/2: (state, significand normalized, exponent i32 biased, sign i32) to the magnitude, at most π/4, top bit set;
 * stores sign and biased exponent (bit 31 is the sign; bit 30 that of the exponent), and the multiple's lowest bits as second exponent.
 */
const reduce: LibraryFunction = {
  name: 'float80.reduce',
  parameters: [ValueType.i32, ValueType.i64, ValueType.i32, ValueType.i32],
  result: ValueType.i64,
  build: (x, [state, significand, exponent, sign], call) => {
    const body = new Body(x, [state, x.i32(0)], call);
    const scale = x.sub(exponent, x.i32(exponentBias));
    const isSmall = x.or(
      x.compute(Op.i32LtS, scale, x.i32(-1)),
      x.and(x.eq(scale, x.i32(-1)), x.leU(significand, x.i64(quarter[1] | 0, quarter[0] | 0))),
    );
    const finish = (wide: Wide, isNegative: Value, resultExponent: Value, multiple: Value): void => {
      body.giveWide(wide);
      const flag = x.shl(isNegative, x.i32(31));
      body.storeExponent(x.or(flag, x.and(resultExponent, x.i32(0x7fffffff))));
      x.store(Op.i32Store, state, multiple, stateOffset.floatSecondExponent);
    };
    x.if(
      isSmall,
      () => finish({ high: significand, low: x.i64(0) }, isNotZero(x, sign), exponent, x.i32(0)),
      () => {
        // In units of 2^-65 a is an integer below 2^128, and π/2 one of 66 bits.
        const places = x.extendU(x.add(scale, x.i32(2)));
        const number = shiftLeftWide(x, { high: x.i64(0), low: significand }, places);
        const half = { high: x.i64(3), low: x.i64(piLow[1] | 0, piLow[0] | 0) };
        const upper = x.shrU(number.high, x.i64(1));
        let count = multiplyWide(x, upper, x.i64(inverse[1] | 0, inverse[0] | 0)).high;
        const product = multiplyWide(x, count, half.low);
        const taken = { high: x.add(product.high, x.mul(count, half.high)), low: product.low };
        let rest = subtractWide(x, number, taken);
        // The quotient was at most two too small.
        for (let i = 0; i < 2; i++) {
          const isReduced = lessWide(x, rest, half);
          rest = selectWide(x, isReduced, rest, subtractWide(x, rest, half));
          count = x.add(count, x.extendU(x.eqz(isReduced)));
        }
        const other = subtractWide(x, half, rest);
        const isPast = lessWide(x, other, rest);
        const magnitude = selectWide(x, isPast, other, rest);
        const zeros = clzWide(x, magnitude);
        const multiple = x.add(x.wrap(count), isPast);
        finish(
          shiftLeftWide(x, magnitude, zeros),
          x.xor(isNotZero(x, sign), isPast),
          x.sub(x.i32(exponentBias + 62), x.wrap(zeros)),
          x.select(sign, x.sub(x.i32(0), multiple), multiple),
        );
      },
    );
    return body.finish();
  },
};

/**
 * (state, r: significand, exponent i32 biased, isCosine i32) to the magnitude of sine or cosine of r, top bit set; its exponent is
 * stored. r is at most π/4.
 */
const sineOrCosine: LibraryFunction = {
  name: 'float80.sineOrCosine',
  parameters: [ValueType.i32, ValueType.i64, ValueType.i64, ValueType.i32, ValueType.i32],
  result: ValueType.i64,
  build: (x, [state, high, low, exponent, isCosine], call) => {
    const body = new Body(x, [state, x.i32(0)], call);
    const fraction = toFraction(body, { high, low }, x.sub(exponent, x.i32(exponentBias)));
    const square = multiply(body, fraction, fraction);
    const last = x.select(isCosine, x.i64(30), x.i64(31));
    const series = body.callWide(trigonometricSeries, [state, square.high, square.low, last]);
    const product = multiply(body, { high, low }, series);
    const result = normalizeWide(
      body,
      selectWide(x, isCosine, series, product),
      x.select(isCosine, x.i32(exponentBias), x.add(exponent, x.i32(1))),
    );
    body.storeExponent(result.exponent);
    body.giveWide(result.wide);
    return body.finish();
  },
};

/** An argument that was reduced. */
interface Reduced {
  readonly wide: Wide;
  readonly exponent: Value;
  /** i32: 0 or 0x8000. */
  readonly sign: Value;
  /** i32: how many times π/2 was taken. */
  readonly multiple: Value;
}

function reduced(body: Body, a: Operand): Reduced {
  const { x, state } = body;
  const { significand, exponent } = normalize(x, a);
  const wide = body.callWide(reduce, [state, significand, exponent, a.sign]);
  const stored = body.storedExponent();
  return {
    wide,
    exponent: x.compute(Op.i32ShrS, x.shl(stored, x.i32(1)), x.i32(1)),
    sign: x.and(x.shrU(stored, x.i32(16)), x.i32(0x8000)),
    multiple: x.load(Op.i32Load, state, stateOffset.floatSecondExponent),
  };
}

/** A number on its way to rounding. */
interface Number {
  readonly wide: Wide;
  readonly exponent: Value;
  readonly sign: Value;
}

/** The sine of a reduced argument and `more` times π/2 (1: cosine). */
function sineOf(body: Body, { wide, exponent, sign, multiple }: Reduced, more: number): Number {
  const { x } = body;
  const quadrant = x.add(multiple, x.i32(more));
  const isCosine = x.and(quadrant, x.i32(1));
  const result = body.callWide(sineOrCosine, [body.state, wide.high, wide.low, exponent, isCosine]);
  const half = x.shl(x.and(quadrant, x.i32(2)), x.i32(14));
  return {
    wide: result,
    exponent: body.storedExponent(),
    sign: x.xor(x.select(isCosine, x.i32(0), sign), half),
  };
}

function roundArguments(body: Body, { wide, exponent, sign }: Number): Value[] {
  const { x } = body;
  const { high, low } = inexact(body, wide);
  return [body.state, sign, exponent, high, low, x.or(body.control, x.i32(fullPrecision))];
}

/**
 * What the trigonometric instructions share: operands out of range (C2, and nothing else happens) and other special ones.
 * @param giveZero for a zero operand
 */
function trigonometric(
  name: string,
  hasSecond: boolean,
  giveZero: (body: Body, a: Operand) => void,
  write: (body: Body, argument: Reduced) => void,
): LibraryFunction {
  return float80Function(name, 1, (body) => {
    const { x } = body;
    const [a] = body.operands;
    const repeat = (): void => {
      if (!hasSecond) return;
      // NaNs are both results.
      const result = body.finish();
      body.giveSecond(result, body.storedExponent());
    };
    x.block((leave) => {
      x.if(isSpecialNan(x, a), () => {
        body.giveNan(a, undefined, propagate);
        repeat();
        leave();
      });
      x.if(isInfinite(x, a), () => {
        body.giveInvalid();
        repeat();
        leave();
      });
      x.if(isZero(x, a), () => {
        giveZero(body, a);
        leave();
      });
      body.giveOperand(a);
      body.checkDenormal(isDenormal(x, a), leave);
      x.if(x.geU(a.exponent, x.i32(rangeExponent)), () => {
        body.raiseConstant(Status.c2);
        leave();
      });
      write(body, reduced(body, a));
    });
  });
}

function giveOne(body: Body): void {
  const { x } = body;
  body.give(topBit(x), x.i32(exponentBias));
}

/** FSIN. With C2 the operand is out of range and stays. PC does not matter here and below. */
export const sine: LibraryFunction = trigonometric(
  'sine',
  false,
  (body, a) => body.giveOperand(a),
  (body, argument) => body.giveCall(round, roundArguments(body, sineOf(body, argument, 0))),
);

/** FCOS. */
export const cosine: LibraryFunction = trigonometric('cosine', false, giveOne, (body, argument) =>
  body.giveCall(round, roundArguments(body, sineOf(body, argument, 1))),
);

/** FSINCOS: the sine, which replaces ST(0); second result: the cosine, which is pushed. With C2 there is none. */
export const sineAndCosine: LibraryFunction = trigonometric(
  'sineAndCosine',
  true,
  (body, a) => {
    const { x } = body;
    body.giveOperand(a);
    body.giveSecond(topBit(x), x.i32(exponentBias));
  },
  (body, argument) => {
    const { x } = body;
    const cosine = roundArguments(body, sineOf(body, argument, 1));
    const rounded = x.copy(body.call(round, cosine));
    const exponent = body.storedExponent();
    // C1 is of the sine.
    body.dropC1();
    body.giveCall(round, roundArguments(body, sineOf(body, argument, 0)));
    body.giveSecond(rounded, exponent);
  },
);

/** FPTAN: the tangent, which replaces ST(0); second result: 1, which is pushed. With C2 there is none. */
export const tangent: LibraryFunction = trigonometric(
  'tangent',
  true,
  (body, a) => {
    const { x } = body;
    body.giveOperand(a);
    body.giveSecond(topBit(x), x.i32(exponentBias));
  },
  (body, argument) => {
    const { x } = body;
    const sine = sineOf(body, argument, 0);
    const cosine = sineOf(body, argument, 1);
    const { wide: n } = sine;
    const { wide: d } = cosine;
    const ratio = body.callWide(quotient, [body.state, n.high, n.low, d.high, d.low]);
    const scale = x.sub(body.storedExponent(), x.i32(1));
    const difference = x.sub(sine.exponent, cosine.exponent);
    const exponent = x.add(x.add(difference, scale), x.i32(exponentBias));
    const sign = x.xor(sine.sign, cosine.sign);
    // The quotient is up to 2^17 too small; that of a tiny argument has to be above the argument.
    const half = shiftRightWide(x, ratio, x.i64(1));
    const more = addWide(x, half, { high: x.i64(0), low: x.i64(0x40000) });
    const result = normalizeWide(body, more, x.add(exponent, x.i32(1)));
    body.giveCall(round, roundArguments(body, { ...result, sign }));
    body.giveSecond(topBit(x), x.i32(exponentBias));
  },
);
