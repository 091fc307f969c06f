const free = -1;

/**
 * Entries of one size, as columns. Whoever fills a slot asks `place` for it; slots of a context are linked, so that dropping a context costs
 * what it has. How a slot is found and which entry must go is the subclass's.
 */
export abstract class EntryStore {
  /** log2 of what an entry covers. */
  readonly shift: number;
  /** Context of each slot, -1 for a free one. */
  context!: Int32Array;
  /** Address, low bits cleared. */
  low!: Int32Array;
  high!: Int32Array;
  /** First page of what is mapped; page of the next table in a paging-structure cache. */
  page!: Float64Array;
  rights!: Int32Array;
  guestShift!: Uint8Array;
  private next!: Int32Array;
  private previous!: Int32Array;
  private readonly heads: Int32Array;
  /** Slots in use. */
  used = 0;
  /** Slots in use that are pieces of a larger page of the guest. */
  fragments = 0;
  /** By context: in which of a TLB's stores it has entries. This store has the bit `bit`. */
  private presence: Uint8Array = new Uint8Array(0);
  private bit = 0;
  /** Called before an entry is taken for another one. */
  onEvict: (store: EntryStore, slot: number) => void = () => {};

  protected constructor(shift: number, slots: number, contexts: number) {
    this.shift = shift;
    this.heads = new Int32Array(contexts).fill(free);
    this.allocate(slots);
  }

  /** Tells from now on by a bit of `presence`, which stores share, whether a context has entries here. */
  share(presence: Uint8Array, bit: number): void {
    this.presence = presence;
    this.bit = bit;
  }

  /** Columns for so many slots, with what was in them if there are to be more. */
  protected allocate(slots: number): void {
    const from = Math.min(this.context?.length ?? 0, slots);
    const grown = <T extends Int32Array | Float64Array | Uint8Array>(column: T, old: T | undefined): T => {
      if (old !== undefined) column.set(old.subarray(0, from));
      return column;
    };
    this.context = grown(new Int32Array(slots), this.context).fill(free, from);
    this.low = grown(new Int32Array(slots), this.low);
    this.high = grown(new Int32Array(slots), this.high);
    this.page = grown(new Float64Array(slots), this.page);
    this.rights = grown(new Int32Array(slots), this.rights);
    this.guestShift = grown(new Uint8Array(slots), this.guestShift);
    this.next = grown(new Int32Array(slots), this.next);
    this.previous = grown(new Int32Array(slots), this.previous);
  }

  /** The part of an address's low half that a tag keeps. */
  tagLow(low: number): number {
    return this.shift < 32 ? low & (-1 << this.shift) : 0;
  }

  tagHigh(high: number): number {
    return this.shift <= 32 ? high : high & (-1 << (this.shift - 32));
  }

  /** Slot of a tag in either of two contexts, -1 if there is none. `low` and `high` are as the tag functions give them. */
  abstract find(context: number, other: number, low: number, high: number): number;
  /** A free slot for a tag that is not there; an entry may have to go. */
  protected abstract vacate(low: number, high: number): number;

  /** Slot for a tag that is not there, linked and ready to be filled. */
  place(context: number, low: number, high: number): number {
    const slot = this.vacate(low, high);
    this.context[slot] = context;
    this.low[slot] = low;
    this.high[slot] = high;
    const head = this.heads[context];
    this.next[slot] = head;
    this.previous[slot] = free;
    if (head !== free) this.previous[head] = slot;
    this.heads[context] = slot;
    this.presence[context] |= this.bit;
    this.used++;
    this.placed(slot);
    return slot;
  }

  protected placed(_slot: number): void {}

  remove(slot: number): void {
    const { next, previous } = this;
    if (previous[slot] === free) {
      const context = this.context[slot];
      this.heads[context] = next[slot];
      if (next[slot] === free) this.presence[context] &= ~this.bit;
    } else next[previous[slot]] = next[slot];
    if (next[slot] !== free) previous[next[slot]] = previous[slot];
    if (this.guestShift[slot] > this.shift) this.fragments--;
    this.context[slot] = free;
    this.used--;
  }

