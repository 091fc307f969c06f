/** Snapshot of an APIC timer; LVT entry and divider are in the page. */
export interface ApicTimerState {
  /** Initial count register. */
  readonly initial: number;
  /** Nanoseconds of the clock at which the count was `count`. */
  readonly origin: number;
  readonly count: number;
  readonly deadlineLow: number;
  readonly deadlineHigh: number;
}

/** Snapshot of a local APIC. */
export interface LocalApicState {
  readonly version: 1;
  /** The registers 000h, 010h … 3F0h. */
  readonly registers: readonly number[];
  /** IA32_APIC_BASE. */
  readonly baseLow: number;
  readonly baseHigh: number;
  /** What the next write of ESR shows. */
  readonly errors: number;
  /** A message asked for an interrupt of the 8259. */
  readonly extInt: boolean;
  readonly lint0: boolean;
  readonly lint1: boolean;
  readonly timer: ApicTimerState;
}
