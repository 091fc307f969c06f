import { DeliveryMode } from '../delivery.ts';
import type { InterruptLine } from '../interrupt-line.ts';
import { RegisterPage } from '../page.ts';
import { hasVector } from '../priority.ts';
import { ApicError, Command, Lvt, Register, Spurious, Version } from '../registers.ts';
import { requireVersion } from '../snapshot.ts';
import { ApicMmio, ApicMsrs, ApicTaskPriority } from './access.ts';
import { ApicBaseRegister } from './base.ts';
import { Legality } from './legality.ts';
import type { ApicBus, ApicTarget, ExternalInterrupts, LocalApicParts } from './parts.ts';
import { InterruptQueue } from './queue.ts';
import type { LocalApicState } from './state.ts';
import { ApicTimer } from './timer.ts';

/** Events inside the processor that go through the local vector table; the value is the entry's register. */
export const LocalSource = {
  thermal: 0x330,
  performance: 0x340,
  cmci: 0x2f0,
} as const;

export type LocalSource = (typeof LocalSource)[keyof typeof LocalSource];

/**
 * A local APIC, version 14h, in xAPIC or x2APIC mode (SDM vol. 3, chapter 12). Towards the processor it is where maskable interrupts come
 * from; `mmio`, `msrs` and `taskPriority` are its registers as the three ways to them show them.
 */
export class LocalApic {
  readonly id: number;
  /** The 4-KiB page at `baseAddress`, while `isMmioVisible`. */
  readonly mmio: ApicMmio;
  /** IA32_APIC_BASE, IA32_TSC_DEADLINE and 800h to 8FFh. */
  readonly msrs: ApicMsrs;
  /** CR8. */
  readonly taskPriority: ApicTaskPriority;
  readonly lint0: InterruptLine = { set: (level) => this.setLint0(level) };
  readonly lint1: InterruptLine = { set: (level) => this.setLint1(level) };
  /** @internal */
  readonly page: RegisterPage = new RegisterPage();
  /** @internal */
  readonly timer: ApicTimer;
  /** @internal */
  readonly legality: Legality;

  private readonly bus: ApicBus;
  private readonly target: ApicTarget;
  private readonly external: ExternalInterrupts | undefined;
  private readonly version: number;
  private readonly lvtEntries: readonly number[];
  private readonly base: ApicBaseRegister;
  private readonly queue: InterruptQueue = new InterruptQueue(this.page);

  private errors = 0;
  private extInt = false;
  private lint0Level = false;
  private lint1Level = false;

  private pending = false;
  private externalPending = false;

  constructor(private readonly parts: LocalApicParts) {
    const { id, features = {}, tsc } = parts;
    const { x2apic = true, suppressBroadcast = true, cmci = false, physicalAddressBits = 52 } = features;
    this.id = id;
    this.bus = parts.bus;
    this.target = parts.target;
    this.external = parts.external;
    this.version =
      Version.value |
      ((cmci ? 6 : 5) << Version.maxLvtShift) |
      (suppressBroadcast ? Version.canSuppressBroadcast : 0);
    this.lvtEntries = [
      Register.lvtTimer,
      Register.lvtThermal,
      Register.lvtPerformance,
      Register.lvtLint0,
      Register.lvtLint1,
      Register.lvtError,
      ...(cmci ? [Register.lvtCmci] : []),
    ];
    this.base = new ApicBaseRegister(x2apic, physicalAddressBits);
    this.legality = new Legality({
      hasCmci: cmci,
      hasDeadline: tsc !== undefined,
      canSuppressBroadcast: suppressBroadcast,
    });
    this.timer = new ApicTimer(parts.clock, tsc, () =>
      this.accept(DeliveryMode.fixed, this.timerVector, false),
    );
    this.mmio = new ApicMmio(this);
    this.msrs = new ApicMsrs(this, tsc !== undefined);
    this.taskPriority = new ApicTaskPriority(this);
    this.base.reset(this.parts.isBootstrap);
    this.resetRegisters();
  }

  /** Whether the processor would take an interrupt, if it lets any in. */
  get isPending(): boolean {
    return this.pending;
  }

  /** IA32_APIC_BASE[11]: shown by CPUID.1:EDX[9] too. */
  get isEnabled(): boolean {
    return this.base.isEnabled;
  }

  get isX2apic(): boolean {
    return this.base.isX2apic;
  }

  /** Whether the page at `baseAddress` is the APIC's for its processor; else what lies there is seen. */
  get isMmioVisible(): boolean {
    return this.base.isEnabled && !this.base.isX2apic;
  }

  /** Guest-physical address of the page, a multiple of 4096. */
  get baseAddress(): number {
    return this.base.address;
  }

