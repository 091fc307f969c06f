import { type Instruction, OperandKind, operandImmediate, operandKind } from '@nest86/decoder';
import { Exception } from '../semantics/operation.ts';
import { Segment } from '../state/layout.ts';
import { attributeUnusable } from '../state/segment-cache.ts';
import { Intercept } from '../virtualization/intercept.ts';
import { isPortIntercepted, questionOf } from '../virtualization/questions.ts';
import { SystemType } from './descriptors.ts';
import { guestFault } from './fault.ts';
import { inRealMode, inVirtual8086Mode, ioPrivilegeLevel } from './modes.ts';
import {
  addTo,
  checkAlignment,
  linearAddress,
  operandSegment,
  readLinear,
  Use,
  writeLinear,
} from './operands.ts';
import type { Service, Services, SystemUnit } from './unit.ts';

// I/O ports (SDM vol. 1, chapter 19; vol. 2, IN, OUT, INS, OUTS).

const address = new Int32Array(2);
const value = new Int32Array(2);

const flagDirection = 1 << 10;

const rax = 0;
const rcx = 1;
const rdx = 2;
const rsi = 6;
const rdi = 7;

/** Offset in a TSS of the offset of the I/O permission bitmap (SDM vol. 3, 8.2.1 and 8.7). */
const bitmapBaseOffset = 102;

/**
 * Checks that the program may use ports (SDM vol. 1, 19.5): CPL up to IOPL, else by the TSS's bitmap; in virtual-8086 mode always by that.
 *
 * @throws GuestFault #GP(0)
 */
function requirePorts(unit: SystemUnit, port: number, bytes: number): void {
  if (inRealMode(unit)) return;
  if (!inVirtual8086Mode(unit) && unit.state.get('cpl') <= ioPrivilegeLevel(unit)) return;
  if (!bitmapAllows(unit, port, bytes)) throw guestFault(Exception.generalProtection, 0);
}

/** I/O breakpoints trap behind the instruction, or behind the iteration of a repeated one. */
function watchPorts(unit: SystemUnit, port: number, bytes: number): void {
  if ((unit.context.cr4 & cr4De) !== 0) unit.breakpoints?.ports(port, bytes);
}

function bitmapAllows(unit: SystemUnit, port: number, bytes: number): boolean {
  const { state } = unit;
  const attributes = state.get('segmentAttributes', Segment.tr);
  const type = attributes & 0x1f;
  const limit = state.get('segmentLimit', Segment.tr) >>> 0;
  if ((attributes & attributeUnusable) !== 0 || (type !== SystemType.tss && type !== SystemType.busyTss))
    return false;
  if (limit < bitmapBaseOffset + 1) return false;
  const bitmap = readTask(unit, bitmapBaseOffset);
  // Two bytes are read for any port, which is why a bitmap ends with a byte of ones.
  const at = bitmap + (port >>> 3);
  if (at + 1 > limit) return false;
  const mask = ((1 << bytes) - 1) << (port & 7);
  return (readTask(unit, at) & mask) === 0;
}

/** Two bytes of the TSS, as a supervisor. */
function readTask(unit: SystemUnit, offset: number): number {
  const { state } = unit;
  address[0] = state.low('segmentBase', Segment.tr);
  address[1] = state.high('segmentBase', Segment.tr);
  addTo(address, offset, 0);
  if ((unit.context.efer & eferLma) === 0) address[1] = 0;
  readLinear(unit, address[0], address[1], 2, value, true);
  return value[0];
}

const eferLma = 1 << 10;
const cr4De = 1 << 3;

/** Port of an operand: imm8, or DX. */
function portOf(unit: SystemUnit, instruction: Instruction, operand: number): number {
  return operandKind(instruction, operand) === OperandKind.immediate
    ? operandImmediate(instruction, operand) & 0xff
    : unit.state.low('gpr', rdx) & 0xffff;
}

/** Bytes of AL, AX, EAX, by opcode and operand size: REX.W means nothing. */
function portBytes(instruction: Instruction): number {
  if ((instruction.opcode & 1) === 0) return 1;
  return instruction.operandSize === 16 ? 2 : 4;
}

const in_: Service = (unit, instruction) => {
  const port = portOf(unit, instruction, 1);
  const bytes = portBytes(instruction);
  requirePorts(unit, port, bytes);
  if (isPortIntercepted(unit, instruction, port, bytes, false, -1, address)) return;
  const read = unit.io.read(port, bytes);
  watchPorts(unit, port, bytes);
  const { state } = unit;
  const before = state.low('gpr', rax);
  if (bytes === 4) state.setPair('gpr', read, 0, rax);
  else {
    const mask = bytes === 1 ? 0xff : 0xffff;
    state.setPair('gpr', (before & ~mask) | (read & mask), state.high('gpr', rax), rax);
  }
};

