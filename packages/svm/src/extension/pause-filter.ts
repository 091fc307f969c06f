import { vmcbOffset } from '../vmcb/layout.ts';
import type { Vmcb } from '../vmcb/vmcb.ts';

/** How many PAUSEs a guest may execute before an intercepted one leaves it (APM vol. 2, 15.14.4). */
export class PauseFilter {
  private left = 0;
  /** Time stamp counter at the last PAUSE, cut off to 32 bits. */
  private last = 0;

  /** At VMRUN. */
  load(vmcb: Vmcb): void {
    this.left = vmcb.low(vmcbOffset.pauseFilterCount) >>> 16;
    this.last = 0;
  }

  /** @param now time stamp counter, low half @param hasThreshold the processor has it @returns whether this PAUSE leaves the guest */
  exceeds(vmcb: Vmcb, now: number, hasThreshold: boolean): boolean {
    const word = vmcb.low(vmcbOffset.pauseFilterThreshold);
    const threshold = word & 0xffff;
    const count = word >>> 16;
    if (hasThreshold && threshold !== 0 && (now - this.last) >>> 0 > threshold) this.left = count;
    this.last = now;
    if (this.left === 0) return true;
    this.left--;
    return false;
  }

  save(): readonly number[] {
    return [this.left, this.last];
  }

  restore(saved: readonly number[]): void {
    [this.left, this.last] = saved;
  }
}
