import {
  Answer,
  type ApicAccess,
  EventSource,
  EventType,
  GuestControls,
  guestFault,
  Intercept,
  type InterceptedInstruction,
  InterruptAnswer,
  InterruptGate,
  OwnInstruction,
  type RaisedException,
  TaskSwitchSource,
  type VirtualizationExtension,
  type VirtualizationUnit,
} from '@nest86/cpu/virtualization';
import type { Instruction } from '@nest86/decoder';
import { Access, type Translation } from '@nest86/mmu';
import { Intercept1, Intercept2, VirtualInterrupt } from '../vmcb/bits.ts';
import type { SvmCapabilities } from '../vmcb/check.ts';
import { ExitCode } from '../vmcb/exit-codes.ts';
import { vmcbOffset } from '../vmcb/layout.ts';
import { Vmcb } from '../vmcb/vmcb.ts';
import { ExitRecord } from './exit-record.ts';
import type { SvmFeatures } from './features.ts';
import { HostState } from './host-state.ts';
import {
  classesOf,
  controlRegisterCode,
  debugRegisterCode,
  descriptorTableCode,
  plainCode,
} from './intercepts.ts';
import { PauseFilter } from './pause-filter.ts';
import { interceptsMsr, interceptsPort, portInformation } from './permission-maps.ts';
import { loadFurther, storeFurther } from './registers.ts';
import { restoreSvm, type SvmState, saveSvm } from './snapshot.ts';
import { SvmMsrs, VmCr } from './svm-msrs.ts';
import { enterGuest, GuestSpace, leaveGuest } from './transition.ts';

const at = vmcbOffset;
const svme = 0x1000;
const pe = 1;
const flagVirtual8086 = 0x2_0000;
const efer = 0xc000_0080;
const [rax, rcx] = [0, 1];
const debugVector = 1;
const pageFaultVector = 14;
const generalProtectionVector = 13;
const securityVector = 30;
/** Held back while GIF is 0 (APM vol. 2, table 15-9). */
const heldByGlobalFlag: number =
  EventSource.nmi |
  EventSource.smi |
  EventSource.init |
  EventSource.machineCheck |
  EventSource.virtualInterrupt;

/** Instructions by their bit of `intercept2` and their exit code. */
const ownIntercepts: Readonly<Record<number, readonly [bit: number, code: number]>> = {
  [OwnInstruction.vmrun]: [Intercept2.vmrun, ExitCode.vmrun],
  [OwnInstruction.vmload]: [Intercept2.vmload, ExitCode.vmload],
  [OwnInstruction.vmsave]: [Intercept2.vmsave, ExitCode.vmsave],
  [OwnInstruction.stgi]: [Intercept2.stgi, ExitCode.stgi],
  [OwnInstruction.clgi]: [Intercept2.clgi, ExitCode.clgi],
};

/** AMD's SVM behind the processor's port (APM vol. 2, chapter 15). */
export class SvmExtension implements VirtualizationExtension {
  readonly controls: GuestControls = new GuestControls();
  readonly msrs: SvmMsrs;
  /** How often guests were left, by exit code. */
  readonly exits: Map<number, number> = new Map();
  /** @internal */
  readonly vmcb: Vmcb = new Vmcb();
  /** @internal Offset of the guest's VMCB in the memory's buffer. */
  vmcbAt = 0;
  /** @internal */
  readonly host: HostState = new HostState();
  /** @internal */
  space: GuestSpace = new GuestSpace();
  /** @internal */
  readonly exit: ExitRecord = new ExitRecord();
  /** @internal */
  readonly pauses: PauseFilter = new PauseFilter();
  /** @internal V_TPR, V_IRQ and their neighbours, as they are now. */
  virtual = 0;
  /** @internal Global interrupt flag. */
  isOpen = true;
  /** @internal */
  unit!: VirtualizationUnit;
  /** @internal */
  capabilities!: SvmCapabilities;
  private readonly time = new Int32Array(2);

  constructor(readonly features: SvmFeatures) {
    const isEnabled = (): boolean => (this.unit.context.efer & svme) !== 0;
    this.msrs = new SvmMsrs({
      // The processor is attached later.
      physicalBits: () => this.capabilities.physicalBits,
      hasTscRatio: features.tscScale,
      hasLock: features.svmLock,
      isEnabled,
      changed: () => this.controlsChanged(),
    });
  }

