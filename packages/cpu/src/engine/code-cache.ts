import type { PageWatch, PhysicalMemory } from '@nest86/mmu';
import type { Handlers } from '../interpreter/handlers.ts';
import type { Observation } from '../observation/observation.ts';
import type { CodeMode } from '../records/code-mode.ts';
import { Row, record, recordSize } from '../records/layout.ts';
import { Translator, Written } from '../records/translate.ts';
import { BlockStarts } from './block-starts.ts';

/** Longest block, in instructions. */
export const maximumBlock = 64;
const pageSize = 4096;
/** Bytes (SDM vol. 2A, 2.3.11). */
const longestInstruction = 15;
const heatNever = 0x7fffffff;
/** Doublings of the heat of code that is rewritten again and again. */
const mostPatience = 6;

/** Translated code: the records from a header on. */
export interface Block {
  /** Address of the header. */
  readonly record: number;
  /** Instructions. */
  readonly count: number;
  /** Behind the last instruction's record there is one that leads on. */
  readonly leadsOn: boolean;
  /** Offset in its page, and of the first byte behind it: beyond 4096 if the last instruction crosses into another page. */
  readonly start: number;
  readonly end: number;
  /** Host addresses of its page, and of the page its last instruction crosses into or -1. */
  readonly page: number;
  readonly secondPage: number;
  readonly mode: CodeMode;
  /** The regions that hold a copy of it. */
  regions: readonly Region[];
  /** Whether its header leads to one of them. */
  isCompiled: boolean;
  /** Runs after which it asks to be compiled. */
  readonly heat: number;
  /** How often it had run when it was hot or compiled first; before that 0. */
  executions: number;
  isValid: boolean;
  /** Blocks that are linked to it; see {@link CodeCache.noteComer}. */
  comers: readonly Block[];
  /** An indirect branch, a return that was not foreseen, or an event has come to it. */
  isAddressed: boolean;
  /** A region holds it, but was entered there too often to have no entry for it. */
  isMissed: boolean;
  /** Byte address of the 64-bit count of its runs in regions; 0: nobody counts. */
  readonly counter: number;
}

/** Blocks that were compiled together. */
export interface Region {
  /** In the table of regions. */
  readonly slot: number;
  readonly blocks: readonly Block[];
  /** By block: linear address of its page less that of the first block's page. */
  readonly pageDeltas: readonly number[];
}

/** The second page of an instruction that crosses: its host address, or -1 if it cannot be fetched. */
export type NextPage = () => number;

/** Code bytes end at the page, and the next page cannot be fetched. */
export const fetchFault = 'fetch fault';
/** The instruction goes beyond the limit of CS. */
export const limitFault = 'limit fault';
/** No records are left: everything was forgotten; ask again. */
export const cacheFull = 'cache full';

const noRegions: readonly Region[] = [];
const noBlocks: readonly Block[] = [];
/**
 * Blocks listed for one page; then everything is forgotten. Each write to the page looks at all of them, and guests make as many as they like: the same
 * bytes with another base of CS are another block. Two modes with a block at each byte of the page stay below.
 */
const mostInPage = 8192;

