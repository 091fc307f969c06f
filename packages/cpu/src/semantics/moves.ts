import { Op, type Value } from '@nest86/wasm';
import { signExtend } from './flags.ts';
import type { Definition, Operation } from './operation.ts';

/** Zero-extended value of `from` bits as a value of `to` bits. */
function widen(op: Operation, from: number, to: number, value: Value): Value {
  return to === 64 && from < 64 ? op.x.extendU(value) : value;
}

export const moves: Readonly<Record<string, Definition>> = {
  MOV: (op) => op.write(0, op.read(1)),
  MOVZX: (op) => op.write(0, widen(op, op.bits(1), op.bits(0), op.read(1))),
  MOVSX: (op) => {
    const wide = signExtend(op.x, op.bits(1), op.read(1));
    op.write(0, op.bits(0) === 64 ? wide : op.x.wrap(wide));
  },
  MOVSXD: (op) => {
    const wide = op.x.extendS(op.read(1));
    op.write(0, op.bits(0) === 64 ? wide : op.x.wrap(wide));
  },
  LEA: (op) => {
    const address = op.effectiveAddress(1);
    op.write(0, op.bits(0) === 64 ? address : op.x.wrap(address));
  },
  XCHG: (op) => {
    const a = op.readForWrite(0);
    const b = op.x.copy(op.readForWrite(1));
    op.write(1, a);
    op.write(0, b);
  },
  PUSH: (op) => op.push(op.read(0)),
  POP: (op) => op.write(0, op.pop()),
  NOP: () => {},
  BSWAP: (op) => {
    const { x } = op;
    const swap32 = (value: Value): Value =>
      x.or(
        x.and(x.rotl(value, x.i32(8)), x.i32(0x00ff00ff)),
        x.and(x.rotl(value, x.i32(24)), x.i32(0xff00ff00 | 0)),
      );
    const value = op.readForWrite(0);
    if (op.bits(0) !== 64) {
      op.write(0, swap32(value));
      return;
    }
    const low = x.extendU(swap32(x.wrap(value)));
    const high = x.extendU(swap32(x.wrap(x.compute(Op.i64ShrU, value, x.i64(32)))));
    op.write(0, x.or(x.shl(low, x.i64(32)), high));
  },
};
