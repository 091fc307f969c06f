import type { PhysicalMemory } from '@nest86/mmu';
import { encodeValue } from './value.ts';

const pageSize = 4096;
/** Pages of a part: 1 MiB. */
const pagesOfPart = 256;
const bitmapSize: number = pagesOfPart / 8;

/** A unit's name and bytes. */
export interface SnapshotPart {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** What the unit `ram` says of its parts `ram/0`, `ram/1` …: part n is the nth MiB. */
export interface RamIndex {
  readonly version: 1;
  /** Bytes of RAM. */
  readonly size: number;
  /** Numbers of the parts that there are, ascending; all others hold zeros. */
  readonly parts: readonly number[];
}

/** RAM as it is backed, whatever the guest sees over it: the index, then a part for each MiB that is not all zeros. */
export function saveRam(physical: PhysicalMemory, size: number): SnapshotPart[] {
  const parts: SnapshotPart[] = [];
  const numbers: number[] = [];
  for (let number = 0; number * pagesOfPart * pageSize < size; number++) {
    const bytes = savePart(physical, number, size);
    if (bytes === undefined) continue;
    numbers.push(number);
    parts.push({ name: `ram/${number}`, bytes });
  }
  const index: RamIndex = { version: 1, size, parts: numbers };
  return [{ name: 'ram', bytes: encodeValue(index) }, ...parts];
}

/** A bit for each page that is not all zeros, then these pages; undefined if there are none. */
function savePart(
  { bytes, words, base }: PhysicalMemory,
  number: number,
  size: number,
): Uint8Array | undefined {
  const first = number * pagesOfPart;
  const count = Math.min(pagesOfPart, size / pageSize - first);
  const bitmap = new Uint8Array(bitmapSize);
  let used = 0;
  for (let i = 0; i < count; i++) {
    if (isZero(words, (base + (first + i) * pageSize) / 4)) continue;
    bitmap[i >> 3] |= 1 << (i & 7);
    used++;
  }
  if (used === 0) return undefined;
  const part = new Uint8Array(bitmapSize + used * pageSize);
  part.set(bitmap);
  let at = bitmapSize;
  for (let i = 0; i < count; i++) {
    if ((bitmap[i >> 3] & (1 << (i & 7))) === 0) continue;
    const start = base + (first + i) * pageSize;
    part.set(bytes.subarray(start, start + pageSize), at);
    at += pageSize;
  }
  return part;
}

function isZero(words: Int32Array, start: number): boolean {
  for (let i = start; i < start + pageSize / 4; i++) if (words[i] !== 0) return false;
  return true;
}

/** @returns what is wrong with a part, or undefined */
export function partMismatch(number: number, bytes: Uint8Array, size: number): string | undefined {
  const count = Math.min(pagesOfPart, size / pageSize - number * pagesOfPart);
  if (!Number.isInteger(number) || number < 0 || count <= 0)
    return `there is no part ${number} of ${size} bytes`;
  if (bytes.length < bitmapSize) return `${bytes.length} bytes`;
  let used = 0;
  for (let i = 0; i < pagesOfPart; i++) {
    if ((bytes[i >> 3] & (1 << (i & 7))) === 0) continue;
    if (i >= count) return `page ${i} of ${count}`;
    used++;
  }
  return bytes.length === bitmapSize + used * pageSize
    ? undefined
    : `${bytes.length} bytes for ${used} pages`;
}

/** Writes all of RAM: pages of `parts`, by number, and zeros. */
export function restoreRam(
  physical: PhysicalMemory,
  size: number,
  parts: ReadonlyMap<number, Uint8Array>,
): void {
  const { bytes, words, base } = physical;
  for (let page = 0, at = 0; page < size / pageSize; page++) {
    const inPart = page % pagesOfPart;
    if (inPart === 0) at = bitmapSize;
    const part = parts.get(Math.floor(page / pagesOfPart));
    const start = base + page * pageSize;
    if (part !== undefined && (part[inPart >> 3] & (1 << (inPart & 7))) !== 0) {
      bytes.set(part.subarray(at, at + pageSize), start);
      at += pageSize;
    } else if (isZero(words, start / 4)) continue;
    else bytes.fill(0, start, start + pageSize);
    physical.written(start, pageSize);
  }
}
