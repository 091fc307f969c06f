import type { Block, CodeCache } from '../engine/code-cache.ts';
import type { Handlers } from '../interpreter/handlers.ts';
import { registersOf } from '../interpreter/register-use.ts';
import { Row, record, recordSize } from '../records/layout.ts';
import { mostPages } from './region-pages.ts';
import { type BlockSteps, linksOf, type Step } from './region-steps.ts';

/** How large regions may be: what the host's optimising compiler takes in reasonable time (engine-decision A). */
export interface RegionLimits {
  readonly blocks: number;
  readonly instructions: number;
}

/** A block that may become part of the region, and how often it has run after those that lead to it. */
interface Candidate {
  readonly record: number;
  readonly pageDelta: number;
  weight: number;
}

/** Blocks that run rarer than the entry stay out: one in so many. */
const rarest = 1 / 32;
/** Bytes between a page and the first: so two distances may be added. */
const farthest = 2 ** 30;
/** Instructions that other regions hold as well, for each that none does: functions that many call. */
const sharedPart = 0.3;
/** Runs of a block that another region holds, for each that this region would come to it; more of them leave it to the other. */
const ownWeight = 8;

/**
 * Chooses what becomes one region: from an entry, whatever is reached and not rare, by what the interpreter has counted. What is nearest to the entry comes
 * first, so that ways that part and meet again lie in one region: its size is seldom the limit, and to leave it costs more than blocks that run seldom.
 */
export class RegionCollector {
  /** In the order in which they were met. */
  private readonly candidates: Candidate[] = [];
  private readonly seen = new Map<number, Candidate>();
  /** Least weight. */
  private readonly pages: { host: number; delta: number }[] = [];
  private least = 0;
  private code!: CodeCache;

  constructor(
    private readonly view: DataView,
    private readonly handlers: Handlers,
    private readonly limits: RegionLimits,
  ) {}

  /** The entry's region, each block behind those that lead to it as far as there are no loops; empty if the entry cannot be compiled. */
  collect(entry: Block, code: CodeCache): BlockSteps[] {
    const { candidates, seen, limits } = this;
    this.code = code;
    candidates.length = 0;
    seen.clear();
    this.pages.length = 0;
    const executions = Math.max(1, code.executions(entry.record));
    this.least = executions * rarest;
    this.propose(entry.record, 0, executions);
    const chosen: BlockSteps[] = [];
    let instructions = 0;
    let shared = 0;
    // More are proposed on the way.
    for (const { record: start, pageDelta, weight } of candidates) {
      const block = code.blockOf(start);
      if (block === undefined || block.record !== start || !block.isValid) continue;
      // What crosses into another page is interpreted.
      if (block.secondPage >= 0) continue;
      if (chosen.length > 0) {
        if (instructions + block.count > limits.instructions) continue;
        if (block.regions.length > 0) {
          // A loop or function of its own, where more time is spent than on the way to it.
          if (block.executions > weight * ownWeight) continue;
          if (shared + block.count > (instructions - shared) * sharedPart) continue;
          shared += block.count;
        }
      }
      if (!this.hasRoomFor(block.page, pageDelta)) continue;
      const one = this.read(block, pageDelta);
      instructions += block.count;
      chosen.push(one);
      if (chosen.length >= limits.blocks) break;
      this.proposeSuccessors(one, weight);
    }
    return this.inOrder(chosen);
  }

  /** Whether a page can be one of the region's; if so, it is now. */
  private hasRoomFor(host: number, delta: number): boolean {
    if (Math.abs(delta) >= farthest) return false;
    const { pages } = this;
    if (pages.some((page) => page.host === host && page.delta === delta)) return true;
    return pages.length < mostPages && pages.push({ host, delta }) > 0;
  }

