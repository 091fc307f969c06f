/** Snapshot of the test device. */
export interface PcTestDeviceState {
  readonly version: 1;
  readonly latch: number;
  /** Levels of the 24 lines. */
  readonly levels: number;
  /** Its memory up to the last byte that is not 0. */
  readonly bytes: readonly number[];
}
