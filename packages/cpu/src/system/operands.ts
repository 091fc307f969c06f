import {
  type Instruction,
  memoryBase,
  memoryIndex,
  memorySegment,
  OperandKind,
  operandImmediate,
  operandImmediateHigh,
  operandKind,
  operandMemorySize,
  operandRegister,
  type Register,
  RegisterClass,
  registerClass,
  registerNumber,
  registerSize,
} from '@nest86/decoder';
import { Efer, isCanonical } from '@nest86/mmu';
import { Exception } from '../semantics/operation.ts';
import { Segment, stateOffset } from '../state/layout.ts';
import { guestFault } from './fault.ts';
import type { SystemUnit } from './unit.ts';

/*
 * Explicit operands and the stack, for instructions that TypeScript executes. 64-bit values travel as two Int32 in an `out` that the caller
 * owns, low half first. Whatever throws here has changed nothing.
 */

/** Why memory is addressed; the bits are those of the state's `segmentRights`. */
export const Use = {
  /** The address alone matters: INVLPG, MONITOR. */
  address: 0,
  read: 1,
  write: 2,
  modify: 3,
} as const;

const cr0Am = 1 << 18;
const flagAc = 1 << 18;

// Modes (SDM vol. 1, 3.1; vol. 3, 2.2).

/** Whether code runs in 64-bit mode: EFER.LMA and CS.L. */
export function in64BitMode(unit: SystemUnit): boolean {
  return (unit.context.efer & Efer.lma) !== 0 && (unit.state.words[codeAttributes] & 0x2000) !== 0;
}

/** Cells of the state, as words. */
const codeAttributes: number = (stateOffset.segmentAttributes >> 2) + Segment.cs;
const cplCell: number = stateOffset.cpl >> 2;
const flagsCell: number = stateOffset.systemFlags >> 2;

/** Width of the stack pointer in bits: 64 in 64-bit mode, else by SS.B (SDM vol. 1, 6.2.3). */
export function stackBits(unit: SystemUnit): number {
  if (in64BitMode(unit)) return 64;
  return (unit.state.get('segmentAttributes', Segment.ss) & 0x4000) !== 0 ? 32 : 16;
}

// Registers.

/** Value of a general, segment or instruction pointer register, zero-extended. */
export function readRegister(unit: SystemUnit, register: Register, out: Int32Array): void {
  const { state } = unit;
  const number = registerNumber(register);
  out[1] = 0;
  switch (registerClass(register)) {
    case RegisterClass.gpr8:
      out[0] = state.low('gpr', number) & 0xff;
      return;
    case RegisterClass.gpr8high:
      out[0] = (state.low('gpr', number - 4) >>> 8) & 0xff;
      return;
    case RegisterClass.gpr16:
      out[0] = state.low('gpr', number) & 0xffff;
      return;
    case RegisterClass.gpr32:
      out[0] = state.low('gpr', number);
      return;
    case RegisterClass.gpr64:
      out[0] = state.low('gpr', number);
      out[1] = state.high('gpr', number);
      return;
    case RegisterClass.segment:
      out[0] = state.get('segmentSelector', number);
      return;
    default:
      unit.unimplemented(`register class ${registerClass(register)} as an operand`);
  }
}

/** Writes a general register. 8 and 16 bits leave the others alone, 32 bits clear the upper half (SDM vol. 1, 3.4.1.1). */
export function writeRegister(unit: SystemUnit, register: Register, low: number, high: number): void {
  const { state } = unit;
  const number = registerNumber(register);
  switch (registerClass(register)) {
    case RegisterClass.gpr8:
      state.setPair(
        'gpr',
        (state.low('gpr', number) & ~0xff) | (low & 0xff),
        state.high('gpr', number),
        number,
      );
      return;
    case RegisterClass.gpr8high: {
      const whole = number - 4;
      const rest = state.low('gpr', whole) & ~0xff00;
      state.setPair('gpr', rest | ((low & 0xff) << 8), state.high('gpr', whole), whole);
      return;
    }
    case RegisterClass.gpr16:
      state.setPair(
        'gpr',
        (state.low('gpr', number) & ~0xffff) | (low & 0xffff),
        state.high('gpr', number),
        number,
      );
      return;
    case RegisterClass.gpr32:
      state.setPair('gpr', low, 0, number);
      return;
    case RegisterClass.gpr64:
      state.setPair('gpr', low, high, number);
      return;
    default:
      unit.unimplemented(`register class ${registerClass(register)} as a destination`);
  }
}

