/** What a TLB knows of a page, or a paging-structure cache of a table. Callers own one and reuse it. */
export class TlbEntry {
  /** Page of 4 KiB that holds the looked-up address; from a paging-structure cache: page of the next table. */
  page = 0;
  /** log2 of the size that the entry covers. */
  shift = 12;
  /** log2 of the guest's page size, larger than `shift` for a piece of a large page. */
  guestShift = 12;
  /** Bits of `Rights`, fields included. */
  rights = 0;
}

/**
 * What walkers ask of a TLB backend: guest-physical mappings and paging-structure caches (SDM vol. 3, 4.10.3 and 29.4). An address is two
 * int32 halves, its low 12 bits do not matter; for guest-physical contexts it is the guest-physical address.
 */
export interface WalkCaches {
  lookup(context: number, low: number, high: number, access: number, out: TlbEntry): boolean;
  insert(context: number, low: number, high: number, entry: TlbEntry): void;
  /** The lowest cached entry that references a table: its level (2 PDE to 5 PML5E), 0 for none. Fills `page` and `rights`. */
  lookupStructure(context: number, low: number, high: number, out: TlbEntry): number;
  insertStructure(
    context: number,
    low: number,
    high: number,
    level: number,
    page: number,
    rights: number,
  ): void;
}
