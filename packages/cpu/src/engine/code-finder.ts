import { DecodeStatus, decode, type Instruction } from '@nest86/decoder';
import { Access, Fast, Fault, type Mmu, type PagingContext, Translation } from '@nest86/mmu';
import type { FastBanks } from '../memory/fast-banks.ts';
import type { SecondStageFaults } from '../memory/processor-memory.ts';
import type { CodeMode } from '../records/code-mode.ts';
import { Row, record, recordSize } from '../records/layout.ts';
import { Exception } from '../semantics/operation.ts';
import { stateOffset } from '../state/layout.ts';
import type { VcpuState } from '../state/vcpu-state.ts';
import { Unwind } from '../system/fault.ts';
import type { HostStops } from '../system/host-stops.ts';
import { type Block, fetchFault, limitFault, maximumBlock } from './code-cache.ts';
import type { Engine } from './engine.ts';

// Cells of the state, as words.
const pageBaseCell: number = stateOffset.pageBase >> 2;
const codeHostCell: number = stateOffset.codeHost >> 2;

/** Longest instruction, in bytes (SDM vol. 2A, 2.3.11). */
const longestInstruction = 15;

/** Finds and translates the code at an instruction pointer: fetches pages, asks the code cache, tells the jump cache. */
export class CodeFinder {
  /** How code is executed now; see {@link enterMode}. */
  mode!: CodeMode;
  is64 = false;
  /** Base of CS, which 64-bit code ignores. */
  base = 0;
  /** The last answer was none since the fetch faulted: the state's fault cells describe it. */
  hasFault = false;
  /** The way to the next block is an indirect branch, a service or an event: the jump cache may learn it. */
  isIndirect = false;
  /** Linear page that instructions are fetched from, and its host address, or -1: to be translated at the next block. */
  pageLow = 0;
  pageHigh = 0;
  pageHost = -1;
  private readonly joint = new Uint8Array(16);
  private readonly out = new Translation();

  constructor(
    private readonly engine: Engine,
    private readonly state: VcpuState,
    private readonly banks: FastBanks,
    private readonly mmu: Mmu,
    public context: PagingContext,
    private readonly faults: SecondStageFaults | undefined,
  ) {}

  enterMode(mode: CodeMode): void {
    this.mode = mode;
    this.is64 = mode.bits === 64;
    this.base = this.is64 ? 0 : mode.codeBase | 0;
    this.forgetPage();
  }

  /** The page is to be translated anew. */
  forgetPage(): void {
    this.pageHost = -1;
  }

  /** Takes over the page that generated code came to. */
  takePage(): void {
    const { words } = this.state;
    this.pageLow = words[pageBaseCell];
    this.pageHigh = words[pageBaseCell + 1];
    const host = words[codeHostCell];
    this.pageHost = host === -1 ? -1 : host >>> 0;
  }

  /** Lower half of the linear address of an instruction pointer. */
  linear(ripLow: number): number {
    return (ripLow + this.base) | 0;
  }

  /** Upper half of the same. */
  linearHigh(ripHigh: number): number {
    return this.is64 ? ripHigh : 0;
  }

  /**
   * The record to go on with at an instruction pointer in 64-bit code, if the jump cache knows a block of any length there and its page can be
   * fetched without a walk; else 0. The page is then the present one.
   */
  known(ripLow: number, ripHigh: number): number {
    if (!this.is64) return 0;
    const page = ripLow & ~0xfff;
    if (this.pageHost < 0 || this.pageLow !== page || this.pageHigh !== ripHigh) {
      const host = this.banks.codeHost(ripLow, ripHigh);
      if (host === -1) return 0;
      this.pageLow = page;
      this.pageHigh = ripHigh;
      this.pageHost = host >>> 0;
    }
    const rec = this.banks.jumpTarget(ripLow, ripHigh, this.pageHost);
    if (rec === 0) return 0;
    const row = this.engine.view.getUint16(rec + record.handler, true);
    // One that only leads on may lead to one that was written to as well: whoever came from there would be sent there again.
    if (row === Row.stale || row === Row.forward) return 0;
    this.isIndirect = false;
    this.hasFault = false;
    return rec;
  }