// Addresses.

const register = new Int32Array(2);

/** Offset of a memory operand in its segment, wrapped to the address size (SDM vol. 1, 3.7.5). */
export function effectiveAddress(
  unit: SystemUnit,
  instruction: Instruction,
  operand: number,
  out: Int32Array,
): void {
  const base = memoryBase(instruction, operand);
  const index = memoryIndex(instruction, operand);
  out[0] = instruction.displacement;
  out[1] = instruction.displacementHigh;
  if (registerClass(base) === RegisterClass.instructionPointer) {
    addTo(out, unit.ripLow, unit.ripHigh);
    addTo(out, instruction.length, 0);
  } else if (base !== 0) {
    readRegister(unit, base, register);
    addTo(out, register[0], register[1]);
  }
  if (index !== 0) {
    readRegister(unit, index, register);
    const { scale } = instruction;
    const carried = scale === 0 ? 0 : register[0] >>> (32 - scale);
    addTo(out, register[0] << scale, (register[1] << scale) | carried);
  }
  if (instruction.addressSize !== 64) out[1] = 0;
  if (instruction.addressSize === 16) out[0] &= 0xffff;
}

/** Number of the segment through which a memory operand is reached. In 64-bit mode FS, GS, or SS or DS by the base register. */
export function operandSegment(instruction: Instruction, operand: number): number {
  const segment = registerNumber(memorySegment(instruction, operand));
  if (instruction.mode !== 64 || segment >= Segment.fs) return segment;
  // Other overrides mean nothing there, but SS by default makes a fault #SS.
  if (instruction.modrm < 0 || instruction.modrm >= 0xc0) return Segment.ds;
  const number = registerNumber(instruction.base);
  const group = registerClass(instruction.base);
  const isStack =
    (number === 4 || number === 5) && (group === RegisterClass.gpr64 || group === RegisterClass.gpr32);
  return isStack ? Segment.ss : Segment.ds;
}

/**
 * Linear address of bytes of a segment, after the segment's checks: limit and type outside 64-bit mode (SDM vol. 3, 5.3 to 5.5), canonical form in
 * it (SDM vol. 1, 3.3.7.1).
 *
 * @param use one of {@link Use}; `address` asks for no right and no limit, as INVLPG does
 * @throws GuestFault #SS(0) through SS, else #GP(0)
 */
export function linearAddress(
  unit: SystemUnit,
  segment: number,
  low: number,
  high: number,
  bytes: number,
  use: number,
  out: Int32Array,
): void {
  const { state, context } = unit;
  const vector = segment === Segment.ss ? Exception.stack : Exception.generalProtection;
  out[0] = low;
  if (in64BitMode(unit)) {
    out[1] = high;
    if (segment >= Segment.fs)
      addTo(out, state.low('segmentBase', segment), state.high('segmentBase', segment));
    if (use === Use.address) return;
    if (!isCanonical(context, out[0], out[1])) throw guestFault(vector, 0);
    const first = out[0];
    const firstHigh = out[1];
    addTo(out, bytes - 1, 0);
    if (!isCanonical(context, out[0], out[1])) throw guestFault(vector, 0);
    out[0] = first;
    out[1] = firstHigh;
    return;
  }
  out[0] = (low + state.low('segmentBase', segment)) | 0;
  out[1] = 0;
  if (use === Use.address) return;
  const first = low >>> 0;
  const last = (low + bytes - 1) >>> 0;
  if (
    (state.get('segmentRights', segment) & use) !== use ||
    first < state.get('segmentFirst', segment) >>> 0 ||
    last > state.get('segmentLast', segment) >>> 0 ||
    last < first
  )
    throw guestFault(vector, 0);
}

