import type { Clock, Timer } from '../clock.ts';
import type { InterruptLine } from '../interrupt-line.ts';
import type { MmioHandler } from '../pci/ports.ts';
import { SnapshotMismatchError } from '../snapshot-mismatch.ts';
import { requireVersion } from '../snapshot-version.ts';
import { Capabilities, Configuration, Register, TimerRegister, timerStride } from './registers.ts';
import type { HpetState } from './state.ts';
import { HpetTimer } from './timer.ts';

export interface HpetPorts {
  readonly clock: Clock;
  /** Where IRQ 0 goes: input 0 of the 8259s, and the I/O APIC's input for it. */
  readonly irq0: InterruptLine;
  /** Where IRQ 8 goes. */
  readonly irq8: InterruptLine;
  /** An input of the I/O APIC out of {@link HpetOptions.routes}. */
  route(input: number): InterruptLine;
}

export interface HpetOptions {
  /** 3 to 32. Default 3. */
  readonly timers?: number;
  /** I/O APIC inputs that timers can be routed to, a bit for each. Default inputs 20 to 23. */
  readonly routes?: number;
}

/** Femtoseconds of a tick: 10 MHz, the least that the specification allows, and exact in nanoseconds. */
const period = 100_000_000;
const tickNanoseconds = 100;
/** Two interrupts of one timer come no closer: 10 µs, in ticks. A faster timer's are taken together. */
const shortestInterval = 100;
const two32 = 2 ** 32;

/** The High Precision Event Timer: 1 KiB of MMIO, at FED00000h in PCs. Without messages in place of interrupts (FSB). */
export class Hpet implements MmioHandler {
  /** What the 8254's OUT 0 goes through: with legacy replacement, timer 0 takes its place. */
  readonly pit: InterruptLine = { set: (level) => this.setLegacy(0, level) };
  /** What the RTC's interrupt goes through: with legacy replacement, timer 1 takes its place. */
  readonly rtc: InterruptLine = { set: (level) => this.setLegacy(1, level) };
  private readonly timers: readonly HpetTimer[];
  private readonly wakes: readonly Timer[];
  /** The line that each level-triggered timer holds up. */
  private readonly held: (InterruptLine | undefined)[];
  private readonly routes: number;
  private readonly legacyLevels = [false, false];
  private configuration = 0;
  private status = 0;
  private counterLow = 0;
  private counterHigh = 0;
  private start = 0;

  /** @throws RangeError */
  constructor(
    private readonly ports: HpetPorts,
    { timers = 3, routes = 0x00f0_0000 }: HpetOptions = {},
  ) {
    if (!Number.isInteger(timers) || timers < 3 || timers > 32)
      throw new RangeError(`${timers} HPET timers: 3 to 32 are allowed`);
    this.routes = routes | 0;
    this.timers = Array.from({ length: timers }, () => new HpetTimer());
    this.held = this.timers.map(() => undefined);
    this.wakes = this.timers.map((_, index) => ports.clock.timer(() => this.settle(index)));
  }

  /** @param offset 0 to 3FFh @param size 1, 2 or 4, within an aligned 4 bytes */
  read(offset: number, size: number): number {
    const value = this.readHalf(offset & 0x3fc);
    if (size === 4) return value >>> 0;
    return (value >>> (8 * (offset & 3))) & (size === 2 ? 0xffff : 0xff);
  }

  /** @param offset 0 to 3FFh @param size what is less than 4 or not aligned is ignored: the specification leaves it open */
  write(offset: number, size: number, value: number): void {
    if (size !== 4 || (offset & 3) !== 0) return;
    const isHigh = (offset & 4) !== 0;
    const register = offset & 0x3f8;
    if (register >= Register.timers) this.writeTimer(register - Register.timers, isHigh, value | 0);
    else if (register === Register.mainCounter) this.setCounter(isHigh, value | 0);
    else if (isHigh) return;
    else if (register === Register.configuration) this.configure(value);
    else if (register === Register.interruptStatus) this.clearStatus(value);
  }

