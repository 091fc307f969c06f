import type { GuestControls, VirtualizationUnit } from '@nest86/cpu/virtualization';
import { timerShift } from '../capabilities/capabilities.ts';

const counter = new Int32Array(2);

/** The VMX-preemption timer (SDM vol. 3, 26.5.1): its end is a value of the time stamp counter, shifted as its rate says. */
export class PreemptionTimer {
  private isRunning = false;
  /** Count of the time stamp counter, over its rate, at which it has come to 0. */
  private end = 0;

  constructor(private readonly controls: GuestControls) {}

  start(unit: VirtualizationUnit, value: number): void {
    this.isRunning = true;
    this.end = now(unit) + (value >>> 0);
    this.arm(unit);
  }

  stop(): void {
    this.isRunning = false;
    this.controls.deadline = Number.POSITIVE_INFINITY;
  }

  /** The deadline has come. @returns whether the timer is at 0; else a new deadline is set: the counter may tick by the host's clock */
  expires(unit: VirtualizationUnit): boolean {
    if (!this.isRunning) return false;
    if (now(unit) >= this.end) return true;
    this.arm(unit);
    return false;
  }

  /** Value of the time stamp counter at which it is at 0. */
  get endOfCounter(): number | undefined {
    return this.isRunning ? this.end * 2 ** timerShift : undefined;
  }

  /** What is left of it. */
  remaining(unit: VirtualizationUnit): number {
    return Math.max(0, this.end - now(unit));
  }

  save(): { readonly timerEnd: number; readonly timerDeadline: number } {
    return {
      timerEnd: this.isRunning ? this.end : -1,
      timerDeadline: this.isRunning ? this.controls.deadline : -1,
    };
  }

  restore(end: number, deadline: number): void {
    this.isRunning = end >= 0;
    this.end = end;
    this.controls.deadline = end >= 0 ? deadline : Number.POSITIVE_INFINITY;
  }

  private arm(unit: VirtualizationUnit): void {
    unit.time.tsc(counter);
    const ticks = Math.max(0, this.end * 2 ** timerShift - count());
    this.controls.deadline = unit.retired + ticks * 2 ** (unit.time.tickShift ?? 0);
  }
}

function count(): number {
  return (counter[1] >>> 0) * 2 ** 32 + (counter[0] >>> 0);
}

function now(unit: VirtualizationUnit): number {
  unit.time.tsc(counter);
  return Math.floor(count() / 2 ** timerShift);
}
