import { EncodingSpace, type Instruction } from '../instruction.ts';
import { Leaf } from '../leaf.ts';
import { memoryBase, memoryIndex, memorySegment, operandRegister, Place } from '../operands.ts';
import { noRegister, RegisterClass } from '../registers.ts';
import { leaves, operandListOf, operandLists, operandSpecs } from '../tables.ts';
import { Access, Flag, Special, Trait, Treatment } from './constants.ts';
import { runProgram } from './implicit.ts';
import type { InstructionInfo } from './instruction-info.ts';
import {
  attribute,
  Column,
  flagColumns,
  flagMasks,
  flagsOf,
  memorySizes,
  operandAccess,
  programOf,
} from './tables.ts';
import { addRegister, useRegister, useSegment, wordRegister } from './uses.ts';

/**
 * Tells what registers, memory and flags an instruction uses. For an instruction that is not ok, everything is empty.
 *
 * - A write to a 32-bit general register in 64-bit mode is reported as one to the 64-bit register, since it clears the upper half.
 *   A VEX, EVEX or XOP instruction's write to XMM or YMM is reported as one to ZMM for the same reason. What is read is
 *   reported as wide as it is read.
 * - Registers that form addresses are read; so are segment registers, except ES, CS, SS and DS in 64-bit mode.
 * - With an opmask and merging, a destination register is also read.
 * - With REP everything depends on the counter, hence is conditional. A repeated memory operand has size 0.
 * - What an opmask or another mask leaves out of a store is not written, so the store is conditional; loads count as reads.
 * - `xor eax, eax` and relatives read nothing. A shift by 0 counts as a write: it leaves flags alone, but clears the upper half of a
 *   32-bit register.
 * - Where the stack pointer's width depends on the stack segment, it is taken to be that of the code segment.
 */
export function readInfo(instruction: Instruction, out: InstructionInfo): void {
  const { encoding, opmask } = instruction;
  const traits = attribute(encoding, Column.traits);
  const special = attribute(encoding, Column.treatment) & 15;
  out.registerCount = 0;
  out.memoryCount = 0;
  readFlags(instruction, out, special);
  if (isZeroIdiom(instruction, special)) {
    const spec = operandSpecs[operandLists[operandListOf[encoding] + 1]];
    const access = destinationAccess(instruction, traits, Access.write, (spec >> 5) & 31);
    useRegister(instruction, out, operandRegister(instruction, 0), access, traits, 0);
  } else readOperands(instruction, out, traits, special === Special.string && instruction.repeat !== 0);
  if (opmask !== 0) {
    const access = (traits & Trait.opmaskWritten) !== 0 ? Access.readWrite : Access.read;
    addRegister(out, (RegisterClass.mask << 5) | opmask, access);
  }
  const program = programOf[encoding];
  if (program !== 0) runProgram(instruction, out, program);
}

/** Explicit operands; the counter too if repeated. */
function readOperands(
  instruction: Instruction,
  out: InstructionInfo,
  traits: number,
  isRepeated: boolean,
): void {
  const { encoding } = instruction;
  const list = operandListOf[encoding];
  const count = operandLists[list];
  const isMemoryForm = instruction.modrm < 0xc0;
  for (let operand = 0; operand < count; operand++) {
    const spec = operandSpecs[operandLists[list + 1 + operand]];
    const place = spec & 31;
    if (place >= Place.imm && place <= Place.far) continue;
    const accesses = operandAccess[(spec >> 18) & 15];
    if (place >= Place.moffs || (place === Place.rm && isMemoryForm && ((spec >> 10) & 255) !== 0)) {
      const access = accesses & 255;
      if (access !== Access.none) useMemory(instruction, out, operand, spec, access, isRepeated);
      continue;
    }
    let access = (accesses >> (isMemoryForm ? 8 : 16)) & 255;
    if (accesses >> 24 !== 0 && instruction.mode === 64) access = Access.readWrite;
    if (access === Access.none) continue;
    if (isRepeated) access = conditional(access);
    else if (operand === 0) access = destinationAccess(instruction, traits, access, (spec >> 5) & 31);
    let register = operandRegister(instruction, operand);
    const treatment = attribute(encoding, Column.treatment);
    if (((treatment >> (Treatment.narrowed + operand)) & 1) !== 0) {
      register = (((treatment >> Treatment.narrowClass) & 15) << 5) | (register & 31);
    }
    const following = (spec >> 24) & 3;
    if (following !== 0) register &= ~following;
    for (let i = 0; i <= following; i++) {
      useRegister(instruction, out, register + i, access, traits, operand);
    }
  }
  if (isRepeated) {
    const counter = wordRegister(instruction.addressSize) | 1;
    useRegister(instruction, out, counter, Access.readConditionalWrite, 0, 0);
  }
}

/** What merging under an opmask makes of the access to a destination register. */
function destinationAccess(
  instruction: Instruction,
  traits: number,
  access: number,
  registerClass: number,
): number {
  if (
    instruction.opmask === 0 ||
    instruction.zeroing !== 0 ||
    (access & Access.write) === 0 ||
    (traits & (Trait.impliedZeroing | Trait.opmaskSelects)) !== 0
  )
    return access;
  // What is above XMM and YMM is cleared in any case; nothing is above ZMM.
  return registerClass === RegisterClass.zmm ? Access.readConditionalWrite : Access.readWrite;
}

function conditional(access: number): number {
  return (
    ((access & Access.anyRead) !== 0 ? Access.conditionalRead : 0) |
    ((access & Access.anyWrite) !== 0 ? Access.conditionalWrite : 0)
  );
}

