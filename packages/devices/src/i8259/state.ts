/** Snapshot of one 8259A; fields as the data sheet names them. */
export interface I8259ChipState {
  /** Levels of the eight inputs. */
  readonly inputs: number;
  /** Edges that wait. */
  readonly latched: number;
  readonly imr: number;
  readonly isr: number;
  readonly elcr: number;
  readonly vectorBase: number;
  readonly icw3: number;
  readonly icw4: number;
  /** The ICW that comes next, or 0. */
  readonly expects: number;
  readonly needsIcw4: boolean;
  readonly isSingle: boolean;
  readonly lowestPriority: number;
  readonly readsIsr: boolean;
  readonly polls: boolean;
  readonly specialMask: boolean;
  readonly rotatesInAutoEoi: boolean;
}

/** Snapshot of the pair. */
export interface I8259State {
  readonly version: 1;
  readonly master: I8259ChipState;
  readonly slave: I8259ChipState;
}
