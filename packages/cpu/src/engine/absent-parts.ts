import type { IoPorts, MsrSource, TimeSource } from '../system/unit.ts';
import type { InterruptSource } from './parts.ts';

// What a processor finds where its owner has put nothing.

/** No device: reads give ones. */
export const absentPorts: IoPorts = { read: () => -1, write: () => {} };

/** No registers beside the core's own: #GP. */
export const absentMsrs: MsrSource = { read: () => false, write: () => false };

export const absentInterrupts: InterruptSource = { isPending: false, acknowledge: () => 0 };

/** A time stamp counter that ticks once for each retired instruction; writes move it. */
export class RetiredTime implements TimeSource {
  readonly tickShift: number = 0;
  private offsetLow = 0;
  private offsetHigh = 0;

  constructor(private readonly processor: { readonly retired: number }) {}

  tsc(out: Int32Array): void {
    const { retired } = this.processor;
    const low = (retired % 2 ** 32) + (this.offsetLow >>> 0);
    out[0] = low | 0;
    out[1] = Math.floor(retired / 2 ** 32) + this.offsetHigh + (low >= 2 ** 32 ? 1 : 0);
  }

  writeTsc(low: number, high: number): void {
    const { retired } = this.processor;
    const difference = (low >>> 0) - (retired % 2 ** 32);
    this.offsetLow = difference | 0;
    this.offsetHigh = (high - Math.floor(retired / 2 ** 32) - (difference < 0 ? 1 : 0)) | 0;
  }
}

/** Numbers that look random and are the same in each run: xorshift (Marsaglia, 2003). */
export class RandomNumbers {
  /** The last number, from which the next one follows; never 0. */
  state: number;

  /** @param seed any whole number but 0 */
  constructor(seed: number) {
    this.state = seed | 0 || 1;
  }

  /** 32 bits. */
  next(): number {
    let { state } = this;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.state = state;
    return state;
  }
}

/** {@link RandomNumbers} for those who need no more than the next one. */
export function seededRandom(seed: number): () => number {
  const numbers = new RandomNumbers(seed);
  return () => numbers.next();
}
