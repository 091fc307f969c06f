import {
  type CodeWriter,
  type Compiler,
  type Label,
  Op,
  type Value,
  ValueType,
  type Variable,
} from '@nest86/wasm';
import { dropReturn, pushReturnOf } from '../interpreter/core-handlers.ts';
import type { CallLibrary } from '../library/function.ts';
import { ExitReason, Row, record, recordSize } from '../records/layout.ts';
import { floatConstants } from '../semantics/floating/fast.ts';
import { isLoud } from '../semantics/operation.ts';
import { stateOffset } from '../state/layout.ts';
import { AccessFacts, type KnownAccesses } from './access-facts.ts';
import { isSameKind, type KnownFlags, LazyFlags } from './lazy-flags.ts';
import { longestWays } from './region-budget.ts';
import { entryField, type RegionEntry } from './region-entry.ts';
import { RegionExits } from './region-exits.ts';
import { type LowByte, type RecordFields, type RegionCells, RegionOperation } from './region-operation.ts';
import { type PageList, RegionPages } from './region-pages.ts';
import { type KnownRegisters, RegionRegisters, registersOfBlocks } from './region-registers.ts';
import {
  contains,
  headOf,
  type RegionLoop,
  type RegionPart,
  type RegionShape,
  shapeRegion,
} from './region-shape.ts';
import { type BlockSteps, linksOf, type Step } from './region-steps.ts';
import { returnSites } from './return-sites.ts';

/** What is known at a place of the code. */
interface Known {
  readonly flags: KnownFlags;
  readonly accesses: KnownAccesses;
  readonly origins: readonly number[];
  readonly registers: KnownRegisters;
  /** Pages that were found to be where they were, as bits. */
  readonly pages: number;
}

interface PresentStep {
  readonly record: number;
  readonly fields: RecordFields;
  /** Of its block. */
  readonly index: number;
  readonly mnemonic: string;
}

/** Nothing is known about places in memory. */
const nowhere: Pick<Known, 'accesses' | 'origins'> = { accesses: [], origins: [] };

/** The part of a region's code that is being written: the function, or a loop. */
interface Scope {
  readonly parts: readonly RegionPart[];
  readonly loop: RegionLoop | undefined;
  /** Start of the loop. */
  readonly head: Label;
  /** Behind each of these labels a part's code starts; parts that have started have none. */
  readonly labels: Map<RegionPart, Label>;
}

/** Writes one region's function: blocks and loops in the order of `shapeRegion`, and one epilogue for every way out (engine-decision B). */
export class RegionWriter {
  private readonly x: Compiler;
  private readonly state: Variable;
  private readonly budget: Variable;
  private readonly entry: Variable;
  private readonly exitRecord: Variable;
  private readonly bank: Variable;
  private readonly pages: RegionPages;
  private readonly exits: RegionExits;
  private readonly registers: RegionRegisters;
  private readonly lowByte: LowByte;
  private readonly loud: Variable | undefined;
  private readonly constants: ReadonlyMap<readonly number[], Variable>;
  private readonly flags: LazyFlags;
  private readonly accesses: AccessFacts;
  private readonly returnSites: readonly (readonly number[])[];
  /** Records and where in the body their code begins, in pairs, for who wants to see that. */
  marks: number[] | undefined;
  /** Successors by block. */
  private readonly edges: readonly (readonly number[])[];
  private readonly shape: RegionShape;
  /** Instructions that the budget must cover at each block; it is looked at where loops begin, and at the region's entry. */
  private readonly needs: readonly number[];
  private readonly heads: ReadonlySet<number>;
  private readonly scopes: Scope[] = [];
  /** Of the block that is being written: see `Known.pages`. */
  private knownPages = 0;
  /** By block: the tight loop that it is part of. */
  private readonly tightLoops: readonly (RegionLoop | undefined)[];
  /** By block: registers stay where they were at the end of the only block before it. */
  private readonly inherits: readonly boolean[];
  /** What is known at the end of each block that was written. */
  private readonly behind: (Known | undefined)[];
  /** By block: those that lead to it. */
  private readonly comers: readonly (readonly number[])[];
  /** By record of its start: a block's number. */
  private readonly numbers: ReadonlyMap<number, number>;
  /** The instruction that is being written. */
  private present!: PresentStep;
  private readonly cells: RegionCells;

