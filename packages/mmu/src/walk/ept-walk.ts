import {
  Access,
  Rights,
  stageDenied,
  stageIgnorePat,
  stageMemoryTypeShift,
  stagePresent,
} from '../paging/access.ts';
import type { PhysicalMemory } from '../physical-memory/physical-memory.ts';
import { TlbEntry, type WalkCaches } from '../tlb/entry.ts';
import type { WalkObserver } from './observer.ts';
import { Purpose } from './purpose.ts';
import { type Ept, EptViolation } from './second-stage.ts';
import { Fault, type Translation } from './translation.ts';

/** Bits of an EPT entry (SDM vol. 3, 29.3.2). */
const Bit = { large: 1 << 7, accessed: 1 << 8, dirty: 1 << 9, userExecute: 1 << 10 } as const;
const readWriteExecute = 7;

/** Walks extended page tables. */
export class EptWalk {
  private readonly memory: PhysicalMemory;
  private readonly caches: WalkCaches | null;
  private readonly reservedAddress: number;
  private readonly cached: TlbEntry = new TlbEntry();
  observer: WalkObserver | null = null;
  // The result: `page` is the 4 KiB page, `rights` the stage's bits and fields.
  page = 0;
  shift = 12;
  rights = 0;
  /** The walk began at a cached entry, so a fault may be due to what no longer is in memory. */
  private startedInside = false;

  constructor(memory: PhysicalMemory, reservedAddress: number, caches: WalkCaches | null) {
    this.memory = memory;
    this.reservedAddress = reservedAddress;
    this.caches = caches;
  }

  /**
   * @param guestRights rights of the linear address, for the qualification and mode-based execution
   * @returns {@link Fault}, described in `out`
   */
  walk(
    ept: Ept,
    guestPage: number,
    guestOffset: number,
    access: number,
    purpose: number,
    guestRights: number,
    probe: boolean,
    out: Translation,
  ): number {
    let fault = this.walkOnce(ept, guestPage, guestOffset, access, purpose, guestRights, probe, false, out);
    if (fault !== Fault.none && this.startedInside)
      fault = this.walkOnce(ept, guestPage, guestOffset, access, purpose, guestRights, probe, true, out);
    return fault;
  }

  private walkOnce(
    ept: Ept,
    guestPage: number,
    guestOffset: number,
    access: number,
    purpose: number,
    guestRights: number,
    probe: boolean,
    fromRoot: boolean,
    out: Translation,
  ): number {
    const { memory, observer } = this;
    const pageLow = guestPage | 0;
    const pageHigh = Math.floor(guestPage / 0x1_0000_0000);
    const low = pageLow << 12;
    const high = Math.floor(guestPage / 0x10_0000);
    const executable = ept.modeBasedExecute ? readWriteExecute | Bit.userExecute : readWriteExecute;
    const caches = probe || ept.tlbContext < 0 ? null : this.caches;
    // Each time an entry changes between reading and updating it, the walk begins again.
    restart: for (;;) {
      let table = ept.rootPage;
      let level = ept.levels;
      let permissions: number = executable;
      let writableAbove = true;
      let leafHigh = 0;
      this.startedInside = false;
      out.guestPage = guestPage;
      out.guestOffset = guestOffset;
      out.level = level;
      // Tables of n levels reach 12 + 9n bits of address (29.3.2: "bits … must be zero", else an EPT violation).
      if (level === 4 ? guestPage >= 2 ** 36 : pageHigh >= 2 ** 13)
        return this.violation(ept, access, purpose, guestRights, 0, 0, 0, out);
      if (caches !== null && !fromRoot) {
        const cachedLevel = caches.lookupStructure(ept.tlbContext, low, high, this.cached);
        if (cachedLevel !== 0 && cachedLevel <= level) {
          this.startedInside = true;
          level = cachedLevel - 1;
          table = this.cached.page;
          permissions = this.cached.rights;
          writableAbove = (permissions & 2) !== 0;
        }
      }
      for (; ; level--) {
        const index =
          level === 1
            ? pageLow & 511
            : level === 2
              ? (pageLow >>> 9) & 511
              : level === 3
                ? (pageLow >>> 18) & 511
                : level === 4
                  ? ((pageLow >>> 27) | (pageHigh << 5)) & 511
                  : (pageHigh >>> 4) & 511;
        memory.loadEntry(table, index * 8, true);
        const entryLow = memory.entryLow;
        const entryHigh = memory.entryHigh;
        if (observer !== null) observer.entry(2, level, table, index * 8, entryLow, entryHigh);
        out.level = level;
        if ((entryLow & executable) === 0)
          return this.violation(ept, access, purpose, guestRights, 0, entryHigh, 0, out);
        const leaf = level === 1 || (level <= 3 && (entryLow & Bit.large) !== 0);
        if (this.misconfigured(ept, level, leaf, entryLow, entryHigh, out)) {
          out.fault = Fault.eptMisconfiguration;
          return Fault.eptMisconfiguration;
        }
        permissions &= entryLow;
        const next = (entryHigh & 0xfffff) * 0x10_0000 + (entryLow >>> 12);
        if (!leaf) {
          writableAbove &&= (entryLow & 2) !== 0;
          if (ept.accessedDirty && !probe && (entryLow & Bit.accessed) === 0) {
            if (!memory.updateEntry(table, index * 8, true, entryLow, entryHigh, entryLow | Bit.accessed))
              continue restart;
          }
          if (caches !== null) caches.insertStructure(ept.tlbContext, low, high, level, next, permissions);
          table = next;
          continue;
        }
        leafHigh = entryHigh;
        const shift = 3 + 9 * level;
        const rights = stageRights(ept, permissions, writableAbove, entryLow, entryHigh);
        if (stageForbids(ept, rights | (guestRights & Rights.user), access, purpose))
          return this.violation(ept, access, purpose, guestRights, permissions, leafHigh, leafHigh, out);
        const writes = eptWrites(ept, access, purpose);
        let wanted = entryLow;
        if (ept.accessedDirty) wanted |= Bit.accessed | (writes ? Bit.dirty : 0);
        if (wanted !== entryLow && !probe) {
          const newDirty = (wanted & ~entryLow & Bit.dirty) !== 0;
          if (newDirty && ept.logDirty !== null && !ept.logDirty(guestPage)) {
            out.fault = Fault.pageModificationLog;
            return Fault.pageModificationLog;
          }
          if (!memory.updateEntry(table, index * 8, true, entryLow, entryHigh, wanted)) continue restart;
        }
        // Misconfigurations leave the low bits of a large page's address 0.
        this.page = shift === 12 ? next : next + (pageLow & ((1 << (shift - 12)) - 1));
        this.shift = shift;
        this.rights = rights | (!ept.accessedDirty || (wanted & Bit.dirty) !== 0 ? Rights.stageDirty : 0);
        return Fault.none;
      }
    }
  }

