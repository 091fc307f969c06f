import {
  guestFault,
  in64BitMode,
  OwnInstruction,
  operandAddress,
  readLinear,
  readOperand,
  Use,
  writeOperand,
} from '@nest86/cpu/virtualization';
import type { Instruction } from '@nest86/decoder';
import { Invept, Invvpid } from '@nest86/mmu';
import { Secondary } from '../capabilities/controls.ts';
import { ExitReason, InstructionError } from '../explain/exit-reasons.ts';
import { Cell, cellOfEncoding, FieldWidth, widthOf } from '../vmcs/fields.ts';
import { Vmcs, vmcsRevision } from '../vmcs/vmcs.ts';
import { noPointer, pageOf, type VmxCore } from './core.ts';
import { enterGuest } from './entry.ts';
import { setEptp } from './guest-state.ts';
import { describeEither, describeMemory } from './instruction-information.ts';
import { Answer } from './port.ts';

const generalProtection = 13;
const cr4Vmxe = 0x2000;
const eferLma = 0x400;
const flagVirtual8086 = 0x2_0000;
const attributeLong = 0x2000;
const codeSegment = 1;
const shadowOfStack = 2;
/** CF PF AF ZF SF OF. */
const statusFlags = 0x8d5;
const [carry, zero] = [1, 0x40];
/** IA32_FEATURE_CONTROL: locked, VMX outside SMX. */
const featureControl = 0x3a;
const featureBits = 5;

const value = new Int32Array(2);
const field = new Int32Array(2);
const address = new Int32Array(2);
const shadow: Vmcs = new Vmcs();

// How instructions end (SDM vol. 3, 31.2).

function succeed({ unit }: VmxCore): number {
  unit.state.flags &= ~statusFlags;
  return Answer.completed;
}

function failInvalid({ unit }: VmxCore): number {
  unit.state.flags = (unit.state.flags & ~statusFlags) | carry;
  return Answer.completed;
}

/** VMfail: with a number if there is a current VMCS to hold it. */
function fail(core: VmxCore, error: number): number {
  const { unit, vmcs } = core;
  if (core.currentPage === noPointer || !core.select(core.currentPage)) return failInvalid(core);
  unit.state.flags = (unit.state.flags & ~statusFlags) | zero;
  vmcs.setLow(Cell.instructionError, error);
  core.written();
  return Answer.completed;
}

/** Modes in which an instruction of VMX is none. */
function isOutOfMode({ unit }: VmxCore): boolean {
  const { state, context } = unit;
  if ((context.cr0 & 1) === 0 || (state.flags & flagVirtual8086) !== 0) return true;
  const isLong = (state.get('segmentAttributes', codeSegment) & attributeLong) !== 0;
  return (context.efer & eferLma) !== 0 && !isLong;
}

function requireLevel0({ unit }: VmxCore): void {
  if (unit.state.get('cpl') !== 0) throw guestFault(generalProtection, 0);
}

const reasons: Readonly<Record<number, number>> = {
  [OwnInstruction.vmclear]: ExitReason.vmclear,
  [OwnInstruction.vmlaunch]: ExitReason.vmlaunch,
  [OwnInstruction.vmptrld]: ExitReason.vmptrld,
  [OwnInstruction.vmptrst]: ExitReason.vmptrst,
  [OwnInstruction.vmread]: ExitReason.vmread,
  [OwnInstruction.vmresume]: ExitReason.vmresume,
  [OwnInstruction.vmwrite]: ExitReason.vmwrite,
  [OwnInstruction.vmxoff]: ExitReason.vmxoff,
  [OwnInstruction.vmxon]: ExitReason.vmxon,
  [OwnInstruction.invept]: ExitReason.invept,
  [OwnInstruction.invvpid]: ExitReason.invvpid,
};

