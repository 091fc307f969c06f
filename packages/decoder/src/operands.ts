import { EncodingSpace, type Instruction } from './instruction.ts';
import { noRegister, type Register, RegisterClass } from './registers.ts';
import { memoryTypeSizes, operandFixed, operandListOf, operandLists, operandSpecs } from './tables.ts';

/** What an operand is. */
export const OperandKind = {
  none: 0,
  register: 1,
  /** ModRM memory, absolute offset, or an implied address such as [RSI]. */
  memory: 2,
  immediate: 3,
  /** Target relative to the next instruction; the displacement is in `immediate`. */
  relative: 4,
  /** Selector in `immediate2`, offset in `immediate`. */
  farPointer: 5,
  /** Target offset itself, in `immediate` (JMPABS, JMPE). */
  absolute: 6,
} as const;
export type OperandKind = (typeof OperandKind)[keyof typeof OperandKind];

/** Rows of the places in scripts/table/operands.ts. @internal */
export const Place = {
  reg: 0,
  rm: 1,
  vvvv: 2,
  opcode: 3,
  is4: 4,
  fixed: 5,
  imm: 6,
  imm16: 7,
  imm32: 8,
  imm64: 9,
  imm4: 10,
  one: 11,
  rel: 12,
  disp: 13,
  far: 14,
  moffs: 15,
  segSi: 16,
  esDi: 17,
  segDi: 18,
  segBxAl: 19,
} as const;

const kindOfPlace = [1, 1, 1, 1, 1, 1, 3, 3, 3, 3, 3, 3, 4, 6, 5, 2, 2, 2, 2, 2];

/** Number of explicit operands, 0 to 5. */
export function operandCount(instruction: Instruction): number {
  return operandLists[operandListOf[instruction.encoding]];
}

function specOf(instruction: Instruction, operand: number): number {
  return operandLists[operandListOf[instruction.encoding] + 1 + operand];
}

/** {@link OperandKind} of operand 0, 1 …; operands are in Intel's order. */
export function operandKind(instruction: Instruction, operand: number): number {
  const place = operandSpecs[specOf(instruction, operand)] & 31;
  if (place === Place.rm && instruction.modrm < 0xc0 && instruction.modrm >= 0)
    return rmIsRegister(instruction, operand) ? OperandKind.register : OperandKind.memory;
  return kindOfPlace[place];
}

/** MOV to and from control, debug and test registers treats every ModRM byte as the register form. */
function rmIsRegister(instruction: Instruction, operand: number): boolean {
  return ((operandSpecs[specOf(instruction, operand)] >> 10) & 255) === 0;
}

/** Register of a register operand, 0 for other kinds. */
export function operandRegister(instruction: Instruction, operand: number): Register {
  return registerOfSpec(instruction, specOf(instruction, operand));
}

/** The same, by the operand's row in the spec table. @internal */
export function registerOfSpec(instruction: Instruction, row: number): Register {
  const spec = operandSpecs[row];
  const registerClass = (spec >> 5) & 31;
  let number: number;
  switch (spec & 31) {
    case Place.reg:
      number = instruction.reg;
      break;
    case Place.rm:
      // Without a memory type: MOV to and from control registers, where every ModRM byte means a register.
      if (instruction.modrm < 0xc0 && ((spec >> 10) & 255) !== 0) return noRegister;
      number =
        registerClass >= RegisterClass.xmm && registerClass <= RegisterClass.zmm
          ? instruction.rmVector
          : instruction.rm;
      break;
    case Place.vvvv:
      number = instruction.vvvv;
      break;
    case Place.opcode:
      number = instruction.rm;
      break;
    case Place.is4:
      number = (instruction.immediate >> 4) & (instruction.mode === 64 ? 15 : 7);
      break;
    case Place.fixed:
      return operandFixed[row];
    default:
      return noRegister;
  }
  switch (registerClass) {
    case RegisterClass.gpr8:
      // Without REX, 4 to 7 are AH, CH, DH, BH.
      if (number >= 4 && number < 8 && instruction.rex === 0 && instruction.space === EncodingSpace.legacy) {
        return (RegisterClass.gpr8high << 5) | number;
      }
      break;
    case RegisterClass.segment:
    case RegisterClass.mmx:
    case RegisterClass.x87:
    case RegisterClass.mask:
    case RegisterClass.tile:
      number &= 7;
      break;
  }
  return (registerClass << 5) | number;
}

/** Row of the memory type table. @internal */
function operandMemoryType(instruction: Instruction, operand: number): number {
  return (operandSpecs[specOf(instruction, operand)] >> 10) & 255;
}

