import {
  ControlAccess,
  guestFault,
  type InterceptedInstruction,
  operandAddress,
  Use,
} from '@nest86/cpu/virtualization';
import { Primary, Secondary } from '../capabilities/controls.ts';
import { ExitReason } from '../explain/exit-reasons.ts';
import { Cell } from '../vmcs/fields.ts';
import { pageOf, type VmxCore } from './core.ts';
import {
  describeDestination,
  describeEither,
  describeMemory,
  describeString,
  describeTable,
} from './instruction-information.ts';
import { Answer, EventSource, Intercept } from './port.ts';

/** #UD, #GP(0). */
const [invalidOpcode, generalProtection] = [6, 13];
const cr0TaskSwitched = 8;
const address = new Int32Array(2);

/** An instruction in VMX root operation: bits of CR0 and CR4 are held (SDM vol. 3, 24.8). */
export function rootInstruction(core: VmxCore, what: InterceptedInstruction): number {
  const { capabilities } = core;
  if (what.what !== Intercept.controlWrite || what.kind !== ControlAccess.write) return Answer.continue;
  const fixed = what.number === 0 ? capabilities.cr0Fixed0 : what.number === 4 ? capabilities.cr4Fixed0 : 0;
  if ((what.valueLow & fixed) !== fixed) throw guestFault(generalProtection, 0);
  return Answer.continue;
}

/** An instruction of a guest (SDM vol. 3, 26.1 to 26.3). */
export function guestInstruction(core: VmxCore, what: InterceptedInstruction): number {
  const { checks } = core;
  const { primary, secondary } = checks;
  const { instruction } = what;
  switch (what.what) {
    case Intercept.cpuid:
      return leave(core, what, ExitReason.cpuid);
    case Intercept.halt:
      return leave(core, what, ExitReason.hlt);
    case Intercept.pause:
      return leave(core, what, ExitReason.pause);
    case Intercept.timeStampCounter:
      return leave(core, what, ExitReason.rdtsc);
    case Intercept.processorId:
      if ((secondary & Secondary.rdtscp) === 0) throw guestFault(invalidOpcode);
      // RDPID does not look at the counter.
      if (instruction.opcode === 0xc7 || (primary & Primary.rdtsc) === 0) return Answer.continue;
      return leave(core, what, ExitReason.rdtscp);
    case Intercept.performanceCounter:
      return leave(core, what, ExitReason.rdpmc);
    case Intercept.invalidatePage:
      leave(core, what, ExitReason.invlpg);
      core.record.qualify(what.addressLow, what.addressHigh);
      return Answer.exit;
    case Intercept.invalidateCaches:
      return leave(core, what, ExitReason.invd);
    case Intercept.writeBackCaches:
      return leave(core, what, ExitReason.wbinvd);
    case Intercept.monitor:
      return leave(core, what, ExitReason.monitor);
    case Intercept.monitorWait:
      return leave(core, what, ExitReason.mwait);
    case Intercept.extendedControl:
      return leave(core, what, ExitReason.xsetbv);
    case Intercept.descriptorTable:
      return descriptorTable(core, what);
    case Intercept.controlRead:
      return controlRead(core, what);
    case Intercept.controlWrite:
      return controlWrite(core, what);
    case Intercept.pageTableRead:
      return control(core, what);
    case Intercept.pageTableWrite:
      return isTarget(core, what) ? Answer.continue : control(core, what);
    case Intercept.taskPriorityRead:
      return taskPriorityRead(core, what);
    case Intercept.taskPriorityWrite:
      return taskPriorityWrite(core, what);
    case Intercept.debugRegister:
      leave(core, what, ExitReason.movDr);
      core.record.qualify((what.number & 7) | (what.isWrite ? 0 : 16) | ((instruction.rm & 15) << 8));
      return Answer.exit;
    case Intercept.port:
      return port(core, what);
    case Intercept.msr:
      return msr(core, what);
    case Intercept.taskSwitch:
      leave(core, what, ExitReason.taskSwitch);
      core.record.qualify((what.number & 0xffff) | (what.kind << 30));
      return Answer.exit;
    case Intercept.random: {
      const isSeed = (instruction.modrm & 0x38) === 0x38;
      if ((secondary & (isSeed ? Secondary.rdseed : Secondary.rdrand)) === 0) return Answer.continue;
      leave(core, what, isSeed ? ExitReason.rdseed : ExitReason.rdrand);
      describeDestination(core.record, instruction, true);
      return Answer.exit;
    }
    case Intercept.invalidateContext:
      if ((secondary & Secondary.invpcid) === 0) throw guestFault(invalidOpcode);
      leave(core, what, ExitReason.invpcid);
      describeMemory(core.record, core.unit, instruction, true);
      return Answer.exit;
    case Intercept.timedWait:
      if ((secondary & Secondary.userWait) === 0) throw guestFault(invalidOpcode);
      leave(core, what, instruction.repeat === 0xf2 ? ExitReason.umwait : ExitReason.tpause);
      describeDestination(core.record, instruction, false);
      return Answer.exit;
    case Intercept.supervisorState:
      return supervisorState(core, what);
    default:
      return Answer.continue;
  }
}

