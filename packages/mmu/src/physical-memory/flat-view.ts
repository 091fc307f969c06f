import type { Region } from './regions.ts';
import { PageKind, pageSize, physicalPages } from './regions.ts';

/**
 * What overlapping regions look like from above: pages in ascending intervals, each of one region or of none. Intervals are few (a PC has about
 * twenty), so a look-up is the last answer or a short binary search; a table of pages would take 8 MiB for each 4 GiB.
 */
export class FlatView {
  /** First page of each interval; the last element is the end of the address space. */
  readonly starts: Float64Array;
  /** Offset in the buffer of each interval's first byte, -1 if the buffer does not hold it. */
  readonly offsets: Float64Array;
  /** {@link PageKind} */
  readonly kinds: Uint8Array;
  /** Index in `regions`, -1 for none. */
  readonly owners: Int32Array;
  readonly regions: readonly Region[];
  private last = 0;

  /** @param regions in the order in which they were added @param base offset in the buffer of backing 0 */
  constructor(regions: readonly Region[], base: number) {
    const cuts = new Set([0, physicalPages]);
    for (const { start, size } of regions) {
      cuts.add(start / pageSize);
      cuts.add((start + size) / pageSize);
    }
    const edges = [...cuts].sort((a, b) => a - b);
    const starts: number[] = [];
    const owners: number[] = [];
    for (const edge of edges.slice(0, -1)) {
      const owner = topmost(regions, edge);
      if (owners.length > 0 && owners.at(-1) === owner) continue;
      starts.push(edge);
      owners.push(owner);
    }
    this.starts = Float64Array.from([...starts, physicalPages]);
    this.owners = Int32Array.from(owners);
    this.regions = regions;
    this.kinds = Uint8Array.from(owners, (owner) => kindOf(regions[owner]));
    this.offsets = Float64Array.from(owners, (owner, i) => {
      const region = regions[owner];
      if (region?.kind !== 'ram' && region?.kind !== 'rom') return -1;
      return base + region.backing + starts[i] * pageSize - region.start;
    });
  }

  /** The interval that holds `page`. */
  find(page: number): number {
    const { starts } = this;
    const last = this.last;
    if (page >= starts[last] && page < starts[last + 1]) return last;
    let low = 0;
    let high = starts.length - 2;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (starts[middle] <= page) low = middle;
      else high = middle - 1;
    }
    this.last = low;
    return low;
  }
}

function topmost(regions: readonly Region[], page: number): number {
  let best = -1;
  let bestPriority = 0;
  for (const [i, { start, size, priority = 0 }] of regions.entries()) {
    if (page * pageSize < start || page * pageSize >= start + size) continue;
    if (best >= 0 && priority < bestPriority) continue;
    best = i;
    bestPriority = priority;
  }
  return best;
}

function kindOf(region: Region | undefined): number {
  if (region === undefined || region.kind === 'reserved') return PageKind.none;
  return PageKind[region.kind];
}
