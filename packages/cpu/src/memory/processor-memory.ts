import {
  Access,
  Fast,
  Fault,
  type Mmu,
  PageKind,
  type PagingContext,
  type PhysicalMemory,
  Translation,
} from '@nest86/mmu';
import { Exception } from '../semantics/operation.ts';
import { stateOffset } from '../state/layout.ts';
import type { VcpuState } from '../state/vcpu-state.ts';
import type { Breakpoints } from '../system/breakpoints.ts';
import { guestFault, pageFault } from '../system/fault.ts';
import type { LinearMemory } from '../system/unit.ts';
import type { FastBanks } from './fast-banks.ts';
import { AccessRequest } from './fast-tlb.ts';

/** Faults of the second stage belong to the owner of the guest. */
export interface SecondStageFaults {
  /** @returns true if the access is to be tried again */
  secondStageFault(out: Translation, access: number, low: number, high: number): boolean;
}

/** A store to scratch bytes that waits for its commit: up to two pieces, each in one page. */
interface Pending {
  bytes: number;
  first: number;
  page0: number;
  offset0: number;
  page1: number;
}

/** The slow path of a processor's memory accesses: walks, faults, devices, pages that are watched, accesses across pages. */
export class ProcessorMemory implements LinearMemory {
  readonly out: Translation = new Translation();
  /** Accesses that generated code could not make by itself, since the start. */
  slowAccesses = 0;
  private readonly pending: Pending[] = Array.from({ length: 4 }, () => ({
    bytes: 0,
    first: 0,
    page0: 0,
    offset0: 0,
    page1: 0,
  }));
  private readonly physical: PhysicalMemory;
  private readonly view: DataView;

  constructor(
    private readonly state: VcpuState,
    private readonly mmu: Mmu,
    private readonly context: PagingContext,
    private readonly banks: FastBanks,
    buffer: ArrayBufferLike,
    private readonly faults: SecondStageFaults | undefined,
    private readonly breakpoints: Breakpoints,
  ) {
    this.physical = mmu.memory;
    this.view = new DataView(buffer);
  }

  // For generated code.

  /** See `HandlerImports.access`. */
  access(low: number, high: number, what: number): number {
    this.slowAccesses++;
    if ((what & refusals) !== 0) return this.refuse(what);
    const bytes = what & 0xff;
    const isWrite = (what & AccessRequest.write) !== 0;
    const user = this.state.get('cpl') === 3 ? Access.user : 0;
    const kind = (isWrite ? Access.write : Access.read) | user;
    const inPage = 0x1000 - (low & 0xfff);
    const { out } = this;
    if (!this.translate(low, high, kind, what)) return -1;
    const isWatched = this.breakpoints.watchesData;
    const scratch = this.state.address + stateOffset.scratch + 64 * (what >>> AccessRequest.slotShift);
    const pending = this.pending[what >>> AccessRequest.slotShift];
    if (bytes <= inPage) {
      const { offset } = out;
      if (isWatched) this.breakpoints.access(low, high, bytes, isWrite);
      if (out.fast !== 0 && !isWatched)
        this.banks.fill(low, high, out.fast & (Fast.read | Fast.write), offset);
      if (offset >= 0 && !out.apicAccess && (!isWrite || this.mayWrite(offset, out.page)))
        return offset + (low & 0xfff);
      pending.first = bytes;
      pending.page0 = out.page;
      pending.offset0 = low & 0xfff;
    } else {
      pending.first = inPage;
      pending.page0 = out.page;
      pending.offset0 = low & 0xfff;
      // The second page begins at the next page's first byte; outside 64-bit code addresses wrap at 4 GiB.
      const nextLow = (low + inPage) | 0;
      const nextHigh = nextLow === 0 && this.context.efer & 0x400 ? (high + 1) | 0 : high;
      if (!this.translate(nextLow, nextHigh, kind, what)) return -1;
      pending.page1 = out.page;
      if (isWatched) this.breakpoints.access(low, high, bytes, isWrite);
    }
    pending.bytes = bytes;
    if (!isWrite || (what & AccessRequest.modify) !== 0) this.readPending(pending, scratch);
    return scratch;
  }

  /** See `HandlerImports.commit`. */
  commit(slot: number): void {
    const { bytes, first, page0, offset0, page1 } = this.pending[slot];
    const scratch = this.state.address + stateOffset.scratch + 64 * slot;
    this.writePiece(page0, offset0, first, scratch);
    if (first < bytes) this.writePiece(page1, 0, bytes - first, scratch + first);
  }

  /** Translates for an access of the program; on a fault the state's fault cells describe it, and the answer is false. */
  private translate(low: number, high: number, kind: number, what: number): boolean {
    const { state, out } = this;
    for (;;) {
      const fault = this.mmu.translate(this.context, low, high, kind, out);
      if (fault === Fault.none) return true;
      if (fault === Fault.page) {
        state.set('faultVector', Exception.page);
        state.set('faultError', out.errorCode);
        state.setPair('faultAddress', low, high);
        return false;
      }
      if (fault === Fault.nonCanonical) {
        const isStack = (what & AccessRequest.stack) !== 0;
        state.set('faultVector', isStack ? Exception.stack : Exception.generalProtection);
        state.set('faultError', 0);
        return false;
      }
      if (this.faults?.secondStageFault(out, kind, low, high) !== true) {
        state.set('faultVector', -1);
        return false;
      }
    }
  }

