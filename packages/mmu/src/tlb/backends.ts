import { TlbOptionError } from '../errors.ts';
import type { TlbBackend, TlbListener, TlbSnapshot } from './backend.ts';
import { ContextTable, type ContextTag } from './contexts.ts';
import { HashStore, SetStore } from './entry-store.ts';
import { type MakeStore, TaggedTlb, type TaggedTlbOptions } from './tagged-tlb.ts';

export interface SetAssociativeOptions extends TaggedTlbOptions {
  /** Sets of the TLB for 4 KiB pages, a power of two. Default 128. */
  readonly sets?: number;
  /** Ways of each of them, to 255. Default 12: with 128 sets 1,536 entries, as many as a Skylake has. */
  readonly ways?: number;
}

/** Sets and ways for large pages (2 MiB, 4 MiB, 1 GiB) and for PDE, PDPTE, PML4E and PML5E caches. */
const largeShape: Readonly<Record<number, readonly [sets: number, ways: number]>> = {
  21: [64, 8],
  22: [16, 4],
  30: [4, 4],
};
const structureShape: Readonly<Record<number, readonly [sets: number, ways: number]>> = {
  21: [8, 4],
  30: [4, 2],
  39: [1, 4],
  48: [1, 2],
};

function setStores(sets: number, ways: number): MakeStore {
  powerOfTwo('sets', sets, 1 << 16);
  if (!Number.isInteger(ways) || ways < 1 || ways > 255)
    throw new TlbOptionError(`ways ${ways}: 1 to 255 is allowed`);
  return (kind, shift, contexts) => {
    const [s, w] = kind === 'structure' ? structureShape[shift] : (largeShape[shift] ?? [sets, ways]);
    return new SetStore(shift, s, w, contexts);
  };
}

/** Shaped like a real processor's second-level TLB: the default. */
export class SetAssociativeTlb extends TaggedTlb {
  readonly name: string = 'set-associative';

  constructor(options: SetAssociativeOptions = {}) {
    const { sets = 128, ways = 12 } = options;
    super(options, `set-associative sets=${sets} ways=${ways}`, setStores(sets, ways));
  }
}

export interface ExactOptions extends TaggedTlbOptions {
  /** Entries of each page size; the oldest slot goes beyond. Default 262,144. */
  readonly cap?: number;
  /** Called each time an entry goes because of the cap: from then on the content is no longer all that may be kept. */
  readonly onCap?: () => void;
}

/** Keeps everything that it legally may, so that a missing flush is seen. */
export class ExactTlb extends TaggedTlb {
  readonly name: string = 'exact';
  override readonly strictRetention: boolean = true;
  /** Entries that went because of the cap. */
  capped = 0;

  constructor(options: ExactOptions = {}) {
    const { cap = 1 << 18, onCap } = options;
    if (!Number.isInteger(cap) || cap < 1 || cap > 1 << 24)
      throw new TlbOptionError(`cap ${cap}: 1 to 16777216 is allowed`);
    super(options, `exact cap=${cap}`, (_, shift, contexts) => new HashStore(shift, cap, contexts));
    for (const store of [...this.pages, ...this.structures] as HashStore[])
      store.onCap = () => {
        this.capped++;
        onCap?.();
      };
  }
}

export interface ChaosOptions extends SetAssociativeOptions {
  /** Equal seeds give equal runs. Default 1. */
  readonly seed?: number;
  /** On average one entry is lost per so many insertions. Default 4. */
  readonly interval?: number;
}

/** Loses entries early, by a seeded generator that steps with each insertion: for guests that rely on what may be gone. */
export class ChaosTlb extends TaggedTlb {
  readonly name: string = 'chaos';
  private state: number;
  private readonly interval: number;

  constructor(options: ChaosOptions = {}) {
    const { sets = 128, ways = 12, seed = 1, interval = 4 } = options;
    if (!Number.isInteger(seed)) throw new TlbOptionError(`seed ${seed}: an integer is allowed`);
    if (!Number.isInteger(interval) || interval < 1)
      throw new TlbOptionError(`interval ${interval}: an integer from 1 is allowed`);
    super(
      options,
      `chaos sets=${sets} ways=${ways} seed=${seed} interval=${interval}`,
      setStores(sets, ways),
    );
    this.interval = interval;
    // The generator never leaves 0.
    this.state = Math.imul(seed, 0x9e37_79b1) | 1;
  }

  /** xorshift32 */
  private random(below: number): number {
    this.state ^= this.state << 13;
    this.state ^= this.state >>> 17;
    this.state ^= this.state << 5;
    return (this.state >>> 0) % below;
  }

