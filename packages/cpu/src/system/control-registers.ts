import { operandRegister, RegisterClass, registerClass, registerNumber } from '@nest86/decoder';
import { Access, Cr0, Fault, Translation } from '@nest86/mmu';
import { Exception } from '../semantics/operation.ts';
import { Segment } from '../state/layout.ts';
import { attributeLong } from '../state/segment-cache.ts';
import { Answer } from '../virtualization/extension.ts';
import { controlReadIntercept, controlWriteIntercept, Intercept } from '../virtualization/intercept.ts';
import { ControlAccess } from '../virtualization/intercepted-instruction.ts';
import { askAboutValue } from '../virtualization/questions.ts';
import { SystemType } from './descriptors.ts';
import { guestFault, Unwind } from './fault.ts';
import { in64BitMode, readOperand, readRegister, writeOperand, writeRegister } from './operands.ts';
import { requireLevel0 } from './privilege.ts';
import type { Service, Services, SystemUnit } from './unit.ts';

// Control registers (SDM vol. 2, MOV—Move to/from Control Registers; vol. 3, 2.5).

const value = new Int32Array(2);
const translation = new Translation();

const cr0Mp = 1 << 1;
const cr0Em = 1 << 2;
const cr0Ts = 1 << 3;
const cr0Et = 1 << 4;
/** PE MP EM TS ET NE WP AM NW CD PG. The others are ignored when written and read as 0. */
const cr0Bits = 0xe005_003f | 0;
const cr4Umip = 1 << 11;

/** MOV to or from a control register. Operands are 64 bits wide in 64-bit mode, else 32; operand-size prefixes mean nothing. */
const mov: Service = (unit, instruction) => {
  const target = operandRegister(instruction, 0);
  const source = operandRegister(instruction, 1);
  const isWrite = registerClass(target) === RegisterClass.control;
  const number = registerNumber(isWrite ? target : source);
  // CR1, CR5 to CR7, CR9 and above do not exist. That goes before privilege.
  if (number === 1 || (number > 4 && number !== 8)) throw guestFault(Exception.invalidOpcode);
  // Also in virtual-8086 mode, where CPL is 3.
  requireLevel0(unit);
  if (isWrite) {
    readRegister(unit, source, value);
    const what = controlWriteIntercept(number);
    const answer = askAboutValue(unit, what, instruction, number, true, ControlAccess.write, value);
    if (answer === Answer.continue) writeControl(unit, number, value[0], value[1]);
  } else {
    readControl(unit, number, value);
    const what = controlReadIntercept(number);
    const answer = askAboutValue(unit, what, instruction, number, false, ControlAccess.read, value);
    if (answer === Answer.exit) return;
    writeRegister(unit, target, value[0], value[1]);
  }
};

function readControl(unit: SystemUnit, number: number, out: Int32Array): void {
  const { context, state } = unit;
  out[1] = 0;
  switch (number) {
    case 0:
      out[0] = context.cr0;
      return;
    case 2:
      out[0] = state.low('cr2');
      out[1] = state.high('cr2');
      return;
    case 3:
      out[0] = context.cr3Low;
      out[1] = context.cr3High;
      return;
    case 4:
      out[0] = context.cr4;
      return;
    default:
      out[0] = unit.taskPriority?.read() ?? 0;
  }
}

function writeControl(unit: SystemUnit, number: number, low: number, high: number): void {
  const { context, state, mmu } = unit;
  // #GP(0) for what is reserved in a 64-bit operand; 32-bit ones have no upper half.
  switch (number) {
    case 0:
      if (high !== 0) throw guestFault(Exception.generalProtection, 0);
      writeCr0(unit, low);
      return;
    case 2:
      state.setPair('cr2', low, high);
      return;
    case 3:
      requireDone(unit, mmu.writeCr3(context, low, high, translation));
      unit.contextChanged();
      return;
    case 4:
      if (high !== 0) throw guestFault(Exception.generalProtection, 0);
      requireDone(unit, mmu.writeCr4(context, low, ~unit.capabilities.cr4, translation));
      unit.contextChanged();
      return;
    default:
      if (high !== 0 || (low & ~15) !== 0) throw guestFault(Exception.generalProtection, 0);
      unit.taskPriority?.write(low);
  }
}

