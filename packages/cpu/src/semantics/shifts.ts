import { type Expressions, Op, type Value } from '@nest86/wasm';
import {
  carryAndOverflow,
  replaceCarries,
  resultFlags,
  type StatusFlags,
  selectFlags,
  signExtend,
} from './flags.ts';
import type { Definition, Family, Operation } from './operation.ts';

/*
 * SDM vol. 2B, "SAL/SAR/SHL/SHR" and "RCL/RCR/ROL/ROR"; APM vol. 3. Counts are masked to 5 bits, to 6 for 64-bit operands; a masked count of 0
 * changes no flag. OF is defined for counts of 1 only: for others the formula goes on, as AMD's processors do.
 */

/** Bits 31 and 30 of flags' `aux`: CF and CF xor OF. */
const carries = 0xc0000000 | 0;
/** AF: undefined after shifts; AMD's processors set it (found by comparing). */
const auxiliary = 8;

function setAuxiliary(x: Expressions, flags: StatusFlags): StatusFlags {
  return { result: flags.result, aux: x.or(flags.aux, x.i32(auxiliary)) };
}

/** The masked count, of the operand's type. */
function maskedCount(op: Operation, operand: number, bits: number): Value {
  const { x } = op;
  const count = x.and(op.read(operand), x.i32(bits === 64 ? 63 : 31));
  return bits === 64 ? x.extendU(count) : count;
}

/** The bits 31 and 30 of `aux` that the two highest bits of a value are. */
function topTwo(op: Operation, bits: number, value: Value): Value {
  const { x } = op;
  if (bits === 64) return x.and(x.wrap(x.shrU(value, x.i64(32))), x.i32(carries));
  return x.and(x.shl(value, x.i32(32 - bits)), x.i32(carries));
}

/** Bit 0 as i32. */
function lowestBit(op: Operation, value: Value): Value {
  const { x } = op;
  return x.and(op.bits(0) === 64 ? x.wrap(value) : value, x.i32(1));
}

/** Highest bit of a value of `bits`, as i32. */
function highestBit(op: Operation, bits: number, value: Value): Value {
  const { x } = op;
  if (bits === 64) return x.wrap(x.shrU(value, x.i64(63)));
  return x.and(x.shrU(value, x.i32(bits - 1)), x.i32(1));
}

/** Flags by a formula over operands, the last of which is the masked count; 0 changes nothing. */
function writeUnlessZero(
  op: Operation,
  operands: readonly Value[],
  formula: (operands: readonly Value[]) => StatusFlags,
): void {
  const { x } = op;
  const count = operands[operands.length - 1];
  const isZero = x.constantOf(x.eqz(count));
  if (isZero === 0) op.deferFlags(operands, formula);
  else if (isZero === undefined) {
    op.deferSomeFlags(operands, 'any', (old, values) =>
      selectFlags(x, x.eqz(values[values.length - 1]), old, formula(values)),
    );
  }
}

/** The same for CF and OF alone. @param formula answers bits 31 and 30 of `aux` */
function writeCarriesUnlessZero(
  op: Operation,
  operands: readonly Value[],
  formula: (operands: readonly Value[]) => Value,
): void {
  const { x } = op;
  const count = operands[operands.length - 1];
  const isZero = x.constantOf(x.eqz(count));
  const replace = (old: StatusFlags, values: readonly Value[]): StatusFlags =>
    replaceCarries(x, old, formula(values));
  if (isZero === 0) op.deferSomeFlags(operands, 'noncarry', replace);
  else if (isZero === undefined) {
    op.deferSomeFlags(operands, 'any', (old, values) =>
      selectFlags(x, x.eqz(values[values.length - 1]), old, replace(old, values)),
    );
  }
}

/** A Value of the operand's type. */
function number(op: Operation, value: number): Value {
  return op.constant(op.bits(0), value);
}

const shiftLeft: Definition = (op) => {
  const { x } = op;
  const bits = op.bits(0);
  const a = op.readForWrite(0);
  const count = maskedCount(op, 1, bits);
  const result = x.shl(a, count);
  writeUnlessZero(op, [a, result, count], ([a, result, count]) => {
    // One step less: CF is the highest bit, and the next one becomes the sign, which is CF xor OF.
    const before = x.shl(a, x.sub(count, number(op, 1)));
    return {
      result: signExtend(x, bits, result),
      aux: x.or(topTwo(op, bits, before), x.i32(auxiliary)),
    };
  });
  op.write(0, result);
};

