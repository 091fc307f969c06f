import { stateOffset } from './layout.ts';
import type { VcpuState } from './vcpu-state.ts';

/*
 * The cached parts of segment registers (SDM vol. 3, 3.4.3). Besides what a descriptor says there is what the engine checks an access by: first
 * and last offset, and rights.
 */

/** Bits of `segmentAttributes`: bits 8 to 23 of a descriptor's upper half, and one for registers that hold no segment. */
export const attributePresent = 0x80;
export const attributeLong = 0x2000;
export const attributeBig = 0x4000;
export const attributeUnusable = 0x1_0000;
const attributeSegment = 0x10;
const attributeCode = 8;
/** Of data segments. */
const attributeExpandDown = 4;
/** Code: readable; data: writable. */
const attributeAccess = 2;

/** A segment as descriptor caches hold it. */
export interface SegmentCache {
  /** 16 bits. */
  readonly selector: number;
  /** Linear address, 32 bits; FS, GS and system segments may have an upper half. */
  readonly base: number;
  readonly baseHigh?: number;
  /** Bytes, scaled by G, unsigned. */
  readonly limit: number;
  /** As `segmentAttributes` in the state's layout. */
  readonly attributes: number;
}

/** Writes all of a segment register; the processor must be told (`stateChanged`, `segmentsChanged`). */
export function setSegmentCache(state: VcpuState, segment: number, cache: SegmentCache): void {
  const { selector, base, baseHigh = 0, limit, attributes } = cache;
  writeSegmentCache(state, segment, selector, base, baseHigh, limit, attributes);
}

/** As {@link setSegmentCache}, without an object. */
export function writeSegmentCache(
  state: VcpuState,
  segment: number,
  selector: number,
  baseLow: number,
  baseHigh: number,
  limit: number,
  attributes: number,
): void {
  const { words } = state;
  words[selectorCell + segment] = selector & 0xffff;
  words[baseCell + 2 * segment] = baseLow;
  words[baseCell + 2 * segment + 1] = baseHigh;
  words[limitCell + segment] = limit;
  words[attributesCell + segment] = attributes;
  deriveSegmentAccess(state, segment);
}

/**
 * Brings `segmentFirst`, `segmentLast` and `segmentRights` up to date with limit and attributes (SDM vol. 3, 3.4.5.1 and 5.3), after these
 * were written by other means: a snapshot, a VM transition.
 */
export function deriveSegmentAccess(state: VcpuState, segment: number): void {
  const { words } = state;
  const limit = words[limitCell + segment];
  const attributes = words[attributesCell + segment];
  let first = 0;
  let last = limit;
  let rights = 0;
  const isUsable =
    (attributes & (attributeUnusable | attributePresent | attributeSegment)) ===
    (attributePresent | attributeSegment);
  if (!isUsable) {
    first = -1;
    last = 0;
  } else if ((attributes & attributeCode) !== 0) {
    rights = (attributes & attributeAccess) >> 1;
  } else {
    rights = 1 | (attributes & attributeAccess);
    // Expand-down: the offsets above the limit, up to 64 KiB or 4 GiB by B.
    if ((attributes & attributeExpandDown) !== 0) {
      last = (attributes & attributeBig) !== 0 ? -1 : 0xffff;
      first = (limit + 1) | 0;
      if (limit >>> 0 >= last >>> 0) {
        first = -1;
        last = 0;
      }
    }
  }
  words[firstCell + segment] = first;
  words[lastCell + segment] = last;
  words[rightsCell + segment] = rights;
}

// Cells of the state, as words.
const selectorCell: number = stateOffset.segmentSelector >> 2;
const baseCell: number = stateOffset.segmentBase >> 2;
const limitCell: number = stateOffset.segmentLimit >> 2;
const attributesCell: number = stateOffset.segmentAttributes >> 2;
const firstCell: number = stateOffset.segmentFirst >> 2;
const lastCell: number = stateOffset.segmentLast >> 2;
const rightsCell: number = stateOffset.segmentRights >> 2;
