import {
  type ApicAccess,
  DeliveryStage,
  type GuestControls,
  type InterceptedInstruction,
  type RaisedException,
  type VirtualizationExtension,
  type VirtualizationUnit,
} from '@nest86/cpu/virtualization';
import type { Instruction } from '@nest86/decoder';
import { Fault, type Translation } from '@nest86/mmu';
import type { VmxCapabilities } from '../capabilities/capabilities.ts';
import { Exit, Secondary } from '../capabilities/controls.ts';
import { ExitReason, exitReasonText } from '../explain/exit-reasons.ts';
import { Cell } from '../vmcs/fields.ts';
import { pageOf, VmxCore } from './core.ts';
import { leaveGuest } from './exit.ts';
import { ResumeFlag } from './exit-record.ts';
import { execute } from './instructions.ts';
import { guestInstruction, rootInstruction } from './interception.ts';
import { Answer, EventSource, EventType, InterruptAnswer } from './port.ts';
import { restoreVmx, saveVmx, type VmxState } from './snapshot.ts';

const valid = 0x8000_0000 | 0;
const debugException = 1;
const pageFaultException = 14;
/** Bit of an EPT violation's qualification: a linear address is told. */
const linearValid = 0x80;

/** VMX as a processor of `@nest86/cpu` has it. One per processor; capabilities may be shared. */
export class VmxExtension implements VirtualizationExtension {
  readonly controls: GuestControls;
  private readonly core: VmxCore;

  constructor(readonly capabilities: VmxCapabilities) {
    this.core = new VmxCore(capabilities);
    this.controls = this.core.controls;
    this.core.ept.logDirty = (page) => this.logDirty(page);
  }

  attach(unit: VirtualizationUnit): void {
    this.core.unit = unit;
    this.core.host = unit.context;
  }

  /** Value of a capability MSR, low half first; false for all others. */
  readMsr(index: number, out: Int32Array): boolean {
    return this.capabilities.read(index, out);
  }

  /** Leaves VMX operation: after RESET, and after INIT outside VMX operation. The context is the processor's own. */
  reset(): void {
    const { core } = this;
    if (core.unit.context !== core.host) core.unit.switchContext(core.host);
    core.reset();
  }

  /** Value of the time stamp counter at which the preemption timer is at 0; undefined: it does not run. */
  get timerEnd(): number | undefined {
    return this.core.timer.endOfCounter;
  }

  /** Exits so far, by reason. */
  get statistics(): { readonly entries: number; readonly exits: Readonly<Record<string, number>> } {
    const { entries, exits } = this.core;
    const named: Record<string, number> = {};
    for (const [reason, count] of exits.entries()) if (count > 0) named[exitReasonText(reason)] = count;
    return { entries, exits: named };
  }

  save(): VmxState {
    return saveVmx(this.core);
  }

  /** The processor's state, RAM and the host's registers are restored before. @throws VmxStateError for another version */
  restore(state: VmxState): void {
    restoreVmx(this.core, state);
  }

  // The port.

  execute(which: number, instruction: Instruction): number {
    return execute(this.core, which, instruction);
  }

  instruction(what: InterceptedInstruction): number {
    return this.controls.isGuest ? guestInstruction(this.core, what) : rootInstruction(this.core, what);
  }

  exception(raised: RaisedException): number {
    const { record, vmcs, guest } = this.core;
    const { vector, type, errorCode, payloadLow, payloadHigh, instructionLength } = raised;
    if (vector === pageFaultException) {
      const fits = (errorCode & vmcs.low(Cell.pageFaultMask)) === vmcs.low(Cell.pageFaultMatch);
      const isWanted = (vmcs.low(Cell.exceptionBitmap) & (1 << pageFaultException)) !== 0;
      if (fits !== isWanted) return Answer.continue;
    }
    record.begin(ExitReason.exceptionOrNmi);
    record.interruption = valid | (type << 8) | vector;
    // Real-address mode knows no error codes.
    if (errorCode >= 0 && (guest.cr0 & 1) !== 0) {
      record.interruption |= 0x800;
      record.errorCode = errorCode;
    }
    record.qualify(payloadLow, payloadHigh);
    record.instructionLength = instructionLength;
    const isFault = type === EventType.hardwareException && vector !== debugException;
    record.resumeFlag = isFault ? ResumeFlag.set : ResumeFlag.keep;
    return Answer.exit;
  }

  secondStageFault(out: Translation, _access: number, low: number, high: number, isLinear: boolean): number {
    const { record, checks } = this.core;
    const isViolation = out.fault === Fault.eptViolation;
    if (isViolation && (checks.secondary & Secondary.violationException) !== 0 && !out.suppressVe)
      if (this.raiseViolation(out, low, high)) return Answer.completed;
    record.begin(
      isViolation
        ? ExitReason.eptViolation
        : out.fault === Fault.pageModificationLog
          ? ExitReason.pmlFull
          : ExitReason.eptMisconfiguration,
    );
    if (out.fault === Fault.pageModificationLog) return Answer.exit;
    record.guestPhysicalLow = (out.guestPage << 12) | out.guestOffset;
    record.guestPhysicalHigh = Math.floor(out.guestPage / 0x10_0000);
    if (!isViolation) return Answer.exit;
    record.qualify(out.errorCode);
    if (isLinear && (out.errorCode & linearValid) !== 0) {
      record.linearLow = low;
      record.linearHigh = high;
    }
    return Answer.exit;
  }

