import type { Block, CodeCache } from '../engine/code-cache.ts';
import { record } from '../records/layout.ts';
import type { BlockSteps } from '../regions/region-steps.ts';

const undecided = -1;

/** What is known of a block's runs from the counter that makes it hot. */
interface Countdown {
  /** Runs before it was set. */
  sum: number;
  /** What it was set to, or `undecided`. */
  armed: number;
}

/** A region as it was compiled. */
export interface RegionListing {
  readonly blocks: readonly BlockSteps[];
  /** Code bytes of each block then. */
  readonly code: readonly Uint8Array[];
  /** The function's body without its locals. */
  readonly body: Uint8Array;
  /** Records and where in the body their code begins, in pairs. */
  readonly marks: readonly number[];
}

/** How often a block of guest code has run. */
export interface BlockCount {
  /** Linear address at which it was met first, if that is known. */
  readonly linear: bigint | undefined;
  /** Byte offset in the guest's RAM. */
  readonly offset: number;
  /** Instructions, and their bytes. */
  readonly count: number;
  readonly code: Uint8Array;
  readonly bits: 16 | 32 | 64;
  /** Runs in the interpreter, up to when it was compiled; and in compiled regions. */
  interpreted: number;
  compiled: number;
  /** Regions that hold it now. */
  regions: number;
}

/** What an engine with `observes` remembers beside its work. It changes nothing that a guest could see. */
export class Observation {
  /** In the order in which they were compiled. */
  readonly listings: RegionListing[] = [];
  private readonly view: DataView;
  private readonly countdowns = new Map<Block, Countdown>();
  private readonly linear = new Map<Block, bigint>();
  /** Of blocks that were forgotten, by what tells them apart. */
  private readonly past = new Map<string, BlockCount>();

  /** @param bytes the engine's memory @param cache whose blocks are observed */
  constructor(
    private readonly bytes: Uint8Array,
    private readonly cache: CodeCache,
  ) {
    this.view = new DataView(bytes.buffer);
  }

  /** A block was met at a linear address. */
  seen(block: Block, low: number, high: number): void {
    if (this.linear.has(block)) return;
    this.linear.set(block, BigInt.asUintN(64, (BigInt(high) << 32n) | BigInt(low >>> 0)));
  }

  /** A block's countdown came to its end; that run was not begun. */
  ranOut(block: Block): void {
    const countdown = this.countdownOf(block);
    countdown.sum += countdown.armed - 1;
    countdown.armed = undecided;
  }

  /** It was decided what comes next: another countdown, or compiled code. */
  decided(block: Block): void {
    if (!block.isCompiled) this.countdownOf(block).armed = this.heatOf(block);
  }

  /** A region was written; its blocks are interpreted up to now. */
  compiled(blocks: readonly BlockSteps[], body: Uint8Array, marks: readonly number[]): void {
    this.listings.push({ blocks, code: blocks.map(({ block }) => this.codeOf(block)), body, marks });
    for (const { block } of blocks) {
      if (block.isCompiled) continue;
      const countdown = this.countdownOf(block);
      countdown.sum = this.interpreted(block);
      countdown.armed = this.heatOf(block);
    }
  }

  /** Linear address of a block, if that is known. */
  linearOf(block: Block): bigint | undefined {
    return this.linear.get(block);
  }

  /** All blocks are about to be forgotten. */
  beginFlush(): void {
    this.take(this.past);
    this.linear.clear();
    this.countdowns.clear();
  }

  /** Counts of all blocks since the start. */
  counts(): BlockCount[] {
    const all = new Map([...this.past].map(([key, count]) => [key, { ...count }]));
    this.take(all);
    return [...all.values()];
  }

  private take(into: Map<string, BlockCount>): void {
    for (const block of this.cache.known()) {
      const interpreted = this.interpreted(block);
      const compiled = block.counter === 0 ? 0 : Number(this.view.getBigUint64(block.counter, true));
      if (interpreted + compiled === 0) continue;
      const { count, mode } = block;
      const offset = block.page - this.cache.base + block.start;
      const linear = this.linear.get(block);
      const key = `${offset} ${count} ${mode.bits} ${linear ?? ''}`;
      const known = into.get(key);
      if (known === undefined) {
        const code = this.codeOf(block);
        const regions = block.regions.length;
        into.set(key, { linear, offset, count, code, bits: mode.bits, interpreted, compiled, regions });
      } else {
        known.interpreted += interpreted;
        known.compiled += compiled;
        known.regions = block.regions.length;
      }
    }
  }

  /** Runs in the interpreter. */
  private interpreted(block: Block): number {
    const { sum, armed } = this.countdownOf(block);
    return armed === undecided || block.isCompiled ? sum : sum + armed - this.heatOf(block);
  }

  private countdownOf(block: Block): Countdown {
    let countdown = this.countdowns.get(block);
    if (countdown === undefined) {
      countdown = { sum: 0, armed: block.heat };
      this.countdowns.set(block, countdown);
    }
    return countdown;
  }

  private heatOf(block: Block): number {
    return this.view.getInt32(block.record + record.heat, true);
  }

  private codeOf({ page, start, end }: Block): Uint8Array {
    return this.bytes.slice(page + start, page + Math.min(end, 4096));
  }
}
