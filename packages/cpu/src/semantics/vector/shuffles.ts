import { type Expressions, Op, type Value } from '@nest86/wasm';
import { bytesVector, wordsVector, zero } from '../../library/vector/constants.ts';
import type { Definition, Family, Operation } from '../operation.ts';
import { checkPending } from '../x87/stack.ts';
import { enterMmx, readMmxPair, writeMmx } from './mmx.ts';
import {
  binary,
  joinMmx,
  type LaneBinary,
  lowHalf,
  namesWithVex,
  shuffleElements,
  sources,
  splatOf,
  unary,
  withVex,
  writeLanes,
} from './packed.ts';
import { readXmm0 } from './registers.ts';

/** PUNPCKL and PUNPCKH: elements of the halves of both sources in turn. */
function unpack(bits: number, half: 0 | 1): Definition {
  const count = 128 / bits;
  const turns = (first: number): number[] =>
    Array.from({ length: count / 2 }, (_, i) => [first + i, count + first + i]).flat();
  // Of MMX operands, each is in its vector twice: the high half of the low one, if any, comes to the start.
  const mmxFirst = (half * count) / 4;
  return binary(
    (x, a, b) => shuffleElements(x, bits, a, b, turns((half * count) / 2)),
    (x, a, b) => shuffleElements(x, bits, a, b, turns(mmxFirst)),
  );
}

/** PACKSS and PACKUS. */
function pack(opcode: number): Definition {
  const compute: LaneBinary = (x, a, b) => x.compute(opcode, a, b);
  return binary(compute, joinMmx(compute));
}

/** Fields of two bits, lowest first. */
const pairs = (immediate: number): number[] => [0, 2, 4, 6].map((shift) => (immediate >> shift) & 3);

const lastImmediate = (op: Operation): number => op.constantImmediate(op.operandCount - 1) & 0xff;

/** Instructions with one source and an immediate. */
const unaryImmediate =
  (compute: (x: Expressions, a: Value, immediate: number, lane: number) => Value): Definition =>
  (op) =>
    unary((x, a, lane) => compute(x, a, lastImmediate(op), lane))(op);

type ImmediateComputation = (x: Expressions, a: Value, b: Value, immediate: number, lane: number) => Value;

/** Instructions with two sources and an immediate. */
export const binaryImmediate =
  (compute: ImmediateComputation, computeMmx: ImmediateComputation = compute): Definition =>
  (op) =>
    binary(
      (x, a, b, lane) => compute(x, a, b, lastImmediate(op), lane),
      (x, a, b, lane) => computeMmx(x, a, b, lastImmediate(op), lane),
    )(op);

const shuffleDoublewords = unaryImmediate((x, a, immediate) =>
  shuffleElements(x, 32, a, a, pairs(immediate)),
);

const shuffleLowWords = unaryImmediate((x, a, immediate) =>
  shuffleElements(x, 16, a, a, [...pairs(immediate), 4, 5, 6, 7]),
);

const shuffleHighWords = unaryImmediate((x, a, immediate) =>
  shuffleElements(x, 16, a, a, [0, 1, 2, 3, ...pairs(immediate).map((i) => i + 4)]),
);

/** SHUFPS: two elements of each source. */
const shuffleSingles = binaryImmediate((x, a, b, immediate) =>
  shuffleElements(
    x,
    32,
    a,
    b,
    pairs(immediate).map((i, to) => (to < 2 ? i : i + 4)),
  ),
);

const shuffleDoubles = binaryImmediate((x, a, b, immediate, lane) => {
  const bits = immediate >> (2 * lane);
  return shuffleElements(x, 64, a, b, [bits & 1, 2 + ((bits >> 1) & 1)]);
});

const permuteDoublesInLane = unaryImmediate((x, a, immediate, lane) => {
  const bits = immediate >> (2 * lane);
  return shuffleElements(x, 64, a, a, [bits & 1, (bits >> 1) & 1]);
});

