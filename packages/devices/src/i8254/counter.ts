import { ControlWord, CounterAccess, CounterStatus } from './registers.ts';
import type { I8254CounterState } from './state.ts';

/**
 * One counter of an 8254. Counts and output are functions of the tick that is asked for and of what was written when: nothing ticks.
 * A count that is written is loaded with the next tick.
 */
export class I8254Counter {
  private mode = -1;
  private bcd = false;
  private access: number = CounterAccess.both;
  private count = 0;
  private reload = 0;
  private reloadTick = 0;
  private armed = 0;
  private start = 0;
  private held = -1;
  private lowByte = 0;
  private writesHigh = false;
  private readsHigh = false;
  private latchedCount = -1;
  private latchedStatus = -1;

  constructor(private gate: boolean) {}

  /** Values of the counter: 0 stands for as many. */
  private get range(): number {
    return this.bcd ? 10000 : 65536;
  }

  /** The OUT pin; low before the first control word. */
  output(tick: number): boolean {
    this.settle(tick);
    const { mode, count, start } = this;
    if (mode < 0) return false;
    if (count === 0 || tick < start) return mode !== 0;
    const elapsed = this.elapsed(tick);
    switch (mode) {
      case 0:
      case 1:
        return elapsed >= count;
      case 2:
        return this.held >= 0 || elapsed % count !== count - 1;
      case 3:
        return this.held >= 0 || elapsed % count < (count + 1) >> 1;
      default:
        return elapsed !== count;
    }
  }

  /**
   * When OUT rises next without anything being written, or Infinity.
   * @param tick now
   * @param least what is periodic rises after this tick, which is not before `tick`
   */
  nextRise(tick: number, least: number): number {
    this.settle(tick);
    const { mode, count, start } = this;
    if (count === 0 || this.held >= 0) return Infinity;
    if (mode === 2 || mode === 3) {
      const rise = periodicRise(start, count, least);
      return this.reload === 0 || rise <= this.reloadTick
        ? rise
        : periodicRise(this.startOfReload(), this.reload, least);
    }
    const rise = start + count + (mode >= 4 ? 1 : 0);
    return rise > tick ? rise : Infinity;
  }

  writeControl(word: number): void {
    const access = (word >> ControlWord.accessShift) & 3;
    this.access = access;
    const mode = (word >> ControlWord.modeShift) & 7;
    this.mode = mode > 5 ? mode - 4 : mode;
    this.bcd = (word & ControlWord.bcd) !== 0;
    this.count = 0;
    this.reload = 0;
    this.armed = 0;
    this.start = 0;
    this.held = -1;
    this.writesHigh = false;
    this.readsHigh = false;
    this.latchedCount = -1;
    this.latchedStatus = -1;
  }

  latchCount(tick: number): void {
    if (this.latchedCount < 0) this.latchedCount = this.value(tick);
  }

  latchStatus(tick: number): void {
    if (this.latchedStatus >= 0) return;
    const isNull = this.count === 0 || this.reload !== 0 || this.armed !== 0 || this.start > tick;
    this.latchedStatus =
      (this.output(tick) ? CounterStatus.output : 0) |
      (isNull ? CounterStatus.nullCount : 0) |
      (this.access << ControlWord.accessShift) |
      (Math.max(this.mode, 0) << ControlWord.modeShift) |
      (this.bcd ? ControlWord.bcd : 0);
  }

  read(tick: number): number {
    if (this.latchedStatus >= 0) {
      const status = this.latchedStatus;
      this.latchedStatus = -1;
      return status;
    }
    const value = this.latchedCount >= 0 ? this.latchedCount : this.value(tick);
    const isHigh =
      this.access === CounterAccess.high || (this.access === CounterAccess.both && this.readsHigh);
    if (this.access === CounterAccess.both) this.readsHigh = !this.readsHigh;
    if (!this.readsHigh || this.access !== CounterAccess.both) this.latchedCount = -1;
    return isHigh ? value >> 8 : value & 0xff;
  }

  write(byte: number, tick: number): void {
    if (this.mode < 0) return;
    this.settle(tick);
    if (this.access === CounterAccess.low) this.load(byte, tick);
    else if (this.access === CounterAccess.high) this.load(byte << 8, tick);
    else if (this.writesHigh) {
      this.writesHigh = false;
      this.load(this.lowByte | (byte << 8), tick);
    } else {
      this.lowByte = byte;
      this.writesHigh = true;
      // The first of two bytes stops the counter in mode 0, and OUT falls.
      if (this.mode === 0) this.count = 0;
    }
  }