  attach(unit: VirtualizationUnit): void {
    this.unit = unit;
    this.capabilities = {
      physicalBits: unit.mmu.model.physicalBits,
      cr4: unit.capabilities.cr4,
      efer: unit.capabilities.efer,
      hasNestedPaging: this.features.npt,
      hasVirtualNmi: false,
    };
  }

  /** As after RESET. */
  reset(): void {
    this.msrs.reset();
    this.forgetGuest();
  }

  /** Before the processor takes the state after INIT: no guest is left, no VMCB written (S2, 3.2). */
  initialize(): void {
    this.msrs.initialize();
    this.forgetGuest();
  }

  private forgetGuest(): void {
    const { unit, host, controls } = this;
    if (controls.isGuest && host.context !== undefined) unit.switchContext(host.context);
    unit.mmu.leave(this.space.context);
    this.space = new GuestSpace();
    this.isOpen = true;
    controls.clear();
    this.controlsChanged();
  }

  /** @internal The guest's VMCB. */
  view(): Vmcb {
    return this.vmcb.place(this.unit.mmu.memory.words, this.vmcbAt);
  }

  // Controls.

  /** @internal Brings up to date what the processor must ask about. */
  controlsChanged(): void {
    const { controls, isOpen, msrs } = this;
    const redirectsInit = (msrs.vmCr & VmCr.redirectInit) !== 0 ? EventSource.init : 0;
    if (controls.isGuest) this.guestControls(redirectsInit);
    else {
      controls.interruptGate = InterruptGate.flag;
      controls.events = redirectsInit;
      controls.exceptions = 0;
      // EFER is looked at while VM_CR forbids SVME, or a write that clears it would open GIF.
      controls.intercepts = !isOpen || (msrs.vmCr & VmCr.disable) !== 0 ? Intercept.msr : 0;
    }
    controls.blocked = isOpen ? 0 : heldByGlobalFlag;
    if (!isOpen) controls.interruptGate = InterruptGate.closed;
    this.unit.controlsChanged();
  }

  private guestControls(redirectsInit: number): void {
    const { controls, msrs, host, features } = this;
    const vmcb = this.view();
    const first = vmcb.low(at.intercept1);
    controls.intercepts = classesOf(vmcb);
    controls.exceptions = vmcb.low(at.interceptExceptions);
    // INT1 is an exception to the port.
    if ((vmcb.low(at.intercept2) & Intercept2.icebp) !== 0) controls.exceptions |= 1 << debugVector;
    controls.events =
      ((first & Intercept1.intr) !== 0 ? EventSource.externalInterrupt : 0) |
      ((first & Intercept1.nmi) !== 0 ? EventSource.nmi : 0) |
      ((first & Intercept1.smi) !== 0 ? EventSource.smi : 0) |
      ((first & Intercept1.init) !== 0 ? EventSource.init : redirectsInit);
    // With V_INTR_MASKING the host's IF, as it was at VMRUN, decides about physical interrupts (15.21.1).
    controls.interruptGate =
      (this.virtual & VirtualInterrupt.masking) === 0
        ? InterruptGate.flag
        : host.takesInterrupts
          ? InterruptGate.open
          : InterruptGate.closed;
    controls.tscOffsetLow = vmcb.low(at.tscOffset);
    controls.tscOffsetHigh = vmcb.high(at.tscOffset);
    const { ratioLow, ratioHigh } = msrs;
    controls.tscMultiplierLow = 0;
    controls.tscMultiplierHigh = 0;
    if (features.tscScale && (ratioLow !== 0 || ratioHigh !== 1)) {
      // 8.32 to 16.48. 0 would stand for 1.
      controls.tscMultiplierLow = ratioLow << 16 || (ratioLow | ratioHigh ? 0 : 1);
      controls.tscMultiplierHigh = (ratioHigh << 16) | (ratioLow >>> 16);
    }
  }

  private setGlobalFlag(isOpen: boolean): void {
    this.isOpen = isOpen;
    this.controlsChanged();
  }

  // Instructions of SVM.

