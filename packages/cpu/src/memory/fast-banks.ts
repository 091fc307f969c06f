import { Fast, type TlbListener } from '@nest86/mmu';
import type { HostStops } from '../system/host-stops.ts';
import {
  bankSize,
  codeEntries,
  codeEntriesOffset,
  codeEntry,
  codeGenerationOffset,
  emptyTag,
  jumpCacheEntries,
  jumpCacheEntry,
  jumpCacheFactor,
  jumpCacheOffset,
  lossesOffset,
  tlbEntries,
  tlbEntry,
  tlbEntryOffset,
} from './fast-tlb.ts';

/** Numbers in a bank's key. */
const keyWords = 6;
const entryWords: number = tlbEntry.size / 4;
const Filled = { data: 1, code: 2 } as const;
/** Words of empty entries for code and of the jump cache: no page has this tag. */
const noTag = -1;
/** The last number that a bank got for its entries for code. */
let generations = 0;

/**
 * The pool of fast-TLB banks of one processor. A bank serves one key: a context of the TLB backend, a privilege, a code mode. When all are
 * taken, the one that was chosen longest ago is emptied for the new key.
 */
export class FastBanks implements TlbListener {
  /** Of each bank: context, privilege, mode, judging bits, PKRU, PKRS. */
  private readonly keys: Int32Array;
  private readonly contexts: Int32Array;
  private readonly uses: Float64Array;
  /** Bits of `Filled`: what of each bank is not empty. */
  private readonly filled: Uint8Array;
  /** Data pages that were entered, by bank, since the start: for statistics. */
  readonly fills: Float64Array;
  private clock = 0;
  private readonly words: Int32Array;
  /** Byte address of the bank in use. */
  current: number;

  /** @param first byte address of the banks, a multiple of 16 @param stops whose pages are not entered */
  constructor(
    buffer: ArrayBufferLike,
    private readonly first: number,
    private readonly count: number,
    private readonly stops: HostStops,
  ) {
    this.words = new Int32Array(buffer, 0, (first + count * bankSize) / 4);
    this.keys = new Int32Array(count * keyWords).fill(-2);
    this.contexts = new Int32Array(count).fill(-2);
    this.uses = new Float64Array(count);
    this.fills = new Float64Array(count);
    this.filled = new Uint8Array(count).fill(Filled.data | Filled.code);
    this.current = first;
    this.clear();
  }

  /**
   * Makes the bank of a key the current one: everything that decides what an access may do.
   *
   * @param context of the TLB backend, -1 for none
   * @param privilege supervisor, user, or supervisor with EFLAGS.AC, as any numbers
   */
  choose(
    context: number,
    privilege: number,
    mode: number,
    judge: number,
    pkru: number,
    pkrs: number,
  ): number {
    const { keys, count, uses } = this;
    let bank = this.indexOf(context, privilege, mode, judge, pkru, pkrs);
    if (bank === count) {
      bank = 0;
      for (let other = 1; other < count; other++) if (uses[other] < uses[bank]) bank = other;
      this.clearBank(bank);
      this.clearJumps(bank);
      keys.set([context, privilege, mode, judge, pkru, pkrs], bank * keyWords);
      this.contexts[bank] = context;
    }
    uses[bank] = ++this.clock;
    this.current = this.first + bank * bankSize;
    return this.current;
  }

  /** The bank of a key, or 0: it is not made. */
  find(context: number, privilege: number, mode: number, judge: number, pkru: number, pkrs: number): number {
    const bank = this.indexOf(context, privilege, mode, judge, pkru, pkrs);
    return bank === this.count ? 0 : this.first + bank * bankSize;
  }

  private indexOf(
    context: number,
    privilege: number,
    mode: number,
    judge: number,
    pkru: number,
    pkrs: number,
  ): number {
    const { keys, count } = this;
    for (let bank = 0; bank < count; bank++) {
      const at = bank * keyWords;
      if (
        keys[at] === context &&
        keys[at + 1] === privilege &&
        keys[at + 2] === mode &&
        keys[at + 3] === judge &&
        keys[at + 4] === pkru &&
        keys[at + 5] === pkrs
      )
        return bank;
    }
    return count;
  }

  /** Adds a data page to the current bank. @param kinds bits of `Fast` @param host address of the page */
  fill(low: number, high: number, kinds: number, host: number): void {
    this.fillIn(this.current, low, high, kinds, host);
  }

  /** Host address of a byte of a data page that a bank has, or -1. @param bank address */
  dataHost(bank: number, low: number, high: number, isWrite: boolean): number {
    const { words } = this;
    const at = (bank + tlbEntryOffset(low)) >> 2;
    const tag = isWrite ? at + 2 : at;
    if (words[tag] !== (low & ~0xfff) || words[tag + 1] !== high) return -1;
    return (low + words[at + 4]) >>> 0;
  }

  /** As `fill`. @param bank address */
  fillIn(bank: number, low: number, high: number, kinds: number, host: number): void {
    if (this.stops.hasData(low, high)) return;
    const { words } = this;
    this.fills[(bank - this.first) / bankSize]++;
    const page = low & ~0xfff;
    const at = (bank + tlbEntryOffset(low)) >> 2;
    const empty = emptyTag((at - (bank >> 2)) / entryWords);
    words[at] = (kinds & Fast.read) !== 0 ? page : empty.low;
    words[at + 1] = (kinds & Fast.read) !== 0 ? high : empty.high;
    words[at + 2] = (kinds & Fast.write) !== 0 ? page : empty.low;
    words[at + 3] = (kinds & Fast.write) !== 0 ? high : empty.high;
    words[at + 4] = host - page;
    this.note(bank, Filled.data);
  }

