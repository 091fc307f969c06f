import type { Value } from '@nest86/wasm';
import { Segment } from '../state/layout.ts';
import type { Definition, Family, Operation } from './operation.ts';
import { movedPointer } from './stack.ts';

/** Ends of the mnemonics of Jcc, SETcc, CMOVcc in the order of their encoding (SDM vol. 1, appendix B). */
export const conditionNames: readonly string[] = [
  'O',
  'NO',
  'B',
  'AE',
  'E',
  'NE',
  'BE',
  'A',
  'S',
  'NS',
  'P',
  'NP',
  'L',
  'GE',
  'LE',
  'G',
];

/** Number of a condition by the end of a mnemonic, or -1. */
export function conditionOf(mnemonic: string): number {
  return conditionNames.indexOf(mnemonic.replace(/^(J|SET|CMOV)/, ''));
}

const conditional: Definition = (op) => op.jump(op.condition(op.conditionCode()));

/** i64 of a value of up to 64 bits. */
function wide(op: Operation, bits: number, value: Value): Value {
  return bits === 64 ? value : op.x.extendU(value);
}

/** LOOP, LOOPE, LOOPNE: rCX at the address size counts; no flags change. */
function loop(zeroFlag: 'set' | 'clear' | 'any'): Definition {
  return (op) => {
    const { x } = op;
    const bits = op.addressBits;
    const count = x.copy(x.sub(op.readRegister(1, bits), op.constant(bits, 1)));
    const narrow = bits === 16 ? x.and(count, x.i32(0xffff)) : count;
    const goesOn = x.eqz(x.eqz(narrow));
    const condition = zeroFlag === 'any' ? goesOn : x.and(goesOn, op.condition(zeroFlag === 'set' ? 4 : 5));
    op.writeRegister(1, bits, count);
    op.jump(condition);
  };
}

/** JCXZ, JECXZ, JRCXZ. */
function jumpIfZero(bits: 16 | 32 | 64): Definition {
  return (op) => op.jump(op.x.eqz(op.readRegister(1, bits)));
}

/** RET: the target is judged before the stack pointer moves. */
const ret: Definition = (op) => {
  const { x } = op;
  const bits = op.operandBits;
  const pointer = x.copy(op.stackPointer());
  const target = x.copy(op.load(Segment.ss, pointer, bits));
  op.checkTarget(target);
  const released = op.operandCount === 0 ? x.i64(0) : wide(op, op.bits(0), op.read(0));
  op.setStackPointer(x.add(x.add(pointer, x.i64(bits / 8)), released));
  op.jumpTo(target);
};

export const branches: Family = {
  definitions: {
    ...Object.fromEntries(conditionNames.map((name) => [`J${name}`, conditional])),
    JMP: (op) => {
      if (op.kind(0) === 'relative') {
        op.jump();
        return;
      }
      const target = op.x.copy(op.read(0));
      op.checkTarget(target);
      op.jumpTo(target);
    },
    CALL: (op) => {
      if (op.kind(0) === 'relative') {
        op.push(op.nextInstruction());
        op.jump();
        return;
      }
      const { x } = op;
      const bits = op.operandBits;
      const target = x.copy(op.read(0));
      const returnAddress = x.copy(op.nextInstruction());
      const pointer = movedPointer(op, x.copy(op.stackPointer()), x.i64(-bits / 8));
      // Of two faults the stack's comes first (found by comparing).
      const place = op.place(Segment.ss, pointer, bits, 'write');
      op.checkTarget(target);
      op.storePlace(place, returnAddress, bits);
      op.commitPlace(place);
      op.setStackPointer(pointer);
      op.jumpTo(target);
    },
    RET: ret,
    LOOP: loop('any'),
    LOOPE: loop('set'),
    LOOPNE: loop('clear'),
    JCXZ: jumpIfZero(16),
    JECXZ: jumpIfZero(32),
    JRCXZ: jumpIfZero(64),
  },
};
