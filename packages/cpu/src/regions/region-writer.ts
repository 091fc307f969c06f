import {
  type CodeWriter,
  type Compiler,
  type Label,
  Op,
  type Value,
  ValueType,
  type Variable,
} from '@nest86/wasm';
import { codeEntryOf, hostOfCode, jumpEntryOf, popReturn, pushReturn } from '../interpreter/core-handlers.ts';
import type { CallLibrary } from '../library/function.ts';
import { codeEntriesOffset, codeEntry, jumpCacheEntry, jumpCacheOffset } from '../memory/fast-tlb.ts';
import { ExitReason, Row, record } from '../records/layout.ts';
import { definitions } from '../semantics/definitions.ts';
import { stateOffset } from '../state/layout.ts';
import { LazyFlags } from './lazy-flags.ts';
import { RegionOperation } from './region-operation.ts';
import type { BlockSteps, Step } from './region-steps.ts';

/** Writes one region's function: a loop around a `br_table` to the blocks, and one epilogue for every way out (engine-decision B). */
export class RegionWriter {
  private readonly x: Compiler;
  private readonly state: Variable;
  private readonly budget: Variable;
  private readonly entry: Variable;
  private readonly exitRecord: Variable;
  private readonly bank: Variable;
  private readonly instructionBase: Variable;
  private readonly registers: (Variable | undefined)[];
  private readonly vectors: (Variable | undefined)[];
  private readonly flags: LazyFlags;
  private epilogue: Label = 0;
  /** Behind each of these labels a block's code starts. */
  private starts: readonly Label[] = [];
  /** Start of the present block. */
  private own: Label = 0;
  private top: Label = 0;

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
    const used = usedRegisters(blocks);
    this.registers = used.map((isUsed) => (isUsed ? x.variable(ValueType.i64) : undefined));
    this.vectors = usedVectors(blocks).map((isUsed) => (isUsed ? x.variable(ValueType.v128) : undefined));
    this.flags = new LazyFlags(x, this.state, library);
  }

  write(): void {
    const { x, code } = this;
    this.prologue();
    this.epilogue = code.block();
    this.top = code.loop();
    // The last is opened first: from within a block's code, the labels of all later ones can be branched to.
    const labels = this.blocks.map(() => code.block()).reverse();
    this.starts = labels;
    x.push(x.read(this.entry));
    x.recycle();
    code.brTable(labels, labels[0]);
    for (const [i, block] of this.blocks.entries()) {
      code.end();
      this.own = code.loop();
      this.block(block, i);
      code.op(Op.unreachable);
      code.end();
    }
    code.op(Op.unreachable);
    code.end();
    code.end();
    this.leaveFunction();
  }

  private prologue(): void {
    const { x } = this;
    const state = x.read(this.state);
    x.write(this.entry, x.load(Op.i32Load, x.read(this.exitRecord), record.displacement));
    x.write(this.bank, x.load(Op.i32Load, state, stateOffset.tlbBank));
    x.write(this.instructionBase, x.load(Op.i64Load, state, stateOffset.instructionBase));
    for (const [number, variable] of this.registers.entries()) {
      if (variable !== undefined) x.write(variable, x.load(Op.i64Load, state, stateOffset.gpr + 8 * number));
    }
    for (const [row, variable] of this.vectors.entries()) {
      if (variable !== undefined) x.write(variable, x.load(Op.v128Load, state, vectorOffset(row)));
    }
    this.flags.load(state);
    x.recycle();
  }

  private block({ block, steps }: BlockSteps, index: number): void {
    const { x } = this;
    this.flags.startBlock();
    const count = x.i32(block.count);
    x.if(
      x.compute(Op.i32LtS, x.read(this.budget), count),
      () => this.leaveForTypeScript(ExitReason.budget, block.record),
      undefined,
      false,
    );
    x.write(this.budget, x.sub(x.read(this.budget), count));
    x.recycle();
    for (const step of steps) if (!this.step(step, index)) return;
  }

  /** Answers whether the block goes on. */
  private step({ record: at, shape, fields }: Step, index: number): boolean {
    const { x } = this;
    const leave = (): void => this.leaveTo(at);
    if (shape === undefined) {
      // The block's end; or an instruction that TypeScript executes.
      if (this.view.getUint16(at + record.handler, true) === Row.end)
        this.goTo(fields.immediate, index, leave);
      else leave();
      return false;
    }
    if (shape.repeat !== 0) {
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
        instructionBase: this.instructionBase,
        registers: this.registers,
        vectors: this.vectors,
        flags: this.flags,
        leave,
        goTo: (isTaken) => {
          const field = isTaken ? 'immediate' : 'displacement';
          this.goTo(fields[field], index, () => this.followLink(at, record[field]));
        },
        noteReturn: () => {
          const state = x.copy(x.read(this.state));
          const linear = x.add(x.load(Op.i64Load, state, stateOffset.pageBase), x.i64(fields.next));
          pushReturn(x, state, linear, x.i32(fields.displacement));
        },
        goToAddress: (offset, linear) => this.goToAddress(offset, linear, index, shape.mnemonic === 'RET'),
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
    const { view } = this;
    const isEdge = view.getUint16(link + record.handler, true) === Row.page;
    const start = isEdge ? view.getInt32(link + record.target, true) : link;
    const delta = isEdge ? view.getInt32(link + record.displacement, true) : 0;
    const pageDelta = this.blocks[index].pageDelta + delta;
    const target = this.blocks.findIndex(
      (candidate) => candidate.block.record === start && candidate.pageDelta === pageDelta,
    );
    if (target < 0) this.leaveTo(link);
    else this.transfer(index, target, () => this.leaveTo(link));
  }

  /** A branch that was not linked when the region was compiled; what it did besides branching is done. */
  private followLink(rec: number, field: number): void {
    const { x } = this;
    const target = x.load(Op.i32Load, x.i32(rec), field);
    x.if(target, () => {
      x.write(this.exitRecord, target);
      this.code.br(this.epilogue);
    });
    x.store(Op.i64Store, x.read(this.state), x.i64(field), stateOffset.exitAddress);
    this.leaveForTypeScript(ExitReason.link, rec);
  }

  /** From one block of the region to another. @param refused where to go if its page is not where it was */
  private transfer(from: number, to: number, refused: () => void): void {
    const { x, code, blocks } = this;
    const delta = blocks[to].pageDelta - blocks[from].pageDelta;
    if (delta !== 0) {
      const state = x.copy(x.read(this.state));
      const page = x.copy(x.add(x.load(Op.i64Load, state, stateOffset.pageBase), x.i64(delta)));
      const entry = codeEntryOf(x, state, page);
      const isThere = x.and(
        x.eq(x.load(Op.i64Load, entry, codeEntriesOffset + codeEntry.tag), page),
        x.eq(x.load(Op.i32Load, entry, codeEntriesOffset + codeEntry.host), x.i32(blocks[to].block.page)),
      );
      x.if(x.eqz(isThere), refused, undefined, false);
      x.store(Op.i64Store, state, page, stateOffset.pageBase);
      x.store(Op.i32Store, state, x.i32(blocks[to].block.page), stateOffset.codeHost);
      x.write(this.instructionBase, x.add(x.read(this.instructionBase), x.i64(delta)));
      x.store(Op.i64Store, state, x.read(this.instructionBase), stateOffset.instructionBase);
    }
    if (to === from) code.br(this.own);
    else if (to > from) code.br(this.starts[to]);
    else {
      x.write(this.entry, x.i32(to));
      code.br(this.top);
    }
  }

  /** To an address that is known only now: a return within the region, what the jump cache knows, or TypeScript. */
  private goToAddress(offset: Value, linear: Value, index: number, isReturn: boolean): void {
    const { x } = this;
    const state = x.copy(x.read(this.state));
    const page = x.copy(x.and(linear, x.i64(-4096)));
    const host = x.copy(hostOfCode(x, state, linear, page));
    const expected = isReturn ? x.copy(popReturn(x, state, linear, host)) : undefined;
    const leaveTo = (target: Value): void => {
      // Base of CS is what is left of a linear address without its offset.
      const base = x.sub(page, x.sub(linear, offset));
      x.store(Op.i64Store, state, page, stateOffset.pageBase);
      x.store(Op.i32Store, state, host, stateOffset.codeHost);
      x.store(Op.i64Store, state, this.is64 ? page : x.and(base, x.i64(-1, 0)), stateOffset.instructionBase);
      x.write(this.exitRecord, target);
      this.code.br(this.epilogue);
    };
    const dispatch = (): void => {
      if (expected !== undefined) x.if(expected, () => leaveTo(expected), undefined, true);
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
      this.leaveForTypeScript(ExitReason.jump, this.blocks[index].block.record);
    };
    if (isReturn) {
      for (const site of this.returnSites()) {
        const distance =
          this.blocks[site].pageDelta - this.blocks[index].pageDelta + this.blocks[site].block.start;
        const expected = x.add(x.read(this.instructionBase), x.i64(distance));
        x.if(x.eq(offset, expected), () => this.transfer(index, site, dispatch));
      }
    }
    dispatch();
  }

  /** Blocks that follow a call of the region. */
  private returnSites(): readonly number[] {
    return this.blocks.flatMap(({ block, steps, pageDelta }) => {
      const { shape, fields } = steps[steps.length - 1];
      if (shape?.mnemonic !== 'CALL') return [];
      const site = this.blocks.findIndex(
        (other) =>
          other.block.page === block.page &&
          other.block.start === fields.next &&
          other.pageDelta === pageDelta,
      );
      return site < 0 ? [] : [site];
    });
  }

  private get is64(): boolean {
    return this.blocks[0].block.mode.bits === 64;
  }

  /** The interpreter goes on at a record. */
  private leaveTo(target: number): void {
    this.x.write(this.exitRecord, this.x.i32(target));
    this.code.br(this.epilogue);
  }

  /** TypeScript goes on, with what the state's cells say. */
  private leaveForTypeScript(reason: number, rec: number): void {
    const { x } = this;
    const state = x.read(this.state);
    x.store(Op.i32Store, state, x.i32(reason), stateOffset.exitReason);
    x.store(Op.i32Store, state, x.i32(rec), stateOffset.exitRecord);
    this.leaveTo(0);
  }

  private leaveFunction(): void {
    const { x, code } = this;
    const state = x.read(this.state);
    for (const [number, variable] of this.registers.entries()) {
      if (variable !== undefined) x.store(Op.i64Store, state, x.read(variable), stateOffset.gpr + 8 * number);
    }
    for (const [row, variable] of this.vectors.entries()) {
      if (variable !== undefined) x.store(Op.v128Store, state, x.read(variable), vectorOffset(row));
    }
    this.flags.store(state);
    x.store(Op.i32Store, state, x.read(this.budget), stateOffset.budget);
    x.push(x.read(this.exitRecord));
    code.op(Op.return);
  }
}