  constructor(
    private readonly code: CodeWriter,
    x: Compiler,
    private readonly blocks: readonly BlockSteps[],
    private readonly view: DataView,
    private readonly library: CallLibrary,
    private readonly pageList: PageList,
    pageCells: number,
    /** Blocks that others outside the region lead to. */
    private readonly linked: ReadonlySet<number>,
  ) {
    this.x = x;
    x.begin();
    this.state = x.variable(ValueType.i32, 0);
    this.exitRecord = x.variable(ValueType.i32, 1);
    this.budget = x.variable(ValueType.i32, 2);
    this.entry = x.variable(ValueType.i32);
    this.bank = x.variable(ValueType.i32);
    this.pages = new RegionPages(x, blocks, pageList, pageCells, library);
    const { used } = registersOfBlocks(blocks);
    this.registers = new RegionRegisters(x, this.state, used);
    this.lowByte = { variable: x.variable(ValueType.i32), register: -1 };
    const hasVectors = used.vectors !== 0;
    this.loud = hasVectors ? x.variable(ValueType.i32) : undefined;
    const constants = hasVectors ? floatConstants : [];
    this.constants = new Map(constants.map((words) => [words, x.variable(ValueType.v128)]));
    this.flags = new LazyFlags(x, this.state, library);
    this.accesses = new AccessFacts(x);
    const { state, budget, bank, registers, flags, pages } = this;
    this.exits = new RegionExits(code, x, this.exitRecord, { state, budget, bank, registers, flags, pages });
    this.returnSites = returnSites(blocks, view);
    this.numbers = new Map(blocks.map(({ block }, index) => [block.record, index]));
    this.edges = blocks.map((_, index) => this.successors(index));
    this.comers = comersOf(this.edges);
    this.shape = shapeRegion(this.edges, this.wantedBlocks(), this.soughtBlocks());
    this.heads = headsOf(this.shape.parts);
    const counts = blocks.map(({ block }) => block.count);
    this.needs = longestWays(counts, this.edges, this.heads);
    this.behind = blocks.map(() => undefined);
    this.tightLoops = tightLoops(this.shape.parts, blocks.length);
    this.inherits = blocks.map(
      (_, i) => this.comers[i].length === 1 && !this.shape.isSentTo[i] && this.tightLoops[i] === undefined,
    );
    this.cells = this.shared();
  }

  /** One object for all instructions: what depends on the instruction goes by the present one (measured: 4 % of building). */
  private shared(): RegionCells {
    const { state, bank, budget, registers, lowByte, loud, constants, flags, accesses, exits } = this;
    const { numbers } = this.pageList;
    return {
      ...{ state, bank, budget, registers, lowByte, loud, constants, flags, accesses },
      instructionBase: () => this.pages.baseOf(numbers[this.present.index]),
      leave: () => this.leaveTo(this.present.record, this.present.index, true),
      goTo: (isTaken) => {
        const { record: at, fields, index } = this.present;
        const field = isTaken ? 'immediate' : 'displacement';
        this.goTo(fields[field], index, () => exits.byLink(at, record[field], numbers[index]));
      },
      isLikely: () => this.isLikely(this.present.fields, this.present.index),
      endBlock: () => this.endBlock(this.present.index),
      noteReturn: () => this.noteReturn(this.present.fields, this.present.index),
      goToAddress: (offset) => this.goToAddress(offset, this.present.index, this.present.mnemonic === 'RET'),
    };
  }

  /** Where the region may be entered. */
  get entries(): readonly RegionEntry[] {
    const { numbers } = this.pageList;
    return this.shape.entries.map((block) => ({ block, page: numbers[block], need: this.needs[block] }));
  }

