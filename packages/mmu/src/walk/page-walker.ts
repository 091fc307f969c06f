import {
  Access,
  denied,
  Judge,
  patIndexShift,
  protectionKeyShift,
  Rights,
  stageAllowsAll,
} from '../paging/access.ts';
import type { PagingContext } from '../paging/context.ts';
import type { PagingModel } from '../paging/model.ts';
import { Cr4, PageFaultCode, PagingMode, Pte } from '../paging/registers.ts';
import type { PhysicalMemory } from '../physical-memory/physical-memory.ts';
import { TlbEntry, type WalkCaches } from '../tlb/entry.ts';
import type { WalkObserver } from './observer.ts';
import { Purpose } from './purpose.ts';
import { StageWalk } from './stage-walk.ts';
import { Fault, type Translation } from './translation.ts';

const writeUser = Rights.write | Rights.user;
/** Step results below a walk: the entry changed under it, begin again. */
const changed = -1;

/**
 * Walks page tables in any paging mode, through a second stage if the context has one (SDM vol. 3, ch. 4; APM vol. 2, ch. 5). Sets A in
 * each entry that it passes, A and D in the last one once the access is allowed, each atomically. One walker serves one thread; it
 * allocates nothing after construction.
 */
export class PageWalker {
  private readonly memory: PhysicalMemory;
  private readonly model: PagingModel;
  private readonly caches: WalkCaches | null;
  private readonly cached: TlbEntry = new TlbEntry();
  private stage: StageWalk | null = null;
  private watcher: WalkObserver | null = null;
  // Where the entry in hand lies: page of its table, guest-physical and after the second stage.
  private table = 0;
  private host = 0;
  private offset = 0;
  /** By level, what the entries led to that the walk has passed: cached if it succeeds, since a fault would drop them. */
  private readonly passedTables: Float64Array = new Float64Array(6);
  private readonly passedRights: Int32Array = new Int32Array(6);
  /** The last walk began at a cached paging-structure entry: what it found may differ from memory. */
  startedInside = false;

  constructor(memory: PhysicalMemory, model: PagingModel, caches: WalkCaches | null = null) {
    this.memory = memory;
    this.model = model;
    this.caches = caches;
  }

  get observer(): WalkObserver | null {
    return this.watcher;
  }

  set observer(observer: WalkObserver | null) {
    this.watcher = observer;
    if (this.stage !== null) this.stage.observer = observer;
  }

  /**
   * @param low linear address; `high` is 0 outside 64-bit modes. Canonical: the walk looks at the translated bits only
   * @param access bits of `Access`
   * @param probe for debuggers: sets neither A nor D, uses and fills no cache
   * @param fromRoot reads the tables from the top, as after a fault that stale caches may have caused; still fills caches
   * @returns {@link Fault}, described in `out`
   */
  walk(
    context: PagingContext,
    low: number,
    high: number,
    access: number,
    probe: boolean,
    fromRoot: boolean,
    out: Translation,
  ): number {
    this.startedInside = false;
    for (;;) {
      const result =
        context.mode === PagingMode.none
          ? this.unpaged(context, low, access, probe, out)
          : context.mode === PagingMode.legacy
            ? this.walk32(context, low, access, probe, fromRoot, out)
            : this.walk64(context, low, high, access, probe, fromRoot, out);
      if (result === changed) continue;
      out.fault = result;
      return result;
    }
  }

  /**
   * Loads the four PDPTE registers from the table at CR3, as MOV to CR3, CR0 and CR4 and a VM entry do (SDM vol. 3, 4.4.1).
   *
   * @returns `Fault.none`, `Fault.page` if an entry has reserved bits set (the cause of #GP, or of a failed entry; registers are
   *   unchanged), or the second stage's fault, described in `out`
   */
  loadPdptes(context: PagingContext, out: Translation): number {
    const { memory } = this;
    const table = context.cr3Low >>> 12;
    const loaded = [0, 0, 0, 0, 0, 0, 0, 0];
    for (let i = 0; i < 4; i++) {
      const offset = (context.cr3Low & 0xfe0) + 8 * i;
      let host = table;
      if (context.secondStage !== null) {
        const stage = this.secondStage();
        const fault = stage.translate(context.secondStage, table, offset, 0, Purpose.load, 0, false, out);
        if (fault !== Fault.none) return fault;
        host = stage.page;
      }
      memory.loadEntry(host, offset, true);
      loaded[2 * i] = memory.entryLow;
      loaded[2 * i + 1] = memory.entryHigh;
      if (!this.pdpteValid(memory.entryLow, memory.entryHigh, out)) return (out.fault = Fault.page);
    }
    context.pdptes.set(loaded);
    return (out.fault = Fault.none);
  }

