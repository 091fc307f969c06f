import type { Instruction } from '../instruction.ts';
import { memorySegment, operandRegister } from '../operands.ts';
import { type Register, RegisterClass } from '../registers.ts';
import { Access, Implicit, ImplicitBase, When } from './constants.ts';
import type { InstructionInfo } from './instruction-info.ts';
import { memorySizes, programs } from './tables.ts';
import { addRegister, useRegister, useSegment, wordRegister } from './uses.ts';

const segments = RegisterClass.segment << 5;
const stackSegment = segments | 2;
const effectiveSegment = 7;

/** Numbers of the general registers. */
const number = { a: 0, c: 1, d: 2, sp: 4, bp: 5, di: 7 } as const;

/**
 * Adds what an encoding uses besides its operands. An operation is: code (bits 0–3), access (4–7), when (8–9), then
 * what it needs; see scripts/table/implicit.ts.
 */
export function runProgram(instruction: Instruction, out: InstructionInfo, start: number): void {
  const end = start + 1 + programs[start];
  for (let at = start + 1; at < end; at++) {
    const operation = programs[at];
    const code = operation & 15;
    const access = (operation >> 4) & 15;
    const when = (operation >> 8) & 3;
    const type = code === Implicit.memory ? programs[++at] : 0;
    if (when !== When.always && (when === When.in64) !== (instruction.mode === 64)) continue;
    switch (code) {
      case Implicit.registers: {
        const first = (operation >> 10) & 0x3ff;
        for (let i = operation >> 20; i >= 0; i--) useRegister(instruction, out, first + i, access, 0, 1);
        break;
      }
      case Implicit.segment:
        useSegment(instruction, out, memorySegment(instruction, 0), access);
        break;
      case Implicit.memory:
        useImplicitMemory(instruction, out, operation >> 10, access, memorySizes[type]);
        break;
      case Implicit.push:
      case Implicit.pop:
        moveStack(instruction, out, code === Implicit.push, (operation >> 10) & 15, operation >> 14);
        break;
      case Implicit.popRm:
        popToMemory(instruction, out, operation >> 10);
        break;
      case Implicit.popa:
        popAll(instruction, out, operation >> 10);
        break;
      case Implicit.enter:
        enter(instruction, out, operation >> 10);
        break;
      case Implicit.leave:
        leave(instruction, out, operation >> 10);
        break;
      case Implicit.xstore:
        storeRandom(instruction, out, operation >> 10);
        break;
      case Implicit.partner:
        addRegister(out, operandRegister(instruction, 0) ^ 1, access);
        break;
    }
  }
}

/** `where`: segment (3 bits), base. */
function useImplicitMemory(
  instruction: Instruction,
  out: InstructionInfo,
  where: number,
  access: number,
  size: number,
): void {
  const segmentNumber = where & 7;
  const segment =
    segmentNumber === effectiveSegment ? effectiveSegmentOf(instruction) : segments | segmentNumber;
  let base = where >> 3;
  if (base === ImplicitBase.operand0) base = operandRegister(instruction, 0);
  else if (base === ImplicitBase.rdi) base = wordRegister(instruction.addressSize) | number.di;
  const isConditional = (access & (Access.read | Access.write)) === 0;
  useSegment(instruction, out, segment, isConditional ? Access.conditionalRead : Access.read);
  addRegister(out, base, isConditional ? Access.conditionalRead : Access.read);
  addMemory(
    out,
    access,
    size,
    segment,
    base,
    0,
    base >> 5 === RegisterClass.gpr64 ? 64 : base >> 5 === RegisterClass.gpr32 ? 32 : 16,
  );
}

/** DS unless overridden. */
function effectiveSegmentOf(instruction: Instruction): Register {
  return segments | (instruction.segmentOverride === 0 ? 3 : instruction.segmentOverride - 1);
}

function addMemory(
  out: InstructionInfo,
  access: number,
  size: number,
  segment: Register,
  base: Register,
  displacement: number,
  addressSize: number,
): void {
  const i = out.memoryCount++;
  out.memoryOperand[i] = -1;
  out.memoryAccess[i] = access;
  out.memorySize[i] = size;
  out.memorySegment[i] = segment;
  out.memoryBase[i] = base;
  out.memoryIndex[i] = 0;
  out.memoryScale[i] = 0;
  out.memoryDisplacement[i] = displacement;
  out.memoryDisplacementHigh[i] = displacement >> 31;
  out.memoryAddressSize[i] = addressSize;
  out.memoryVectorIndex[i] = 0;
}

