import { DecoderOptions, decode, Instruction } from '@nest86/decoder';
import type { MemoryShape } from '@nest86/wasm';
import { jumpCacheEntries, jumpCacheEntry, tlbEntries, tlbEntry } from '../interpreter/handler-operation.ts';
import { Handlers } from '../interpreter/handlers.ts';
import { ExitReason, record } from '../records/layout.ts';
import { Translator } from '../records/translate.ts';
import { RegionCompiler } from '../regions/region-compiler.ts';
import { canonicalOf, statusFlagsOf } from '../semantics/flags.ts';
import { stateOffset, stateSize } from '../state/layout.ts';

/** What the engine asks of a memory unit: where the page of a linear address lies in RAM. */
export interface Translation {
  /** Byte offset in RAM of the page of a linear address, or -1 if the access faults. @param what read 0, write 1, execute 2 */
  page(low: number, high: number, what: 0 | 1 | 2): number;
}

export type RunEnd = 'budget' | 'fault' | 'unknown';

const recordBytes = 16 << 20;

/** One processor on the interpreter. */
export class Interpreter {
  readonly memory: WebAssembly.Memory;
  readonly ram: Uint8Array;
  readonly view: DataView;
  readonly state: number = 4096;
  private readonly bank: number;
  private readonly jumpCache: number;
  private readonly ramBase: number;
  private readonly handlers: Handlers;
  private readonly translator: Translator;
  private readonly regions: RegionCompiler;
  /** Record of a block by the host address of its code. */
  private readonly blocks = new Map<number, number>();
  private readonly instruction = new Instruction();
  private readonly options = new DecoderOptions({ mode: 64 });
  retired = 0;
  private targetLow = 0;
  private targetHigh = 0;
  problem = '';

  /** @param ramSize bytes, a multiple of 64 KiB */
  constructor(
    ramSize: number,
    private readonly translation: Translation,
  ) {
    this.bank = this.state + stateSize;
    this.jumpCache = this.bank + tlbEntries * tlbEntry.size;
    const records = align(this.jumpCache + jumpCacheEntries * jumpCacheEntry.size, 65536);
    this.ramBase = records + recordBytes;
    const pages = (this.ramBase + ramSize) / 65536;
    const shape: MemoryShape = {
      addressType: 'i32',
      shared: false,
      minimumPages: pages,
      maximumPages: pages,
    };
    this.memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    this.view = new DataView(this.memory.buffer);
    this.ram = new Uint8Array(this.memory.buffer, this.ramBase, ramSize);
    this.handlers = new Handlers(this.memory, shape, this);
    this.translator = new Translator(
      this.view,
      new Uint8Array(this.memory.buffer),
      records,
      records + recordBytes,
      this.handlers,
    );
    this.regions = new RegionCompiler(this.view, shape, (row) => this.handlers.shapeOf(row));
    this.view.setInt32(this.state + stateOffset.tlbBank, this.bank, true);
    this.view.setInt32(this.state + stateOffset.jumpCache, this.jumpCache, true);
    this.flushTlb();
  }

  /** Compiles the region that begins at a linear address which has been run. */
  compile(address: bigint): void {
    const block = this.blockAt(Number(BigInt.asIntN(32, address)), Number(BigInt.asIntN(32, address >> 32n)));
    if (block < 0) return;
    const { module, blocks } = this.regions.compile(block);
    const row = this.handlers.install(module);
    for (const [i, start] of blocks.entries()) {
      this.view.setInt32(start + record.displacement, i, true);
      this.view.setUint16(start + record.handler, row, true);
    }
  }

  register(number: number): bigint {
    return this.view.getBigUint64(this.state + stateOffset.gpr + 8 * number, true);
  }

  setRegister(number: number, value: bigint): void {
    this.view.setBigUint64(this.state + stateOffset.gpr + 8 * number, BigInt.asUintN(64, value), true);
  }

  /** CF PF AF ZF SF OF in their places in RFLAGS. */
  statusFlags(): number {
    const { view, state } = this;
    return statusFlagsOf({
      low: view.getInt32(state + stateOffset.flagResult, true),
      high: view.getInt32(state + stateOffset.flagResult + 4, true),
      aux: view.getInt32(state + stateOffset.flagAux, true),
    });
  }

  setStatusFlags(flags: number): void {
    const { low, high, aux } = canonicalOf(flags);
    this.view.setInt32(this.state + stateOffset.flagResult, low, true);
    this.view.setInt32(this.state + stateOffset.flagResult + 4, high, true);
    this.view.setInt32(this.state + stateOffset.flagAux, aux, true);
  }

  /** Forgets all translations of addresses. Tags of -1 fit no page. */
  flushTlb(): void {
    new Uint8Array(this.memory.buffer, this.bank, tlbEntries * tlbEntry.size).fill(0xff);
    new Uint8Array(this.memory.buffer, this.jumpCache, jumpCacheEntries * jumpCacheEntry.size).fill(0xff);
  }