const shiftRight: Definition = (op) => {
  const { x } = op;
  const bits = op.bits(0);
  const a = op.readForWrite(0);
  const count = maskedCount(op, 1, bits);
  const result = x.shrU(a, count);
  writeUnlessZero(op, [a, result, count], ([a, result, count]) => {
    const carry = lowestBit(op, x.shrU(a, x.sub(count, number(op, 1))));
    // What was the highest bit, after one step.
    const overflow = highestBit(op, bits, x.shl(result, number(op, 1)));
    return setAuxiliary(x, resultFlags(x, bits, result, carry, overflow));
  });
  op.write(0, result);
};

const shiftArithmetic: Definition = (op) => {
  const { x } = op;
  const bits = op.bits(0);
  const raw = op.readForWrite(0);
  const a = bits === 8 ? x.compute(Op.i32Extend8S, raw) : bits === 16 ? x.compute(Op.i32Extend16S, raw) : raw;
  const count = maskedCount(op, 1, bits);
  const result = x.shrS(a, count);
  writeUnlessZero(op, [a, result, count], ([a, result, count]) => {
    const carry = lowestBit(op, x.shrS(a, x.sub(count, number(op, 1))));
    return {
      result: signExtend(x, bits, result),
      aux: x.or(x.and(x.sub(x.i32(0), carry), x.i32(carries)), x.i32(auxiliary)),
    };
  });
  op.write(0, result);
};

/** The operand so often that a rotation of 32 bits is one of its own width. */
function repeated(op: Operation, bits: number, value: Value): Value {
  const { x } = op;
  if (bits === 8) return x.mul(value, x.i32(0x01010101));
  return bits === 16 ? x.mul(value, x.i32(0x00010001)) : value;
}

const rotateLeft: Definition = (op) => {
  const { x } = op;
  const bits = op.bits(0);
  const a = op.readForWrite(0);
  const count = maskedCount(op, 1, bits);
  const result = x.rotl(repeated(op, bits, a), count);
  // CF is bit 0; CF xor OF the highest bit.
  writeCarriesUnlessZero(op, [result, count], ([result]) =>
    topTwo(op, bits === 64 ? 64 : 32, x.rotr(result, number(op, 1))),
  );
  op.write(0, result);
};

const rotateRight: Definition = (op) => {
  const { x } = op;
  const bits = op.bits(0);
  const a = op.readForWrite(0);
  const count = maskedCount(op, 1, bits);
  const result = x.rotr(repeated(op, bits, a), count);
  writeCarriesUnlessZero(op, [result, count], ([result]) => topTwo(op, bits, result));
  op.write(0, result);
};

/** RCL and RCR: bits + 1 bits rotate. */
function rotateThroughCarry(isLeft: boolean): Definition {
  return (op) => {
    const { x } = op;
    const bits = op.bits(0);
    const a = op.readForWrite(0);
    const carry = op.carry();
    const masked = maskedCount(op, 1, bits);
    let result: Value;
    let newCarry: Value;
    let count = masked;
    if (bits === 64) {
      const wideCarry = x.extendU(carry);
      // Shifts by 65 - count in two steps, for it may be 64.
      const opposite = x.sub(x.i64(64), count);
      const less = x.sub(count, x.i64(1));
      if (isLeft) {
        const wrapped = x.shrU(x.shrU(a, x.i64(1)), opposite);
        result = x.or(x.or(x.shl(a, count), x.shl(wideCarry, less)), wrapped);
        newCarry = x.wrap(x.and(x.shrU(a, opposite), x.i64(1)));
      } else {
        const wrapped = x.shl(x.shl(a, x.i64(1)), opposite);
        result = x.or(x.or(x.shrU(a, count), x.shl(wideCarry, opposite)), wrapped);
        newCarry = x.wrap(x.and(x.shrU(a, less), x.i64(1)));
      }
      result = x.select(x.eqz(count), a, result);
    } else {
      // All of it in an i64: 33 bits at most.
      const width = x.i64(bits + 1);
      const wide = x.or(x.extendU(a), x.shl(x.extendU(carry), x.i64(bits)));
      if (bits < 32) count = x.compute(Op.i32RemU, masked, x.i32(bits + 1));
      const by = x.extendU(count);
      const opposite = x.sub(width, by);
      const rotated = isLeft
        ? x.or(x.shl(wide, by), x.shrU(wide, opposite))
        : x.or(x.shrU(wide, by), x.shl(wide, opposite));
      result = x.wrap(rotated);
      if (bits < 32) result = x.and(result, x.i32((1 << bits) - 1));
      newCarry = x.wrap(x.and(x.shrU(rotated, x.i64(bits)), x.i64(1)));
    }
    const top = isLeft
      ? carryAndOverflow(x, newCarry, x.xor(newCarry, highestBit(op, bits, result)))
      : carryAndOverflow(
          x,
          newCarry,
          x.xor(highestBit(op, bits, result), highestBit(op, bits, x.shl(result, number(op, 1)))),
        );
    // A count that the width takes away changes OF all the same: found by comparing.
    writeCarriesUnlessZero(op, [top, masked], ([top]) => top);
    op.write(0, result);
  };
}

