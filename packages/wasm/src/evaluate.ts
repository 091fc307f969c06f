import { Op, signatures } from './opcodes.ts';

/**
 * What each WebAssembly instruction computes, in TypeScript: the evaluator's arithmetic, and the compiler's constant folding. An i32 is a
 * number from -2^31; an i64 a BigInt from -2^63; f32 and f64 are their bits (number, BigInt, unsigned), so that NaN payloads survive; a
 * v128 is 16 bytes. NaN results of arithmetic have whatever bits the host gives: definitions must not depend on them.
 */
export type Scalar = number | bigint | Uint8Array;

type Evaluate = (...operands: never[]) => Scalar;

const floats32 = new Float32Array(1);
const words32 = new Uint32Array(floats32.buffer);
const floats64 = new Float64Array(1);
const words64 = new BigUint64Array(floats64.buffer);

function float32(bits: number): number {
  words32[0] = bits;
  return floats32[0];
}

function bits32(value: number): number {
  floats32[0] = value;
  return words32[0];
}

function float64(bits: bigint): number {
  words64[0] = bits;
  return floats64[0];
}

function bits64(value: number): bigint {
  floats64[0] = value;
  return words64[0];
}

const signed = (value: bigint): bigint => BigInt.asIntN(64, value);
const unsigned = (value: bigint): bigint => BigInt.asUintN(64, value);

const table = new Map<number, Evaluate>();

/** @throws Error for an instruction that does not only compute (memory, control, shuffles) */
export function evaluate(op: number, ...operands: Scalar[]): Scalar {
  const compute = table.get(op);
  if (compute === undefined) throw new Error(`instruction ${op.toString(16)} cannot be evaluated`);
  return compute(...(operands as never[]));
}

export function canEvaluate(op: number): boolean {
  return table.has(op);
}

function define(functions: Record<string, Evaluate>): void {
  for (const [name, compute] of Object.entries(functions)) table.set(Op[name as keyof typeof Op], compute);
}

/** Lane-by-lane comparisons and arithmetic of one integer width, over signed BigInts. */
function integers(bits: bigint): Record<string, (a: bigint, b: bigint) => bigint> {
  const u = (value: bigint) => BigInt.asUintN(Number(bits), value);
  const test = (value: boolean) => (value ? 1n : 0n);
  return {
    Eq: (a, b) => test(a === b),
    Ne: (a, b) => test(a !== b),
    LtS: (a, b) => test(a < b),
    LtU: (a, b) => test(u(a) < u(b)),
    GtS: (a, b) => test(a > b),
    GtU: (a, b) => test(u(a) > u(b)),
    LeS: (a, b) => test(a <= b),
    LeU: (a, b) => test(u(a) <= u(b)),
    GeS: (a, b) => test(a >= b),
    GeU: (a, b) => test(u(a) >= u(b)),
  };
}

const comparisons32 = integers(32n);
const comparisons64 = integers(64n);
for (const name of Object.keys(comparisons32)) {
  define({
    [`i32${name}`]: (a: number, b: number) => Number(comparisons32[name](BigInt(a), BigInt(b))),
    [`i64${name}`]: (a: bigint, b: bigint) => Number(comparisons64[name](a, b)),
  });
}

function divide(a: bigint, b: bigint): bigint {
  if (b === 0n) throw new RangeError('integer division by zero');
  return a / b;
}

function remainder(a: bigint, b: bigint): bigint {
  if (b === 0n) throw new RangeError('integer division by zero');
  return a % b;
}

