import { replaceZero } from './bits.ts';
import type { Definition, Family } from './operation.ts';

/*
 * XCHG, XADD, CMPXCHG and relatives (SDM vol. 2). All of them write their memory operand in any case, so that the check for writing comes first.
 * An instruction is one step of a run: LOCK needs nothing more.
 */

/** The value that is not equal goes to the accumulator; else the source goes to the destination. */
const compareExchange: Definition = (op) => {
  const { x } = op;
  const bits = op.bits(0);
  const old = x.copy(op.readForWrite(0));
  const accumulator = x.copy(op.readRegister(0, bits));
  const source = x.copy(op.read(1));
  const isEqual = x.eq(accumulator, old);
  op.subtractFlags(bits, accumulator, old, x.sub(accumulator, old));
  if (op.isMemory(0)) {
    op.write(0, x.select(isEqual, source, old));
    x.if(x.eqz(isEqual), () => op.writeRegister(0, bits, old));
    return;
  }
  // A register that is not written keeps its upper half.
  x.if(
    isEqual,
    () => op.write(0, source),
    () => op.writeRegister(0, bits, old),
  );
};

/** CMPXCHG8B and CMPXCHG16B: rDX:rAX against memory, rCX:rBX to it. Only ZF changes. */
function compareExchangePair(bits: 32 | 64): Definition {
  return (op) => {
    const { x } = op;
    const place = op.operandPlace(0, 'readWrite');
    const low = x.copy(op.loadPlace(place, bits, 0));
    const high = x.copy(op.loadPlace(place, bits, bits / 8));
    const isEqual = x.and(x.eq(op.readRegister(0, bits), low), x.eq(op.readRegister(2, bits), high));
    const newLow = x.select(isEqual, op.readRegister(3, bits), low);
    const newHigh = x.select(isEqual, op.readRegister(1, bits), high);
    op.storePlace(place, newLow, bits, 0);
    op.storePlace(place, newHigh, bits, bits / 8);
    op.commitPlace(place);
    op.writeFlags(replaceZero(op, op.readFlags(), isEqual));
    x.if(x.eqz(isEqual), () => {
      op.writeRegister(0, bits, low);
      op.writeRegister(2, bits, high);
    });
  };
}

export const exchange: Family = {
  definitions: {
    XCHG: (op) => {
      const { x } = op;
      const a = x.copy(op.readForWrite(0));
      const b = x.copy(op.readForWrite(1));
      // Memory comes first in the operand list: its write is the one that may be slow, not one that faults.
      op.write(1, a);
      op.write(0, b);
    },
    XADD: (op) => {
      const { x } = op;
      const bits = op.bits(0);
      const a = x.copy(op.readForWrite(0));
      const b = x.copy(op.read(1));
      const sum = x.add(a, b);
      op.addFlags(bits, a, b, sum);
      // The same register twice ends as the sum.
      op.write(1, a);
      op.write(0, sum);
    },
    CMPXCHG: compareExchange,
    CMPXCHG8B: compareExchangePair(32),
    CMPXCHG16B: compareExchangePair(64),
    /** AL from a table of bytes at rBX. */
    XLATB: (op) => {
      const { x } = op;
      const base = op.readRegister(3, op.addressBits);
      const wide = op.addressBits === 64 ? base : x.extendU(base);
      const sum = x.add(wide, x.extendU(op.readRegister(0, 8)));
      const offset =
        op.addressBits === 64 ? sum : x.and(sum, op.addressBits === 32 ? x.i64(-1, 0) : x.i64(0xffff));
      op.writeRegister(0, 8, op.load(op.dataSegment, offset, 8));
    },
  },
  aligned: ['CMPXCHG16B'],
};
