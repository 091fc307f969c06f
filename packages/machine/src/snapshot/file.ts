import { crc32 } from './crc32.ts';
import { SnapshotError } from './error.ts';
import type { SnapshotPart } from './ram-image.ts';
import { readAbout, type Snapshot } from './snapshot.ts';

/*
 * The file: a header of 32 bytes, then units one behind the other, each with a header of its own. Numbers have their low byte first.
 *
 *   header   0 magic (8)   8 version   12 number of units   16 name of the compression, zeros behind it (8)   24 zero   28 CRC-32 of bytes 0 to 27
 *   unit     0 bytes of the name (2)   2 flags (2): bit 0, compressed   4 bytes that follow the name and its checksum   8 bytes before compression
 *            12 CRC-32 of the bytes as they stand in the file   16 the name, ASCII, then CRC-32 of all of this header before it, then the bytes
 */

/** Makes the file smaller. Both functions are synchronous: `node:zlib` has such. Streams can compress the whole file instead. */
export interface SnapshotCompressor {
  /** 1 to 8 characters of ASCII; the file says which it was. */
  readonly name: string;
  compress(bytes: Uint8Array): Uint8Array;
  /** @param size of what it gives, as the file says. What it throws becomes a {@link SnapshotError}. */
  decompress(bytes: Uint8Array, size: number): Uint8Array;
}

/** "nest86", then what ends a text on the one system, and a line on another: a file that was sent as text is damaged here. */
const magic = Uint8Array.of(0x6e, 0x65, 0x73, 0x74, 0x38, 0x36, 0x1a, 0x0a);
/** Version of the file's form; units have their own. */
const fileVersion = 1;
const headerSize = 32;
const unitHeaderSize = 16;
const checksumSize = 4;
const longestName = 64;
const compressed = 1;
/** Bytes of a unit, before compression. */
const largestUnit = 0x7fff_ffff;

/** The file, in pieces of up to a few MiB, but for disks' overlays: to be written one after the other. @throws RangeError for a compressor's name that is too long */
export function* writeSnapshot(
  snapshot: Snapshot,
  { compressor }: { readonly compressor?: SnapshotCompressor } = {},
): Generator<Uint8Array, void, undefined> {
  const { units } = snapshot;
  const header = new Uint8Array(headerSize);
  const view = new DataView(header.buffer);
  header.set(magic);
  view.setUint32(8, fileVersion, true);
  view.setUint32(12, units.length, true);
  header.set(nameBytes(compressor?.name ?? ''), 16);
  view.setUint32(28, crc32(header.subarray(0, 28)), true);
  yield header;
  for (const { name, bytes } of units) {
    const packed = compressor?.compress(bytes);
    const isSmaller = packed !== undefined && packed.length < bytes.length;
    const stored = isSmaller ? packed : bytes;
    yield unitHeader(name, bytes.length, stored, isSmaller);
    yield stored;
  }
}

function unitHeader(name: string, size: number, stored: Uint8Array, isCompressed: boolean): Uint8Array {
  const header = new Uint8Array(unitHeaderSize + name.length + checksumSize);
  const view = new DataView(header.buffer);
  view.setUint16(0, name.length, true);
  view.setUint16(2, isCompressed ? compressed : 0, true);
  view.setUint32(4, stored.length, true);
  view.setUint32(8, size, true);
  view.setUint32(12, crc32(stored), true);
  for (let i = 0; i < name.length; i++) header[unitHeaderSize + i] = name.charCodeAt(i);
  const end = unitHeaderSize + name.length;
  view.setUint32(end, crc32(header.subarray(0, end)), true);
  return header;
}

function nameBytes(name: string): Uint8Array {
  if (!/^[\x21-\x7e]{0,8}$/.test(name))
    throw new RangeError(`compressor "${name}": a name of up to 8 characters of ASCII is allowed`);
  return Uint8Array.from(name, (letter) => letter.charCodeAt(0));
}

/**
 * Checks a whole file and takes it apart. The snapshot keeps hold of the bytes, which must not change then.
 *
 * @throws SnapshotError, whatever the bytes are, and nothing else
 */
