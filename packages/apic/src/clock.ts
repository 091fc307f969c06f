/** A moment that a device waits for. */
export interface Timer {
  /** Calls back once `Clock.now` has reached `at`; an earlier setting is forgotten. @param at nanoseconds, as `Clock.now`; what has passed fires at once, but never from within this call */
  set(at: number): void;
  clear(): void;
}

/** Guest time. */
export interface Clock {
  /** Nanoseconds since the machine was started; never goes back, may have fractions. */
  readonly now: number;
  /** A timer that is off. */
  timer(expired: () => void): Timer;
}

/** How the time stamp counter of one processor runs, as far as its APIC asks. */
export interface TscTime {
  /** When the counter reaches a value, as `Clock.now`: nanoseconds, in the past for values that it has passed, Infinity for never. */
  timeOf(low: number, high: number): number;
}