  /** Removes all entries of a context; false if there were none. */
  removeAll(context: number): boolean {
    const first = this.heads[context];
    if (first === free) return false;
    for (let slot = first; slot !== free; slot = this.next[slot]) {
      if (this.guestShift[slot] > this.shift) this.fragments--;
      this.context[slot] = free;
      this.used--;
    }
    this.heads[context] = free;
    this.presence[context] &= ~this.bit;
    return true;
  }

  /** First slot of a context, -1 for none; `after` goes on. Ask for the next one before removing. */
  firstOf(context: number): number {
    return this.heads[context];
  }

  after(slot: number): number {
    return this.next[slot];
  }

  /** All columns, for snapshots. */
  protected columns(): Record<string, Int32Array | Float64Array | Uint8Array> {
    const { context, low, high, page, rights, guestShift, next, previous, heads } = this;
    return { context, low, high, page, rights, guestShift, next, previous, heads };
  }

  save(): StoreSnapshot {
    const columns = Object.fromEntries(
      Object.entries(this.columns()).map(([name, column]) => [name, column.slice()]),
    );
    return { used: this.used, fragments: this.fragments, hand: this.hand, columns };
  }

  /** A number that the subclass's replacement goes by. */
  protected hand = 0;

  restore(snapshot: StoreSnapshot): void {
    this.allocateFor(snapshot);
    for (const [name, column] of Object.entries(this.columns())) {
      column.set(snapshot.columns[name]);
    }
    const { presence, bit, heads } = this;
    for (let context = 0; context < presence.length; context++)
      presence[context] = heads[context] === free ? presence[context] & ~bit : presence[context] | bit;
    this.used = snapshot.used;
    this.fragments = snapshot.fragments;
    this.hand = snapshot.hand;
  }

  protected allocateFor(_snapshot: StoreSnapshot): void {}
}

export interface StoreSnapshot {
  readonly used: number;
  readonly fragments: number;
  readonly hand: number;
  readonly columns: Readonly<Record<string, Int32Array | Float64Array | Uint8Array>>;
}

/** Sets of ways, as in a processor; round robin within a set. */
export class SetStore extends EntryStore {
  private readonly sets: number;
  private readonly ways: number;
  private readonly turn: Uint8Array;

  /** @param sets a power of two: at most 2^(32 - shift), and 1 for shifts from 32 on */
  constructor(shift: number, sets: number, ways: number, contexts: number) {
    super(shift, sets * ways, contexts);
    this.sets = sets;
    this.ways = ways;
    this.turn = new Uint8Array(sets);
  }

  /** Of the lower half's bits; what covers 4 GiB or more has one set. */
  private setOf(low: number): number {
    return (low >>> this.shift) & (this.sets - 1);
  }

  find(context: number, other: number, low: number, high: number): number {
    const { ways } = this;
    const lows = this.low;
    const first = ((low >>> this.shift) & (this.sets - 1)) * ways;
    const end = first + ways;
    for (let slot = first; slot < end; slot++) {
      if (lows[slot] !== low || this.high[slot] !== high) continue;
      const owner = this.context[slot];
      if (owner === context || owner === other) return slot;
    }
    return -1;
  }

  protected vacate(low: number): number {
    const { ways } = this;
    const set = this.setOf(low);
    const first = set * ways;
    for (let slot = first; slot < first + ways; slot++) if (this.context[slot] === free) return slot;
    const slot = first + this.turn[set];
    this.turn[set] = (this.turn[set] + 1) % ways;
    this.onEvict(this, slot);
    return slot;
  }

  protected override columns(): Record<string, Int32Array | Float64Array | Uint8Array> {
    return { ...super.columns(), turn: this.turn };
  }
}