export function readSnapshot(
  bytes: Uint8Array,
  { compressor }: { readonly compressor?: SnapshotCompressor } = {},
): Snapshot {
  const { count, compression } = readHeader(bytes);
  if (compression !== '' && compression !== compressor?.name)
    throw new SnapshotError(
      'compression',
      `the snapshot is compressed with ${compression}; the reader has ${compressor?.name ?? 'nothing'} for it`,
    );
  const units: SnapshotPart[] = [];
  const names = new Set<string>();
  let at = headerSize;
  for (let i = 0; i < count; i++) {
    const unit = readUnit(bytes, at, compressor);
    at = unit.end;
    if (names.has(unit.name))
      throw new SnapshotError('format', `unit ${unit.name}: it is there twice`, { unit: unit.name });
    names.add(unit.name);
    units.push({ name: unit.name, bytes: unit.bytes });
  }
  if (at !== bytes.length)
    throw new SnapshotError('format', `${bytes.length - at} bytes behind the snapshot's end at byte ${at}`);
  return { ...readAbout(units), units };
}

function readHeader(bytes: Uint8Array): { count: number; compression: string } {
  if (bytes.length < headerSize || magic.some((byte, i) => bytes[i] !== byte)) {
    const isStart =
      bytes.length < headerSize && magic.every((byte, i) => i >= bytes.length || bytes[i] === byte);
    throw new SnapshotError(
      'format',
      isStart && bytes.length > 0
        ? `the snapshot ends in its header, at byte ${bytes.length}`
        : 'this is no snapshot of nest86',
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(28, true) !== crc32(bytes.subarray(0, 28)))
    throw new SnapshotError('damaged', "the snapshot's header is damaged: its checksum does not fit");
  const version = view.getUint32(8, true);
  if (version !== fileVersion)
    throw new SnapshotError(
      'version',
      `snapshot of version ${version}; version ${fileVersion} is understood`,
    );
  const name = [...bytes.subarray(16, 24)].filter((byte) => byte !== 0);
  return { count: view.getUint32(12, true), compression: String.fromCharCode(...name) };
}

interface ReadUnit extends SnapshotPart {
  readonly end: number;
}

function readUnit(file: Uint8Array, start: number, compressor: SnapshotCompressor | undefined): ReadUnit {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const cut = (what: string): SnapshotError =>
    new SnapshotError('format', `the snapshot ends in ${what}, at byte ${file.length}`);
  if (start + unitHeaderSize > file.length) throw cut("a unit's header");
  const nameLength = view.getUint16(start, true);
  const nameEnd = start + unitHeaderSize + nameLength;
  if (nameLength > longestName)
    throw new SnapshotError(
      'damaged',
      `the header of a unit is damaged, at byte ${start}: a name of ${nameLength} bytes`,
    );
  if (nameEnd + checksumSize > file.length) throw cut("a unit's header");
  if (view.getUint32(nameEnd, true) !== crc32(file.subarray(start, nameEnd)))
    throw new SnapshotError(
      'damaged',
      `the header of a unit is damaged, at byte ${start}: its checksum does not fit`,
    );
  const name = String.fromCharCode(...file.subarray(start + unitHeaderSize, nameEnd));
  const from = nameEnd + checksumSize;
  const end = from + view.getUint32(start + 4, true);
  if (end > file.length) throw cut(`unit ${name}`);
  const stored = file.subarray(from, end);
  if (view.getUint32(start + 12, true) !== crc32(stored))
    throw new SnapshotError('damaged', `unit ${name} is damaged: its checksum does not fit`, { unit: name });
  const size = view.getUint32(start + 8, true);
  const flags = view.getUint16(start + 2, true);
  if ((flags & ~compressed) !== 0)
    throw new SnapshotError('version', `unit ${name}: flags ${flags}; ${compressed} is understood`, {
      unit: name,
    });
  return { name, bytes: flags === 0 ? stored : unpack(name, stored, size, compressor), end };
}

function unpack(
  unit: string,
  stored: Uint8Array,
  size: number,
  compressor: SnapshotCompressor | undefined,
): Uint8Array {
  if (size > largestUnit) throw new SnapshotError('damaged', `unit ${unit}: ${size} bytes`, { unit });
  let bytes: Uint8Array | undefined;
  let cause: unknown;
  try {
    bytes = compressor?.decompress(stored, size);
  } catch (error) {
    cause = error;
  }
  if (bytes?.length === size) return bytes;
  throw new SnapshotError('damaged', `unit ${unit} is damaged: it cannot be decompressed to ${size} bytes`, {
    unit,
    cause,
  });
}
