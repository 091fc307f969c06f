import { defineVector, evaluate, type Scalar } from './evaluate.ts';
import { Op } from './opcodes.ts';

/*
 * SIMD for the evaluator, from the names: `i16x8AddSatU` is "add, saturating, unsigned" on eight lanes of 16 bits. Integer lanes are signed
 * BigInts while they are computed, float lanes their bits.
 */
type Lane = (a: bigint, b: bigint) => bigint;
type OpName = keyof typeof Op;

const shapes: Record<string, number> = { i8x16: 8, i16x8: 16, i32x4: 32, i64x2: 64, f32x4: 32, f64x2: 64 };

function lanesOf(vector: Uint8Array, bits: number): bigint[] {
  const data = new DataView(vector.buffer, vector.byteOffset, 16);
  return Array.from({ length: 128 / bits }, (_, i) => {
    if (bits === 8) return BigInt(data.getInt8(i));
    if (bits === 16) return BigInt(data.getInt16(i * 2, true));
    if (bits === 32) return BigInt(data.getInt32(i * 4, true));
    return data.getBigInt64(i * 8, true);
  });
}

/** Packs lanes, wrapped to their width; missing ones are 0. */
function vectorOf(lanes: readonly bigint[], bits: number): Uint8Array {
  const data = new DataView(new ArrayBuffer(16));
  lanes.forEach((lane, i) => {
    if (bits === 8) data.setInt8(i, Number(BigInt.asIntN(8, lane)));
    else if (bits === 16) data.setInt16(i * 2, Number(BigInt.asIntN(16, lane)), true);
    else if (bits === 32) data.setInt32(i * 4, Number(BigInt.asIntN(32, lane)), true);
    else data.setBigInt64(i * 8, BigInt.asIntN(64, lane), true);
  });
  return new Uint8Array(data.buffer);
}

function clamp(value: bigint, bits: number, isSigned: boolean): bigint {
  const low = isSigned ? -(1n << BigInt(bits - 1)) : 0n;
  const high = isSigned ? (1n << BigInt(bits - 1)) - 1n : (1n << BigInt(bits)) - 1n;
  return value < low ? low : value > high ? high : value;
}

function integerLanes(bits: number): Record<string, Lane> {
  const u = (value: bigint) => BigInt.asUintN(bits, value);
  const mask = (value: boolean) => (value ? -1n : 0n);
  return {
    Add: (a, b) => a + b,
    Sub: (a, b) => a - b,
    Mul: (a, b) => a * b,
    AddSatS: (a, b) => clamp(a + b, bits, true),
    AddSatU: (a, b) => clamp(u(a) + u(b), bits, false),
    SubSatS: (a, b) => clamp(a - b, bits, true),
    SubSatU: (a, b) => clamp(u(a) - u(b), bits, false),
    MinS: (a, b) => (a < b ? a : b),
    MinU: (a, b) => (u(a) < u(b) ? a : b),
    MaxS: (a, b) => (a > b ? a : b),
    MaxU: (a, b) => (u(a) > u(b) ? a : b),
    AvgrU: (a, b) => (u(a) + u(b) + 1n) >> 1n,
    Q15mulrSatS: (a, b) => clamp((a * b + 0x4000n) >> 15n, 16, true),
    Eq: (a, b) => mask(a === b),
    Ne: (a, b) => mask(a !== b),
    LtS: (a, b) => mask(a < b),
    LtU: (a, b) => mask(u(a) < u(b)),
    GtS: (a, b) => mask(a > b),
    GtU: (a, b) => mask(u(a) > u(b)),
    LeS: (a, b) => mask(a <= b),
    LeU: (a, b) => mask(u(a) <= u(b)),
    GeS: (a, b) => mask(a >= b),
    GeU: (a, b) => mask(u(a) >= u(b)),
  };
}

for (const shape of ['i8x16', 'i16x8', 'i32x4', 'i64x2']) {
  const bits = shapes[shape];
  for (const [name, lane] of Object.entries(integerLanes(bits))) {
    binary(`${shape}${name}`, (a, b) => vectorOf(zip(lanesOf(a, bits), lanesOf(b, bits), lane), bits));
  }
  unary(`${shape}Abs`, (a) =>
    vectorOf(
      lanesOf(a, bits).map((lane) => (lane < 0n ? -lane : lane)),
      bits,
    ),
  );
  unary(`${shape}Neg`, (a) =>
    vectorOf(
      lanesOf(a, bits).map((lane) => -lane),
      bits,
    ),
  );
  unary(`${shape}AllTrue`, (a) => (lanesOf(a, bits).every((lane) => lane !== 0n) ? 1 : 0));
  unary(`${shape}Bitmask`, (a) =>
    lanesOf(a, bits).reduce((mask, lane, i) => mask | (lane < 0n ? 1 << i : 0), 0),
  );
  shift(`${shape}Shl`, bits, (lane, count) => lane << count);
  shift(`${shape}ShrS`, bits, (lane, count) => lane >> count);
  shift(`${shape}ShrU`, bits, (lane, count) => BigInt.asUintN(bits, lane) >> count);
}

