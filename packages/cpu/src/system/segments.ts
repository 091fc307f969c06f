import {
  type Instruction,
  operandMemorySize,
  operandRegister,
  RegisterClass,
  registerClass,
  registerNumber,
} from '@nest86/decoder';
import { isCanonical } from '@nest86/mmu';
import { Exception } from '../semantics/operation.ts';
import { Segment } from '../state/layout.ts';
import { Intercept } from '../virtualization/intercept.ts';
import { isRegisterIntercepted } from '../virtualization/questions.ts';
import {
  Descriptor,
  isNull,
  readDescriptor,
  readUpperHalf,
  SystemType,
  selectorError,
  setAccessed,
  setBusy,
} from './descriptors.ts';
import { guestFault } from './fault.ts';
import { hasParagraphSelectors, inLongMode, inVirtual8086Mode } from './modes.ts';
import {
  addTo,
  checkAlignment,
  in64BitMode,
  operandAddress,
  push,
  readLinear,
  readOperand,
  Use,
  writeOperand,
  writeRegister,
} from './operands.ts';
import {
  writeFromDescriptor,
  writeNullSegment,
  writeNullStack,
  writeRealSegment,
  writeVirtual8086Segment,
} from './segment-registers.ts';
import { Stack } from './stack.ts';
import type { Service, Services, SystemUnit } from './unit.ts';

const descriptor = new Descriptor();
const value = new Int32Array(2);
const address = new Int32Array(2);
const stack = new Stack();

// Checks that transfers of control share.

/**
 * Reads and checks a stack segment's descriptor for a privilege level (SDM vol. 2, MOV, "IF SS is loaded", and the like under INT, CALL, RET).
 *
 * @param vector #GP or #TS, by who asks
 * @param external EXT of error codes
 * @throws GuestFault `vector`, or #SS if it is not present
 */
export function checkStackSegment(
  unit: SystemUnit,
  selector: number,
  privilege: number,
  vector: number,
  external: number,
  out: Descriptor,
): void {
  const error = selectorError(selector, external);
  if (isNull(selector)) throw guestFault(vector, external);
  if (!readDescriptor(unit, selector, out)) throw guestFault(vector, error);
  if ((selector & 3) !== privilege || !out.isWritableData || out.privilege !== privilege)
    throw guestFault(vector, error);
  if (!out.isPresent) throw guestFault(Exception.stack, error);
}

/** Reads and checks a data segment's descriptor that is not null (SDM vol. 2, MOV). @param vector #GP, or #TS in a task switch */
export function checkDataSegment(
  unit: SystemUnit,
  selector: number,
  privilege: number,
  vector: number,
  external: number,
  out: Descriptor,
): void {
  const error = selectorError(selector, external);
  if (!readDescriptor(unit, selector, out) || !out.isReadable) throw guestFault(vector, error);
  if (!out.isConformingCode && (out.privilege < privilege || out.privilege < (selector & 3)))
    throw guestFault(vector, error);
  if (!out.isPresent) throw guestFault(Exception.segmentNotPresent, error);
}

/**
 * Loads SS, DS, ES, FS or GS in any mode, with all checks (SDM vol. 2, MOV).
 *
 * @throws GuestFault #GP, #SS, #NP with the selector; #PF from the descriptor table
 */
function loadSegment(unit: SystemUnit, segment: number, selector: number): void {
  if (hasParagraphSelectors(unit)) {
    if (inVirtual8086Mode(unit)) writeVirtual8086Segment(unit, segment, selector);
    else writeRealSegment(unit, segment, selector);
    return;
  }
  const privilege = unit.state.get('cpl');
  if (segment === Segment.ss) {
    // SDM vol. 3, 5.4.1.1: 64-bit code of levels 0 to 2 may load a null selector.
    if (isNull(selector) && in64BitMode(unit) && privilege < 3 && (selector & 3) === privilege) {
      writeNullStack(unit, selector, privilege);
      return;
    }
    checkStackSegment(unit, selector, privilege, Exception.generalProtection, 0, descriptor);
  } else {
    if (isNull(selector)) {
      writeNullSegment(unit, segment, selector);
      return;
    }
    checkDataSegment(unit, selector, privilege, Exception.generalProtection, 0, descriptor);
  }
  setAccessed(unit, descriptor);
  writeFromDescriptor(unit, segment, selector, descriptor);
}

// Moves to and from segment registers.

/** MOV with a segment register as one operand. CS as the target is no instruction. */
const mov: Service = (unit, instruction) => {
  const target = operandRegister(instruction, 0);
  if (registerClass(target) !== RegisterClass.segment) {
    readOperand(unit, instruction, 1, value);
    writeOperand(unit, instruction, 0, value[0], 0);
    return;
  }
  const segment = registerNumber(target);
  readOperand(unit, instruction, 1, value);
  loadSegment(unit, segment, value[0] & 0xffff);
  if (segment === Segment.ss) shadowInterrupts(unit);
};

/** PUSH of a segment register: zero-extended to the operand size. */
const pushSegment: Service = (unit, instruction) => {
  const segment = registerNumber(operandRegister(instruction, 0));
  push(unit, instruction.operandSize / 8, unit.state.get('segmentSelector', segment), 0);
};

