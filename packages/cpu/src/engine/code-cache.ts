import type { PageWatch, PhysicalMemory } from '@nest86/mmu';
import type { Handlers } from '../interpreter/handlers.ts';
import type { CodeMode } from '../records/code-mode.ts';
import { Row, record, recordSize } from '../records/layout.ts';
import { Translator, Written } from '../records/translate.ts';

/** Longest block, in instructions. */
export const maximumBlock = 64;
const pageSize = 4096;
const heatNever = 0x7fffffff;

/** Translated code: the records from a header on. */
export interface Block {
  /** Address of the header. */
  readonly record: number;
  /** Instructions. */
  readonly count: number;
  /** Offset in its page, and of the first byte behind it: beyond 4096 if the last instruction crosses into another page. */
  readonly start: number;
  readonly end: number;
  /** Host addresses of its page, and of the page its last instruction crosses into or -1. */
  readonly page: number;
  readonly secondPage: number;
  readonly mode: CodeMode;
  /** The region that begins or may be entered here. */
  region: Region | undefined;
  isValid: boolean;
}

/** Blocks that were compiled together. */
interface Region {
  /** In the table of regions. */
  readonly slot: number;
  readonly blocks: readonly Block[];
}

/** The second page of an instruction that crosses: its host address, or -1 if it cannot be fetched. */
export type NextPage = () => number;

/** Code bytes end at the page, and the next page cannot be fetched. */
export const fetchFault = 'fetch fault';
/** The instruction goes beyond the limit of CS. */
export const limitFault = 'limit fault';
/** No records are left: everything was forgotten; ask again. */
export const cacheFull = 'cache full';

/** All translated code, by the host address of its bytes and its mode. */
export class CodeCache {
  /** By host page: the blocks that begin in it or reach into it. */
  private readonly pages = new Map<number, Block[]>();
  private readonly byStart = new Map<number, Block>();
  private readonly watch: PageWatch;
  private readonly bytes: Uint8Array;
  private readonly blockOfRecord: Int32Array;
  private readonly blocks = new Map<number, Block>();
  private readonly joint = new Uint8Array(32);
  private next: number;
  /** The last block that was made; it may run without being kept. */
  private transient: Block | undefined;
  readonly translator: Translator;
  /** Translations forgotten because their code was written to, since the start. */
  invalidations = 0;
  translated = 0;
  flushes = 0;

  /**
   * @param first byte range for records
   * @param heat executions after which a block asks to be compiled
   * @param onFlush called after all records have gone
   */
  constructor(
    private readonly view: DataView,
    private readonly physical: PhysicalMemory,
    private readonly first: number,
    private readonly end: number,
    private readonly handlers: Handlers,
    private readonly heat: number,
    private readonly onFlush: () => void,
  ) {
    this.bytes = new Uint8Array(view.buffer);
    this.next = first;
    this.blockOfRecord = new Int32Array((end - first) / recordSize);
    this.translator = new Translator(view, handlers);
    this.watch = physical.watch((page, offset, length) => this.written(page, offset, length));
  }

  /** The block whose bytes begin at a host address, if it is known. */
  find(host: number, mode: CodeMode): Block | undefined {
    return this.byStart.get(keyOf(host, mode));
  }

  blockOf(rec: number): Block | undefined {
    return this.blocks.get(this.blockOfRecord[(rec - this.first) / recordSize]);
  }

  /** Whether a record begins a block, one that was not kept included. */
  isHeader(rec: number): boolean {
    return this.blockOfRecord[(rec - this.first) / recordSize] === rec;
  }

  /** Instructions of the record's block from this record on, itself included. */
  remaining(rec: number): number {
    const header = this.blockOfRecord[(rec - this.first) / recordSize];
    const count = this.view.getInt32(header + record.immediate, true);
    return count - ((rec - header) / recordSize - 1);
  }

