import { EncodingSpace, type Instruction } from '../instruction.ts';
import { type Register, RegisterClass } from '../registers.ts';
import { Access, Trait } from './constants.ts';
import type { InstructionInfo } from './instruction-info.ts';

/** AX, EAX or RAX by the number of bits; `| number` makes it another register. */
export function wordRegister(bits: number): Register {
  return (bits === 64 ? RegisterClass.gpr64 : bits === 32 ? RegisterClass.gpr32 : RegisterClass.gpr16) << 5;
}

/** Adds a use of a register to the list, or to the entry that it has. */
export function addRegister(info: InstructionInfo, register: Register, access: number): void {
  const { registers, registerAccess } = info;
  for (let i = 0; i < info.registerCount; i++) {
    if (registers[i] === register) {
      registerAccess[i] = merge(registerAccess[i] | access);
      return;
    }
  }
  const i = info.registerCount++;
  registers[i] = register;
  registerAccess[i] = access;
}

/** What happens in any case includes what happens under a condition. */
function merge(access: number): number {
  if ((access & Access.read) !== 0) access &= ~Access.conditionalRead;
  if ((access & Access.write) !== 0) access &= ~Access.conditionalWrite;
  return access;
}

/** Adds a use, widened where a write clears what is above the register. */
export function useRegister(
  instruction: Instruction,
  out: InstructionInfo,
  register: Register,
  access: number,
  traits: number,
  operand: number,
): void {
  let written = register;
  if ((access & Access.anyWrite) !== 0) {
    const registerClass = register >> 5;
    if (registerClass === RegisterClass.gpr32) {
      if (instruction.mode === 64) written = (RegisterClass.gpr64 << 5) | (register & 31);
    } else if (registerClass === RegisterClass.xmm || registerClass === RegisterClass.ymm) {
      if (instruction.space !== EncodingSpace.legacy) written = (RegisterClass.zmm << 5) | (register & 31);
    } else if (
      registerClass < RegisterClass.gpr32 &&
      registerClass !== RegisterClass.gpr8high &&
      operand === 0 &&
      instruction.space === EncodingSpace.evex &&
      (instruction.newDestination !== 0 || (traits & Trait.zeroUpper) !== 0)
    ) {
      written = (RegisterClass.gpr64 << 5) | (register & 31);
    }
  }
  if (written === register) addRegister(out, register, access);
  else {
    if ((access & Access.anyRead) !== 0) addRegister(out, register, access & Access.anyRead);
    addRegister(out, written, access & Access.anyWrite);
  }
}

/** Reads a segment register, unless 64-bit mode ignores it. */
export function useSegment(
  instruction: Instruction,
  out: InstructionInfo,
  segment: Register,
  access: number,
): void {
  if (instruction.mode !== 64 || (segment & 31) >= 4) addRegister(out, segment, access);
}