  /** Reverse postorder: branches within the region lead forward, but for loops and second calls. */
  private inOrder(chosen: readonly BlockSteps[]): BlockSteps[] {
    const places = new Map(chosen.map(({ block }, i) => [block.record, i]));
    const isSeen = new Uint8Array(chosen.length);
    const order: BlockSteps[] = [];
    // Each block is pushed once to be entered and once, as its complement, to be left.
    const stack = [0];
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      if (next < 0) {
        order.push(chosen[~next]);
        continue;
      }
      if (isSeen[next] !== 0) continue;
      isSeen[next] = 1;
      stack.push(~next);
      const { block, steps } = chosen[next];
      const last = steps[steps.length - 1];
      const { taken, other } = linksOf(last);
      const after = this.isCall(last)
        ? this.code.find(block.page + last.fields.next, block.mode)?.record
        : this.targetOf(other);
      // What is entered first comes last: a callee lies between its call and what follows it.
      for (const target of [this.targetOf(taken), after]) {
        const place = target === undefined ? undefined : places.get(target);
        if (place !== undefined) stack.push(place);
      }
    }
    return order.reverse();
  }

  private propose(start: number, pageDelta: number, weight: number): void {
    if (weight < this.least) return;
    const known = this.seen.get(start);
    if (known !== undefined) {
      known.weight = Math.max(known.weight, weight);
      return;
    }
    const candidate = { record: start, pageDelta, weight };
    this.seen.set(start, candidate);
    this.candidates.push(candidate);
  }

  private proposeSuccessors({ block, steps, pageDelta }: BlockSteps, weight: number): void {
    const { code } = this;
    const last = steps[steps.length - 1];
    const { taken, other } = linksOf(last);
    if (this.isCall(last)) {
      this.proposeLink(taken, pageDelta, weight);
      // Where the call will return to, if that has been executed already.
      const { next } = last.fields;
      const after = next < 4096 ? code.find(block.page + next, block.mode) : undefined;
      if (after !== undefined) this.propose(after.record, pageDelta, weight);
      return;
    }
    this.proposeLink(taken, pageDelta, Math.min(weight, this.executionsBehind(taken)));
    this.proposeLink(other, pageDelta, Math.min(weight, this.executionsBehind(other)));
  }

  private isCall({ shape }: Step): boolean {
    return shape?.mnemonic === 'CALL' && shape.operands[0].kind === 'relative';
  }

  /** Start of the block behind a link, which may be an edge to another page; 0 if there is none. */
  private targetOf(link: number): number {
    if (link === 0 || this.view.getUint16(link + record.handler, true) !== Row.page) return link;
    return this.view.getInt32(link + record.target, true);
  }

  private proposeLink(link: number, pageDelta: number, weight: number): void {
    if (link === 0) return;
    const start = this.targetOf(link);
    const delta = start === link ? 0 : this.view.getInt32(link + record.displacement, true);
    this.propose(start, pageDelta + delta, weight);
  }

  private executionsBehind(link: number): number {
    const start = this.targetOf(link);
    return start === 0 ? 0 : this.code.executions(start);
  }

  /** A block as its records are now. */
  read(block: Block, pageDelta: number): BlockSteps {
    return { block, steps: this.steps(block), pageDelta };
  }

  private steps(block: Block): Step[] {
    const { view, handlers } = this;
    const steps: Step[] = [];
    const records = block.leadsOn ? block.count + 1 : block.count;
    for (let i = 0; i < records; i++) {
      const at = block.record + recordSize * (i + 1);
      const row = view.getUint16(at + record.handler, true);
      const position = view.getUint16(at + record.position, true);
      const shape = handlers.shapeOf(row);
      const use = handlers.registerUse(row);
      const fields = {
        a: view.getUint8(at + record.a),
        b: view.getUint8(at + record.b),
        base: view.getUint8(at + record.base),
        index: view.getUint8(at + record.index),
        last: view.getUint8(at + record.last),
        displacement: view.getInt32(at + record.displacement, true),
        immediate: view.getInt32(at + record.immediate, true),
        start: position & 0xfff,
        next: (position & 0xfff) + (position >> 12),
      };
      steps.push({
        record: at,
        shape,
        isEnd: row === Row.end,
        registers: shape && use && registersOf(shape, fields, use),
        definition: handlers.regionDefinition(row),
        library: handlers.libraryOf(row),
        fields,
      });
    }
    return steps;
  }
}
