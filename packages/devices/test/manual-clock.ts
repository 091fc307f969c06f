import type { Clock, Timer } from '../src/index.ts';

/** A clock that goes when it is told to; timers fire at their moments, in their order. */
export class ManualClock implements Clock {
  now = 0;
  /** How often timers have fired. */
  fired = 0;
  private readonly timers: { at: number; expired: () => void }[] = [];

  timer(expired: () => void): Timer {
    const entry = { at: Infinity, expired };
    this.timers.push(entry);
    return {
      set: (at) => {
        if (Number.isNaN(at)) throw new Error('a timer is set to NaN');
        entry.at = at;
      },
      clear: () => {
        entry.at = Infinity;
      },
    };
  }

  advance(nanoseconds: number): void {
    this.advanceTo(this.now + nanoseconds);
  }

  advanceTo(at: number): void {
    for (;;) {
      let first = this.timers[0];
      for (const timer of this.timers) if (timer.at < first.at) first = timer;
      if (first === undefined || first.at > at) break;
      this.now = Math.max(this.now, first.at);
      first.at = Infinity;
      this.fired++;
      first.expired();
    }
    this.now = at;
  }
}

/** A line that remembers its level and counts its rising edges. */
export class Line {
  level = false;
  rises = 0;

  set(level: boolean): void {
    if (level && !this.level) this.rises++;
    this.level = level;
  }
}

/** What a snapshot is after it was written to a file and read back. */
export function fileCopy<T>(state: T): T {
  return JSON.parse(JSON.stringify(state));
}
