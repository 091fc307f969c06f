/** Snapshot of an I/O APIC. */
export interface IoApicState {
  readonly version: 1;
  readonly id: number;
  readonly select: number;
  /** Redirection entries: low and high half of each. */
  readonly entries: readonly number[];
  /** One bit for each pin that is asserted. */
  readonly levels: number;
}