  write(): void {
    const { x, code } = this;
    this.prologue();
    this.exits.begin();
    this.checkEntryBudget();
    const scope = { parts: this.shape.parts, loop: undefined, head: 0, labels: new Map() };
    this.parts(scope, (labels) => {
      x.push(x.read(this.entry));
      x.recycle();
      code.brTable(labels, labels[0]);
    });
    this.exits.end(this.blocks[0].block.record);
  }

  /** @param dispatch goes to the parts that are entered from outside, by the number of the block; none: the first comes first */
  private parts(scope: Scope, dispatch: ((labels: readonly Label[]) => void) | undefined): void {
    const { code } = this;
    const { parts, labels } = scope;
    this.scopes.push(scope);
    // The last is opened first: from within a part's code, the labels of all later ones can be branched to.
    const labelled = dispatch === undefined ? parts.slice(1) : parts;
    for (let i = labelled.length - 1; i >= 0; i--) labels.set(labelled[i], code.block());
    dispatch?.(this.blocks.map((_, block) => this.labelOf(scope, block) ?? labels.get(parts[0])!));
    for (const part of parts) {
      if (labels.delete(part)) code.end();
      if (typeof part === 'number') this.block(part);
      else this.loop(part);
      code.op(Op.unreachable);
    }
    this.scopes.pop();
  }

  private labelOf({ parts, labels }: Scope, block: number): Label | undefined {
    const part = parts.find((one) => contains(one, block));
    return part === undefined ? undefined : labels.get(part);
  }

  private loop(loop: RegionLoop): void {
    const { x, code } = this;
    if (this.tightLoops[loop.head] === loop) {
      // All that the loop uses stays in locals; what it writes counts as written from its start.
      const { used, written } = this.registersOf(loop);
      this.registers.start();
      this.registers.take(used, written);
      x.recycle();
    }
    const head = code.loop();
    const dispatch = (labels: readonly Label[]): void => {
      x.if(
        x.read(this.entry),
        () => {
          x.push(x.read(this.entry));
          code.brTable(labels, labels[loop.head]);
        },
        undefined,
        false,
      );
      x.recycle();
      code.br(labels[loop.head]);
    };
    const scope = { parts: loop.parts, loop, head, labels: new Map() };
    this.parts(scope, loop.entries.length > 0 ? dispatch : undefined);
    code.end();
  }

  private prologue(): void {
    const { x } = this;
    const state = x.read(this.state);
    x.write(this.entry, x.load(Op.i32Load, x.read(this.exitRecord), record.displacement));
    x.write(this.bank, x.load(Op.i32Load, state, stateOffset.tlbBank));
    this.pages.enter(state, x.read(this.bank), this.entryPart(entryField.page));
    this.flags.load(state);
    if (this.loud !== undefined) x.write(this.loud, isLoud(x, state));
    if (this.constants.size > 0) {
      // 0, but the compiler does not see it, and keeps what is made with it in registers or on the stack.
      const none = x.shrU(x.extendU(state), x.i64(32));
      for (const words of floatConstants) {
        const [low, high] = words;
        const double = x.compute(Op.i64x2Splat, x.or(none, x.i64(low, high)));
        x.write(this.constants.get(words)!, double);
      }
    }
    x.recycle();
  }

  private entryPart({ shift, mask }: { shift: number; mask: number }): Value {
    const { x } = this;
    return x.and(x.shrU(x.read(this.entry), x.i32(shift)), x.i32(mask));
  }

  /** If the budget does not cover the longest way, the interpreter executes the block. */
  private checkEntryBudget(): void {
    const { x } = this;
    const rec = x.copy(x.read(this.exitRecord));
    const budget = x.read(this.budget);
    x.if(
      x.compute(Op.i32LtS, budget, this.entryPart(entryField.need)),
      () => {
        const left = x.copy(x.sub(budget, x.load(Op.i32Load, rec, record.immediate)));
        x.if(x.ltS(left, x.i32(0)), () => this.exits.unbegunForTypeScript(ExitReason.budget, rec));
        x.write(this.budget, left);
        x.write(this.exitRecord, x.add(rec, x.i32(recordSize)));
        for (const [index, { block }] of this.blocks.entries()) {
          if (block.counter > 0)
            x.if(x.eq(this.entryPart(entryField.block), x.i32(index)), () => this.count(block.counter));
        }
        this.exits.unbegun();
      },
      undefined,
      false,
    );
    x.write(this.entry, this.entryPart(entryField.block));
    x.recycle();
  }

