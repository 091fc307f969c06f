/** Snapshot of one timer. */
export interface HpetTimerState {
  readonly configuration: number;
  readonly comparatorLow: number;
  readonly comparatorHigh: number;
  readonly periodLow: number;
  readonly periodHigh: number;
  /** When counter and comparator will be equal, in ticks since moment 0 of the clock; -1: never. */
  readonly due: number;
  /** The comparator's low half was written with VAL_SET, its high half may follow. */
  readonly setsHigh: boolean;
  /** No interrupt before this tick. */
  readonly quietUntil: number;
}

/** Snapshot of the HPET. */
export interface HpetState {
  readonly version: 1;
  readonly configuration: number;
  readonly status: number;
  /** The main counter at the tick `start`, or while it stands. */
  readonly counterLow: number;
  readonly counterHigh: number;
  readonly start: number;
  readonly timers: readonly HpetTimerState[];
  /** Levels at the inputs of 8254 and RTC. */
  readonly pit: boolean;
  readonly rtc: boolean;
}
