import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, brotliDecompressSync, constants } from 'node:zlib';
import { DecodeStatus, decode, Instruction } from '@nest86/decoder';
import { BaseStates, patchSize } from './base-state.ts';
import { whatIs } from './cases.ts';
import { hostDecoder } from './encodings.ts';
import type { Vendor } from './host-processor.ts';
import {
  type Batch,
  type CodeSize,
  codeAddress,
  directionFlag,
  type HostCase,
  type Outcome,
  slotSize,
  stateAt,
  statusFlags,
} from './host-state.ts';

/*
 * Stored vectors: cases and what a processor made of them, to be replayed on any host. A file is
 *   "NVEC", u32 length of the header, the header as JSON (VectorHeader), then per batch: u32 length, brotli of its columns
 * all little-endian. A batch's columns lie one behind the other, each with its length (u32) before it: equal things beside each other compress better.
 * Inputs are the base state (base-state.ts) of batch and case and what differs from it; outcomes are what differs from the input. A difference is the number
 * of a cell, less that of the one before, and its value.
 */

export interface VectorHeader {
  readonly vendor: Vendor;
  /** As the processor calls itself. */
  readonly processor: string;
  readonly mode: CodeSize;
  readonly cases: number;
  /** Of the base states of seed 1: other base states would make other cases of the file. */
  readonly digest: number;
}

/** A batch with what the processor made of it. */
export interface StoredBatch {
  readonly batch: Batch;
  readonly outcomes: readonly Outcome[];
}

/** A part of a state: offset, bytes, and which bits of it are stored. */
type Cell = readonly [at: number, bytes: 1 | 2 | 4, mask: number];

const words = (start: number, count: number): Cell[] =>
  Array.from({ length: count }, (_, i) => [start + 4 * i, 4, -1] as const);

/** RIP is not among them: the input's is the slot, the outcome's mostly the next instruction. */
const cells: readonly Cell[] = [
  ...words(stateAt.gpr, 32),
  [stateAt.rflags, 4, statusFlags | directionFlag],
  [stateAt.x87Control, 2, 0xffff],
  [stateAt.x87Status, 2, 0xffff],
  [stateAt.x87Tags, 1, 0xff],
  [stateAt.mxcsr, 4, -1],
  ...Array.from({ length: 8 }, (_, i): Cell[] => [
    ...words(stateAt.st + 16 * i, 2),
    [stateAt.st + 16 * i + 8, 2, 0xffff],
  ]).flat(),
  ...words(stateAt.xmm, 64),
  ...words(stateAt.upper, 64),
];

function getCell(view: DataView, [at, bytes, mask]: Cell): number {
  const value =
    bytes === 4 ? view.getInt32(at, true) : bytes === 2 ? view.getUint16(at, true) : view.getUint8(at);
  return value & mask;
}

function setCell(view: DataView, [at, bytes, mask]: Cell, value: number): void {
  const kept = (getCell(view, [at, bytes, -1]) & ~mask) | value;
  if (bytes === 4) view.setInt32(at, kept, true);
  else if (bytes === 2) view.setUint16(at, kept, true);
  else view.setUint8(at, kept);
}

const columns = [
  'lengths',
  'codes',
  'inputCounts',
  'inputCells',
  'inputValues',
  'patchPlaces',
  'patchCounts',
  'patchCells',
  'patchValues',
  'kinds',
  'faults',
  'outputCounts',
  'outputCells',
  'outputSources',
  'outputDistances',
  'outputValues',
  'memoryPlaces',
  'memory',
] as const;
type Columns<T> = Readonly<Record<(typeof columns)[number], T>>;

/** Bytes of a column, as they are written. */
class ColumnWriter {
  private bytes = Buffer.alloc(1024);
  private length = 0;

  number(value: number, bytes: number): void {
    this.grow(bytes);
    for (let i = 0; i < bytes; i++) this.bytes[this.length++] = value >>> (8 * i);
  }

  big(value: bigint): void {
    this.number(Number(value & 0xffffffffn), 4);
    this.number(Number(value >> 32n), 4);
  }