/** Executes an instruction of VMX. @returns `Answer.continue` raises #UD */
export function execute(core: VmxCore, which: number, instruction: Instruction): number {
  const { controls, unit } = core;
  if (which === OwnInstruction.vmcall) return vmcall(core, instruction);
  if (which === OwnInstruction.vmfunc) return vmfunc(core, instruction);
  if (which > OwnInstruction.vmfunc && which !== OwnInstruction.invept && which !== OwnInstruction.invvpid)
    return Answer.continue;
  if (which === OwnInstruction.invept && core.capabilities.ept === 0) return Answer.continue;
  if (which === OwnInstruction.invvpid && !core.capabilities.hasInvvpid) return Answer.continue;
  if (isOutOfMode(core)) return Answer.continue;
  if (!core.isOn) return which === OwnInstruction.vmxon ? vmxon(core, instruction) : Answer.continue;
  if (controls.isGuest) return guestOwn(core, which, instruction);
  requireLevel0(core);
  switch (which) {
    case OwnInstruction.vmxon:
      readOperand(unit, instruction, 0, value);
      return fail(core, InstructionError.vmxonInRoot);
    case OwnInstruction.vmxoff:
      core.isOn = false;
      core.vmxonPage = noPointer;
      core.currentPage = noPointer;
      core.holdRoot();
      unit.controlsChanged();
      return succeed(core);
    case OwnInstruction.vmclear:
      return vmclear(core, instruction);
    case OwnInstruction.vmptrld:
      return vmptrld(core, instruction);
    case OwnInstruction.vmptrst: {
      const page = core.currentPage;
      writeOperand(
        unit,
        instruction,
        0,
        page === noPointer ? -1 : page * 4096,
        page === noPointer ? -1 : highOf(page),
      );
      return succeed(core);
    }
    case OwnInstruction.vmread:
      return vmread(core, instruction);
    case OwnInstruction.vmwrite:
      return vmwrite(core, instruction);
    case OwnInstruction.vmlaunch:
    case OwnInstruction.vmresume:
      return enter(core, which === OwnInstruction.vmlaunch);
    case OwnInstruction.invept:
      return invept(core, instruction);
    default:
      return invvpid(core, instruction);
  }
}

/** High half of a page's address. */
function highOf(page: number): number {
  return Math.floor(page / 0x10_0000);
}

/** An instruction of VMX in a guest: an exit, but for VMREAD and VMWRITE of a shadow VMCS. */
function guestOwn(core: VmxCore, which: number, instruction: Instruction): number {
  const { record, unit, checks } = core;
  const isRead = which === OwnInstruction.vmread;
  const isAccess = isRead || which === OwnInstruction.vmwrite;
  if (isAccess && (checks.secondary & Secondary.shadowing) !== 0 && !isBitmapped(core, isRead, instruction)) {
    requireLevel0(core);
    return shadowAccess(core, isRead, instruction);
  }
  record.instruction(reasons[which], instruction.length);
  if (isAccess) describeEither(record, unit, instruction, (instruction.reg & 15) << 28);
  else if (which === OwnInstruction.invept || which === OwnInstruction.invvpid)
    describeMemory(record, unit, instruction, true);
  else if (
    which !== OwnInstruction.vmxoff &&
    which !== OwnInstruction.vmlaunch &&
    which !== OwnInstruction.vmresume
  )
    describeMemory(record, unit, instruction, false);
  return Answer.exit;
}

function vmcall(core: VmxCore, instruction: Instruction): number {
  if (!core.isOn) return Answer.continue;
  if (core.controls.isGuest) {
    core.record.instruction(ExitReason.vmcall, instruction.length);
    return Answer.exit;
  }
  if (isOutOfMode(core)) return Answer.continue;
  requireLevel0(core);
  return fail(core, InstructionError.vmcallInRoot);
}

// VMX operation and pointers.

function vmxon(core: VmxCore, instruction: Instruction): number {
  const { unit, capabilities } = core;
  const { context } = unit;
  if ((context.cr4 & cr4Vmxe) === 0 || instruction.modrm >= 0xc0) return Answer.continue;
  requireLevel0(core);
  const { cr0Fixed0, cr4Fixed0, cr4Fixed1 } = capabilities;
  const isHeld = (context.cr0 & cr0Fixed0) === cr0Fixed0 && (context.cr4 & cr4Fixed0) === cr4Fixed0;
  if (!isHeld || (context.cr4 & ~cr4Fixed1) !== 0) throw guestFault(generalProtection, 0);
  if (unit.msrs.read(featureControl, value) && (value[0] & featureBits) !== featureBits)
    throw guestFault(generalProtection, 0);
  readOperand(unit, instruction, 0, value);
  const page = pageOf(value[0], value[1]);
  if ((value[0] & 0xfff) !== 0 || !capabilities.isPhysical(value[1])) return failInvalid(core);
  if (core.physical.read(page, 0, 4) !== vmcsRevision) return failInvalid(core);
  core.isOn = true;
  core.vmxonPage = page;
  core.currentPage = noPointer;
  core.host = unit.context;
  core.holdRoot();
  unit.controlsChanged();
  return succeed(core);
}

/** Reads the pointer of VMCLEAR and VMPTRLD. @returns the page, or -1 if it is none */
function readPointer(core: VmxCore, instruction: Instruction): number {
  readOperand(core.unit, instruction, 0, value);
  if ((value[0] & 0xfff) !== 0 || !core.capabilities.isPhysical(value[1])) return -1;
  return pageOf(value[0], value[1]);
}