  /** Whether a PDPTE may be loaded: not present, or no reserved bit set (SDM vol. 3, table 4-8). Present ones may come from a VMCS too. */
  pdpteValid(low: number, high: number, out: Translation): boolean {
    out.reservedLow = low & 0x1e6;
    out.reservedHigh = high & (this.model.reservedHigh | (-1 << 20));
    return (low & Pte.present) === 0 || (out.reservedLow | out.reservedHigh) === 0;
  }

  private secondStage(): StageWalk {
    if (this.stage === null) {
      const nested = new PageWalker(this.memory, this.model, this.caches);
      this.stage = new StageWalk(this.memory, this.model, this.caches, nested);
      this.stage.observer = this.watcher;
    }
    return this.stage;
  }

  /** CR0.PG = 0: linear addresses are physical; as rights, everything (SDM vol. 3, table 28-7 on bits 11:9). */
  private unpaged(
    context: PagingContext,
    low: number,
    access: number,
    probe: boolean,
    out: Translation,
  ): number {
    out.shift = 12;
    out.guestShift = 12;
    return this.finish(context, low >>> 12, low, access, probe, writeUser | Rights.dirty, out);
  }

  private walk64(
    context: PagingContext,
    low: number,
    high: number,
    access: number,
    probe: boolean,
    fromRoot: boolean,
    out: Translation,
  ): number {
    const { memory, model } = this;
    const caches = probe || context.tlbContext < 0 ? null : this.caches;
    const pae = context.mode === PagingMode.pae;
    // SDM vol. 3, 4.4.2 and 4.5: XD without NXE; under PAE also what long mode ignores or uses for keys.
    const reservedHigh =
      model.reservedHigh | ((context.judge & Judge.nxe) === 0 ? 1 << 31 : 0) | (pae ? 0x7ff0_0000 : 0);
    let level = pae ? 2 : context.mode === PagingMode.level4 ? 4 : 5;
    let table = context.rootPage;
    let rights: number = writeUser;
    let inside = 0;
    if (caches !== null && !fromRoot) {
      inside = caches.lookupStructure(context.tlbContext, low, high, this.cached);
      if (inside > (pae ? 2 : level)) inside = 0;
    }
    if (inside !== 0) {
      this.startedInside = true;
      level = inside - 1;
      table = this.cached.page;
      rights = this.cached.rights;
    } else if (pae) {
      const fault = this.pdpte(context, low, access, probe, out);
      if (fault !== Fault.none) return fault;
      table = pageOf(memory.entryLow, memory.entryHigh);
    }
    const first = level;
    for (; ; level--) {
      const index =
        level === 1
          ? (low >>> 12) & 511
          : level === 2
            ? (low >>> 21) & 511
            : level === 3
              ? ((low >>> 30) | (high << 2)) & 511
              : level === 4
                ? (high >>> 7) & 511
                : (high >>> 16) & 511;
      const fault = this.load(context, level, table, index * 8, true, probe, out);
      if (fault !== Fault.none) return fault;
      const entryLow = memory.entryLow;
      const entryHigh = memory.entryHigh;
      if ((entryLow & Pte.present) === 0) return pageFault(context, access, 0, out);
      const leaf = level === 1 || ((entryLow & Pte.large) !== 0 && level <= 3);
      let reservedLow = 0;
      if (level >= 4) reservedLow = Pte.large | model.reservedTop;
      else if (leaf && level !== 1)
        reservedLow = level === 2 ? 0x1f_e000 : model.pages1G ? 0x3fff_e000 : Pte.large;
      if (((entryLow & reservedLow) | (entryHigh & reservedHigh)) !== 0)
        return reservedFault(context, access, entryLow & reservedLow, entryHigh & reservedHigh, out);
      const noExecute = entryHigh < 0 ? Rights.noExecute : 0;
      if (!leaf) {
        if (!probe && (entryLow & Pte.accessed) === 0) {
          const updated = this.update(context, true, entryLow, entryHigh, entryLow | Pte.accessed, out);
          if (updated !== Fault.none) return updated;
        }
        rights = (rights & (((entryLow >>> 1) & writeUser) | Rights.noExecute)) | noExecute;
        table = pageOf(entryLow, entryHigh);
        this.passedTables[level] = table;
        this.passedRights[level] = rights;
        continue;
      }
      const shift = 3 + 9 * level;
      if (!pae) rights |= ((entryHigh >>> 27) & 15) << protectionKeyShift;
      rights = leafRights(rights | noExecute, entryLow, shift === 12 ? Pte.large : Pte.largePat);
      const mapped = pageOf(entryLow, entryHigh);
      let page = mapped;
      if (shift !== 12) {
        // The PAT bit of a large page lies where a small page's address begins.
        const inside = (1 << (shift - 12)) - 1;
        page += ((low >>> 12) & inside) - ((entryLow >>> 12) & inside);
      }
      const result = this.leaf(
        context,
        entryLow,
        entryHigh,
        true,
        page,
        shift,
        low,
        access,
        probe,
        rights,
        out,
      );
      if (caches !== null && result === Fault.none) {
        const { passedTables, passedRights } = this;
        for (let passed = first; passed > level; passed--)
          caches.insertStructure(
            context.tlbContext,
            low,
            high,
            passed,
            passedTables[passed],
            passedRights[passed],
          );
      }
      return result;
    }
  }