  /**
   * Translates the block at a host address.
   * @param most instructions; a block with fewer than 64 is not kept
   * @param codeRoom bytes up to CS's limit
   */
  translate(
    page: number,
    offset: number,
    mode: CodeMode,
    nextPage: NextPage,
    most: number,
    codeRoom: number,
  ): Block | typeof fetchFault | typeof limitFault | typeof cacheFull {
    const { view, translator } = this;
    if (this.next + (maximumBlock + 4) * recordSize > this.end || this.handlers.isFull) {
      this.flush();
      if (this.handlers.isFull) this.handlers.reset();
      return cacheFull;
    }
    const isKept = most >= maximumBlock;
    const header = this.next;
    const limit = Math.min(pageSize, offset + codeRoom);
    const pageBytes = this.bytes.subarray(page, page + limit);
    let at = offset;
    let secondPage = -1;
    let rec = header + recordSize;
    let count = 0;
    let isOpen = true;
    while (isOpen && count < Math.min(most, maximumBlock) && at < limit) {
      let written = translator.write(rec, pageBytes, at, at, mode);
      if (written === Written.truncated) {
        // Cut off by the page's end, or by the limit: only as a block of its own.
        if (count > 0) break;
        if (limit < pageSize) return limitFault;
        secondPage = nextPage();
        if (secondPage < 0) return fetchFault;
        const { joint } = this;
        const first = pageSize - at;
        joint.set(this.bytes.subarray(page + at, page + pageSize));
        joint.set(this.bytes.subarray(secondPage, secondPage + joint.length - first), first);
        written = translator.write(rec, joint, 0, at, mode);
        if (written === Written.truncated || translator.instruction.length > codeRoom) return limitFault;
      }
      const position = view.getUint16(rec + record.position, true);
      at += position >>> 12;
      isOpen = written === Written.open;
      count++;
      rec += recordSize;
      if (secondPage >= 0) break;
    }
    const last = rec - recordSize;
    if (isOpen) {
      // Goes on elsewhere: as if the last instruction branched to what follows it.
      view.setUint16(rec + record.handler, Row.end, true);
      view.setUint16(rec + record.position, view.getUint16(last + record.position, true), true);
      view.setInt32(rec + record.immediate, 0, true);
      rec += recordSize;
    }
    view.setUint16(header + record.handler, Row.block, true);
    view.setUint16(header + record.position, offset, true);
    // What is not kept is not worth compiling.
    view.setInt32(header + record.heat, isKept ? this.heat : heatNever, true);
    view.setInt32(header + record.displacement, 0, true);
    view.setInt32(header + record.immediate, count, true);
    const slot = (header - this.first) / recordSize;
    this.blockOfRecord.fill(header, slot, slot + (rec - header) / recordSize);
    this.handlers.build();
    const block: Block = {
      record: header,
      count,
      start: offset,
      end: at,
      page,
      secondPage,
      mode,
      region: undefined,
      isValid: true,
    };
    this.transient = block;
    if (isKept) {
      this.translated++;
      this.next = rec;
      this.keep(block);
    }
    return block;
  }

  /** Room for one more record, as for an edge to another page; 0 if there is none. */
  extraRecord(block: Block): number {
    if (this.next + recordSize > this.end) return 0;
    const rec = this.next;
    this.next += recordSize;
    this.blockOfRecord[(rec - this.first) / recordSize] = block.record;
    return rec;
  }

  private keep(block: Block): void {
    this.byStart.set(keyOf(block.page + block.start, block.mode), block);
    this.blocks.set(block.record, block);
    for (const page of [block.page, block.secondPage]) {
      if (page < 0) continue;
      const list = this.pages.get(page);
      if (list === undefined) {
        this.pages.set(page, [block]);
        this.watch.add((page - this.physical.base) / pageSize);
      } else list.push(block);
    }
  }

  /** Bytes of a page with code were written. */
  private written(backingPage: number, offset: number, length: number): void {
    const page = this.physical.base + backingPage * pageSize;
    const list = this.pages.get(page);
    if (list === undefined) return;
    for (const block of list.slice()) if (reaches(block, page, offset, length)) this.invalidate(block);
    const { transient } = this;
    if (transient?.isValid && reaches(transient, page, offset, length)) this.makeStale(transient);
  }

  /** Whoever comes to these records, from wherever, is sent to TypeScript; the block that is running, too. */
  private makeStale(block: Block): void {
    block.isValid = false;
    // Not the record behind the last instruction: it only leads on.
    const end = block.record + (block.count + 1) * recordSize;
    for (let rec = block.record; rec < end; rec += recordSize)
      this.view.setUint16(rec + record.handler, Row.stale, true);
  }

  private invalidate(block: Block): void {
    if (!block.isValid) return;
    this.invalidations++;
    this.makeStale(block);
    const { view } = this;
    this.byStart.delete(keyOf(block.page + block.start, block.mode));
    for (const page of [block.page, block.secondPage]) {
      const list = this.pages.get(page);
      if (list === undefined) continue;
      list.splice(list.indexOf(block), 1);
      if (list.length > 0) continue;
      this.pages.delete(page);
      this.watch.delete((page - this.physical.base) / pageSize);
    }
    // A region is one piece: its other blocks are interpreted again.
    for (const other of block.region?.blocks ?? []) {
      if (other.isValid) {
        view.setUint16(other.record + record.handler, Row.block, true);
        view.setInt32(other.record + record.heat, this.heat, true);
      }
      other.region = undefined;
    }
  }

  /** Forgets everything. */
  flush(): void {
    this.flushes++;
    for (const page of this.pages.keys()) this.watch.delete((page - this.physical.base) / pageSize);
    this.pages.clear();
    this.byStart.clear();
    this.blocks.clear();
    this.transient = undefined;
    this.next = this.first;
    this.handlers.removeRegions();
    this.onFlush();
  }
}

/** Modes are few; host addresses below 2^32. */
function keyOf(host: number, mode: CodeMode): number {
  return host * 1024 + mode.id;
}

/** Whether bytes of a page are among those of a block. */
function reaches(block: Block, page: number, offset: number, length: number): boolean {
  if (block.page === page && offset < block.end && offset + length > block.start) return true;
  return block.secondPage === page && offset < block.end - pageSize;
}
