import type { Instruction } from '../instruction.ts';
import { Implicit, Kinds, StackChange } from './constants.ts';
import { attribute, Column, programOf, programs } from './tables.ts';

/**
 * Bytes by which the instruction moves the stack pointer: -8 for `push rax`, 12 for `ret 4` in 64-bit mode. 0 also where that
 * cannot be told from the instruction: LEAVE, MOV to the stack pointer, INT, SYSCALL.
 */
export function stackPointerIncrement(instruction: Instruction): number {
  const { encoding } = instruction;
  const bytes = attribute(encoding, Column.stackBytes);
  switch ((attribute(encoding, Column.kinds) >> Kinds.stack) & 3) {
    case StackChange.immediate:
      return bytes + (instruction.immediate & 0xffff);
    case StackChange.iret:
      // 64-bit mode pops SP and SS in any case (SDM vol. 2, IRET).
      return bytes * (instruction.mode === 64 ? 5 : 3);
    case StackChange.enter:
      return -bytes * (1 + (instruction.immediate2 & 31)) - (instruction.immediate & 0xffff);
    default:
      return bytes;
  }
}

/** Whether the instruction pushes, pops or sets up frames: PUSH, CALL, RET, IRET, ENTER, LEAVE and relatives. */
export function isStackInstruction(encoding: number): boolean {
  const start = programOf[encoding];
  for (let at = start + 1; at <= start + programs[start]; at++) {
    const code = programs[at] & 15;
    if (code === Implicit.memory) at++;
    else if ((code >= Implicit.push && code <= Implicit.leave) || code === Implicit.popa) return true;
  }
  return false;
}

/** Change of x87's TOP: -1 for a push, 1 or 2 for pops. For a conditional push (FPTAN, FSINCOS): that of the push. */
export function fpuTopIncrement(encoding: number): number {
  return ((attribute(encoding, Column.kinds) >> Kinds.fpuIncrement) & 7) - 1;
}

/** Whether TOP is written: by pushes and pops, and by FLDENV, FNINIT, FRSTOR, FNSAVE. */
export function fpuWritesTop(encoding: number): boolean {
  return ((attribute(encoding, Column.kinds) >> Kinds.fpuWritesTop) & 1) !== 0;
}

/** Whether TOP changes only sometimes: FPTAN and FSINCOS leave it alone if the operand is out of range. */
export function fpuIsConditional(encoding: number): boolean {
  return ((attribute(encoding, Column.kinds) >> Kinds.fpuConditional) & 1) !== 0;
}