  /** PAE's first level: a register, or memory where the processor keeps none. Leaves the entry in `memory`. */
  private pdpte(
    context: PagingContext,
    low: number,
    access: number,
    probe: boolean,
    out: Translation,
  ): number {
    const { memory } = this;
    const i = low >>> 30;
    out.level = 3;
    if (!context.pdptesInMemory) {
      memory.entryLow = context.pdptes[2 * i];
      memory.entryHigh = context.pdptes[2 * i + 1];
      this.watcher?.entry(1, 3, -1, i * 8, memory.entryLow, memory.entryHigh);
      return (memory.entryLow & Pte.present) === 0 ? pageFault(context, access, 0, out) : Fault.none;
    }
    const offset = (context.cr3Low & 0xfe0) + 8 * i;
    const fault = this.load(context, 3, context.cr3Low >>> 12, offset, true, probe, out);
    if (fault !== Fault.none) return fault;
    if ((memory.entryLow & Pte.present) === 0) return pageFault(context, access, 0, out);
    if (this.pdpteValid(memory.entryLow, memory.entryHigh, out)) return Fault.none;
    return reservedFault(context, access, out.reservedLow, out.reservedHigh, out);
  }

  private walk32(
    context: PagingContext,
    low: number,
    access: number,
    probe: boolean,
    fromRoot: boolean,
    out: Translation,
  ): number {
    const { memory, model } = this;
    const caches = probe || context.tlbContext < 0 ? null : this.caches;
    let table = context.rootPage;
    let rights: number = writeUser;
    if (
      caches !== null &&
      !fromRoot &&
      caches.lookupStructure(context.tlbContext, low, 0, this.cached) === 2
    ) {
      this.startedInside = true;
      table = this.cached.page;
      rights = this.cached.rights;
    } else {
      const fault = this.load(context, 2, table, (low >>> 22) * 4, false, probe, out);
      if (fault !== Fault.none) return fault;
      const pde = memory.entryLow;
      if ((pde & Pte.present) === 0) return pageFault(context, access, 0, out);
      if ((pde & Pte.large) !== 0 && (context.cr4 & Cr4.pse) !== 0) {
        if ((pde & model.reservedPse) !== 0)
          return reservedFault(context, access, pde & model.reservedPse, 0, out);
        // SDM vol. 3, table 4-4: bits 20:13 are address bits 39:32.
        const page = ((pde >>> 13) & 0xff) * 0x10_0000 + ((pde >>> 22) << 10) + ((low >>> 12) & 0x3ff);
        rights = leafRights(rights, pde, Pte.largePat);
        return this.leaf(context, pde, 0, false, page, 22, low, access, probe, rights, out);
      }
      if (!probe && (pde & Pte.accessed) === 0) {
        const updated = this.update(context, false, pde, 0, pde | Pte.accessed, out);
        if (updated !== Fault.none) return updated;
      }
      rights &= (pde >>> 1) & writeUser;
      table = pde >>> 12;
      // A cached PDE covers 4 MiB here and 2 MiB elsewhere: the half that was used is cached.
      if (caches !== null) caches.insertStructure(context.tlbContext, low, 0, 2, table, rights);
    }
    const fault = this.load(context, 1, table, ((low >>> 12) & 0x3ff) * 4, false, probe, out);
    if (fault !== Fault.none) return fault;
    const pte = memory.entryLow;
    if ((pte & Pte.present) === 0) return pageFault(context, access, 0, out);
    rights = leafRights(rights, pte, Pte.large);
    return this.leaf(context, pte, 0, false, pte >>> 12, 12, low, access, probe, rights, out);
  }

  /** Reads an entry, through the second stage if there is one, and remembers where it lies. */
  private load(
    context: PagingContext,
    level: number,
    table: number,
    offset: number,
    wide: boolean,
    probe: boolean,
    out: Translation,
  ): number {
    let host = table;
    if (context.secondStage !== null) {
      const stage = this.secondStage();
      const fault = stage.translate(context.secondStage, table, offset, 0, Purpose.structure, 0, probe, out);
      if (fault !== Fault.none) return fault;
      host = stage.page;
    }
    out.level = level;
    this.table = table;
    this.host = host;
    this.offset = offset;
    this.memory.loadEntry(host, offset, wide);
    if (this.watcher !== null)
      this.watcher.entry(1, level, table, offset, this.memory.entryLow, this.memory.entryHigh);
    return Fault.none;
  }