/** An explicit memory operand and the registers of its address. */
function useMemory(
  instruction: Instruction,
  out: InstructionInfo,
  operand: number,
  spec: number,
  access: number,
  isRepeated: boolean,
): void {
  if (access === Access.addressOnly) {
    useAddress(instruction, out, operand);
    return;
  }
  const treatment = attribute(instruction.encoding, Column.treatment);
  const special = treatment & 15;
  const segment = memorySegment(instruction, operand);
  const base = memoryBase(instruction, operand);
  let index = memoryIndex(instruction, operand);
  if (isRepeated) access = conditional(access);
  else if (operand === 0 && instruction.opmask !== 0 && (access & Access.write) !== 0) {
    access = Access.conditionalWrite | (access & Access.read);
  }
  useSegment(instruction, out, segment, isRepeated ? Access.conditionalRead : Access.read);
  if (special === Special.string) {
    const advances = isRepeated ? Access.conditionalRead | Access.conditionalWrite : Access.readWrite;
    useRegister(instruction, out, base, advances, 0, operand);
  } else if (isGeneral(base)) addRegister(out, base, Access.read);
  if (index !== noRegister) {
    addRegister(out, index, Access.read);
    if (special === Special.stride) index = noRegister;
  }
  const i = out.memoryCount++;
  out.memoryOperand[i] = operand;
  out.memoryAccess[i] = access;
  out.memorySize[i] = isRepeated ? 0 : explicitSize(instruction, spec);
  out.memorySegment[i] = segment;
  out.memoryBase[i] = base;
  out.memoryIndex[i] = index;
  out.memoryScale[i] = index === noRegister ? 0 : instruction.scale;
  out.memoryDisplacement[i] = instruction.displacement;
  out.memoryDisplacementHigh[i] = instruction.displacementHigh;
  out.memoryAddressSize[i] = instruction.addressSize;
  out.memoryVectorIndex[i] = ((treatment >> Treatment.vectorIndex) & 3) << 5;
}

/** Not none, and not RIP or EIP, whose value the reader of the code knows. */
function isGeneral(base: number): boolean {
  return base !== noRegister && base >> 5 !== RegisterClass.instructionPointer;
}

/** Registers of an address that is computed but not accessed. */
function useAddress(instruction: Instruction, out: InstructionInfo, operand: number): void {
  let base = memoryBase(instruction, operand);
  let index = memoryIndex(instruction, operand);
  const traits = attribute(instruction.encoding, Column.traits);
  if ((attribute(instruction.encoding, Column.treatment) & 15) === Special.narrowAddress) {
    const width = operandRegister(instruction, 0) >> 5;
    if (isGeneral(base) && base >> 5 > width) base = (width << 5) | (base & 31);
    if (index !== noRegister && index >> 5 > width) index = (width << 5) | (index & 31);
  }
  if ((traits & Trait.noSegment) === 0) {
    useSegment(instruction, out, memorySegment(instruction, operand), Access.read);
  }
  if (isGeneral(base)) addRegister(out, base, Access.read);
  if (index !== noRegister) addRegister(out, index, Access.read);
}

/** Bytes of an explicit memory operand, which a broadcast reduces to one element. @internal */
export function explicitSize(instruction: Instruction, spec: number): number {
  if (instruction.broadcast !== 0 && instruction.space === EncodingSpace.evex) {
    const shift = (leaves[instruction.encoding] >> Leaf.broadcastShift) & 3;
    if (shift !== 0) return 1 << shift;
  }
  return memorySizes[(spec >> 10) & 255];
}

/** Whether the encoding has an idiom for zero and these operands are one. */
function isZeroIdiom(instruction: Instruction, special: number): boolean {
  if (special < Special.zeroIdiom2 || special > Special.zeroIdiomFlags3 || instruction.modrm < 0xc0)
    return false;
  const first = special === Special.zeroIdiom3 || special === Special.zeroIdiomFlags3 ? 1 : 0;
  return operandRegister(instruction, first) === operandRegister(instruction, first + 1);
}

function readFlags(instruction: Instruction, out: InstructionInfo, special: number): void {
  const row = flagsOf[instruction.encoding] * flagColumns;
  out.flagsRead = flagMasks[row];
  out.flagsWritten = flagMasks[row + 1];
  out.flagsCleared = flagMasks[row + 2];
  out.flagsSet = flagMasks[row + 3];
  out.flagsUndefined = flagMasks[row + 4];
  if (row === 0) return;
  if (instruction.noFlags !== 0 && (attribute(instruction.encoding, Column.traits) & Trait.noFlags) !== 0) {
    out.flagsWritten = out.flagsCleared = out.flagsSet = out.flagsUndefined = 0;
  } else if (special === Special.count) {
    const limits = attribute(instruction.encoding, Column.count);
    const count = instruction.immediate & limits & 63;
    const modulus = limits >> 6;
    if (count === 0 || (modulus !== 0 && count % modulus === 0)) {
      out.flagsRead = out.flagsWritten = out.flagsCleared = out.flagsSet = out.flagsUndefined = 0;
    } else if (count === 1) {
      // A shift by one defines OF.
      out.flagsWritten |= out.flagsUndefined & Flag.overflow;
      out.flagsUndefined &= ~Flag.overflow;
    }
  } else if (special >= Special.zeroIdiomFlags2 && isZeroIdiom(instruction, special)) {
    // The result is 0 whatever the register held.
    const written = out.flagsWritten;
    out.flagsWritten = 0;
    out.flagsSet |= written & (Flag.zero | Flag.parity);
    out.flagsCleared |= written & ~(Flag.zero | Flag.parity);
  }
}
