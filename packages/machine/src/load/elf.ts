/** A file that no loader takes, and why. */
export class ImageError extends Error {
  override readonly name: string = 'ImageError';
}

export interface ElfSegment {
  /** Guest-physical address. */
  readonly address: number;
  readonly bytes: Uint8Array;
  /** Bytes in memory; what the file does not have is 0. */
  readonly memorySize: number;
}

export interface ElfImage {
  readonly entry: number;
  readonly segments: readonly ElfSegment[];
  /** Descriptors of ELF notes. */
  readonly notes: readonly { readonly name: string; readonly type: number; readonly bytes: Uint8Array }[];
}

const loadable = 1;
const note = 4;

/** Whether a file begins as ELF files do. */
export function isElf(file: Uint8Array): boolean {
  return file.length > 52 && file[0] === 0x7f && file[1] === 0x45 && file[2] === 0x4c && file[3] === 0x46;
}

/** Loadable segments and notes of an ELF file for x86, 32 or 64 bits. @throws ImageError if the file is damaged */
export function readElf(file: Uint8Array): ElfImage {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const is64 = file[4] === 2;
  if (file.length < 64) throw new ImageError('ELF file ends within its header');
  const machine = view.getUint16(18, true);
  if (machine !== 3 && machine !== 62)
    throw new ImageError(`ELF machine ${machine}: 3 (i386) or 62 (x86-64) is allowed`);
  const word = (at: number): number =>
    is64 ? view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32 : view.getUint32(at, true);
  const entry = word(24);
  const table = word(is64 ? 32 : 28);
  const size = view.getUint16(is64 ? 54 : 42, true);
  const count = view.getUint16(is64 ? 56 : 44, true);
  const segments: ElfSegment[] = [];
  const notes: { name: string; type: number; bytes: Uint8Array }[] = [];
  const least = is64 ? 56 : 32;
  if (count > 0 && size < least)
    throw new ImageError(`ELF program headers of ${size} bytes: ${least} at least are allowed`);
  for (let i = 0; i < count; i++) {
    const at = table + i * size;
    if (at + size > file.length) throw new ImageError('ELF program headers lie beyond the end of the file');
    const type = view.getUint32(at, true);
    const offset = word(at + (is64 ? 8 : 4));
    const address = word(at + (is64 ? 24 : 12));
    const fileSize = word(at + (is64 ? 32 : 16));
    const memorySize = word(at + (is64 ? 40 : 20));
    if (type !== loadable && type !== note) continue;
    if (offset + fileSize > file.length)
      throw new ImageError(`ELF segment ${i} lies beyond the end of the file`);
    const bytes = file.subarray(offset, offset + fileSize);
    if (type === loadable && memorySize < fileSize)
      throw new ImageError(`ELF segment ${i} has ${fileSize} bytes for ${memorySize} bytes of memory`);
    if (type === loadable) segments.push({ address, bytes, memorySize });
    else notes.push(...readNotes(bytes));
  }
  return { entry, segments, notes };
}

function readNotes(bytes: Uint8Array): { name: string; type: number; bytes: Uint8Array }[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const notes = [];
  for (let at = 0; at + 12 <= bytes.length; ) {
    const nameSize = view.getUint32(at, true);
    const size = view.getUint32(at + 4, true);
    const type = view.getUint32(at + 8, true);
    // Whoever wrote a note that does not fit has written none behind it.
    if (nameSize > bytes.length || size > bytes.length) break;
    const start = at + 12 + align4(nameSize);
    if (start + size > bytes.length) break;
    // Names that are looked for are short.
    const length = Math.min(16, Math.max(0, nameSize - 1));
    const name = String.fromCharCode(...bytes.subarray(at + 12, at + 12 + length));
    notes.push({ name, type, bytes: bytes.subarray(start, start + size) });
    at = start + align4(size);
  }
  return notes;
}

function align4(value: number): number {
  return (value + 3) & ~3;
}
