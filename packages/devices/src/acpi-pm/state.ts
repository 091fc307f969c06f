/** Snapshot of the power management block. */
export interface AcpiPmState {
  readonly version: 1;
  /** Without that of the timer. */
  readonly status: number;
  readonly enable: number;
  readonly control: number;
  /** How often the timer's highest bit had changed when its status was cleared. */
  readonly carries: number;
}

/** Snapshot of the reset control register. */
export interface ResetControlState {
  readonly version: 1;
  readonly value: number;
}
