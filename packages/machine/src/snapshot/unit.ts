/** A part of the machine that a snapshot holds under a name. */
export interface SnapshotUnit {
  readonly name: string;
  save(): unknown;
  /** Text about what does not fit, before anything changes. The state may be any value: its shape is compared behind this. */
  mismatch?(state: unknown): string | undefined;
  /** May throw: the machine is to be reset then. */
  restore(state: unknown): void;
}

/** Whatever saves and restores itself, as all devices do. */
export function unit<State>(
  name: string,
  part: { save(): State; restore(state: State): void },
): SnapshotUnit {
  return { name, save: () => part.save(), restore: (state) => part.restore(state as State) };
}