  all(values: Uint8Array): void {
    this.grow(values.length);
    this.bytes.set(values, this.length);
    this.length += values.length;
  }

  private grow(by: number): void {
    if (this.length + by <= this.bytes.length) return;
    this.bytes = Buffer.concat([this.bytes], 2 * (this.length + by));
  }

  finish(): Buffer {
    return this.bytes.subarray(0, this.length);
  }
}

class ColumnReader {
  private at = 0;
  constructor(private readonly bytes: Buffer) {}

  number(bytes: number): number {
    let value = 0;
    for (let i = 0; i < bytes; i++) value |= this.bytes[this.at++] << (8 * i);
    return value;
  }

  big(): bigint {
    const low = this.number(4);
    return (BigInt(this.number(4) >>> 0) << 32n) | BigInt(low >>> 0);
  }

  all(length: number): Uint8Array {
    const start = this.at;
    this.at += length;
    return Uint8Array.from(this.bytes.subarray(start, this.at));
  }
}

function eachColumn<T>(make: (name: (typeof columns)[number]) => T): Columns<T> {
  return Object.fromEntries(columns.map((name) => [name, make(name)])) as Columns<T>;
}

type Differences<T> = readonly [counts: T, cells: T, values: T];

/** What a value of an outcome is: itself, as another cell of the input, as four bytes of the patch. */
const Source = { value: 0, cell: 1, patch: 2 } as const;

/** Where values of an outcome come from: half of them are inputs that were moved. */
interface Origin<T> {
  readonly sources: T;
  /** Number of the input's cell, less that of the outcome's, or offset in the patch. */
  readonly distances: T;
  readonly patch: Uint8Array;
}

function writeCells(
  [counts, places, values]: Differences<ColumnWriter>,
  from: DataView,
  to: DataView,
  origin?: Origin<ColumnWriter>,
): void {
  const place = new Map<number, number>();
  const { sources, distances, patch } = origin ?? {};
  if (origin !== undefined)
    for (const [i, cell] of cells.entries()) if (cell[1] === 4) place.set(getCell(from, cell), i);
  let count = 0;
  let last = 0;
  let distance = 0;
  for (const [i, cell] of cells.entries()) {
    const value = getCell(to, cell);
    if (value === getCell(from, cell)) continue;
    places.number(i - last, 1);
    last = i;
    count++;
    const isPlain = cell[1] < 4 || value === 0 || value === -1;
    if (sources !== undefined && distances !== undefined && !isPlain) {
      const near = cells[i + distance];
      const found = near?.[1] === 4 && getCell(from, near) === value ? i + distance : place.get(value);
      const offset = found === undefined ? indexOfWord(patch!, value) : -1;
      sources.number(found !== undefined ? Source.cell : offset >= 0 ? Source.patch : Source.value, 1);
      if (found !== undefined) distance = found - i;
      if (found !== undefined || offset >= 0) {
        distances.number(found !== undefined ? found - i : offset, 1);
        continue;
      }
    } else sources?.number(Source.value, 1);
    values.number(value, cell[1]);
  }
  counts.number(count, 1);
}

/** Offset of four bytes, little-endian, or -1. */
function indexOfWord(bytes: Uint8Array, value: number): number {
  const word = Buffer.alloc(4);
  word.writeInt32LE(value);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).indexOf(word);
}

function readCells(
  [counts, places, values]: Differences<ColumnReader>,
  from: DataView,
  to: DataView,
  origin?: Origin<ColumnReader>,
): void {
  let at = 0;
  for (let left = counts.number(1); left > 0; left--) {
    at += places.number(1);
    const source = origin?.sources.number(1) ?? Source.value;
    const distance = source === Source.value ? 0 : origin!.distances.number(1);
    const value =
      source === Source.value
        ? values.number(cells[at][1])
        : source === Source.cell
          ? getCell(from, cells[(at + distance) & 0xff])
          : Buffer.from(origin!.patch).readInt32LE(distance);
    setCell(to, cells[at], value);
  }
}

/** How RIP went. */
const Rip = { next: 0, same: 1, other: 2 } as const;

