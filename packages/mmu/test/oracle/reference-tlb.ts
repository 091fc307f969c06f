/** A TLB as a list of entries and the manuals' sentences as filters (SDM vol. 3, 4.10.4 and 29.4.3; APM vol. 2, 5.5 and 15.16). */

export interface ReferenceTag {
  space: number;
  pcid: number;
  root: number;
  stage: 'linear' | 'combined' | 'guestPhysical';
}

export interface ReferenceEntry extends ReferenceTag {
  /** A translation, or an entry that references a table. */
  kind: 'page' | 'structure';
  address: bigint;
  bits: number;
  guestBits: number;
  page: number;
  global: boolean;
}

export class ReferenceTlb {
  entries: ReferenceEntry[] = [];
  private readonly vendor: 'intel' | 'amd';

  constructor(vendor: 'intel' | 'amd') {
    this.vendor = vendor;
  }

  private static covers(e: ReferenceEntry, address: bigint): boolean {
    return e.address >> BigInt(e.bits) === address >> BigInt(e.bits);
  }

  private static holds(e: ReferenceEntry, address: bigint): boolean {
    const bits = BigInt(Math.max(e.bits, e.guestBits));
    return e.address >> bits === address >> bits;
  }

  private static usableBy(e: ReferenceEntry, t: ReferenceTag): boolean {
    return e.space === t.space && e.root === t.root && e.stage === t.stage && (e.pcid === t.pcid || e.global);
  }

  /** Entries that a look-up may find. Where page sizes overlap, or a global entry and another, it may be any of them (SDM vol. 3, 4.10.2.3). */
  lookup(t: ReferenceTag, address: bigint): ReferenceEntry[] {
    return this.entries.filter(
      (e) => e.kind === 'page' && ReferenceTlb.usableBy(e, t) && ReferenceTlb.covers(e, address),
    );
  }

  lookupStructure(t: ReferenceTag, address: bigint): ReferenceEntry | undefined {
    return this.entries
      .filter((e) => e.kind === 'structure' && ReferenceTlb.usableBy(e, t) && ReferenceTlb.covers(e, address))
      .sort((a, b) => a.bits - b.bits)[0];
  }

  insert(entry: ReferenceEntry): void {
    this.drop(
      (e) =>
        e.kind === entry.kind &&
        ReferenceTlb.usableBy(e, entry) &&
        ReferenceTlb.covers(e, entry.address) &&
        (e.kind === 'page' || e.bits === entry.bits),
    );
    this.entries.push(entry);
  }

  private drop(condition: (e: ReferenceEntry) => boolean): void {
    this.entries = this.entries.filter((e) => !condition(e));
  }

  private dropLinear(space: number, condition: (e: ReferenceEntry) => boolean): void {
    this.drop((e) => e.stage !== 'guestPhysical' && e.space === space && condition(e));
  }

  invlpg(t: ReferenceTag, address: bigint): void {
    this.dropLinear(t.space, (e) =>
      e.kind === 'page'
        ? (e.pcid === t.pcid || e.global) && ReferenceTlb.holds(e, address)
        : e.pcid === t.pcid,
    );
  }

  pageFault(t: ReferenceTag, address: bigint): void {
    this.dropLinear(t.space, (e) => (e.pcid === t.pcid || e.global) && ReferenceTlb.holds(e, address));
  }

  invpcid(t: ReferenceTag, type: number, pcid: number, address: bigint): void {
    this.dropLinear(t.space, (e) => {
      if (type === 0) return e.pcid === pcid && !e.global && ReferenceTlb.holds(e, address);
      if (type === 1) return e.pcid === pcid && !e.global;
      return type === 2 || !e.global;
    });
  }

  setCr3(to: ReferenceTag, noFlush: boolean): void {
    if (!noFlush) this.dropLinear(to.space, (e) => e.pcid === to.pcid && !e.global);
  }

  crChange(t: ReferenceTag, cr0Old: number, cr0New: number, cr4Old: number, cr4New: number): void {
    const changes = (old: number, now: number, n: number): boolean => ((old ^ now) >>> n) % 2 === 1;
    const rises = (n: number): boolean => changes(cr4Old, cr4New, n) && (cr4New >>> n) % 2 === 1;
    const falls = (n: number): boolean => changes(cr4Old, cr4New, n) && !rises(n);
    const pg = changes(cr0Old, cr0New, 31);
    const intel = this.vendor === 'intel';
    const everything = intel
      ? (pg && cr0Old < 0) || changes(cr4Old, cr4New, 7) || falls(17)
      : pg || [4, 5, 7].some((n) => changes(cr4Old, cr4New, n)) || falls(17);
    const current = rises(20) || changes(cr4Old, cr4New, 5) || (!intel && rises(22));
    if (everything) this.dropLinear(t.space, () => true);
    else if (current) this.dropLinear(t.space, (e) => e.pcid === t.pcid || e.global);
  }

  invlpga(asid: number, address: bigint): void {
    this.dropLinear(asid, (e) => e.kind === 'structure' || ReferenceTlb.holds(e, address));
  }

  invvpid(type: number, vpid: number, address: bigint): void {
    if (type === 2) this.drop((e) => e.stage !== 'guestPhysical' && e.space !== 0);
    else
      this.dropLinear(vpid, (e) => (type === 0 ? ReferenceTlb.holds(e, address) : type === 1 || !e.global));
  }

  invept(type: number, root: number): void {
    this.drop((e) => e.stage !== 'linear' && (type === 2 || (type === 1 && e.root === root)));
  }

  tlbControl(kind: string, asid: number, keepGuestPhysical: boolean): void {
    this.drop((e) => {
      if (kind !== 'all' && e.space !== asid) return false;
      if (keepGuestPhysical && e.stage === 'guestPhysical') return false;
      return kind !== 'asidNonGlobal' || !e.global;
    });
  }

  secondStageFault(
    guest: ReferenceTag | undefined,
    guestAddress: bigint,
    t: ReferenceTag | undefined,
    address: bigint,
  ): void {
    if (guest !== undefined)
      this.drop((e) => ReferenceTlb.usableBy(e, guest) && ReferenceTlb.holds(e, guestAddress));
    if (t !== undefined) this.drop((e) => ReferenceTlb.usableBy(e, t) && ReferenceTlb.holds(e, address));
  }

  flushVpid0(): void {
    this.dropLinear(0, () => true);
  }

  everything(): void {
    this.entries = [];
  }
}