  /** @internal Processor priority: who has the lowest gets interrupts of lowest priority. */
  get processorPriority(): number {
    return this.queue.priority;
  }

  /** @internal Whether fixed interrupts are accepted. */
  get acceptsFixed(): boolean {
    return this.isEnabled && this.isSoftwareEnabled;
  }

  private get isSoftwareEnabled(): boolean {
    return (this.page.read(Register.spuriousVector) & Spurious.enable) !== 0;
  }

  private get timerVector(): number {
    return this.page.read(Register.lvtTimer) & Lvt.vector;
  }

  /** Takes the interrupt that is delivered now; one of the 8259's comes before the APIC's own. @returns its vector */
  acknowledge(): number {
    const { external, queue } = this;
    if (this.externalPending && external !== undefined) {
      this.extInt = false;
      const vector = external.acknowledge() & 0xff;
      this.updateExternal();
      return vector;
    }
    if (!queue.isDue) return this.page.read(Register.spuriousVector) & 0xff;
    const vector = queue.take();
    this.updatePending();
    return vector;
  }

  /**
   * A message arrives.
   * @param mode {@link DeliveryMode}
   * @returns whether it was accepted
   */
  accept(mode: number, vector: number, isLevel: boolean): boolean {
    if (!this.isEnabled) return false;
    switch (mode) {
      case DeliveryMode.fixed:
      case DeliveryMode.lowestPriority:
        return this.acceptFixed(vector & 0xff, isLevel);
      case DeliveryMode.smi:
        this.target.smi();
        return true;
      case DeliveryMode.nmi:
        this.target.nmi();
        return true;
      case DeliveryMode.init:
        this.target.init();
        return true;
      case DeliveryMode.startUp:
        this.target.startUp(vector & 0xff);
        return true;
      case DeliveryMode.extInt:
        if (!this.isSoftwareEnabled || this.external === undefined) return false;
        this.extInt = true;
        this.updateExternal();
        return true;
      default:
        return false;
    }
  }

  /** @internal Whether a physical destination names this APIC; in xAPIC mode by the id that software may have written. */
  matchesPhysical(destination: number): boolean {
    return this.isX2apic ? this.id === destination : this.page.read(Register.id) >>> 24 === destination;
  }

  /** @internal Whether a logical destination names this APIC: flat or cluster model, or the clusters of x2APIC mode (SDM vol. 3, 12.6.2.2 and 12.12.10.2). */
  matchesLogical(destination: number): boolean {
    const { page } = this;
    const own = page.read(Register.logicalDestination);
    if (this.isX2apic) return own >>> 16 === destination >>> 16 && (own & destination & 0xffff) !== 0;
    if (destination >>> 8 !== 0) return false;
    const logical = own >>> 24;
    switch (page.read(Register.destinationFormat) >>> 28) {
      case 15:
        return (logical & destination) !== 0;
      case 0:
        return logical >> 4 === destination >> 4 && (logical & destination & 15) !== 0;
      default:
        return false;
    }
  }

  /** An event of the processor's that the local vector table turns into an interrupt. An entry of the performance counters masks itself. */
  raise(source: LocalSource): void {
    const entry = this.page.read(source);
    if (!this.isEnabled || !this.lvtEntries.includes(source) || (entry & Lvt.masked) !== 0) return;
    if (source === LocalSource.performance) this.page.write(source, entry | Lvt.masked);
    this.acceptLocal(entry);
  }

  /** The time stamp counter was written, or runs differently: the deadline is another moment. */
  tscChanged(): void {
    this.timer.tscChanged();
  }

  /** RESET and power-up: xAPIC mode at FEE00000h, disabled by software. */
  reset(): void {
    this.base.reset(this.parts.isBootstrap);
    this.resetRegisters();
    this.parts.baseChanged?.();
  }

  /** INIT has been taken: all registers as after reset, but mode, base address and id stay (SDM vol. 3, 12.4.7.3). */
  initialize(): void {
    const { page } = this;
    const id = page.read(Register.id);
    this.resetRegisters();
    page.write(Register.id, id);
  }

  save(): LocalApicState {
    const { page, base, errors, extInt, lint0Level: lint0, lint1Level: lint1 } = this;
    const registers = [...page.words];
    return {
      version: 1,
      registers,
      baseLow: base.low,
      baseHigh: base.high,
      errors,
      extInt,
      lint0,
      lint1,
      timer: this.timer.save(),
    };
  }

