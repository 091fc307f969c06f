import type { FlatImage, ImageFile } from './boot-image.ts';
import type { BootPlan, BootRequest } from './boot-plan.ts';
import { ImageError } from './elf.ts';
import { protectedEntry } from './entry-state.ts';
import { loadedPart, longestCommandLine } from './multiboot1.ts';
import { checkEntry, commandLineBytes, LowMemory, modulesBehind, roundUp } from './placement.ts';
import { Structure } from './structure.ts';

const headerMagic = 0xe852_50d6;
const loaderMagic = 0x36d7_6289;
const searched = 32768;

/** Tags of the header (specification 2.0 §3.1.3). */
const Demand = {
  end: 0,
  information: 1,
  addresses: 2,
  entry: 3,
  console: 4,
  alignedModules: 6,
  relocatable: 10,
} as const;

/** Tags of the information (§3.6). */
const Tag = {
  end: 0,
  commandLine: 1,
  loaderName: 2,
  module: 3,
  basicMemory: 4,
  memoryMap: 6,
  acpiNew: 15,
} as const;
const given: ReadonlySet<number> = new Set(Object.values(Tag));

/** A multiboot 2 image, or undefined. @throws ImageError if it is damaged, or demands what there is not */
export function readMultiboot2({ bytes: file, elf }: ImageFile): FlatImage | undefined {
  const header = findHeader(file);
  if (header < 0) return undefined;
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const architecture = view.getUint32(header + 4, true);
  if (architecture !== 0)
    throw new ImageError(`multiboot 2 architecture ${architecture}: 0 (i386) is allowed`);
  const end = header + view.getUint32(header + 8, true);
  if (end > file.length) throw new ImageError('the file ends within its multiboot 2 header');
  let entry = elf?.entry;
  let segments = elf?.segments;
  for (let at = header + 16; ; ) {
    if (at + 8 > end) throw new ImageError('the multiboot 2 header has no end tag');
    const type = view.getUint16(at, true);
    const isOptional = (view.getUint16(at + 2, true) & 1) !== 0;
    const size = view.getUint32(at + 4, true);
    if (type === Demand.end) break;
    if (size < 8 || at + size > end) throw new ImageError(`multiboot 2 header tag ${type} of ${size} bytes`);
    const word = (index: number): number => {
      if (8 + 4 * index + 4 > size) throw new ImageError(`multiboot 2 header tag ${type} of ${size} bytes`);
      return view.getUint32(at + 8 + 4 * index, true);
    };
    if (type === Demand.addresses) {
      const [headerAddress, load, loadEnd, bssEnd] = [word(0), word(1), word(2), word(3)];
      segments = [loadedPart(file, header, { headerAddress, load, loadEnd, bssEnd })];
    } else if (type === Demand.entry) entry = word(0);
    else if (type === Demand.information && !isOptional)
      for (let i = 0; 8 + 4 * i + 4 <= size; i++) {
        if (!given.has(word(i))) throw new ImageError(`multiboot 2 image demands information ${word(i)}`);
      }
    else if (!isOptional && !isHarmless(type))
      throw new ImageError(`multiboot 2 image demands what header tag ${type} stands for`);
    at += roundUp(size, 8);
  }
  if (segments === undefined)
    throw new ImageError('multiboot 2 image is no ELF file and has no load addresses');
  if (entry === undefined) throw new ImageError('multiboot 2 image is no ELF file and has no entry address');
  checkEntry(entry, segments);
  return { protocol: 'multiboot2', entry, segments };
}

/** Tags that ask for nothing that is not so anyway: images are loaded where they want to be. */
function isHarmless(type: number): boolean {
  return (
    type === Demand.information ||
    type === Demand.console ||
    type === Demand.alignedModules ||
    type === Demand.relocatable
  );
}

function findHeader(file: Uint8Array): number {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  for (let at = 0; at + 16 <= Math.min(file.length, searched); at += 8) {
    if (view.getUint32(at, true) !== headerMagic) continue;
    const sum =
      (headerMagic +
        view.getUint32(at + 4, true) +
        view.getUint32(at + 8, true) +
        view.getUint32(at + 12, true)) |
      0;
    if (sum === 0) return at;
  }
  return -1;
}

/** Segments, information, modules. @throws ImageError if they do not fit */
export function planMultiboot2(image: FlatImage, request: BootRequest): BootPlan {
  const { map, modules = [], rsdp } = request;
  const { segments } = image;
  const loaded = modulesBehind(segments, modules, map);
  const tags: Uint8Array[] = [];
  const add = (type: number, content: number, fill: (tag: Structure) => void): void => {
    const tag = new Structure(roundUp(8 + content, 8));
    tag.put32(0, type);
    tag.put32(4, 8 + content);
    fill(tag);
    tags.push(tag.bytes);
  };
  const addText = (type: number, text: Uint8Array): void =>
    add(type, text.length, (tag) => tag.putBytes(8, text));

  addText(Tag.commandLine, commandLineBytes(request.commandLine, longestCommandLine));
  addText(Tag.loaderName, commandLineBytes('nest86', longestCommandLine));
  for (const [i, { address, memorySize }] of loaded.entries()) {
    const text = commandLineBytes(modules[i].commandLine, longestCommandLine);
    add(Tag.module, 8 + text.length, (tag) => {
      tag.put32(8, address);
      tag.put32(12, address + memorySize);
      tag.putBytes(16, text);
    });
  }
  add(Tag.basicMemory, 8, (tag) => {
    tag.put32(8, 639);
    tag.put32(12, (map.lowRam - 0x10_0000) / 1024);
  });
  add(Tag.memoryMap, 8 + 24 * map.ranges.length, (tag) => {
    tag.put32(8, 24);
    for (const [i, { start, size, type }] of map.ranges.entries()) {
      tag.put64(16 + 24 * i, start);
      tag.put64(24 + 24 * i, size);
      tag.put32(32 + 24 * i, type);
    }
  });
  if (rsdp !== undefined) addText(Tag.acpiNew, rsdp.bytes);
  add(Tag.end, 0, () => {});

  const size = tags.reduce((sum, { length }) => sum + length, 8);
  const information = new Structure(size);
  information.put32(0, size);
  let at = 8;
  for (const tag of tags) {
    information.putBytes(at, tag);
    at += tag.length;
  }
  const address = new LowMemory([...segments, ...loaded]).take(size, 4096);
  return {
    writes: [...segments, { address, bytes: information.bytes, memorySize: size }, ...loaded],
    entry: protectedEntry(image.entry, { eax: loaderMagic, ebx: address }, { base: 0, limit: 0xffff }),
  };
}
