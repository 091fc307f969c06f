import { Op, type Value } from '@nest86/wasm';
import { stateOffset } from '../state/layout.ts';
import { joinFlags, keepCarry, separateFlags } from './flags.ts';
import type { Definition, Family, Operation } from './operation.ts';

const directionFlag = 0x400;

function setCarry(carry: (op: Operation) => Value): Definition {
  return (op) => {
    const value = carry(op);
    op.writeFlags(keepCarry(op.x, op.readFlags(), value));
  };
}

function setDirection(isDown: boolean): Definition {
  return (op) => {
    const { x } = op;
    const old = x.load(Op.i32Load, op.state, stateOffset.systemFlags);
    const value = isDown ? x.or(old, x.i32(directionFlag)) : x.and(old, x.i32(~directionFlag));
    x.store(Op.i32Store, op.state, value, stateOffset.systemFlags);
  };
}

/** AH is byte 1 of RAX: read and written through the word. */
function writeAh(op: Operation, byte: Value): void {
  const { x } = op;
  op.writeRegister(0, 16, x.or(op.readRegister(0, 8), x.shl(byte, x.i32(8))));
}

export const flagControl: Family = {
  definitions: {
    CLC: setCarry((op) => op.x.i32(0)),
    STC: setCarry((op) => op.x.i32(1)),
    CMC: setCarry((op) => op.x.xor(op.carry(), op.x.i32(1))),
    CLD: setDirection(false),
    STD: setDirection(true),
    /** SF ZF 0 AF 0 PF 1 CF. */
    LAHF: (op) => {
      const { x } = op;
      const { carry, parity, auxiliary, zero, sign } = separateFlags(x, op.readFlags());
      const low = x.or(x.or(carry, x.i32(2)), x.or(x.shl(parity, x.i32(2)), x.shl(auxiliary, x.i32(4))));
      writeAh(op, x.or(low, x.or(x.shl(zero, x.i32(6)), x.shl(sign, x.i32(7)))));
    },
    SAHF: (op) => {
      const { x } = op;
      const value = x.shrU(op.readRegister(0, 16), x.i32(8));
      const bit = (position: number): Value => x.and(x.shrU(value, x.i32(position)), x.i32(1));
      const { overflow } = separateFlags(x, op.readFlags());
      op.writeFlags(
        joinFlags(x, {
          carry: bit(0),
          parity: bit(2),
          auxiliary: bit(4),
          zero: bit(6),
          sign: bit(7),
          overflow,
        }),
      );
    },
    /** AL becomes FFh if CF is set, else 0. */
    SALC: (op) => op.writeRegister(0, 8, op.x.sub(op.x.i32(0), op.carry())),
  },
};
