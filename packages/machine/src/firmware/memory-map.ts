import { Mmio } from './platform.ts';

/** Kinds of memory as BIOS function E820h numbers them (ACPI 6.5 §15.1). */
export const RangeType = { usable: 1, reserved: 2 } as const;

interface MemoryRange {
  readonly start: number;
  /** Bytes. */
  readonly size: number;
  /** {@link RangeType} */
  readonly type: number;
}

/** What lies where in physical memory. RAM is two pieces: the PCI hole is between them. */
export interface MemoryMap {
  /** Bytes of RAM from address 0. */
  readonly lowRam: number;
  /** Bytes of RAM from {@link highRamStart}. */
  readonly highRam: number;
  /** For the guest, sorted, without overlaps. */
  readonly ranges: readonly MemoryRange[];
}

/** RAM below 4 GiB ends here at the latest: 3 GiB; PCI windows and register pages follow. */
export const lowRamLimit = 0xc000_0000;
/** What does not fit below the limit begins at 4 GiB. */
export const highRamStart = 0x1_0000_0000;

/** The extended BIOS data area: 1 KiB below 640 KiB. */
export const extendedBiosData = 0x9fc00;
/** Where the video memory's hole begins. */
export const videoMemory = 0xa0000;
/** BIOS area: ACPI tables lie in it. */
const biosArea = 0xe0000;
/** Begin of what lies above the first MiB. */
export const extendedMemory = 0x10_0000;

/** The map of a machine with so many bytes of RAM, 1 MiB at least. */
export function memoryMap(memory: number): MemoryMap {
  const lowRam = Math.min(memory, lowRamLimit);
  const highRam = memory - lowRam;
  const { usable, reserved } = RangeType;
  const ranges: MemoryRange[] = [
    { start: 0, size: extendedBiosData, type: usable },
    { start: extendedBiosData, size: videoMemory - extendedBiosData, type: reserved },
    { start: biosArea, size: extendedMemory - biosArea, type: reserved },
  ];
  if (lowRam > extendedMemory)
    ranges.push({ start: extendedMemory, size: lowRam - extendedMemory, type: usable });
  // Linux uses the configuration space only if it is reserved here.
  ranges.push({ start: Mmio.ecam, size: Mmio.ecamBytes, type: reserved });
  if (highRam > 0) ranges.push({ start: highRamStart, size: highRam, type: usable });
  return { lowRam, highRam, ranges };
}
