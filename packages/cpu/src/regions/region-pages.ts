import { type Compiler, Op, type Value, ValueType, type Variable } from '@nest86/wasm';
import { codeEntryOf } from '../interpreter/core-handlers.ts';
import type { CallLibrary, LibraryFunction } from '../library/function.ts';
import { codeEntriesOffset, codeEntry, codeGenerationOffset } from '../memory/fast-tlb.ts';
import { recordSize } from '../records/layout.ts';
import { stateOffset } from '../state/layout.ts';
import type { BlockSteps } from './region-steps.ts';

/** Pages of code that a region may have: one bit each. */
export const mostPages = 32;

/**
 * Cells of a region with several pages: what was found out about them when it was entered last, and its pages, in the order of their numbers. All of it
 * holds while the bank's generation and the base are the same.
 */
const cells = { generation: 0, base: 8, valid: 16, count: 20, pages: 32 } as const;
/** `delta`: linear address less that of the first page, i32. */
const pageCells = { host: 0, delta: 4, size: 8 } as const;

interface Page {
  readonly delta: number;
  readonly host: number;
}

/** A region's pages of code, and their numbers by block; two pages may lie at one linear address, one in each of two address spaces. */
export class PageList {
  readonly pages: Page[] = [];
  /** By block. */
  readonly numbers: readonly number[];

  constructor(blocks: readonly BlockSteps[]) {
    const { pages } = this;
    this.numbers = blocks.map(({ block: { page: host }, pageDelta: delta }) => {
      const known = pages.findIndex((page) => page.delta === delta && page.host === host);
      return known >= 0 ? known : pages.push({ delta, host }) - 1;
    });
  }

  /** Records that its cells need. */
  get records(): number {
    if (this.pages.length === 1) return 0;
    return Math.ceil((cells.pages + this.pages.length * pageCells.size) / recordSize);
  }

  /** @param at address of the cells */
  writeCells(view: DataView, at: number): void {
    for (let i = 0; i < cells.pages; i += 4) view.setInt32(at + i, 0, true);
    view.setInt32(at + cells.count, this.pages.length, true);
    for (const [number, { delta, host }] of this.pages.entries()) {
      const page = at + cells.pages + number * pageCells.size;
      view.setInt32(page + pageCells.host, host, true);
      view.setInt32(page + pageCells.delta, delta, true);
    }
  }
}

/**
 * Where a region's code lies. Nothing that it does changes which pages are fetched from where, so that is found out once per stay (engine-decision E), and
 * that of the last stay holds while the bank's entries for code are the same. An edge to another page looks at one bit.
 */
export class RegionPages {
  /** Instruction base of the first page. */
  private readonly base: Variable;
  private readonly valid: Variable | undefined;
  /** Cells of the page that the region is left in. */
  private readonly here: Variable | undefined;

  /** @param at address of the cells */
  constructor(
    private readonly x: Compiler,
    private readonly blocks: readonly BlockSteps[],
    readonly list: PageList,
    private readonly at: number,
    private readonly library: CallLibrary,
  ) {
    const isSingle = list.pages.length === 1;
    this.base = x.variable(ValueType.i64);
    this.valid = isSingle ? undefined : x.variable(ValueType.i32);
    this.here = isSingle ? undefined : x.variable(ValueType.i32);
  }

  get is64(): boolean {
    return this.blocks[0].block.mode.bits === 64;
  }

  /** @param number of the page that the region is entered in */
  enter(state: Value, bank: Value, number: Value): void {
    const { x, at, here, valid } = this;
    const base = x.load(Op.i64Load, state, stateOffset.instructionBase);
    if (here === undefined || valid === undefined) {
      x.write(this.base, base);
      return;
    }
    const page = x.add(x.mul(number, x.i32(pageCells.size)), x.i32(at + cells.pages));
    x.write(here, page);
    x.write(this.base, x.sub(base, x.load(Op.i64Load32S, page, pageCells.delta)));
    const cell = x.i32(at);
    const first = x.read(this.base);
    const isSame = x.and(
      x.eq(x.load(Op.i64Load, cell, cells.generation), x.load(Op.i64Load, bank, codeGenerationOffset)),
      x.eq(x.load(Op.i64Load, cell, cells.base), first),
    );
    const codeBase = this.is64 ? x.i64(0) : x.i64(this.blocks[0].block.mode.codeBase, 0);
    const limit = this.is64 ? x.i64(-1) : x.i64(-1, 0);
    x.if(
      x.eqz(isSame),
      () => this.library(findPages, [cell, bank, first, codeBase, limit]),
      undefined,
      false,
    );
    x.write(valid, x.load(Op.i32Load, cell, cells.valid));
  }