  /** The GATE input. */
  setGate(level: boolean, tick: number): void {
    if (level === this.gate) return;
    this.settle(tick);
    this.gate = level;
    const { mode } = this;
    if (mode === 1 || mode === 5) {
      if (level && (this.armed !== 0 || this.count !== 0)) this.trigger(tick);
    } else if (this.count === 0) return;
    else if (!level) this.held = Math.max(0, tick - this.start);
    else if (mode === 0 || mode === 4) {
      this.start = tick - this.held;
      this.held = -1;
    } else {
      // Modes 2 and 3 begin anew.
      if (this.reload !== 0) this.count = this.reload;
      this.reload = 0;
      this.start = tick + 1;
      this.held = -1;
    }
  }

  save(tick: number): I8254CounterState {
    this.settle(tick);
    const { mode, bcd, access, gate, count, reload, reloadTick, armed, start, held } = this;
    const { lowByte, writesHigh, readsHigh, latchedCount, latchedStatus } = this;
    return {
      ...{ mode, bcd, access, gate, count, reload, reloadTick, armed, start, held },
      ...{ lowByte, writesHigh, readsHigh, latchedCount, latchedStatus },
    };
  }

  restore(state: I8254CounterState): void {
    this.mode = state.mode;
    this.bcd = state.bcd;
    this.access = state.access;
    this.gate = state.gate;
    this.count = state.count;
    this.reload = state.reload;
    this.reloadTick = state.reloadTick;
    this.armed = state.armed;
    this.start = state.start;
    this.held = state.held;
    this.lowByte = state.lowByte;
    this.writesHigh = state.writesHigh;
    this.readsHigh = state.readsHigh;
    this.latchedCount = state.latchedCount;
    this.latchedStatus = state.latchedStatus;
  }

  private elapsed(tick: number): number {
    return this.held >= 0 ? this.held : Math.max(0, tick - this.start);
  }

  /** The counting element, as it is read: 16 bits, of decimal digits in BCD. */
  private value(tick: number): number {
    this.settle(tick);
    const { mode, range } = this;
    if (this.count === 0) return 0;
    const elapsed = this.elapsed(tick);
    let value: number;
    if (mode === 2) value = this.count - (elapsed % this.count);
    else if (mode === 3) {
      // Each half counts by twos, from the even number below or at the count.
      const high = (this.count + 1) >> 1;
      const phase = elapsed % this.count;
      value = (this.count & ~1) - 2 * (phase < high ? phase : phase - high);
    } else value = (this.count - (elapsed % range) + range) % range;
    value %= range;
    return this.bcd ? toBcd(value) : value;
  }

  private load(written: number, tick: number): void {
    const value = (this.bcd ? fromBcd(written) : written) || this.range;
    switch (this.mode) {
      case 1:
      case 5:
        this.armed = value;
        break;
      case 2:
      case 3:
        if (this.count === 0 || this.held >= 0) this.begin(value, tick);
        else {
          this.reload = value;
          this.reloadTick = this.switchTick(tick);
        }
        break;
      default:
        this.begin(value, tick);
    }
  }

  private begin(value: number, tick: number): void {
    this.count = value;
    this.reload = 0;
    this.start = tick + 1;
    this.held = this.gate ? -1 : 0;
  }

  private trigger(tick: number): void {
    if (this.armed !== 0) this.count = this.armed;
    this.armed = 0;
    this.start = tick + 1;
  }

  /** When a count that is written now replaces the one that runs: at the end of the period in mode 2, of the half of it in mode 3. */
  private switchTick(tick: number): number {
    const { count, start } = this;
    if (tick < start) return start;
    const phase = (tick - start) % count;
    const half = (count + 1) >> 1;
    return tick - phase + (this.mode === 3 && phase < half ? half : count);
  }

  /** Where the first period of a new count begins; before {@link reloadTick} if it is taken over for a low half. */
  private startOfReload(): number {
    const half = (this.count + 1) >> 1;
    const isLowHalf =
      this.mode === 3 && this.reloadTick > this.start && (this.reloadTick - this.start) % this.count === half;
    return isLowHalf ? this.reloadTick - ((this.reload + 1) >> 1) : this.reloadTick;
  }

  /** Takes a new count over if its time has come. */
  private settle(tick: number): void {
    if (this.reload === 0 || tick < this.reloadTick || this.held >= 0) return;
    this.start = this.startOfReload();
    this.count = this.reload;
    this.reload = 0;
  }
}

/** Modes 2 and 3 cannot divide by 1: OUT stands still. */
function periodicRise(start: number, count: number, least: number): number {
  if (count === 1) return Infinity;
  return start + count * Math.max(1, Math.floor((least - start) / count) + 1);
}

function fromBcd(value: number): number {
  return (value & 15) + ((value >> 4) & 15) * 10 + ((value >> 8) & 15) * 100 + ((value >> 12) & 15) * 1000;
}

function toBcd(value: number): number {
  return (
    (value % 10) |
    ((Math.floor(value / 10) % 10) << 4) |
    ((Math.floor(value / 100) % 10) << 8) |
    (Math.floor(value / 1000) << 12)
  );
}
