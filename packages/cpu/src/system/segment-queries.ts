import { Exception } from '../semantics/operation.ts';
import { Segment } from '../state/layout.ts';
import { Intercept } from '../virtualization/intercept.ts';
import { isRegisterIntercepted } from '../virtualization/questions.ts';
import { Descriptor, isNull, readDescriptor } from './descriptors.ts';
import { guestFault } from './fault.ts';
import { Flag, hasParagraphSelectors, inLongMode } from './modes.ts';
import { readOperand, writeOperand } from './operands.ts';
import type { Service, Services, SystemUnit } from './unit.ts';

const descriptor = new Descriptor();
const value = new Int32Array(2);
const cr4Umip = 1 << 11;

/** Types of system descriptors that LAR knows, as bits by type: outside long mode, in it (SDM vol. 2, table 3-53). */
const larTypes: number = bits(1, 2, 3, 4, 5, 9, 11, 12);
const larLongTypes: number = bits(2, 9, 11, 12);
/** The same for LSL: those that have a limit (SDM vol. 2, table 3-57). */
const lslTypes: number = bits(1, 2, 3, 9, 11);
const lslLongTypes: number = bits(2, 9, 11);

function bits(...types: number[]): number {
  return types.reduce((all, type) => all | (1 << type), 0);
}

function requireSelectors(unit: SystemUnit): void {
  if (hasParagraphSelectors(unit)) throw guestFault(Exception.invalidOpcode);
}

/** DPL is at least CPL and RPL. */
function isReachable(unit: SystemUnit, selector: number): boolean {
  return descriptor.privilege >= unit.state.get('cpl') && descriptor.privilege >= (selector & 3);
}

function setZero(unit: SystemUnit, isSet: boolean): void {
  const { state } = unit;
  state.flags = isSet ? state.flags | Flag.zero : state.flags & ~Flag.zero;
}

/** What LAR and LSL have in common. */
function isVisible(unit: SystemUnit, selector: number, types: number, longTypes: number): boolean {
  if (isNull(selector) || !readDescriptor(unit, selector, descriptor)) return false;
  if (descriptor.isConformingCode) return true;
  if (descriptor.isSystem && (((inLongMode(unit) ? longTypes : types) >> descriptor.type) & 1) === 0)
    return false;
  return isReachable(unit, selector);
}

/** SDM vol. 2, LAR. Bits 19:16, which it leaves undefined, are those of the descriptor, as on the hosts we asked (EPYC). */
const lar: Service = (unit, instruction) => {
  requireSelectors(unit);
  readOperand(unit, instruction, 1, value);
  const isSeen = isVisible(unit, value[0] & 0xffff, larTypes, larLongTypes);
  if (isSeen) writeOperand(unit, instruction, 0, descriptor.high & 0xff_ff00, 0);
  setZero(unit, isSeen);
};

/** SDM vol. 2, LSL. */
const lsl: Service = (unit, instruction) => {
  requireSelectors(unit);
  readOperand(unit, instruction, 1, value);
  const isSeen = isVisible(unit, value[0] & 0xffff, lslTypes, lslLongTypes);
  if (isSeen) writeOperand(unit, instruction, 0, descriptor.limit, 0);
  setZero(unit, isSeen);
};

/** SDM vol. 2, VERR and VERW. */
function verify(isWrite: boolean): Service {
  return (unit, instruction) => {
    requireSelectors(unit);
    readOperand(unit, instruction, 0, value);
    const selector = value[0] & 0xffff;
    let isSet = !isNull(selector) && readDescriptor(unit, selector, descriptor) && !descriptor.isSystem;
    if (isSet) {
      if (isWrite) isSet = descriptor.isWritableData && isReachable(unit, selector);
      else isSet = descriptor.isReadable && (descriptor.isConformingCode || isReachable(unit, selector));
    }
    setZero(unit, isSet);
  };
}

/** SDM vol. 2, ARPL: raises the RPL of the destination to that of the source. */
const arpl: Service = (unit, instruction) => {
  requireSelectors(unit);
  readOperand(unit, instruction, 1, value);
  const least = value[0] & 3;
  readOperand(unit, instruction, 0, value);
  const isRaised = (value[0] & 3) < least;
  if (isRaised) writeOperand(unit, instruction, 0, (value[0] & ~3) | least, 0);
  setZero(unit, isRaised);
};

/** SLDT and STR (SDM vol. 2). */
function storeSelector(segment: number): Service {
  return (unit, instruction) => {
    requireSelectors(unit);
    if ((unit.context.cr4 & cr4Umip) !== 0 && unit.state.get('cpl') !== 0)
      throw guestFault(Exception.generalProtection, 0);
    if (isRegisterIntercepted(unit, Intercept.descriptorTable, instruction, segment, false)) return;
    writeOperand(unit, instruction, 0, unit.state.get('segmentSelector', segment), 0);
  };
}

export const segmentQueryServices: Services = {
  LAR: lar,
  LSL: lsl,
  VERR: verify(false),
  VERW: verify(true),
  ARPL: arpl,
  SLDT: storeSelector(Segment.ldtr),
  STR: storeSelector(Segment.tr),
};
