import { checkEntrySize, type Header, readTable } from './header.ts';
import type { ElfPart } from './part.ts';
import { count, ElfError, hex, number64, type Reader } from './reader.ts';

const progbits = 1;
const nobits = 8;
const executable = 4;
/** An index that does not fit its field: it is in section header 0 instead. */
const extendedIndex = 0xffff;
const maximumNameTable = 64 << 20;
/** A longer name is an attack on the terminal, and nobody reads it. */
const maximumName = 200;

interface Section {
  readonly index: number;
  readonly nameOffset: number;
  readonly type: number;
  readonly flags: number;
  readonly address: bigint;
  readonly offset: number;
  readonly size: number;
  readonly link: number;
}

/** The section headers of a file. */
export class SectionTable {
  readonly #reader: Reader;
  /** Number 0 is no section but a place for numbers that do not fit elsewhere. */
  readonly #sections: readonly Section[];
  readonly #nameSection: number;
  /** Read when the first name is asked for. */
  #names: Uint8Array | undefined;

  constructor(reader: Reader, { bits, sections: table, nameSection }: Header) {
    this.#reader = reader;
    this.#sections = [];
    this.#nameSection = nameSection;
    if (table.offset === 0) return;
    const least = bits === 64 ? 64 : 40;
    checkEntrySize('section', table, least);
    const first = readSection(reader.view('section header 0', table.offset, least), 0, 0, bits);
    const total = table.count === 0 ? first.size : table.count;
    this.#sections = readTable(reader, 'section', { ...table, count: total }, (view, at, index) =>
      readSection(view, at, index, bits),
    );
    if (nameSection === extendedIndex) this.#nameSection = first.link;
  }

  get isEmpty(): boolean {
    return this.#sections.length < 2;
  }

  /** Executable PROGBITS sections. */
  code(): ElfPart[] {
    return this.#sections
      .filter(({ type, flags, size }) => type === progbits && (flags & executable) !== 0 && size > 0)
      .map((section) => this.#toPart(section));
  }

  named(name: string): ElfPart[] {
    if (this.isEmpty) throw new ElfError('the file has no section headers, so no section can be named');
    const found = this.#sections.filter((section) => section.index > 0 && this.#nameOf(section) === name);
    for (const { type } of found)
      if (type === nobits) throw new ElfError(`section ${name} has no bytes in the file (NOBITS)`);
    return found.map((section) => this.#toPart(section));
  }

  #toPart(section: Section): ElfPart {
    const { index, offset, size, address } = section;
    const name = this.#nameOf(section) || `section ${index}`;
    this.#reader.check(`section ${name}`, offset, size);
    return { name, offset, size, address };
  }

  /** With what is not printable written as \x1b, since it goes to a terminal. Empty if the file has no names. */
  #nameOf({ index, nameOffset }: Section): string {
    const names = (this.#names ??= this.#readNames());
    if (names.length === 0) return '';
    if (nameOffset >= names.length)
      throw new ElfError(
        `the name of section ${index} lies outside the table of section names (offset ${hex(nameOffset)})`,
      );
    const zero = names.indexOf(0, nameOffset);
    const end = Math.min(zero < 0 ? names.length : zero, nameOffset + maximumName);
    return Array.from(names.subarray(nameOffset, end), printable).join('');
  }

  #readNames(): Uint8Array {
    if (this.#nameSection === 0) return new Uint8Array(0);
    const section = this.#sections[this.#nameSection];
    if (section === undefined)
      throw new ElfError(
        `section names are said to be in section ${this.#nameSection}; there are ${count(this.#sections.length)}`,
      );
    const { offset, size } = section;
    if (size > maximumNameTable)
      throw new ElfError(
        `its table of section names has ${count(size)} bytes; at most ${count(maximumNameTable)} are read`,
      );
    return new Uint8Array(this.#reader.view('the table of section names', offset, size).buffer);
  }
}

function readSection(view: DataView, at: number, index: number, bits: 32 | 64): Section {
  const wide = bits === 64;
  return {
    index,
    nameOffset: view.getUint32(at, true),
    type: view.getUint32(at + 4, true),
    flags: view.getUint32(at + 8, true),
    address: wide ? view.getBigUint64(at + 16, true) : BigInt(view.getUint32(at + 12, true)),
    offset: wide ? number64(view, at + 24) : view.getUint32(at + 16, true),
    size: wide ? number64(view, at + 32) : view.getUint32(at + 20, true),
    link: view.getUint32(at + (wide ? 40 : 24), true),
  };
}

function printable(byte: number): string {
  return byte > 32 && byte < 127 ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`;
}