const popSegment: Service = (unit, instruction) => {
  const segment = registerNumber(operandRegister(instruction, 0));
  // The pointer moves by the stack's width as it was before a POP SS.
  stack.current(unit).pop(unit, instruction.operandSize / 8);
  loadSegment(unit, segment, stack.valueLow & 0xffff);
  stack.commit(unit);
  if (segment === Segment.ss) shadowInterrupts(unit);
};

/** After MOV SS and POP SS, interrupts, NMIs and debug traps wait for one instruction (SDM vol. 3, 6.8.3). */
function shadowInterrupts(unit: SystemUnit): void {
  unit.state.set('interruptShadow', 2);
}

/** LDS, LES, LFS, LGS, LSS: offset first in memory, then the selector. */
function loadFarPointer(segment: number): Service {
  return (unit, instruction) => {
    readFarPointer(unit, instruction, 1, value);
    const low = value[0];
    const high = value[1];
    loadSegment(unit, segment, farSelector);
    writeRegister(unit, operandRegister(instruction, 0), low, high);
  };
}

/** Selector that `readFarPointer` read. */
export let farSelector = 0;

/** Reads m16:16, m16:32 or m16:64. @param out the offset; the selector is in `farSelector` */
export function readFarPointer(
  unit: SystemUnit,
  instruction: Instruction,
  operand: number,
  out: Int32Array,
): void {
  const bytes = operandMemorySize(instruction, operand) - 2;
  operandAddress(unit, instruction, operand, bytes + 2, Use.read, address);
  checkAlignment(unit, address[0], bytes);
  readLinear(unit, address[0], address[1], bytes, out);
  addTo(address, bytes, 0);
  if (!inLongMode(unit)) address[1] = 0;
  farSelector = unit.memory.read(address[0], address[1], 2) & 0xffff;
}

// LDTR and TR.

function checkTableLoad(unit: SystemUnit): void {
  if (hasParagraphSelectors(unit)) throw guestFault(Exception.invalidOpcode);
  if (unit.state.get('cpl') !== 0) throw guestFault(Exception.generalProtection, 0);
}

/** Reads the descriptor of an LDT or TSS from the GDT. @throws GuestFault `vector` with the selector */
function readTable(unit: SystemUnit, selector: number, out: Descriptor): void {
  const error = selectorError(selector);
  if ((selector & 4) !== 0 || !readDescriptor(unit, selector, out) || !out.isSystem)
    throw guestFault(Exception.generalProtection, error);
}

/** Upper half of the base, in long mode. */
function readLongTable(unit: SystemUnit, selector: number, out: Descriptor): void {
  if (!inLongMode(unit)) return;
  if (!readUpperHalf(unit, out) || !isCanonical(unit.context, out.base, out.upper))
    throw guestFault(Exception.generalProtection, selectorError(selector));
}

/** SDM vol. 2, LLDT. */
const lldt: Service = (unit, instruction) => {
  checkTableLoad(unit);
  if (isRegisterIntercepted(unit, Intercept.descriptorTable, instruction, Segment.ldtr, true)) return;
  readOperand(unit, instruction, 0, value);
  const selector = value[0] & 0xffff;
  if (isNull(selector)) {
    writeNullSegment(unit, Segment.ldtr, selector);
    return;
  }
  readTable(unit, selector, descriptor);
  if (descriptor.type !== SystemType.ldt)
    throw guestFault(Exception.generalProtection, selectorError(selector));
  readLongTable(unit, selector, descriptor);
  if (!descriptor.isPresent) throw guestFault(Exception.segmentNotPresent, selectorError(selector));
  writeFromDescriptor(unit, Segment.ldtr, selector, descriptor);
};

/** SDM vol. 2, LTR. */
const ltr: Service = (unit, instruction) => {
  checkTableLoad(unit);
  if (isRegisterIntercepted(unit, Intercept.descriptorTable, instruction, Segment.tr, true)) return;
  readOperand(unit, instruction, 0, value);
  const selector = value[0] & 0xffff;
  if (isNull(selector)) throw guestFault(Exception.generalProtection, 0);
  readTable(unit, selector, descriptor);
  const { type } = descriptor;
  if (type !== SystemType.tss && (type !== SystemType.tss16 || inLongMode(unit)))
    throw guestFault(Exception.generalProtection, selectorError(selector));
  readLongTable(unit, selector, descriptor);
  if (!descriptor.isPresent) throw guestFault(Exception.segmentNotPresent, selectorError(selector));
  setBusy(unit, descriptor, true);
  writeFromDescriptor(unit, Segment.tr, selector, descriptor);
};

export const segmentServices: Services = {
  'MOV.SEGMENT': mov,
  'PUSH.SEGMENT': pushSegment,
  'POP.SEGMENT': popSegment,
  LES: loadFarPointer(Segment.es),
  LDS: loadFarPointer(Segment.ds),
  LSS: loadFarPointer(Segment.ss),
  LFS: loadFarPointer(Segment.fs),
  LGS: loadFarPointer(Segment.gs),
  LLDT: lldt,
  LTR: ltr,
};
