import type { InterruptLine } from '@nest86/devices';

/** A line that several drive: it is raised while any of them holds it. */
export class SharedLine {
  private holders = 0;

  constructor(private readonly line: InterruptLine) {}

  /** One more that drives it. */
  driver(): InterruptLine {
    let isHeld = false;
    return {
      set: (level) => {
        if (level === isHeld) return;
        isHeld = level;
        this.holders += level ? 1 : -1;
        this.line.set(this.holders > 0);
      },
    };
  }
}

/** Drives several lines at once. */
export function together(...lines: readonly InterruptLine[]): InterruptLine {
  return {
    set: (level) => {
      for (const line of lines) line.set(level);
    },
  };
}