  /**
   * The block at an instruction pointer; undefined if it cannot be fetched ({@link hasFault}), or if all code was forgotten.
   * @param left instructions that the block may have
   */
  find(ripLow: number, ripHigh: number, left: number): Block | undefined {
    const { engine, mode } = this;
    const low = this.linear(ripLow);
    const high = this.linearHigh(ripHigh);
    const { isIndirect } = this;
    this.isIndirect = false;
    this.hasFault = false;
    const room = this.is64 ? 0x1000 : Math.min(0x1000, mode.codeLimit - (ripLow >>> 0) + 1);
    if (room <= 0) return this.limitFault();
    if (this.pageHost < 0 || this.pageLow !== (low & ~0xfff) || this.pageHigh !== high) {
      const host = this.fetch(low, high);
      if (host < 0) return undefined;
      this.pageLow = low & ~0xfff;
      this.pageHigh = high;
      this.pageHost = host;
    }
    const host = this.pageHost;
    const offset = low & 0xfff;
    let block = engine.code.find(host + offset, mode);
    // What it crosses into may be another page by now.
    if (block !== undefined && block.secondPage >= 0 && this.nextPage(low, high) !== block.secondPage)
      block = undefined;
    this.hasFault = false;
    block ??= this.translate(host, offset, low, high, maximumBlock, room);
    // Longer than the budget: a shorter one is made, for once.
    if (block !== undefined && block.count > left) return this.translate(host, offset, low, high, left, room);
    if (block === undefined) return undefined;
    if (isIndirect) block.isAddressed = true;
    if (isIndirect && block.secondPage < 0) this.banks.fillJump(low, high, block.record, host);
    return block;
  }

  /** How many instructions the block at an instruction pointer may have to end ahead of the first breakpoint behind its start; at most `left`. */
  countToStop(ripLow: number, ripHigh: number, left: number, stops: HostStops): number {
    const block = this.find(ripLow, ripHigh, left);
    if (block === undefined) return 1;
    const { view } = this.engine;
    for (let i = 1; i < block.count; i++) {
      const offset = view.getUint16(block.record + (i + 1) * recordSize + record.position, true) & 0xfff;
      if (stops.isAt(this.pageLow | offset, this.pageHigh)) return i;
    }
    return left;
  }

  /** The block at an offset of the present page that follows a call; nothing is fetched. */
  following(page: number, offset: number): Block | undefined {
    const { engine, mode } = this;
    if (offset >= 4096 || this.pageHost < 0 || (!this.is64 && mode.codeLimit !== 0xffffffff))
      return undefined;
    const block =
      engine.code.find(page + offset, mode) ??
      engine.code.translate(page, offset, mode, () => -1, maximumBlock, 0x1000);
    if (typeof block !== 'object') return undefined;
    if (page === this.pageHost) engine.code.observation?.seen(block, this.pageLow | offset, this.pageHigh);
    return block;
  }

  /** Decodes the instruction at an instruction pointer, which was decoded before: it cannot fault. Answers a `DecodeStatus`. */
  decode(ripLow: number, ripHigh: number, instruction: Instruction): number {
    const { joint, engine, mode } = this;
    const low = this.linear(ripLow);
    const offset = low & 0xfff;
    const { bytes } = engine.physical;
    // Nothing of the next page is looked at where the page holds the longest instruction.
    if (offset <= 0x1000 - longestInstruction)
      return decode(bytes, this.pageHost + offset, mode.options, instruction);
    const first = 0x1000 - offset;
    joint.set(bytes.subarray(this.pageHost + offset, this.pageHost + offset + first));
    const status = decode(joint.subarray(0, first), 0, mode.options, instruction);
    // The next page is fetched from only if the instruction goes on there.
    if (status !== DecodeStatus.truncated) return status;
    const next = this.nextPage(low, this.linearHigh(ripHigh));
    if (next < 0) return status;
    joint.set(bytes.subarray(next, next + longestInstruction - first), first);
    return decode(joint.subarray(0, longestInstruction), 0, mode.options, instruction);
  }

