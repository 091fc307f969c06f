/** Snapshot of one counter; ticks count since moment 0 of the clock. */
export interface I8254CounterState {
  /** 0 to 5, or -1 before the first control word. */
  readonly mode: number;
  readonly bcd: boolean;
  /** RW1 and RW0. */
  readonly access: number;
  readonly gate: boolean;
  /** What is counted from, 1 to 65536; 0: nothing counts, for no count has been written or no trigger has come. */
  readonly count: number;
  /** The count from {@link reloadTick} on, or 0. */
  readonly reload: number;
  readonly reloadTick: number;
  /** Of modes 1 and 5: written, and waiting for a trigger; or 0. */
  readonly armed: number;
  /** The tick at which `count` was loaded. */
  readonly start: number;
  /** Ticks that were counted when the gate went low, or -1. */
  readonly held: number;
  readonly lowByte: number;
  readonly writesHigh: boolean;
  readonly readsHigh: boolean;
  /** -1: none. */
  readonly latchedCount: number;
  /** -1: none. */
  readonly latchedStatus: number;
}

/** Snapshot of an 8254 and of port 61h. */
export interface I8254State {
  readonly version: 1;
  readonly counters: readonly I8254CounterState[];
  /** What was written to port 61h. */
  readonly control: number;
  /** What the interrupt line was set to last. */
  readonly level: boolean;
  /** Counter 0 gives no periodic interrupt before this tick. */
  readonly quietUntil: number;
}