const scalarFloat = [
  'Ceil',
  'Floor',
  'Trunc',
  'Nearest',
  'Sqrt',
  'Abs',
  'Neg',
  'Add',
  'Sub',
  'Mul',
  'Div',
  'Min',
  'Max',
  'Eq',
  'Ne',
  'Lt',
  'Gt',
  'Le',
  'Ge',
];
for (const [shape, scalar] of [
  ['f32x4', 'f32'],
  ['f64x2', 'f64'],
] as const) {
  const bits = shapes[shape];
  const toScalar = (lane: bigint): Scalar =>
    bits === 32 ? Number(BigInt.asUintN(32, lane)) : BigInt.asUintN(64, lane);
  for (const name of scalarFloat) {
    const op = Op[`${scalar}${name}` as OpName];
    const isComparison = /^(Eq|Ne|Lt|Gt|Le|Ge)$/.test(name);
    const compute = (...lanes: bigint[]): bigint => {
      const result = BigInt(evaluate(op, ...lanes.map(toScalar)) as number | bigint);
      return isComparison ? -result : result;
    };
    unaryOrBinary(`${shape}${name}`, (a, b) =>
      vectorOf(
        b === undefined
          ? lanesOf(a, bits).map((lane) => compute(lane))
          : zip(lanesOf(a, bits), lanesOf(b, bits), compute),
        bits,
      ),
    );
  }
  const less = (a: bigint, b: bigint) =>
    evaluate(Op[`${scalar}Lt` as OpName], toScalar(a), toScalar(b)) === 1;
  binary(`${shape}Pmin`, (a, b) =>
    vectorOf(
      zip(lanesOf(a, bits), lanesOf(b, bits), (x, y) => (less(y, x) ? y : x)),
      bits,
    ),
  );
  binary(`${shape}Pmax`, (a, b) =>
    vectorOf(
      zip(lanesOf(a, bits), lanesOf(b, bits), (x, y) => (less(x, y) ? y : x)),
      bits,
    ),
  );
}

/** Narrowing, widening, pairwise sums and widening products, for each step of widths. */
for (const [narrow, wide] of [
  ['i8x16', 'i16x8'],
  ['i16x8', 'i32x4'],
  ['i32x4', 'i64x2'],
] as const) {
  const [narrowBits, wideBits] = [shapes[narrow], shapes[wide]];
  const suffix = narrow[0].toUpperCase() + narrow.slice(1);
  const wideSuffix = wide[0].toUpperCase() + wide.slice(1);
  for (const [sign, isSigned] of [
    ['S', true],
    ['U', false],
  ] as const) {
    const widen = (vector: Uint8Array) =>
      lanesOf(vector, narrowBits).map((lane) => (isSigned ? lane : BigInt.asUintN(narrowBits, lane)));
    for (const [half, from] of [
      ['Low', 0],
      ['High', 1],
    ] as const) {
      const part = (vector: Uint8Array) =>
        widen(vector).slice((from * 64) / narrowBits, ((from + 1) * 64) / narrowBits);
      unary(`${wide}Extend${half}${suffix}${sign}`, (a) => vectorOf(part(a), wideBits));
      binary(`${wide}Extmul${half}${suffix}${sign}`, (a, b) =>
        vectorOf(
          zip(part(a), part(b), (x, y) => x * y),
          wideBits,
        ),
      );
    }
    unary(`${wide}ExtaddPairwise${suffix}${sign}`, (a) => {
      const lanes = widen(a);
      return vectorOf(
        lanes.filter((_, i) => i % 2 === 0).map((lane, i) => lane + lanes[2 * i + 1]),
        wideBits,
      );
    });
    binary(`${narrow}Narrow${wideSuffix}${sign}`, (a, b) =>
      vectorOf(
        [...lanesOf(a, wideBits), ...lanesOf(b, wideBits)].map((lane) => clamp(lane, narrowBits, isSigned)),
        narrowBits,
      ),
    );
  }
}
binary('i32x4DotI16x8S', (a, b) => {
  const products = zip(lanesOf(a, 16), lanesOf(b, 16), (x, y) => x * y);
  return vectorOf(
    [0, 2, 4, 6].map((i) => products[i] + products[i + 1]),
    32,
  );
});

