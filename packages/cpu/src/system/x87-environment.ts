import type { Instruction } from '@nest86/decoder';
import { Exception } from '../semantics/operation.ts';
import { loadBlock, probeBlock, storeBlock } from './blocks.ts';
import { guestFault } from './fault.ts';
import { hasParagraphSelectors } from './modes.ts';
import { addTo, checkAlignment, in64BitMode, operandAddress, Use } from './operands.ts';
import { requireFpu } from './privilege.ts';
import type { Service, Services, SystemUnit } from './unit.ts';
import { initializeX87, keptControl, statusSummary, summarized, topOf } from './x87-image.ts';

/*
 * The x87 environment and state in memory: FNSTENV, FLDENV, FNSAVE, FRSTOR (SDM vol. 2 under these names; vol. 1, 8.1.10 and figures 8-9 to 8-12).
 * An environment is seven fields of 16 or 32 bits by operand size; pointers are written as selector and offset, or in real-address and
 * virtual-8086 mode as a linear address.
 */

/** Fields of an environment; the manual's figures have them in this order. */
const fields = new Int32Array(7);
const address = new Int32Array(2);
const image = new Int32Array(32);
const halves = new Uint16Array(image.buffer);
const bytes = new Uint8Array(image.buffer);

/** Unused upper halves of 32-bit fields. */
const unused = 0xffff_0000 | 0;
/** All exceptions masked. */
const maskAll = 0x3f;

const exponentMask = 0x7fff;
const registerBytes = 10;
const allRegistersBytes = 8 * registerBytes;

function isNarrow(instruction: Instruction): boolean {
  return instruction.operandSize === 16;
}

function environmentBytes(instruction: Instruction): number {
  return isNarrow(instruction) ? 14 : 28;
}

/** Tag word: two bits by physical register (SDM vol. 1, 8.1.7), from what the registers hold. */
export function fullTags({ state }: Pick<SystemUnit, 'state'>): number {
  const notEmpty = state.get('x87Tags');
  let tags = 0;
  for (let register = 0; register < 8; register++) {
    const low = state.get('x87', 4 * register);
    const high = state.get('x87', 4 * register + 1);
    const exponent = state.get('x87', 4 * register + 2) & exponentMask;
    let tag = 2;
    if (((notEmpty >> register) & 1) === 0) tag = 3;
    else if (exponent === 0 && low === 0 && high === 0) tag = 1;
    else if (exponent !== 0 && exponent !== exponentMask && high < 0) tag = 0;
    tags |= tag << (2 * register);
  }
  return tags;
}

/** Bit per register that is not empty, of a tag word. The other tags follow from what the registers hold. */
export function notEmptyOf(tags: number): number {
  let notEmpty = 0;
  for (let register = 0; register < 8; register++)
    if (((tags >>> (2 * register)) & 3) !== 3) notEmpty |= 1 << register;
  return notEmpty;
}

/** Puts the environment into `fields`, in the format of mode and operand size. */
function gather(unit: SystemUnit, instruction: Instruction): void {
  const { state, capabilities } = unit;
  const narrow = isNarrow(instruction);
  fields[0] = state.get('x87Control') & 0xffff;
  fields[1] = state.get('x87Status') & 0xffff;
  fields[2] = fullTags(unit);
  const opcode = state.get('x87Opcode') & 0x7ff;
  const pointer = state.low('x87InstructionPointer');
  const data = state.low('x87DataPointer');
  const codeSelector = state.get('x87InstructionSelector') & 0xffff;
  const dataSelector = state.get('x87DataSelector') & 0xffff;
  if (hasParagraphSelectors(unit)) {
    const code = (pointer + (codeSelector << 4)) | 0;
    const operand = (data + (dataSelector << 4)) | 0;
    fields[3] = code & 0xffff;
    fields[4] = ((code >>> 4) & 0x0fff_f000) | opcode;
    fields[5] = operand & 0xffff;
    fields[6] = (operand >>> 4) & 0x0fff_f000;
    if (!narrow) {
      fields[3] |= unused;
      fields[5] |= unused;
    }
  } else {
    fields[3] = pointer;
    fields[4] = (capabilities.dropsFpuSelectors ? 0 : codeSelector) | (opcode << 16);
    fields[5] = data;
    fields[6] = (capabilities.dropsFpuSelectors ? 0 : dataSelector) | unused;
  }
  for (let i = 0; i < 3; i++) fields[i] |= unused;
}

