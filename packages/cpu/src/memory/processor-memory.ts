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
import { guestFault, pageFault, Unwind } from '../system/fault.ts';
import type { HostStops } from '../system/host-stops.ts';
import type { LinearMemory } from '../system/unit.ts';
import { Answer } from '../virtualization/extension.ts';
import type { FastBanks } from './fast-banks.ts';
import { AccessRequest } from './fast-tlb.ts';
import { QuickAccess } from './quick-access.ts';

/** Faults of the second stage, and accesses to a virtualized APIC, belong to the owner of the guest. */
export interface SecondStageFaults {
  /** @returns 0 if the access is to be tried again, else the vector to unwind with */
  secondStageFault(out: Translation, access: number, low: number, high: number, isLinear: boolean): number;
  /** @returns one of `Answer` */
  apicAccess(offset: number, bytes: number, access: number, low: number, high: number): number;
  readApic(offset: number, bytes: number): number;
  writeApic(offset: number, bytes: number, value: number): void;
}

// Cells of the state, as words.
const bankCell: number = stateOffset.tlbBank >> 2;
const cplCell: number = stateOffset.cpl >> 2;
const faultVectorCell: number = stateOffset.faultVector >> 2;
const faultErrorCell: number = stateOffset.faultError >> 2;
const faultAddressCell: number = stateOffset.faultAddress >> 2;