  /** @throws ApicSnapshotError for snapshots of other versions */
  restore(state: LocalApicState): void {
    requireVersion('local APIC', state, 1);
    const { page, base } = this;
    page.words.set(state.registers);
    base.low = state.baseLow;
    base.high = state.baseHigh;
    this.errors = state.errors;
    this.extInt = state.extInt;
    this.lint0Level = state.lint0;
    this.lint1Level = state.lint1;
    const entry = page.read(Register.lvtTimer);
    this.timer.restore(
      state.timer,
      timerMode(entry),
      (entry & Lvt.masked) !== 0,
      page.read(Register.divideConfiguration),
    );
    this.queue.reload();
    this.updateExternal();
    this.parts.baseChanged?.();
  }

  /** @internal */
  readBase(out: Int32Array): void {
    out[0] = this.base.low;
    out[1] = this.base.high;
  }

  /** @internal Write of IA32_APIC_BASE. @returns false for #GP */
  writeBase(low: number, high: number): boolean {
    const { isEnabled, isX2apic } = this;
    if (!this.base.write(low, high)) return false;
    // What was set up is gone once the APIC has been off; from xAPIC to x2APIC mode it stays, but for the identity and ICR's high half.
    if (this.isEnabled !== isEnabled) this.resetRegisters();
    else if (this.isX2apic && !isX2apic) {
      this.writeIdentity();
      this.page.write(Register.commandHigh, 0);
    }
    this.parts.baseChanged?.();
    return true;
  }

  /** @internal Legality has been checked. */
  readRegister(offset: number): number {
    if (offset === Register.currentCount) return this.timer.currentCount | 0;
    if (offset === Register.initialCount) return this.timer.initialCount | 0;
    return this.page.read(offset);
  }

  /** @internal Legality has been checked, and bits that cannot be written are gone; what they hold is kept. */
  writeRegister(offset: number, value: number): void {
    const { page } = this;
    switch (offset) {
      case Register.taskPriority:
        page.write(offset, value);
        this.queue.updatePriority();
        this.updatePending();
        break;
      case Register.endOfInterrupt:
        this.endOfInterrupt();
        break;
      case Register.destinationFormat:
        page.write(offset, value | 0x0fff_ffff);
        break;
      case Register.spuriousVector:
        page.write(offset, value);
        if ((value & Spurious.enable) === 0)
          for (const entry of this.lvtEntries) this.writeLvt(entry, page.read(entry));
        break;
      case Register.errorStatus:
        page.write(offset, this.errors);
        this.errors = 0;
        break;
      case Register.commandLow:
        page.write(offset, value);
        this.sendCommand(value);
        break;
      case Register.initialCount:
        this.timer.start(value >>> 0);
        break;
      case Register.divideConfiguration:
        page.write(offset, value);
        this.timer.setDivide(value);
        break;
      case Register.selfIpi:
        this.selfIpi(value & 0xff);
        break;
      case Register.lvtTimer:
      case Register.lvtThermal:
      case Register.lvtPerformance:
      case Register.lvtLint0:
      case Register.lvtLint1:
      case Register.lvtError:
      case Register.lvtCmci:
        this.writeLvt(offset, value);
        break;
      default:
        page.write(offset, value);
    }
  }

  /** @internal Collects an error for ESR; the first one since its last write raises the interrupt. */
  noteError(error: number): void {
    const isArmed = this.errors === 0;
    this.errors |= error;
    const entry = this.page.read(Register.lvtError);
    // An illegal vector of this very entry is an error too, which cannot be told again.
    if (isArmed && (entry & Lvt.masked) === 0) this.acceptFixed(entry & Lvt.vector, false);
  }

  private resetRegisters(): void {
    const { page } = this;
    page.words.fill(0);
    page.write(Register.version, this.version);
    page.write(Register.destinationFormat, -1);
    page.write(Register.spuriousVector, 0xff);
    for (const entry of this.lvtEntries) page.write(entry, Lvt.masked);
    this.writeIdentity();
    this.timer.reset();
    this.errors = 0;
    this.extInt = false;
    this.queue.reload();
    this.updateExternal();
  }

  private writeIdentity(): void {
    const { page, id } = this;
    if (this.isX2apic) {
      page.write(Register.id, id);
      page.write(Register.logicalDestination, ((id >>> 4) << 16) | (1 << (id & 15)));
    } else page.write(Register.id, id << 24);
  }

  private acceptFixed(vector: number, isLevel: boolean): boolean {
    if (vector < 16) {
      this.noteError(ApicError.receiveIllegalVector);
      return false;
    }
    if (!this.isSoftwareEnabled) return false;
    this.queue.add(vector, isLevel);
    this.updatePending();
    return true;
  }

