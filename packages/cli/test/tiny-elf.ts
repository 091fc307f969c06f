interface TinySection {
  readonly name: string;
  readonly bytes: readonly number[];
  readonly address?: number | bigint;
  readonly type?: number;
  readonly flags?: number;
}

interface TinySegment {
  readonly bytes: readonly number[];
  readonly address?: number | bigint;
  readonly type?: number;
  readonly flags?: number;
}

interface TinyElf {
  readonly bits?: 32 | 64;
  readonly machine?: number;
  readonly sections?: readonly TinySection[];
  readonly segments?: readonly TinySegment[];
}

export const progbits = 1;
export const nobits = 8;
/** SHF_ALLOC | SHF_EXECINSTR */
export const code = 6;

/**
 * Writes an ELF file: header, program headers, contents, section names, section headers. Sections have number 1 and up;
 * names come last.
 */
export function tinyElf({ bits = 64, machine = 62, sections = [], segments = [] }: TinyElf): Uint8Array {
  const wide = bits === 64;
  const headerSize = wide ? 64 : 52;
  const programSize = wide ? 56 : 32;
  const sectionSize = wide ? 64 : 40;
  const bytes: number[] = Array(headerSize + programSize * segments.length).fill(0);
  const word = (value: number | bigint, size: number) =>
    Array.from({ length: size }, (_, i) => Number((BigInt(value) >> BigInt(8 * i)) & 255n));
  /** Address-sized. */
  const native = (value: number | bigint) => word(value, wide ? 8 : 4);
  const place = (at: number, part: readonly number[]) => bytes.splice(at, part.length, ...part);
  const append = (part: readonly number[]) => {
    const at = bytes.length;
    for (const byte of part) bytes.push(byte);
    return at;
  };

  segments.forEach(({ bytes: contents, address = 0, type = 1, flags = 5 }, index) => {
    const size = native(contents.length);
    const where = [...native(append(contents)), ...native(address), ...native(address), ...size, ...size];
    const header = wide
      ? [...word(type, 4), ...word(flags, 4), ...where, ...native(1)]
      : [...word(type, 4), ...where, ...word(flags, 4), ...native(1)];
    place(headerSize + index * programSize, header);
  });

  let sectionTable = 0;
  let sectionCount = 0;
  if (sections.length > 0) {
    let names = '\0';
    const all = [...sections, { name: '.shstrtab', bytes: [], type: 3, flags: 0 }];
    const headers = all.map(
      ({ name, bytes: contents, address = 0, type = progbits, flags = code }: TinySection) => {
        const nameOffset = names.length;
        names += `${name}\0`;
        return { nameOffset, contents, address, type, flags };
      },
    );
    const written = headers.map(({ nameOffset, contents, address, type, flags }, index) => {
      const isNames = index === headers.length - 1;
      const data = isNames ? [...names].map((character) => character.charCodeAt(0)) : contents;
      const where = [...native(address), ...native(append(data)), ...native(data.length)];
      return [
        ...word(nameOffset, 4),
        ...word(type, 4),
        ...native(flags),
        ...where,
        ...word(0, 8),
        ...native(1),
        ...native(0),
      ];
    });
    sectionTable = append(Array(sectionSize).fill(0));
    for (const header of written) append(header);
    sectionCount = written.length + 1;
  }

  place(0, [0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, 1, 1]);
  place(16, [...word(2, 2), ...word(machine, 2), ...word(1, 4)]);
  place(24, [
    ...native(0),
    ...native(headerSize),
    ...native(sectionTable),
    ...word(0, 4),
    ...word(headerSize, 2),
  ]);
  place(wide ? 54 : 42, [...word(programSize, 2), ...word(segments.length, 2)]);
  place(wide ? 58 : 46, [
    ...word(sectionSize, 2),
    ...word(sectionCount, 2),
    ...word(Math.max(0, sectionCount - 1), 2),
  ]);
  return Uint8Array.from(bytes);
}