  protected override inserting(): void {
    if (this.random(this.interval) !== 0) return;
    const stores = [...this.pages, ...this.structures].filter(({ used }) => used > 0);
    if (stores.length === 0) return;
    const store = stores[this.random(stores.length)];
    const slots = store.context.length;
    let slot = this.random(slots);
    while (store.context[slot] < 0) slot = (slot + 1) % slots;
    if (this.structures.includes(store)) store.remove(slot);
    else this.drop(store, slot);
  }

  protected override saveReplacement(): number {
    return this.state;
  }

  protected override restoreReplacement(state: number): void {
    this.state = state;
  }
}

export interface NoTlbOptions {
  readonly vendor?: 'intel' | 'amd';
  /** Nothing can survive here: `az28` is refused (T-02). */
  readonly initFlush?: 'all' | 'amdTable';
  readonly contexts?: number;
}

/** Keeps nothing: each access walks. */
export class NoTlb implements TlbBackend {
  readonly name: string = 'none';
  readonly fastPath: boolean = false;
  readonly strictRetention: boolean = false;
  readonly consultWithPagingOff: boolean = false;
  listener: TlbListener | null = null;
  private readonly contexts: ContextTable;

  constructor({ initFlush = 'all', contexts = 4096 }: NoTlbOptions = {}) {
    if (!['all', 'amdTable'].includes(initFlush))
      throw new TlbOptionError(
        `initFlush "${initFlush}": without a TLB nothing survives, all or amdTable is allowed`,
      );
    this.contexts = new ContextTable(contexts, () => {});
  }

  internContext(tag: ContextTag): number {
    return this.contexts.intern(tag);
  }
  holdContext(context: number): void {
    this.contexts.hold(context);
  }
  releaseContext(context: number): void {
    this.contexts.release(context);
  }
  lookup(): boolean {
    return false;
  }
  probe(): boolean {
    return false;
  }
  lookupStructure(): number {
    return 0;
  }
  probeStructure(): number {
    return 0;
  }
  insert(): void {}
  insertStructure(): void {}
  invlpg(): void {}
  invpcid(): void {}
  setCr3(): void {}
  crChange(): void {}
  pageFault(): void {}
  secondStageFault(): void {}
  invlpga(): void {}
  invvpid(): void {}
  invept(): void {}
  tlbControl(): void {}
  nestedTransition(): void {}
  implicitFlush(): void {}
  init(): void {}
  reset(): void {}
  setGuestIdentity(): void {}
  hvFlush(): void {}
  hvFlushGpa(): void {}
  shootdown(): void {}
  save(): TlbSnapshot {
    return { version: 1, shape: 'none', state: this.contexts.save() };
  }
  restore(snapshot?: TlbSnapshot): void {
    if (snapshot?.shape === 'none') this.contexts.restore(snapshot.state as ReturnType<ContextTable['save']>);
  }
}

const backends = {
  'set-associative': { make: SetAssociativeTlb, options: ['sets', 'ways'] },
  exact: { make: ExactTlb, options: ['cap', 'onCap'] },
  chaos: { make: ChaosTlb, options: ['sets', 'ways', 'seed', 'interval'] },
  none: { make: NoTlb, options: [] as string[] },
} as const;

const commonOptions = ['vendor', 'initFlush', 'az28ConsultWithPgOff', 'flushOnTransition', 'contexts'];

export type TlbName = 'set-associative' | 'exact' | 'chaos' | 'none';
export type TlbOptions = SetAssociativeOptions & ExactOptions & ChaosOptions;

/**
 * A backend by name, as a configuration has it.
 *
 * @throws TlbOptionError for a name or option that does not exist, or an option that means nothing to this backend
 */
export function createTlb(name: string, options: TlbOptions = {}): TlbBackend {
  if (!Object.hasOwn(backends, name))
    throw new TlbOptionError(`TLB "${name}": one of ${Object.keys(backends).join(', ')} is allowed`);
  const { make: Backend, options: own } = backends[name as TlbName];
  const known = name === 'none' ? ['vendor', 'initFlush', 'contexts'] : [...own, ...commonOptions];
  for (const option of Object.keys(options))
    if (!known.includes(option))
      throw new TlbOptionError(`option "${option}" of TLB ${name}: one of ${known.join(', ')} is allowed`);
  return new Backend(options as object);
}

function powerOfTwo(option: string, value: number, maximum: number): void {
  if (!Number.isInteger(value) || value < 1 || value > maximum || (value & (value - 1)) !== 0)
    throw new TlbOptionError(`${option} ${value}: a power of two to ${maximum} is allowed`);
}