  private block(index: number): void {
    const { x } = this;
    const { block, steps } = this.blocks[index];
    const known = this.knownBefore(index);
    this.flags.startBlock(known.flags);
    x.restoreOrigins(known.origins);
    this.accesses.start(known.accesses);
    this.registers.start(this.registersAt(index, known.registers));
    this.knownPages = known.pages ?? 0;
    this.lowByte.register = -1;
    if (this.shape.isSentTo[index]) x.write(this.entry, x.i32(0));
    x.write(this.budget, x.sub(x.read(this.budget), x.i32(block.count)));
    x.recycle();
    if (block.counter > 0) this.count(block.counter);
    for (const step of steps) if (!this.step(step, index)) return;
  }

  private endBlock(index: number): void {
    const flags = this.flags.settle();
    // Once, if that is due whichever way is gone.
    if (!this.edges[index].some((to) => this.keepsRegisters(index, to))) this.registers.settle();
    const { accesses, knownPages: pages, registers, edges, comers, shape } = this;
    // Where ways meet, nothing is asked for of places in memory.
    const isFollowed = edges[index].some((to) => comers[to].length === 1 && !shape.isSentTo[to]);
    const places = isFollowed ? { accesses: accesses.known, origins: this.x.saveOrigins() } : nowhere;
    this.behind[index] = { ...places, flags, pages, registers: registers.known };
  }

  /** Whether registers stay where they are on the way from one block to another. */
  private keepsRegisters(from: number, to: number): boolean {
    const loop = this.tightLoops[to];
    return this.inherits[to] || (loop !== undefined && loop === this.tightLoops[from]);
  }

  private registersAt(index: number, known: KnownRegisters | undefined): KnownRegisters | undefined {
    const loop = this.tightLoops[index];
    if (loop === undefined) return known;
    const { used, written } = this.registersOf(loop);
    const { general: dirtyGeneral, vectors: dirtyVectors } = written;
    return { ...used, dirtyGeneral, dirtyVectors };
  }

  private registersOf({ blocks }: RegionLoop): ReturnType<typeof registersOfBlocks> {
    return registersOfBlocks([...blocks].map((block) => this.blocks[block]));
  }

  /** What is known where a block starts: what all ways to it agree on. */
  private knownBefore(index: number): Partial<Known> {
    if (this.shape.isSentTo[index]) return {};
    const from = this.comers[index];
    const { numbers } = this.pageList;
    const known: Known[] = [];
    for (const other of from) {
      const behind = this.behind[other];
      if (behind === undefined) return {};
      const isOtherPage = numbers[other] !== numbers[index];
      known.push(isOtherPage ? { ...behind, pages: behind.pages | (1 << numbers[index]) } : behind);
    }
    if (known.length <= 1) return known[0] ?? {};
    const pages = known.reduce((all, one) => all & one.pages, -1);
    const [{ flags }] = known;
    return known.every((one) => isSameKind(one.flags, flags)) ? { flags, pages } : { pages };
  }

  /** Leaves if the budget does not cover the longest way from the start of a loop; the interpreter, or its entry, sees to the rest. */
  private checkBudget(head: number): void {
    const { x } = this;
    x.if(
      x.compute(Op.i32LtS, x.read(this.budget), x.i32(this.needs[head])),
      () => this.leaveTo(this.blocks[head].block.record, head),
      undefined,
      false,
    );
  }

  private count(counter: number): void {
    const { x } = this;
    x.store(Op.i64Store, x.i32(counter), x.add(x.load(Op.i64Load, x.i32(counter), 0), x.i64(1)), 0);
    x.recycle();
  }

