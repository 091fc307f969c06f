import type { BootWrite } from '../load/boot-plan.ts';
import { Structure } from '../load/structure.ts';
import { extendedBiosData } from './memory-map.ts';
import { Port } from './platform.ts';

const biosData = 0x400;

/** The BIOS data area's words that systems without BIOS calls still read: port of COM1, segment of the extended area, KiB of base memory. */
export function biosDataArea(): BootWrite {
  const area = new Structure(0x100);
  area.put16(0x00, Port.serial);
  area.put16(0x0e, extendedBiosData >> 4);
  area.put16(0x13, extendedBiosData >> 10);
  return { address: biosData, bytes: area.bytes, memorySize: area.bytes.length };
}