define({
  i32Eqz: (a: number) => (a === 0 ? 1 : 0),
  i32Clz: (a: number) => Math.clz32(a),
  i32Ctz: (a: number) => (a === 0 ? 32 : 31 - Math.clz32(a & -a)),
  i32Popcnt: (a: number) => popcount(BigInt(a >>> 0)),
  i32Add: (a: number, b: number) => (a + b) | 0,
  i32Sub: (a: number, b: number) => (a - b) | 0,
  i32Mul: (a: number, b: number) => Math.imul(a, b),
  i32DivS: (a: number, b: number) => Number(divide(BigInt(a), BigInt(b))) | 0,
  i32DivU: (a: number, b: number) => Number(divide(BigInt(a >>> 0), BigInt(b >>> 0))) | 0,
  i32RemS: (a: number, b: number) => Number(remainder(BigInt(a), BigInt(b))) | 0,
  i32RemU: (a: number, b: number) => Number(remainder(BigInt(a >>> 0), BigInt(b >>> 0))) | 0,
  i32And: (a: number, b: number) => a & b,
  i32Or: (a: number, b: number) => a | b,
  i32Xor: (a: number, b: number) => a ^ b,
  i32Shl: (a: number, b: number) => a << b,
  i32ShrS: (a: number, b: number) => a >> b,
  i32ShrU: (a: number, b: number) => (a >>> b) | 0,
  i32Rotl: (a: number, b: number) => (a << (b & 31)) | (b & 31 ? a >>> (32 - (b & 31)) : 0),
  i32Rotr: (a: number, b: number) => (b & 31 ? a << (32 - (b & 31)) : 0) | (a >>> (b & 31)),
  i64Eqz: (a: bigint) => (a === 0n ? 1 : 0),
  i64Clz: (a: bigint) => BigInt(64 - (a === 0n ? 0 : unsigned(a).toString(2).length)),
  i64Ctz: (a: bigint) => (a === 0n ? 64n : BigInt(unsigned(a & -a).toString(2).length - 1)),
  i64Popcnt: (a: bigint) => BigInt(popcount(unsigned(a))),
  i64Add: (a: bigint, b: bigint) => signed(a + b),
  i64Sub: (a: bigint, b: bigint) => signed(a - b),
  i64Mul: (a: bigint, b: bigint) => signed(a * b),
  i64DivS: (a: bigint, b: bigint) => signed(divide(a, b)),
  i64DivU: (a: bigint, b: bigint) => signed(divide(unsigned(a), unsigned(b))),
  i64RemS: (a: bigint, b: bigint) => signed(remainder(a, b)),
  i64RemU: (a: bigint, b: bigint) => signed(remainder(unsigned(a), unsigned(b))),
  i64And: (a: bigint, b: bigint) => a & b,
  i64Or: (a: bigint, b: bigint) => a | b,
  i64Xor: (a: bigint, b: bigint) => a ^ b,
  i64Shl: (a: bigint, b: bigint) => signed(a << (b & 63n)),
  i64ShrS: (a: bigint, b: bigint) => a >> (b & 63n),
  i64ShrU: (a: bigint, b: bigint) => signed(unsigned(a) >> (b & 63n)),
  i64Rotl: (a: bigint, b: bigint) => signed((unsigned(a) << (b & 63n)) | (unsigned(a) >> (64n - (b & 63n)))),
  i64Rotr: (a: bigint, b: bigint) => signed((unsigned(a) >> (b & 63n)) | (unsigned(a) << (64n - (b & 63n)))),
  i32WrapI64: (a: bigint) => Number(BigInt.asIntN(32, a)),
  i64ExtendI32S: (a: number) => BigInt(a),
  i64ExtendI32U: (a: number) => BigInt(a >>> 0),
  i32Extend8S: (a: number) => (a << 24) >> 24,
  i32Extend16S: (a: number) => (a << 16) >> 16,
  i64Extend8S: (a: bigint) => BigInt.asIntN(8, a),
  i64Extend16S: (a: bigint) => BigInt.asIntN(16, a),
  i64Extend32S: (a: bigint) => BigInt.asIntN(32, a),
});

function popcount(value: bigint): number {
  return value.toString(2).replaceAll('0', '').length;
}

/** Round half to even, as the nearest instructions do. */
function nearest(value: number): number {
  if (!Number.isFinite(value) || Math.abs(value) >= 2 ** 52) return value;
  const floor = Math.floor(value);
  const difference = value - floor;
  const rounded =
    difference < 0.5 ? floor : difference > 0.5 ? floor + 1 : floor % 2 === 0 ? floor : floor + 1;
  return rounded === 0 && (value < 0 || Object.is(value, -0)) ? -0 : rounded;
}

