/** Snapshot of the clock and its RAM. */
export interface Mc146818State {
  readonly version: 1;
  /** What port 70h holds, the NMI mask with it. */
  readonly index: number;
  /** The 128 bytes; those of time and date count only while the clock stands. */
  readonly bytes: readonly number[];
  /** The time, seconds since 1970, at the moment `phase`. */
  readonly base: number;
  /** When a second began, nanoseconds of the machine's clock; may lie before its start. */
  readonly phase: number;
  /** Days that the guest's day of the week is ahead of the date's. */
  readonly dayOfWeekOffset: number;
  /** Flags of register C without the request. */
  readonly flags: number;
  /** The moment up to which they have been found, nanoseconds of the machine's clock. */
  readonly settled: number;
}