  execute(which: number, instruction: Instruction): number {
    const { unit, controls, exit } = this;
    const { state, context } = unit;
    if (which === OwnInstruction.vmmcall) {
      if (!controls.isGuest || (this.view().low(at.intercept2) & Intercept2.vmmcall) === 0)
        return Answer.continue;
      exit.setInstruction(ExitCode.vmmcall, unit.nextLow, unit.nextHigh);
      return Answer.exit;
    }
    const own = ownIntercepts[which];
    if (own === undefined && which !== OwnInstruction.invlpga) return Answer.continue;
    const isProtected = (context.cr0 & pe) !== 0 && (state.get('systemFlags') & flagVirtual8086) === 0;
    if ((context.efer & svme) === 0 || !isProtected) return Answer.continue;
    if (state.get('cpl') !== 0) throw guestFault(generalProtectionVector, 0);
    if (own === undefined) return this.invalidate(instruction);
    if (controls.isGuest && (this.view().low(at.intercept2) & own[0]) !== 0) {
      exit.setInstruction(own[1], unit.nextLow, unit.nextHigh);
      return Answer.exit;
    }
    switch (which) {
      case OwnInstruction.vmrun:
        enterGuest(this, this.operandAt(instruction));
        break;
      case OwnInstruction.vmload:
        loadFurther(unit, this.further(instruction));
        break;
      case OwnInstruction.vmsave:
        storeFurther(unit, this.further(instruction));
        unit.mmu.memory.written(this.furtherAt, 0x690);
        break;
      default:
        this.setGlobalFlag(which === OwnInstruction.stgi);
    }
    return Answer.completed;
  }

  private furtherAt = 0;
  private readonly other: Vmcb = new Vmcb();

  /** VMLOAD's or VMSAVE's VMCB. */
  private further(instruction: Instruction): Vmcb {
    this.furtherAt = this.operandAt(instruction);
    return this.other.place(this.unit.mmu.memory.words, this.furtherAt);
  }

  /** rAX by the address size. */
  private operandAt({ addressSize }: Instruction): number {
    const { state, mmu } = this.unit;
    const full = state.low('gpr', rax);
    const low = addressSize === 16 ? full & 0xffff : full;
    const high = addressSize === 64 ? state.high('gpr', rax) : 0;
    const { physicalBits } = this.capabilities;
    const isBeyond = (high & (-1 << (physicalBits - 32))) !== 0;
    const offset = isBeyond ? -1 : mmu.memory.writableOffsetOf((high >>> 0) * 0x10_0000 + (low >>> 12));
    // Where no RAM is, nothing can be kept: as if the address did not exist.
    if ((low & 0xfff) !== 0 || offset < 0) throw guestFault(generalProtectionVector, 0);
    return offset;
  }

  /** INVLPGA: the page of rAX in the ASID of ECX, global or not (S4-67). */
  private invalidate({ addressSize }: Instruction): number {
    const { unit, exit, controls } = this;
    const { state, mmu } = unit;
    const low = addressSize === 16 ? state.low('gpr', rax) & 0xffff : state.low('gpr', rax);
    const high = addressSize === 64 ? state.high('gpr', rax) : 0;
    if (controls.isGuest && (this.view().low(at.intercept1) & Intercept1.invlpga) !== 0) {
      exit.setInstruction(ExitCode.invlpga, unit.nextLow, unit.nextHigh);
      if (this.features.decodeAssists) {
        exit.info1Low = low;
        exit.info1High = high;
      }
      return Answer.exit;
    }
    mmu.servePending();
    mmu.tlb.invlpga(state.low('gpr', rcx) >>> 0, low, high);
    return Answer.completed;
  }

  // Questions about instructions.

  instruction(question: InterceptedInstruction): number {
    if (!this.controls.isGuest) return this.hostInstruction(question);
    const { unit, exit } = this;
    const vmcb = this.view();
    const { what } = question;
    const plain = plainCode(what);
    exit.setInstruction(plain, unit.nextLow, unit.nextHigh);
    if (plain >= 0) return Answer.exit;
    switch (what) {
      case Intercept.controlRead:
      case Intercept.controlWrite:
      case Intercept.pageTableRead:
      case Intercept.pageTableWrite:
        return this.decided(controlRegisterCode(vmcb, question, unit.context.cr0), question);
      case Intercept.taskPriorityRead:
      case Intercept.taskPriorityWrite:
        return this.taskPriority(question);
      case Intercept.debugRegister:
        return this.decided(debugRegisterCode(vmcb, question), question);
      case Intercept.descriptorTable:
        return this.decided(descriptorTableCode(vmcb, question), question);
      case Intercept.msr:
        if (!interceptsMsr(unit.mmu.memory, vmcb, question.number, question.isWrite)) return Answer.continue;
        exit.code = ExitCode.msr;
        exit.info1Low = question.isWrite ? 1 : 0;
        return Answer.exit;
      case Intercept.port:
        if (!interceptsPort(unit.mmu.memory, vmcb, question.number, question.bytes)) return Answer.continue;
        exit.code = ExitCode.ioio;
        exit.info1Low = portInformation(question);
        exit.info2Low = unit.nextLow;
        exit.info2High = unit.nextHigh;
        return Answer.exit;
      case Intercept.pause:
        return this.pause(vmcb);
      case Intercept.processorId:
        // RDPID is of the same class, and not intercepted.
        return this.decided(question.instruction.modrm === 0xf9 ? ExitCode.rdtscp : -1, question);
      case Intercept.invalidatePage:
        exit.code = ExitCode.invlpg;
        this.assist(question.addressLow, question.addressHigh);
        return Answer.exit;
      case Intercept.softwareInterrupt:
        exit.code = ExitCode.swint;
        this.assist(question.number, 0);
        return Answer.exit;
      case Intercept.taskSwitch:
        return this.taskSwitch(question);
      default:
        return Answer.continue;
    }
  }

