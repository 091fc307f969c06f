import {
  Access,
  allowedKinds,
  apicGuestRight,
  denied,
  Rights,
  stageAllowsAll,
  stageDenied,
} from './paging/access.ts';
import { cr0Faults, cr3Faults, cr4Faults, invpcidFaults, isCanonical } from './paging/checks.ts';
import { type PagingContext, pagingMode, type TlbOwner } from './paging/context.ts';
import type { PagingModel } from './paging/model.ts';
import { Cr0, Cr4, Efer, PagingMode } from './paging/registers.ts';
import type { PhysicalMemory } from './physical-memory/physical-memory.ts';
import { PageKind } from './physical-memory/regions.ts';
import type { TlbBackend } from './tlb/backend.ts';
import { TlbEntry } from './tlb/entry.ts';
import { PageWalker } from './walk/page-walker.ts';
import type { SecondStage } from './walk/second-stage.ts';
import { Fault, type Translation } from './walk/translation.ts';

/** How a fast TLB may use a translation at the privilege of the access that asked; bits of `Translation.fast`. */
export const Fast = { read: 1, write: 2, execute: 4 } as const;

export interface MmuParts {
  readonly memory: PhysicalMemory;
  readonly tlb: TlbBackend;
  readonly model: PagingModel;
}

/**
 * One processor's address translation: cached entry, judgement, walk, insertion. It is the slow path below a fast TLB, and all there is
 * where no fast TLB exists. Contexts are the caller's; a processor has one for itself and one for a guest, and may keep more.
 */
export class Mmu {
  readonly memory: PhysicalMemory;
  readonly tlb: TlbBackend;
  readonly model: PagingModel;
  readonly walker: PageWalker;
  private readonly entry: TlbEntry = new TlbEntry();
  private pending: ((tlb: TlbBackend) => void)[] = [];

  constructor({ memory, tlb, model }: MmuParts) {
    this.memory = memory;
    this.tlb = tlb;
    this.model = model;
    this.walker = new PageWalker(memory, model, tlb);
  }

  // Translation.

  /**
   * Translates an address for an access, which must not leave its page. Sets A and D, fills and drops cached translations, as the processor would.
   *
   * @param high 0 outside 64-bit modes
   * @returns {@link Fault}, described in `out`
   */
  translate(context: PagingContext, low: number, high: number, access: number, out: Translation): number {
    const { entry, tlb } = this;
    const id = context.tlbContext;
    let isNew = true;
    if (context.mode === PagingMode.none && context.secondStage === null)
      return this.unpaged(context, low, access, out);
    if (!isCanonical(context, low, high)) return (out.fault = Fault.nonCanonical);
    if (id >= 0 && tlb.lookup(id, low, high, access, entry)) {
      isNew = false;
      const { rights } = entry;
      const clean = (access & Access.write) !== 0 && (rights & writable) !== writable;
      if (!clean && this.allows(context, rights, access)) {
        out.page = entry.page;
        out.shift = entry.shift;
        out.guestShift = entry.guestShift;
        out.rights = rights;
        out.fault = Fault.none;
        this.finish(context, access, out);
        return Fault.none;
      }
      // T-04: the first write walks, to set D. T-05: what is in memory may allow by now what the cached rights forbid.
    }
    let fault = this.walker.walk(context, low, high, access, false, false, out);
    if (fault !== Fault.none) {
      if (this.walker.startedInside) {
        // T-05: entries of higher levels that were cached may be the only reason; memory decides. Most often it says the same: one loss will do.
        const first = context.secondStage === null ? fault : Fault.none;
        if (first === Fault.none) this.faulted(context, fault, low, high, out);
        fault = this.walker.walk(context, low, high, access, false, true, out);
        if (first !== Fault.none && fault === Fault.none) {
          this.faulted(context, first, low, high, out);
          fault = this.walker.walk(context, low, high, access, false, true, out);
        }
      }
      if (fault !== Fault.none) {
        this.faulted(context, fault, low, high, out);
        return fault;
      }
    }
    if (context.apicGuestPage >= 0) this.markApicPage(context, out);
    if (id >= 0) {
      entry.page = out.page;
      entry.shift = out.shift;
      entry.guestShift = out.guestShift;
      entry.rights = out.rights;
      tlb.insert(id, low, high, entry, isNew);
    }
    this.finish(context, access, out);
    return Fault.none;
  }

  /** What memory's tables say at this moment, for debuggers: no A or D bit is set, no cache asked or filled. */
  probe(context: PagingContext, low: number, high: number, access: number, out: Translation): number {
    if (!isCanonical(context, low, high)) return (out.fault = Fault.nonCanonical);
    const fault = this.walker.walk(context, low, high, access, true, true, out);
    if (fault === Fault.none) this.finish(context, access, out);
    return fault;
  }

