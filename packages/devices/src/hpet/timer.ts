import { TimerConfiguration } from './registers.ts';
import type { HpetTimerState } from './state.ts';

const two32 = 2 ** 32;
/** Distances from here on (28 years of 10 MHz) are never reached. */
const farAway = 2 ** 53;

/** A comparator of the HPET. It knows the moment at which the counter will reach it; nothing ticks. */
export class HpetTimer {
  configuration: number = TimerConfiguration.periodicCapable | TimerConfiguration.size64;
  /** The tick, of the clock's life, of the next match. */
  due: number = Infinity;
  /** No interrupt before this tick. */
  quietUntil = 0;
  private comparatorLow = -1;
  private comparatorHigh = -1;
  private periodLow = 0;
  private periodHigh = 0;
  private setsHigh = false;

  get isLevel(): boolean {
    return (this.configuration & TimerConfiguration.level) !== 0;
  }

  get interrupts(): boolean {
    return (this.configuration & TimerConfiguration.interruptEnable) !== 0;
  }

  /** INT_ROUTE: an input of the I/O APIC. */
  get route(): number {
    return (this.configuration >> TimerConfiguration.routeShift) & 31;
  }

  /** @param isHigh which half */
  comparator(isHigh: boolean): number {
    if (isHigh) return this.is32 ? 0 : this.comparatorHigh;
    return this.comparatorLow;
  }

  /** @param isHigh which half */
  setComparator(isHigh: boolean, value: number): void {
    const sets = (this.configuration & TimerConfiguration.valueSet) !== 0 || (isHigh && this.setsHigh);
    if (!this.isPeriodic || sets) {
      if (isHigh) this.comparatorHigh = value | 0;
      else this.comparatorLow = value | 0;
    }
    if (this.isPeriodic) {
      if (isHigh) this.periodHigh = value | 0;
      else this.periodLow = value | 0;
    }
    // VAL_SET goes with the write it was meant for; 64-bit accesses come as two halves, the low one first.
    this.setsHigh = !isHigh && sets;
    this.configuration &= ~TimerConfiguration.valueSet;
  }

  configure(value: number): void {
    this.configuration =
      (this.configuration & ~TimerConfiguration.writable) | (value & TimerConfiguration.writable);
    if (this.is32) {
      this.comparatorHigh = 0;
      this.periodHigh = 0;
    }
  }

  /** Finds the next match from what the counter shows at `tick`. */
  arm(tick: number, counterLow: number, counterHigh: number): void {
    const low = (this.comparatorLow >>> 0) - (counterLow >>> 0);
    let distance = low < 0 ? low + two32 : low;
    if (!this.is32) {
      const high = (this.comparatorHigh - counterHigh - (low < 0 ? 1 : 0)) >>> 0;
      distance += high * two32;
    }
    this.due = distance < farAway ? tick + distance : Infinity;
  }

  /** Passes the matches up to `tick`, which has reached {@link due}. */
  pass(tick: number): void {
    const period = (this.is32 ? 0 : (this.periodHigh >>> 0) * two32) + (this.periodLow >>> 0);
    if (!this.isPeriodic || period === 0) this.due = this.is32 ? this.due + two32 : Infinity;
    else if (period >= farAway) this.due = Infinity;
    else {
      const passed = (Math.floor((tick - this.due) / period) + 1) * period;
      this.due += passed;
      const low = (this.comparatorLow >>> 0) + (passed % two32);
      this.comparatorLow = low | 0;
      if (!this.is32)
        this.comparatorHigh = (this.comparatorHigh + Math.floor(passed / two32) + (low >= two32 ? 1 : 0)) | 0;
    }
  }

  /** The first match that may interrupt, or Infinity. */
  get nextInterrupt(): number {
    const least = this.quietUntil;
    if (this.due >= least || !this.isPeriodic) return this.due;
    const period = (this.is32 ? 0 : (this.periodHigh >>> 0) * two32) + (this.periodLow >>> 0);
    return period === 0 ? this.due : this.due + Math.ceil((least - this.due) / period) * period;
  }

  save(): HpetTimerState {
    const { configuration, comparatorLow, comparatorHigh, periodLow, periodHigh } = this;
    const { setsHigh, quietUntil } = this;
    const due = this.due === Infinity ? -1 : this.due;
    return {
      ...{ configuration, comparatorLow, comparatorHigh, periodLow, periodHigh, due },
      ...{ setsHigh, quietUntil },
    };
  }

  restore(state: HpetTimerState): void {
    this.configuration = state.configuration;
    this.comparatorLow = state.comparatorLow;
    this.comparatorHigh = state.comparatorHigh;
    this.periodLow = state.periodLow;
    this.periodHigh = state.periodHigh;
    this.due = state.due < 0 ? Infinity : state.due;
    this.setsHigh = state.setsHigh;
    this.quietUntil = state.quietUntil;
  }

  private get is32(): boolean {
    return (this.configuration & TimerConfiguration.mode32) !== 0;
  }

  private get isPeriodic(): boolean {
    return (this.configuration & TimerConfiguration.periodic) !== 0;
  }
}