/** Bytes `count` to `count + 15` of `high:low`, zeros from byte 32 on. */
function alignBytes(x: Expressions, high: Value, low: Value, count: number): Value {
  if (count >= 32) return zero(x);
  const isBeyond = count >= 16;
  return x.shuffle(
    isBeyond ? high : low,
    isBeyond ? zero(x) : high,
    Array.from({ length: 16 }, (_, i) => i + (count & 15)),
  );
}

const alignRight = binaryImmediate(
  (x, a, b, immediate) => alignBytes(x, a, b, immediate),
  (x, a, b, immediate) => alignBytes(x, zero(x), shuffleElements(x, 64, b, a, [0, 2]), immediate),
);

/** PSLLDQ and PSRLDQ. */
const shiftBytes =
  (isLeft: boolean): Definition =>
  (op) => {
    const { x } = op;
    const count = Math.min(lastImmediate(op), 16);
    const source = op.isVex ? 1 : 0;
    writeLanes(op, (lane) => {
      const value = op.readVector(source, lane);
      return isLeft ? alignBytes(x, value, zero(x), 16 - count) : alignBytes(x, zero(x), value, count);
    });
  };

/** Elements of `b` where the immediate has ones; its bits go on in the second lane, or repeat there. */
const blend = (bits: number, repeats: boolean): Definition =>
  binaryImmediate((x, a, b, immediate, lane) => {
    const count = 128 / bits;
    const choice = repeats ? immediate : immediate >> (count * lane);
    const elements = Array.from({ length: count }, (_, i) => (((choice >> i) & 1) !== 0 ? i + count : i));
    return shuffleElements(x, bits, a, b, elements);
  });

/** All ones in elements whose sign is set. */
function signMask(x: Expressions, bits: 8 | 32 | 64, value: Value): Value {
  const less = { 8: Op.i8x16LtS, 32: Op.i32x4LtS, 64: Op.i64x2LtS }[bits];
  return x.compute(less, value, zero(x));
}

/** BLENDVPS and the like: the mask is XMM0, or the fourth operand of VEX forms. */
const blendVariable =
  (bits: 8 | 32 | 64): Definition =>
  (op) => {
    const { x } = op;
    const [first, second] = sources(op);
    writeLanes(op, (lane) => {
      const b = op.readVector(second, lane);
      const mask = op.isVex ? op.readVector(3, lane) : readXmm0(op);
      return x.compute(Op.v128Bitselect, b, op.readVector(first, lane), signMask(x, bits, mask));
    });
  };

/** Repeats four bytes. */
const everyDoubleword = (bytes: readonly number[]): number[] => [bytes, bytes, bytes, bytes].flat();

/** PSHUFB: of a control byte, bit 7 makes zero, else bits 3:0 choose; so does a swizzle, but for bits 6:4. */
const shuffleByBytes = binary(
  (x, a, b) => x.compute(Op.i8x16Swizzle, a, x.compute(Op.v128And, b, wordsVector(x, 0x8f8f8f8f | 0))),
  (x, a, b) => x.compute(Op.i8x16Swizzle, a, x.compute(Op.v128And, b, wordsVector(x, 0x87878787 | 0))),
);

/** Byte numbers for a swizzle, from 32-bit element numbers below 64. */
function doublewordControl(x: Expressions, elements: Value): Value {
  const scaled = x.compute(Op.i32x4Shl, elements, x.i32(2));
  const low = x.shuffle(
    scaled,
    scaled,
    [0, 4, 8, 12].flatMap((i) => [i, i, i, i]),
  );
  return x.compute(Op.v128Or, low, bytesVector(x, everyDoubleword([0, 1, 2, 3])));
}

/** VPERMILPS, VPERMILPD with an immediate or a vector of controls. */
const permuteSingles: Definition = (op) => {
  if (op.kind(2) === 'immediate') shuffleDoublewords(op);
  else
    binary((x, a, b) => {
      const elements = x.compute(Op.v128And, b, wordsVector(x, 3));
      return x.compute(Op.i8x16Swizzle, a, doublewordControl(x, elements));
    })(op);
};

