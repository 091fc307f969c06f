import { SnapshotError, TlbOptionError } from '../errors.ts';
import { Rights } from '../paging/access.ts';
import { Cr0, Cr4 } from '../paging/registers.ts';
import {
  type HypervisorFlush,
  type ImplicitFlush,
  type InitFlush,
  Invept,
  Invpcid,
  Invvpid,
  type TlbBackend,
  type TlbListener,
  type TlbSnapshot,
} from './backend.ts';
import { type ContextSnapshot, ContextTable, type ContextTag, globalPcid, Stage } from './contexts.ts';
import type { TlbEntry } from './entry.ts';
import type { EntryStore, StoreSnapshot } from './entry-store.ts';

export interface TaggedTlbOptions {
  /** Whose list of implicit flushes holds. Default `intel`. */
  readonly vendor?: 'intel' | 'amd';
  /** Default `all`. */
  readonly initFlush?: InitFlush;
  /** With `az28`: surviving entries are met even while paging is off. Default true. */
  readonly az28ConsultWithPgOff?: boolean;
  /** VM transitions of an SVM guest drop everything, as KVM did. Default `none`. */
  readonly flushOnTransition?: 'none' | 'kvm';
  /** Contexts that may exist at a time. Default 4096. */
  readonly contexts?: number;
}

/** Shifts of page sizes, smallest first: 4 KiB, 2 MiB, 4 MiB (32-bit paging), 1 GiB. */
const pageShifts: readonly number[] = [12, 21, 22, 30];
/** What an entry at level 2 (PDE), 3, 4, 5 covers. */
const structureShifts: readonly number[] = [21, 30, 39, 48];

/** Bits of `TaggedTlb.presence` that speak of pages. */
const inPages = 15;

/** D of both stages. */
const dirty: number = Rights.dirty | Rights.stageDirty;

/** Makes the store for one size; `kind` is `page` or `structure`. */
export type MakeStore = (kind: 'page' | 'structure', shift: number, contexts: number) => EntryStore;

/**
 * Tags and rules of invalidation, common to all backends that keep anything. What they differ in, how much is kept and what goes first, is in
 * the stores.
 */
export abstract class TaggedTlb implements TlbBackend {
  abstract readonly name: string;
  readonly fastPath: boolean = true;
  readonly strictRetention: boolean = false;
  listener: TlbListener | null = null;
  protected readonly contexts: ContextTable;
  protected readonly pages: readonly EntryStore[];
  protected readonly structures: readonly EntryStore[];
  /** By context: a bit for each of `pages` in which it has entries, and above them one for each of `structures`. */
  private readonly presence: Uint8Array;
  private readonly vendor: 'intel' | 'amd';
  private readonly initFlush: InitFlush;
  private readonly consultOption: boolean;
  private readonly flushOnTransition: 'none' | 'kvm';
  private readonly shape: string;
  /** Global entries have survived an INIT and die at the next opportunity. */
  private az28Pending = false;
  private readonly identities = new Map<number, { vmId: bigint; vpId: number }>();

  protected constructor(options: TaggedTlbOptions, shape: string, make: MakeStore) {
    const { vendor = 'intel', initFlush = 'all', flushOnTransition = 'none', contexts = 4096 } = options;
    oneOf('vendor', vendor, ['intel', 'amd']);
    oneOf('initFlush', initFlush, ['all', 'amdTable', 'az28']);
    oneOf('flushOnTransition', flushOnTransition, ['none', 'kvm']);
    this.vendor = vendor;
    this.initFlush = initFlush;
    this.consultOption = options.az28ConsultWithPgOff ?? true;
    this.flushOnTransition = flushOnTransition;
    this.contexts = new ContextTable(contexts, (id) => this.flushContext(id));
    this.pages = pageShifts.map((shift) => make('page', shift, contexts));
    this.presence = new Uint8Array(contexts);
    this.structures = structureShifts.map((shift) => make('structure', shift, contexts));
    this.shape = `${shape} contexts=${contexts} vendor=${vendor}`;
    for (const [i, store] of [...this.pages, ...this.structures].entries())
      store.share(this.presence, 1 << i);
    for (const store of this.pages) store.onEvict = (from, slot) => this.drop(from, slot);
    for (const store of this.structures) store.onEvict = (from, slot) => from.remove(slot);
  }