/** Bytes that a memory operand covers; 0 where the size is not fixed. Without regard to broadcasting. */
export function operandMemorySize(instruction: Instruction, operand: number): number {
  return memoryTypeSizes[operandMemoryType(instruction, operand)];
}

/** Segment register through which a memory operand is reached, overrides taken into account. */
export function memorySegment(instruction: Instruction, operand: number): Register {
  const place = operandSpecs[specOf(instruction, operand)] & 31;
  const segments = RegisterClass.segment << 5;
  if (place === Place.esDi) return segments;
  if (instruction.segmentOverride !== 0) return segments | (instruction.segmentOverride - 1);
  if (place === Place.rm) {
    const base = instruction.base;
    const number = base & 31;
    // BP, SP and their wider forms address the stack segment.
    if (
      (number === 4 || number === 5) &&
      base >> 5 >= RegisterClass.gpr16 &&
      base >> 5 <= RegisterClass.gpr64
    )
      return segments | 2;
  }
  return segments | 3;
}

/** Base register of a memory operand: ModRM's, or the implied one ([RSI], [EDI], [BX+AL]); 0 if there is none. */
export function memoryBase(instruction: Instruction, operand: number): Register {
  const place = operandSpecs[specOf(instruction, operand)] & 31;
  if (place === Place.rm) return instruction.base;
  if (place === Place.moffs) return noRegister;
  const size = instruction.addressSize;
  const registers =
    (size === 64 ? RegisterClass.gpr64 : size === 32 ? RegisterClass.gpr32 : RegisterClass.gpr16) << 5;
  return registers | (place === Place.segSi ? 6 : place === Place.segBxAl ? 3 : 7);
}

/** Index register of a memory operand; 0 if there is none. */
export function memoryIndex(instruction: Instruction, operand: number): Register {
  const place = operandSpecs[specOf(instruction, operand)] & 31;
  return place === Place.rm
    ? instruction.index
    : place === Place.segBxAl
      ? RegisterClass.gpr8 << 5
      : noRegister;
}

/**
 * Low 32 bits of an immediate operand, as the instruction uses it: sign-extended where the manual says so, otherwise
 * zero-extended from its encoded size.
 */
export function operandImmediate(instruction: Instruction, operand: number): number {
  switch (operandSpecs[specOf(instruction, operand)] & 31) {
    case Place.one:
      return 1;
    case Place.imm4:
      return instruction.immediate & 15;
    case Place.imm16:
      return instruction.immediate & 0xffff;
    case Place.imm:
      if (operand > 0 && instruction.immediate2Size !== 0 && isSecondImmediate(instruction, operand))
        return instruction.immediate2;
      if (instruction.immediateSize === 1) return instruction.immediate & 0xff;
      if (instruction.immediateSize === 2) return instruction.immediate & 0xffff;
      return instruction.immediate;
    default:
      return instruction.immediate;
  }
}

function isSecondImmediate(instruction: Instruction, operand: number): boolean {
  return (operandSpecs[specOf(instruction, operand - 1)] & 31) === Place.imm;
}

/** High 32 bits of an immediate operand: 0, the sign, or the upper half of imm64. */
export function operandImmediateHigh(instruction: Instruction, operand: number): number {
  const place = operandSpecs[specOf(instruction, operand)] & 31;
  return place === Place.imm64 || (place === Place.imm && instruction.immediateSize === 8)
    ? instruction.immediateHigh
    : 0;
}

/** Size in bytes of an immediate operand's value after extension: 1, 2, 4 or 8. */
export function operandImmediateSize(instruction: Instruction, operand: number): number {
  switch (operandSpecs[specOf(instruction, operand)] & 31) {
    case Place.imm16:
      return 2;
    case Place.imm32:
      return 4;
    case Place.imm64:
      return 8;
    case Place.imm:
      return operand > 0 && instruction.immediate2Size !== 0 && isSecondImmediate(instruction, operand)
        ? instruction.immediate2Size
        : instruction.immediateSize;
    default:
      return 1;
  }
}

/** Registers that follow the named one and belong to the operand too: 1 for `k1+1`, 3 for `zmm2+3`. */
export function operandFollowing(instruction: Instruction, operand: number): number {
  return (operandSpecs[specOf(instruction, operand)] >> 24) & 3;
}

/** The register holds an address that the instruction accesses (UMONITOR, MOVDIR64B …). */
export function operandIsAddress(instruction: Instruction, operand: number): boolean {
  return ((operandSpecs[specOf(instruction, operand)] >> 26) & 1) !== 0;
}
