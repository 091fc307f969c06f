import {
  type Instruction,
  memoryBase,
  memoryIndex,
  memorySegment,
  OperandKind,
  operandCount,
  operandFollowing,
  operandKind,
  operandRegister,
  type Register,
  RegisterClass,
  registerName,
} from '@nest86/decoder';
import { Access, type InstructionInfo, overlap } from '@nest86/decoder/info';
import { nameOrNull, signed64, words } from './words.ts';

export function memoryUse(info: InstructionInfo, use: number): object {
  const operand = info.memoryOperand[use];
  const index = info.memoryIndex[use];
  return {
    ...(operand < 0 ? { implicit: true } : { operand }),
    access: words(Access, info.memoryAccess[use]),
    size: info.memorySize[use] || null,
    segment: nameOrNull(info.memorySegment[use]),
    base: nameOrNull(info.memoryBase[use]),
    index: nameOrNull(index),
    scale: 1 << info.memoryScale[use],
    displacement: signed64(info.memoryDisplacement[use], info.memoryDisplacementHigh[use]),
    addressSize: info.memoryAddressSize[use],
    ...(info.memoryVectorIndex[use] === 0 ? {} : { vectorIndexBits: info.memoryVectorIndex[use] }),
  };
}

/** Every register that is used, and whether the text of the instruction names it. */
export function registerUses(instruction: Instruction, info: InstructionInfo): object[] {
  const explicit: Register[] = [];
  for (let operand = 0; operand < operandCount(instruction); operand++) {
    const kind = operandKind(instruction, operand);
    const first = operandRegister(instruction, operand);
    if (kind === OperandKind.register)
      for (let i = 0; i <= operandFollowing(instruction, operand); i++) explicit.push(first + i);
    if (kind === OperandKind.memory)
      explicit.push(
        memoryBase(instruction, operand),
        memoryIndex(instruction, operand),
        memorySegment(instruction, operand),
      );
  }
  if (instruction.opmask !== 0) explicit.push((RegisterClass.mask << 5) | instruction.opmask);
  return Array.from({ length: info.registerCount }, (_, use) => {
    const register = info.registers[use];
    const isExplicit = explicit.some((named) => overlap(named, register));
    const access = words(Access, info.registerAccess[use]);
    return { register: registerName(register), access, ...(isExplicit ? {} : { implicit: true }) };
  });
}
