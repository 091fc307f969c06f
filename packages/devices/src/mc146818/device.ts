import type { Clock, Timer } from '../clock.ts';
import type { InterruptLine } from '../interrupt-line.ts';
import type { BytePorts } from '../port-map.ts';
import { requireVersion } from '../snapshot-version.ts';
import { dayOfWeekOffset, nextAlarm, secondsOf, setTimeBytes } from './calendar.ts';
import { Index, nmiMask, RegisterA, RegisterB, RegisterC, validRamAndTime } from './registers.ts';
import type { Mc146818State } from './state.ts';

export interface Mc146818Ports {
  readonly clock: Clock;
  /** Asked once, when the clock is made: milliseconds since 1970 (UTC). From then on it goes with `clock`. */
  readonly wallClock: () => number;
  /** IRQ 8. */
  readonly interrupt: InterruptLine;
}

const second = 1e9;
/** UIP is set 244 µs before an update, which takes 1,984 µs (data sheet, table 6). Here the update ends with the second. */
const updateInProgress = 244_000 + 1_984_000;
/** The first update comes half a second after the divider is released. */
const firstUpdate = 5e8;
const flagBits = RegisterC.periodic | RegisterC.alarm | RegisterC.updateEnded;

/** The MC146818A clock of a PC with its 128 bytes of CMOS RAM. Port 70h is offset 0, 71h offset 1. */
export class Mc146818 implements BytePorts {
  private readonly bytes = new Uint8Array(128);
  private readonly timer: Timer;
  private index = 0;
  private base = 0;
  private phase = 0;
  private dayOfWeekOffset = 0;
  private flags = 0;
  private settled = 0;

  constructor(private readonly ports: Mc146818Ports) {
    this.timer = ports.clock.timer(() => this.update());
    const { now } = ports.clock;
    const milliseconds = ports.wallClock();
    this.base = Math.floor(milliseconds / 1000);
    this.phase = now - (milliseconds - this.base * 1000) * 1e6;
    this.settled = now;
    this.bytes[Index.a] = RegisterA.running | 6;
    this.bytes[Index.b] = RegisterB.hours24;
  }

  /** Bit 7 of port 70h: NMIs are held back. */
  get masksNmi(): boolean {
    return (this.index & nmiMask) !== 0;
  }

  /** What firmware leaves in the RAM for the operating system. @param index 0Eh to 7Fh @throws RangeError */
  store(index: number, value: number): void {
    if (!Number.isInteger(index) || index < 0x0e || index > 0x7f)
      throw new RangeError(`CMOS byte ${index}: 14 to 127 are allowed`);
    this.writeRegister(index, value & 0xff);
  }

  /** A byte of the RAM, as firmware reads it. @param index 0Eh to 7Fh */
  stored(index: number): number {
    return this.bytes[index];
  }

  /** @param offset 0 or 1 */
  read(offset: number): number {
    return (offset & 1) === 0 ? 0xff : this.readRegister(this.index & 0x7f);
  }

  /** @param offset 0 or 1 */
  write(offset: number, value: number): void {
    if ((offset & 1) === 0) this.index = value & 0xff;
    else this.writeRegister(this.index & 0x7f, value & 0xff);
  }

  /** RESET# reaches only interrupts: time and RAM stay. */
  reset(): void {
    this.settle();
    this.index = 0;
    this.flags = 0;
    this.bytes[Index.b] &= ~(
      RegisterB.periodicInterrupt |
      RegisterB.alarmInterrupt |
      RegisterB.updateInterrupt
    );
    this.update();
  }

  save(): Mc146818State {
    this.settle();
    const { index, base, phase, flags, settled } = this;
    const bytes = [...this.bytes];
    return { version: 1, index, bytes, base, phase, dayOfWeekOffset: this.dayOfWeekOffset, flags, settled };
  }

  /** The clock must stand where it stood. @throws SnapshotVersionError */
  restore(state: Mc146818State): void {
    requireVersion('mc146818', state, 1);
    this.index = state.index;
    this.bytes.set(state.bytes);
    this.base = state.base;
    this.phase = state.phase;
    this.dayOfWeekOffset = state.dayOfWeekOffset;
    this.flags = state.flags;
    this.settled = state.settled;
    this.update();
  }

  private get divides(): boolean {
    return (this.bytes[Index.a] & RegisterA.divider) === RegisterA.running;
  }

  /** Whether time goes on; else the bytes are what the guest has written. */
  private get runs(): boolean {
    return this.divides && (this.bytes[Index.b] & RegisterB.set) === 0;
  }

  /** Nanoseconds between periodic interrupts, or 0 (data sheet, table 5; 32,768 Hz). */
  private get period(): number {
    const rate = this.bytes[Index.a] & RegisterA.rate;
    return rate === 0 || !this.divides ? 0 : (second / 32768) * 2 ** ((rate < 3 ? rate + 7 : rate) - 1);
  }

