/*
 * Reads what a disassembler needs of an ELF file: which machine, and where its code is. The file may be truncated or
 * hostile: every number is checked against the file's size before it is used, and each refusal is an ElfError that
 * names the number. Knows nothing of Node; `machine` can take it over for loading kernels.
 */

import { readHeader } from './header.ts';
import type { ElfPart } from './part.ts';
import { type ElfBytes, ElfError, hex, Reader } from './reader.ts';
import { SectionTable } from './sections.ts';
import { readSegments } from './segments.ts';

export { ElfError };

export interface ElfFile {
  /** 32 or 64: the layout of the file, not of the code: x32 programs are 64-bit code in a 32-bit file. */
  readonly bits: 32 | 64;
  /** Code size of its instructions. */
  readonly mode: 32 | 64;
  /** Executable PROGBITS sections, or executable segments of a file without section headers. */
  readonly code: readonly ElfPart[];
  /** What `code` holds. */
  readonly kind: 'section' | 'segment';
  /** All sections of that name. @throws ElfError */
  sectionsNamed(name: string): ElfPart[];
}

export function isElf(bytes: ElfBytes): boolean {
  const magic = new Uint8Array(4);
  return bytes.read(magic, 0) === 4 && String.fromCharCode(...magic) === '\x7fELF';
}

/** @throws ElfError */
export function readElf(bytes: ElfBytes): ElfFile {
  const reader = new Reader(bytes);
  const header = readHeader(reader);
  const sections = new SectionTable(reader, header);
  const code = sections.isEmpty ? readSegments(reader, header) : sections.code();
  checkOverlap(code);
  return {
    bits: header.bits,
    mode: header.mode,
    code,
    kind: sections.isEmpty ? 'segment' : 'section',
    sectionsNamed: (name) => sections.named(name),
  };
}

/** Names of the executable sections or segments, for messages. */
export function codeNames({ code }: ElfFile): string[] {
  return [...new Set(code.map(({ name }) => name))];
}

/** No linker lets pieces of code share bytes; a file that does could make any amount of work of few bytes. */
function checkOverlap(parts: readonly ElfPart[]): void {
  const sorted = [...parts].sort((a, b) => a.offset - b.offset);
  for (let i = 1; i < sorted.length; i++) {
    const [before, after] = [sorted[i - 1], sorted[i]];
    if (before.offset + before.size > after.offset)
      throw new ElfError(
        `${before.name} and ${after.name} overlap in the file (at offset ${hex(after.offset)})`,
      );
  }
}
