/** Snapshot of a function: its 256 bytes of configuration space, and the level of its interrupt. */
export interface PciFunctionState {
  readonly version: 1;
  readonly config: readonly number[];
  readonly interrupt: boolean;
}

/** Snapshot of a table of MSI-X vectors. */
export interface MsixState {
  readonly version: 1;
  /** Four words per vector: address, upper address, data, control. */
  readonly table: readonly number[];
  /** Vectors whose message waits. */
  readonly pending: readonly number[];
}

/** Snapshot of a bus without its functions, which have snapshots of their own. */
export interface PciBusState {
  readonly version: 1;
  /** CONFIG_ADDRESS. */
  readonly address: number;
}