  // Contexts.

  internContext(tag: ContextTag): number {
    return this.contexts.intern(tag);
  }

  holdContext(context: number): void {
    this.contexts.hold(context);
  }

  releaseContext(context: number): void {
    this.contexts.release(context);
  }

  // Look-up and insertion.

  lookup(context: number, low: number, high: number, _access: number, out: TlbEntry): boolean {
    return this.probe(context, low, high, out);
  }

  probe(context: number, low: number, high: number, out: TlbEntry): boolean {
    const globals = this.contexts.globals[context];
    const { pages, presence } = this;
    let bits = (presence[context] | presence[globals]) & inPages;
    for (let i = 0; bits !== 0; i++, bits >>= 1) {
      if ((bits & 1) === 0) continue;
      const store = pages[i];
      const slot = store.find(context, globals, store.tagLow(low), high);
      if (slot < 0) continue;
      const { shift } = store;
      out.page = store.page[slot] + (shift === 12 ? 0 : (low & ((1 << shift) - 1)) >>> 12);
      out.shift = shift;
      out.guestShift = store.guestShift[slot];
      out.rights = store.rights[slot];
      return true;
    }
    return false;
  }

  insert(context: number, low: number, high: number, entry: TlbEntry, isNew = false): void {
    this.inserting();
    const globals = this.contexts.globals[context];
    const { shift } = entry;
    const store = this.pages[shift === 12 ? 0 : shift === 21 ? 1 : shift === 22 ? 2 : 3];
    const owner = (entry.rights & Rights.global) !== 0 ? globals : context;
    if (!isNew) {
      if (this.setDirty(store, owner, low, high, entry)) return;
      // Whatever translated this address before has just proved unusable.
      this.dropAddress(context, globals, low, high);
    }
    const slot = store.place(owner, store.tagLow(low), high);
    store.page[slot] = shift === 12 ? entry.page : entry.page - ((low & ((1 << shift) - 1)) >>> 12);
    store.rights[slot] = entry.rights;
    store.guestShift[slot] = entry.guestShift;
    if (entry.guestShift > shift) store.fragments++;
  }

  /** The entry that is there differs by D alone, which the first write sets (T-04): what was copied from it forbids more, and stays. */
  private setDirty(store: EntryStore, owner: number, low: number, high: number, entry: TlbEntry): boolean {
    const { shift, page, rights, guestShift } = entry;
    const slot = store.find(owner, owner, store.tagLow(low), high);
    if (slot < 0 || (store.rights[slot] | dirty) !== rights || store.guestShift[slot] !== guestShift)
      return false;
    if (store.page[slot] !== (shift === 12 ? page : page - ((low & ((1 << shift) - 1)) >>> 12))) return false;
    store.rights[slot] = rights;
    return true;
  }

  /** Before an insertion; for backends that lose entries early. What is inserted stays, as its copy in a fast TLB is about to be made. */
  protected inserting(): void {}

  lookupStructure(context: number, low: number, high: number, out: TlbEntry): number {
    return this.probeStructure(context, low, high, out);
  }

  probeStructure(context: number, low: number, high: number, out: TlbEntry): number {
    const { structures, presence } = this;
    let bits = presence[context] >> pageShifts.length;
    for (let i = 0; bits !== 0; i++, bits >>= 1) {
      if ((bits & 1) === 0) continue;
      const store = structures[i];
      const slot = store.find(context, context, store.tagLow(low), store.tagHigh(high));
      if (slot < 0) continue;
      out.page = store.page[slot];
      out.rights = store.rights[slot];
      return i + 2;
    }
    return 0;
  }