function stackPointer(instruction: Instruction): Register {
  return wordRegister(instruction.mode) | number.sp;
}

function moveStack(
  instruction: Instruction,
  out: InstructionInfo,
  isPush: boolean,
  count: number,
  size: number,
): void {
  const pointer = stackPointer(instruction);
  useSegment(instruction, out, stackSegment, Access.read);
  addRegister(out, pointer, Access.readWrite);
  for (let i = 0; i < count; i++) {
    addMemory(
      out,
      isPush ? Access.write : Access.read,
      size,
      stackSegment,
      pointer,
      isPush ? -size * (i + 1) : size * i,
      instruction.mode,
    );
  }
}

function popToMemory(instruction: Instruction, out: InstructionInfo, size: number): void {
  // The address is formed with the stack pointer already incremented (SDM vol. 2, POP).
  if (out.memoryCount === 1 && (out.memoryBase[0] & 31) === number.sp) {
    const displacement = out.memoryDisplacement[0] + size;
    out.memoryDisplacement[0] = displacement;
    out.memoryDisplacementHigh[0] = displacement >> 31;
  }
  moveStack(instruction, out, false, 1, size);
}

function popAll(instruction: Instruction, out: InstructionInfo, size: number): void {
  const pointer = stackPointer(instruction);
  useSegment(instruction, out, stackSegment, Access.read);
  addRegister(out, pointer, Access.readWrite);
  for (let i = 0; i < 8; i++) {
    // From DI up to AX; the slot of SP is skipped.
    if (7 - i === number.sp) continue;
    addRegister(out, wordRegister(size * 8) | (7 - i), Access.write);
    addMemory(out, Access.read, size, stackSegment, pointer, size * i, instruction.mode);
  }
}

function enter(instruction: Instruction, out: InstructionInfo, size: number): void {
  const pointer = stackPointer(instruction);
  const frame = wordRegister(instruction.mode) | number.bp;
  useSegment(instruction, out, stackSegment, Access.read);
  addRegister(out, pointer, Access.readWrite);
  // The frame pointer becomes what the stack pointer is, both in the operand size.
  addRegister(out, wordRegister(size * 8) | number.sp, Access.readWrite);
  addRegister(out, wordRegister(size * 8) | number.bp, Access.readWrite);
  let depth = -size;
  addMemory(out, Access.write, size, stackSegment, pointer, depth, instruction.mode);
  const level = instruction.immediate2 & 31;
  if (level === 0) return;
  if (level > 1) addRegister(out, frame, Access.readWrite);
  for (let i = 1; i < level; i++) {
    addMemory(out, Access.read, size, stackSegment, frame, -size * i, instruction.mode);
    depth -= size;
    addMemory(out, Access.write, size, stackSegment, pointer, depth, instruction.mode);
  }
  addMemory(out, Access.write, size, stackSegment, pointer, depth - size, instruction.mode);
}

function leave(instruction: Instruction, out: InstructionInfo, size: number): void {
  const frame = wordRegister(instruction.mode) | number.bp;
  useSegment(instruction, out, stackSegment, Access.read);
  addRegister(out, stackPointer(instruction), Access.write);
  addRegister(out, frame, Access.read);
  useRegister(instruction, out, wordRegister(size * 8) | number.bp, Access.write, 0, 1);
  addMemory(out, Access.read, size, stackSegment, frame, 0, instruction.mode);
}

function storeRandom(instruction: Instruction, out: InstructionInfo, addressBytes: number): void {
  const isRepeated = instruction.repeat !== 0;
  const read = isRepeated ? Access.conditionalRead : Access.read;
  const write = isRepeated ? Access.conditionalWrite : Access.write;
  const words = wordRegister(addressBytes * 8);
  useSegment(instruction, out, segments, read);
  if (isRepeated) useRegister(instruction, out, words | number.c, Access.readConditionalWrite, 0, 1);
  useRegister(instruction, out, words | number.di, read | write, 0, 1);
  useRegister(instruction, out, wordRegister(32) | number.a, write, 0, 1);
  addRegister(out, wordRegister(32) | number.d, read);
  addMemory(out, write, 0, segments, words | number.di, 0, addressBytes * 8);
}