const permuteDoubles: Definition = (op) => {
  if (op.kind(2) === 'immediate') permuteDoublesInLane(op);
  else
    binary((x, a, b) => {
      // Bit 1 of each control chooses.
      const isHigh = x.compute(Op.i64x2ShrS, x.compute(Op.i64x2Shl, b, x.i32(62)), x.i32(63));
      const low = shuffleElements(x, 64, a, a, [0, 0]);
      const high = shuffleElements(x, 64, a, a, [1, 1]);
      return x.compute(Op.v128Bitselect, high, low, isHigh);
    })(op);
};

/** VPERMD, VPERMPS: the first source holds element numbers, 3 bits of each. */
const permuteDoublewords: Definition = (op) => {
  const { x } = op;
  const [low, high] = [op.readVector(2, 0), op.readVector(2, 1)];
  writeLanes(op, (lane) => {
    const elements = x.compute(Op.v128And, op.readVector(1, lane), wordsVector(x, 7));
    const control = doublewordControl(x, elements);
    // A swizzle gives 0 for numbers that are not below 16: each half answers for its own.
    const upper = x.compute(Op.i8x16Sub, control, wordsVector(x, 0x10101010));
    return x.compute(
      Op.v128Or,
      x.compute(Op.i8x16Swizzle, low, control),
      x.compute(Op.i8x16Swizzle, high, upper),
    );
  });
};

/** VPERMQ, VPERMPD. */
const permuteQuadwords: Definition = (op) => {
  const { x } = op;
  const chosen = pairs(lastImmediate(op));
  const halves = [op.readVector(1, 0), op.readVector(1, 1)];
  writeLanes(op, (lane) => {
    const [low, high] = [chosen[2 * lane], chosen[2 * lane + 1]];
    return shuffleElements(x, 64, halves[low >> 1], halves[high >> 1], [low & 1, 2 + (high & 1)]);
  });
};

/** VPERM2F128, VPERM2I128. */
const permuteLanes: Definition = (op) => {
  const immediate = lastImmediate(op);
  // The memory operand is read whatever is chosen.
  const halves = [op.readVector(1, 0), op.readVector(1, 1), op.readVector(2, 0), op.readVector(2, 1)];
  writeLanes(op, (lane) => {
    const control = immediate >> (4 * lane);
    return (control & 8) !== 0 ? zero(op.x) : halves[control & 3];
  });
};

const insertLane: Definition = (op) => {
  const lane = lastImmediate(op) & 1;
  const inserted = op.readVector(2);
  const kept = op.readVector(1, lane ^ 1);
  op.writeVector(0, lane === 0 ? [inserted, kept] : [kept, inserted]);
};

const extractLane: Definition = (op) => op.writeVector(0, [op.readVector(1, lastImmediate(op) & 1)]);

const broadcast =
  (bits: 8 | 16 | 32 | 64): Definition =>
  (op) => {
    const value = op.x.compute(splatOf(bits), op.readElement(1, bits));
    writeLanes(op, () => value);
  };

const broadcastLane: Definition = (op) => {
  const value = op.readVector(1);
  op.writeVector(0, [value, value]);
};

interface Element {
  readonly bits: 8 | 16 | 32 | 64;
  readonly extract: number;
  readonly replace: number;
}
const elements: Readonly<Record<'B' | 'W' | 'D' | 'Q', Element>> = {
  B: { bits: 8, extract: Op.i8x16ExtractLaneU, replace: Op.i8x16ReplaceLane },
  W: { bits: 16, extract: Op.i16x8ExtractLaneU, replace: Op.i16x8ReplaceLane },
  D: { bits: 32, extract: Op.i32x4ExtractLane, replace: Op.i32x4ReplaceLane },
  Q: { bits: 64, extract: Op.i64x2ExtractLane, replace: Op.i64x2ReplaceLane },
};