const floatUnary: Record<string, (a: number) => number> = {
  Ceil: Math.ceil,
  Floor: Math.floor,
  Trunc: Math.trunc,
  Nearest: nearest,
  Sqrt: Math.sqrt,
};
const floatBinary: Record<string, (a: number, b: number) => number> = {
  Add: (a, b) => a + b,
  Sub: (a, b) => a - b,
  Mul: (a, b) => a * b,
  Div: (a, b) => a / b,
  Min: Math.min,
  Max: Math.max,
};
const floatCompare: Record<string, (a: number, b: number) => boolean> = {
  Eq: (a, b) => a === b,
  Ne: (a, b) => a !== b,
  Lt: (a, b) => a < b,
  Gt: (a, b) => a > b,
  Le: (a, b) => a <= b,
  Ge: (a, b) => a >= b,
};
for (const [name, compute] of Object.entries(floatUnary)) {
  define({
    [`f32${name}`]: (a: number) => bits32(compute(float32(a))),
    [`f64${name}`]: (a: bigint) => bits64(compute(float64(a))),
  });
}
for (const [name, compute] of Object.entries(floatBinary)) {
  define({
    [`f32${name}`]: (a: number, b: number) => bits32(compute(float32(a), float32(b))),
    [`f64${name}`]: (a: bigint, b: bigint) => bits64(compute(float64(a), float64(b))),
  });
}
for (const [name, compute] of Object.entries(floatCompare)) {
  define({
    [`f32${name}`]: (a: number, b: number) => Number(compute(float32(a), float32(b))),
    [`f64${name}`]: (a: bigint, b: bigint) => Number(compute(float64(a), float64(b))),
  });
}
const sign64 = 1n << 63n;
define({
  f32Abs: (a: number) => (a & 0x7fffffff) >>> 0,
  f32Neg: (a: number) => (a ^ 0x80000000) >>> 0,
  f32Copysign: (a: number, b: number) => ((a & 0x7fffffff) | (b & 0x80000000)) >>> 0,
  f64Abs: (a: bigint) => a & ~sign64,
  f64Neg: (a: bigint) => a ^ sign64,
  f64Copysign: (a: bigint, b: bigint) => (a & ~sign64) | (b & sign64),
});

/** Truncation; out of range it traps or saturates. */
function truncate(value: number, bits: number, isSigned: boolean, saturate: boolean): bigint {
  const low = isSigned ? -(2 ** (bits - 1)) : 0;
  const high = isSigned ? 2 ** (bits - 1) : 2 ** bits;
  if (Number.isNaN(value)) {
    if (saturate) return 0n;
    throw new RangeError('NaN converted to an integer');
  }
  const whole = Math.trunc(value);
  if (whole >= low && whole < high) return BigInt.asIntN(bits, BigInt(whole));
  if (!saturate) throw new RangeError('number out of range converted to an integer');
  const limit = whole < low ? BigInt(low) : BigInt(high) - 1n;
  return BigInt.asIntN(bits, limit);
}

for (const saturate of [false, true]) {
  for (const [suffix, isSigned] of [
    ['S', true],
    ['U', false],
  ] as const) {
    const trunc = saturate ? 'TruncSat' : 'Trunc';
    define({
      [`i32${trunc}F32${suffix}`]: (a: number) => Number(truncate(float32(a), 32, isSigned, saturate)),
      [`i32${trunc}F64${suffix}`]: (a: bigint) => Number(truncate(float64(a), 32, isSigned, saturate)),
      [`i64${trunc}F32${suffix}`]: (a: number) => truncate(float32(a), 64, isSigned, saturate),
      [`i64${trunc}F64${suffix}`]: (a: bigint) => truncate(float64(a), 64, isSigned, saturate),
    });
  }
}

/** A 64-bit integer to f32 in one rounding, to nearest even: through f64 it would round twice. */
function integerToFloat32(value: bigint): number {
  const magnitude = value < 0n ? -value : value;
  const excess = magnitude.toString(2).length - 24;
  if (excess <= 0) return Number(value);
  const shift = BigInt(excess);
  const kept = magnitude >> shift;
  const rest = magnitude - (kept << shift);
  const half = 1n << (shift - 1n);
  const up = rest > half || (rest === half && (kept & 1n) === 1n) ? 1n : 0n;
  const result = Number((kept + up) << shift);
  return value < 0n ? -result : result;
}

define({
  f32ConvertI32S: (a: number) => bits32(a),
  f32ConvertI32U: (a: number) => bits32(a >>> 0),
  f32ConvertI64S: (a: bigint) => bits32(integerToFloat32(a)),
  f32ConvertI64U: (a: bigint) => bits32(integerToFloat32(unsigned(a))),
  f64ConvertI32S: (a: number) => bits64(a),
  f64ConvertI32U: (a: number) => bits64(a >>> 0),
  f64ConvertI64S: (a: bigint) => bits64(Number(a)),
  f64ConvertI64U: (a: bigint) => bits64(Number(unsigned(a))),
  f32DemoteF64: (a: bigint) => bits32(float64(a)),
  f64PromoteF32: (a: number) => bits64(float32(a)),
  i32ReinterpretF32: (a: number) => a | 0,
  i64ReinterpretF64: (a: bigint) => signed(a),
  f32ReinterpretI32: (a: number) => a >>> 0,
  f64ReinterpretI64: (a: bigint) => unsigned(a),
});

/** Sets how SIMD instructions evaluate; in its own file because there are as many of them as of all others. */
export function defineVector(name: keyof typeof Op, compute: Evaluate): void {
  table.set(Op[name], compute);
}

/** Row of the signatures of an instruction. */
export function signatureOf(op: number): string {
  return signatures[op >> 16];
}
