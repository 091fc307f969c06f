import {
  extendedBiosData,
  extendedMemory,
  highRamStart,
  type MemoryMap,
  RangeType,
} from '../firmware/memory-map.ts';
import type { BootModule, BootWrite } from './boot-plan.ts';
import { ImageError } from './elf.ts';

/** Below lie what real mode and the first 32 KiB's users have. */
const firstFree = 0x9000;
const page = 4096;

/** RAM below the extended BIOS data area where the image is not, handed out from the bottom. */
export class LowMemory {
  private next = firstFree;

  constructor(private readonly taken: readonly BootWrite[]) {}

  /** @throws ImageError if the image leaves no room */
  take(bytes: number, alignment: number): number {
    let place = roundUp(this.next, alignment);
    for (;;) {
      const end = place + bytes;
      const above = this.taken.find(
        ({ address, memorySize }) => address < end && address + memorySize > place,
      );
      if (above === undefined) break;
      place = roundUp(above.address + above.memorySize, Math.max(alignment, page));
    }
    if (place + bytes > extendedBiosData)
      throw new ImageError('the image leaves no room for the boot information below 640 KiB');
    this.next = place + bytes;
    return place;
  }
}

/** Modules one after the other from the first page behind the image. @throws ImageError if they do not fit */
export function modulesBehind(
  segments: readonly BootWrite[],
  modules: readonly BootModule[],
  map: MemoryMap,
): BootWrite[] {
  let next = extendedMemory;
  for (const { address, memorySize } of segments)
    if (address < highRamStart) next = Math.max(next, address + memorySize);
  return modules.map(({ bytes }, i) => {
    const address = roundUp(next, page);
    next = address + bytes.length;
    if (next > map.lowRam) throw new ImageError(noRoom(`module ${i + 1}`, bytes, map));
    return { address, bytes, memorySize: bytes.length };
  });
}

/**
 * The initrd at the top of low RAM.
 *
 * @param floor end of what the kernel uses
 * @param limit highest address that the initrd may use, and 1
 * @throws ImageError if it does not fit
 */
export function initrdBelow(
  limit: number,
  floor: number,
  modules: readonly BootModule[],
  map: MemoryMap,
): BootWrite | undefined {
  if (modules.length > 1) throw new ImageError(`${modules.length} modules: this kernel takes one initrd`);
  if (modules.length === 0) return undefined;
  const [{ bytes }] = modules;
  const address = Math.floor((Math.min(limit, map.lowRam) - bytes.length) / page) * page;
  if (address < floor) throw new ImageError(noRoom('the initrd', bytes, map));
  return { address, bytes, memorySize: bytes.length };
}

function noRoom(what: string, { length }: Uint8Array, { lowRam }: MemoryMap): string {
  return `no room for ${what} of ${length} bytes: the kernel is in the way, or the machine's ${lowRam} bytes below 4 GiB are too few`;
}

/** All in RAM that the guest may use, none over another? @throws ImageError naming the first that is not */
export function checkPlacement(writes: readonly BootWrite[], map: MemoryMap): void {
  const sorted = writes
    .filter(({ memorySize }) => memorySize > 0)
    .sort((left, right) => left.address - right.address);
  let end = 0;
  for (const { address, memorySize } of sorted) {
    const isInRam = map.ranges.some(
      ({ start, size, type }) =>
        type === RangeType.usable && address >= start && address + memorySize <= start + size,
    );
    if (!isInRam)
      throw new ImageError(
        `the image needs memory from ${hex(address)} up to ${hex(address + memorySize)}; there the machine, which has ${map.lowRam + map.highRam} bytes, has no free RAM`,
      );
    if (address < end) throw new ImageError(`two parts of the image overlap at ${hex(address)}`);
    end = address + memorySize;
  }
}

/** @throws ImageError if no segment holds the entry */
export function checkEntry(entry: number, segments: readonly BootWrite[]): void {
  if (entry >= 2 ** 32) throw new ImageError(`entry ${hex(entry)}: an address below 4 GiB is allowed`);
  const isInside = segments.some(
    ({ address, memorySize }) => entry >= address && entry < address + memorySize,
  );
  if (!isInside) throw new ImageError(`the entry ${hex(entry)} lies in no segment of the image`);
}

/** A text of ASCII and the 0 behind it. @throws ImageError for other letters, or too many */
export function commandLineBytes(commandLine: string, most: number): Uint8Array {
  if (commandLine.length > most)
    throw new ImageError(`a command line of ${commandLine.length} characters: ${most} are allowed`);
  const bytes = new Uint8Array(commandLine.length + 1);
  for (let i = 0; i < commandLine.length; i++) {
    const letter = commandLine.charCodeAt(i);
    if (letter === 0 || letter > 127)
      throw new ImageError(`character ${i + 1} of the command line: letters of ASCII are allowed`);
    bytes[i] = letter;
  }
  return bytes;
}

export function roundUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment;
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
