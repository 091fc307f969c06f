import { TlbOptionError } from '../errors.ts';

/** What a cached translation leads from and to (SDM vol. 3, 29.4.1). */
export const Stage = {
  /** Linear to physical, no second stage in use. */
  linear: 0,
  /** Guest-physical to physical. */
  guestPhysical: 1,
  /** Linear to physical through both stages. */
  combined: 2,
} as const;

/** Whose translations these are. */
export interface ContextTag {
  readonly owner: 'host' | 'vmx' | 'svm';
  /** VPID or ASID; 0 is the host's, and that of a VMX guest without VPIDs. */
  readonly vpidOrAsid: number;
  /** 0 while CR4.PCIDE is 0. Guest-physical contexts have none. */
  readonly pcid?: number;
  /** Page of the second stage's root: EPTP[51:12], or nCR3. Leave it out on AMD to tag by ASID alone (S4-69). */
  readonly eptpOrNcr3?: number;
  /** Default: combined if there is a second-stage root, else linear. */
  readonly stage?: 'linear' | 'guestPhysical' | 'combined';
}

/** PCID of the context that holds the global entries of its space and root. */
export const globalPcid = -1;
/** Intel tags guest-physical mappings by EP4TA, not by VPID: they are in no space. */
const noSpace = -1;

/**
 * Numbers for tags. An entry carries the number of its context; which contexts an invalidation concerns is decided here. A guest can make
 * more tags than fit (4,096 PCIDs, 65,535 VPIDs, any root): then a number is taken from a tag that nobody holds, round robin.
 */
export class ContextTable {
  readonly capacity: number;
  /** VPID or ASID. */
  readonly space: Float64Array;
  readonly pcid: Int32Array;
  /** Page of the second stage's root, -1 for none. */
  readonly root: Float64Array;
  /** {@link Stage} */
  readonly stage: Uint8Array;
  /** The context of the global entries that each context may use; its own number for those without. */
  readonly globals: Int32Array;
  private readonly owners: ('host' | 'vmx' | 'svm')[] = [];
  private readonly holds: Int32Array;
  private readonly ids = new Map<string, number>();
  /** Contexts by space; recycled ones leave it. */
  private readonly members = new Map<number, number[]>();
  private hand = 0;
  private readonly recycle: (id: number) => void;

  /** @param recycle must drop what is cached for a context, whose number is about to mean something else */
  constructor(capacity: number, recycle: (id: number) => void) {
    if (!Number.isInteger(capacity) || capacity < 16 || capacity > 1 << 20)
      throw new TlbOptionError(`contexts ${capacity}: 16 to 1048576 is allowed`);
    this.capacity = capacity;
    this.space = new Float64Array(capacity);
    this.pcid = new Int32Array(capacity);
    this.root = new Float64Array(capacity);
    this.stage = new Uint8Array(capacity);
    this.globals = new Int32Array(capacity);
    this.holds = new Int32Array(capacity);
    this.recycle = recycle;
  }

  /** Numbers that have been given out: 0 to this, exclusive. */
  get count(): number {
    return this.owners.length;
  }

  /** The number of a tag. Stays valid while it is held, or until `capacity` other tags have come. */
  intern({ owner, vpidOrAsid, pcid = 0, eptpOrNcr3 = -1, stage }: ContextTag): number {
    const kind = Stage[stage ?? (eptpOrNcr3 >= 0 ? 'combined' : 'linear')];
    if (kind !== Stage.guestPhysical) return this.find(owner, vpidOrAsid, pcid, eptpOrNcr3, kind);
    return this.find(owner, owner === 'svm' ? vpidOrAsid : noSpace, 0, eptpOrNcr3, kind);
  }

  private find(
    owner: 'host' | 'vmx' | 'svm',
    space: number,
    pcid: number,
    root: number,
    stage: number,
  ): number {
    const key = `${owner} ${space} ${pcid} ${root} ${stage}`;
    const known = this.ids.get(key);
    if (known !== undefined) return known;
    let globals = -1;
    if (stage !== Stage.guestPhysical && pcid !== globalPcid) {
      globals = this.find(owner, space, globalPcid, root, stage);
      // Its members hold it.
      this.holds[globals]++;
    }
    const id = this.owners.length < this.capacity ? this.owners.length : this.victim();
    this.owners[id] = owner;
    this.space[id] = space;
    this.pcid[id] = pcid;
    this.root[id] = root;
    this.stage[id] = stage;
    this.globals[id] = globals < 0 ? id : globals;
    this.ids.set(key, id);
    const members = this.members.get(space);
    if (members === undefined) this.members.set(space, [id]);
    else members.push(id);
    return id;
  }

  private victim(): number {
    for (let tries = 0; tries < this.capacity; tries++) {
      const id = this.hand;
      this.hand = (id + 1) % this.capacity;
      if (this.holds[id] !== 0) continue;
      this.recycle(id);
      const { owner, space } = { owner: this.owners[id], space: this.space[id] };
      this.ids.delete(`${owner} ${space} ${this.pcid[id]} ${this.root[id]} ${this.stage[id]}`);
      const members = this.members.get(space)!;
      members.splice(members.indexOf(id), 1);
      if (members.length === 0) this.members.delete(space);
      if (this.globals[id] !== id) this.holds[this.globals[id]]--;
      return id;
    }
    throw new TlbOptionError(`all ${this.capacity} contexts are held; hold fewer or ask for more`);
  }

  /** Keeps a number from being taken for another tag; `release` undoes one `hold`. */
  hold(id: number): void {
    this.holds[id]++;
  }

  release(id: number): void {
    this.holds[id]--;
  }

  /** Contexts of a VPID or ASID, guest-physical ones of an ASID included. Not to be kept. */
  inSpace(space: number): readonly number[] {
    return this.members.get(space) ?? [];
  }

  tag(id: number): ContextTag {
    const root = this.root[id];
    return {
      owner: this.owners[id],
      vpidOrAsid: this.space[id],
      pcid: this.pcid[id],
      stage: (['linear', 'guestPhysical', 'combined'] as const)[this.stage[id]],
      ...(root >= 0 ? { eptpOrNcr3: root } : {}),
    };
  }

  save(): ContextSnapshot {
    return {
      hand: this.hand,
      tags: this.owners.map((owner, id) => [
        owner,
        this.space[id],
        this.pcid[id],
        this.root[id],
        this.stage[id],
        this.globals[id],
      ]),
    };
  }

  /** Nothing is held afterwards: owners intern and hold again. */
  restore({ hand, tags }: ContextSnapshot): void {
    this.clear();
    this.hand = hand;
    for (const [id, [owner, space, pcid, root, stage, globals]] of tags.entries()) {
      this.owners.push(owner);
      this.space[id] = space;
      this.pcid[id] = pcid;
      this.root[id] = root;
      this.stage[id] = stage;
      this.globals[id] = globals;
      if (globals !== id) this.holds[globals]++;
      this.ids.set(`${owner} ${space} ${pcid} ${root} ${stage}`, id);
      const members = this.members.get(space);
      if (members === undefined) this.members.set(space, [id]);
      else members.push(id);
    }
  }

  private clear(): void {
    this.owners.length = 0;
    this.ids.clear();
    this.members.clear();
    this.holds.fill(0);
    this.hand = 0;
  }
}

export interface ContextSnapshot {
  readonly hand: number;
  readonly tags: readonly (readonly [
    owner: 'host' | 'vmx' | 'svm',
    space: number,
    pcid: number,
    root: number,
    stage: number,
    globals: number,
  ])[];
}