  /** SDM vol. 3, 29.3.3.1. */
  private misconfigured(
    ept: Ept,
    level: number,
    leaf: boolean,
    low: number,
    high: number,
    out: Translation,
  ): boolean {
    const executes = ept.modeBasedExecute ? 4 | Bit.userExecute : 4;
    let reserved = 0;
    if (leaf) {
      if (level === 2) reserved = 0x1f_f000;
      else if (level === 3) reserved = 0x3fff_f000;
    } else reserved = level >= 4 ? 0xf8 : 0x78;
    if (level === 3 && leaf && !ept.pages1G) reserved |= Bit.large;
    out.reservedLow = low & reserved;
    out.reservedHigh = high & this.reservedAddress;
    if ((out.reservedLow | out.reservedHigh) !== 0) return true;
    if ((low & 1) === 0 && ((low & 2) !== 0 || ((low & executes) !== 0 && !ept.executeOnly))) return true;
    const memoryType = (low >>> 3) & 7;
    return leaf && (memoryType === 2 || memoryType === 3 || memoryType === 7);
  }

  private violation(
    ept: Ept,
    access: number,
    purpose: number,
    guestRights: number,
    permissions: number,
    lastHigh: number,
    leafHigh: number,
    out: Translation,
  ): number {
    let code = purpose === Purpose.load ? 0 : EptViolation.linearValid;
    if (purpose === Purpose.final) {
      code |= (access & Access.execute) !== 0 ? EptViolation.fetch : 1 << (access & Access.write);
      code |= EptViolation.final;
      if (ept.advancedInformation) {
        if ((guestRights & Rights.user) !== 0) code |= EptViolation.userAddress;
        if ((guestRights & Rights.write) !== 0) code |= EptViolation.writeAddress;
        if ((guestRights & Rights.noExecute) !== 0) code |= EptViolation.executeDisableAddress;
      }
      if ((access & Access.shadowStack) !== 0) code |= EptViolation.shadowStackAccess;
    } else {
      code |= EptViolation.read;
      // Updates read and write; with A and D flags every access to a paging structure counts as a write too (29.3.5).
      if (purpose === Purpose.update || (ept.accessedDirty && purpose === Purpose.structure))
        code |= EptViolation.write;
    }
    code |= (permissions & readWriteExecute) << 3;
    if (ept.modeBasedExecute && (permissions & Bit.userExecute) !== 0) code |= EptViolation.userExecutable;
    if (ept.shadowStacks && ((leafHigh >>> 28) & 1) !== 0) code |= EptViolation.shadowStackPage;
    out.fault = Fault.eptViolation;
    out.errorCode = code;
    out.errorCodeHigh = 0;
    out.suppressVe = lastHigh < 0;
    return Fault.eptViolation;
  }
}

function stageRights(
  ept: Ept,
  permissions: number,
  writableAbove: boolean,
  low: number,
  high: number,
): number {
  let rights = stagePresent | (((low >>> 3) & 7) << stageMemoryTypeShift);
  if ((permissions & 1) !== 0) rights |= Rights.stageRead;
  if ((permissions & 2) !== 0) rights |= Rights.stageWrite;
  if ((permissions & 4) !== 0) rights |= Rights.stageExecute;
  if ((permissions & (ept.modeBasedExecute ? Bit.userExecute : 4)) !== 0) rights |= Rights.stageUserExecute;
  // 29.3.3.2: readable throughout, writable above the last entry, bit 60 in the last.
  if ((permissions & 1) !== 0 && writableAbove && ((high >>> 28) & 1) !== 0)
    rights |= Rights.stageShadowStack;
  if ((low & 0x40) !== 0) rights |= stageIgnorePat;
  return rights;
}

/** Whether what the EPT allows is too little for an access; `rights` with the `user` bit of the linear address. */
export function stageForbids(ept: Ept, rights: number, access: number, purpose: number): boolean {
  if (purpose === Purpose.final) return stageDenied(rights, access, ept.modeBasedExecute, ept.shadowStacks);
  if ((rights & Rights.stageRead) === 0) return true;
  const writes = purpose === Purpose.update || (ept.accessedDirty && purpose === Purpose.structure);
  return writes && (rights & Rights.stageWrite) === 0;
}

/** Whether an access needs D of the EPT's last entry: a write, or with A and D flags a walk of guest page tables. */
export function eptWrites(ept: Ept, access: number, purpose: number): boolean {
  if (!ept.accessedDirty) return false;
  return purpose === Purpose.final ? (access & Access.write) !== 0 : purpose !== Purpose.load;
}