  /** Bytes at an instruction pointer that can be fetched, up to 15; nothing notices. @returns how many */
  instructionBytes(ripLow: number, ripHigh: number, target: Uint8Array): number {
    const { mmu, context, state, out, engine } = this;
    const user = state.get('cpl') === 3 ? Access.user : 0;
    let count = 0;
    while (count < longestInstruction) {
      const low = (this.linear(ripLow) + count) | 0;
      const carry = this.is64 && low >>> 0 < count ? 1 : 0;
      const high = (this.linearHigh(ripHigh) + carry) | 0;
      if (mmu.probe(context, low, high, Access.execute | user, out) !== Fault.none || out.offset < 0) break;
      const at = out.offset + (low & 0xfff);
      const length = Math.min(longestInstruction - count, 0x1000 - (low & 0xfff));
      for (let i = 0; i < length; i++) target[count + i] = engine.physical.bytes[at + i];
      count += length;
    }
    return count;
  }

  private translate(
    host: number,
    offset: number,
    low: number,
    high: number,
    most: number,
    room: number,
  ): Block | undefined {
    const made = this.engine.code.translate(
      host,
      offset,
      this.mode,
      () => this.nextPage(low, high),
      most,
      room,
    );
    if (typeof made === 'object') {
      this.hasFault = false;
      this.engine.code.observation?.seen(made, low, high);
      return made;
    }
    // Of a fetch fault the cells are filled already.
    this.hasFault = made === fetchFault;
    return made === limitFault ? this.limitFault() : undefined;
  }

  private limitFault(): undefined {
    this.state.set('faultVector', Exception.generalProtection);
    this.state.set('faultError', 0);
    this.hasFault = true;
    return undefined;
  }

  /** Host address of the page behind the one of an address, or -1 with the fault in the state. */
  private nextPage(low: number, high: number): number {
    const next = ((low & ~0xfff) + 0x1000) | 0;
    return this.fetch(next, next === 0 && this.is64 ? (high + 1) | 0 : high);
  }

  /** Host address of a code page, or -1 with the fault in the state. */
  private fetch(low: number, high: number): number {
    const { banks, mmu, context, state, out } = this;
    const known = banks.codeHost(low, high);
    if (known >= 0 || known < -1) return known >>> 0;
    const user = state.get('cpl') === 3 ? Access.user : 0;
    let fault: number;
    let unwind: number = Unwind.problem;
    do {
      fault = mmu.translate(context, low, high, Access.execute | user, out);
      if (fault === Fault.none || fault === Fault.page || fault === Fault.nonCanonical) break;
      unwind = this.faults?.secondStageFault(out, Access.execute | user, low, high, true) ?? Unwind.problem;
    } while (unwind === 0);
    if (fault === Fault.none && out.offset >= 0) {
      if ((out.fast & Fast.execute) !== 0) banks.fillCode(low, high, out.offset);
      return out.offset;
    }
    this.hasFault = true;
    if (fault === Fault.none) {
      // Nobody executes from a device's registers; what would come back changes with every fetch.
      state.set('faultVector', -1);
      state.setPair('faultAddress', low, high);
    } else if (fault === Fault.page) {
      state.set('faultVector', Exception.page);
      state.set('faultError', out.errorCode);
      state.setPair('faultAddress', low, high);
    } else if (fault === Fault.nonCanonical) {
      state.set('faultVector', Exception.generalProtection);
      state.set('faultError', 0);
    } else {
      state.set('faultVector', unwind);
      state.set('faultError', -1);
    }
    return -1;
  }
}