function vmclear(core: VmxCore, instruction: Instruction): number {
  const page = readPointer(core, instruction);
  if (page < 0) return fail(core, InstructionError.vmclearInvalidAddress);
  if (page === core.vmxonPage) return fail(core, InstructionError.vmclearVmxonPointer);
  if (core.select(page)) {
    core.vmcs.isLaunched = false;
    core.written();
  }
  if (page === core.currentPage) core.currentPage = noPointer;
  return succeed(core);
}

function vmptrld(core: VmxCore, instruction: Instruction): number {
  const page = readPointer(core, instruction);
  if (page < 0) return fail(core, InstructionError.vmptrldInvalidAddress);
  if (page === core.vmxonPage) return fail(core, InstructionError.vmptrldVmxonPointer);
  const hasShadows = (core.capabilities.allowed.secondary & Secondary.shadowing) !== 0;
  const revision = core.select(page) ? core.vmcs.revision : -1;
  if ((revision & (hasShadows ? 0x7fff_ffff : -1)) !== vmcsRevision)
    return fail(core, InstructionError.vmptrldRevision);
  core.currentPage = page;
  return succeed(core);
}

// Fields.

/** VMREAD r/m, r. */
function vmread(core: VmxCore, instruction: Instruction): number {
  const { unit, vmcs } = core;
  if (core.currentPage === noPointer) return failInvalid(core);
  core.select(core.currentPage);
  readOperand(unit, instruction, 1, field);
  if (!readField(vmcs)) return fail(core, InstructionError.unsupportedField);
  writeOperand(unit, instruction, 0, value[0], value[1]);
  return succeed(core);
}

/** VMWRITE r, r/m. */
function vmwrite(core: VmxCore, instruction: Instruction): number {
  const { unit, vmcs } = core;
  if (core.currentPage === noPointer) return failInvalid(core);
  core.select(core.currentPage);
  readOperand(unit, instruction, 1, value);
  readOperand(unit, instruction, 0, field);
  if (!writeField(vmcs, in64BitMode(unit))) return fail(core, InstructionError.unsupportedField);
  core.written();
  return succeed(core);
}

/** Reads the field whose encoding is in `field`, into `value`. */
function readField(vmcs: Vmcs): boolean {
  const cell = field[1] !== 0 ? -1 : cellOfEncoding(field[0]);
  if (cell < 0) return false;
  const isHigh = (field[0] & 1) !== 0;
  const width = widthOf(field[0]);
  value[0] = isHigh ? vmcs.high(cell) : vmcs.low(cell);
  value[1] = isHigh || width === FieldWidth.bits16 || width === FieldWidth.bits32 ? 0 : vmcs.high(cell);
  return true;
}

/** Writes `value` to the field whose encoding is in `field`. 32-bit code clears the upper half of a natural-width field. */
function writeField(vmcs: Vmcs, is64Bit: boolean): boolean {
  const cell = field[1] !== 0 ? -1 : cellOfEncoding(field[0]);
  if (cell < 0) return false;
  switch (widthOf(field[0])) {
    case FieldWidth.bits16:
      vmcs.setLow(cell, value[0] & 0xffff);
      break;
    case FieldWidth.bits32:
      vmcs.setLow(cell, value[0]);
      break;
    case FieldWidth.bits64:
      if ((field[0] & 1) !== 0) vmcs.setLow(cell + 1, value[0]);
      else if (is64Bit) vmcs.setPair(cell, value[0], value[1]);
      else vmcs.setPair(cell, value[0], 0);
      break;
    default:
      vmcs.setPair(cell, value[0], is64Bit ? value[1] : 0);
  }
  return true;
}

// Shadow VMCS (SDM vol. 3, 26.3 and 31.3).

/** Whether the bitmap wants an exit for the encoding in the register operand. */
function isBitmapped({ unit, vmcs, physical }: VmxCore, isRead: boolean, instruction: Instruction): boolean {
  readOperand(unit, instruction, isRead ? 1 : 0, field);
  if (field[1] !== 0 || (field[0] & ~0x7fff) !== 0) return true;
  const cell = isRead ? Cell.vmreadBitmap : Cell.vmwriteBitmap;
  const page = pageOf(vmcs.low(cell), vmcs.high(cell));
  return ((physical.read(page, field[0] >>> 3, 1) >>> (field[0] & 7)) & 1) !== 0;
}