/** Notes that an instruction was not executed. */
function leave(core: VmxCore, { instruction }: InterceptedInstruction, reason: number): number {
  core.record.instruction(reason, instruction.length);
  return Answer.exit;
}

function descriptorTable(core: VmxCore, what: InterceptedInstruction): number {
  const { record, unit } = core;
  const isTable = what.number <= 1;
  leave(core, what, isTable ? ExitReason.gdtrOrIdtr : ExitReason.ldtrOrTr);
  const identity = (what.isWrite ? 2 : 0) | (isTable ? what.number : what.number - 6);
  if (isTable) describeTable(record, unit, what.instruction, identity);
  else describeEither(record, unit, what.instruction, identity << 28);
  return Answer.exit;
}

// Control registers (SDM vol. 3, 26.1.3, 26.3 and table 28-3).

function control(core: VmxCore, what: InterceptedInstruction): number {
  const { instruction } = what;
  leave(core, what, ExitReason.controlRegister);
  const { clearTaskSwitched, loadMachineStatus } = ControlAccess;
  let qualification = (what.number & 15) | (what.kind << 4);
  if (what.kind === loadMachineStatus) {
    qualification |= (what.valueLow & 0xffff) << 16;
    if (instruction.modrm < 0xc0) {
      qualification |= 0x40;
      operandAddress(core.unit, instruction, 0, 2, Use.address, address);
      core.record.linearLow = address[0];
      core.record.linearHigh = address[1];
    }
  } else if (what.kind !== clearTaskSwitched) qualification |= (instruction.rm & 15) << 8;
  core.record.qualify(qualification);
  return Answer.exit;
}

/** Bits that the host owns read as the shadow. */
function controlRead({ vmcs }: VmxCore, what: InterceptedInstruction): number {
  if (what.number === 2) return Answer.continue;
  const mask = vmcs.low(what.number === 0 ? Cell.cr0Mask : Cell.cr4Mask);
  const shadow = vmcs.low(what.number === 0 ? Cell.cr0Shadow : Cell.cr4Shadow);
  what.valueLow = (what.valueLow & ~mask) | (shadow & mask);
  return Answer.continue;
}

function controlWrite(core: VmxCore, what: InterceptedInstruction): number {
  const { vmcs, guest } = core;
  if (what.number === 2) return Answer.continue;
  const isCr0 = what.number === 0;
  const mask = vmcs.low(isCr0 ? Cell.cr0Mask : Cell.cr4Mask);
  const shadow = vmcs.low(isCr0 ? Cell.cr0Shadow : Cell.cr4Shadow);
  const value = what.valueLow;
  switch (what.kind) {
    case ControlAccess.clearTaskSwitched:
      if ((mask & cr0TaskSwitched) === 0) return Answer.continue;
      return (shadow & cr0TaskSwitched) === 0 ? Answer.completed : control(core, what);
    case ControlAccess.loadMachineStatus: {
      // PE can only be set by it.
      const changed = (value ^ shadow) & mask;
      if ((changed & 14) !== 0 || (changed & value & 1) !== 0) return control(core, what);
      what.valueLow = (value & ~mask) | (guest.cr0 & mask);
      return Answer.continue;
    }
    default: {
      const maskHigh = vmcs.high(isCr0 ? Cell.cr0Mask : Cell.cr4Mask);
      const shadowHigh = vmcs.high(isCr0 ? Cell.cr0Shadow : Cell.cr4Shadow);
      if (((value ^ shadow) & mask) !== 0 || ((what.valueHigh ^ shadowHigh) & maskHigh) !== 0)
        return control(core, what);
      const real = isCr0 ? guest.cr0 : guest.cr4;
      what.valueLow = (value & ~mask) | (real & mask);
      what.valueHigh &= ~maskHigh;
      const fixed = isCr0 ? fixedCr0(core) : core.capabilities.cr4Fixed0;
      if ((what.valueLow & fixed) !== fixed) throw guestFault(generalProtection, 0);
      return Answer.continue;
    }
  }
}

function fixedCr0({ capabilities, checks }: VmxCore): number {
  const isUnrestricted = (checks.secondary & Secondary.unrestrictedGuest) !== 0;
  return isUnrestricted ? capabilities.cr0Fixed0 & ~(0x8000_0001 | 0) : capabilities.cr0Fixed0;
}

/** A MOV to CR3 whose value is one of the targets does not leave the guest. */
function isTarget({ vmcs }: VmxCore, { valueLow, valueHigh }: InterceptedInstruction): boolean {
  const count = vmcs.low(Cell.cr3TargetCount);
  for (let i = 0; i < count; i++)
    if (vmcs.low(Cell.cr3Target0 + 2 * i) === valueLow && vmcs.high(Cell.cr3Target0 + 2 * i) === valueHigh)
      return true;
  return false;
}