/** Linear address of a memory operand, checked for an access of so many bytes. @param use one of {@link Use} */
export function operandAddress(
  unit: SystemUnit,
  instruction: Instruction,
  operand: number,
  bytes: number,
  use: number,
  out: Int32Array,
): void {
  effectiveAddress(unit, instruction, operand, out);
  linearAddress(unit, operandSegment(instruction, operand), out[0], out[1], bytes, use, out);
}

/** #AC(0) for an operand of 2, 4 or 8 bytes that is not aligned, where that is checked: CPL 3, CR0.AM, EFLAGS.AC (SDM vol. 3, 6.15). */
export function checkAlignment(unit: SystemUnit, low: number, bytes: number): void {
  if ((low & (bytes - 1)) !== 0 && alignmentIsChecked(unit)) throw guestFault(Exception.alignment, 0);
}

/** CPL 3, CR0.AM and EFLAGS.AC. */
function alignmentIsChecked(unit: SystemUnit): boolean {
  const { words } = unit.state;
  return words[cplCell] === 3 && (unit.context.cr0 & cr0Am) !== 0 && (words[flagsCell] & flagAc) !== 0;
}

// Operands.

/** Bytes of a register, memory or immediate operand whose size its encoding fixes. */
function operandBytes(instruction: Instruction, operand: number): number {
  return operandKind(instruction, operand) === OperandKind.register
    ? registerSize(operandRegister(instruction, operand))
    : operandMemorySize(instruction, operand);
}

const address = new Int32Array(2);

/** Value of a register, memory (1 to 8 bytes) or immediate operand, zero-extended from its size. */
export function readOperand(
  unit: SystemUnit,
  instruction: Instruction,
  operand: number,
  out: Int32Array,
): void {
  switch (operandKind(instruction, operand)) {
    case OperandKind.register:
      readRegister(unit, operandRegister(instruction, operand), out);
      return;
    case OperandKind.memory: {
      const bytes = operandBytes(instruction, operand);
      operandAddress(unit, instruction, operand, bytes, Use.read, address);
      checkAlignment(unit, address[0], bytes);
      readLinear(unit, address[0], address[1], bytes, out);
      return;
    }
    default:
      out[0] = operandImmediate(instruction, operand);
      out[1] = operandImmediateHigh(instruction, operand);
  }
}

/** Writes a register or memory operand (1 to 8 bytes). */
export function writeOperand(
  unit: SystemUnit,
  instruction: Instruction,
  operand: number,
  low: number,
  high: number,
): void {
  if (operandKind(instruction, operand) === OperandKind.register) {
    writeRegister(unit, operandRegister(instruction, operand), low, high);
    return;
  }
  const bytes = operandBytes(instruction, operand);
  operandAddress(unit, instruction, operand, bytes, Use.write, address);
  checkAlignment(unit, address[0], bytes);
  writeLinear(unit, address[0], address[1], bytes, low, high);
}

/** Reads 1, 2, 4 or 8 bytes at a linear address, zero-extended. @param system a supervisor access whatever the CPL */
export function readLinear(
  unit: SystemUnit,
  low: number,
  high: number,
  bytes: number,
  out: Int32Array,
  system = false,
): void {
  const { memory } = unit;
  if (bytes === 8) {
    const first = memory.read(low, high, 4, system);
    const upper = memory.read((low + 4) | 0, carriedHigh(unit, low, high, 4), 4, system);
    out[0] = first;
    out[1] = upper;
    return;
  }
  const value = memory.read(low, high, bytes, system);
  out[0] = bytes === 1 ? value & 0xff : bytes === 2 ? value & 0xffff : value;
  out[1] = 0;
}