/** PINSRB to PINSRQ; PINSRW of MMX too. */
const insert =
  ({ bits, replace }: Element): Definition =>
  (op) => {
    const { x } = op;
    const [first, second] = sources(op);
    const isMmx = op.kind(0) === 'mmx';
    if (isMmx) checkPending(op);
    let value = op.read(second);
    if (bits < 64 && op.bits(second) === 64) value = x.wrap(value);
    const into = isMmx ? readMmxPair(op, first) : op.readVector(first);
    const element = lastImmediate(op) & ((isMmx ? 64 : 128) / bits - 1);
    const result = x.replaceLane(replace, into, value, element);
    if (isMmx) writeMmx(op, lowHalf(x, result));
    else op.writeVector(0, [result]);
  };

/** PEXTRB to PEXTRQ, EXTRACTPS; PEXTRW of MMX too. */
const extract =
  ({ bits, extract: opcode }: Element): Definition =>
  (op) => {
    const { x } = op;
    const isMmx = op.kind(1) === 'mmx';
    if (isMmx) checkPending(op);
    const from = isMmx ? readMmxPair(op, 1) : op.readVector(1);
    const element = lastImmediate(op) & ((isMmx ? 64 : 128) / bits - 1);
    const value = x.extractLane(opcode, from, element);
    const isWidened = bits < 64 && op.bits(0) === 64;
    if (isMmx) enterMmx(op);
    op.write(0, isWidened ? x.extendU(value) : value);
  };

/** INSERTPS: bits 7:6 choose the source of a register, 5:4 the place, 3:0 what becomes zero. */
const insertSingle: Definition = (op) => {
  const { x } = op;
  const [first, second] = sources(op);
  const immediate = lastImmediate(op);
  const [from, to] = [immediate >> 6, (immediate >> 4) & 3];
  const value = op.isMemory(second)
    ? op.read(second)
    : x.extractLane(Op.i32x4ExtractLane, op.readVector(second), from);
  const inserted = x.replaceLane(Op.i32x4ReplaceLane, op.readVector(first), value, to);
  const kept = [0, 1, 2, 3].map((i) => (((immediate >> i) & 1) !== 0 ? 0 : -1));
  op.writeVector(0, [kept.includes(0) ? x.compute(Op.v128And, inserted, x.v128(kept)) : inserted]);
};

/** PMOVSX, PMOVZX: one, two or three doublings of the element width. */
const extend =
  (from: 8 | 16 | 32, to: 16 | 32 | 64, isSigned: boolean): Definition =>
  (op) => {
    const { x } = op;
    let value = extensionSource(op, (128 / (to / from)) * op.lanes);
    for (let bits: number = from; bits < to / 2; bits *= 2)
      value = x.compute(extension(bits, isSigned, 0), value);
    writeLanes(op, (lane) => x.compute(extension(to / 2, isSigned, lane as 0 | 1), value));
  };

/** A vector that begins with the `bits` that are to be extended. */
function extensionSource(op: Operation, bits: number): Value {
  if (!op.isMemory(1) || bits === 128) return op.readVector(1);
  return op.x.compute(splatOf(bits), op.readElement(1, bits));
}

/** The WebAssembly instruction that extends elements of so many bits in the low or the high half. */
function extension(bits: number, isSigned: boolean, half: 0 | 1): number {
  const rows: Record<number, readonly [number, number, number, number]> = {
    8: [Op.i16x8ExtendLowI8x16U, Op.i16x8ExtendHighI8x16U, Op.i16x8ExtendLowI8x16S, Op.i16x8ExtendHighI8x16S],
    16: [
      Op.i32x4ExtendLowI16x8U,
      Op.i32x4ExtendHighI16x8U,
      Op.i32x4ExtendLowI16x8S,
      Op.i32x4ExtendHighI16x8S,
    ],
    32: [
      Op.i64x2ExtendLowI32x4U,
      Op.i64x2ExtendHighI32x4U,
      Op.i64x2ExtendLowI32x4S,
      Op.i64x2ExtendHighI32x4S,
    ],
  };
  return rows[bits][(isSigned ? 2 : 0) + half];
}