/** The virtual TPR, in the virtual-APIC page (SDM vol. 3, 30.1 and 30.3). */
const taskPriorityOffset = 0x80;

function taskPriorityRead(core: VmxCore, what: InterceptedInstruction): number {
  const { checks, vmcs, physical } = core;
  if ((checks.primary & Primary.cr8Store) !== 0) return control(core, what);
  const page = pageOf(vmcs.low(Cell.virtualApicAddress), vmcs.high(Cell.virtualApicAddress));
  what.valueLow = (physical.read(page, taskPriorityOffset, 4) >>> 4) & 15;
  what.valueHigh = 0;
  return Answer.completed;
}

function taskPriorityWrite(core: VmxCore, what: InterceptedInstruction): number {
  const { checks, vmcs, physical, unit } = core;
  if ((checks.primary & Primary.cr8Load) !== 0) return control(core, what);
  if (what.valueHigh !== 0 || (what.valueLow & ~15) !== 0) throw guestFault(generalProtection, 0);
  const page = pageOf(vmcs.low(Cell.virtualApicAddress), vmcs.high(Cell.virtualApicAddress));
  physical.write(page, taskPriorityOffset, 4, what.valueLow << 4);
  if (what.valueLow < (vmcs.low(Cell.tprThreshold) & 15)) unit.events.pending |= EventSource.trapExit;
  return Answer.completed;
}

// Ports, MSRs, XSAVES.

function port(core: VmxCore, what: InterceptedInstruction): number {
  const { checks, vmcs, physical, record } = core;
  const { instruction, number, bytes } = what;
  if ((checks.primary & Primary.ioBitmaps) !== 0) {
    // An access that wraps around FFFFh always exits.
    let isWanted = number + bytes > 0x1_0000;
    for (let at = number; at < number + bytes && !isWanted; at++) {
      const bitmap = at >= 0x8000 ? Cell.ioBitmapB : Cell.ioBitmapA;
      const page = pageOf(vmcs.low(bitmap), vmcs.high(bitmap));
      isWanted = ((physical.read(page, (at & 0x7fff) >>> 3, 1) >>> (at & 7)) & 1) !== 0;
    }
    if (!isWanted) return Answer.continue;
  }
  leave(core, what, ExitReason.io);
  const { opcode } = instruction;
  const isString = opcode >= 0x6c && opcode <= 0x6f;
  const isImmediate = opcode >= 0xe4 && opcode <= 0xe7;
  record.qualify(
    (bytes - 1) |
      (what.isWrite ? 0 : 8) |
      (isString ? 16 : 0) |
      (isString && instruction.repeat !== 0 ? 32 : 0) |
      (isImmediate ? 64 : 0) |
      (number << 16),
  );
  if (!isString) return Answer.exit;
  record.linearLow = what.addressLow;
  record.linearHigh = what.addressHigh;
  describeString(record, instruction, what.isWrite ? what.segment : -1);
  return Answer.exit;
}

function msr(core: VmxCore, what: InterceptedInstruction): number {
  const { checks, vmcs, physical } = core;
  const { number, isWrite } = what;
  if ((checks.primary & Primary.msrBitmaps) !== 0) {
    const isHigh = number >= 0xc000_0000;
    const index = isHigh ? number - 0xc000_0000 : number;
    if (index <= 0x1fff) {
      const offset = (isWrite ? 0x800 : 0) + (isHigh ? 0x400 : 0) + (index >>> 3);
      const page = pageOf(vmcs.low(Cell.msrBitmaps), vmcs.high(Cell.msrBitmaps));
      if (((physical.read(page, offset, 1) >>> (index & 7)) & 1) === 0) return Answer.continue;
    }
  }
  return leave(core, what, isWrite ? ExitReason.wrmsr : ExitReason.rdmsr);
}

/** XSAVES and XRSTORS exit for components in IA32_XSS, EDX:EAX and the bitmap. */
function supervisorState(core: VmxCore, what: InterceptedInstruction): number {
  const { checks, vmcs, unit } = core;
  if ((checks.secondary & Secondary.xsaves) === 0) throw guestFault(invalidOpcode);
  const { state } = unit;
  const low = vmcs.low(Cell.xssExitingBitmap) & state.low('xss') & state.low('gpr', 0);
  const high = vmcs.high(Cell.xssExitingBitmap) & state.high('xss') & state.low('gpr', 2);
  if ((low | high) === 0) return Answer.continue;
  const isSave = (what.instruction.modrm & 0x38) === 0x28;
  leave(core, what, isSave ? ExitReason.xsaves : ExitReason.xrstors);
  describeMemory(core.record, unit, what.instruction, false);
  return Answer.exit;
}
