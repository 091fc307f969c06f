/** A snapshot of another version than the one that is understood. */
export class SnapshotVersionError extends RangeError {
  override readonly name: string = 'SnapshotVersionError';
}

/** @throws SnapshotVersionError */
export function requireVersion(device: string, state: { readonly version: number }, version: number): void {
  if (state?.version !== version)
    throw new SnapshotVersionError(
      `snapshot of ${device}: version ${state?.version}; version ${version} is understood`,
    );
}
