import { type Expressions, Op, type Value, ValueType } from '@nest86/wasm';

/*
 * The six status flags in one form, whatever operation made them: `result`, an i64, the sign-extended result, and `aux`, an i32:
 *   bit 31 CF · bit 30 CF xor OF · bit 3 AF · bits 15:8 exclusive-or of PF's byte · bit 0 exclusive-or of SF
 * ZF = result is 0; SF = sign of result xor bit 0; PF = even parity of (low byte of result xor bits 15:8).
 * An addition or subtraction leaves its carry vector there, shifted so that the carries into and out of the top bit are bits 30 and 31: cheap to
 * make, and any combination of flags can be written as some (result, aux).
 */
export interface StatusFlags {
  readonly result: Value;
  readonly aux: Value;
}

/** Bits of a carry vector that mean something. */
const carryBits = 0xc0000008 | 0;

/** Flags of `result = a ± b (± carry)` from the vector of carries (or borrows) out of each bit, at the operation's width. */
function fromCarries(x: Expressions, bits: number, result: Value, carries: Value): StatusFlags {
  if (bits === 64) {
    // Carries out of bits 63 and 62 come to 31 and 30; AF's is bit 3 already.
    const top = x.and(x.wrap(x.shrU(carries, x.i64(32))), x.i32(0xc0000000 | 0));
    return { result, aux: x.or(top, x.and(x.wrap(carries), x.i32(8))) };
  }
  if (bits === 32) return { result: x.extendS(result), aux: x.and(carries, x.i32(carryBits)) };
  const aux = x.or(x.and(x.shl(carries, x.i32(32 - bits)), x.i32(0xc0000000 | 0)), x.and(carries, x.i32(8)));
  return { result: signExtend(x, bits, result), aux };
}

/** Value of `bits` in an i32 (or i64 for 64), sign-extended to i64. */
export function signExtend(x: Expressions, bits: number, value: Value): Value {
  switch (bits) {
    case 8:
      return x.extendS(x.compute(Op.i32Extend8S, value));
    case 16:
      return x.extendS(x.compute(Op.i32Extend16S, value));
    case 32:
      return x.extendS(value);
    default:
      return value;
  }
}

/** `result` = a + b (+ carry): carries are (a & b) | ((a | b) & ~result). */
export function addFlags(x: Expressions, bits: number, a: Value, b: Value, result: Value): StatusFlags {
  const carries = x.or(x.and(a, b), x.and(x.or(a, b), complement(x, result)));
  return fromCarries(x, bits, result, carries);
}

/** `result` = a - b (- borrow): borrows are (~a & b) | ((~a | b) & result). */
export function subtractFlags(x: Expressions, bits: number, a: Value, b: Value, result: Value): StatusFlags {
  const notA = complement(x, a);
  const borrows = x.or(x.and(notA, b), x.and(x.or(notA, b), result));
  return fromCarries(x, bits, result, borrows);
}

/** AND, OR, XOR, TEST: CF, OF and AF are 0. */
export function logicFlags(x: Expressions, bits: number, result: Value): StatusFlags {
  return { result: signExtend(x, bits, result), aux: x.i32(0) };
}

/** Everything from `flags` but CF, which keeps its value `carry` (i32, 0 or 1): INC and DEC. */
export function keepCarry(x: Expressions, flags: StatusFlags, carry: Value): StatusFlags {
  const overflow = x.and(x.xor(flags.aux, x.shl(flags.aux, x.i32(1))), x.i32(0x80000000 | 0));
  const carryBit = x.shl(carry, x.i32(31));
  // Bit 30 is CF xor OF.
  const partial = x.compute(Op.i32ShrU, x.xor(overflow, carryBit), x.i32(1));
  return { result: flags.result, aux: x.or(x.and(flags.aux, x.i32(0x3fffffff)), x.or(carryBit, partial)) };
}

function carryFlag(x: Expressions, flags: StatusFlags): Value {
  return x.shrU(flags.aux, x.i32(31));
}

function zeroFlag(x: Expressions, flags: StatusFlags): Value {
  return x.eqz(flags.result);
}

function signFlag(x: Expressions, flags: StatusFlags): Value {
  return x.and(x.xor(x.wrap(x.shrU(flags.result, x.i64(63))), flags.aux), x.i32(1));
}

function overflowFlag(x: Expressions, flags: StatusFlags): Value {
  return x.shrU(x.xor(flags.aux, x.shl(flags.aux, x.i32(1))), x.i32(31));
}

function parityFlag(x: Expressions, flags: StatusFlags): Value {
  const byte = x.and(x.xor(x.wrap(flags.result), x.shrU(flags.aux, x.i32(8))), x.i32(0xff));
  return x.and(x.xor(x.popcnt(byte), x.i32(1)), x.i32(1));
}

/** Flags of a result with CF and OF (i32, 0 or 1) as given; AF is 0. */
export function resultFlags(
  x: Expressions,
  bits: number,
  result: Value,
  carry: Value,
  overflow: Value,
): StatusFlags {
  return { result: signExtend(x, bits, result), aux: carryAndOverflow(x, carry, overflow) };
}

