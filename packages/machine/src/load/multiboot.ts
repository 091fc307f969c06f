import { type ElfImage, type ElfSegment, ImageError, isElf, readElf } from './elf.ts';

/** An image and how its first instruction wants to be entered: 32-bit protected mode, flat, paging off. */
export interface BootImage {
  readonly protocol: 'multiboot' | 'pvh';
  readonly entry: number;
  readonly segments: readonly ElfSegment[];
}

export interface BootParameters {
  /** Bytes of RAM from address 0. */
  readonly memory: number;
  readonly commandLine: string;
}

/** What a loader puts into memory and registers beside the image. */
export interface BootInformation {
  readonly address: number;
  readonly bytes: Uint8Array;
  readonly eax: number;
  readonly ebx: number;
}

const magic = 0x1badb002;
const loaderMagic = 0x2badb002;
/** Where the information structure goes if the image leaves room: below the extended BIOS data area, above what real mode uses. */
const firstInformation = 0x9000;
/** The extended BIOS data area. */
const informationEnd = 0x9fc00;
/** As long as what Linux takes at most, and more; it ends below 64 KiB. */
const longestCommandLine = 8192;
const pvhEntryNote = 18;
const pvhMagic = 0x336ec578;

/** Reads a multiboot 1 image (specification 0.6.96) or a PVH ELF (Xen's ELF note 18). @throws ImageError for anything else */
export function readBootImage(file: Uint8Array): BootImage {
  const header = findHeader(file);
  const elf = isElf(file) ? readElf(file) : undefined;
  if (header >= 0) return multibootImage(file, header, elf);
  const entry = elf?.notes.find(({ name, type }) => name === 'Xen' && type === pvhEntryNote);
  if (elf === undefined || entry === undefined)
    throw new ImageError('no multiboot header in the first 8 KiB and no PVH note: neither kind of image');
  const { bytes } = entry;
  if (bytes.length < 4) throw new ImageError('the PVH note has no entry address');
  const address = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  return { protocol: 'pvh', entry: address, segments: elf.segments };
}

/** An address below the first MiB where the image is not. @throws ImageError if it covers all of it */
function placeOf({ segments }: BootImage, bytes: number): number {
  let place = firstInformation;
  for (;;) {
    const above = segments.find(
      ({ address, memorySize }) => address < place + bytes && address + memorySize > place,
    );
    if (above === undefined) break;
    place = Math.ceil((above.address + above.memorySize) / 4096) * 4096;
  }
  if (place + bytes > informationEnd)
    throw new ImageError('the image leaves no room for the boot information below 640 KiB');
  return place;
}

function findHeader(file: Uint8Array): number {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  for (let at = 0; at + 12 <= Math.min(file.length, 8192); at += 4) {
    if (view.getUint32(at, true) !== magic) continue;
    const sum = (magic + view.getUint32(at + 4, true) + view.getUint32(at + 8, true)) | 0;
    if (sum === 0) return at;
  }
  return -1;
}

function multibootImage(file: Uint8Array, header: number, elf: ElfImage | undefined): BootImage {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const flags = view.getUint32(header + 4, true);
  // Bit 16: the header says where to load; used by images that are no ELF files.
  if (elf !== undefined && elf.entry >= 2 ** 32)
    throw new ImageError(`multiboot entry 0x${elf.entry.toString(16)}: an address below 4 GiB is allowed`);
  if (elf !== undefined && (flags & 0x10000) === 0)
    return { protocol: 'multiboot', entry: elf.entry, segments: elf.segments };
  if ((flags & 0x10000) === 0)
    throw new ImageError('multiboot image is no ELF file and has no load addresses');
  if (header + 32 > file.length) throw new ImageError('the file ends within its multiboot header');
  const [headerAddress, load, loadEnd, bssEnd, entry] = [12, 16, 20, 24, 28].map((offset) =>
    view.getUint32(header + offset, true),
  );
  const start = header - (headerAddress - load);
  const end = loadEnd === 0 ? file.length : start + (loadEnd - load);
  if (start < 0 || end < start || end > file.length)
    throw new ImageError('multiboot load addresses lie outside the file');
  const bytes = file.subarray(start, end);
  const memorySize = Math.max(bytes.length, bssEnd === 0 ? 0 : bssEnd - load);
  return { protocol: 'multiboot', entry, segments: [{ address: load, bytes, memorySize }] };
}

/** The structure that the image's protocol wants to find. @throws ImageError for a command line that is too long */
export function bootInformation(image: BootImage, { memory, commandLine }: BootParameters): BootInformation {
  if (commandLine.length > longestCommandLine)
    throw new ImageError(
      `a command line of ${commandLine.length} characters: ${longestCommandLine} are allowed`,
    );
  const { protocol } = image;
  const bytes = new Uint8Array(1024 + commandLine.length + 1);
  const informationAddress = placeOf(image, bytes.length);
  const view = new DataView(bytes.buffer);
  const textAt = 1024;
  for (let i = 0; i < commandLine.length; i++) {
    const letter = commandLine.charCodeAt(i);
    if (letter === 0 || letter > 127)
      throw new ImageError(`character ${i + 1} of the command line: letters of ASCII are allowed`);
    bytes[textAt + i] = letter;
  }
  const ranges: readonly (readonly [start: number, size: number, type: number])[] = [
    [0, 0x9fc00, 1],
    [0x9fc00, 0x60400, 2],
    [0x100000, memory - 0x100000, 1],
  ];
  const map = 512;
  const put64 = (at: number, value: number): void => {
    view.setUint32(at, value % 2 ** 32, true);
    view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
  };
  if (protocol === 'multiboot') {
    // Memory sizes, command line, memory map, loader's name.
    view.setUint32(0, 1 | 4 | 0x40 | 0x200, true);
    view.setUint32(4, 639, true);
    view.setUint32(8, (memory - 0x100000) / 1024, true);
    view.setUint32(16, informationAddress + textAt, true);
    view.setUint32(44, ranges.length * 24, true);
    view.setUint32(48, informationAddress + map, true);
    view.setUint32(64, informationAddress + 256, true);
    bytes.set([0x6e, 0x65, 0x73, 0x74, 0x38, 0x36], 256);
    for (const [i, [start, size, type]] of ranges.entries()) {
      const at = map + 24 * i;
      view.setUint32(at, 20, true);
      put64(at + 4, start);
      put64(at + 12, size);
      view.setUint32(at + 20, type, true);
    }
    return { address: informationAddress, bytes, eax: loaderMagic | 0, ebx: informationAddress };
  }
  // hvm_start_info, version 1.
  view.setUint32(0, pvhMagic, true);
  view.setUint32(4, 1, true);
  put64(24, informationAddress + textAt);
  put64(40, informationAddress + map);
  view.setUint32(48, ranges.length, true);
  for (const [i, [start, size, type]] of ranges.entries()) {
    put64(map + 24 * i, start);
    put64(map + 24 * i + 8, size);
    view.setUint32(map + 24 * i + 16, type, true);
  }
  return { address: informationAddress, bytes, eax: 0, ebx: informationAddress };
}
