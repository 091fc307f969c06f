import { type Expressions, Op, type Value } from '@nest86/wasm';
import { wordsVector, zero } from '../../library/vector/constants.ts';
import type { Definition, Family } from '../operation.ts';
import {
  binary,
  direct,
  joinMmx,
  type LaneBinary,
  namesWithVex,
  shuffleElements,
  unary,
  withVex,
} from './packed.ts';
import { binaryImmediate } from './shuffles.ts';

/** The upper halves of 32-bit elements of `low`, then of `high`, as 16-bit elements. */
function upperHalves(x: Expressions, low: Value, high: Value): Value {
  return shuffleElements(x, 16, low, high, [1, 3, 5, 7, 9, 11, 13, 15]);
}

/** PMULHW, PMULHUW. */
const multiplyHigh = (low: number, high: number): Definition =>
  binary((x, a, b) => upperHalves(x, x.compute(low, a, b), x.compute(high, a, b)));

/** PMULHRSW: as WebAssembly's rounding multiplication, but -1 times -1 gives 8000H. */
const multiplyRounded = binary((x, a, b) => {
  const least = wordsVector(x, 0x80008000 | 0);
  const isOverflow = x.compute(Op.v128And, x.compute(Op.i16x8Eq, a, least), x.compute(Op.i16x8Eq, b, least));
  return x.compute(Op.v128Xor, x.compute(Op.i16x8Q15mulrSatS, a, b), isOverflow);
});

/** PMULUDQ, PMULDQ: the even elements. */
const multiplyEven = (opcode: number): Definition =>
  binary((x, a, b) => {
    const even = (value: Value): Value => shuffleElements(x, 32, value, value, [0, 2, 0, 2]);
    return x.compute(opcode, even(a), even(b));
  });

/** PMADDUBSW: `a` without, `b` with sign; sums of neighbours saturate. */
const multiplyAddBytes = binary((x, a, b) => {
  const even = x.compute(
    Op.i16x8Mul,
    x.compute(Op.v128And, a, wordsVector(x, 0x00ff00ff)),
    x.compute(Op.i16x8ShrS, x.compute(Op.i16x8Shl, b, x.i32(8)), x.i32(8)),
  );
  const odd = x.compute(
    Op.i16x8Mul,
    x.compute(Op.i16x8ShrU, a, x.i32(8)),
    x.compute(Op.i16x8ShrS, b, x.i32(8)),
  );
  return x.compute(Op.i16x8AddSatS, even, odd);
});

/** PHADD and PHSUB: the first of each two neighbours with the second. */
function horizontal(bits: 16 | 32, opcode: number): Definition {
  const count = 256 / bits;
  const compute: LaneBinary = (x, a, b) => {
    const every = (first: number): Value =>
      shuffleElements(
        x,
        bits,
        a,
        b,
        Array.from({ length: count / 2 }, (_, i) => 2 * i + first),
      );
    return x.compute(opcode, every(0), every(1));
  };
  return binary(compute, joinMmx(compute));
}

interface Integer {
  readonly sub: number;
  readonly equal: number;
  readonly less: number;
}
const byte: Integer = { sub: Op.i8x16Sub, equal: Op.i8x16Eq, less: Op.i8x16LtS };
const word: Integer = { sub: Op.i16x8Sub, equal: Op.i16x8Eq, less: Op.i16x8LtS };
const doubleword: Integer = { sub: Op.i32x4Sub, equal: Op.i32x4Eq, less: Op.i32x4LtS };

/** PSIGN: `a` with the sign of `b`, or 0. */
const applySign = ({ sub, equal, less }: Integer): Definition =>
  binary((x, a, b) => {
    const isNegative = x.compute(less, b, zero(x));
    const signed = x.compute(sub, x.compute(Op.v128Xor, a, isNegative), isNegative);
    return x.compute(Op.v128AndNot, signed, x.compute(equal, b, zero(x)));
  });

/** Differences of unsigned bytes, without sign. */
function byteDistance(x: Expressions, a: Value, b: Value): Value {
  return x.compute(Op.v128Or, x.compute(Op.i8x16SubSatU, a, b), x.compute(Op.i8x16SubSatU, b, a));
}

/** PSADBW: a sum for each eight bytes. */
const sumOfDistances = binary((x, a, b) => {
  const words = x.compute(Op.i16x8ExtaddPairwiseI8x16U, byteDistance(x, a, b));
  const doublewords = x.compute(Op.i32x4ExtaddPairwiseI16x8U, words);
  const sums = x.compute(Op.i64x2Add, doublewords, x.compute(Op.i64x2ShrU, doublewords, x.i32(32)));
  return x.compute(Op.v128And, sums, x.v128([-1, 0, -1, 0]));
});

/** MPSADBW: eight overlapping groups of four bytes of `a` against one group of `b`; the second lane has bits 5:3 of the immediate. */
const multipleSums = binaryImmediate((x, a, b, immediate, lane) => {
  const control = immediate >> (3 * lane);
  const first = control & 4;
  const group = 4 * (control & 3);
  let sums = zero(x);
  for (let i = 0; i < 4; i++) {
    const window = x.shuffle(
      a,
      a,
      Array.from({ length: 16 }, (_, k) => (first + i + k) & 15),
    );
    const against = x.shuffle(b, b, new Array(16).fill(group + i));
    const distances = x.compute(Op.i16x8ExtendLowI8x16U, byteDistance(x, window, against));
    sums = x.compute(Op.i16x8Add, sums, distances);
  }
  return sums;
});

