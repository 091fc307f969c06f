import { Op, type Value } from '@nest86/wasm';
import { divideUnsigned } from '../library/integer/wide-divide.ts';
import { multiplyHigh, multiplyHighSigned } from '../library/integer/wide-multiply.ts';
import { carryAndOverflow, replaceCarries, signExtend } from './flags.ts';
import { type Definition, Exception, type Family, type Operation } from './operation.ts';

/** CF and OF become `isLarge` (i32, 0 or 1); the others are undefined and stay, as on AMD's processors. */
function productFlags(
  op: Operation,
  operands: readonly Value[],
  isLarge: (operands: readonly Value[]) => Value,
): void {
  const { x } = op;
  op.deferSomeFlags(operands, 'noncarry', (old, values) => {
    const large = isLarge(values);
    return replaceCarries(x, old, carryAndOverflow(x, large, large));
  });
}

/** MUL, and IMUL with one operand: rAX times the operand to rDX:rAX. */
function multiplyLong(isSigned: boolean): Definition {
  return (op) => {
    const { x } = op;
    const bits = op.bits(0);
    const b = x.copy(op.read(0));
    const a = x.copy(op.readRegister(0, bits));
    if (bits === 64) {
      const low = x.mul(a, b);
      const high = op.library(isSigned ? multiplyHighSigned : multiplyHigh, [a, b])!;
      productFlags(op, [low, high], ([low, high]) =>
        isSigned ? x.ne(high, x.shrS(low, x.i64(63))) : x.ne(high, x.i64(0)),
      );
      op.writeRegister(0, 64, low);
      op.writeRegister(2, 64, high);
      return;
    }
    const widen = (value: Value): Value => (isSigned ? signExtend(x, bits, value) : x.extendU(value));
    const product = x.mul(widen(a), widen(b));
    const low = x.wrap(product);
    if (bits === 8) op.writeRegister(0, 16, low);
    else {
      op.writeRegister(0, bits, low);
      op.writeRegister(2, bits, x.wrap(x.shrU(product, x.i64(bits))));
    }
    productFlags(op, [product], ([product]) =>
      isSigned
        ? x.ne(product, signExtend(x, bits, x.wrap(product)))
        : x.ne(x.shrU(product, x.i64(bits)), x.i64(0)),
    );
  };
}

/** IMUL with a register as its destination: the low half of the product. */
function multiplyShort(op: Operation, a: Value, b: Value): void {
  const { x } = op;
  const bits = op.bits(0);
  if (bits === 64) {
    const low = x.mul(a, b);
    productFlags(op, [a, b], ([a, b]) => {
      const high = op.library(multiplyHighSigned, [a, b])!;
      return x.ne(high, x.shrS(x.mul(a, b), x.i64(63)));
    });
    op.write(0, low);
    return;
  }
  const product = x.mul(signExtend(x, bits, a), signExtend(x, bits, b));
  const low = x.wrap(product);
  productFlags(op, [product], ([product]) => x.ne(product, signExtend(x, bits, x.wrap(product))));
  op.write(0, low);
}

/** DIV and IDIV up to 32 bits: the dividend fits an i64. */
function divideShort(op: Operation, isSigned: boolean): void {
  const { x } = op;
  const bits = op.bits(0);
  const operand = op.read(0);
  const divisor = x.copy(isSigned ? signExtend(x, bits, operand) : x.extendU(operand));
  op.fault(Exception.divide, x.eqz(divisor));
  const low = bits === 8 ? op.readRegister(0, 16) : op.readRegister(0, bits);
  const joined =
    bits === 8
      ? x.extendU(low)
      : x.or(x.shl(x.extendU(op.readRegister(2, bits)), x.i64(bits)), x.extendU(low));
  const dividend = isSigned && bits < 32 ? signExtend(x, 2 * bits, x.wrap(joined)) : joined;
  if (isSigned && bits === 32) {
    // The one quotient that an i64 cannot hold would trap.
    const isLargest = x.and(x.eq(dividend, x.i64(0, 0x80000000 | 0)), x.eq(divisor, x.i64(-1)));
    op.fault(Exception.divide, isLargest);
  }
  const quotient = x.compute(isSigned ? Op.i64DivS : Op.i64DivU, dividend, divisor);
  const fits = isSigned
    ? x.eq(signExtend(x, bits, x.wrap(quotient)), quotient)
    : x.eqz(x.shrU(quotient, x.i64(bits)));
  op.fault(Exception.divide, x.eqz(fits));
  const remainder = x.wrap(x.sub(dividend, x.mul(quotient, divisor)));
  const result = x.wrap(quotient);
  if (bits === 8) {
    const byte = x.and(result, x.i32(0xff));
    op.writeRegister(0, 16, x.or(byte, x.shl(remainder, x.i32(8))));
  } else {
    op.writeRegister(0, bits, result);
    op.writeRegister(2, bits, remainder);
  }
}

