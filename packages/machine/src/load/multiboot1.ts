import type { FlatImage, ImageFile } from './boot-image.ts';
import type { BootPlan, BootRequest } from './boot-plan.ts';
import { ImageError } from './elf.ts';
import { protectedEntry } from './entry-state.ts';
import { checkEntry, commandLineBytes, LowMemory, modulesBehind, roundUp } from './placement.ts';
import { Structure } from './structure.ts';

const headerMagic = 0x1bad_b002;
const loaderMagic = 0x2bad_b002;
/** The header lies in so many bytes from the file's begin. */
const searched = 8192;
/** As long as what Linux takes at most, and more; it ends below 64 KiB. */
export const longestCommandLine = 8192;

/** Bits of the header's flags (specification 0.6.96 §3.1.2). Those below 16 are demands. */
const Demand = { alignedModules: 1, memory: 2, video: 4, hasLoadAddresses: 0x1_0000 } as const;
const understood: number = Demand.alignedModules | Demand.memory | Demand.video;

/** Bits that say what the information structure has (§3.3). */
const Has = { memory: 1, commandLine: 4, modules: 8, memoryMap: 0x40, loaderName: 0x200 } as const;

/** Parts of the information, by their offset. */
const Part = { loaderName: 256, memoryMap: 512, commandLine: 1024 } as const;

/** Offsets of the structure's fields that we fill. */
const Field = {
  flags: 0,
  memoryLower: 4,
  memoryUpper: 8,
  commandLine: 16,
  moduleCount: 20,
  modules: 24,
  mapBytes: 44,
  map: 48,
  loaderName: 64,
} as const;

/** A multiboot 1 image, or undefined. @throws ImageError if it is damaged */
export function readMultiboot({ bytes: file, elf }: ImageFile): FlatImage | undefined {
  const header = findHeader(file);
  if (header < 0) return undefined;
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const flags = view.getUint32(header + 4, true);
  const unknown = flags & 0xffff & ~understood;
  if (unknown !== 0)
    throw new ImageError(`multiboot header demands what is not known (flags 0x${unknown.toString(16)})`);
  const hasAddresses = (flags & Demand.hasLoadAddresses) !== 0;
  if (!hasAddresses && elf === undefined)
    throw new ImageError('multiboot image is no ELF file and has no load addresses');
  if (hasAddresses && header + 32 > file.length)
    throw new ImageError('the file ends within its multiboot header');
  if (!hasAddresses && elf !== undefined) {
    checkEntry(elf.entry, elf.segments);
    return { protocol: 'multiboot', entry: elf.entry, segments: elf.segments };
  }
  const [headerAddress, load, loadEnd, bssEnd, entry] = [12, 16, 20, 24, 28].map((offset) =>
    view.getUint32(header + offset, true),
  );
  const segments = [loadedPart(file, header, { headerAddress, load, loadEnd, bssEnd })];
  checkEntry(entry, segments);
  return { protocol: 'multiboot', entry, segments };
}

/** What a header with addresses says to load; multiboot 2 has the same four. @throws ImageError if the file does not have it */
export function loadedPart(
  file: Uint8Array,
  header: number,
  addresses: {
    readonly headerAddress: number;
    readonly load: number;
    readonly loadEnd: number;
    readonly bssEnd: number;
  },
): { address: number; bytes: Uint8Array; memorySize: number } {
  const { headerAddress, load, loadEnd, bssEnd } = addresses;
  const start = header - (headerAddress - load);
  const end = loadEnd === 0 ? file.length : start + (loadEnd - load);
  if (start < 0 || end < start || end > file.length)
    throw new ImageError('multiboot load addresses lie outside the file');
  const bytes = file.subarray(start, end);
  const memorySize = Math.max(bytes.length, bssEnd === 0 ? 0 : bssEnd - load);
  return { address: load, bytes, memorySize };
}

function findHeader(file: Uint8Array): number {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  for (let at = 0; at + 12 <= Math.min(file.length, searched); at += 4) {
    if (view.getUint32(at, true) !== headerMagic) continue;
    const sum = (headerMagic + view.getUint32(at + 4, true) + view.getUint32(at + 8, true)) | 0;
    if (sum === 0) return at;
  }
  return -1;
}

/** Segments, information, modules. @throws ImageError if they do not fit */
export function planMultiboot(image: FlatImage, request: BootRequest): BootPlan {
  const { map, modules = [] } = request;
  const { segments } = image;
  const loaded = modulesBehind(segments, modules, map);
  const texts = modules.map(({ commandLine }) => commandLineBytes(commandLine, longestCommandLine));
  const commandLine = commandLineBytes(request.commandLine, longestCommandLine);
  const list = roundUp(Part.commandLine + commandLine.length, 4);
  let textAt = list + 16 * modules.length;
  const size = texts.reduce((sum, { length }) => sum + length, textAt);
  const address = new LowMemory([...segments, ...loaded]).take(size, 4096);

  const information = new Structure(size);
  let flags = Has.memory | Has.commandLine | Has.memoryMap | Has.loaderName;
  information.put32(Field.memoryLower, 639);
  information.put32(Field.memoryUpper, (map.lowRam - 0x10_0000) / 1024);
  information.put32(Field.commandLine, address + Part.commandLine);
  information.putBytes(Part.commandLine, commandLine);
  information.put32(Field.loaderName, address + Part.loaderName);
  information.putText(Part.loaderName, 'nest86');
  information.put32(Field.mapBytes, map.ranges.length * 24);
  information.put32(Field.map, address + Part.memoryMap);
  for (const [i, { start, size: bytes, type }] of map.ranges.entries()) {
    const at = Part.memoryMap + 24 * i;
    // The entry's size does not count itself.
    information.put32(at, 20);
    information.put64(at + 4, start);
    information.put64(at + 12, bytes);
    information.put32(at + 20, type);
  }
  if (modules.length > 0) {
    flags |= Has.modules;
    information.put32(Field.moduleCount, modules.length);
    information.put32(Field.modules, address + list);
  }
  for (const [i, module] of loaded.entries()) {
    const at = list + 16 * i;
    information.put32(at, module.address);
    information.put32(at + 4, module.address + module.memorySize);
    information.put32(at + 8, address + textAt);
    information.putBytes(textAt, texts[i]);
    textAt += texts[i].length;
  }
  information.put32(Field.flags, flags);
  const { bytes } = information;
  return {
    writes: [...segments, { address, bytes, memorySize: size }, ...loaded],
    entry: protectedEntry(image.entry, { eax: loaderMagic, ebx: address }, { base: 0, limit: 0xffff }),
  };
}
