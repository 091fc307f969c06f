import {
  Access,
  type ContextTag,
  createTlb,
  Fault,
  Mmu,
  PagingContext,
  PagingModel,
  type PagingModelInit,
  PhysicalMemory,
  type TlbBackend,
  type TlbOptions,
  Translation,
} from '../../src/index.ts';

export const P = 1n;
export const W = 2n;
export const U = 4n;
export const A = 0x20n;
export const D = 0x40n;
export const PS = 0x80n;
export const G = 0x100n;
export const XD: bigint = 1n << 63n;

export const low = (address: bigint): number => Number(BigInt.asIntN(32, address));
export const high = (address: bigint): number => Number(BigInt.asIntN(32, address >> 32n));

/** PE, WP, PG */
const cr0: number = -0x7ffe_ffff;
type Registers = { readonly cr0: number; readonly cr4: number; readonly efer: number };

/** CR0 and CR4 and EFER of each mode, with WP, PGE and NXE on. */
export const modes: Readonly<Record<'legacy' | 'pae' | 'level4' | 'level5', Registers>> = {
  legacy: { cr0: cr0, cr4: 0x90, efer: 0 },
  pae: { cr0: cr0, cr4: 0xa0, efer: 0x800 },
  level4: { cr0: cr0, cr4: 0xa0, efer: 0xd00 },
  level5: { cr0: cr0, cr4: 0x10a0, efer: 0xd00 },
};

/** RAM with page tables that tests write, and an MMU over it. Tables are taken from page 16 on. */
export class Machine {
  readonly memory: PhysicalMemory;
  readonly tlb: TlbBackend;
  readonly mmu: Mmu;
  readonly context: PagingContext = new PagingContext();
  readonly out: Translation = new Translation();
  readonly view: DataView;
  private nextTable = 16;

  constructor({
    tlb = 'exact',
    options = {},
    model = {},
    pages = 256,
  }: { tlb?: string | TlbBackend; options?: TlbOptions; model?: PagingModelInit; pages?: number } = {}) {
    this.memory = new PhysicalMemory({ buffer: new ArrayBuffer(pages * 4096) });
    this.memory.addRegion({ kind: 'ram', start: 0, size: pages * 4096, backing: 0 });
    this.view = new DataView(this.memory.bytes.buffer);
    this.tlb = typeof tlb === 'string' ? createTlb(tlb, options) : tlb;
    this.mmu = new Mmu({ memory: this.memory, tlb: this.tlb, model: new PagingModel(model) });
  }

  table(): number {
    return this.nextTable++;
  }

  read64(page: number, index: number): bigint {
    return this.view.getBigUint64(page * 4096 + index * 8, true);
  }

  write64(page: number, index: number, value: bigint): void {
    this.view.setBigUint64(page * 4096 + index * 8, value, true);
  }

  /** Starts 4-level (or other) paging with an empty root table, in the host's context or another. */
  start(
    mode: keyof typeof modes = 'level4',
    root: number = this.table(),
    tag: Omit<ContextTag, 'pcid'> = { owner: 'host', vpidOrAsid: 0 },
  ): number {
    this.context.set({ ...modes[mode], cr3: root * 4096 });
    this.mmu.enter(this.context, tag);
    return root;
  }

  /** The entry that maps `linear` at `level`, with tables above made as needed; `above` are their flags. */
  entry(
    root: number,
    levels: number,
    linear: bigint,
    level: number,
    above: bigint = P | W | U,
  ): [page: number, index: number] {
    let table = root;
    for (let at = levels; at > level; at--) {
      const index = Number((linear >> BigInt(3 + 9 * at)) & 511n);
      if ((this.read64(table, index) & 0xffff_ffff_f000n) === 0n)
        this.write64(table, index, (BigInt(this.table()) << 12n) | above);
      table = Number((this.read64(table, index) & 0xffff_ffff_f000n) >> 12n);
    }
    return [table, Number((linear >> BigInt(3 + 9 * level)) & 511n)];
  }

  /** Maps a page in tables of so many levels; returns where its entry lies. */
  map(
    root: number,
    linear: bigint,
    physical: bigint,
    flags: bigint,
    { level = 1, levels = 4, above = P | W | U }: { level?: number; levels?: number; above?: bigint } = {},
  ): [page: number, index: number] {
    const place = this.entry(root, levels, linear, level, above);
    this.write64(...place, physical | flags | (level > 1 ? PS : 0n));
    return place;
  }

  access(linear: bigint, access: number = Access.read, context: PagingContext = this.context): number {
    return this.mmu.translate(context, low(linear), high(linear), access, this.out);
  }

  /** Physical page that an access reaches, or what it gets instead. */
  reach(
    linear: bigint,
    access: number = Access.read,
    context: PagingContext = this.context,
  ): number | string {
    const fault = this.access(linear, access, context);
    if (fault === Fault.none) return this.out.page;
    return `${Object.entries(Fault).find(([, value]) => value === fault)![0]} ${this.out.errorCode.toString(16)}`;
  }
}