unary('i8x16Popcnt', (a) => a.map((byte) => byte.toString(2).replaceAll('0', '').length));
unary('v128Not', (a) => a.map((byte) => ~byte));
unary('v128AnyTrue', (a) => (a.some((byte) => byte !== 0) ? 1 : 0));
binary('v128And', (a, b) => a.map((byte, i) => byte & b[i]));
binary('v128AndNot', (a, b) => a.map((byte, i) => byte & ~b[i]));
binary('v128Or', (a, b) => a.map((byte, i) => byte | b[i]));
binary('v128Xor', (a, b) => a.map((byte, i) => byte ^ b[i]));
binary('i8x16Swizzle', (a, b) => b.map((index) => (index < 16 ? a[index] : 0)));
defineVector('v128Bitselect', ((a: Uint8Array, b: Uint8Array, mask: Uint8Array) =>
  a.map((byte, i) => (byte & mask[i]) | (b[i] & ~mask[i]))) as never);

for (const [shape, bits] of Object.entries(shapes)) {
  defineVector(
    `${shape}Splat` as OpName,
    ((value: number | bigint) => vectorOf(new Array(128 / bits).fill(BigInt(value)), bits)) as never,
  );
}

// Conversions lane by lane through the scalar ones.
const conversions: [string, string, number, number, boolean][] = [
  ['i32x4TruncSatF32x4S', 'i32TruncSatF32S', 32, 32, false],
  ['i32x4TruncSatF32x4U', 'i32TruncSatF32U', 32, 32, false],
  ['f32x4ConvertI32x4S', 'f32ConvertI32S', 32, 32, true],
  ['f32x4ConvertI32x4U', 'f32ConvertI32U', 32, 32, true],
  ['i32x4TruncSatF64x2SZero', 'i32TruncSatF64S', 64, 32, false],
  ['i32x4TruncSatF64x2UZero', 'i32TruncSatF64U', 64, 32, false],
  ['f64x2ConvertLowI32x4S', 'f64ConvertI32S', 32, 64, true],
  ['f64x2ConvertLowI32x4U', 'f64ConvertI32U', 32, 64, true],
  ['f32x4DemoteF64x2Zero', 'f32DemoteF64', 64, 32, false],
  ['f64x2PromoteLowF32x4', 'f64PromoteF32', 32, 64, false],
];
for (const [name, scalar, from, to, fromInteger] of conversions) {
  unary(name, (a) => {
    const lanes = lanesOf(a, from).slice(0, 128 / Math.max(from, to));
    const convert = (lane: bigint): bigint => {
      const operand =
        from === 64
          ? BigInt.asUintN(64, lane)
          : fromInteger
            ? Number(lane)
            : Number(BigInt.asUintN(32, lane));
      return BigInt(evaluate(Op[scalar as OpName], operand) as number | bigint);
    };
    return vectorOf(lanes.map(convert), to);
  });
}

/** One lane of a vector as a scalar of the instruction's result type. */
export function extractLane(op: number, vector: Uint8Array, lane: number): Scalar {
  const name = nameOf(op);
  const bits = shapes[name.slice(0, 5)];
  const value = lanesOf(vector, bits)[lane];
  if (name.startsWith('f32')) return Number(BigInt.asUintN(32, value));
  if (name.startsWith('f64')) return BigInt.asUintN(64, value);
  if (bits === 64) return value;
  return Number(name.endsWith('U') ? BigInt.asUintN(bits, value) : value);
}

export function replaceLane(op: number, vector: Uint8Array, value: Scalar, lane: number): Uint8Array {
  const bits = shapes[nameOf(op).slice(0, 5)];
  const lanes = lanesOf(vector, bits);
  lanes[lane] = BigInt(value as number | bigint);
  return vectorOf(lanes, bits);
}

export function shuffleLanes(a: Uint8Array, b: Uint8Array, lanes: readonly number[]): Uint8Array {
  return Uint8Array.from(lanes, (lane) => (lane < 16 ? a[lane] : b[lane - 16]));
}

const namesByOp = new Map(Object.entries(Op).map(([name, op]) => [op as number, name]));

export function nameOf(op: number): string {
  return namesByOp.get(op) ?? `0x${op.toString(16)}`;
}

function zip(a: readonly bigint[], b: readonly bigint[], compute: Lane): bigint[] {
  return a.map((lane, i) => compute(lane, b[i]));
}

function unary(name: string, compute: (a: Uint8Array) => Scalar): void {
  if (name in Op) defineVector(name as OpName, compute as never);
}

function binary(name: string, compute: (a: Uint8Array, b: Uint8Array) => Scalar): void {
  if (name in Op) defineVector(name as OpName, compute as never);
}

function unaryOrBinary(name: string, compute: (a: Uint8Array, b: Uint8Array | undefined) => Scalar): void {
  if (name in Op) defineVector(name as OpName, compute as never);
}

function shift(name: string, bits: number, compute: (lane: bigint, count: bigint) => bigint): void {
  const evaluateShift = (a: Uint8Array, count: number) =>
    vectorOf(
      lanesOf(a, bits).map((lane) => compute(lane, BigInt(count & (bits - 1)))),
      bits,
    );
  defineVector(name as OpName, evaluateShift as never);
}