function usedRegisters(blocks: readonly BlockSteps[]): boolean[] {
  const used = new Array<boolean>(16).fill(false);
  for (const { steps } of blocks) {
    for (const { shape, fields, implicit } of steps) {
      if (shape === undefined) continue;
      for (let number = 0; number < 16; number++) if ((implicit >> number) & 1) used[number] = true;
      for (const operand of shape.operands)
        if (operand.kind === 'register') used[fields[operand.field] >> 3] = true;
      const { memory } = shape;
      if (memory === undefined || memory.isAbsolute) continue;
      if (fields.base < 128) used[fields.base >> 3] = true;
      if (memory.scale >= 0 && !memory.isVectorIndex) used[fields.index >> 3] = true;
    }
  }
  return used;
}

/** By 2 × register + lane. */
function usedVectors(blocks: readonly BlockSteps[]): boolean[] {
  const used = new Array<boolean>(32).fill(false);
  const use = (number: number, hasUpper: boolean): void => {
    used[2 * number] = true;
    if (hasUpper) used[2 * number + 1] = true;
  };
  for (const { steps } of blocks) {
    for (const { shape, fields, implicit } of steps) {
      if (shape === undefined) continue;
      for (let number = 0; number < 16; number++) if ((implicit >>> (16 + number)) & 1) use(number, true);
      // VEX instructions clear what lies above their results.
      const hasUpper = shape.encoding !== 0;
      for (const operand of shape.operands)
        if (operand.kind === 'vector') use(fields[operand.field], hasUpper);
      if (shape.memory?.isVectorIndex) use(fields.index, true);
    }
  }
  return used;
}

function vectorOffset(row: number): number {
  return stateOffset.vector + 64 * (row >> 1) + 16 * (row & 1);
}
