/** Where guest time comes from: see `ScheduledTime`. */
export interface TimeBase {
  /** Nanoseconds; never goes back. */
  readonly now: number;
  /** 2 to this power of instructions take a nanosecond while a processor runs. */
  readonly tickShift: number;
  /** Goes on from `now`. */
  restore(now: number): void;
}

/** Counts instructions: while one runs, its retired count tells how far it is. */
export interface RunningProcessor {
  readonly retired: number;
}

/** One nanosecond for each retired instruction of whichever processor runs: the same in every run. */
export class InstructionTime implements TimeBase {
  readonly tickShift: number = 0;
  readonly isReal: boolean = false;
  private base = 0;
  private running: RunningProcessor | undefined;
  private retiredAtStart = 0;

  get now(): number {
    const { running } = this;
    return running === undefined ? this.base : this.base + (running.retired - this.retiredAtStart);
  }

  begin(processor: RunningProcessor): void {
    this.running = processor;
    this.retiredAtStart = processor.retired;
  }

  end(): void {
    this.base = this.now;
    this.running = undefined;
  }

  /** Nobody runs until `at`. */
  skipTo(at: number): void {
    if (at > this.base) this.base = at;
  }

  instructionsIn(nanoseconds: number): number {
    return Math.ceil(nanoseconds);
  }

  restore(now: number): void {
    this.base = now;
    this.running = undefined;
  }
}

/**
 * The host's time, from the moment this is made. While a processor runs, time goes on by its instructions, so that nobody has to ask the host: a nanosecond
 * for each, or for eight where they are so fast that time would run away from the host's. It is set right when the next turn begins, and never goes back.
 */
export class HostTime implements TimeBase {
  readonly isReal: boolean = true;
  private start: number;
  private base = 0;
  private running: RunningProcessor | undefined;
  private retiredAtStart = 0;
  /** The host's time when the turn began. */
  private begun = 0;
  /** Instructions in a nanosecond, as the last turns had it. */
  private rate: number = 0.1;
  tickShift: number = 0;

  /** @param host milliseconds of a clock that never goes back, with fractions */
  constructor(private readonly host: () => number) {
    this.start = host();
  }

  get now(): number {
    const { running } = this;
    return running === undefined
      ? Math.max(this.base, this.elapsed())
      : this.base + (running.retired - this.retiredAtStart) / 2 ** this.tickShift;
  }

  skipTo(): void {}

  begin(processor: RunningProcessor): void {
    this.begun = this.elapsed();
    this.base = Math.max(this.base, this.begun);
    this.retiredAtStart = processor.retired;
    this.running = processor;
    this.tickShift = this.rate > fast ? shiftWhenFast : 0;
  }

  end(): void {
    const { running } = this;
    if (running === undefined) return;
    const retired = running.retired - this.retiredAtStart;
    this.base += retired / 2 ** this.tickShift;
    this.running = undefined;
    const passed = this.elapsed() - this.begun;
    if (passed >= shortest)
      this.rate = Math.min(Math.max((this.rate * 3 + retired / passed) / 4, slowest), fastest);
  }

  instructionsIn(nanoseconds: number): number {
    return Math.max(fewest, Math.ceil(nanoseconds * this.rate));
  }

  restore(now: number): void {
    this.base = now;
    this.start = this.host() - now / 1e6;
    this.running = undefined;
  }

  private elapsed(): number {
    return Math.floor((this.host() - this.start) * 1e6);
  }
}

/** Nanoseconds of a turn that says something about speed, and instructions in a nanosecond that are believed. */
const shortest = 10_000;
const slowest = 0.02;
const fastest = 8;
/** From this rate on a nanosecond is 8 instructions. */
const fast = 0.6;
const shiftWhenFast = 3;
/**
 * Instructions of the shortest turn. A host that is busy with other things looks slow; turns cut to that speed would spend what is left of it on their own
 * costs, look slower still, and leave a guest nothing but its timer's interrupts. A timer may be late by this much instead.
 */
const fewest = 2000;

class MachineTimer {
  due: number = Number.POSITIVE_INFINITY;

  constructor(
    private readonly clock: MachineClock,
    readonly expired: () => void,
  ) {}

  set(at: number): void {
    if (Number.isNaN(at)) return;
    this.due = at;
    this.clock.changed(at);
  }

  clear(): void {
    this.due = Number.POSITIVE_INFINITY;
    this.clock.cleared();
  }
}

/** Timers that fire in one pass; a device that sets its own anew and at once has its turn in the next. */
const mostInOnePass = 1000;

export interface MachineClockState {
  readonly version: 1;
  /** Nanoseconds. */
  readonly now: number;
}

/** Guest time and what waits for it. Devices fit it by shape: `Clock` of `@nest86/devices` and `@nest86/apic`. */
export class MachineClock {
  private readonly timers: MachineTimer[] = [];
  private next = Number.POSITIVE_INFINITY;

  /** @param becameDue told when a timer was set that may be due before what was due so far */
  constructor(
    readonly time: TimeBase,
    private readonly becameDue: () => void,
  ) {}

  get now(): number {
    return this.time.now;
  }

  save(): MachineClockState {
    return { version: 1, now: this.now };
  }

  /** Time goes on from where it was saved. No timer is set then: devices that are restored set theirs. */
  restore({ now }: MachineClockState): void {
    this.time.restore(now);
    for (const timer of this.timers) timer.due = Number.POSITIVE_INFINITY;
    this.cleared();
  }

  get tickShift(): number {
    return this.time.tickShift;
  }

  /** Of two that are due at the same time, the one that was made first fires first. */
  timer(expired: () => void): MachineTimer {
    const timer = new MachineTimer(this, expired);
    this.timers.push(timer);
    return timer;
  }

  /** When the next timer is due, or infinity. */
  get nextDue(): number {
    return this.next;
  }

  /** Calls back what is due. */
  fire(): void {
    const { now } = this;
    for (let fired = 0; fired < mostInOnePass && this.next <= now; fired++) {
      let first: MachineTimer | undefined;
      for (const timer of this.timers)
        if (timer.due <= now && (first === undefined || timer.due < first.due)) first = timer;
      if (first === undefined) break;
      first.due = Number.POSITIVE_INFINITY;
      this.cleared();
      first.expired();
    }
  }

  /** @internal */
  changed(at: number): void {
    const before = this.next;
    this.cleared();
    if (at < before) this.becameDue();
  }

  /** @internal */
  cleared(): void {
    let next = Number.POSITIVE_INFINITY;
    for (const { due } of this.timers) if (due < next) next = due;
    this.next = next;
  }
}
