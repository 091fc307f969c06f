/** The bytes of a disk. A method that throws makes the guest's request fail as an I/O error. */
export interface BlockStore {
  /** Bytes, a multiple of 512. */
  readonly size: number;
  /** Fills `target`; all of it is inside the disk. */
  read(offset: number, target: Uint8Array): void;
  write(offset: number, source: Uint8Array): void;
  /** Returns when everything written is safe. */
  flush(): void;
  /** What was written, if that is kept here and nowhere else: snapshots of the disk hold it. */
  save?(): OverlayState;
  /** @throws SnapshotVersionError, SnapshotMismatchError */
  restore?(state: OverlayState): void;
}

/** Snapshot of an overlay: the blocks that were written. The bytes are copies, not numbers in an array: there may be very many. */
export interface OverlayState {
  readonly version: 1;
  readonly size: number;
  readonly blocks: readonly (readonly [index: number, bytes: Uint8Array])[];
}