/** Writes 1, 2, 4 or 8 bytes at a linear address, all or none. */
export function writeLinear(
  unit: SystemUnit,
  low: number,
  high: number,
  bytes: number,
  valueLow: number,
  valueHigh: number,
  system = false,
): void {
  const { memory } = unit;
  if (bytes !== 8) {
    memory.write(low, high, bytes, valueLow, system);
    return;
  }
  // Halves on two pages: the second may fault.
  if ((low & 0xfff) > 0xff8) memory.probe(low, high, 8, true, system);
  memory.write(low, high, 4, valueLow, system);
  memory.write((low + 4) | 0, carriedHigh(unit, low, high, 4), 4, valueHigh, system);
}

// The stack.

/**
 * Linear address of bytes on the stack, checked.
 *
 * @param offset from the stack pointer, in bytes: negative for what will be pushed
 * @param use `Use.read` or `Use.write`
 * @throws GuestFault #SS(0)
 */
function stackAddress(unit: SystemUnit, offset: number, bytes: number, use: number, out: Int32Array): void {
  const { state } = unit;
  const bits = stackBits(unit);
  out[0] = state.low('gpr', rsp);
  out[1] = state.high('gpr', rsp);
  addTo(out, offset, offset >> 31);
  if (bits !== 64) out[1] = 0;
  if (bits === 16) out[0] &= 0xffff;
  linearAddress(unit, Segment.ss, out[0], out[1], bytes, use, out);
}

/** Adds to RSP, ESP or SP, by the stack's size. */
export function moveStackPointer(unit: SystemUnit, offset: number): void {
  const { state } = unit;
  const low = state.low('gpr', rsp);
  switch (stackBits(unit)) {
    case 64:
      register[0] = low;
      register[1] = state.high('gpr', rsp);
      addTo(register, offset, offset >> 31);
      state.setPair('gpr', register[0], register[1], rsp);
      return;
    case 32:
      state.setPair('gpr', (low + offset) | 0, 0, rsp);
      return;
    default:
      state.setPair('gpr', (low & ~0xffff) | ((low + offset) & 0xffff), state.high('gpr', rsp), rsp);
  }
}

/** Pushes 2, 4 or 8 bytes. Instructions that push more than once probe before the first. */
export function push(unit: SystemUnit, bytes: number, low: number, high: number): void {
  stackAddress(unit, -bytes, bytes, Use.write, address);
  checkAlignment(unit, address[0], bytes);
  writeLinear(unit, address[0], address[1], bytes, low, high);
  moveStackPointer(unit, -bytes);
}

/** Reads 2, 4 or 8 bytes from the stack without moving its pointer. @param offset from the stack pointer, in bytes */
export function peek(unit: SystemUnit, offset: number, bytes: number, out: Int32Array): void {
  stackAddress(unit, offset, bytes, Use.read, address);
  checkAlignment(unit, address[0], bytes);
  readLinear(unit, address[0], address[1], bytes, out);
}

const rsp = 4;

// Halves.

/** Adds a 64-bit number to the one in `value`. */
export function addTo(value: Int32Array, low: number, high: number): void {
  const sum = (value[0] >>> 0) + (low >>> 0);
  value[0] = sum;
  value[1] += high + (sum > 0xffffffff ? 1 : 0);
}

/** High half of a linear address some bytes on. Outside 64-bit mode the program's addresses have 32 bits; the tables of long mode do not. */
function carriedHigh(unit: SystemUnit, low: number, high: number, bytes: number): number {
  if ((low >>> 0) + bytes <= 0xffffffff) return high;
  return high !== 0 || in64BitMode(unit) ? (high + 1) | 0 : 0;
}