  /** Runs up to `budget` instructions from a linear address. */
  run(start: bigint, budget: number): { end: RunEnd; address: bigint } {
    const { view, state } = this;
    let low = Number(BigInt.asIntN(32, start));
    let high = Number(BigInt.asIntN(32, start >> 32n));
    let left = budget;
    for (;;) {
      const block = this.blockAt(low, high);
      if (block < 0) return { end: this.problem === '' ? 'fault' : 'unknown', address: join(low, high) };
      view.setInt32(state + stateOffset.pageBase, low & ~0xfff, true);
      view.setInt32(state + stateOffset.pageBase + 4, high, true);
      this.handlers.run(state, block, left);
      const now = view.getInt32(state + stateOffset.budget, true);
      this.retired += left - now;
      left = now;
      const rec = view.getInt32(state + stateOffset.exitRecord, true);
      const reason = view.getInt32(state + stateOffset.exitReason, true);
      if (reason === ExitReason.link) {
        this.link(rec, view.getInt32(state + stateOffset.exitAddress, true));
        low = this.targetLow;
        high = this.targetHigh;
      } else if (reason === ExitReason.jump) {
        low = view.getInt32(state + stateOffset.exitAddress, true);
        high = view.getInt32(state + stateOffset.exitAddress + 4, true);
        this.remember(low, high);
      } else {
        const end = reason === ExitReason.budget ? 'budget' : 'fault';
        return { end, address: join(this.lowOf(rec), view.getInt32(state + stateOffset.pageBase + 4, true)) };
      }
    }
  }

  /** Called by handlers when the fast TLB does not answer. */
  access(state: number, _record: number, low: number, high: number, what: number): number {
    const size = what & 0xff;
    const isWrite = what > 0xff;
    if ((low & 0xfff) + size > 0x1000) {
      throw new RangeError('access across pages');
    }
    const page = this.translation.page(low, high, isWrite ? 1 : 0);
    if (page < 0) {
      this.view.setInt32(state + stateOffset.faultAddress, low, true);
      this.view.setInt32(state + stateOffset.faultAddress + 4, high, true);
      return -1;
    }
    const host = this.ramBase + page;
    const entry = this.bank + ((low >>> 12) & (tlbEntries - 1)) * tlbEntry.size;
    const tags = isWrite ? [tlbEntry.readTag, tlbEntry.writeTag] : [tlbEntry.readTag];
    if (!isWrite && this.view.getInt32(entry + tlbEntry.addend, true) !== host - (low & ~0xfff)) {
      this.view.setBigInt64(entry + tlbEntry.writeTag, -1n, true);
    }
    for (const tag of tags) {
      this.view.setInt32(entry + tag, low & ~0xfff, true);
      this.view.setInt32(entry + tag + 4, high, true);
    }
    this.view.setInt32(entry + tlbEntry.addend, host - (low & ~0xfff), true);
    return host + (low & 0xfff);
  }

  commit(): void {
    throw new RangeError('access across pages');
  }

  private blockAt(low: number, high: number): number {
    const page = this.translation.page(low, high, 2);
    if (page < 0) return -1;
    const code = this.ramBase + page + (low & 0xfff);
    let block = this.blocks.get(code);
    if (block === undefined) {
      try {
        block = this.translator.block(code, this.ramBase + page);
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        this.problem = error.message;
        return -1;
      }
      this.blocks.set(code, block);
    }
    return block;
  }

  /** Links a direct branch of the present page; its target is then in `targetLow` and `targetHigh`. */
  private link(rec: number, field: number): void {
    const from = this.lowOf(rec);
    const high = this.view.getInt32(this.state + stateOffset.pageBase + 4, true);
    const page = this.translation.page(from, high, 2);
    decode(this.ram.subarray(page, page + 4096), from & 0xfff, this.options, this.instruction);
    const { length, immediate } = this.instruction;
    // As a signed distance from 2^32 times the high half: exact, since both are far below 2^53.
    const target = (from >>> 0) + length + (field === record.immediate ? immediate : 0);
    this.targetLow = target | 0;
    this.targetHigh = (high + Math.floor(target / 2 ** 32)) | 0;
    // Another linear page may be mapped elsewhere one day: only branches within the page are linked for good.
    if ((this.targetLow & ~0xfff) === (from & ~0xfff) && this.targetHigh === high) {
      const block = this.blockAt(this.targetLow, this.targetHigh);
      if (block >= 0) this.view.setInt32(rec + field, block, true);
    }
  }

  private remember(low: number, high: number): void {
    const block = this.blockAt(low, high);
    const page = this.state + stateOffset.pageBase;
    const isThisPage =
      this.view.getInt32(page, true) === (low & ~0xfff) && this.view.getInt32(page + 4, true) === high;
    if (block < 0 || !isThisPage) return;
    const entry = this.jumpCache + (low & (jumpCacheEntries - 1)) * jumpCacheEntry.size;
    this.view.setInt32(entry + jumpCacheEntry.tag, low, true);
    this.view.setInt32(entry + jumpCacheEntry.tag + 4, high, true);
    this.view.setInt32(entry + jumpCacheEntry.record, block, true);
  }

  /** Low half of the address of a record's instruction; pages do not cross it. */
  private lowOf(rec: number): number {
    const pageBase = this.view.getInt32(this.state + stateOffset.pageBase, true);
    return pageBase + (this.view.getUint16(rec + record.position, true) & 0xfff);
  }
}

/** BigInt only here, at the edge: V8 11 crashes on loops that carry 64-bit BigInts. */
function join(low: number, high: number): bigint {
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}

function align(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}