  insertStructure(
    context: number,
    low: number,
    high: number,
    level: number,
    page: number,
    rights: number,
  ): void {
    this.inserting();
    const store = this.structures[level - 2];
    const tagLow = store.tagLow(low);
    const tagHigh = store.tagHigh(high);
    let slot = store.find(context, context, tagLow, tagHigh);
    if (slot < 0) {
      slot = store.place(context, tagLow, tagHigh);
      store.guestShift[slot] = store.shift;
    }
    store.page[slot] = page;
    store.rights[slot] = rights;
  }

  // Losses. All of a page's entries leave through `drop`, all of a context's through `flushPages`.

  protected drop(store: EntryStore, slot: number): void {
    const context = store.context[slot];
    const low = store.low[slot];
    const high = store.high[slot];
    const global = (store.rights[slot] & Rights.global) !== 0;
    store.remove(slot);
    this.listener?.onDrop(context, low, high, store.shift, global);
  }

  /** What translates one address, in a context and beside it. */
  private dropAddress(context: number, other: number, low: number, high: number): void {
    const { pages, presence } = this;
    let bits = (presence[context] | presence[other]) & inPages;
    for (let i = 0; bits !== 0; i++, bits >>= 1) {
      if ((bits & 1) === 0) continue;
      const store = pages[i];
      for (;;) {
        const slot = store.find(context, other, store.tagLow(low), high);
        if (slot < 0) break;
        this.drop(store, slot);
      }
    }
  }

  /** As `dropAddress`, with all pieces of a large page that holds the address (SDM vol. 3, 4.10.2.3; S0-06). */
  private dropPage(context: number, low: number, high: number): void {
    if ((this.presence[context] & inPages) === 0) return;
    this.dropAddress(context, context, low, high);
    for (const store of this.pages) {
      if (store.fragments === 0) continue;
      for (let slot = store.firstOf(context); slot >= 0; ) {
        const following = store.after(slot);
        const large = store.guestShift[slot];
        if (large > store.shift && store.high[slot] === high && (store.low[slot] ^ low) >>> large === 0)
          this.drop(store, slot);
        slot = following;
      }
    }
  }

  private flushPages(context: number): void {
    if ((this.presence[context] & inPages) === 0) return;
    let some = false;
    for (const store of this.pages) some = store.removeAll(context) || some;
    if (some) this.listener?.onFlush(context, this.contexts.pcid[context] === globalPcid);
  }

  private flushStructures(context: number): void {
    const { structures, presence } = this;
    let bits = presence[context] >> pageShifts.length;
    for (let i = 0; bits !== 0; i++, bits >>= 1) if ((bits & 1) !== 0) structures[i].removeAll(context);
  }

  /** The entries of an address in the paging-structure caches of a context. */
  private dropStructures(context: number, low: number, high: number): void {
    const { structures, presence } = this;
    let bits = presence[context] >> pageShifts.length;
    for (let i = 0; bits !== 0; i++, bits >>= 1) {
      if ((bits & 1) === 0) continue;
      const store = structures[i];
      const slot = store.find(context, context, store.tagLow(low), store.tagHigh(high));
      if (slot >= 0) store.remove(slot);
    }
  }

  private flushContext(context: number): void {
    this.flushPages(context);
    this.flushStructures(context);
  }

  /** Everything of a VPID or ASID that comes from linear addresses. */
  private flushSpace(space: number, withGlobals: boolean): void {
    const { pcid, stage } = this.contexts;
    for (const id of this.contexts.inSpace(space)) {
      if (stage[id] === Stage.guestPhysical) continue;
      if (withGlobals || pcid[id] !== globalPcid) this.flushContext(id);
    }
  }

  private flushPcid(space: number, wanted: number, withGlobals: boolean): void {
    const { pcid, stage } = this.contexts;
    for (const id of this.contexts.inSpace(space)) {
      if (stage[id] === Stage.guestPhysical) continue;
      if (pcid[id] === wanted || (withGlobals && pcid[id] === globalPcid)) this.flushContext(id);
    }
  }

  private flushEverything(): void {
    for (let id = 0; id < this.contexts.count; id++) this.flushContext(id);
    this.az28Pending = false;
  }

