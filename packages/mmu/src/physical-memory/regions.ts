import { MemoryMapError } from '../errors.ts';

/** Physical addresses have up to 52 bits, page numbers up to 40: both are exact as a Number, so neither needs a pair nor a BigInt. */
export const pageSize = 4096;
export const physicalPages: number = 2 ** 40;

/**
 * What answers accesses to an MMIO region: a port that devices fit. `offset` counts from the region's start. Sizes are 1, 2 and 4 bytes;
 * an 8-byte access arrives as two of 4 bytes, low half first.
 */
export interface MmioHandler {
  /** @returns the value; bits beyond `size` are ignored */
  read(offset: number, size: number): number;
  write(offset: number, size: number, value: number): void;
}

interface RegionPlace {
  /** Guest-physical address of the first byte, a multiple of 4096. */
  readonly start: number;
  /** Bytes, a multiple of 4096. */
  readonly size: number;
  /** Where regions overlap, the highest priority is seen; of equals, the one that was added last. Default 0. */
  readonly priority?: number;
  /** For people. */
  readonly name?: string;
}

/** Memory that the buffer holds. A guest's writes to ROM are dropped. */
export interface BackedRegion extends RegionPlace {
  readonly kind: 'ram' | 'rom';
  /** Offset of the first byte in the memory's part of the buffer, a multiple of 4096. Regions may share backing (aliases). */
  readonly backing: number;
}

export interface MmioRegion extends RegionPlace {
  readonly kind: 'mmio';
  readonly handler: MmioHandler;
}

/** Nothing is there: reads give ones, writes are dropped, as where no region is. */
export interface ReservedRegion extends RegionPlace {
  readonly kind: 'reserved';
}

export type Region = BackedRegion | MmioRegion | ReservedRegion;

/** A region that is in the map. */
export interface RegionHandle {
  readonly region: Region;
  /** Takes it out again: what it covered reappears. A second call does nothing. */
  remove(): void;
}

/** Kinds of page as small numbers, for hot paths. */
export const PageKind = { none: 0, ram: 1, rom: 2, mmio: 3 } as const;

/** @throws MemoryMapError for a region that cannot be in a map over `backingSize` bytes */
export function checkRegion(region: Region, backingSize: number): void {
  const { kind, start, size, priority = 0 } = region;
  const place = `region ${region.name ?? kind} at ${hex(start)}`;
  if (!['ram', 'rom', 'mmio', 'reserved'].includes(kind))
    throw new MemoryMapError(`kind "${kind}": ram, rom, mmio or reserved is allowed`);
  if (!aligned(start) || start >= physicalPages * pageSize)
    throw new MemoryMapError(`${place}: start must be a multiple of 4096 below 2^52`);
  if (!aligned(size) || size === 0 || start + size > physicalPages * pageSize)
    throw new MemoryMapError(
      `${place}: size ${size} must be a positive multiple of 4096 that ends at or below 2^52`,
    );
  if (!Number.isInteger(priority)) throw new MemoryMapError(`${place}: priority must be an integer`);
  if (region.kind === 'ram' || region.kind === 'rom') {
    const { backing } = region;
    if (!aligned(backing) || backing + size > backingSize)
      throw new MemoryMapError(
        `${place}: backing ${hex(backing)} must be a multiple of 4096 with ${hex(size)} bytes behind it; the memory has ${hex(backingSize)}`,
      );
  }
}

export function aligned(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0 && value % pageSize === 0;
}

export function hex(value: number): string {
  return Number.isInteger(value) && value >= 0 ? `0x${value.toString(16)}` : String(value);
}