/** PHMINPOSUW: the least word and its number. */
const leastWord: Definition = unary((x, a) => {
  // Value above number: the least of them is the first least value.
  const numbered = (opcode: number, numbers: readonly number[]): Value =>
    x.compute(Op.v128Or, x.compute(Op.i32x4Shl, x.compute(opcode, a), x.i32(16)), x.v128(numbers));
  let least = x.compute(
    Op.i32x4MinU,
    numbered(Op.i32x4ExtendLowI16x8U, [0, 1, 2, 3]),
    numbered(Op.i32x4ExtendHighI16x8U, [4, 5, 6, 7]),
  );
  for (const order of [
    [2, 3, 0, 1],
    [1, 0, 3, 2],
  ])
    least = x.compute(Op.i32x4MinU, least, shuffleElements(x, 32, least, least, order));
  return x.shuffle(least, zero(x), [2, 3, 0, 1, ...new Array(12).fill(16)]);
});

/** Arithmetic and comparisons of packed integers. */
export const integers: Family = {
  definitions: withVex({
    PADDB: direct(Op.i8x16Add),
    PADDW: direct(Op.i16x8Add),
    PADDD: direct(Op.i32x4Add),
    PADDQ: direct(Op.i64x2Add),
    PADDSB: direct(Op.i8x16AddSatS),
    PADDSW: direct(Op.i16x8AddSatS),
    PADDUSB: direct(Op.i8x16AddSatU),
    PADDUSW: direct(Op.i16x8AddSatU),
    PSUBB: direct(Op.i8x16Sub),
    PSUBW: direct(Op.i16x8Sub),
    PSUBD: direct(Op.i32x4Sub),
    PSUBQ: direct(Op.i64x2Sub),
    PSUBSB: direct(Op.i8x16SubSatS),
    PSUBSW: direct(Op.i16x8SubSatS),
    PSUBUSB: direct(Op.i8x16SubSatU),
    PSUBUSW: direct(Op.i16x8SubSatU),
    PMULLW: direct(Op.i16x8Mul),
    PMULLD: direct(Op.i32x4Mul),
    PMULHW: multiplyHigh(Op.i32x4ExtmulLowI16x8S, Op.i32x4ExtmulHighI16x8S),
    PMULHUW: multiplyHigh(Op.i32x4ExtmulLowI16x8U, Op.i32x4ExtmulHighI16x8U),
    PMULHRSW: multiplyRounded,
    PMULUDQ: multiplyEven(Op.i64x2ExtmulLowI32x4U),
    PMULDQ: multiplyEven(Op.i64x2ExtmulLowI32x4S),
    PMADDWD: direct(Op.i32x4DotI16x8S),
    PMADDUBSW: multiplyAddBytes,
    PHADDW: horizontal(16, Op.i16x8Add),
    PHADDD: horizontal(32, Op.i32x4Add),
    PHADDSW: horizontal(16, Op.i16x8AddSatS),
    PHSUBW: horizontal(16, Op.i16x8Sub),
    PHSUBD: horizontal(32, Op.i32x4Sub),
    PHSUBSW: horizontal(16, Op.i16x8SubSatS),
    PSIGNB: applySign(byte),
    PSIGNW: applySign(word),
    PSIGND: applySign(doubleword),
    PABSB: unary((x, a) => x.compute(Op.i8x16Abs, a)),
    PABSW: unary((x, a) => x.compute(Op.i16x8Abs, a)),
    PABSD: unary((x, a) => x.compute(Op.i32x4Abs, a)),
    PAVGB: direct(Op.i8x16AvgrU),
    PAVGW: direct(Op.i16x8AvgrU),
    PMINSB: direct(Op.i8x16MinS),
    PMINSW: direct(Op.i16x8MinS),
    PMINSD: direct(Op.i32x4MinS),
    PMINUB: direct(Op.i8x16MinU),
    PMINUW: direct(Op.i16x8MinU),
    PMINUD: direct(Op.i32x4MinU),
    PMAXSB: direct(Op.i8x16MaxS),
    PMAXSW: direct(Op.i16x8MaxS),
    PMAXSD: direct(Op.i32x4MaxS),
    PMAXUB: direct(Op.i8x16MaxU),
    PMAXUW: direct(Op.i16x8MaxU),
    PMAXUD: direct(Op.i32x4MaxU),
    PSADBW: sumOfDistances,
    MPSADBW: multipleSums,
    PHMINPOSUW: leastWord,
    PCMPEQB: direct(Op.i8x16Eq),
    PCMPEQW: direct(Op.i16x8Eq),
    PCMPEQD: direct(Op.i32x4Eq),
    PCMPEQQ: direct(Op.i64x2Eq),
    PCMPGTB: direct(Op.i8x16GtS),
    PCMPGTW: direct(Op.i16x8GtS),
    PCMPGTD: direct(Op.i32x4GtS),
    PCMPGTQ: direct(Op.i64x2GtS),
  }),
  constantImmediates: namesWithVex(['MPSADBW']),
};
