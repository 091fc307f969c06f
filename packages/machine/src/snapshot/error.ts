/** Why a snapshot was refused. */
export type SnapshotRefusal =
  /** The bytes are no snapshot, or end too early. */
  | 'format'
  /** Another version, of the file or of a unit, than what is understood. */
  | 'version'
  /** A checksum does not fit, or a unit's content makes no sense. */
  | 'damaged'
  /** The file was compressed in another way than what the reader was given. */
  | 'compression'
  /** The machine is another than the one that was saved. */
  | 'configuration'
  /** A unit is missing, or is one that this machine does not have. */
  | 'unit'
  /** The machine runs: between runs only. */
  | 'running';

/** A snapshot that cannot be read or taken over; the message says why, and of which part. */
export class SnapshotError extends Error {
  override readonly name: string = 'SnapshotError';
  readonly reason: SnapshotRefusal;
  /** The unit that is concerned, such as `processor/0`. */
  readonly unit: string | undefined;
  /** False: the machine is as it was. True: it is half restored, and does not run before `reset` or another `restore`. */
  readonly needsReset: boolean;

  constructor(
    reason: SnapshotRefusal,
    message: string,
    details: { readonly unit?: string; readonly needsReset?: boolean; readonly cause?: unknown } = {},
  ) {
    const { unit, needsReset = false, cause } = details;
    super(message, cause === undefined ? undefined : { cause });
    this.reason = reason;
    this.unit = unit;
    this.needsReset = needsReset;
  }
}