/** Writes CR0 with its checks, and takes over what it decides: paging, long mode, protection. */
function writeCr0(unit: SystemUnit, low: number): void {
  const { context, mmu } = unit;
  // ET is 1 for good.
  const next = (low & cr0Bits) | cr0Et;
  const is64Bit = in64BitMode(unit);
  const turnsOn = (next & ~context.cr0 & Cr0.pg) !== 0;
  // Nothing of long mode may be there before it is: neither L in CS nor, in it, a 16-bit TSS (SDM vol. 3, 9.8.5).
  if (turnsOn && (context.efer & eferLme) !== 0 && (has16BitTask(unit) || hasLongCode(unit)))
    throw guestFault(Exception.generalProtection, 0);
  const before = context.cr0;
  requireDone(unit, mmu.writeCr0(context, next, is64Bit, translation));
  unit.contextChanged();
  if (((before ^ next) & (Cr0.pe | Cr0.pg)) !== 0) unit.segmentsChanged();
}

const eferLme = 1 << 8;

function hasLongCode({ state }: SystemUnit): boolean {
  return (state.get('segmentAttributes', Segment.cs) & attributeLong) !== 0;
}

function has16BitTask(unit: SystemUnit): boolean {
  const attributes = unit.state.get('segmentAttributes', Segment.tr);
  const type = attributes & 0x1f;
  return (attributes & 0x1_0080) === 0x80 && (type === SystemType.tss16 || type === SystemType.busyTss16);
}

/** Raises what the memory unit refused; nothing has changed then. */
function requireDone(unit: SystemUnit, fault: number): void {
  if (fault === Fault.none) return;
  if (fault === Fault.generalProtection) throw guestFault(Exception.generalProtection, 0);
  // The hypervisor's tables hide the guest's PDPTEs (SDM vol. 3, 4.4.1): a VM exit.
  if (unit.interception?.secondStageFault(translation, Access.read, 0, 0, false) === Unwind.exit)
    throw guestFault(Unwind.exit);
  unit.unimplemented(`fault ${fault} of the second stage while PDPTEs are loaded`);
}

/** LMSW: PE MP EM TS, of which PE can be set but not cleared (SDM vol. 2, LMSW). */
const lmsw: Service = (unit, instruction) => {
  requireLevel0(unit);
  readOperand(unit, instruction, 0, value);
  const { loadMachineStatus } = ControlAccess;
  const answer = askAboutValue(unit, Intercept.controlWrite, instruction, 0, true, loadMachineStatus, value);
  if (answer !== Answer.continue) return;
  const { cr0 } = unit.context;
  const cleared = cr0Mp | cr0Em | cr0Ts;
  writeCr0(unit, (cr0 & ~cleared) | (value[0] & (cleared | Cr0.pe)));
};

/** SMSW: 16 bits in memory, the operand size in a register (SDM vol. 2, SMSW). UMIP keeps it to CPL 0. */
const smsw: Service = (unit, instruction) => {
  if ((unit.context.cr4 & cr4Umip) !== 0) requireLevel0(unit);
  value[0] = unit.context.cr0;
  value[1] = 0;
  const { storeMachineStatus } = ControlAccess;
  const answer = askAboutValue(unit, Intercept.controlRead, instruction, 0, false, storeMachineStatus, value);
  if (answer !== Answer.exit) writeOperand(unit, instruction, 0, value[0], 0);
};

/** SDM vol. 2, CLTS. */
const clts: Service = (unit, instruction) => {
  requireLevel0(unit);
  value[0] = unit.context.cr0 & ~cr0Ts;
  value[1] = 0;
  const { clearTaskSwitched } = ControlAccess;
  const answer = askAboutValue(unit, Intercept.controlWrite, instruction, 0, true, clearTaskSwitched, value);
  if (answer === Answer.continue) writeCr0(unit, value[0]);
};

export const controlRegisterServices: Services = {
  'MOV.CONTROL': mov,
  LMSW: lmsw,
  SMSW: smsw,
  CLTS: clts,
};