  /** EXITINFO1 of processors with decode assists (15.9 to 15.12). */
  private assist(low: number, high: number): void {
    if (!this.features.decodeAssists) return;
    this.exit.info1Low = low;
    this.exit.info1High = high;
  }

  /** @param code -1: it is not intercepted */
  private decided(code: number, { what, kind, instruction }: InterceptedInstruction): number {
    if (code < 0) return Answer.continue;
    this.exit.code = code;
    const isControl = code < ExitCode.drRead || code === ExitCode.cr0SelectiveWrite;
    // MOV to and from CR: bit 63 and the register; CLTS, LMSW, SMSW: nothing. MOV DR: the register.
    if (isControl && kind <= 1) this.assist(instruction.rm & 15, -0x8000_0000);
    else if (what === Intercept.debugRegister) this.assist(instruction.rm & 15, 0);
    return Answer.exit;
  }

  /** CR8: intercepted, or with V_INTR_MASKING V_TPR in its place. */
  private taskPriority(question: InterceptedInstruction): number {
    const { isWrite } = question;
    const code = controlRegisterCode(this.view(), question, 0);
    if (code >= 0) return this.decided(code, question);
    if ((this.virtual & VirtualInterrupt.masking) === 0) return Answer.continue;
    if (!isWrite) {
      question.valueLow = this.virtual & 15;
      question.valueHigh = 0;
      return Answer.completed;
    }
    if (question.valueHigh !== 0 || (question.valueLow & ~15) !== 0)
      throw guestFault(generalProtectionVector, 0);
    this.virtual = (this.virtual & ~VirtualInterrupt.taskPriority) | question.valueLow;
    this.offerVirtualInterrupt();
    return Answer.completed;
  }

  private pause(vmcb: Vmcb): number {
    const { features, unit, time } = this;
    if (features.pauseFilter) {
      unit.time.tsc(time);
      if (!this.pauses.exceeds(vmcb, time[0], features.pauseThreshold)) return Answer.continue;
    }
    this.exit.code = ExitCode.pause;
    return Answer.exit;
  }

  /** 15.14.1. */
  private taskSwitch({ number, kind }: InterceptedInstruction): number {
    const { unit, exit } = this;
    exit.set(ExitCode.taskSwitch);
    exit.info1Low = number;
    const { delivery, state } = unit;
    const isEvent = delivery.stage !== 0;
    if (isEvent && delivery.errorCode >= 0) {
      exit.info2Low = delivery.errorCode;
      exit.info2High |= 1 << 12;
    }
    // Bit 36: IRET, bit 38: far JMP.
    if (kind === TaskSwitchSource.iret) exit.info2High |= 1 << 4;
    if (kind === TaskSwitchSource.jump) exit.info2High |= 1 << 6;
    // Bit 48: RF as it would be saved.
    if (((state.get('systemFlags') | (isEvent ? delivery.resumeFlag : 0)) & 0x1_0000) !== 0)
      exit.info2High |= 1 << 16;
    return Answer.exit;
  }

  /** EFER outside guests, see `controlsChanged`. */
  private hostInstruction({ what, number, isWrite, valueLow }: InterceptedInstruction): number {
    if (what !== Intercept.msr || number !== efer || !isWrite) return Answer.continue;
    const enables = (valueLow & svme) !== 0;
    if (enables && (this.msrs.vmCr & VmCr.disable) !== 0) throw guestFault(generalProtectionVector, 0);
    if (!enables && !this.isOpen) this.setGlobalFlag(true);
    return Answer.continue;
  }

  // Questions about events.

