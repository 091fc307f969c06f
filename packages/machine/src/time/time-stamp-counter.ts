export interface TimeStampCounterState {
  readonly version: 1;
  readonly adjustment: bigint;
}

/** One processor's time stamp counter: guest time in nanoseconds, a tick for each, and an offset that WRMSR moves. Halves are as in EDX:EAX. */
export class TimeStampCounter {
  /** Difference to guest time, modulo 2⁶⁴. */
  private offset = 0n;
  private offsetLow = 0;
  private offsetHigh = 0;

  /** @param changed told when the counter was moved */
  constructor(
    private readonly clock: { readonly now: number; readonly tickShift: number },
    private readonly changed: () => void = () => {},
  ) {}

  /** See `TimeSource`: while a processor runs, guest time goes by its instructions, whatever clock there is. */
  get tickShift(): number {
    return this.clock.tickShift;
  }

  tsc(out: Int32Array): void {
    const now = Math.floor(this.clock.now);
    const low = (now % 2 ** 32) + (this.offsetLow >>> 0);
    out[0] = low | 0;
    out[1] = (Math.floor(now / 2 ** 32) + this.offsetHigh + (low >= 2 ** 32 ? 1 : 0)) | 0;
  }

  writeTsc(low: number, high: number): void {
    const value = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
    this.move(value - BigInt(Math.floor(this.clock.now)));
  }

  /** Guest time at which the counter has a value, as a number; a value that has passed gives a time that has. */
  timeOf(low: number, high: number): number {
    const difference = (low >>> 0) - (this.offsetLow >>> 0);
    return ((high - this.offsetHigh - (difference < 0 ? 1 : 0)) | 0) * 2 ** 32 + (difference >>> 0);
  }

  /** IA32_TSC_ADJUST: what is added to all processors' common time. */
  get adjustment(): bigint {
    return this.offset;
  }

  set adjustment(value: bigint) {
    this.move(value);
  }

  save(): TimeStampCounterState {
    return { version: 1, adjustment: this.offset };
  }

  restore(state: TimeStampCounterState): void {
    this.move(state.adjustment);
  }

  private move(offset: bigint): void {
    this.offset = BigInt.asUintN(64, offset);
    this.offsetLow = Number(BigInt.asIntN(32, offset));
    this.offsetHigh = Number(BigInt.asIntN(32, offset >> 32n));
    this.changed();
  }
}