  // Invalidations. Those that are not about VMX act on the current VPID, linear mappings and combined ones of every root alike
  // (SDM vol. 3, 29.4.3.1).

  invlpg(context: number, low: number, high: number, _cr4: number): void {
    const { pcid, stage, space } = this.contexts;
    const current = pcid[context];
    for (const id of this.contexts.inSpace(space[context])) {
      if (stage[id] === Stage.guestPhysical) continue;
      if (pcid[id] === globalPcid) this.dropPage(id, low, high);
      else if (pcid[id] === current) {
        this.dropPage(id, low, high);
        this.flushStructures(id);
      }
    }
  }

  invpcid(context: number, type: number, wanted: number, low: number, high: number): void {
    const { pcid, stage, space } = this.contexts;
    switch (type) {
      case Invpcid.address:
        for (const id of this.contexts.inSpace(space[context])) {
          if (stage[id] === Stage.guestPhysical || pcid[id] !== wanted) continue;
          this.dropPage(id, low, high);
          this.dropStructures(id, low, high);
        }
        break;
      case Invpcid.context:
        this.flushPcid(space[context], wanted, false);
        break;
      case Invpcid.allWithGlobals:
        this.flushSpace(space[context], true);
        break;
      case Invpcid.allExceptGlobals:
        this.flushSpace(space[context], false);
        break;
    }
  }

  setCr3(_oldContext: number, newContext: number, noFlush: boolean): void {
    const { pcid, space } = this.contexts;
    this.cureAz28();
    if (!noFlush) this.flushPcid(space[newContext], pcid[newContext], false);
  }

  /** The lists of S2-20: SDM vol. 3, 4.10.4.1; APM vol. 2, 5.5.3. */
  crChange(context: number, cr0Old: number, cr0New: number, cr4Old: number, cr4New: number): void {
    const cr0 = cr0Old ^ cr0New;
    const cr4 = cr4Old ^ cr4New;
    if ((cr0 & (Cr0.pg | Cr0.pe)) !== 0 || (cr4 & (Cr4.pse | Cr4.pge | Cr4.pae)) !== 0) this.cureAz28();
    const space = this.contexts.space[context];
    const amd = this.vendor === 'amd';
    const pagingChanged = (cr0 & Cr0.pg) !== 0 && (amd || (cr0Old & Cr0.pg) !== 0);
    const all = amd ? Cr4.pge | Cr4.pae | Cr4.pse : Cr4.pge;
    if (pagingChanged || (cr4 & all) !== 0 || (cr4 & cr4Old & Cr4.pcide) !== 0) {
      this.flushSpace(space, true);
      return;
    }
    const started = cr4 & cr4New & (amd ? Cr4.smep | Cr4.pke : Cr4.smep);
    if (started !== 0 || (cr4 & Cr4.pae) !== 0) this.flushPcid(space, this.contexts.pcid[context], true);
  }

  pageFault(context: number, low: number, high: number): void {
    const { pcid, stage, space } = this.contexts;
    const current = pcid[context];
    for (const id of this.contexts.inSpace(space[context])) {
      if (stage[id] === Stage.guestPhysical) continue;
      if (pcid[id] !== current && pcid[id] !== globalPcid) continue;
      this.dropPage(id, low, high);
      this.dropStructures(id, low, high);
    }
  }

  secondStageFault(
    guestContext: number,
    guestLow: number,
    guestHigh: number,
    linearContext: number,
    low: number,
    high: number,
  ): void {
    if (guestContext >= 0) {
      this.dropPage(guestContext, guestLow, guestHigh);
      this.dropStructures(guestContext, guestLow, guestHigh);
    }
    if (linearContext < 0) return;
    const globals = this.contexts.globals[linearContext];
    this.dropPage(linearContext, low, high);
    this.dropPage(globals, low, high);
    this.dropStructures(linearContext, low, high);
  }

  invlpga(asid: number, low: number, high: number): void {
    const { stage } = this.contexts;
    for (const id of this.contexts.inSpace(asid)) {
      if (stage[id] === Stage.guestPhysical) continue;
      this.dropPage(id, low, high);
      this.flushStructures(id);
    }
  }