/** Bits 31 and 30 of `aux`. */
export function carryAndOverflow(x: Expressions, carry: Value, overflow: Value): Value {
  return x.or(x.shl(carry, x.i32(31)), x.shl(x.xor(carry, overflow), x.i32(30)));
}

/** `flags` with other bits 31 and 30 of `aux`: CF and OF change, the rest stays. */
export function replaceCarries(x: Expressions, flags: StatusFlags, carries: Value): StatusFlags {
  return { result: flags.result, aux: x.or(x.and(flags.aux, x.i32(0x3fffffff)), carries) };
}

/** `yes` where the condition (i32) is not 0, else `no`. */
export function selectFlags(
  x: Expressions,
  condition: Value,
  yes: StatusFlags,
  no: StatusFlags,
): StatusFlags {
  return {
    result: x.select(condition, yes.result, no.result),
    aux: x.select(condition, yes.aux, no.aux),
  };
}

/** The six flags one by one, each i32, 0 or 1. */
export interface SeparateFlags {
  readonly carry: Value;
  readonly parity: Value;
  readonly auxiliary: Value;
  readonly zero: Value;
  readonly sign: Value;
  readonly overflow: Value;
}

export function separateFlags(x: Expressions, flags: StatusFlags): SeparateFlags {
  return {
    carry: carryFlag(x, flags),
    parity: parityFlag(x, flags),
    auxiliary: x.and(x.shrU(flags.aux, x.i32(3)), x.i32(1)),
    zero: zeroFlag(x, flags),
    sign: signFlag(x, flags),
    overflow: overflowFlag(x, flags),
  };
}

/** A canonical form of flags that are known one by one; see `canonicalOf`. */
export function joinFlags(x: Expressions, flags: SeparateFlags): StatusFlags {
  const { carry, parity, auxiliary, zero, sign, overflow } = flags;
  const wrongParity = x.shl(x.xor(parity, zero), x.i32(8));
  return {
    result: x.extendU(x.xor(zero, x.i32(1))),
    aux: x.or(
      carryAndOverflow(x, carry, overflow),
      x.or(x.or(wrongParity, x.shl(auxiliary, x.i32(3))), sign),
    ),
  };
}

/** Condition codes in the order of their encoding (SDM vol. 1, appendix B). */
export type Condition = number;

/** i32, 0 or 1. */
export function condition(x: Expressions, flags: StatusFlags, code: Condition): Value {
  const positive = ((): Value => {
    switch (code >> 1) {
      case 0:
        return overflowFlag(x, flags);
      case 1:
        return carryFlag(x, flags);
      case 2:
        return zeroFlag(x, flags);
      case 3:
        return x.or(carryFlag(x, flags), zeroFlag(x, flags));
      case 4:
        return signFlag(x, flags);
      case 5:
        return parityFlag(x, flags);
      case 6:
        return x.xor(signFlag(x, flags), overflowFlag(x, flags));
      default:
        return x.or(zeroFlag(x, flags), x.xor(signFlag(x, flags), overflowFlag(x, flags)));
    }
  })();
  return (code & 1) !== 0 ? x.eqz(positive) : positive;
}

function complement(x: Expressions, value: Value): Value {
  return x.xor(value, x.typeOf(value) === ValueType.i64 ? x.i64(-1) : x.i32(-1));
}

/** The canonical form as numbers, for TypeScript: `low` and `high` are the halves of the result. */
export interface StatusFlagNumbers {
  readonly low: number;
  readonly high: number;
  readonly aux: number;
}

/** CF PF AF ZF SF OF in their places in RFLAGS. */
export function statusFlagsOf({ low, high, aux }: StatusFlagNumbers): number {
  const carry = aux >>> 31;
  const overflow = carry ^ ((aux >>> 30) & 1);
  let byte = (low ^ (aux >>> 8)) & 0xff;
  byte ^= byte >>> 4;
  byte ^= byte >>> 2;
  byte ^= byte >>> 1;
  const parity = (byte & 1) ^ 1;
  const zero = low === 0 && high === 0 ? 1 : 0;
  const sign = (high >>> 31) ^ (aux & 1);
  return carry | (parity << 2) | (((aux >>> 3) & 1) << 4) | (zero << 6) | (sign << 7) | (overflow << 11);
}

/** A canonical form of status flags as they stand in RFLAGS. */
export function canonicalOf(flags: number): StatusFlagNumbers {
  const carry = flags & 1;
  const overflow = (flags >>> 11) & 1;
  const isZero = (flags & 0x40) !== 0;
  // A result of 0 has even parity and sign 0, a result of 1 odd parity and sign 0: the exclusive-ors correct that.
  const low = isZero ? 0 : 1;
  const evenParity = isZero ? 1 : 0;
  const wrongParity = ((flags >>> 2) & 1) ^ evenParity;
  const aux =
    (carry << 31) |
    ((carry ^ overflow) << 30) |
    (wrongParity << 8) |
    ((flags >>> 1) & 8) |
    ((flags >>> 7) & 1);
  return { low, high: 0, aux };
}