  /** Seconds since 1970, while the clock runs. */
  private secondsAt(now: number): number {
    return this.base + Math.floor((now - this.phase) / second);
  }

  private readRegister(index: number): number {
    const { bytes } = this;
    switch (index) {
      case Index.a: {
        const untilSecond = second - positiveRest(this.ports.clock.now - this.phase, second);
        return bytes[index] | (this.runs && untilSecond <= updateInProgress ? RegisterA.updateInProgress : 0);
      }
      case Index.c: {
        this.settle();
        const enabled = this.flags & bytes[Index.b] & flagBits;
        const value = this.flags | (enabled !== 0 ? RegisterC.request : 0);
        this.flags = 0;
        this.update();
        return value;
      }
      case Index.d:
        return validRamAndTime;
      default:
        if (isTime(index)) this.showTime();
        return bytes[index];
    }
  }

  private writeRegister(index: number, value: number): void {
    const { bytes } = this;
    this.settle();
    if (index === Index.a || index === Index.b) this.writeControl(index, value);
    else if (index !== Index.c && index !== Index.d) {
      if (isTime(index)) this.showTime();
      bytes[index] = value;
      if (isTime(index) && this.runs) this.takeTime();
    }
    this.update();
  }

  private writeControl(index: number, value: number): void {
    const { bytes } = this;
    this.showTime();
    const ran = this.runs;
    const divided = this.divides;
    if (index === Index.a) bytes[index] = value & ~RegisterA.updateInProgress;
    else bytes[index] = (value & RegisterB.set) !== 0 ? value & ~RegisterB.updateInterrupt : value;
    if (this.divides && !divided) this.phase = this.ports.clock.now - firstUpdate;
    if (this.runs && !ran) this.takeTime();
  }

  /** Writes the time that it is to the bytes. */
  private showTime(): void {
    if (this.runs)
      setTimeBytes(
        this.bytes,
        this.bytes[Index.b],
        this.secondsAt(this.ports.clock.now),
        this.dayOfWeekOffset,
      );
  }

  /** Goes on from what the bytes say. */
  private takeTime(): void {
    const seconds = secondsOf(this.bytes, this.bytes[Index.b]);
    this.dayOfWeekOffset = dayOfWeekOffset(this.bytes, this.bytes[Index.b], seconds);
    this.base += seconds - this.secondsAt(this.ports.clock.now);
  }

  /** Finds what has happened since it was asked last. */
  private settle(): void {
    const { now } = this.ports.clock;
    const from = this.settled - this.phase;
    const to = now - this.phase;
    const { period } = this;
    this.settled = now;
    if (period !== 0 && Math.floor(to / period) > Math.floor(from / period)) this.flags |= RegisterC.periodic;
    if (!this.runs || Math.floor(to / second) <= Math.floor(from / second)) return;
    this.flags |= RegisterC.updateEnded;
    const before = this.base + Math.floor(from / second);
    if (nextAlarm(this.bytes, this.bytes[Index.b], before) <= this.secondsAt(now))
      this.flags |= RegisterC.alarm;
  }

  /** Sets the line, and the timer for when it will rise next. */
  private update(): void {
    this.settle();
    const enabled = this.bytes[Index.b] & flagBits;
    const isRaised = (this.flags & enabled) !== 0;
    this.ports.interrupt.set(isRaised);
    const next = isRaised ? Infinity : this.nextEvent(enabled);
    if (next === Infinity) this.timer.clear();
    // Fractions may be rounded away: what has not come about yet is never asked for in the past.
    else this.timer.set(Math.max(Math.ceil(next), this.settled + 1));
  }

  /** When one of the enabled flags will be set. */
  private nextEvent(enabled: number): number {
    const { period, phase } = this;
    const elapsed = this.settled - phase;
    let next = Infinity;
    if ((enabled & RegisterC.periodic) !== 0 && period !== 0)
      next = phase + (Math.floor(elapsed / period) + 1) * period;
    if (!this.runs) return next;
    if ((enabled & RegisterC.updateEnded) !== 0)
      next = Math.min(next, phase + (Math.floor(elapsed / second) + 1) * second);
    if ((enabled & RegisterC.alarm) !== 0) {
      const alarm = nextAlarm(this.bytes, this.bytes[Index.b], this.secondsAt(this.settled));
      next = Math.min(next, phase + (alarm - this.base) * second);
    }
    return next;
  }
}

/** All to the year but the three alarm bytes, and the century. */
function isTime(index: number): boolean {
  const isAlarm = index < Index.dayOfWeek && (index & 1) !== 0;
  return (index <= Index.year && !isAlarm) || index === Index.century;
}

function positiveRest(value: number, divisor: number): number {
  return ((value % divisor) + divisor) % divisor;
}