/**
 * SHLD, SHRD. Of 16 bits by more than 16 the manuals define nothing. Found by comparing: AMD's processors go on with the second operand once more,
 * and CF (of SHLD OF, too) is 0; Intel's go on with the first one, and CF is what was shifted out last.
 */
function shiftDouble(isLeft: boolean): Definition {
  return (op) => {
    const { x } = op;
    const bits = op.bits(0);
    const a = op.readForWrite(0);
    const b = op.read(1);
    const count = maskedCount(op, 2, bits);
    const one = number(op, 1);
    let result: Value;
    let carry: Value;
    if (bits === 16) {
      const by = x.extendU(count);
      const less = x.sub(by, x.i64(1));
      const [first, second] = [x.extendU(a), x.extendU(b)];
      const third = op.vendor === 'intel' ? first : second;
      // 48 bits: a:b:third to the left, third:b:a to the right.
      const triple = isLeft
        ? x.or(x.or(x.shl(first, x.i64(32)), x.shl(second, x.i64(16))), third)
        : x.or(x.or(x.shl(third, x.i64(32)), x.shl(second, x.i64(16))), first);
      const shifted = isLeft ? x.shrU(x.shl(triple, by), x.i64(32)) : x.shrU(triple, by);
      result = x.and(x.wrap(shifted), x.i32(0xffff));
      const out = isLeft ? x.shrU(x.shl(triple, less), x.i64(47)) : x.shrU(triple, less);
      carry = x.and(x.wrap(out), op.vendor === 'intel' ? x.i32(1) : x.leU(count, x.i32(16)));
    } else {
      const opposite = x.sub(number(op, bits), count);
      const shifted = isLeft
        ? x.or(x.shl(a, count), x.shrU(b, opposite))
        : x.or(x.shrU(a, count), x.shl(b, opposite));
      // A shift by 0 would take b as it is.
      result = x.select(x.eqz(count), a, shifted);
      carry = isLeft
        ? highestBit(op, bits, x.shl(a, x.sub(count, one)))
        : lowestBit(op, x.shrU(a, x.sub(count, one)));
    }
    writeUnlessZero(op, [result, carry, count], ([result, carry, count]) => {
      // Whether the sign changes in the last step.
      const top = highestBit(op, bits, result);
      const changed = x.xor(top, isLeft ? carry : highestBit(op, bits, x.shl(result, number(op, 1))));
      const changes =
        bits === 16 && isLeft && op.vendor === 'amd' ? x.and(changed, x.leU(count, x.i32(16))) : changed;
      return setAuxiliary(x, resultFlags(x, bits, result, carry, changes));
    });
    op.write(0, result);
  };
}

export const shifts: Family = {
  definitions: {
    SHL: shiftLeft,
    SAL: shiftLeft,
    SHR: shiftRight,
    SAR: shiftArithmetic,
    ROL: rotateLeft,
    ROR: rotateRight,
    RCL: rotateThroughCarry(true),
    RCR: rotateThroughCarry(false),
    SHLD: shiftDouble(true),
    SHRD: shiftDouble(false),
  },
};