  /** Sets bits in the entry that was loaded last. */
  private update(
    context: PagingContext,
    wide: boolean,
    low: number,
    high: number,
    newLow: number,
    out: Translation,
  ): number {
    if (context.secondStage !== null) {
      const { table, offset } = this;
      const stage = this.secondStage();
      const fault = stage.translate(context.secondStage, table, offset, 0, Purpose.update, 0, false, out);
      if (fault !== Fault.none) return fault;
    }
    return this.memory.updateEntry(this.host, this.offset, wide, low, high, newLow) ? Fault.none : changed;
  }

  /** Judges the access by the last entry's rights, sets A and D, goes on to the second stage. */
  private leaf(
    context: PagingContext,
    entryLow: number,
    entryHigh: number,
    wide: boolean,
    page: number,
    shift: number,
    low: number,
    access: number,
    probe: boolean,
    rights: number,
    out: Translation,
  ): number {
    const wrong = denied(rights, access, context.judge, context.pkru, context.pkrs);
    if (wrong !== 0) {
      out.rights = rights;
      return pageFault(context, access, wrong, out);
    }
    if (!probe) {
      const wanted = entryLow | Pte.accessed | ((access & Access.write) !== 0 ? Pte.dirty : 0);
      if (wanted !== entryLow) {
        const updated = this.update(context, wide, entryLow, entryHigh, wanted, out);
        if (updated !== Fault.none) return updated;
        if ((wanted & Pte.dirty) !== 0) rights |= Rights.dirty;
      }
    }
    if ((rights & Rights.global) !== 0 && (context.cr4 & Cr4.pge) === 0) rights &= ~Rights.global;
    out.shift = shift;
    out.guestShift = shift;
    return this.finish(context, page, low, access, probe, rights, out);
  }

  private finish(
    context: PagingContext,
    page: number,
    low: number,
    access: number,
    probe: boolean,
    rights: number,
    out: Translation,
  ): number {
    const { secondStage } = context;
    if (secondStage === null) {
      out.page = page;
      out.rights = rights | stageAllowsAll;
      return Fault.none;
    }
    const stage = this.secondStage();
    const fault = stage.translate(secondStage, page, low & 0xfff, access, Purpose.final, rights, probe, out);
    if (fault !== Fault.none) return fault;
    out.guestPage = page;
    out.page = stage.page;
    out.rights = rights | stage.rights;
    // Without paging there is no page size of the guest's: what the second stage maps may be cached.
    if (context.mode === PagingMode.none) out.guestShift = out.shift = stage.shift;
    else if (stage.shift < out.shift) out.shift = stage.shift;
    return Fault.none;
  }
}

function pageOf(low: number, high: number): number {
  return (high & 0xfffff) * 0x10_0000 + (low >>> 12);
}

/** Adds to the rights of the levels above what the last entry says; R/W and U/S of the levels above are in `rights`. */
function leafRights(rights: number, entry: number, pat: number): number {
  const above = rights;
  rights &= ((entry >>> 1) & writeUser) | ~writeUser;
  if ((entry & Pte.dirty) !== 0) {
    rights |= Rights.dirty;
    if ((entry & Pte.write) === 0 && (above & Rights.write) !== 0) rights |= Rights.shadowStack;
  }
  if ((entry & Pte.global) !== 0) rights |= Rights.global;
  const patIndex = ((entry >>> 3) & 3) | ((entry & pat) !== 0 ? 4 : 0);
  return rights | (patIndex << patIndexShift);
}

/** @param wrong bits that the cause adds: present, reserved, protectionKey */
function pageFault(context: PagingContext, access: number, wrong: number, out: Translation): number {
  let code = wrong;
  if ((access & Access.write) !== 0) code |= PageFaultCode.write;
  if ((access & Access.user) !== 0) code |= PageFaultCode.user;
  if ((access & Access.execute) !== 0 && (context.judge & Judge.fetchCode) !== 0) code |= PageFaultCode.fetch;
  if ((access & Access.shadowStack) !== 0) code |= PageFaultCode.shadowStack;
  out.errorCode = code;
  out.errorCodeHigh = 0;
  if ((wrong & PageFaultCode.reserved) === 0) out.reservedLow = out.reservedHigh = 0;
  out.fault = Fault.page;
  return Fault.page;
}

function reservedFault(
  context: PagingContext,
  access: number,
  low: number,
  high: number,
  out: Translation,
): number {
  out.reservedLow = low;
  out.reservedHigh = high;
  return pageFault(context, access, PageFaultCode.present | PageFaultCode.reserved, out);
}