  private unpaged(context: PagingContext, low: number, access: number, out: Translation): number {
    out.page = low >>> 12;
    out.shift = 12;
    out.guestShift = 12;
    out.rights = Rights.write | Rights.user | Rights.dirty | stageAllowsAll;
    out.fault = Fault.none;
    // S2-03: entries that outlived an INIT.
    if (this.tlb.consultWithPagingOff && context.tlbContext >= 0) {
      if (this.tlb.lookup(context.tlbContext, low, 0, access, this.entry)) out.page = this.entry.page;
    }
    this.finish(context, access, out);
    return Fault.none;
  }

  private allows(context: PagingContext, rights: number, access: number): boolean {
    if (denied(rights, access, context.judge, context.pkru, context.pkrs) !== 0) return false;
    const stage = context.secondStage;
    if (stage === null) return true;
    const ept = stage.kind === 'ept';
    return !stageDenied(rights, access, ept && stage.modeBasedExecute, ept && stage.shadowStacks);
  }

  /** Faults invalidate what would have been used for their address (SDM vol. 3, 4.10.4.1 and 29.4.3.1). */
  private faulted(context: PagingContext, fault: number, low: number, high: number, out: Translation): void {
    const id = context.tlbContext;
    if (fault === Fault.page) {
      if (id >= 0) this.tlb.pageFault(id, low, high);
    } else if (fault === Fault.eptViolation || fault === Fault.nestedPage) {
      const { guestPage } = out;
      const guest = context.secondStage?.tlbContext ?? -1;
      if (guest >= 0 || id >= 0)
        this.tlb.secondStageFault(guest, guestPage << 12, Math.floor(guestPage / 0x10_0000), id, low, high);
    }
  }

  /** A large page around the APIC page is cached in pieces of 4 KiB, so that the page can be told from its neighbours. */
  private markApicPage(context: PagingContext, out: Translation): void {
    const pages = 2 ** (out.shift - 12);
    if (Math.floor(out.guestPage / pages) !== Math.floor(context.apicGuestPage / pages)) return;
    out.shift = 12;
    if (out.guestPage === context.apicGuestPage) out.rights |= apicGuestRight;
  }

  /** Where the page lies, and what a fast TLB may do with it. */
  private finish(context: PagingContext, access: number, out: Translation): void {
    const { memory } = this;
    const { page, rights } = out;
    const offset = memory.offsetOf(page);
    out.offset = offset;
    out.apicAccess = page === context.apicAccessPage || (rights & apicGuestRight) !== 0;
    out.fast = 0;
    if (offset < 0 || out.apicAccess || !this.tlb.fastPath) return;
    const stage = context.secondStage;
    const modeBased = stage !== null && stage.kind === 'ept' && stage.modeBasedExecute;
    const byUser = (access & Access.user) !== 0;
    let kinds = allowedKinds(rights, byUser, context.judge, context.pkru, context.pkrs, modeBased);
    if (
      (kinds & Fast.write) !== 0 &&
      ((rights & writable) !== writable || memory.isWatched(offset) || memory.kindOf(page) !== PageKind.ram)
    )
      kinds &= ~Fast.write;
    out.fast = kinds;
  }

  // Contexts.

  /**
   * Gives a context its TLB tags, from its owner and registers: after registers were set from outside, as by RESET, a VM entry or exit, or a
   * restored snapshot. Pending flushes of others are served first (S4-70).
   */
  enter(context: PagingContext, owner: TlbOwner = context.owner): void {
    this.servePending();
    const stage = context.secondStage;
    context.owner = owner;
    // Under EPT the tag follows the EPTP (SDM vol. 3, 29.4.1); on AMD it is the owner's choice.
    if (stage?.kind === 'ept') context.owner = { ...owner, eptpOrNcr3: stage.rootPage };
    context.update();
    this.tag(context);
    if (stage === null) return;
    const previous = stage.tlbContext;
    stage.tlbContext = this.tlb.internContext({ ...context.owner, stage: 'guestPhysical' });
    this.tlb.holdContext(stage.tlbContext);
    if (previous >= 0) this.tlb.releaseContext(previous);
    if (stage.kind === 'npt') stage.paging.tlbContext = stage.tlbContext;
  }

  /** Undoes `enter`: the context's tags may be recycled. For contexts that will not be used again, such as a VMCS that was cleared. */
  leave(context: PagingContext): void {
    const stage: SecondStage | null = context.secondStage;
    if (context.tlbContext >= 0) this.tlb.releaseContext(context.tlbContext);
    context.tlbContext = -1;
    if (stage === null || stage.tlbContext < 0) return;
    this.tlb.releaseContext(stage.tlbContext);
    stage.tlbContext = -1;
  }

  private tag(context: PagingContext): void {
    const previous = context.tlbContext;
    const pcid = (context.cr4 & Cr4.pcide) !== 0 ? context.cr3Low & 0xfff : 0;
    context.tlbContext = this.tlb.internContext({ ...context.owner, pcid });
    this.tlb.holdContext(context.tlbContext);
    if (previous >= 0) this.tlb.releaseContext(previous);
  }

  // Registers and instructions, with their checks and flushes.