const out_: Service = (unit, instruction) => {
  const port = portOf(unit, instruction, 0);
  const bytes = portBytes(instruction);
  requirePorts(unit, port, bytes);
  if (isPortIntercepted(unit, instruction, port, bytes, true, -1, address)) return;
  unit.io.write(port, bytes, truncated(unit.state.low('gpr', rax), bytes));
  watchPorts(unit, port, bytes);
};

function truncated(word: number, bytes: number): number {
  return bytes === 1 ? word & 0xff : bytes === 2 ? word & 0xffff : word;
}

// String forms. A service executes one iteration and comes back to the instruction while the count is not 0, so that interrupts get in between.

/** INS: from port DX to ES:rDI, which no prefix overrides. */
const ins: Service = (unit, instruction) => {
  if (hasEnded(unit, instruction)) return;
  const bytes = portBytes(instruction);
  const port = unit.state.low('gpr', rdx) & 0xffff;
  requirePorts(unit, port, bytes);
  if (isStringIntercepted(unit, instruction, port, bytes, rdi, Segment.es)) return;
  pointer(unit, instruction, rdi, address);
  linearAddress(unit, Segment.es, address[0], address[1], bytes, Use.write, address);
  checkAlignment(unit, address[0], bytes);
  // A device must not lose what memory then refuses.
  unit.memory.probe(address[0], address[1], bytes, true);
  const low = address[0];
  const high = address[1];
  writeLinear(unit, low, high, bytes, unit.io.read(port, bytes), 0);
  watchPorts(unit, port, bytes);
  advance(unit, instruction, rdi, bytes);
};

/** OUTS: from DS:rSI, or another segment, to port DX. */
const outs: Service = (unit, instruction) => {
  if (hasEnded(unit, instruction)) return;
  const bytes = portBytes(instruction);
  const port = unit.state.low('gpr', rdx) & 0xffff;
  requirePorts(unit, port, bytes);
  if (isStringIntercepted(unit, instruction, port, bytes, rsi, operandSegment(instruction, 1))) return;
  pointer(unit, instruction, rsi, address);
  linearAddress(unit, operandSegment(instruction, 1), address[0], address[1], bytes, Use.read, address);
  checkAlignment(unit, address[0], bytes);
  readLinear(unit, address[0], address[1], bytes, value);
  unit.io.write(port, bytes, value[0]);
  watchPorts(unit, port, bytes);
  advance(unit, instruction, rsi, bytes);
};

/** Exits go before everything that may be wrong with the address in memory (SDM vol. 3, 26.1.1). @param register rSI or rDI */
function isStringIntercepted(
  unit: SystemUnit,
  instruction: Instruction,
  port: number,
  bytes: number,
  register: number,
  segment: number,
): boolean {
  if (questionOf(unit, Intercept.port) === undefined) return false;
  pointer(unit, instruction, register, address);
  linearAddress(unit, segment, address[0], address[1], bytes, Use.address, address);
  return isPortIntercepted(unit, instruction, port, bytes, register === rsi, segment, address);
}

/** REP with a count of 0: nothing happens, nothing is checked. */
function hasEnded(unit: SystemUnit, instruction: Instruction): boolean {
  if (instruction.repeat === 0) return false;
  pointer(unit, instruction, rcx, value);
  return value[0] === 0 && value[1] === 0;
}

/** rCX, rSI or rDI by the address size. */
function pointer(unit: SystemUnit, instruction: Instruction, register: number, out: Int32Array): void {
  const low = unit.state.low('gpr', register);
  out[0] = instruction.addressSize === 16 ? low & 0xffff : low;
  out[1] = instruction.addressSize === 64 ? unit.state.high('gpr', register) : 0;
}

/** Adds to rCX, rSI or rDI by the address size. */
function addToPointer(unit: SystemUnit, instruction: Instruction, register: number, step: number): void {
  const { state } = unit;
  const low = state.low('gpr', register);
  const high = state.high('gpr', register);
  if (instruction.addressSize === 16) {
    state.setPair('gpr', (low & ~0xffff) | ((low + step) & 0xffff), high, register);
    return;
  }
  value[0] = low;
  value[1] = high;
  addTo(value, step, step >> 31);
  state.setPair('gpr', value[0], instruction.addressSize === 64 ? value[1] : 0, register);
}

/** After an iteration: the address moves by DF, the count goes down. */
function advance(unit: SystemUnit, instruction: Instruction, register: number, bytes: number): void {
  const down = (unit.state.get('systemFlags') & flagDirection) !== 0;
  addToPointer(unit, instruction, register, down ? -bytes : bytes);
  if (instruction.repeat === 0) return;
  addToPointer(unit, instruction, rcx, -1);
  pointer(unit, instruction, rcx, value);
  if (value[0] === 0 && value[1] === 0) return;
  unit.nextLow = unit.ripLow;
  unit.nextHigh = unit.ripHigh;
}

export const ioServices: Services = {
  IN: in_,
  OUT: out_,
  INSB: ins,
  INSW: ins,
  INSD: ins,
  OUTSB: outs,
  OUTSW: outs,
  OUTSD: outs,
};
