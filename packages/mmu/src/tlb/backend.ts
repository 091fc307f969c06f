import type { ContextTag } from './contexts.ts';
import type { TlbEntry, WalkCaches } from './entry.ts';

/** INVPCID types (SDM vol. 2, INVPCID). */
export const Invpcid = { address: 0, context: 1, allWithGlobals: 2, allExceptGlobals: 3 } as const;
/** INVVPID types (SDM vol. 3, 31.3). */
export const Invvpid = { address: 0, context: 1, all: 2, contextExceptGlobals: 3 } as const;
/** INVEPT types (SDM vol. 3, 31.3). */
export const Invept = { context: 1, global: 2 } as const;

/** What an INIT leaves of the TLB (S2-01): nothing; everything (APM table 14-1); erratum AZ28's global entries. */
export type InitFlush = 'all' | 'amdTable' | 'az28';

/** Events besides instructions that drop translations, as far as the vendor says (S2-20, S4-66). */
export type ImplicitFlush = 'smm' | 'mtrr' | 'a20';

/** Whoever keeps copies of entries, such as a fast TLB. Every loss is reported in one of the two ways. */
export interface TlbListener {
  /** An entry is gone. For a global one, `context` is that of its globals, and each context of the same space may have used it. */
  onDrop(context: number, low: number, high: number, shift: number, global: boolean): void;
  /** All entries of a context are gone. `global`: it is that of the globals of a space, as for `onDrop`. */
  onFlush(context: number, global: boolean): void;
}

/** A guest's flush hypercall after its decoding (S1-53, S1-56, S1-57). */
export interface HypervisorFlush {
  readonly vmId: bigint;
  /** Virtual processors as the guest hypervisor numbers them; left out, all of them. */
  readonly vpIds?: readonly number[];
  readonly nonGlobalOnly?: boolean;
  /** Elements of the GVA list: page in bits 63:12, count of further pages in bits 11:0. Left out, all addresses. */
  readonly gvaList?: readonly bigint[];
}

export interface TlbSnapshot {
  readonly version: 1;
  /** Name and shape of the backend that made it; only an equal one takes it. */
  readonly shape: string;
  readonly state: unknown;
}

/**
 * The architecture's view of cached translations: everything that may be stale is here and nowhere else. Addresses are two int32 halves
 * whose low 12 bits do not matter; contexts are interned numbers. Content depends on `insert…` and on invalidations only, never on look-ups,
 * so that it is equal however often a fast TLB spares one.
 */
export interface TlbBackend extends WalkCaches {
  readonly name: string;
  /** Whether copies of entries may be kept outside. */
  readonly fastPath: boolean;
  /** Keeps everything that the architecture allows to keep: a forgotten flush shows. */
  readonly strictRetention: boolean;
  listener: TlbListener | null;

  internContext(tag: ContextTag): number;
  /** Keeps a context's number from being reused; `releaseContext` undoes one call. */
  holdContext(context: number): void;
  releaseContext(context: number): void;

  /** Fills `out`, with `page` of the address itself; false if nothing is cached. */
  lookup(context: number, low: number, high: number, access: number, out: TlbEntry): boolean;
  /**
   * `entry.page` is the 4 KiB page of the address; global entries serve every PCID of the space.
   *
   * @param isNew `lookup` has just found nothing, so there is nothing to replace
   */
  insert(context: number, low: number, high: number, entry: TlbEntry, isNew?: boolean): void;
  lookupStructure(context: number, low: number, high: number, out: TlbEntry): number;
  insertStructure(
    context: number,
    low: number,
    high: number,
    level: number,
    page: number,
    rights: number,
  ): void;
  /** As `lookup`, for debuggers and tests: no backend may notice it. */
  probe(context: number, low: number, high: number, out: TlbEntry): boolean;
  /** As `lookupStructure`, unnoticed. */
  probeStructure(context: number, low: number, high: number, out: TlbEntry): number;

  /** INVLPG: the page for the context's PCID and its global entry, all paging-structure caches of the PCID. @param cr4 decides errata */
  invlpg(context: number, low: number, high: number, cr4: number): void;
  /** @param type of {@link Invpcid} */
  invpcid(context: number, type: number, pcid: number, low: number, high: number): void;
  /** MOV to CR3, task switch: non-global entries of the new PCID, unless bit 63 was set. */
  setCr3(oldContext: number, newContext: number, noFlush: boolean): void;
  /** After CR0 or CR4 have changed; `context` is the one before the change. */
  crChange(context: number, cr0Old: number, cr0New: number, cr4Old: number, cr4New: number): void;
  /** A page fault drops what would have been used for its address (SDM vol. 3, 4.10.4.1). */
  pageFault(context: number, low: number, high: number): void;
  /** An EPT violation or nested page fault, likewise (SDM vol. 3, 29.4.3.1); `linearContext` -1 if no linear address was involved. */
  secondStageFault(
    guestContext: number,
    guestLow: number,
    guestHigh: number,
    linearContext: number,
    low: number,
    high: number,
  ): void;
  /** INVLPGA: the page in an ASID, global or not. */
  invlpga(asid: number, low: number, high: number): void;
  /** @param type of {@link Invvpid} */
  invvpid(type: number, vpid: number, low: number, high: number): void;
  /** @param type of {@link Invept} @param root page: EPTP[51:12] */
  invept(type: number, root: number): void;
  /** VMRUN's TLB_CONTROL. @param keepGuestPhysical with enlightened NPT only hypercalls drop these (S1-59) */
  tlbControl(kind: 'all' | 'asid' | 'asidNonGlobal', asid: number, keepGuestPhysical?: boolean): void;
  /** VM entry or exit: drops nothing by itself, but VPID 0 where a VMX guest has none. */
  nestedTransition(from: number, to: number): void;
  implicitFlush(cause: ImplicitFlush): void;
  /** INIT, with CR0 and CR4 as they were before it (S2-04). */
  init(cr0Old: number, cr4Old: number): void;
  /** RESET: everything. */
  reset(): void;

  /** Remembers which guest of a guest hypervisor a VPID or ASID stands for. */
  setGuestIdentity(vpidOrAsid: number, vmId: bigint, vpId: number): void;
  hvFlush(flush: HypervisorFlush): void;
  /** Mappings that a second stage made. @param gpaList elements as in a GVA list; left out, all addresses */
  hvFlushGpa(root: number, gpaList?: readonly bigint[]): void;
  /** The host took a page of RAM away; guests must not notice. */
  shootdown(page: number): void;

  /** Entries survived an INIT, and look-ups with paging off may meet them (S2-03). */
  readonly consultWithPagingOff: boolean;

  save(): TlbSnapshot;
  /** Takes a snapshot's content; without one, starts empty, which is always legal (T-06). */
  restore(snapshot?: TlbSnapshot): void;
}
