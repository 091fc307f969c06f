import type { Value } from '@nest86/wasm';
import { Segment } from '../state/layout.ts';
import type { Family, Operation } from './operation.ts';

/** The stack pointer after it moved by some bytes, wrapped to the stack's address size; nothing is changed yet. */
export function movedPointer(op: Operation, from: Value, bytes: Value): Value {
  const { x } = op;
  return x.copy(op.wrapStackPointer(x.add(from, bytes)));
}

export const stack: Family = {
  definitions: {
    PUSH: (op) => op.push(op.read(0)),
    /** A memory operand that RSP addresses is found with RSP already moved (SDM vol. 2B, "POP"); a fault leaves RSP as it was. */
    POP: (op) => {
      const { x } = op;
      if (!op.isMemory(0)) {
        op.write(0, op.pop());
        return;
      }
      const bits = op.bits(0);
      const pointer = x.copy(op.stackPointer());
      const value = x.copy(op.load(Segment.ss, pointer, bits));
      const moved = movedPointer(op, pointer, x.i64(bits / 8));
      op.setStackPointer(moved);
      const address = x.copy(op.effectiveAddress(0));
      op.setStackPointer(pointer);
      const place = op.place(op.dataSegment, address, bits, 'write');
      op.storePlace(place, value, bits);
      op.commitPlace(place);
      op.setStackPointer(moved);
    },
    LEAVE: (op) => {
      const { x } = op;
      const bits = op.operandBits;
      const base = op.modeBits === 64 ? op.readRegister(5, 64) : x.extendU(op.readRegister(5, 32));
      const pointer = x.copy(op.wrapStackPointer(base));
      const value = x.copy(op.load(Segment.ss, pointer, bits));
      op.setStackPointer(movedPointer(op, pointer, x.i64(bits / 8)));
      op.writeRegister(5, bits, value);
    },
  },
};
