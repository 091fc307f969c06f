/** A snapshot of another version than the one that is understood. */
export class ApicSnapshotError extends RangeError {
  override readonly name: string = 'ApicSnapshotError';
}

/** @throws ApicSnapshotError */
export function requireVersion(what: string, state: { readonly version: number }, version: number): void {
  if (state?.version !== version)
    throw new ApicSnapshotError(
      `snapshot of ${what}: version ${state?.version}; version ${version} is understood`,
    );
}