  private refuse(what: number): number {
    const { state } = this;
    const isStack = (what & AccessRequest.stack) !== 0;
    state.set(
      'faultVector',
      (what & AccessRequest.misaligned) !== 0
        ? Exception.alignment
        : isStack && (what & AccessRequest.segmentFault) !== 0
          ? Exception.stack
          : Exception.generalProtection,
    );
    state.set('faultError', 0);
    return -1;
  }

  private mayWrite(offset: number, page: number): boolean {
    return !this.physical.isWatched(offset) && this.physical.kindOf(page) === PageKind.ram;
  }

  private readPending({ bytes, first, page0, offset0, page1 }: Pending, scratch: number): void {
    this.readPiece(page0, offset0, first, scratch);
    if (first < bytes) this.readPiece(page1, 0, bytes - first, scratch + first);
  }

  /** Devices see naturally aligned accesses of 1, 2 and 4 bytes. */
  private readPiece(page: number, offset: number, bytes: number, target: number): void {
    const host = this.physical.offsetOf(page);
    const all = this.physical.bytes;
    if (host >= 0) {
      all.copyWithin(target, host + offset, host + offset + bytes);
      return;
    }
    for (let done = 0; done < bytes; ) {
      const size = pieceSize(offset + done, bytes - done);
      const value = this.physical.read(page, offset + done, size);
      for (let i = 0; i < size; i++) all[target + done + i] = value >>> (8 * i);
      done += size;
    }
  }

  private writePiece(page: number, offset: number, bytes: number, source: number): void {
    const { physical, view } = this;
    const host = physical.writableOffsetOf(page);
    if (host >= 0) {
      physical.bytes.copyWithin(host + offset, source, source + bytes);
      physical.written(host + offset, bytes);
      return;
    }
    for (let done = 0; done < bytes; ) {
      const size = pieceSize(offset + done, bytes - done);
      const at = source + done;
      const value =
        size === 4 ? view.getInt32(at, true) : size === 2 ? view.getUint16(at, true) : view.getUint8(at);
      physical.write(page, offset + done, size, value);
      done += size;
    }
  }

  // For TypeScript.

  read(low: number, high: number, bytes: number, system = false): number {
    let value = 0;
    if (!system && this.breakpoints.watchesData) this.breakpoints.access(low, high, bytes, false);
    for (let done = 0; done < bytes; ) {
      const at = (low + done) | 0;
      const size = Math.min(0x1000 - (at & 0xfff), pieceSize(at, bytes - done));
      const atHigh = this.carry(low, high, done);
      this.check(at, atHigh, Access.read, system);
      const piece = this.physical.read(this.out.page, at & 0xfff, size);
      value |= (size === 4 ? piece : piece & ((1 << (8 * size)) - 1)) << (8 * done);
      done += size;
    }
    return value;
  }

  write(low: number, high: number, bytes: number, value: number, system = false): void {
    if ((low & 0xfff) + bytes > 0x1000) this.probe(low, high, bytes, true, system);
    if (!system && this.breakpoints.watchesData) this.breakpoints.access(low, high, bytes, true);
    for (let done = 0; done < bytes; ) {
      const at = (low + done) | 0;
      const size = pieceSize(at, bytes - done);
      this.check(at, this.carry(low, high, done), Access.write, system);
      this.physical.write(this.out.page, at & 0xfff, size, value >>> (8 * done));
      done += size;
    }
  }

  probe(low: number, high: number, bytes: number, isWrite: boolean, system = false): void {
    const kind = isWrite ? Access.write : Access.read;
    this.check(low, high, kind, system);
    const first = 0x1000 - (low & 0xfff);
    for (let done = first; done < bytes; done += 0x1000)
      this.check((low + done) | 0, this.carry(low, high, done), kind, system);
  }

  /** Upper half of `high:low + done`; outside long mode addresses have 32 bits. */
  private carry(low: number, high: number, done: number): number {
    if ((this.context.efer & 0x400) === 0) return high;
    return (low >>> 0) + done > 0xffffffff ? (high + 1) | 0 : high;
  }

  private check(low: number, high: number, kind: number, system: boolean): void {
    const user = system ? Access.implicit : this.state.get('cpl') === 3 ? Access.user : 0;
    for (;;) {
      const fault = this.mmu.translate(this.context, low, high, kind | user, this.out);
      if (fault === Fault.none) return;
      if (fault === Fault.page) throw pageFault(this.out.errorCode, low, high);
      if (fault === Fault.nonCanonical) throw guestFault(Exception.generalProtection, 0);
      if (this.faults?.secondStageFault(this.out, kind | user, low, high) !== true) throw guestFault(-1);
    }
  }
}

const refusals = AccessRequest.segmentFault | AccessRequest.misaligned | AccessRequest.misalignedVector;

/** Largest naturally aligned piece of 4, 2 or 1 bytes at an offset. */
function pieceSize(offset: number, bytes: number): number {
  if ((offset & 3) === 0 && bytes >= 4) return 4;
  return (offset & 1) === 0 && bytes >= 2 ? 2 : 1;
}