  exception({
    vector,
    type,
    errorCode,
    payloadLow,
    payloadHigh,
    instructionLength,
  }: RaisedException): number {
    const { unit, exit } = this;
    const vmcb = this.view();
    const isTrapInstruction = type === EventType.privilegedSoftwareException;
    const hasIcebp = isTrapInstruction && (vmcb.low(at.intercept2) & Intercept2.icebp) !== 0;
    if (!hasIcebp && ((vmcb.low(at.interceptExceptions) >>> vector) & 1) === 0) return Answer.continue;
    exit.set(hasIcebp ? ExitCode.icebp : ExitCode.exception + vector);
    if (instructionLength !== 0) {
      exit.nextLow = unit.nextLow;
      exit.nextHigh = unit.nextHigh;
    }
    if (errorCode >= 0) exit.info1Low = errorCode;
    if (vector === pageFaultVector) {
      exit.info2Low = payloadLow;
      exit.info2High = payloadHigh;
      exit.takesBytes = (errorCode & 16) === 0;
    } else if (vector === debugVector) exit.debugBits = payloadLow;
    return Answer.exit;
  }

  secondStageFault(out: Translation, access: number): number {
    const { exit } = this;
    exit.set(ExitCode.nestedPageFault);
    exit.info1Low = out.errorCode;
    exit.info1High = out.errorCodeHigh;
    const { guestPage } = out;
    exit.info2Low = (guestPage << 12) | out.guestOffset;
    exit.info2High = Math.floor(guestPage / 0x10_0000);
    exit.takesBytes = (access & Access.execute) === 0;
    return Answer.exit;
  }

  event(source: number): number {
    const { unit, controls, exit } = this;
    const first = controls.isGuest ? this.view().low(at.intercept1) : 0;
    // The event itself stays pending: the host gets it once GIF is 1.
    if (source === EventSource.nmi) exit.set(ExitCode.nmi);
    else if (source === EventSource.smi) exit.set(ExitCode.smi);
    else if (source === EventSource.init && (first & Intercept1.init) !== 0) exit.set(ExitCode.init);
    else if (source === EventSource.init) return this.redirectInit(unit);
    else return Answer.continue;
    return Answer.exit;
  }

  /** VM_CR.R_INIT: INIT becomes #SX with error code 1 (15.28, S2-12). */
  private redirectInit(unit: VirtualizationUnit): number {
    const { controls, exit } = this;
    if (controls.isGuest && ((this.view().low(at.interceptExceptions) >>> securityVector) & 1) !== 0) {
      unit.events.pending &= ~EventSource.init;
      exit.set(ExitCode.exception + securityVector).info1Low = 1;
      return Answer.exit;
    }
    unit.events.inject({
      vector: securityVector,
      type: EventType.hardwareException,
      errorCode: 1,
      instructionLength: 0,
    });
    return Answer.completed;
  }

  interrupt(): number {
    this.exit.set(ExitCode.intr);
    return InterruptAnswer.exit;
  }

  acknowledged(): number {
    return Answer.continue;
  }

  /** @internal Latches V_IRQ while its priority lets it pass, or takes it back (15.21.4). */
  offerVirtualInterrupt(): void {
    const { virtual, unit } = this;
    const priority = (virtual >>> 16) & 15;
    const passes = (virtual & VirtualInterrupt.ignoreTaskPriority) !== 0 || priority > (virtual & 15);
    if ((virtual & VirtualInterrupt.request) !== 0 && passes)
      unit.events.pending |= EventSource.virtualInterrupt;
    else unit.events.pending &= ~EventSource.virtualInterrupt;
  }

  virtualInterrupt(): number {
    const vmcb = this.view();
    if ((vmcb.low(at.intercept1) & Intercept1.vintr) !== 0) {
      this.exit.set(ExitCode.vintr);
      return -1;
    }
    this.virtual &= ~VirtualInterrupt.request;
    this.offerVirtualInterrupt();
    return vmcb.low(at.virtualVector) & 0xff;
  }

  shutdown(): number {
    if ((this.view().low(at.intercept1) & Intercept1.shutdown) === 0) return Answer.continue;
    this.exit.set(ExitCode.shutdown);
    return Answer.exit;
  }

  save(): SvmState {
    return saveSvm(this);
  }

  /** @throws SvmSnapshotError */
  restore(saved: SvmState): void {
    restoreSvm(this, saved);
  }

  leave(): void {
    const { code } = this.exit;
    this.exits.set(code, (this.exits.get(code) ?? 0) + 1);
    leaveGuest(this);
  }

  // No AVIC: no access is a virtual APIC's.

  apicAccess(_access: ApicAccess): number {
    return Answer.continue;
  }

  readApic(): number {
    return 0;
  }

  writeApic(): void {}
}