function ripKind(one: HostCase, rip: bigint): number {
  if (rip === BigInt(one.address + one.code.length)) return Rip.next;
  return rip === BigInt(one.address) ? Rip.same : Rip.other;
}

/** The columns of a batch, compressed. */
export function writeBatch({ batch, outcomes }: StoredBatch): Buffer {
  const out = eachColumn(() => new ColumnWriter());
  const base = new BaseStates(batch.seed, batch.mode);
  out.lengths.number(batch.seed, 4);
  out.lengths.number(batch.cases.length, 2);
  for (const [i, one] of batch.cases.entries()) {
    const { state, patch } = base.make(i);
    out.lengths.number(one.code.length, 1);
    out.codes.all(one.code);
    writeCells([out.inputCounts, out.inputCells, out.inputValues], state.view, one.before.view);
    out.patchPlaces.number(one.patchOffset, 2);
    out.patchCounts.number(one.patch.length, 1);
    for (let at = 0; at < one.patch.length; at++) {
      if (one.patch[at] === patch[at]) continue;
      out.patchCells.number(at, 1);
      out.patchValues.number(one.patch[at], 1);
    }
    out.patchCells.number(patchSize, 1);
    writeOutcome(out, one, outcomes[i]);
  }
  const parts = columns.flatMap((name) => {
    const bytes = out[name].finish();
    const length = Buffer.alloc(4);
    length.writeUInt32LE(bytes.length);
    return [length, bytes];
  });
  return brotliCompressSync(Buffer.concat(parts), {
    params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 22 },
  });
}

function writeOutcome(out: Columns<ColumnWriter>, one: HostCase, outcome: Outcome): void {
  const rip = outcome.state.view.getBigUint64(stateAt.rip, true);
  const kind = ripKind(one, rip);
  const hasMemory = outcome.changed.length > 0;
  // Vector, so that -1 is 0; how RIP went; whether memory changed.
  out.kinds.number((outcome.vector + 1) | (kind << 5) | (hasMemory ? 0x80 : 0), 1);
  if (kind === Rip.other) out.faults.big(rip);
  if (outcome.vector === pageFault) {
    out.faults.number(outcome.error, 1);
    out.faults.big(outcome.address);
  }
  writeCells([out.outputCounts, out.outputCells, out.outputValues], one.before.view, outcome.state.view, {
    sources: out.outputSources,
    distances: out.outputDistances,
    patch: one.patch,
  });
  if (!hasMemory) return;
  out.memoryPlaces.number(outcome.changedFrom, 2);
  out.memoryPlaces.number(outcome.changed.length, 2);
  // Most of what repeated stores change was in the page before, somewhere.
  out.memory.all(outcome.changed);
}

const pageFault = 14;

/** What {@link writeBatch} wrote. */
export function readBatch(header: VectorHeader, compressed: Uint8Array): StoredBatch {
  const { mode, vendor } = header;
  const bytes = brotliDecompressSync(compressed);
  let start = 0;
  const input = eachColumn(() => {
    const length = bytes.readUInt32LE(start);
    start += 4 + length;
    return new ColumnReader(bytes.subarray(start - length, start));
  });
  const seed = input.lengths.number(4);
  const count = input.lengths.number(2);
  const base = new BaseStates(seed, mode);
  const cases: HostCase[] = [];
  const outcomes: Outcome[] = [];
  const instruction = new Instruction();
  for (let i = 0; i < count; i++) {
    const { state, patch } = base.make(i);
    const code = input.codes.all(input.lengths.number(1));
    readCells([input.inputCounts, input.inputCells, input.inputValues], state.view, state.view);
    const address = codeAddress + i * slotSize;
    state.view.setBigUint64(stateAt.rip, BigInt(address), true);
    const patchOffset = input.patchPlaces.number(2);
    const patchLength = input.patchCounts.number(1);
    for (let at = input.patchCells.number(1); at < patchSize; at = input.patchCells.number(1))
      patch[at] = input.patchValues.number(1);
    const padded = new Uint8Array(15);
    padded.set(code);
    if (decode(padded, 0, hostDecoder(vendor, mode), instruction) !== DecodeStatus.ok)
      throw new Error(`${Buffer.from(code).toString('hex')} in stored vectors is no instruction`);
    const one: HostCase = {
      code,
      mode,
      vendor,
      ...whatIs(instruction),
      address,
      before: state,
      page: base.page,
      patchOffset,
      patch: patch.subarray(0, patchLength),
    };
    cases.push(one);
    outcomes.push(readOutcome(input, one));
  }
  return { batch: { vendor, mode, seed, page: base.page, cases }, outcomes };
}

