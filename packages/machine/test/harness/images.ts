/*
 * Small kernels of every kind, made by hand. Each has one segment at 1 MiB whose first byte is F4h (HLT).
 */

export const kernelAddress = 0x10_0000;
export const code: Uint8Array = Uint8Array.from([0xf4, 1, 2, 3, 4, 5, 6, 7]);

export interface Segment {
  readonly type: number;
  readonly address?: number;
  readonly bytes: Uint8Array;
  readonly memory?: number;
}

const headerBytes = 64;
const programHeaderBytes = 56;

/** An ELF file of 64 bits; segments follow the program headers, `prefix` lies right behind the header. */
export function elfFile(entry: number, segments: readonly Segment[], prefix?: Uint8Array): Uint8Array {
  const table = headerBytes + (prefix?.length ?? 0);
  let at = table + programHeaderBytes * segments.length;
  const size = segments.reduce((sum, { bytes }) => sum + bytes.length, at);
  const file = new Uint8Array(size);
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(18, 62, true);
  view.setUint32(24, entry, true);
  view.setUint32(32, table, true);
  view.setUint16(54, programHeaderBytes, true);
  view.setUint16(56, segments.length, true);
  if (prefix !== undefined) file.set(prefix, headerBytes);
  for (const [i, { type, address = 0, bytes, memory = bytes.length }] of segments.entries()) {
    const header = table + programHeaderBytes * i;
    view.setUint32(header, type, true);
    view.setUint32(header + 8, at, true);
    view.setUint32(header + 24, address, true);
    view.setUint32(header + 32, bytes.length, true);
    view.setUint32(header + 40, memory, true);
    file.set(bytes, at);
    at += bytes.length;
  }
  return file;
}

function words(...values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(4 * values.length);
  const view = new DataView(bytes.buffer);
  for (const [i, value] of values.entries()) view.setUint32(4 * i, value, true);
  return bytes;
}

/** XEN_ELFNOTE_PHYS32_ENTRY with an address of eight bytes. */
export function pvhImage(entry: number = kernelAddress): Uint8Array {
  const note = words(4, 8, 18, 0x6e_6558, entry, 0);
  return elfFile(kernelAddress, [
    { type: 1, address: kernelAddress, bytes: code, memory: 4096 },
    { type: 4, bytes: note },
  ]);
}

/** @param flags of the header */
export function multibootImage(flags = 3): Uint8Array {
  const magic = 0x1bad_b002;
  const header = words(magic, flags, -(magic + flags) >>> 0);
  return elfFile(kernelAddress, [{ type: 1, address: kernelAddress, bytes: code, memory: 4096 }], header);
}

/** A multiboot 1 image that is no ELF file: its header has the addresses. */
export function flatMultibootImage(): Uint8Array {
  const magic = 0x1bad_b002;
  const flags = 0x1_0003;
  const end = kernelAddress + 32 + code.length;
  const addresses = [kernelAddress, kernelAddress, end, end + 4096, kernelAddress + 32];
  const header = words(magic, flags, -(magic + flags) >>> 0, ...addresses);
  return Uint8Array.from([...header, ...code]);
}

/** @param tags of the header, as words, without the end tag */
export function multiboot2Image(...tags: readonly number[]): Uint8Array {
  const magic = 0xe852_50d6;
  const length = 16 + 4 * tags.length + 8;
  const header = words(magic, 0, length, -(magic + length) >>> 0, ...tags, 0, 8);
  return elfFile(kernelAddress, [{ type: 1, address: kernelAddress, bytes: code, memory: 4096 }], header);
}

/** A bzImage of protocol 2.15 with two setup sectors and a signature behind it. */
export function linuxImage(): Uint8Array {
  const setup = 1536;
  const kernel = 4096;
  const file = new Uint8Array(setup + kernel + 24);
  const view = new DataView(file.buffer);
  file[0x1f1] = 2;
  view.setUint32(0x1f4, kernel / 16, true);
  view.setUint16(0x1fe, 0xaa55, true);
  file.set([0xeb, 0x6a, 0x48, 0x64, 0x72, 0x53], 0x200);
  view.setUint16(0x206, 0x20f, true);
  file[0x211] = 1;
  view.setUint32(0x22c, 0x7fff_ffff, true);
  view.setUint32(0x230, 0x20_0000, true);
  file[0x234] = 1;
  view.setUint16(0x236, 1, true);
  view.setUint32(0x238, 2047, true);
  view.setUint32(0x258, 0x100_0000, true);
  view.setUint32(0x260, 0x80_0000, true);
  file.set(code, setup);
  return file;
}

/** A multiboot 1 image that is entered at an address where it has nothing but a HLT: whoever starts it puts the rest there. */
export function bareImage(entry: number): Uint8Array {
  const magic = 0x1bad_b002;
  const header = words(magic, 3, -(magic + 3) >>> 0);
  return elfFile(entry, [{ type: 1, address: entry, bytes: code }], header);
}