  /** #VE instead of an exit (SDM vol. 3, 26.5.7.1 and 26.5.7.2). @returns whether the information area took it */
  private raiseViolation(out: Translation, low: number, high: number): boolean {
    const { unit, vmcs, physical, guest } = this.core;
    if ((guest.cr0 & 1) === 0 || unit.delivery.stage !== DeliveryStage.none) return false;
    const cell = Cell.virtualizationExceptionAddress;
    const page = pageOf(vmcs.low(cell), vmcs.high(cell));
    if (physical.read(page, 4, 4) !== 0) return false;
    physical.write(page, 0, 4, ExitReason.eptViolation);
    physical.write(page, 4, 4, -1);
    physical.write(page, 8, 4, out.errorCode);
    physical.write(page, 12, 4, 0);
    const hasLinear = (out.errorCode & linearValid) !== 0;
    physical.write(page, 16, 4, hasLinear ? low : 0);
    physical.write(page, 20, 4, hasLinear ? high : 0);
    physical.write(page, 24, 4, (out.guestPage << 12) | out.guestOffset);
    physical.write(page, 28, 4, Math.floor(out.guestPage / 0x10_0000));
    physical.write(page, 32, 2, vmcs.low(Cell.eptpIndex) & 0xffff);
    return true;
  }

  /** Page-modification logging (SDM vol. 3, 29.3.6): the index counts down from 511. */
  private logDirty(page: number): boolean {
    const { vmcs, physical, checks } = this.core;
    if ((checks.secondary & Secondary.pml) === 0) return true;
    const index = vmcs.low(Cell.pmlIndex) & 0xffff;
    if (index > 511) return false;
    const log = pageOf(vmcs.low(Cell.pmlAddress), vmcs.high(Cell.pmlAddress));
    physical.write(log, 8 * index, 4, page << 12);
    physical.write(log, 8 * index + 4, 4, Math.floor(page / 0x10_0000));
    vmcs.setLow(Cell.pmlIndex, (index - 1) & 0xffff);
    this.core.written();
    return true;
  }

  // Virtual-APIC pages have a seat here; until their controls are offered nobody comes to these three.

  apicAccess(_access: ApicAccess): number {
    return Answer.continue;
  }

  readApic(): number {
    return 0;
  }

  writeApic(): void {}

  virtualInterrupt(): number {
    return -2;
  }

  event(source: number): number {
    const { unit, record, timer } = this.core;
    const { events } = unit;
    switch (source) {
      case EventSource.nmi:
        events.pending &= ~EventSource.nmi;
        record.begin(ExitReason.exceptionOrNmi);
        record.interruption = valid | (EventType.nonMaskable << 8) | 2;
        return Answer.exit;
      case EventSource.init:
        events.pending &= ~EventSource.init;
        record.begin(ExitReason.init);
        return Answer.exit;
      case EventSource.startup:
        // Whoever waits for nothing loses it (SDM vol. 3, 26.2).
        if (unit.state.get('activity') !== waitForSipi) return Answer.completed;
        events.pending &= ~EventSource.startup;
        record.begin(ExitReason.startUp).qualify(events.startVector & 0xff);
        return Answer.exit;
      case EventSource.timer:
        if (!timer.expires(unit)) return Answer.completed;
        record.begin(ExitReason.preemptionTimer);
        return Answer.exit;
      case EventSource.monitorTrap:
        record.begin(ExitReason.monitorTrap);
        return Answer.exit;
      case EventSource.trapExit:
        record.begin(ExitReason.tprBelowThreshold);
        return Answer.exit;
      case EventSource.nmiWindow:
        record.begin(ExitReason.nmiWindow);
        return Answer.exit;
      case EventSource.interruptWindow:
        record.begin(ExitReason.interruptWindow);
        return Answer.exit;
      default:
        return Answer.continue;
    }
  }

  interrupt(): number {
    const { checks, record } = this.core;
    record.begin(ExitReason.externalInterrupt);
    return (checks.exit & Exit.acknowledge) !== 0 ? InterruptAnswer.acknowledge : InterruptAnswer.exit;
  }

  acknowledged(vector: number): number {
    const { record } = this.core;
    record.begin(ExitReason.externalInterrupt).interruption = valid | vector;
    return Answer.exit;
  }

  shutdown(): number {
    this.core.record.begin(ExitReason.tripleFault).resumeFlag = ResumeFlag.set;
    return Answer.exit;
  }

  leave(): void {
    leaveGuest(this.core);
  }
}

/** `Activity.waitForSipi` of the state. */
const waitForSipi = 2;
