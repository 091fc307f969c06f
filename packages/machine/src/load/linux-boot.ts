import type { BootPlan, BootRequest } from './boot-plan.ts';
import { ImageError } from './elf.ts';
import {
  descriptorTableBytes,
  flatDescriptors,
  identityTableBytes,
  identityTables,
  longEntry,
  protectedEntry,
} from './entry-state.ts';
import { type LinuxImage, SetupField } from './linux-image.ts';
import { commandLineBytes, initrdBelow, LowMemory } from './placement.ts';
import { Structure } from './structure.ts';

/** Offsets in struct boot_params, the "zero page" (kernel documentation, arch/x86/zero-page). */
const ZeroPage = {
  rootPointer: 0x70,
  ranges: 0x1e8,
  memoryMap: 0x2d0,
  bytes: 4096,
} as const;

/** type_of_loader: one without an assigned number. */
const unassignedLoader = 0xff;
/** vid_mode "normal". */
const normalVideo = 0xffff;
/** Of the 64-bit entry behind the 32-bit one. */
const longEntryOffset = 0x200;

/** Kernel, zero page, command line, descriptors, initrd. @throws ImageError if they do not fit */
export function planLinux(image: LinuxImage, request: BootRequest): BootPlan {
  const { map, modules = [], rsdp, entry: mode = 'protected' } = request;
  const { segments, workStart, workBytes } = image;
  if (mode === 'long' && !image.hasLongEntry) throw new ImageError('the Linux kernel has no 64-bit entry');
  const workEnd = workStart + workBytes;
  if (workEnd > map.lowRam)
    throw new ImageError(
      `the Linux kernel needs memory up to 0x${workEnd.toString(16)}; the machine has ${map.lowRam} bytes below 4 GiB`,
    );
  const initrd = initrdBelow(image.ramdiskLimit + 1, workEnd, modules, map);
  const commandLine = commandLineBytes(request.commandLine, image.commandLineSize);

  const low = new LowMemory(segments);
  const descriptors = { address: low.take(descriptorTableBytes, 16), bytes: flatDescriptors(mode) };
  const tables = mode === 'long' ? low.take(identityTableBytes, 4096) : 0;
  const zeroPage = low.take(ZeroPage.bytes, 4096);
  const text = { address: low.take(commandLine.length, 16), bytes: commandLine };

  const parameters = new Structure(ZeroPage.bytes);
  parameters.putBytes(SetupField.begin, image.setupHeader);
  parameters.put8(SetupField.loader, unassignedLoader);
  parameters.put16(SetupField.videoMode, normalVideo);
  parameters.put32(SetupField.codeStart, image.entry);
  parameters.put32(SetupField.commandLine, text.address);
  parameters.put32(SetupField.ramdiskAddress, initrd?.address ?? 0);
  parameters.put32(SetupField.ramdiskSize, initrd?.memorySize ?? 0);
  // Kernels before protocol 2.14 look for it in the BIOS area.
  parameters.put64(ZeroPage.rootPointer, rsdp?.address ?? 0);
  parameters.put8(ZeroPage.ranges, map.ranges.length);
  for (const [i, { start, size, type }] of map.ranges.entries()) {
    const at = ZeroPage.memoryMap + 20 * i;
    parameters.put64(at, start);
    parameters.put64(at + 8, size);
    parameters.put32(at + 16, type);
  }

  const writes = [descriptors, { address: zeroPage, bytes: parameters.bytes }, text];
  if (mode === 'long') writes.push({ address: tables, bytes: identityTables(tables) });
  const gdtr = { base: descriptors.address, limit: descriptorTableBytes - 1 };
  return {
    writes: [
      ...segments,
      ...writes.map(({ address, bytes }) => ({ address, bytes, memorySize: bytes.length })),
      ...(initrd === undefined ? [] : [initrd]),
    ],
    entry:
      mode === 'long'
        ? longEntry(image.entry + longEntryOffset, zeroPage, tables, gdtr)
        : protectedEntry(image.entry, { esi: zeroPage }, gdtr),
  };
}