  /** MOV to CR0. @returns `Fault.none`, `generalProtection`, or the second stage's fault from loading PDPTEs, described in `out` */
  writeCr0(context: PagingContext, value: number, cs64: boolean, out: Translation): number {
    if (cr0Faults(context, value, cs64)) return (out.fault = Fault.generalProtection);
    const { cr0, cr4 } = context;
    const pg = (value & Cr0.pg) !== 0;
    const efer = pg && (context.efer & Efer.lme) !== 0 ? context.efer | Efer.lma : context.efer & ~Efer.lma;
    const loads = ((cr0 ^ value) & (Cr0.cd | Cr0.nw | Cr0.pg)) !== 0;
    const fault = this.loadPdptes(context, value, cr4, efer, loads, out);
    if (fault !== Fault.none) return fault;
    const before = context.tlbContext;
    context.cr0 = value;
    context.efer = efer;
    context.update();
    if (before >= 0) this.tlb.crChange(before, cr0, value, cr4, cr4);
    return Fault.none;
  }

  /** MOV to CR4. @param reserved bits whose features are not there (S3-07) */
  writeCr4(context: PagingContext, value: number, reserved: number, out: Translation): number {
    if (cr4Faults(context, value, reserved)) return (out.fault = Fault.generalProtection);
    const { cr0, cr4 } = context;
    const loads = ((cr4 ^ value) & (Cr4.pae | Cr4.pge | Cr4.pse | Cr4.smep)) !== 0;
    const fault = this.loadPdptes(context, cr0, value, context.efer, loads, out);
    if (fault !== Fault.none) return fault;
    const before = context.tlbContext;
    context.cr4 = value;
    context.update();
    if (before < 0) return Fault.none;
    this.tlb.crChange(before, cr0, cr0, cr4, value);
    // With PCIDE the PCID comes from CR3, without it is 0.
    if (((cr4 ^ value) & Cr4.pcide) !== 0) this.tag(context);
    return Fault.none;
  }

  /** MOV to CR3; bit 63 is the request not to flush and is not stored (S0-08). */
  writeCr3(context: PagingContext, low: number, high: number, out: Translation): number {
    const long = (context.efer & Efer.lma) !== 0;
    if (long && cr3Faults(context, this.model, high)) return (out.fault = Fault.generalProtection);
    this.servePending();
    const { cr3Low, cr3High } = context;
    context.cr3Low = low;
    context.cr3High = high & 0x7fff_ffff;
    if (context.mode === PagingMode.pae && !context.pdptesInMemory) {
      const fault = this.walker.loadPdptes(context, out);
      if (fault !== Fault.none) {
        context.cr3Low = cr3Low;
        context.cr3High = cr3High;
        return (out.fault = fault === Fault.page ? Fault.generalProtection : fault);
      }
    }
    context.update();
    const before = context.tlbContext;
    if (before >= 0) {
      if ((context.cr4 & Cr4.pcide) !== 0 && ((cr3Low ^ low) & 0xfff) !== 0) this.tag(context);
      this.tlb.setCr3(before, context.tlbContext, high < 0 && (context.cr4 & Cr4.pcide) !== 0);
    }
    return (out.fault = Fault.none);
  }

  /** SDM vol. 3, 4.4.1: which writes load the PDPTE registers, before anything changes. */
  private loadPdptes(
    context: PagingContext,
    cr0: number,
    cr4: number,
    efer: number,
    loads: boolean,
    out: Translation,
  ): number {
    out.fault = Fault.none;
    if (!loads || context.pdptesInMemory || pagingMode(cr0, cr4, efer) !== PagingMode.pae) return Fault.none;
    const fault = this.walker.loadPdptes(context, out);
    return (out.fault = fault === Fault.page ? Fault.generalProtection : fault);
  }

  /** INVLPG; nothing happens for an address that is not canonical (S0-06). */
  invlpg(context: PagingContext, low: number, high: number): void {
    if (context.tlbContext >= 0 && isCanonical(context, low, high))
      this.tlb.invlpg(context.tlbContext, low, high, context.cr4);
  }

  /** INVPCID (S0-09). @param descriptor its four words, low first @returns `Fault.none` or `generalProtection` */
  invpcid(context: PagingContext, type: number, descriptor: ArrayLike<number>): number {
    if (invpcidFaults(context, type, descriptor)) return Fault.generalProtection;
    if (context.tlbContext >= 0)
      this.tlb.invpcid(context.tlbContext, type, descriptor[0], descriptor[2], descriptor[3]);
    return Fault.none;
  }

  /** VM entry or exit between two contexts that `enter` has tagged. */
  transition(from: PagingContext, to: PagingContext): void {
    this.servePending();
    if (from.tlbContext >= 0 && to.tlbContext >= 0) this.tlb.nestedTransition(from.tlbContext, to.tlbContext);
  }

  /** A flush that another processor asks for; it is done before the tags of this one change. */
  post(flush: (tlb: TlbBackend) => void): void {
    this.pending.push(flush);
  }

  /** Does what has been posted: at instruction boundaries, when the processor was kicked. */
  servePending(): void {
    if (this.pending.length === 0) return;
    const flushes = this.pending;
    this.pending = [];
    for (const flush of flushes) flush(this.tlb);
  }
}

const writable: number = Rights.dirty | Rights.stageDirty;