const extensions = ([isSigned, letter]: readonly [boolean, string]): Record<string, Definition> => ({
  [`PMOV${letter}XBW`]: extend(8, 16, isSigned),
  [`PMOV${letter}XBD`]: extend(8, 32, isSigned),
  [`PMOV${letter}XBQ`]: extend(8, 64, isSigned),
  [`PMOV${letter}XWD`]: extend(16, 32, isSigned),
  [`PMOV${letter}XWQ`]: extend(16, 64, isSigned),
  [`PMOV${letter}XDQ`]: extend(32, 64, isSigned),
});

const withImmediate: Readonly<Record<string, Definition>> = {
  PSHUFD: shuffleDoublewords,
  PSHUFLW: shuffleLowWords,
  PSHUFHW: shuffleHighWords,
  SHUFPS: shuffleSingles,
  SHUFPD: shuffleDoubles,
  PALIGNR: alignRight,
  PSLLDQ: shiftBytes(true),
  PSRLDQ: shiftBytes(false),
  BLENDPS: blend(32, false),
  BLENDPD: blend(64, false),
  PBLENDW: blend(16, true),
  INSERTPS: insertSingle,
  EXTRACTPS: extract(elements.D),
  PINSRB: insert(elements.B),
  PINSRW: insert(elements.W),
  PINSRD: insert(elements.D),
  PINSRQ: insert(elements.Q),
  PEXTRB: extract(elements.B),
  PEXTRW: extract(elements.W),
  PEXTRD: extract(elements.D),
  PEXTRQ: extract(elements.Q),
};

const onlyVexWithImmediate: Readonly<Record<string, Definition>> = {
  VPBLENDD: blend(32, false),
  VPERMILPS: permuteSingles,
  VPERMILPD: permuteDoubles,
  VPERMQ: permuteQuadwords,
  VPERMPD: permuteQuadwords,
  VPERM2F128: permuteLanes,
  VPERM2I128: permuteLanes,
  VINSERTF128: insertLane,
  VINSERTI128: insertLane,
  VEXTRACTF128: extractLane,
  VEXTRACTI128: extractLane,
};

/** Instructions that move elements, narrow or widen them. */
export const shuffles: Family = {
  definitions: {
    ...withVex(withImmediate),
    ...onlyVexWithImmediate,
    // Of MMX only; the lower half of PSHUFLW's result.
    PSHUFW: shuffleLowWords,
    ...withVex({
      ...extensions([true, 'S']),
      ...extensions([false, 'Z']),
      PSHUFB: shuffleByBytes,
      PUNPCKLBW: unpack(8, 0),
      PUNPCKLWD: unpack(16, 0),
      PUNPCKLDQ: unpack(32, 0),
      PUNPCKLQDQ: unpack(64, 0),
      PUNPCKHBW: unpack(8, 1),
      PUNPCKHWD: unpack(16, 1),
      PUNPCKHDQ: unpack(32, 1),
      PUNPCKHQDQ: unpack(64, 1),
      UNPCKLPS: unpack(32, 0),
      UNPCKLPD: unpack(64, 0),
      UNPCKHPS: unpack(32, 1),
      UNPCKHPD: unpack(64, 1),
      PACKSSWB: pack(Op.i8x16NarrowI16x8S),
      PACKUSWB: pack(Op.i8x16NarrowI16x8U),
      PACKSSDW: pack(Op.i16x8NarrowI32x4S),
      PACKUSDW: pack(Op.i16x8NarrowI32x4U),
      PBLENDVB: blendVariable(8),
      BLENDVPS: blendVariable(32),
      BLENDVPD: blendVariable(64),
    }),
    VPERMD: permuteDoublewords,
    VPERMPS: permuteDoublewords,
    VBROADCASTSS: broadcast(32),
    VBROADCASTSD: broadcast(64),
    VPBROADCASTB: broadcast(8),
    VPBROADCASTW: broadcast(16),
    VPBROADCASTD: broadcast(32),
    VPBROADCASTQ: broadcast(64),
    VBROADCASTF128: broadcastLane,
    VBROADCASTI128: broadcastLane,
  },
  constantImmediates: [
    ...namesWithVex(Object.keys(withImmediate)),
    ...Object.keys(onlyVexWithImmediate),
    'PSHUFW',
  ],
};
