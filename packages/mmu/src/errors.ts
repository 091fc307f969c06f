/** An address, size or region that does not fit: the message says what is allowed. Only owners of a memory see it, never guests. */
export class MemoryMapError extends RangeError {
  override readonly name: string = 'MemoryMapError';
}

/** A model, context or option outside what the architecture or this package has. */
export class PagingOptionError extends RangeError {
  override readonly name: string = 'PagingOptionError';
}

/** A TLB option that does not exist or does not fit the backend. */
export class TlbOptionError extends RangeError {
  override readonly name: string = 'TlbOptionError';
}

/** A snapshot that this object cannot take. */
export class SnapshotError extends RangeError {
  override readonly name: string = 'SnapshotError';
}