  /** Whether one cannot go on from a page to another, i32; undefined: one always can. */
  isBarred(from: number, to: number): Value | undefined {
    const { x, valid } = this;
    if (from === to || valid === undefined) return undefined;
    return x.eqz(x.and(x.read(valid), x.i32(1 << to)));
  }

  /** Instruction base of a page. */
  baseOf(page: number): Value {
    const { x } = this;
    return x.add(x.read(this.base), x.i64(this.list.pages[page].delta));
  }

  /** Linear address of a page. */
  linearOf(page: number): Value {
    return this.linear(this.baseOf(page));
  }

  /** Linear address of the page that an instruction base belongs to. */
  linear(base: Value): Value {
    const { x } = this;
    if (this.is64) return base;
    const { codeBase } = this.blocks[0].block.mode;
    return x.copy(x.and(x.add(base, x.i64(codeBase, 0)), x.i64(-1, 0)));
  }

  /** Notes the page that the region is left in. */
  leaveIn(page: number): void {
    const { x, here } = this;
    if (here !== undefined) x.write(here, x.i32(this.at + cells.pages + page * pageCells.size));
  }

  /** Brings the state's cells up to date; the page that the region was entered in is there already. */
  settle(state: Value): void {
    const { x, here } = this;
    if (here === undefined) return;
    const page = x.read(here);
    this.settleIn(
      state,
      x.copy(x.add(x.read(this.base), x.load(Op.i64Load32S, page, pageCells.delta))),
      x.load(Op.i32Load, page, pageCells.host),
    );
  }

  settleIn(state: Value, base: Value, host: Value): void {
    const { x } = this;
    x.store(Op.i32Store, state, host, stateOffset.codeHost);
    x.store(Op.i64Store, state, base, stateOffset.instructionBase);
    x.store(Op.i64Store, state, this.linear(base), stateOffset.pageBase);
  }
}

/** (cells, bank, base, base of CS, mask of linear addresses): finds out which of a region's pages are where they were when it was compiled. */
export const findPages: LibraryFunction = {
  name: 'find_pages',
  parameters: [ValueType.i32, ValueType.i32, ValueType.i64, ValueType.i64, ValueType.i64],
  result: undefined,
  build: (x, parameters) => {
    const [at, bank, base, codeBase, limit] = parameters.map((value) => x.copy(value));
    const number = x.temporary(ValueType.i32);
    const valid = x.temporary(ValueType.i32);
    x.write(number, x.load(Op.i32Load, at, cells.count));
    x.write(valid, x.i32(0));
    x.loop((again) => {
      x.write(number, x.sub(x.read(number), x.i32(1)));
      const page = x.copy(x.add(at, x.mul(x.read(number), x.i32(pageCells.size))));
      const delta = x.load(Op.i64Load32S, page, cells.pages + pageCells.delta);
      const linear = x.copy(x.and(x.add(x.add(base, codeBase), delta), limit));
      const entry = x.copy(codeEntryOf(x, bank, linear));
      const isThere = x.and(
        x.eq(x.load(Op.i64Load, entry, codeEntriesOffset + codeEntry.tag), linear),
        x.eq(
          x.load(Op.i32Load, entry, codeEntriesOffset + codeEntry.host),
          x.load(Op.i32Load, page, cells.pages + pageCells.host),
        ),
      );
      x.write(valid, x.or(x.shl(x.read(valid), x.i32(1)), isThere));
      again(x.read(number));
    });
    x.store(Op.i64Store, at, base, cells.base);
    x.store(Op.i32Store, at, x.read(valid), cells.valid);
    x.store(Op.i64Store, at, x.load(Op.i64Load, bank, codeGenerationOffset), cells.generation);
    return undefined;
  },
};
