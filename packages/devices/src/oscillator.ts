/** A frequency as a fraction, and exact conversion between its ticks and nanoseconds over all of a machine's life. */
export class Oscillator {
  /**
   * @param ticks in `nanoseconds`; whole numbers, their product below 2^53
   * @param nanoseconds
   */
  constructor(
    private readonly ticks: number,
    private readonly nanoseconds: number,
  ) {}

  /** Whole ticks since moment 0. @param now nanoseconds */
  at(now: number): number {
    const rounds = Math.floor(now / this.nanoseconds);
    return (
      rounds * this.ticks + Math.floor(((now - rounds * this.nanoseconds) * this.ticks) / this.nanoseconds)
    );
  }

  /** The first whole nanosecond at which {@link at} gives `tick`. */
  timeOf(tick: number): number {
    const rounds = Math.floor(tick / this.ticks);
    return (
      rounds * this.nanoseconds + Math.ceil(((tick - rounds * this.ticks) * this.nanoseconds) / this.ticks)
    );
  }
}
