import { count, ElfError, number64, type Reader } from './reader.ts';

/** Files with a section per function have tens of thousands. More than this only wastes memory. */
const maximumHeaders = 1 << 18;

export interface Header {
  readonly bits: 32 | 64;
  readonly mode: 32 | 64;
  readonly segments: Table;
  readonly sections: Table;
  readonly nameSection: number;
}

/** A table of headers in the file. */
interface Table {
  readonly offset: number;
  readonly entrySize: number;
  readonly count: number;
}

/** Machines that a user may take for x86's, or have at hand. */
const machines: Readonly<Record<number, string>> = {
  2: 'SPARC',
  8: 'MIPS',
  20: 'PowerPC',
  21: '64-bit PowerPC',
  22: 'S/390',
  40: 'ARM',
  50: 'Itanium',
  183: 'AArch64',
  243: 'RISC-V',
  247: 'BPF',
  258: 'LoongArch',
};

export function readHeader(reader: Reader): Header {
  const identification = reader.view('the ELF header', 0, 16);
  if (identification.getUint32(0) !== 0x7f454c46) throw new ElfError('this is not an ELF file');
  const bits = [undefined, 32, 64][identification.getUint8(4)] as 32 | 64 | undefined;
  if (bits === undefined)
    throw new ElfError(`its class is ${identification.getUint8(4)}; 1 (32-bit) and 2 (64-bit) exist`);
  const order = identification.getUint8(5);
  if (order !== 1)
    throw new ElfError(
      order === 2 ? 'it is big-endian, so not for x86' : `its byte order is ${order}; x86 has 1`,
    );

  const wide = bits === 64;
  const view = reader.view('the ELF header', 0, wide ? 64 : 52);
  const mode = modeOf(view.getUint16(18, true), bits);
  const tail = wide ? 52 : 40;
  return {
    bits,
    mode,
    segments: {
      offset: wide ? number64(view, 32) : view.getUint32(28, true),
      entrySize: view.getUint16(tail + 2, true),
      count: view.getUint16(tail + 4, true),
    },
    sections: {
      offset: wide ? number64(view, 40) : view.getUint32(32, true),
      entrySize: view.getUint16(tail + 6, true),
      count: view.getUint16(tail + 8, true),
    },
    nameSection: view.getUint16(tail + 10, true),
  };
}

function modeOf(machine: number, bits: 32 | 64): 32 | 64 {
  if (machine === 62) return 64;
  if ((machine === 3 || machine === 6) && bits === 32) return 32;
  const name = machine === 3 || machine === 6 ? '32-bit x86 in a 64-bit file' : machines[machine];
  throw new ElfError(`it is for ${name ?? 'another processor'} (machine ${machine}), not for x86`);
}

export function checkEntrySize(kind: string, { entrySize }: Table, least: number): void {
  if (entrySize < least)
    throw new ElfError(`its ${kind} headers have ${entrySize} bytes each; at least ${least} are needed`);
}

export function readTable<T>(
  reader: Reader,
  kind: string,
  { offset, entrySize, count: total }: Table,
  readEntry: (view: DataView, at: number, index: number) => T,
): T[] {
  reader.check(`the table of ${count(total)} ${kind} headers`, offset, total * entrySize);
  if (total > maximumHeaders)
    throw new ElfError(`it has ${count(total)} ${kind} headers; at most ${count(maximumHeaders)} are read`);
  const entries: T[] = [];
  // Piece by piece: with the largest entry size the table may be 16 GiB.
  const step = Math.max(1, Math.floor(65536 / entrySize));
  for (let index = 0; index < total; index += step) {
    const pieces = Math.min(step, total - index);
    const view = reader.view(`the ${kind} headers`, offset + index * entrySize, pieces * entrySize);
    for (let i = 0; i < pieces; i++) entries.push(readEntry(view, i * entrySize, index + i));
  }
  return entries;
}