/** Stands for a page that the extension answers for. */
const virtualApicPage = -1;

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
  /** The instruction is executed alone: the run loop looks right behind it. */
  isAlone = false;
  private readonly pending: Pending[] = Array.from({ length: 4 }, () => ({
    bytes: 0,
    first: 0,
    page0: 0,
    offset0: 0,
    page1: 0,
  }));
  /** @internal */
  readonly quick: QuickAccess;
  private readonly physical: PhysicalMemory;
  private readonly view: DataView;
  /** @internal */
  readonly words: Int32Array;

  constructor(
    private readonly state: VcpuState,
    private readonly mmu: Mmu,
    public context: PagingContext,
    private readonly banks: FastBanks,
    buffer: ArrayBufferLike,
    private readonly faults: SecondStageFaults | undefined,
    private readonly breakpoints: Breakpoints,
    private readonly stops: HostStops,
  ) {
    this.physical = mmu.memory;
    this.quick = new QuickAccess(state, banks, breakpoints);
    this.view = new DataView(buffer);
    this.words = new Int32Array(buffer);
  }

  // For generated code.

  /** See `HandlerImports.access`. */
  access(low: number, high: number, what: number): number {
    this.slowAccesses++;
    if ((what & refusals) !== 0) return this.refuse(what);
    // Generated code may have changed the privilege.
    const { words } = this.state;
    this.banks.current = words[bankCell];
    const bytes = what & 0xff;
    const isWrite = (what & AccessRequest.write) !== 0;
    const user = words[cplCell] === 3 ? Access.user : 0;
    const kind = (isWrite ? Access.write : Access.read) | user;
    const inPage = 0x1000 - (low & 0xfff);
    const { out } = this;
    if (!this.translate(low, high, kind, what) || this.waitsForTurn(low)) return -1;
    if (this.stops.watchesData && this.waitsForStop(low, high, what)) return -1;
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
      if (out.apicAccess && !this.asksForApic(low & 0xfff, bytes, kind, low, high)) return -1;
      pending.first = bytes;
      pending.page0 = out.page;
      pending.offset0 = low & 0xfff;
    } else {
      if (out.apicAccess && !this.asksForApic(low & 0xfff, inPage, kind, low, high)) return -1;
      pending.first = inPage;
      pending.page0 = out.page;
      pending.offset0 = low & 0xfff;
      // The second page begins at the next page's first byte; outside 64-bit code addresses wrap at 4 GiB.
      const nextLow = (low + inPage) | 0;
      const nextHigh = nextLow === 0 && this.context.efer & 0x400 ? (high + 1) | 0 : high;
      if (!this.translate(nextLow, nextHigh, kind, what) || this.waitsForTurn(low)) return -1;
      if (out.apicAccess && !this.asksForApic(0, bytes - inPage, kind, nextLow, nextHigh)) return -1;
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
        const { words } = state;
        words[faultVectorCell] = Exception.page;
        words[faultErrorCell] = out.errorCode;
        words[faultAddressCell] = low;
        words[faultAddressCell + 1] = high;
        return false;
      }
      if (fault === Fault.nonCanonical) {
        const isStack = (what & AccessRequest.stack) !== 0;
        state.set('faultVector', isStack ? Exception.stack : Exception.generalProtection);
        state.set('faultError', 0);
        return false;
      }
      const vector = this.secondStageVector(kind, low, high);
      if (vector === 0) continue;
      state.set('faultVector', vector);
      state.set('faultError', -1);
      return false;
    }
  }

  /**
   * Whether what was translated is a device's and the instruction is not executed alone: it must be, since the device asks what time it is, may
   * raise an interrupt and may end the run. The way out is in the state then, with the lower half of the address.
   */
  private waitsForTurn(low: number): boolean {
    if (this.out.offset >= 0 || this.out.apicAccess || this.isAlone) return false;
    const { words } = this.state;
    words[faultVectorCell] = Unwind.alone;
    words[faultAddressCell] = low;
    return true;
  }

  /** The same for what a debugger watches: the run ends right behind the instruction. */
  private waitsForStop(low: number, high: number, what: number): boolean {
    const { stops, isAlone } = this;
    const isWrite = (what & AccessRequest.write) !== 0;
    const isRead = !isWrite || (what & AccessRequest.modify) !== 0;
    const stop = stops.watching(low, high, what & 0xff, isRead, isWrite);
    if (stop === undefined) return false;
    if (isAlone) stops.onMet(stop);
    else this.state.set('faultVector', Unwind.alone);
    return !isAlone;
  }

  private secondStageVector(kind: number, low: number, high: number): number {
    return this.faults?.secondStageFault(this.out, kind, low, high, true) ?? Unwind.problem;
  }

  /**
   * Asks about an access to the APIC-access page, whose page becomes `virtualApicPage` if the extension answers for it. False, with the way
   * out in the state, if it is not to be made. What a write leads to must happen right behind its instruction.
   */
  private asksForApic(offset: number, bytes: number, kind: number, low: number, high: number): boolean {
    const { faults, out, state } = this;
    if (faults === undefined) return true;
    if ((kind & Access.write) !== 0 && !this.isAlone) {
      state.set('faultVector', Unwind.alone);
      return false;
    }
    const answer = faults.apicAccess(offset, bytes, kind, low, high);
    if (answer === Answer.exit) {
      state.set('faultVector', Unwind.exit);
      return false;
    }
    if (answer === Answer.completed) out.page = virtualApicPage;
    return true;
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
    if (page === virtualApicPage) {
      this.readApic(offset, bytes, target);
      return;
    }
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

  private readApic(offset: number, bytes: number, target: number): void {
    const { bytes: all } = this.physical;
    for (let done = 0; done < bytes; ) {
      const size = pieceSize(offset + done, bytes - done);
      const value = this.faults!.readApic(offset + done, size);
      for (let i = 0; i < size; i++) all[target + done + i] = value >>> (8 * i);
      done += size;
    }
  }

  private writePiece(page: number, offset: number, bytes: number, source: number): void {
    const { physical, view } = this;
    if (page === virtualApicPage) {
      for (let done = 0; done < bytes; ) {
        const size = pieceSize(offset + done, bytes - done);
        const value = view.getInt32(source + done, true);
        this.faults!.writeApic(offset + done, size, size === 4 ? value : value & ((1 << (8 * size)) - 1));
        done += size;
      }
      return;
    }
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
    const host = this.quick.host(this.context, low, high, bytes, false, system);
    if (host >= 0) {
      const { view } = this;
      return bytes === 4
        ? view.getInt32(host, true)
        : bytes === 2
          ? view.getUint16(host, true)
          : view.getUint8(host);
    }
    let value = 0;
    if (!system && this.breakpoints.watchesData) this.breakpoints.access(low, high, bytes, false);
    if (this.stops.watchesData) this.stops.access(low, high, bytes, false);
    for (let done = 0; done < bytes; ) {
      const at = (low + done) | 0;
      const size = Math.min(0x1000 - (at & 0xfff), pieceSize(at, bytes - done));
      const atHigh = this.carry(low, high, done);
      this.check(at, atHigh, Access.read, system);
      const piece = this.isVirtualApic(Access.read, at, atHigh, size, system)
        ? this.faults!.readApic(at & 0xfff, size)
        : this.physical.read(this.out.page, at & 0xfff, size);
      value |= (size === 4 ? piece : piece & ((1 << (8 * size)) - 1)) << (8 * done);
      done += size;
    }
    return value;
  }

  write(low: number, high: number, bytes: number, value: number, system = false): void {
    const host = this.quick.host(this.context, low, high, bytes, true, system);
    if (host >= 0) {
      const { view } = this;
      if (bytes === 4) view.setInt32(host, value, true);
      else if (bytes === 2) view.setInt16(host, value, true);
      else view.setInt8(host, value);
      return;
    }
    if ((low & 0xfff) + bytes > 0x1000) this.probe(low, high, bytes, true, system);
    if (!system && this.breakpoints.watchesData) this.breakpoints.access(low, high, bytes, true);
    if (this.stops.watchesData) this.stops.access(low, high, bytes, true);
    for (let done = 0; done < bytes; ) {
      const at = (low + done) | 0;
      const size = pieceSize(at, bytes - done);
      const atHigh = this.carry(low, high, done);
      this.check(at, atHigh, Access.write, system);
      const piece = value >>> (8 * done);
      if (this.isVirtualApic(Access.write, at, atHigh, size, system))
        this.faults!.writeApic(at & 0xfff, size, piece);
      else this.physical.write(this.out.page, at & 0xfff, size, piece);
      done += size;
    }
  }

  readPair(low: number, high: number, out: Int32Array, system = false): void {
    const host = this.quick.host(this.context, low, high, 8, false, system);
    if (host >= 0) {
      out[0] = this.view.getInt32(host, true);
      out[1] = this.view.getInt32(host + 4, true);
      return;
    }
    const first = this.read(low, high, 4, system);
    out[1] = this.read((low + 4) | 0, this.carry(low, high, 4), 4, system);
    out[0] = first;
  }

  writePair(low: number, high: number, valueLow: number, valueHigh: number, system = false): void {
    const host = this.quick.host(this.context, low, high, 8, true, system);
    if (host >= 0) {
      this.view.setInt32(host, valueLow, true);
      this.view.setInt32(host + 4, valueHigh, true);
      return;
    }
    this.write(low, high, 4, valueLow, system);
    this.write((low + 4) | 0, this.carry(low, high, 4), 4, valueHigh, system);
  }

  /** @internal */
  wordsAt(low: number, high: number, bytes: number, isWrite: boolean, system: boolean): number {
    if ((low & 3) !== 0) return -1;
    const host = this.quick.host(this.context, low, high, bytes, isWrite, system);
    return host < 0 ? -1 : host >>> 2;
  }

  probe(low: number, high: number, bytes: number, isWrite: boolean, system = false): void {
    if (this.quick.host(this.context, low, high, bytes, isWrite, system) >= 0) return;
    const kind = isWrite ? Access.write : Access.read;
    this.check(low, high, kind, system);
    const first = 0x1000 - (low & 0xfff);
    for (let done = first; done < bytes; done += 0x1000)
      this.check((low + done) | 0, this.carry(low, high, done), kind, system);
  }

  /** Whether the extension answers for the page that was just translated. */
  private isVirtualApic(kind: number, low: number, high: number, bytes: number, system: boolean): boolean {
    const { out, faults } = this;
    if (!out.apicAccess || faults === undefined) return false;
    const user = system ? Access.implicit : this.state.get('cpl') === 3 ? Access.user : 0;
    const answer = faults.apicAccess(low & 0xfff, bytes, kind | user, low, high);
    if (answer === Answer.exit) throw guestFault(Unwind.exit);
    return answer === Answer.completed;
  }

  /** Upper half of `high:low + done`; outside long mode addresses have 32 bits. */
  private carry(low: number, high: number, done: number): number {
    if ((this.context.efer & 0x400) === 0) return high;
    return (low >>> 0) + done > 0xffffffff ? (high + 1) | 0 : high;
  }

  private check(low: number, high: number, kind: number, system: boolean): void {
    const user = system ? Access.implicit : this.state.words[cplCell] === 3 ? Access.user : 0;
    for (;;) {
      const fault = this.mmu.translate(this.context, low, high, kind | user, this.out);
      if (fault === Fault.none) {
        this.quick.fill(this.context, low, high, this.out, system);
        return;
      }
      if (fault === Fault.page) throw pageFault(this.out.errorCode, low, high);
      if (fault === Fault.nonCanonical) throw guestFault(Exception.generalProtection, 0);
      const vector = this.secondStageVector(kind | user, low, high);
      if (vector !== 0) throw guestFault(vector);
    }
  }
}

const refusals = AccessRequest.segmentFault | AccessRequest.misaligned | AccessRequest.misalignedVector;

/** Largest naturally aligned piece of 4, 2 or 1 bytes at an offset. */
function pieceSize(offset: number, bytes: number): number {
  if ((offset & 3) === 0 && bytes >= 4) return 4;
  return (offset & 1) === 0 && bytes >= 2 ? 2 : 1;
}