  fillCode(low: number, high: number, host: number): void {
    if (this.stops.hasCode(low, high)) return;
    const { words } = this;
    const at = this.codeAt(this.current, low);
    words[at] = low & ~0xfff;
    words[at + 1] = high;
    words[at + 2] = host;
    this.note(this.current, Filled.code);
    this.codeChanged(this.current);
  }

  /** Host address of a code page in the current bank, or -1. */
  codeHost(low: number, high: number): number {
    const { words } = this;
    const at = this.codeAt(this.current, low);
    return words[at] === (low & ~0xfff) && words[at + 1] === high ? words[at + 2] : -1;
  }

  /** Lets indirect branches find the record of a block in the current bank. */
  fillJump(low: number, high: number, record: number, host: number): void {
    const { words } = this;
    const at =
      (this.current + jumpCacheOffset + (Math.imul(low, jumpCacheFactor) >>> 20) * jumpCacheEntry.size) >> 2;
    words[at] = low;
    words[at + 1] = high;
    words[at + 2] = record;
    words[at + 3] = host;
  }

  /** Record that indirect branches to a linear address go to while its page lies at a host address, or 0. */
  jumpTarget(low: number, high: number, host: number): number {
    const { words } = this;
    const at =
      (this.current + jumpCacheOffset + (Math.imul(low, jumpCacheFactor) >>> 20) * jumpCacheEntry.size) >> 2;
    return words[at] === low && words[at + 1] === high && words[at + 3] >>> 0 === host ? words[at + 2] : 0;
  }

  // TlbListener.

  onDrop(context: number, low: number, high: number, shift: number, global: boolean): void {
    for (let bank = 0; bank < this.count; bank++) {
      if (this.filled[bank] === 0 || (!global && this.contexts[bank] !== context)) continue;
      if (shift > 12) this.clearBank(bank);
      else this.dropPage(this.first + bank * bankSize, low, high);
    }
  }

  onFlush(context: number, global: boolean): void {
    for (let bank = 0; bank < this.count; bank++)
      if (global || this.contexts[bank] === context) this.clearBank(bank);
  }

  /** Empties all banks, jump caches included: after records have gone. */
  clear(): void {
    for (let bank = 0; bank < this.count; bank++) {
      this.clearBank(bank);
      this.clearJumps(bank);
    }
  }

  /** Forgets translations of all banks. */
  clearTranslations(): void {
    for (let bank = 0; bank < this.count; bank++) this.clearBank(bank);
  }

  /** Writes to the pages at these host addresses must come through the slow path from now on. */
  protect(host: number, pages: number): void {
    const { words } = this;
    const end = host + pages * 4096;
    for (let bank = 0; bank < this.count; bank++) {
      if ((this.filled[bank] & Filled.data) === 0) continue;
      const start = (this.first + bank * bankSize) >> 2;
      for (let entry = 0; entry < tlbEntries; entry++) {
        const at = start + entry * entryWords;
        const empty = emptyTag(entry);
        if (words[at + 2] === empty.low) continue;
        const page = (words[at + 2] + words[at + 4]) >>> 0;
        if (page < host || page >= end) continue;
        words[at + 2] = empty.low;
        words[at + 3] = empty.high;
      }
    }
  }

  private dropPage(bank: number, low: number, high: number): void {
    const { words } = this;
    words[(bank + lossesOffset) >> 2]++;
    const page = low & ~0xfff;
    const at = (bank + tlbEntryOffset(low)) >> 2;
    const isRead = words[at] === page && words[at + 1] === high;
    if (isRead || (words[at + 2] === page && words[at + 3] === high)) {
      const empty = emptyTag((at - (bank >> 2)) / entryWords);
      words[at] = words[at + 2] = empty.low;
      words[at + 1] = words[at + 3] = empty.high;
    }
    const code = this.codeAt(bank, low);
    if (words[code] === page && words[code + 1] === high) {
      words[code] = noTag;
      words[code + 1] = noTag;
      this.codeChanged(bank);
    }
  }

  /** What regions know about their pages is to be found out anew. */
  private codeChanged(bank: number): void {
    const { words } = this;
    const at = (bank + codeGenerationOffset) >> 2;
    generations++;
    words[at] = generations | 0;
    words[at + 1] = Math.floor(generations / 2 ** 32);
  }

  private codeAt(bank: number, low: number): number {
    return (bank + codeEntriesOffset + ((low >>> 12) & (codeEntries - 1)) * codeEntry.size) >> 2;
  }

  /** Nothing is done for what has been empty since the last time. */
  private clearBank(bank: number): void {
    const { words, filled } = this;
    const start = (this.first + bank * bankSize) >> 2;
    if ((filled[bank] & Filled.data) !== 0) {
      words.fill(emptyTag(1).low, start, start + tlbEntries * entryWords);
      const first = emptyTag(0);
      words[start] = words[start + 2] = first.low;
      words[start + 1] = words[start + 3] = first.high;
      words[start + lossesOffset / 4]++;
    }
    if ((filled[bank] & Filled.code) !== 0) {
      const code = start + codeEntriesOffset / 4;
      words.fill(noTag, code, code + codeEntries * (codeEntry.size / 4));
      this.codeChanged(this.first + bank * bankSize);
    }
    filled[bank] = 0;
  }

  private clearJumps(bank: number): void {
    const start = (this.first + bank * bankSize + jumpCacheOffset) >> 2;
    this.words.fill(noTag, start, start + jumpCacheEntries * (jumpCacheEntry.size / 4));
  }

  private note(bank: number, kind: number): void {
    this.filled[(bank - this.first) / bankSize] |= kind;
  }
}
