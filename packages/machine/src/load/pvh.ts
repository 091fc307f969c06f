import type { FlatImage, ImageFile } from './boot-image.ts';
import type { BootPlan, BootRequest } from './boot-plan.ts';
import { ImageError } from './elf.ts';
import { descriptorTableBytes, flatDescriptors, protectedEntry } from './entry-state.ts';
import { longestCommandLine } from './multiboot1.ts';
import { checkEntry, commandLineBytes, initrdBelow, LowMemory } from './placement.ts';
import { Structure } from './structure.ts';

/** XEN_ELFNOTE_PHYS32_ENTRY. */
const entryNote = 18;
const magic = 0x336e_c578;

/** Parts of the boot information, by their offset: hvm_start_info lies at 0. */
const Part = { modules: 64, descriptors: 128, memoryMap: 512, commandLine: 1024 } as const;

/** An ELF file with Xen's note 18, or undefined. @throws ImageError if it is damaged */
export function readPvh({ elf }: ImageFile): FlatImage | undefined {
  const note = elf?.notes.find(({ name, type }) => name === 'Xen' && type === entryNote);
  if (elf === undefined || note === undefined) return undefined;
  const { bytes } = note;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 4) throw new ImageError('the PVH note has no entry address');
  // 64-bit kernels write eight bytes.
  const high = bytes.length >= 8 ? view.getUint32(4, true) : 0;
  const entry = view.getUint32(0, true) + high * 2 ** 32;
  checkEntry(entry, elf.segments);
  return { protocol: 'pvh', entry, segments: elf.segments };
}

/** Segments, hvm_start_info of version 1 and what it points at, initrd. @throws ImageError if they do not fit */
export function planPvh(image: FlatImage, request: BootRequest): BootPlan {
  const { map, modules = [], rsdp } = request;
  const { segments } = image;
  const end = segments.reduce(
    (most, { address, memorySize }) => (address < map.lowRam ? Math.max(most, address + memorySize) : most),
    0x10_0000,
  );
  const initrd = initrdBelow(map.lowRam, end, modules, map);
  const commandLine = commandLineBytes(request.commandLine, longestCommandLine);
  const size = Part.commandLine + commandLine.length;
  const address = new LowMemory(segments).take(size, 4096);

  const information = new Structure(size);
  information.put32(0, magic);
  information.put32(4, 1);
  if (initrd !== undefined) {
    information.put32(12, 1);
    information.put64(16, address + Part.modules);
    information.put64(Part.modules, initrd.address);
    information.put64(Part.modules + 8, initrd.memorySize);
  }
  information.put64(24, address + Part.commandLine);
  information.put64(32, rsdp?.address ?? 0);
  information.put64(40, address + Part.memoryMap);
  information.put32(48, map.ranges.length);
  for (const [i, range] of map.ranges.entries()) {
    const at = Part.memoryMap + 24 * i;
    information.put64(at, range.start);
    information.put64(at + 8, range.size);
    information.put32(at + 16, range.type);
  }
  information.putBytes(Part.descriptors, flatDescriptors('protected'));
  information.putBytes(Part.commandLine, commandLine);
  const gdtr = { base: address + Part.descriptors, limit: descriptorTableBytes - 1 };
  return {
    writes: [
      ...segments,
      { address, bytes: information.bytes, memorySize: size },
      ...(initrd === undefined ? [] : [initrd]),
    ],
    entry: protectedEntry(image.entry, { ebx: address }, gdtr),
  };
}