function shadowAccess(core: VmxCore, isRead: boolean, instruction: Instruction): number {
  const { unit, vmcs, physical } = core;
  const low = vmcs.low(Cell.linkPointer);
  const high = vmcs.high(Cell.linkPointer);
  const offset = low === -1 && high === -1 ? -1 : physical.writableOffsetOf(pageOf(low, high));
  if (offset < 0) return failInvalid(core);
  shadow.words = physical.words;
  shadow.base = offset / 4;
  if (!isRead) readOperand(unit, instruction, 1, value);
  const isKnown = isRead ? readField(shadow) : writeField(shadow, in64BitMode(unit));
  if (!isKnown) {
    unit.state.flags = (unit.state.flags & ~statusFlags) | zero;
    // The number goes to the current VMCS: the shadow is only read and written.
    vmcs.setLow(Cell.instructionError, InstructionError.unsupportedField);
    core.written();
  } else if (isRead) writeOperand(unit, instruction, 0, value[0], value[1]);
  if (isKnown) succeed(core);
  if (!isRead) physical.written(offset, 4096);
  return Answer.completed;
}

// Entry.

function enter(core: VmxCore, isLaunch: boolean): number {
  const { unit, vmcs } = core;
  if (core.currentPage === noPointer || !core.select(core.currentPage)) return failInvalid(core);
  // A shadow VMCS cannot be entered.
  if (vmcs.revision < 0) return failInvalid(core);
  if (unit.state.get('interruptShadow') === shadowOfStack)
    return fail(core, InstructionError.entryBlockedByMovSs);
  if (isLaunch && vmcs.isLaunched) return fail(core, InstructionError.vmlaunchNotClear);
  if (!isLaunch && !vmcs.isLaunched) return fail(core, InstructionError.vmresumeNotLaunched);
  const error = enterGuest(core, isLaunch);
  return error === 0 ? Answer.completed : fail(core, error);
}

// Invalidation (SDM vol. 3, 31.3).

/** Reads the 16 bytes of a descriptor. @param low of the first 8 @param second of the others */
function readDescriptor(
  { unit }: VmxCore,
  instruction: Instruction,
  low: Int32Array,
  second: Int32Array,
): void {
  operandAddress(unit, instruction, 1, 16, Use.read, address);
  readLinear(unit, address[0], address[1], 8, low);
  const next = (address[0] >>> 0) + 8;
  const carried = next > 0xffff_ffff ? 1 : 0;
  readLinear(unit, next | 0, in64BitMode(unit) ? (address[1] + carried) | 0 : 0, 8, second);
}

function invept(core: VmxCore, instruction: Instruction): number {
  const { unit, capabilities } = core;
  readOperand(unit, instruction, 0, field);
  const type = field[0];
  const error = InstructionError.inveptInvvpidOperand;
  if (field[1] !== 0 || (type !== Invept.context && type !== Invept.global)) return fail(core, error);
  readDescriptor(core, instruction, value, field);
  if (type === Invept.context && !capabilities.takesEptp(value[0], value[1])) return fail(core, error);
  unit.mmu.tlb.invept(type, pageOf(value[0], value[1]));
  return succeed(core);
}

function invvpid(core: VmxCore, instruction: Instruction): number {
  const { unit, capabilities } = core;
  readOperand(unit, instruction, 0, field);
  const type = field[0];
  const error = InstructionError.inveptInvvpidOperand;
  if (field[1] !== 0 || type < 0 || type > Invvpid.contextExceptGlobals) return fail(core, error);
  readDescriptor(core, instruction, value, field);
  if ((value[0] & ~0xffff) !== 0 || value[1] !== 0) return fail(core, error);
  if (type !== Invvpid.all && value[0] === 0) return fail(core, error);
  if (type === Invvpid.address && !capabilities.isCanonical(field[1])) return fail(core, error);
  unit.mmu.tlb.invvpid(type, value[0], field[0], field[1]);
  return succeed(core);
}

// VM functions (SDM vol. 3, 26.5.6).

function vmfunc(core: VmxCore, instruction: Instruction): number {
  const { controls, checks, unit, vmcs, physical, capabilities, guest } = core;
  if (!controls.isGuest || (checks.secondary & Secondary.vmFunctions) === 0) return Answer.continue;
  const { state } = unit;
  const index = state.low('gpr', 1) >>> 0;
  if (state.low('gpr', 0) === 0 && (vmcs.low(Cell.vmFunctionControls) & 1) !== 0 && index < 512) {
    const page = pageOf(vmcs.low(Cell.eptpListAddress), vmcs.high(Cell.eptpListAddress));
    const low = physical.read(page, 8 * index, 4);
    const high = physical.read(page, 8 * index + 4, 4);
    if (capabilities.takesEptp(low, high)) {
      vmcs.setPair(Cell.eptPointer, low, high);
      if ((checks.secondary & Secondary.violationException) !== 0) vmcs.setLow(Cell.eptpIndex, index);
      core.written();
      setEptp(core, low, high);
      unit.mmu.enter(guest, { owner: 'vmx', vpidOrAsid: guest.owner.vpidOrAsid });
      unit.contextChanged();
      return Answer.completed;
    }
  }
  core.record.instruction(ExitReason.vmfunc, instruction.length);
  return Answer.exit;
}
