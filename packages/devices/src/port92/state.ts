/** Snapshot of port 92h. */
export interface Port92State {
  readonly version: 1;
  readonly value: number;
}