  reset(): void {
    const initial = new HpetTimer().save();
    for (const timer of this.timers) timer.restore(initial);
    this.status = 0;
    this.counterLow = 0;
    this.counterHigh = 0;
    this.configuration &= ~Configuration.enable;
    this.configure(0);
  }

  save(): HpetState {
    const { configuration, status, counterLow, counterHigh, start } = this;
    const [pit, rtc] = this.legacyLevels;
    const timers = this.timers.map((timer) => timer.save());
    return { version: 1, configuration, status, counterLow, counterHigh, start, timers, pit, rtc };
  }

  /** The clock must stand where it stood, the number of timers be the same. @throws SnapshotVersionError, SnapshotMismatchError */
  restore(state: HpetState): void {
    requireVersion('HPET', state, 1);
    if (state.timers.length !== this.timers.length)
      throw new SnapshotMismatchError(
        `HPET: snapshot with ${state.timers.length} timers; here are ${this.timers.length}`,
      );
    this.configuration = state.configuration;
    this.status = state.status;
    this.counterLow = state.counterLow;
    this.counterHigh = state.counterHigh;
    this.start = state.start;
    this.legacyLevels[0] = state.pit;
    this.legacyLevels[1] = state.rtc;
    this.timers.forEach((timer, index) => {
      timer.restore(state.timers[index]);
    });
    this.passLegacy();
    this.refresh();
  }

  private get isEnabled(): boolean {
    return (this.configuration & Configuration.enable) !== 0;
  }

  private get replacesLegacy(): boolean {
    return (this.configuration & Configuration.legacyReplacement) !== 0;
  }

  private tick(): number {
    return Math.floor(this.ports.clock.now / tickNanoseconds);
  }

  /** The main counter's low half. */
  private low(tick: number): number {
    return this.isEnabled ? (this.counterLow + ((tick - this.start) % two32)) | 0 : this.counterLow;
  }

  /** The main counter's high half. */
  private high(tick: number): number {
    if (!this.isEnabled) return this.counterHigh;
    const elapsed = tick - this.start;
    const carry = (this.counterLow >>> 0) + (elapsed % two32) >= two32 ? 1 : 0;
    return (this.counterHigh + Math.floor(elapsed / two32) + carry) | 0;
  }

  private readHalf(offset: number): number {
    const isHigh = (offset & 4) !== 0;
    const register = offset & 0x3f8;
    if (register >= Register.timers) return this.readTimer(register - Register.timers, isHigh);
    switch (register) {
      case Register.mainCounter:
        return isHigh ? this.high(this.tick()) : this.low(this.tick());
      case Register.capabilities:
        return isHigh
          ? period
          : Capabilities.revision |
              ((this.timers.length - 1) << Capabilities.lastTimerShift) |
              Capabilities.counter64 |
              Capabilities.legacyReplacement |
              Capabilities.vendor;
      case Register.configuration:
        return isHigh ? 0 : this.configuration;
      case Register.interruptStatus:
        this.settleAll();
        return isHigh ? 0 : this.status;
      default:
        return 0;
    }
  }

  private readTimer(offset: number, isHigh: boolean): number {
    const index = Math.floor(offset / timerStride);
    const timer = this.timers[index];
    if (timer === undefined) return 0;
    const register = offset % timerStride;
    if (register === TimerRegister.configuration) return isHigh ? this.routes : timer.configuration;
    if (register !== TimerRegister.comparator) return 0;
    this.settle(index);
    return timer.comparator(isHigh);
  }