function readOutcome(input: Columns<ColumnReader>, one: HostCase): Outcome {
  const kinds = input.kinds.number(1);
  const vector = (kinds & 0x1f) - 1;
  const kind = (kinds >>> 5) & 3;
  const next = BigInt(one.address + (kind === Rip.next ? one.code.length : 0));
  const rip = kind === Rip.other ? input.faults.big() : next;
  const error = vector === pageFault ? input.faults.number(1) : 0;
  const address = vector === pageFault ? input.faults.big() : 0n;
  const bytes = one.before.bytes.slice();
  const state = { bytes, view: new DataView(bytes.buffer) };
  readCells([input.outputCounts, input.outputCells, input.outputValues], one.before.view, state.view, {
    sources: input.outputSources,
    distances: input.outputDistances,
    patch: one.patch,
  });
  state.view.setBigUint64(stateAt.rip, rip, true);
  const hasMemory = (kinds & 0x80) !== 0;
  const changedFrom = hasMemory ? input.memoryPlaces.number(2) : 0;
  const changed = input.memory.all(hasMemory ? input.memoryPlaces.number(2) : 0);
  return { problem: undefined, vector, error, address, state, changedFrom, changed };
}

/** A number that changes with what base states are made of. */
export function baseDigest(mode: CodeSize): number {
  const base = new BaseStates(1, mode);
  const { state, patch } = base.make(1);
  let digest = 0;
  for (const byte of Buffer.concat([base.page, state.bytes, patch]))
    digest = Math.imul(digest ^ byte, 0x01000193);
  return digest >>> 0;
}

export class VectorFile {
  readonly header: VectorHeader;
  private readonly batches: Uint8Array[] = [];

  /** @throws Error if the file is none, or was written over other base states */
  constructor(path: string) {
    const bytes = readFileSync(path);
    if (bytes.toString('latin1', 0, 4) !== 'NVEC') throw new Error(`${path} holds no vectors`);
    let at = 8 + bytes.readUInt32LE(4);
    this.header = JSON.parse(bytes.toString('utf8', 8, at)) as VectorHeader;
    if (this.header.digest !== baseDigest(this.header.mode))
      throw new Error(
        `${path} was recorded over other base states (test/harness/base-state.ts): record it anew`,
      );
    while (at < bytes.length) {
      const length = bytes.readUInt32LE(at);
      this.batches.push(bytes.subarray(at + 4, at + 4 + length));
      at += 4 + length;
    }
  }

  get count(): number {
    return this.batches.length;
  }

  read(index: number): StoredBatch {
    return readBatch(this.header, this.batches[index]);
  }
}

/** Where the recorded vectors are. */
export const vectorFolder: string = fileURLToPath(new URL('../vectors/', import.meta.url));

/** Files of vectors in a folder, sorted. */
export function vectorFiles(folder: string = vectorFolder): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.nvec'))
    .sort()
    .map((name) => join(folder, name));
}

/** A file's bytes. @param batches from {@link writeBatch} */
export function vectorFileBytes(header: VectorHeader, batches: readonly Uint8Array[]): Buffer {
  const text = Buffer.from(JSON.stringify(header));
  const head = Buffer.alloc(8);
  head.write('NVEC', 'latin1');
  head.writeUInt32LE(text.length, 4);
  const parts = batches.flatMap((batch) => {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(batch.length);
    return [length, batch];
  });
  return Buffer.concat([head, text, ...parts]);
}