  invvpid(type: number, vpid: number, low: number, high: number): void {
    const { stage, space } = this.contexts;
    switch (type) {
      case Invvpid.address:
        for (const id of this.contexts.inSpace(vpid)) {
          if (stage[id] === Stage.guestPhysical) continue;
          this.dropPage(id, low, high);
          this.dropStructures(id, low, high);
        }
        break;
      case Invvpid.context:
        this.flushSpace(vpid, true);
        break;
      case Invvpid.all:
        for (let id = 0; id < this.contexts.count; id++)
          if (stage[id] !== Stage.guestPhysical && space[id] !== 0) this.flushContext(id);
        break;
      case Invvpid.contextExceptGlobals:
        this.flushSpace(vpid, false);
        break;
    }
  }

  invept(type: number, wanted: number): void {
    const { stage, root } = this.contexts;
    for (let id = 0; id < this.contexts.count; id++) {
      if (stage[id] === Stage.linear) continue;
      if (type === Invept.global || (type === Invept.context && root[id] === wanted)) this.flushContext(id);
    }
  }

  tlbControl(kind: 'all' | 'asid' | 'asidNonGlobal', asid: number, keepGuestPhysical = false): void {
    const { stage, pcid, space } = this.contexts;
    for (let id = 0; id < this.contexts.count; id++) {
      if (kind !== 'all' && space[id] !== asid) continue;
      if (stage[id] === Stage.guestPhysical && keepGuestPhysical) continue;
      if (kind === 'asidNonGlobal' && pcid[id] === globalPcid) continue;
      this.flushContext(id);
    }
  }

  nestedTransition(from: number, to: number): void {
    const guest = this.contexts.tag(this.contexts.tag(from).owner === 'host' ? to : from);
    // SDM vol. 3, 29.4.3.1: without VPIDs, entries and exits invalidate what is tagged 0000H, for all PCIDs and roots.
    if (guest.owner === 'vmx' && guest.vpidOrAsid === 0) this.flushSpace(0, true);
    if (guest.owner === 'svm' && this.flushOnTransition === 'kvm') this.flushEverything();
  }

  implicitFlush(cause: ImplicitFlush): void {
    // Only AMD lists MTRR writes (APM vol. 2, 5.5.3).
    if (cause !== 'mtrr' || this.vendor === 'amd') this.flushEverything();
  }

  // INIT and RESET.

  init(cr0Old: number, cr4Old: number): void {
    if (this.initFlush === 'amdTable') return;
    const survive =
      this.initFlush === 'az28' &&
      (cr0Old & (Cr0.pe | Cr0.pg)) === (Cr0.pe | Cr0.pg) &&
      (cr4Old & Cr4.pge) !== 0;
    const { pcid, space } = this.contexts;
    for (let id = 0; id < this.contexts.count; id++) {
      if (survive && pcid[id] === globalPcid && space[id] === 0) continue;
      this.flushContext(id);
    }
    this.az28Pending = survive;
  }

  reset(): void {
    this.flushEverything();
  }

  private cureAz28(): void {
    if (!this.az28Pending) return;
    this.az28Pending = false;
    const { pcid } = this.contexts;
    for (const id of this.contexts.inSpace(0)) if (pcid[id] === globalPcid) this.flushContext(id);
  }

  get consultWithPagingOff(): boolean {
    return this.az28Pending && this.consultOption;
  }

  // Hypercalls, host.

  setGuestIdentity(vpidOrAsid: number, vmId: bigint, vpId: number): void {
    this.identities.set(vpidOrAsid, { vmId, vpId });
  }

  hvFlush({ vmId, vpIds, nonGlobalOnly = false, gvaList }: HypervisorFlush): void {
    for (const [space, identity] of this.identities) {
      if (identity.vmId !== vmId || (vpIds !== undefined && !vpIds.includes(identity.vpId))) continue;
      if (gvaList === undefined) this.flushSpace(space, !nonGlobalOnly);
      else eachPage(gvaList, (low, high) => this.flushAddress(space, low, high, nonGlobalOnly));
    }
  }

