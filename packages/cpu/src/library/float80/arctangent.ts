import { Op, type Value, ValueType } from '@nest86/wasm';
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
} from './body.ts';
import { propagate } from './nan.ts';
import { round } from './round.ts';
import { arcSeries, inexact, multiply, normalizeWide, quotient, toFraction } from './series.ts';
import {
  addWide,
  lessWide,
  multiplyWide,
  selectWide,
  shiftLeftWide,
  shiftRightWide,
  subtractWide,
  type Wide,
  wideConstant,
} from './wide.ts';

type Words = readonly [number, number, number, number];

/** π, π/2, and the arctangents of 0, ¼, ½, ¾, 1 in U2.126. */
const pi: Words = [0xc90fdaa2, 0x2168c234, 0xc4c6628b, 0x80dc1cd1];
const halfPi: Words = [0x6487ed51, 0x10b4611a, 0x62633145, 0xc06e0e68];
const arctangents: readonly Words[] = [
  [0, 0, 0, 0],
  [0x0fadbafc, 0x96406eb1, 0x56dc79ef, 0x5f7a217e],
  [0x1dac6705, 0x61bb4f68, 0xadfc88bd, 0x978751a0],
  [0x292f1f46, 0x4d3dc249, 0x066a1fca, 0x915f6b27],
  [0x3243f6a8, 0x885a308d, 0x313198a2, 0xe0370734],
];

/**
 * arctan(n / d) for n / d = (significand n / significand d) × 2^-distance, at most 1: (state, n i64, d i64, distance i32) to the
 * magnitude with its top bit set; its exponent, biased, is stored.
 */
const arctangentOfQuotient: LibraryFunction = {
  name: 'float80.arctangentOfQuotient',
  parameters: [ValueType.i32, ValueType.i64, ValueType.i64, ValueType.i32],
  result: ValueType.i64,
  build: (x, [state, n, d, distance], call) => {
    const body = new Body(x, [state, x.i32(0)], call);
    // The nearest quarter: the rest is then at most 1/8. From a distance of 4 on it is 0.
    const isFar = x.geU(distance, x.i32(4));
    const near = x.extendU(x.select(isFar, x.i32(0), distance));
    const upper = x.add(x.shrU(d, x.i64(32)), x.i64(1));
    const ratio = x.compute(Op.i64DivU, x.shrU(n, near), upper);
    const rounded = x.shrU(x.add(ratio, x.i64(0x20000000)), x.i64(30));
    const quarters = x.select(isFar, x.i64(0), rounded);
    // (4n - kd) / (4d + kn), n by its distance.
    const wideN = { high: x.i64(0), low: n };
    const wideD = shiftLeftWide(x, { high: x.i64(0), low: d }, near);
    const fourN = shiftLeftWide(x, wideN, x.i64(2));
    const product = multiplyWide(x, d, quarters);
    const kd = shiftLeftWide(x, product, near);
    const isBelow = lessWide(x, fourN, kd);
    const top = selectWide(x, isBelow, subtractWide(x, kd, fourN), subtractWide(x, fourN, kd));
    const bottom = addWide(x, shiftLeftWide(x, wideD, x.i64(2)), multiplyWide(x, n, quarters));
    const z = body.callWide(quotient, [state, top.high, top.low, bottom.high, bottom.low]);
    const scale = x.sub(x.sub(body.storedExponent(), x.i32(1)), x.select(isFar, distance, x.i32(0)));
    // An exact quarter has no rest.
    const isExact = x.eqz(x.or(top.high, top.low));
    const rest = selectWide(x, isExact, { high: x.i64(0), low: x.i64(0) }, z);
    const fraction = toFraction(body, rest, scale);
    const square = multiply(body, fraction, fraction);
    const series = body.callWide(arcSeries, [state, square.high, square.low, x.i32(1)]);
    const arc = multiply(body, rest, series);
    x.if(
      x.eqz(quarters),
      () => {
        const result = normalizeWide(body, arc, x.add(scale, x.i32(exponentBias + 1)));
        body.storeExponent(result.exponent);
        body.giveWide(result.wide);
      },
      () => {
        const places = x.sub(x.i32(0), scale);
        const limited = x.select(x.ltU(places, x.i32(127)), places, x.i32(127));
        const part = shiftRightWide(x, arc, x.extendU(limited));
        let known: Wide = wideConstant(x, arctangents[1]);
        for (let k = 2; k <= 4; k++) {
          known = selectWide(x, x.eq(quarters, x.i64(k)), wideConstant(x, arctangents[k]), known);
        }
        const sum = selectWide(x, isBelow, subtractWide(x, known, part), addWide(x, known, part));
        const result = normalizeWide(body, sum, x.i32(exponentBias + 1));
        body.storeExponent(result.exponent);
        body.giveWide(result.wide);
      },
    );
    return body.finish();
  },
};