  /** Answers whether the block goes on. */
  private step({ record: at, shape, fields, registers, definition }: Step, index: number): boolean {
    const { x } = this;
    this.marks?.push(at, this.code.body.length);
    if (shape === undefined) {
      // The block's end; or an instruction that TypeScript executes.
      if (this.view.getUint16(at + record.handler, true) === Row.end) {
        this.endBlock(index);
        this.goTo(fields.immediate, index, () => this.leaveTo(at, index));
      } else this.leaveTo(at, index, true);
      return false;
    }
    if (definition === undefined) {
      this.leaveTo(at, index, true);
      return false;
    }
    this.present = { record: at, fields, index, mnemonic: shape.mnemonic };
    const operation = new RegionOperation(x, shape, fields, this.cells, this.library);
    if (registers?.isConditional) this.registers.take(registers.used, registers.written);
    definition(operation);
    x.recycle();
    return true;
  }

  /** To the record that a branch is linked to: a block of the region, or the interpreter. */
  private goTo(link: number, index: number, unlinked: () => void): void {
    if (link === 0) {
      unlinked();
      return;
    }
    const target = this.targetOf(link, index);
    if (target < 0) this.leaveTo(link, index);
    else this.transfer(index, target, () => this.leaveTo(link, index));
  }

  /** What leaves the region is rare, or else it would be part of it. */
  private isLikely({ immediate, displacement }: RecordFields, index: number): boolean | undefined {
    const staysIfTaken = this.targetOf(immediate, index) >= 0;
    const staysIfNot = this.targetOf(displacement, index) >= 0;
    return staysIfTaken === staysIfNot ? undefined : staysIfTaken;
  }

  /** The block of the region that a link from another one leads to, or -1. */
  private targetOf(link: number, index: number): number {
    const { view } = this;
    if (link === 0) return -1;
    const isEdge = view.getUint16(link + record.handler, true) === Row.page;
    const start = isEdge ? view.getInt32(link + record.target, true) : link;
    const delta = isEdge ? view.getInt32(link + record.displacement, true) : 0;
    const number = this.numbers.get(start);
    const isThere =
      number !== undefined && this.blocks[number].pageDelta === this.blocks[index].pageDelta + delta;
    return isThere ? number : -1;
  }

  /** Blocks of the region that a block may lead to. */
  private successors(index: number): readonly number[] {
    const last = this.endOf(index);
    if (last.shape?.mnemonic === 'RET') return this.returnSites[index];
    const { taken, other } = linksOf(last);
    const links = last.shape?.mnemonic === 'CALL' ? [taken] : [taken, other];
    return links.map((link) => this.targetOf(link, index)).filter((target) => target >= 0);
  }

  /** The last step of a block. */
  private endOf(index: number): Step {
    const { steps } = this.blocks[index];
    return steps[steps.length - 1];
  }

  /** Blocks that follow instructions which the interpreter executes, and those where an entry was missed. */
  private wantedBlocks(): ReadonlySet<number> {
    const wanted = new Set<number>();
    for (const [index, { block, steps }] of this.blocks.entries()) {
      const isLeft = steps.some(({ shape }) => shape !== undefined && shape.repeat !== 0);
      if (isLeft) for (const target of this.edges[index]) wanted.add(target);
      if (block.isMissed) wanted.add(index);
    }
    return wanted;
  }

  /** Blocks that are come to from outside, as far as that is known: each entry costs, since there nothing is known of what came before. */
  private soughtBlocks(): ReadonlySet<number> {
    const sought = new Set<number>();
    const returned = new Set(this.returnSites.flat());
    for (const [index, { block }] of this.blocks.entries()) {
      // If it is compiled, another region holds it too, and is the one that is entered there.
      if (block.isCompiled) continue;
      const isAddressed = block.isAddressed && !returned.has(index);
      if (isAddressed || this.linked.has(index) || this.comers[index].length === 0) sought.add(index);
    }
    return sought;
  }

