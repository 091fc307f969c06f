import type { Clock, Timer, TscTime } from '../clock.ts';
import type { ApicTimerState } from './state.ts';

/** LVT timer, bits 18:17. The fourth value is reserved: nothing runs. */
const TimerMode = { oneShot: 0, periodic: 1, tscDeadline: 2, reserved: 3 } as const;

/**
 * Least nanoseconds between interrupts of a periodic timer whose period is shorter; the counter itself runs as programmed. Else a guest
 * that asks for a period of 1 ns would leave its machine no time for anything but timers.
 */
const leastPeriod = 10_000;

/**
 * The timer of a local APIC (SDM vol. 3, 12.5.4): counts down at 1 GHz over a divider, or waits for the time stamp counter. What it shows is
 * a function of the clock and of what was written; the clock is asked for a callback only where an interrupt would follow.
 */
export class ApicTimer {
  private readonly timer: Timer;
  private mode = 0;
  private isMasked = true;
  private initial = 0;
  private divisor = 2;
  /** Time in whole nanoseconds at which the counter was at `count`. */
  private origin = 0;
  /** 0: stopped. */
  private count = 0;
  private deadlineLow = 0;
  private deadlineHigh = 0;

  /** @param tsc left out: there is no deadline mode @param expired requests the interrupt */
  constructor(
    private readonly clock: Clock,
    private readonly tsc: TscTime | undefined,
    private readonly expired: () => void,
  ) {
    this.timer = clock.timer(() => {
      this.catchUp();
      this.arm();
    });
  }

  /** Initial count register, unsigned; 0 in deadline mode. */
  get initialCount(): number {
    return this.initial;
  }

  /** Current count register, unsigned. */
  get currentCount(): number {
    const { count, initial } = this;
    if (count === 0) return 0;
    const ticks = this.ticks();
    if (ticks < count) return count - ticks;
    return this.mode === TimerMode.periodic ? initial - ((ticks - count) % initial) : 0;
  }

  /** IA32_TSC_DEADLINE, low half; 0 once it has passed. */
  get low(): number {
    return this.isDeadlineAhead() ? this.deadlineLow : 0;
  }

  get high(): number {
    return this.isDeadlineAhead() ? this.deadlineHigh : 0;
  }

  /** The LVT entry was written. Going to deadline mode or leaving it disarms; else the counter goes on. @param mode {@link TimerMode} */
  setMode(mode: number, isMasked: boolean): void {
    this.catchUp();
    if (mode !== this.mode && (mode >= TimerMode.tscDeadline || this.mode >= TimerMode.tscDeadline))
      this.disarm();
    this.mode = mode;
    this.isMasked = isMasked;
    this.arm();
  }

  /** @param value divide configuration register, bits 3, 1 and 0 */
  setDivide(value: number): void {
    this.catchUp();
    if (this.count !== 0) {
      this.count = this.currentCount;
      this.origin = Math.floor(this.clock.now);
    }
    this.divisor = divisorOf(value);
    this.arm();
  }

  /** Initial count register: starts the counter, 0 stops it. Ignored in deadline mode. @param value unsigned */
  start(value: number): void {
    if (this.mode >= TimerMode.tscDeadline) return;
    this.catchUp();
    this.initial = value;
    this.count = value;
    this.origin = Math.floor(this.clock.now);
    this.arm();
  }

  /** Write of IA32_TSC_DEADLINE; ignored in the other modes. What has passed expires at once. */
  setDeadline(low: number, high: number): void {
    if (this.mode !== TimerMode.tscDeadline) return;
    this.catchUp();
    this.deadlineLow = low;
    this.deadlineHigh = high;
    this.catchUp();
    this.arm();
  }

  /** The time stamp counter was written, or its rate changed. */
  tscChanged(): void {
    this.catchUp();
    this.arm();
  }

  reset(): void {
    this.disarm();
    this.mode = TimerMode.oneShot;
    this.isMasked = true;
    this.divisor = 2;
    this.timer.clear();
  }

  save(): ApicTimerState {
    const { initial, origin, count, deadlineLow, deadlineHigh } = this;
    return { initial, origin, count, deadlineLow, deadlineHigh };
  }

  /** The arguments beside the snapshot are what the registers say. */
  restore(state: ApicTimerState, mode: number, isMasked: boolean, divideConfiguration: number): void {
    this.mode = mode;
    this.isMasked = isMasked;
    this.initial = state.initial;
    this.divisor = divisorOf(divideConfiguration);
    this.origin = state.origin;
    this.count = state.count;
    this.deadlineLow = state.deadlineLow;
    this.deadlineHigh = state.deadlineHigh;
    this.arm();
  }

  private ticks(): number {
    return Math.floor((this.clock.now - this.origin) / this.divisor);
  }

  private disarm(): void {
    this.initial = 0;
    this.count = 0;
    this.deadlineLow = 0;
    this.deadlineHigh = 0;
  }

  private deadline(): number {
    const { deadlineLow, deadlineHigh, tsc } = this;
    if ((deadlineLow | deadlineHigh) === 0 || tsc === undefined) return Infinity;
    return tsc.timeOf(deadlineLow, deadlineHigh);
  }

  private isDeadlineAhead(): boolean {
    return (this.deadlineLow | this.deadlineHigh) !== 0 && !(this.deadline() <= this.clock.now);
  }

  /** Does what has come due by now: once, however often it came due. */
  private catchUp(): void {
    if (this.mode === TimerMode.tscDeadline) {
      if ((this.deadlineLow | this.deadlineHigh) === 0 || this.isDeadlineAhead()) return;
      this.deadlineLow = 0;
      this.deadlineHigh = 0;
    } else {
      const { count, initial } = this;
      if (count === 0) return;
      const ticks = this.ticks();
      if (ticks < count) return;
      if (this.mode === TimerMode.periodic) {
        this.origin += (count + Math.floor((ticks - count) / initial) * initial) * this.divisor;
        this.count = initial;
      } else this.count = 0;
    }
    if (!this.isMasked) this.expired();
  }

  private arm(): void {
    const at = this.isMasked ? Infinity : this.nextExpiry();
    if (at < Infinity) this.timer.set(at);
    else this.timer.clear();
  }

  private nextExpiry(): number {
    if (this.mode === TimerMode.tscDeadline) return this.deadline();
    const { count } = this;
    if (count === 0) return Infinity;
    const first = this.origin + count * this.divisor;
    const period = this.initial * this.divisor;
    if (this.mode !== TimerMode.periodic || period >= leastPeriod) return first;
    const least = Math.floor(this.clock.now) + leastPeriod;
    return first + Math.max(0, Math.ceil((least - first) / period)) * period;
  }
}

function divisorOf(configuration: number): number {
  const value = (configuration & 3) | ((configuration >> 1) & 4);
  return value === 7 ? 1 : 2 << value;
}
