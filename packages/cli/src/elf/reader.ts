/** What the reader asks of a file. */
export interface ElfBytes {
  readonly size: number;
  /** Fills `target` from `position` on; answers how many bytes there were. */
  read(target: Uint8Array, position: number): number;
}

/** Why this is not a usable ELF file for x86. */
export class ElfError extends Error {}

/** Reads checked pieces of the file. */
export class Reader {
  readonly bytes: ElfBytes;

  constructor(bytes: ElfBytes) {
    this.bytes = bytes;
  }

  /** A view of `length` bytes that are known to lie inside the file, by the check that names `what`. */
  view(what: string, position: number, length: number): DataView {
    this.check(what, position, length);
    const target = new Uint8Array(length);
    if (this.bytes.read(target, position) !== length) throw new ElfError(`the file ended early, in ${what}`);
    return new DataView(target.buffer);
  }

  check(what: string, position: number, length: number): void {
    const { size } = this.bytes;
    if (position + length > size)
      throw new ElfError(
        `${what} reaches beyond the end of the file (offset ${hex(position)}, ${count(length)} bytes; the file has ${count(size)})`,
      );
  }
}

/** Beyond 2^53 the value is rounded, and far larger than any file: the check against the size refuses it. */
export function number64(view: DataView, at: number): number {
  return Number(view.getBigUint64(at, true));
}

export const hex = (value: number): string => `0x${value.toString(16)}`;
export const count = (value: number): string => value.toLocaleString('en-US');