/** All translated code, by the host address of its bytes and its mode. */
export class CodeCache {
  /** By number of the host page: the blocks that begin in it or reach into it. */
  private readonly pages = new Map<number, Block[]>();
  private readonly starts = new BlockStarts();
  /** By number of the host page: how often compiled code in it was written to, up to `mostPatience`. */
  private readonly rewritings = new Map<number, number>();
  private readonly watch: PageWatch;
  private readonly bytes: Uint8Array;
  /** By record: its block's number; 0: the transient block's, or nobody's. */
  private readonly numberOfRecord: Int32Array;
  private readonly blocks: (Block | undefined)[] = [undefined];
  private readonly joint = new Uint8Array(32);
  private next: number;
  /** The block that was made last, if it is not kept: it may be running. */
  private transient: Block | undefined;
  /** A page has {@link mostInPage}. */
  private isCrowded = false;
  readonly translator: Translator;
  /** Translations forgotten because their code was written to, since the start. */
  invalidations = 0;
  translated = 0;
  flushes = 0;
  /** Who counts runs of blocks; undefined: nobody. */
  observation: Observation | undefined;

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
    this.numberOfRecord = new Int32Array((end - first) / recordSize);
    this.translator = new Translator(view, handlers);
    this.watch = physical.watch((page, offset, length) => this.written(page, offset, length));
  }

  /** The block whose bytes begin at a host address, if it is known. */
  find(host: number, mode: CodeMode): Block | undefined {
    return this.blocks[this.starts.find(host, mode.id)];
  }

  blockOf(rec: number): Block | undefined {
    return this.blocks[this.numberOfRecord[(rec - this.first) / recordSize]];
  }

  /** Whether a record begins a block, one that was not kept included. */
  isHeader(rec: number): boolean {
    return (this.blockOf(rec) ?? this.transient)?.record === rec;
  }

  /** Instructions of the record's block from this record on, itself included. */
  remaining(rec: number): number {
    const block = this.blockOf(rec) ?? this.transient;
    return block === undefined ? 1 : block.count - ((rec - block.record) / recordSize - 1);
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
    if (this.next + (maximumBlock + 4) * recordSize > this.end || this.handlers.isFull || this.isCrowded) {
      this.flush();
      if (this.handlers.isFull) {
        this.handlers.reset();
        translator.forgetRows();
      }
      return cacheFull;
    }
    const isKept = most >= maximumBlock;
    const header = this.next;
    const limit = Math.min(pageSize, offset + codeRoom);
    const { bytes } = this;
    let at = offset;
    let secondPage = -1;
    let rec = header + recordSize;
    let count = 0;
    let isOpen = true;
    let goesOn = true;
    while (isOpen && count < Math.min(most, maximumBlock) && at < limit) {
      // Only near the end need the decoder be kept from looking beyond it.
      let written =
        at + longestInstruction <= limit
          ? translator.write(rec, bytes, page + at, at, mode)
          : translator.write(rec, bytes.subarray(page, page + limit), at, at, mode);
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
      goesOn = written !== Written.closed;
      count++;
      rec += recordSize;
      if (secondPage >= 0) break;
    }
    const last = rec - recordSize;
    if (goesOn) {
      // Goes on elsewhere: as if the last instruction branched to what follows it.
      view.setUint16(rec + record.handler, Row.end, true);
      view.setUint16(rec + record.position, view.getUint16(last + record.position, true), true);
      view.setInt32(rec + record.immediate, 0, true);
      rec += recordSize;
    }
    view.setUint16(header + record.handler, Row.block, true);
    view.setUint16(header + record.position, offset, true);
    // What is not kept is not worth compiling.
    const heat = isKept
      ? Math.min(heatNever, this.heat * 2 ** (this.rewritings.get(page >>> 12) ?? 0))
      : heatNever;
    view.setInt32(header + record.heat, heat, true);
    view.setInt32(header + record.displacement, 0, true);
    view.setInt32(header + record.immediate, count, true);
    const number = isKept ? this.blocks.length : 0;
    const past = (rec - this.first) / recordSize;
    for (let i = (header - this.first) / recordSize; i < past; i++) this.numberOfRecord[i] = number;
    this.handlers.build();
    const block: Block = {
      record: header,
      count,
      leadsOn: goesOn,
      start: offset,
      end: at,
      page,
      secondPage,
      mode,
      regions: noRegions,
      isCompiled: false,
      heat,
      executions: 0,
      isValid: true,
      comers: noBlocks,
      isAddressed: false,
      isMissed: false,
      counter: isKept && this.observation !== undefined ? rec : 0,
    };
    this.transient = isKept ? undefined : block;
    if (isKept) {
      this.translated++;
      this.next = rec;
      if (block.counter !== 0) this.addCounter(block);
      this.keep(block);
    }
    return block;
  }

  /** Byte address of the guest's RAM. */
  get base(): number {
    return this.physical.base;
  }

  /** All blocks since the last flush, forgotten ones included. */
  known(): readonly Block[] {
    return this.blocks.slice(1) as Block[];
  }

  /** A block is linked to another. Most have one or two of them, and an array that was pushed to has room for sixteen more. */
  noteComer(block: Block, comer: Block): void {
    if (block.comers.length < 2)
      block.comers = block.comers.length === 0 ? [comer] : [block.comers[0], comer];
    else (block.comers as Block[]).push(comer);
  }

  /** How often the block that begins at a record has run, as far as that was counted. */
  executions(rec: number): number {
    const block = this.blockOf(rec);
    if (block?.record !== rec) return 0;
    if (block.executions > 0) return block.executions;
    return Math.max(0, block.heat - this.view.getInt32(rec + record.heat, true));
  }

  /** Room for more records, as for an edge to another page; 0 if there is none. */
  extraRecord(block: Block, count = 1): number {
    const rec = this.next;
    const end = rec + count * recordSize;
    if (end > this.end) return 0;
    this.next = end;
    // A block that was not kept lay there and has been run: it must not be made stale any more.
    if (this.transient?.record === rec) this.transient = undefined;
    const number = this.numberOfRecord[(block.record - this.first) / recordSize];
    this.numberOfRecord.fill(number, (rec - this.first) / recordSize, (end - this.first) / recordSize);
    return rec;
  }

  /** A record behind the block's that no code comes to. */
  private addCounter(block: Block): void {
    this.view.setBigUint64(block.counter, 0n, true);
    this.next += recordSize;
  }

  private keep(block: Block): void {
    this.starts.add(this.blocks.push(block) - 1, block.page + block.start, block.mode.id);
    this.listIn(block.page, block);
    if (block.secondPage >= 0) this.listIn(block.secondPage, block);
  }

  private listIn(page: number, block: Block): void {
    const list = this.pages.get(page >>> 12);
    if (list === undefined) {
      this.pages.set(page >>> 12, [block]);
      this.watch.add((page - this.physical.base) / pageSize);
    } else if (list.push(block) === mostInPage) this.isCrowded = true;
  }

  private unlist(page: number, block: Block): void {
    const list = this.pages.get(page >>> 12);
    if (list === undefined) return;
    list.splice(list.indexOf(block), 1);
    if (list.length > 0) return;
    this.pages.delete(page >>> 12);
    this.watch.delete((page - this.physical.base) / pageSize);
  }

  /** Bytes of a page with code were written. */
  private written(backingPage: number, offset: number, length: number): void {
    const page = this.physical.base + backingPage * pageSize;
    const list = this.pages.get(page >>> 12);
    if (list === undefined) return;
    for (const block of list.slice()) if (reaches(block, page, offset, length)) this.invalidate(block);
    // Whatever was written: nobody may watch the page any more when the next byte is.
    const { transient } = this;
    if (transient?.isValid && (transient.page === page || transient.secondPage === page))
      this.makeStale(transient);
  }

  /** Whoever comes to these records, from wherever, is sent to TypeScript; the block that is running, too. */
  private makeStale(block: Block): void {
    block.isValid = false;
    // Not the record behind the last instruction: it only leads on.
    const end = block.record + (block.count + 1) * recordSize;
    for (let rec = block.record; rec < end; rec += recordSize)
      this.view.setUint16(rec + record.handler, Row.stale, true);
  }

  /** Whoever comes to a stale block goes on to the one that took its place. @param from first record of the one @param to of the other */
  forward(from: number, to: number): void {
    const [old, block] = [this.blockOf(from), this.blockOf(to)];
    if (old === undefined || block?.record !== to || old.isValid || old.record !== from) return;
    if (old.page !== block.page || old.start !== block.start || old.mode !== block.mode) return;
    // Edges to a block that reaches into another page have checked that page.
    if (old.secondPage !== block.secondPage) return;
    this.view.setUint16(from + record.handler, Row.forward, true);
    this.view.setInt32(from + record.immediate, to, true);
  }

  private invalidate(block: Block): void {
    if (!block.isValid) return;
    this.invalidations++;
    this.makeStale(block);
    this.starts.delete(this.numberOfRecord[(block.record - this.first) / recordSize]);
    this.unlist(block.page, block);
    if (block.secondPage >= 0) this.unlist(block.secondPage, block);
    // A region is one piece: its other blocks are interpreted again.
    if (block.regions.length > 0) this.noteRewriting(block.page);
    for (const region of block.regions) this.dissolve(region);
  }

  /** A region's blocks are interpreted again. */
  dissolve(region: Region): void {
    const { view } = this;
    this.handlers.removeRegion(region.slot);
    for (const other of region.blocks) {
      other.regions = other.regions.filter((candidate) => candidate !== region);
      if (!other.isCompiled || view.getInt32(other.record + record.slot, true) !== region.slot) continue;
      other.isCompiled = false;
      if (other.isValid) {
        view.setUint16(other.record + record.handler, Row.block, true);
        view.setInt32(other.record + record.heat, other.heat, true);
      }
      this.observation?.decided(other);
    }
  }

  /** Compiled code of a page was written to: what comes there next must run more often before it is compiled. */
  private noteRewriting(page: number): void {
    this.rewritings.set(page >>> 12, Math.min(mostPatience, 1 + (this.rewritings.get(page >>> 12) ?? 0)));
  }

  /** Forgets everything. */
  flush(): void {
    this.flushes++;
    this.observation?.beginFlush();
    for (const number of this.pages.keys())
      this.watch.delete((number * pageSize - this.physical.base) / pageSize);
    this.pages.clear();
    this.starts.clear();
    this.rewritings.clear();
    this.blocks.length = 1;
    this.numberOfRecord.fill(0);
    this.transient = undefined;
    this.isCrowded = false;
    this.next = this.first;
    this.handlers.removeRegions();
    this.onFlush();
  }
}

/** Whether bytes of a page are among those of a block. */
function reaches(block: Block, page: number, offset: number, length: number): boolean {
  if (block.page === page && offset < block.end && offset + length > block.start) return true;
  return block.secondPage === page && offset < block.end - pageSize;
}