/** Loads the environment from `fields`. */
function apply(unit: SystemUnit, instruction: Instruction): void {
  const { state } = unit;
  const narrow = isNarrow(instruction);
  const control = keptControl(fields[0]);
  state.set('x87Control', control);
  state.set('x87Status', summarized(fields[1], control));
  state.set('x87Tags', notEmptyOf(fields[2]));
  if (hasParagraphSelectors(unit)) {
    // A linear address: kept as the offset, with selector 0.
    const upper = narrow ? 0xf000 : 0x0fff_f000;
    state.set('x87Opcode', fields[4] & 0x7ff);
    state.setPair('x87InstructionPointer', (fields[3] & 0xffff) | ((fields[4] & upper) << 4), 0);
    state.setPair('x87DataPointer', (fields[5] & 0xffff) | ((fields[6] & upper) << 4), 0);
    state.set('x87InstructionSelector', 0);
    state.set('x87DataSelector', 0);
    return;
  }
  state.set('x87Opcode', narrow ? 0 : (fields[4] >>> 16) & 0x7ff);
  state.setPair('x87InstructionPointer', fields[3], 0);
  state.set('x87InstructionSelector', fields[4] & 0xffff);
  state.setPair('x87DataPointer', fields[5], 0);
  state.set('x87DataSelector', fields[6] & 0xffff);
}

function storeFields(instruction: Instruction): void {
  if (isNarrow(instruction)) halves.set(fields);
  else image.set(fields);
}

function loadFields(instruction: Instruction): void {
  for (let i = 0; i < 7; i++) fields[i] = isNarrow(instruction) ? halves[i] : image[i];
}

/** Address of an environment or state. */
function locate(unit: SystemUnit, instruction: Instruction, size: number, use: number): void {
  operandAddress(unit, instruction, 0, size, use, address);
  checkAlignment(unit, address[0], isNarrow(instruction) ? 2 : 4);
  probeBlock(unit, address[0], address[1], 0, size, use === Use.write);
}

/** A multiple of 4 by `storeBlock`, and what is left: 14 and 94 bytes are none. */
function store(unit: SystemUnit, size: number): void {
  storeBlock(unit, address[0], address[1], 0, size & ~3, image);
  if ((size & 2) === 0) return;
  tailAddress(unit, size);
  unit.memory.write(address[0], address[1], 2, halves[(size >> 1) - 1]);
}

function load(unit: SystemUnit, size: number): void {
  loadBlock(unit, address[0], address[1], 0, size & ~3, image);
  if ((size & 2) === 0) return;
  tailAddress(unit, size);
  halves[(size >> 1) - 1] = unit.memory.read(address[0], address[1], 2);
}

function tailAddress(unit: SystemUnit, size: number): void {
  addTo(address, size - 2, 0);
  if (!in64BitMode(unit)) address[1] = 0;
}

/** FLDENV and FRSTOR wait: an exception that is pending comes first. */
function requireNoneOutstanding(unit: SystemUnit): void {
  if ((unit.state.get('x87Status') & 0x80) !== 0) throw guestFault(Exception.x87);
}

/** Then all exceptions are masked, so none is pending. */
const fnstenv: Service = (unit, instruction) => {
  requireFpu(unit);
  const size = environmentBytes(instruction);
  locate(unit, instruction, size, Use.write);
  gather(unit, instruction);
  storeFields(instruction);
  store(unit, size);
  const { state } = unit;
  state.set('x87Control', state.get('x87Control') | maskAll);
  state.set('x87Status', state.get('x87Status') & ~statusSummary);
};

const fldenv: Service = (unit, instruction) => {
  requireFpu(unit);
  requireNoneOutstanding(unit);
  const size = environmentBytes(instruction);
  locate(unit, instruction, size, Use.read);
  load(unit, size);
  loadFields(instruction);
  apply(unit, instruction);
};

/** Environment, then ST(0) to ST(7), ten bytes each; then FNINIT. */
const fnsave: Service = (unit, instruction) => {
  requireFpu(unit);
  const { state } = unit;
  const start = environmentBytes(instruction);
  locate(unit, instruction, start + allRegistersBytes, Use.write);
  gather(unit, instruction);
  storeFields(instruction);
  const top = topOf(state.get('x87Status'));
  for (let i = 0; i < 8; i++) {
    const from = 4 * ((top + i) & 7);
    for (let byte = 0; byte < registerBytes; byte++)
      bytes[start + registerBytes * i + byte] = state.get('x87', from + (byte >> 2)) >>> (8 * (byte & 3));
  }
  store(unit, start + allRegistersBytes);
  initializeX87(unit);
};

const frstor: Service = (unit, instruction) => {
  requireFpu(unit);
  requireNoneOutstanding(unit);
  const { state } = unit;
  const start = environmentBytes(instruction);
  locate(unit, instruction, start + allRegistersBytes, Use.read);
  load(unit, start + allRegistersBytes);
  loadFields(instruction);
  apply(unit, instruction);
  const top = topOf(state.get('x87Status'));
  for (let i = 0; i < 8; i++) {
    const from = start + registerBytes * i;
    const to = 4 * ((top + i) & 7);
    state.set('x87', word(from), to);
    state.set('x87', word(from + 4), to + 1);
    state.set('x87', bytes[from + 8] | (bytes[from + 9] << 8), to + 2);
    state.set('x87', 0, to + 3);
  }
};

function word(at: number): number {
  return bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
}

export const x87EnvironmentServices: Services = {
  FNSTENV: fnstenv,
  FLDENV: fldenv,
  FNSAVE: fnsave,
  FRSTOR: frstor,
};
