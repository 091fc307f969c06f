/** A snapshot of another device, or of one that was made with other parts. */
export class SnapshotMismatchError extends RangeError {
  override readonly name: string = 'SnapshotMismatchError';
}