  /** PCIDs do not count: the hypercall names an address space by CR3, without its PCID (S1-56). */
  private flushAddress(space: number, low: number, high: number, nonGlobalOnly: boolean): void {
    const { pcid, stage } = this.contexts;
    for (const id of this.contexts.inSpace(space)) {
      if (stage[id] === Stage.guestPhysical || (nonGlobalOnly && pcid[id] === globalPcid)) continue;
      this.dropPage(id, low, high);
      this.dropStructures(id, low, high);
    }
  }

  hvFlushGpa(wanted: number, gpaList?: readonly bigint[]): void {
    const { stage, root } = this.contexts;
    for (let id = 0; id < this.contexts.count; id++) {
      if (stage[id] === Stage.linear || root[id] !== wanted) continue;
      // Combined entries do not know through which guest-physical address they lead.
      if (stage[id] === Stage.combined || gpaList === undefined) this.flushContext(id);
      else
        eachPage(gpaList, (low, high) => {
          this.dropPage(id, low, high);
          this.dropStructures(id, low, high);
        });
    }
  }

  shootdown(page: number): void {
    for (const store of this.pages)
      for (let slot = 0; slot < store.context.length; slot++) {
        if (store.context[slot] < 0) continue;
        const first = store.page[slot];
        if (page >= first && page < first + 2 ** (store.shift - 12)) this.drop(store, slot);
      }
  }

  // Snapshots.

  save(): TlbSnapshot {
    const state: TaggedState = {
      contexts: this.contexts.save(),
      pages: this.pages.map((store) => store.save()),
      structures: this.structures.map((store) => store.save()),
      az28Pending: this.az28Pending,
      identities: [...this.identities].map(([space, { vmId, vpId }]) => [space, vmId, vpId]),
      replacement: this.saveReplacement(),
    };
    return { version: 1, shape: this.shape, state };
  }

  restore(snapshot?: TlbSnapshot): void {
    if (snapshot === undefined) {
      this.flushEverything();
      return;
    }
    if (snapshot.version !== 1)
      throw new SnapshotError(`TLB snapshot of version ${snapshot.version}: 1 is allowed`);
    if (snapshot.shape !== this.shape)
      throw new SnapshotError(`TLB snapshot of "${snapshot.shape}": this backend takes "${this.shape}"`);
    // Who listens forgets what it copied; then the content changes under the same rules as ever.
    this.flushEverything();
    const state = snapshot.state as TaggedState;
    this.contexts.restore(state.contexts);
    for (const [i, store] of this.pages.entries()) store.restore(state.pages[i]);
    for (const [i, store] of this.structures.entries()) store.restore(state.structures[i]);
    this.az28Pending = state.az28Pending;
    this.identities.clear();
    for (const [space, vmId, vpId] of state.identities) this.identities.set(space, { vmId, vpId });
    this.restoreReplacement(state.replacement);
  }

  protected saveReplacement(): number {
    return 0;
  }

  protected restoreReplacement(_state: number): void {}
}

interface TaggedState {
  readonly contexts: ContextSnapshot;
  readonly pages: readonly StoreSnapshot[];
  readonly structures: readonly StoreSnapshot[];
  readonly az28Pending: boolean;
  readonly identities: readonly (readonly [space: number, vmId: bigint, vpId: number])[];
  readonly replacement: number;
}

function eachPage(list: readonly bigint[], visit: (low: number, high: number) => void): void {
  for (const element of list) {
    let page = BigInt.asUintN(64, element) >> 12n;
    for (let extra = Number(element & 0xfffn); extra >= 0; extra--, page++)
      visit(Number(BigInt.asIntN(32, page << 12n)), Number(BigInt.asIntN(32, page >> 20n)));
  }
}

function oneOf(option: string, value: string, allowed: readonly string[]): void {
  if (!allowed.includes(value))
    throw new TlbOptionError(`${option} "${value}": one of ${allowed.join(', ')} is allowed`);
}