  /** An interrupt of the local vector table: fixed, SMI, NMI or INIT. */
  private acceptLocal(entry: number): void {
    const mode = (entry & Lvt.deliveryMode) >> 8;
    if (mode !== DeliveryMode.extInt && mode !== DeliveryMode.startUp)
      this.accept(mode, entry & Lvt.vector, false);
  }

  private endOfInterrupt(): void {
    const { page } = this;
    const vector = this.queue.end();
    if (vector < 0) return;
    this.updatePending();
    if (!hasVector(page, Register.triggerMode, vector)) return;
    const lint0 = page.read(Register.lvtLint0);
    if ((lint0 & Lvt.remoteIrr) !== 0 && (lint0 & Lvt.vector) === vector) {
      page.write(Register.lvtLint0, lint0 & ~Lvt.remoteIrr);
      this.lookAtLint0();
    }
    if ((page.read(Register.spuriousVector) & Spurious.suppressBroadcast) === 0)
      this.bus.endOfInterrupt(vector);
  }

  private sendCommand(command: number): void {
    const { isX2apic } = this;
    const mode = (command & Lvt.deliveryMode) >> 8;
    if (mode <= DeliveryMode.lowestPriority && (command & 0xff) < 16) {
      this.noteError(ApicError.sendIllegalVector);
      return;
    }
    // INIT level de-assert synchronized arbitration ids of old; nothing listens to it any more.
    if (mode === DeliveryMode.init && (command & (Command.level | Command.assert)) === Command.level) return;
    const high = this.page.read(Register.commandHigh);
    this.bus.sendIpi(this.id, command, isX2apic ? high >>> 0 : high >>> 24, isX2apic);
  }

  private selfIpi(vector: number): void {
    if (vector < 16) this.noteError(ApicError.sendIllegalVector);
    else this.acceptFixed(vector, false);
  }

  private writeLvt(offset: number, value: number): void {
    const { page } = this;
    const remoteIrr = page.read(offset) & Lvt.remoteIrr;
    const entry = value | (this.isSoftwareEnabled ? 0 : Lvt.masked);
    // Remote IRR belongs to level-triggered fixed interrupts; it falls with them.
    const keeps = (entry & Lvt.level) !== 0 && (entry & Lvt.deliveryMode) === 0;
    page.write(offset, (entry & ~Lvt.remoteIrr) | (keeps ? remoteIrr : 0));
    if (offset === Register.lvtTimer) this.timer.setMode(timerMode(entry), (entry & Lvt.masked) !== 0);
    else if (offset === Register.lvtLint0) {
      this.updateExternal();
      this.lookAtLint0();
    }
  }

  private setLint0(level: boolean): void {
    const isEdge = level && !this.lint0Level;
    this.lint0Level = level;
    this.updateExternal();
    const entry = this.page.read(Register.lvtLint0);
    if (!this.isEnabled || (entry & Lvt.masked) !== 0) return;
    if (isEdge && (entry & (Lvt.level | Lvt.deliveryMode)) !== Lvt.level) this.acceptLocal(entry);
    else this.lookAtLint0();
  }

  private setLint1(level: boolean): void {
    const isEdge = level && !this.lint1Level;
    this.lint1Level = level;
    if (!isEdge) return;
    const entry = this.page.read(Register.lvtLint1);
    // Without APIC the pin is NMI.
    if (!this.isEnabled) this.target.nmi();
    else if ((entry & Lvt.masked) === 0) this.acceptLocal(entry);
  }

  /** A level-triggered fixed interrupt at LINT0 is requested while the pin is high and the last one has ended. */
  private lookAtLint0(): void {
    if (!this.lint0Level || !this.isEnabled) return;
    const { page } = this;
    const entry = page.read(Register.lvtLint0);
    const relevant = Lvt.masked | Lvt.deliveryMode | Lvt.level | Lvt.remoteIrr;
    if ((entry & relevant) !== Lvt.level) return;
    if (this.acceptFixed(entry & Lvt.vector, true)) page.write(Register.lvtLint0, entry | Lvt.remoteIrr);
  }

  /** The 8259 reaches the processor through LINT0 in ExtINT mode, or past a disabled APIC. */
  private updateExternal(): void {
    const entry = this.page.read(Register.lvtLint0);
    const isOpen = !this.isEnabled || (entry & (Lvt.masked | Lvt.deliveryMode)) === DeliveryMode.extInt << 8;
    const isPresent = this.external !== undefined;
    this.externalPending = isPresent && (this.extInt || (isOpen && this.lint0Level));
    this.updatePending();
  }

  private updatePending(): void {
    const { pending } = this;
    this.pending = this.externalPending || this.queue.isDue;
    if (this.pending && !pending) this.target.wake();
  }
}

function timerMode(entry: number): number {
  return (entry >> Lvt.timerModeShift) & 3;
}
