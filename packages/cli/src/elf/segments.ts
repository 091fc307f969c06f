import { checkEntrySize, type Header, readTable } from './header.ts';
import type { ElfPart } from './part.ts';
import { number64, type Reader } from './reader.ts';

/** Executable segments: what a loader would map, for files that lost their section headers. */
export function readSegments(reader: Reader, header: Header): ElfPart[] {
  const wide = header.bits === 64;
  const { segments } = header;
  if (segments.count === 0) return [];
  checkEntrySize('program', segments, wide ? 56 : 32);
  const parts = readTable(reader, 'program', segments, (view, at, index) => {
    const type = view.getUint32(at, true);
    const flags = view.getUint32(at + (wide ? 4 : 24), true);
    const offset = wide ? number64(view, at + 8) : view.getUint32(at + 4, true);
    const address = wide ? view.getBigUint64(at + 16, true) : BigInt(view.getUint32(at + 8, true));
    const size = wide ? number64(view, at + 32) : view.getUint32(at + 16, true);
    const isCode = type === 1 && (flags & 1) !== 0 && size > 0;
    return isCode ? { name: `segment ${index}`, offset, size, address } : undefined;
  }).filter((part) => part !== undefined);
  for (const { name, offset, size } of parts) reader.check(name, offset, size);
  return parts;
}
