/** Snapshot of port 80h. */
export interface PostCodeState {
  readonly version: 1;
  readonly value: number;
}
