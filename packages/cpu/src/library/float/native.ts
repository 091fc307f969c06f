import { type Expressions, Op, type Value, ValueType } from '@nest86/wasm';
import type { FloatFormat } from './format.ts';

/** The operations that the host has as well. */
export type ArithmeticName = 'add' | 'subtract' | 'multiply' | 'divide' | 'sqrt';

type Packed =
  | ArithmeticName
  | 'abs'
  | 'neg'
  | 'pmin'
  | 'equal'
  | 'less'
  | 'atLeast'
  | 'greater'
  | 'allTrue'
  | 'extract'
  | 'replace';

interface NativeFormat extends Readonly<Record<ArithmeticName, number>> {
  readonly type: ValueType;
  readonly lanes: number;
  readonly toBits: number;
  readonly fromBits: number;
  readonly neg: number;
  readonly equal: number;
  readonly packed: Readonly<Record<Packed, number>>;
}

/** WebAssembly's instructions for a format, scalar and packed. */
export const native: Readonly<Record<'f32' | 'f64', NativeFormat>> = {
  f32: {
    type: ValueType.f32,
    lanes: 4,
    toBits: Op.i32ReinterpretF32,
    fromBits: Op.f32ReinterpretI32,
    neg: Op.f32Neg,
    equal: Op.f32Eq,
    add: Op.f32Add,
    subtract: Op.f32Sub,
    multiply: Op.f32Mul,
    divide: Op.f32Div,
    sqrt: Op.f32Sqrt,
    packed: {
      add: Op.f32x4Add,
      subtract: Op.f32x4Sub,
      multiply: Op.f32x4Mul,
      divide: Op.f32x4Div,
      sqrt: Op.f32x4Sqrt,
      abs: Op.f32x4Abs,
      neg: Op.f32x4Neg,
      pmin: Op.f32x4Pmin,
      equal: Op.f32x4Eq,
      less: Op.f32x4Lt,
      atLeast: Op.f32x4Ge,
      greater: Op.f32x4Gt,
      allTrue: Op.i32x4AllTrue,
      extract: Op.i32x4ExtractLane,
      replace: Op.i32x4ReplaceLane,
    },
  },
  f64: {
    type: ValueType.f64,
    lanes: 2,
    toBits: Op.i64ReinterpretF64,
    fromBits: Op.f64ReinterpretI64,
    neg: Op.f64Neg,
    equal: Op.f64Eq,
    add: Op.f64Add,
    subtract: Op.f64Sub,
    multiply: Op.f64Mul,
    divide: Op.f64Div,
    sqrt: Op.f64Sqrt,
    packed: {
      add: Op.f64x2Add,
      subtract: Op.f64x2Sub,
      multiply: Op.f64x2Mul,
      divide: Op.f64x2Div,
      sqrt: Op.f64x2Sqrt,
      abs: Op.f64x2Abs,
      neg: Op.f64x2Neg,
      pmin: Op.f64x2Pmin,
      equal: Op.f64x2Eq,
      less: Op.f64x2Lt,
      atLeast: Op.f64x2Ge,
      greater: Op.f64x2Gt,
      allTrue: Op.i64x2AllTrue,
      extract: Op.i64x2ExtractLane,
      replace: Op.i64x2ReplaceLane,
    },
  },
};

/** f16 has no arithmetic. */
export function nameOf(format: FloatFormat): 'f32' | 'f64' {
  return format.bits === 32 ? 'f32' : 'f64';
}

export function nativeOf(format: FloatFormat): (typeof native)['f32' | 'f64'] {
  return native[nameOf(format)];
}

/** RC, PM and PE of MXCSR, and what they are when nobody can see that a result is inexact: RC nearest, PM and PE set. */
const silentMask = 0x7020;
const silentBits = 0x1020;

/** i32: inexact results, rounded to nearest, are as they should be and raise nothing that is not there yet. */
export function isSilent(x: Expressions, mxcsr: Value): Value {
  return x.eq(x.and(mxcsr, x.i32(silentMask)), x.i32(silentBits));
}

export function isNotSilent(x: Expressions, mxcsr: Value): Value {
  return x.ne(x.and(mxcsr, x.i32(silentMask)), x.i32(silentBits));
}

/** A constant of the integer type that has the format's width. */
function constant(x: Expressions, format: FloatFormat, low: number, high: number): Value {
  return format.bits === 32 ? x.i32(high) : x.i64(low, high);
}

/** Bits of a number, shifted left by one: the sign is gone. */
export function withoutSign(x: Expressions, format: FloatFormat, bits: Value): Value {
  return x.shl(bits, constant(x, format, 1, 1));
}

/** The upper 32 bits of twice the smallest normal number's and twice infinity's bits. */
function limits(format: FloatFormat): { least: number; infinite: number } {
  const place = (format.bits === 32 ? 0 : -32) + format.fraction + 1;
  return { least: 1 << place, infinite: format.maxExponent << place };
}

/** i32: not finite, or not above the smallest normal number. @param shifted see {@link withoutSign} */
export function isNotOrdinary(x: Expressions, format: FloatFormat, shifted: Value): Value {
  const { least, infinite } = limits(format);
  const count = format.bits === 32 ? x.i32(infinite - least - 1) : x.i64(-1, infinite - least - 1);
  return x.geU(x.sub(shifted, constantAbove(x, format, least)), count);
}

function constantAbove(x: Expressions, format: FloatFormat, least: number): Value {
  return format.bits === 32 ? x.i32(least + 1) : x.i64(1, least);
}