  /**
   * From one block of the region to another.
   * @param refused where to go if its page is not where it was
   * @param arrive done when it is
   */
  private transfer(from: number, to: number, refused: () => void, arrive?: () => void): void {
    // Much was concluded from the edges.
    if (!this.comers[to].includes(from)) throw new Error(`block ${from} leads to ${to} by no edge`);
    const { numbers } = this.pageList;
    const isKnown = ((this.knownPages >> numbers[to]) & 1) !== 0;
    const barred = isKnown ? undefined : this.pages.isBarred(numbers[from], numbers[to]);
    if (barred !== undefined) this.x.if(barred, refused, undefined, false);
    arrive?.();
    const { registers } = this;
    const { known } = registers;
    if (!this.keepsRegisters(from, to)) registers.settle();
    this.branch(to);
    // There may be another way.
    registers.start(known);
  }

  /** To the start of a block of the region. */
  private branch(to: number): void {
    const { x, code, scopes } = this;
    if (this.heads.has(to)) this.checkBudget(to);
    for (let i = scopes.length - 1; i >= 0; i--) {
      const { loop, head, parts, labels } = scopes[i];
      if (loop?.head === to) {
        code.br(head);
        return;
      }
      const part = parts.find((one) => contains(one, to));
      if (part === undefined) continue;
      const label = labels.get(part);
      if (label === undefined) throw new Error('an edge leads backward');
      if (headOf(part) !== to) x.write(this.entry, x.i32(to));
      code.br(label);
      return;
    }
  }

  /** As `pushReturn`, with what is known here. */
  private noteReturn(fields: RecordFields, index: number): void {
    const { x } = this;
    const linear = x.add(this.pages.linearOf(this.pageList.numbers[index]), x.i64(fields.next));
    const last = x.i64(fields.displacement, this.blocks[index].block.page);
    pushReturnOf(x, x.read(this.state), linear, last);
  }

  /** To an address that is known only now: a return within the region, or what all such branches of the region share. */
  private goToAddress(offset: Value, index: number, isReturn: boolean): void {
    const { x } = this;
    const { numbers } = this.pageList;
    const leave = (): void => this.exits.toAddress(offset, numbers[index], isReturn);
    for (const site of isReturn ? this.returnSites[index] : []) {
      const expected = x.add(this.pages.baseOf(numbers[site]), x.i64(this.blocks[site].block.start));
      x.if(x.eq(offset, expected), () =>
        this.transfer(index, site, leave, () => dropReturn(x, x.read(this.state))),
      );
    }
    leave();
  }

  /** The interpreter goes on at a record. @param block the one that is left, or not begun */
  private leaveTo(target: number, block: number, isCold = false): void {
    this.exits.to(target, this.pageList.numbers[block], isCold);
  }
}

/** Blocks of a loop whose registers stay in locals. */
const mostTight = 8;

/** By block: the loop without loops inside that it is part of, if that is small. */
function tightLoops(parts: readonly RegionPart[], blocks: number): (RegionLoop | undefined)[] {
  const found = new Array<RegionLoop | undefined>(blocks).fill(undefined);
  const visit = (part: RegionPart): void => {
    if (typeof part === 'number') return;
    if (part.parts.some((inner) => typeof inner !== 'number')) part.parts.forEach(visit);
    else if (part.blocks.size <= mostTight) for (const block of part.blocks) found[block] = part;
  };
  parts.forEach(visit);
  return found;
}

/** For each block those that lead to it, in order. */
function comersOf(edges: readonly (readonly number[])[]): number[][] {
  const comers: number[][] = edges.map(() => []);
  for (let from = 0; from < edges.length; from++)
    for (const to of edges[from]) if (comers[to].at(-1) !== from) comers[to].push(from);
  return comers;
}

/** Blocks that loops begin with. */
function headsOf(parts: readonly RegionPart[]): Set<number> {
  const heads = new Set<number>();
  for (const part of parts) {
    if (typeof part === 'number') continue;
    heads.add(part.head);
    for (const head of headsOf(part.parts)) heads.add(head);
  }
  return heads;
}