  private writeTimer(offset: number, isHigh: boolean, value: number): void {
    const index = Math.floor(offset / timerStride);
    const timer = this.timers[index];
    const register = offset % timerStride;
    if (timer === undefined) return;
    this.settle(index);
    if (register === TimerRegister.configuration && !isHigh) {
      const before = timer.configuration;
      timer.configure(value);
      // What only lets the interrupt through does not make the same match count again.
      if (((before ^ timer.configuration) & ~0x3e46) !== 0) this.arm(timer);
    } else if (register === TimerRegister.comparator) {
      timer.setComparator(isHigh, value);
      this.arm(timer);
    }
    this.update(index);
  }

  private arm(timer: HpetTimer): void {
    const tick = this.tick();
    if (this.isEnabled) timer.arm(tick, this.low(tick), this.high(tick));
    else timer.due = Infinity;
  }

  private configure(value: number): void {
    this.settleAll();
    const tick = this.tick();
    const low = this.low(tick);
    const high = this.high(tick);
    const changed = this.configuration ^ value;
    this.configuration = value & (Configuration.enable | Configuration.legacyReplacement);
    if ((changed & Configuration.enable) !== 0) {
      this.counterLow = low;
      this.counterHigh = high;
      this.start = tick;
      for (const timer of this.timers) this.arm(timer);
    }
    if ((changed & Configuration.legacyReplacement) !== 0) this.passLegacy();
    this.refresh();
  }

  private setCounter(isHigh: boolean, value: number): void {
    this.settleAll();
    const tick = this.tick();
    this.counterLow = this.low(tick);
    this.counterHigh = this.high(tick);
    this.start = tick;
    if (isHigh) this.counterHigh = value;
    else this.counterLow = value;
    for (const timer of this.timers) this.arm(timer);
    this.refresh();
  }

  private clearStatus(value: number): void {
    this.settleAll();
    this.status &= ~value;
    this.refresh();
  }

  private settleAll(): void {
    for (let index = 0; index < this.timers.length; index++) this.settle(index);
  }

  private refresh(): void {
    for (let index = 0; index < this.timers.length; index++) this.update(index);
  }

  /** Passes the matches of a timer up to now. */
  private settle(index: number): void {
    const timer = this.timers[index];
    const tick = this.tick();
    if (tick < timer.due) return;
    timer.pass(tick);
    timer.quietUntil = tick + shortestInterval;
    if (timer.isLevel) this.status |= 1 << index;
    else if (timer.interrupts) {
      const line = this.lineOf(index);
      line?.set(true);
      line?.set(false);
    }
    this.update(index);
  }

  /** Sets a timer's line, and when it is to be looked at again. */
  private update(index: number): void {
    const timer = this.timers[index];
    const isActive = ((this.status >> index) & 1) !== 0;
    const line = timer.isLevel && timer.interrupts && isActive ? this.lineOf(index) : undefined;
    const held = this.held[index];
    if (held !== line) {
      held?.set(false);
      line?.set(true);
      this.held[index] = line;
    }
    // A line that is up already has nothing to wait for.
    const at = timer.interrupts && line === undefined ? timer.nextInterrupt : Infinity;
    if (at === Infinity) this.wakes[index].clear();
    else this.wakes[index].set(at * tickNanoseconds);
  }

  private lineOf(index: number): InterruptLine | undefined {
    if (this.replacesLegacy && index < 2) return index === 0 ? this.ports.irq0 : this.ports.irq8;
    const { route } = this.timers[index];
    return ((this.routes >>> route) & 1) !== 0 ? this.ports.route(route) : undefined;
  }

  private setLegacy(index: number, level: boolean): void {
    this.legacyLevels[index] = level;
    if (!this.replacesLegacy) (index === 0 ? this.ports.irq0 : this.ports.irq8).set(level);
  }

  /** Legacy replacement was switched: the lines follow 8254 and RTC, or nobody. */
  private passLegacy(): void {
    const isTheirs = !this.replacesLegacy;
    this.ports.irq0.set(isTheirs && this.legacyLevels[0]);
    this.ports.irq8.set(isTheirs && this.legacyLevels[1]);
  }
}