/** DIV and IDIV of 128 bits. */
function divideLong(op: Operation, isSigned: boolean): void {
  const { x } = op;
  const divisor = x.copy(op.read(0));
  const low = x.copy(op.readRegister(0, 64));
  const high = x.copy(op.readRegister(2, 64));
  if (!isSigned) {
    // Covers a divisor of 0, too.
    op.fault(Exception.divide, x.geU(high, divisor));
    const quotient = op.library(divideUnsigned, [high, low, divisor])!;
    op.writeRegister(0, 64, quotient);
    op.writeRegister(2, 64, x.sub(low, x.mul(quotient, divisor)));
    return;
  }
  const negative = x.shrS(high, x.i64(63));
  const divisorNegative = x.shrS(divisor, x.i64(63));
  const magnitude = x.sub(x.xor(divisor, divisorNegative), divisorNegative);
  // The magnitude of the dividend: complement and add 1, with the carry.
  const lowMagnitude = x.sub(x.xor(low, negative), negative);
  const borrow = x.and(x.extendU(x.eqz(low)), x.sub(x.i64(0), negative));
  const highMagnitude = x.add(x.xor(high, negative), borrow);
  op.fault(Exception.divide, x.geU(highMagnitude, magnitude));
  const unsigned = op.library(divideUnsigned, [highMagnitude, lowMagnitude, magnitude])!;
  const sign = x.xor(negative, divisorNegative);
  const quotient = x.sub(x.xor(unsigned, sign), sign);
  // Up to 2^63 if negative, else below.
  const largest = x.sub(x.i64(-1, 0x7fffffff), sign);
  op.fault(Exception.divide, x.gtU(unsigned, largest));
  op.writeRegister(0, 64, quotient);
  op.writeRegister(2, 64, x.sub(low, x.mul(quotient, divisor)));
}

function divide(isSigned: boolean): Definition {
  return (op) => {
    const { x } = op;
    if (op.bits(0) === 64) divideLong(op, isSigned);
    else divideShort(op, isSigned);
    // All undefined. AMD's processors keep CF and OF, set AF and clear the others (found by comparing).
    const aux = x.and(op.readFlags().aux, x.i32(0xc0000000 | 0));
    op.writeFlags({ result: x.i64(1), aux: x.or(aux, x.i32(8)) });
  };
}

export const multiply: Family = {
  definitions: {
    MUL: multiplyLong(false),
    IMUL: (op) => {
      if (op.operandCount === 1) multiplyLong(true)(op);
      else if (op.operandCount === 2) multiplyShort(op, op.read(0), op.read(1));
      else multiplyShort(op, op.read(1), op.read(2));
    },
    DIV: divide(false),
    IDIV: divide(true),
    /** No flags, and operands of its own: upper half to operand 0, lower half to operand 1; both the same: the upper one. */
    MULX: (op) => {
      const { x } = op;
      const bits = op.bits(0);
      const a = op.readRegister(2, bits);
      const b = op.read(2);
      if (bits === 64) {
        const low = x.mul(a, b);
        const high = op.library(multiplyHigh, [a, b])!;
        op.write(1, low);
        op.write(0, high);
      } else {
        const product = x.mul(x.extendU(a), x.extendU(b));
        op.write(1, x.wrap(product));
        op.write(0, x.wrap(x.shrU(product, x.i64(32))));
      }
    },
  },
};
