import { type Register, RegisterClass } from '../registers.ts';
import type { InstructionInfo } from './instruction-info.ts';

/** The widest register that a register is part of: RAX for AH, AL, AX and EAX, ZMM3 for XMM3; others are their own. */
export function fullRegister(register: Register): Register {
  const number = register & 31;
  switch (register >> 5) {
    case RegisterClass.gpr8high:
      return (RegisterClass.gpr64 << 5) | (number - 4);
    case RegisterClass.gpr8:
    case RegisterClass.gpr16:
    case RegisterClass.gpr32:
      return (RegisterClass.gpr64 << 5) | number;
    case RegisterClass.xmm:
    case RegisterClass.ymm:
      return (RegisterClass.zmm << 5) | number;
    default:
      return register;
  }
}

/** Whether two registers share bits. AL and AH do not; MMX and x87 registers count as different, as their numbers move with TOP. */
export function overlap(a: Register, b: Register): boolean {
  if (fullRegister(a) !== fullRegister(b)) return false;
  const classes = (1 << (a >> 5)) | (1 << (b >> 5));
  return classes !== ((1 << RegisterClass.gpr8) | (1 << RegisterClass.gpr8high));
}

/** `Access` bits of all uses that share bits with `register`: how the instruction accesses it, or some of it. */
export function accessTo(info: InstructionInfo, register: Register): number {
  let access = 0;
  for (let i = 0; i < info.registerCount; i++) {
    if (overlap(info.registers[i], register)) access |= info.registerAccess[i];
  }
  return access;
}
