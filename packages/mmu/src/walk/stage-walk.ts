import {
  Access,
  Judge,
  patIndexShift,
  Rights,
  stageMemoryTypeShift,
  stagePresent,
} from '../paging/access.ts';
import type { PagingModel } from '../paging/model.ts';
import type { PhysicalMemory } from '../physical-memory/physical-memory.ts';
import { TlbEntry, type WalkCaches } from '../tlb/entry.ts';
import { EptWalk, eptWrites, stageForbids } from './ept-walk.ts';
import type { WalkObserver } from './observer.ts';
import type { PageWalker } from './page-walker.ts';
import { Purpose } from './purpose.ts';
import { type Ept, NestedFault, type Npt, type SecondStage } from './second-stage.ts';
import { Fault, Translation } from './translation.ts';

/** Translates guest-physical pages: cached mappings first, then EPT or NPT. The result is in the fields. */
export class StageWalk {
  page = 0;
  shift = 12;
  /** Bits `stage…` of `Rights`, and their fields. */
  rights = 0;
  private readonly ept: EptWalk;
  private readonly nested: PageWalker;
  private readonly nestedResult: Translation = new Translation();
  private readonly caches: WalkCaches | null;
  private readonly cached: TlbEntry = new TlbEntry();

  /** @param nested a walker of its own for the host's tables */
  constructor(memory: PhysicalMemory, model: PagingModel, caches: WalkCaches | null, nested: PageWalker) {
    this.caches = caches;
    this.ept = new EptWalk(memory, model.reservedHigh, caches);
    this.nested = nested;
  }

  set observer(observer: WalkObserver | null) {
    this.ept.observer = observer;
    this.nested.observer = observer === null ? null : { entry: (_, ...rest) => observer.entry(2, ...rest) };
  }

  /** @returns {@link Fault}, described in `out` */
  translate(
    stage: SecondStage,
    guestPage: number,
    guestOffset: number,
    access: number,
    purpose: number,
    guestRights: number,
    probe: boolean,
    out: Translation,
  ): number {
    const low = guestPage << 12;
    const high = Math.floor(guestPage / 0x10_0000);
    const caches = probe || stage.tlbContext < 0 ? null : this.caches;
    const { cached } = this;
    if (caches?.lookup(stage.tlbContext, low, high, access, cached)) {
      const usable =
        stage.kind === 'ept'
          ? !stageForbids(stage, cached.rights | (guestRights & Rights.user), access, purpose) &&
            ((cached.rights & Rights.stageDirty) !== 0 || !eptWrites(stage, access, purpose))
          : nestedAllows(cached.rights, access, purpose);
      if (usable) {
        this.page = cached.page;
        this.shift = cached.shift;
        this.rights = cached.rights;
        return Fault.none;
      }
    }
    const fault =
      stage.kind === 'ept'
        ? this.walkEpt(stage, guestPage, guestOffset, access, purpose, guestRights, probe, out)
        : this.walkNested(stage, guestPage, guestOffset, access, purpose, probe, out);
    if (fault === Fault.none && caches !== null) {
      cached.page = this.page;
      cached.shift = this.shift;
      cached.guestShift = this.shift;
      cached.rights = this.rights;
      caches.insert(stage.tlbContext, low, high, cached);
    }
    return fault;
  }

  private walkEpt(
    ept: Ept,
    page: number,
    offset: number,
    access: number,
    purpose: number,
    guestRights: number,
    probe: boolean,
    out: Translation,
  ): number {
    const walk = this.ept;
    const fault = walk.walk(ept, page, offset, access, purpose, guestRights, probe, out);
    this.page = walk.page;
    this.shift = walk.shift;
    this.rights = walk.rights;
    return fault;
  }

  /**
   * APM vol. 2, 15.25.5: the host's tables are walked with the guest-physical address, each access is a user's, and those to guest page
   * tables are writes.
   */
  private walkNested(
    npt: Npt,
    page: number,
    offset: number,
    access: number,
    purpose: number,
    probe: boolean,
    out: Translation,
  ): number {
    const result = this.nestedResult;
    const final = purpose === Purpose.final;
    const nestedAccess = (final ? access & (Access.write | Access.execute) : Access.write) | Access.user;
    const low = (page << 12) | offset;
    const high = Math.floor(page / 0x10_0000);
    let fault: number = Fault.page;
    // Tables of the host reach as far as its linear addresses do.
    const reach = npt.paging.mode === 3 ? 2 ** 36 : npt.paging.mode === 4 ? 2 ** 45 : 2 ** 20;
    result.errorCode =
      ((nestedAccess & Access.write) !== 0 ? 2 : 0) |
      4 |
      ((npt.paging.judge & Judge.fetchCode) !== 0 && (nestedAccess & Access.execute) !== 0 ? 16 : 0);
    if (page < reach) {
      fault = this.nested.walk(npt.paging, low, high, nestedAccess, probe, false, result);
      if (fault !== Fault.none && this.nested.startedInside)
        fault = this.nested.walk(npt.paging, low, high, nestedAccess, probe, true, result);
    }
    if (fault !== Fault.none) {
      out.fault = Fault.nestedPage;
      out.errorCode = result.errorCode | (final && (access & Access.shadowStack) !== 0 ? 0x40 : 0);
      out.errorCodeHigh = final ? NestedFault.final : NestedFault.structure;
      out.guestPage = page;
      out.guestOffset = offset;
      out.level = result.level;
      out.reservedLow = result.reservedLow;
      out.reservedHigh = result.reservedHigh;
      return Fault.nestedPage;
    }
    this.page = result.page;
    this.shift = result.shift;
    const { rights } = result;
    this.rights =
      stagePresent |
      (((rights >>> patIndexShift) & 7) << stageMemoryTypeShift) |
      Rights.stageRead |
      Rights.stageShadowStack |
      ((rights & Rights.write) !== 0 ? Rights.stageWrite : 0) |
      ((rights & Rights.noExecute) === 0 ? Rights.stageExecute | Rights.stageUserExecute : 0) |
      ((rights & Rights.dirty) !== 0 ? Rights.stageDirty : 0);
    return Fault.none;
  }
}

function nestedAllows(rights: number, access: number, purpose: number): boolean {
  if (purpose !== Purpose.final || (access & Access.write) !== 0) {
    const needed = Rights.stageWrite | Rights.stageDirty;
    return (rights & needed) === needed;
  }
  return (access & Access.execute) === 0 || (rights & Rights.stageExecute) !== 0;
}
