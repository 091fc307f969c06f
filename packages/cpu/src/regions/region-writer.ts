import {
  type CodeWriter,
  type Compiler,
  type Label,
  Op,
  type Value,
  ValueType,
  type Variable,
} from '@nest86/wasm';
import {
  codeEntryOf,
  dropReturn,
  hostOfCode,
  jumpEntryOf,
  popReturn,
  pushReturnOf,
} from '../interpreter/core-handlers.ts';
import type { CallLibrary } from '../library/function.ts';
import { codeEntriesOffset, codeEntry, jumpCacheEntry, jumpCacheOffset } from '../memory/fast-tlb.ts';
import { ExitReason, Row, record } from '../records/layout.ts';
import { definitions } from '../semantics/definitions.ts';
import { floatConstants } from '../semantics/floating/fast.ts';
import { isLoud } from '../semantics/operation.ts';
import { privilegeChanges } from '../semantics/system/transitions.ts';
import { stateOffset } from '../state/layout.ts';
import { AccessFacts, type KnownAccesses } from './access-facts.ts';
import { isSameKind, type KnownFlags, LazyFlags } from './lazy-flags.ts';
import { type LowByte, type RecordFields, RegionOperation } from './region-operation.ts';
import { RegionRegisters, usedRegisters, usedVectors } from './region-registers.ts';
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
}

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
  private readonly instructionBase: Variable;
  private readonly registers: RegionRegisters;
  private readonly lowByte: LowByte;
  private readonly loud: Variable | undefined;
  private readonly constants: ReadonlyMap<string, Variable>;
  private readonly flags: LazyFlags;
  private readonly accesses: AccessFacts;
  private readonly returnSites: readonly (readonly number[])[];
  /** Offset in CS that an indirect branch or return goes to. */
  private readonly target: Variable;
  /** Records and where in the body their code begins, in pairs, for who wants to see that. */
  marks: number[] | undefined;
  private epilogue: Label = 0;
  /** Where returns and indirect branches go on that leave the region. */
  private returns: Label = 0;
  private jumps: Label = 0;
  /** Successors by block. */
  private readonly edges: readonly (readonly number[])[];
  private readonly shape: RegionShape;
  private readonly scopes: Scope[] = [];
  /** What is known at the end of each block that was written. */
  private readonly behind: (Known | undefined)[];

  constructor(
    private readonly code: CodeWriter,
    x: Compiler,
    private readonly blocks: readonly BlockSteps[],
    private readonly view: DataView,
    private readonly library: CallLibrary,
  ) {
    this.x = x;
    x.begin();
    this.state = x.variable(ValueType.i32, 0);
    this.exitRecord = x.variable(ValueType.i32, 1);
    this.budget = x.variable(ValueType.i32, 2);
    this.entry = x.variable(ValueType.i32);
    this.bank = x.variable(ValueType.i32);
    this.instructionBase = x.variable(ValueType.i64);
    this.target = x.variable(ValueType.i64);
    this.registers = new RegionRegisters(x, usedRegisters(blocks), usedVectors(blocks));
    this.lowByte = { variable: x.variable(ValueType.i32), register: -1 };
    const { hasVectors } = this.registers;
    this.loud = hasVectors ? x.variable(ValueType.i32) : undefined;
    const constants = hasVectors ? floatConstants : [];
    this.constants = new Map(constants.map((words) => [words.join(), x.variable(ValueType.v128)]));
    this.flags = new LazyFlags(x, this.state, library);
    this.accesses = new AccessFacts(x);
    this.returnSites = returnSites(blocks, view);
    this.edges = blocks.map((_, index) => this.successors(index));
    this.shape = shapeRegion(this.edges, this.soughtBlocks());
    this.behind = blocks.map(() => undefined);
  }

  /** Blocks at which the region may be entered. */
  get entries(): readonly number[] {
    return this.shape.entries;
  }

  write(): void {
    const { x, code } = this;
    this.prologue();
    this.epilogue = code.block();
    this.returns = code.block();
    this.jumps = code.block();
    this.checkEntryBudget();
    const scope = { parts: this.shape.parts, loop: undefined, head: this.epilogue, labels: new Map() };
    this.parts(scope, (labels) => {
      x.push(x.read(this.entry));
      x.recycle();
      code.brTable(labels, labels[0]);
    });
    code.end();
    this.flags.startBlock(undefined);
    this.addressedBranch(false);
    code.op(Op.unreachable);
    code.end();
    this.addressedBranch(true);
    code.op(Op.unreachable);
    code.end();
    this.leaveFunction();
  }

  /** @param dispatch goes to the parts that are entered from outside, by the number of the block; none: the first comes first */
  private parts(scope: Scope, dispatch: ((labels: readonly Label[]) => void) | undefined): void {
    const { code } = this;
    const { parts, labels } = scope;
    this.scopes.push(scope);
    // The last is opened first: from within a part's code, the labels of all later ones can be branched to.
    const labelled = dispatch === undefined ? parts.slice(1) : parts;
    for (const part of [...labelled].reverse()) labels.set(part, code.block());
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
    x.write(this.instructionBase, x.load(Op.i64Load, state, stateOffset.instructionBase));
    this.registers.load(state);
    this.flags.load(state);
    if (this.loud !== undefined) x.write(this.loud, isLoud(x, state));
    if (this.constants.size > 0) {
      // 0, but the compiler does not see it, and keeps what is made with it in registers or on the stack.
      const none = x.shrU(x.extendU(state), x.i64(32));
      for (const words of floatConstants) {
        const [low, high] = words;
        const double = x.compute(Op.i64x2Splat, x.or(none, x.i64(low, high)));
        x.write(this.constants.get(words.join())!, double);
      }
    }
    x.recycle();
  }

  /** Where the gate enters, too, the budget must cover the block. */
  private checkEntryBudget(): void {
    const { x } = this;
    const rec = x.read(this.exitRecord);
    const count = x.load(Op.i32Load, rec, record.immediate);
    x.if(
      x.compute(Op.i32LtS, x.read(this.budget), count),
      () => {
        const state = x.read(this.state);
        x.store(Op.i32Store, state, x.i32(ExitReason.budget), stateOffset.exitReason);
        x.store(Op.i32Store, state, rec, stateOffset.exitRecord);
        this.leaveTo(0);
      },
      undefined,
      false,
    );
    x.recycle();
  }

  private block(index: number): void {
    const { x } = this;
    const { block, steps } = this.blocks[index];
    const known = this.knownBefore(index);
    this.flags.startBlock(known.flags);
    x.restoreOrigins(known.origins);
    this.accesses.start(known.accesses);
    this.lowByte.register = -1;
    if (this.shape.isSentTo[index]) x.write(this.entry, x.i32(0));
    x.write(this.budget, x.sub(x.read(this.budget), x.i32(block.count)));
    x.recycle();
    if (block.counter > 0) this.count(block.counter);
    for (const step of steps) if (!this.step(step, index)) return;
  }

  private endBlock(index: number): void {
    const flags = this.flags.settle();
    this.behind[index] = { flags, accesses: this.accesses.known, origins: this.x.saveOrigins() };
  }

  /** What is known where a block starts: what all ways to it agree on. */
  private knownBefore(index: number): Partial<Known> {
    if (this.shape.isSentTo[index]) return {};
    const from = this.blocks.map((_, other) => other).filter((other) => this.edges[other].includes(index));
    const known = from.map((other) => this.behind[other]);
    const [first] = known;
    if (first === undefined) return {};
    // A way to another page changes what is known of addresses of code.
    const isOneWay = known.length === 1 && this.blocks[from[0]].pageDelta === this.blocks[index].pageDelta;
    if (isOneWay) return first;
    const agree = known.every((one) => one !== undefined && isSameKind(one.flags, first.flags));
    return agree ? { flags: first.flags } : {};
  }

  /** Leaves if the budget does not cover a block; the page is that block's already. */
  private checkBudget({ block }: BlockSteps): void {
    const { x } = this;
    x.if(
      x.compute(Op.i32LtS, x.read(this.budget), x.i32(block.count)),
      () => this.leaveForTypeScript(ExitReason.budget, block.record),
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
  private step({ record: at, shape, fields }: Step, index: number): boolean {
    const { x } = this;
    this.marks?.push(at, this.code.body.length);
    const leave = (): void => this.leaveTo(at, true);
    if (shape === undefined) {
      // The block's end; or an instruction that TypeScript executes.
      if (this.view.getUint16(at + record.handler, true) === Row.end) {
        this.endBlock(index);
        this.goTo(fields.immediate, index, () => this.leaveTo(at));
      } else leave();
      return false;
    }
    if (shape.repeat !== 0 || privilegeChanges.has(shape.mnemonic)) {
      leave();
      return false;
    }
    const operation = new RegionOperation(
      x,
      shape,
      fields,
      {
        state: this.state,
        bank: this.bank,
        budget: this.budget,
        instructionBase: this.instructionBase,
        registers: this.registers,
        lowByte: this.lowByte,
        loud: this.loud,
        constants: this.constants,
        flags: this.flags,
        accesses: this.accesses,
        leave,
        goTo: (isTaken) => {
          const field = isTaken ? 'immediate' : 'displacement';
          this.goTo(fields[field], index, () => this.followLink(at, record[field]));
        },
        endBlock: () => this.endBlock(index),
        noteReturn: () => this.noteReturn(fields, index),
        goToAddress: (offset) => this.goToAddress(offset, index, shape.mnemonic === 'RET'),
      },
      this.library,
    );
    definitions[shape.mnemonic](operation);
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
    if (target < 0) this.leaveTo(link);
    else this.transfer(index, target, () => this.leaveTo(link));
  }

  /** The block of the region that a link from another one leads to, or -1. */
  private targetOf(link: number, index: number): number {
    const { view } = this;
    if (link === 0) return -1;
    const isEdge = view.getUint16(link + record.handler, true) === Row.page;
    const start = isEdge ? view.getInt32(link + record.target, true) : link;
    const delta = isEdge ? view.getInt32(link + record.displacement, true) : 0;
    const pageDelta = this.blocks[index].pageDelta + delta;
    return this.blocks.findIndex(
      (candidate) => candidate.block.record === start && candidate.pageDelta === pageDelta,
    );
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

  /** Blocks that are come to from outside: called functions, what follows calls, and what follows instructions that are executed elsewhere. */
  private soughtBlocks(): ReadonlySet<number> {
    const sought = new Set(this.returnSites.flat());
    for (const [index, { steps }] of this.blocks.entries()) {
      const isLeft = steps.some(({ shape }) => shape !== undefined && shape.repeat !== 0);
      if (isLeft || this.endOf(index).shape?.mnemonic === 'CALL')
        for (const target of this.edges[index]) sought.add(target);
    }
    return sought;
  }

  /** A branch that was not linked when the region was compiled; what it did besides branching is done. */
  private followLink(rec: number, field: number): void {
    const { x } = this;
    const target = x.load(Op.i32Load, x.i32(rec), field);
    x.if(target, () => {
      x.write(this.exitRecord, target);
      this.leave();
    });
    x.store(Op.i64Store, x.read(this.state), x.i64(field), stateOffset.exitAddress);
    this.leaveForTypeScript(ExitReason.link, rec);
  }

  /**
   * From one block of the region to another.
   * @param refused where to go if its page is not where it was
   * @param arrive done when it is
   */
  private transfer(from: number, to: number, refused: () => void, arrive?: () => void): void {
    const { x, blocks } = this;
    const delta = blocks[to].pageDelta - blocks[from].pageDelta;
    if (delta === 0) {
      arrive?.();
      this.branch(to);
      return;
    }
    const state = x.copy(x.read(this.state));
    const base = x.copy(x.add(x.read(this.instructionBase), x.i64(delta)));
    const page = this.pageOf(base);
    const entry = codeEntryOf(x, x.read(this.bank), page);
    const host = blocks[to].block.page;
    x.if(x.eq(x.load(Op.i64Load, entry, codeEntriesOffset + codeEntry.tag), page), () => {
      x.if(x.eq(x.load(Op.i32Load, entry, codeEntriesOffset + codeEntry.host), x.i32(host)), () => {
        x.store(Op.i32Store, state, x.i32(host), stateOffset.codeHost);
        x.write(this.instructionBase, base);
        arrive?.();
        this.branch(to);
      });
    });
    refused();
  }

  /** To the start of a block of the region. */
  private branch(to: number): void {
    const { x, code, scopes } = this;
    this.checkBudget(this.blocks[to]);
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

  /** Linear address of the page that an instruction base belongs to; the epilogue brings the state's cell up to date. */
  private pageOf(base: Value): Value {
    const { x } = this;
    if (this.is64) return base;
    const { codeBase } = this.blocks[0].block.mode;
    return x.copy(x.and(x.add(base, x.i64(codeBase, 0)), x.i64(-1, 0)));
  }

  /** As `pushReturn`, with what is known here. */
  private noteReturn(fields: RecordFields, index: number): void {
    const { x } = this;
    const linear = x.add(this.pageOf(x.read(this.instructionBase)), x.i64(fields.next));
    const last = x.i64(fields.displacement, this.blocks[index].block.page);
    pushReturnOf(x, x.read(this.state), linear, last);
  }

  /** To an address that is known only now: a return within the region, or what all such branches of the region share. */
  private goToAddress(offset: Value, index: number, isReturn: boolean): void {
    const { x, code } = this;
    x.write(this.target, offset);
    const leave = (label: Label): void => {
      this.flags.leave(false);
      code.br(label);
    };
    if (!isReturn) {
      leave(this.jumps);
      return;
    }
    for (const site of this.returnSites[index]) {
      const distance =
        this.blocks[site].pageDelta - this.blocks[index].pageDelta + this.blocks[site].block.start;
      const expected = x.add(x.read(this.instructionBase), x.i64(distance));
      x.if(x.eq(offset, expected), () =>
        this.transfer(
          index,
          site,
          () => leave(this.returns),
          () => dropReturn(x, x.read(this.state)),
        ),
      );
    }
    leave(this.returns);
  }

  /** Behind the blocks: what the ring of returns or the jump cache knows about `target`, or TypeScript. */
  private addressedBranch(isReturn: boolean): void {
    const { x } = this;
    const state = x.copy(x.read(this.state));
    const offset = x.copy(x.read(this.target));
    const linear = this.is64 ? offset : this.pageOf(offset);
    const page = x.copy(x.and(linear, x.i64(-4096)));
    const host = x.copy(hostOfCode(x, state, linear, page, this.pageOf(x.read(this.instructionBase))));
    const leaveTo = (target: Value): void => {
      // Base of CS is what is left of a linear address without its offset.
      const base = x.sub(page, x.sub(linear, offset));
      x.store(Op.i32Store, state, host, stateOffset.codeHost);
      x.write(this.instructionBase, this.is64 ? page : x.and(base, x.i64(-1, 0)));
      x.write(this.exitRecord, target);
      this.leave();
    };
    if (isReturn) {
      const expected = x.copy(popReturn(x, state, linear, host));
      x.if(expected, () => leaveTo(expected), undefined, true);
    }
    const entry = jumpEntryOf(x, x.read(this.bank), linear);
    const isKnown = x.and(
      x.eq(x.load(Op.i64Load, entry, jumpCacheOffset + jumpCacheEntry.tag), linear),
      x.eq(x.load(Op.i32Load, entry, jumpCacheOffset + jumpCacheEntry.host), host),
    );
    x.if(
      isKnown,
      () => leaveTo(x.load(Op.i32Load, entry, jumpCacheOffset + jumpCacheEntry.record)),
      undefined,
      true,
    );
    x.store(Op.i64Store, state, linear, stateOffset.exitAddress);
    this.leaveForTypeScript(ExitReason.jump, this.blocks[0].block.record);
  }

  private get is64(): boolean {
    return this.blocks[0].block.mode.bits === 64;
  }

  /** The interpreter goes on at a record. */
  private leaveTo(target: number, isCold = false): void {
    this.x.write(this.exitRecord, this.x.i32(target));
    this.leave(isCold);
  }

  /** The record to go on with is known. @param isCold see `LazyFlags.leave` */
  private leave(isCold = false): void {
    this.flags.leave(isCold);
    this.code.br(this.epilogue);
  }

  /** TypeScript goes on, with what the state's cells say. */
  private leaveForTypeScript(reason: number, rec: number): void {
    const { x } = this;
    const state = x.read(this.state);
    x.store(Op.i32Store, state, x.i32(reason), stateOffset.exitReason);
    x.store(Op.i32Store, state, x.i32(rec), stateOffset.exitRecord);
    this.leaveTo(0, true);
  }

  private leaveFunction(): void {
    const { x, code } = this;
    const state = x.read(this.state);
    this.registers.store(state);
    this.flags.store(state);
    x.store(Op.i64Store, state, x.read(this.instructionBase), stateOffset.instructionBase);
    x.store(Op.i64Store, state, this.pageOf(x.read(this.instructionBase)), stateOffset.pageBase);
    x.store(Op.i32Store, state, x.read(this.budget), stateOffset.budget);
    x.push(x.read(this.exitRecord));
    code.op(Op.return);
  }
}
