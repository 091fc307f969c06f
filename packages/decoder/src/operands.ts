import { type Instruction, EncodingSpace as importedEncodingSpace } from './instruction.ts';
import { RegisterClass as importedRegisterClass, noRegister, type Register } from './registers.ts';
import * as tables from './tables.ts';

// Constants of this module, which an engine folds into the code; imported bindings it loads every time (measured: 5 % on Node 26).
const EncodingSpace = importedEncodingSpace;
const RegisterClass = importedRegisterClass;

const { memoryTypeSizes, operandFixed, operandLists, operandSpecs, operandWords } = tables;

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

const place = Place;
const kindOfPlace = Uint8Array.of(1, 1, 1, 1, 1, 1, 3, 3, 3, 3, 3, 3, 4, 6, 5, 2, 2, 2, 2, 2);

/** Number of explicit operands, 0 to 5. */
export function operandCount(instruction: Instruction): number {
  return operandWords[instruction.operandList];
}

function specOf(instruction: Instruction, operand: number): number {
  return operandWords[instruction.operandList + 1 + operand];
}

const memoryKind = OperandKind.memory;

/** {@link OperandKind} of operand 0, 1 …; operands are in Intel's order. */
export function operandKind(instruction: Instruction, operand: number): number {
  const spec = specOf(instruction, operand);
  // A spec without a memory type treats every ModRM byte as the register form: MOV to and from control, debug and test registers.
  if ((spec & 31) === place.rm && instruction.modrm < 0xc0 && ((spec >> 10) & 255) !== 0) return memoryKind;
  return kindOfPlace[spec & 31];
}

/** Register of a register operand, 0 for other kinds. */
export function operandRegister(instruction: Instruction, operand: number): Register {
  const word = instruction.operandList + 1 + operand;
  const spec = operandWords[word];
  return (spec & 31) === place.fixed ? operandFixed[operandLists[word]] : registerIn(instruction, spec);
}

/** The same, by the operand's row in the spec table. @internal */
export function registerOfSpec(instruction: Instruction, row: number): Register {
  const spec = operandSpecs[row];
  return (spec & 31) === place.fixed ? operandFixed[row] : registerIn(instruction, spec);
}

function registerIn(instruction: Instruction, spec: number): Register {
  const registerClass = (spec >> 5) & 31;
  let number: number;
  switch (spec & 31) {
    case place.reg:
      number = instruction.reg;
      break;
    case place.rm:
      // Without a memory type: MOV to and from control registers, where every ModRM byte means a register.
      if (instruction.modrm < 0xc0 && ((spec >> 10) & 255) !== 0) return noRegister;
      number =
        registerClass >= RegisterClass.xmm && registerClass <= RegisterClass.zmm
          ? instruction.rmVector
          : instruction.rm;
      break;
    case place.vvvv:
      number = instruction.vvvv;
      break;
    case place.opcode:
      number = instruction.rm;
      break;
    case place.is4:
      number = (instruction.immediate >> 4) & (instruction.mode === 64 ? 15 : 7);
      break;
    default:
      return noRegister;
  }
  if ((spec & narrow) === 0) return (registerClass << 5) | number;
  if (registerClass !== RegisterClass.gpr8) return (registerClass << 5) | (number & 7);
  // Without REX, 4 to 7 are AH, CH, DH, BH.
  const isHigh =
    number >= 4 && number < 8 && instruction.rex === 0 && instruction.space === EncodingSpace.legacy;
  return ((isHigh ? RegisterClass.gpr8high : RegisterClass.gpr8) << 5) | number;
}

/** Bit of a spec: not every number is the register of that number (scripts/table/operands.ts). */
const narrow = 1 << 27;

/** Row of the memory type table. @internal */
function operandMemoryType(instruction: Instruction, operand: number): number {
  return (specOf(instruction, operand) >> 10) & 255;
}

/** Bytes that a memory operand covers; 0 where the size is not fixed. Without regard to broadcasting. */
export function operandMemorySize(instruction: Instruction, operand: number): number {
  return memoryTypeSizes[operandMemoryType(instruction, operand)];
}

/** Segment register through which a memory operand is reached, overrides taken into account. */
export function memorySegment(instruction: Instruction, operand: number): Register {
  const at = specOf(instruction, operand) & 31;
  const segments = RegisterClass.segment << 5;
  if (at === place.esDi) return segments;
  if (instruction.segmentOverride !== 0) return segments | (instruction.segmentOverride - 1);
  if (at === place.rm) {
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
  // No instruction has a ModRM operand in memory and an implied one as well.
  if (instruction.base !== 0) return instruction.base;
  const at = specOf(instruction, operand) & 31;
  if (at === place.rm) return instruction.base;
  if (at === place.moffs) return noRegister;
  const size = instruction.addressSize;
  const registers =
    (size === 64 ? RegisterClass.gpr64 : size === 32 ? RegisterClass.gpr32 : RegisterClass.gpr16) << 5;
  return registers | (at === place.segSi ? 6 : at === place.segBxAl ? 3 : 7);
}

/** Index register of a memory operand; 0 if there is none. */
export function memoryIndex(instruction: Instruction, operand: number): Register {
  if (instruction.base !== 0) return instruction.index;
  const at = specOf(instruction, operand) & 31;
  return at === place.rm ? instruction.index : at === place.segBxAl ? RegisterClass.gpr8 << 5 : noRegister;
}

/**
 * Low 32 bits of an immediate operand, as the instruction uses it: sign-extended where the manual says so, otherwise
 * zero-extended from its encoded size.
 */
export function operandImmediate(instruction: Instruction, operand: number): number {
  switch (specOf(instruction, operand) & 31) {
    case place.one:
      return 1;
    case place.imm4:
      return instruction.immediate & 15;
    case place.imm16:
      return instruction.immediate & 0xffff;
    case place.imm:
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
  return (specOf(instruction, operand - 1) & 31) === place.imm;
}

/** High 32 bits of an immediate operand: 0, the sign, or the upper half of imm64. */
export function operandImmediateHigh(instruction: Instruction, operand: number): number {
  const at = specOf(instruction, operand) & 31;
  return at === place.imm64 || (at === place.imm && instruction.immediateSize === 8)
    ? instruction.immediateHigh
    : 0;
}

/** Size in bytes of an immediate operand's value after extension: 1, 2, 4 or 8. */
export function operandImmediateSize(instruction: Instruction, operand: number): number {
  switch (specOf(instruction, operand) & 31) {
    case place.imm16:
      return 2;
    case place.imm32:
      return 4;
    case place.imm64:
      return 8;
    case place.imm:
      return operand > 0 && instruction.immediate2Size !== 0 && isSecondImmediate(instruction, operand)
        ? instruction.immediate2Size
        : instruction.immediateSize;
    default:
      return 1;
  }
}

/** Registers that follow the named one and belong to the operand too: 1 for `k1+1`, 3 for `zmm2+3`. */
export function operandFollowing(instruction: Instruction, operand: number): number {
  return (specOf(instruction, operand) >> 24) & 3;
}

/** The register holds an address that the instruction accesses (UMONITOR, MOVDIR64B …). */
export function operandIsAddress(instruction: Instruction, operand: number): boolean {
  return ((specOf(instruction, operand) >> 26) & 1) !== 0;
}