/** Keeps all entries, up to a cap; then the oldest slot goes. */
export class HashStore extends EntryStore {
  private readonly cap: number;
  private buckets: Int32Array;
  private chain: Int32Array;
  private freeSlots: Int32Array;
  private freeCount = 0;
  /** Called when an entry has to go because of the cap. */
  onCap: () => void = () => {};

  constructor(shift: number, cap: number, contexts: number) {
    const slots = Math.min(cap, 64);
    super(shift, slots, contexts);
    this.cap = cap;
    this.buckets = new Int32Array(0);
    this.chain = new Int32Array(0);
    this.freeSlots = new Int32Array(0);
    this.resize(0, slots);
  }

  private resize(from: number, slots: number): void {
    if (slots > this.context.length) this.allocate(slots);
    let buckets = 64;
    while (buckets < slots) buckets *= 2;
    this.buckets = new Int32Array(buckets).fill(free);
    this.chain = new Int32Array(slots);
    const freeSlots = new Int32Array(slots);
    freeSlots.set(this.freeSlots);
    this.freeSlots = freeSlots;
    // New slots go on top, the lowest last, so that it is used first.
    for (let slot = slots - 1; slot >= from; slot--) freeSlots[this.freeCount++] = slot;
    for (let slot = 0; slot < from; slot++) if (this.context[slot] !== free) this.enchain(slot);
  }

  private bucketOf(low: number, high: number): number {
    const { shift } = this;
    const key = shift < 32 ? (low >>> shift) ^ Math.imul(high, 0x9e37_79b1) : Math.imul(high, 0x9e37_79b1);
    return (key ^ (key >>> 15)) & (this.buckets.length - 1);
  }

  private enchain(slot: number): void {
    const bucket = this.bucketOf(this.low[slot], this.high[slot]);
    this.chain[slot] = this.buckets[bucket];
    this.buckets[bucket] = slot;
  }

  find(context: number, other: number, low: number, high: number): number {
    for (let slot = this.buckets[this.bucketOf(low, high)]; slot !== free; slot = this.chain[slot]) {
      if (this.low[slot] !== low || this.high[slot] !== high) continue;
      const owner = this.context[slot];
      if (owner === context || owner === other) return slot;
    }
    return -1;
  }

  protected vacate(): number {
    if (this.freeCount === 0) {
      const slots = this.context.length;
      if (slots < this.cap) this.resize(slots, Math.min(this.cap, slots * 2));
      else {
        const oldest = this.hand;
        this.hand = (oldest + 1) % this.cap;
        this.onCap();
        this.onEvict(this, oldest);
      }
    }
    return this.freeSlots[--this.freeCount];
  }

  protected override placed(slot: number): void {
    this.enchain(slot);
  }

  override removeAll(context: number): boolean {
    const first = this.firstOf(context);
    for (let slot = first; slot !== free; slot = this.firstOf(context)) this.remove(slot);
    return first !== free;
  }

  override remove(slot: number): void {
    const bucket = this.bucketOf(this.low[slot], this.high[slot]);
    let at = this.buckets[bucket];
    if (at === slot) this.buckets[bucket] = this.chain[slot];
    else {
      while (this.chain[at] !== slot) at = this.chain[at];
      this.chain[at] = this.chain[slot];
    }
    super.remove(slot);
    this.freeSlots[this.freeCount++] = slot;
  }

  protected override columns(): Record<string, Int32Array | Float64Array | Uint8Array> {
    return { ...super.columns(), buckets: this.buckets, chain: this.chain, freeSlots: this.freeSlots };
  }

  override save(): StoreSnapshot {
    const snapshot = super.save();
    return { ...snapshot, columns: { ...snapshot.columns, freeCount: Int32Array.of(this.freeCount) } };
  }

  protected override allocateFor({ columns }: StoreSnapshot): void {
    const slots = columns.context.length;
    this.allocate(slots);
    this.buckets = new Int32Array(columns.buckets.length);
    this.chain = new Int32Array(slots);
    this.freeSlots = new Int32Array(slots);
    this.freeCount = columns.freeCount[0];
  }
}