/**
 * FPATAN: the angle of the point with a (ST(0)) as abscissa and b (ST(1)) as ordinate, from -π to π (SDM vol. 2A, table 3-31). PC does
 * not matter.
 */
export const arctangent: LibraryFunction = float80Function('arctangent', 2, (body) => {
  const { x } = body;
  const [a, b] = body.operands;
  const control = x.or(body.control, x.i32(fullPrecision));
  const giveAngle = ({ wide, exponent }: { wide: Wide; exponent: Value }): void => {
    const { high, low } = inexact(body, wide);
    body.giveCall(round, [body.state, b.sign, exponent, high, low, control]);
  };
  x.block((leave) => {
    x.if(x.or(isSpecialNan(x, a), isSpecialNan(x, b)), () => {
      body.giveNan(a, b, propagate);
      leave();
    });
    body.giveOperand(a);
    body.checkDenormal(x.or(isDenormal(x, a), isDenormal(x, b)), leave);
    const isInfiniteA = isInfinite(x, a);
    const isInfiniteB = isInfinite(x, b);
    const isZeroB = isZero(x, b);
    x.if(x.or(isInfiniteB, x.and(isZero(x, a), x.eqz(isZeroB))), () => {
      // ½π; beside an infinite abscissa ¼π or ¾π.
      const half = wideConstant(x, halfPi);
      const quarterPi = wideConstant(x, arctangents[4]);
      const wide = selectWide(x, a.sign, addWide(x, half, quarterPi), quarterPi);
      const angle = selectWide(x, isInfiniteA, wide, half);
      giveAngle(normalizeWide(body, angle, x.i32(exponentBias + 1)));
      leave();
    });
    x.if(x.or(isInfiniteA, isZeroB), () => {
      x.if(
        a.sign,
        () => giveAngle({ wide: wideConstant(x, pi), exponent: x.i32(exponentBias + 1) }),
        () => body.giveZero(b.sign),
      );
      leave();
    });
    const [one, other] = [normalize(x, a), normalize(x, b)];
    const isSame = x.eq(one.exponent, other.exponent);
    const isSteep = x.select(
      isSame,
      x.gtU(other.significand, one.significand),
      x.compute(Op.i32GtS, other.exponent, one.exponent),
    );
    const n = x.select(isSteep, one.significand, other.significand);
    const d = x.select(isSteep, other.significand, one.significand);
    const difference = x.sub(one.exponent, other.exponent);
    const distance = x.select(isSteep, x.sub(x.i32(0), difference), difference);
    const wide = body.callWide(arctangentOfQuotient, [body.state, n, d, distance]);
    const exponent = body.storedExponent();
    x.if(
      x.or(isSteep, isNotZero(x, a.sign)),
      () => {
        // From ½π or π, in U2.126.
        const places = x.sub(x.i32(exponentBias + 1), exponent);
        const limited = x.select(x.ltU(places, x.i32(127)), places, x.i32(127));
        const part = shiftRightWide(x, wide, x.extendU(limited));
        const half = wideConstant(x, halfPi);
        const steep = selectWide(x, a.sign, addWide(x, half, part), subtractWide(x, half, part));
        const flat = subtractWide(x, wideConstant(x, pi), part);
        giveAngle(normalizeWide(body, selectWide(x, isSteep, steep, flat), x.i32(exponentBias + 1)));
      },
      () => giveAngle({ wide, exponent }),
    );
  });
});
