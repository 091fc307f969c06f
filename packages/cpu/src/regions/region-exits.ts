import {
  type CodeWriter,
  type Compiler,
  type Label,
  Op,
  type Value,
  ValueType,
  type Variable,
} from '@nest86/wasm';
import { hostOfCode, jumpEntryOf, popReturn } from '../interpreter/core-handlers.ts';
import { jumpCacheEntry, jumpCacheOffset } from '../memory/fast-tlb.ts';
import { ExitReason } from '../records/layout.ts';
import { stateOffset } from '../state/layout.ts';
import type { LazyFlags } from './lazy-flags.ts';
import type { RegionPages } from './region-pages.ts';
import type { RegionRegisters } from './region-registers.ts';

/** What a way out of a region brings back to the state. */
export interface RegionState {
  readonly state: Variable;
  readonly budget: Variable;
  readonly bank: Variable;
  readonly registers: RegionRegisters;
  readonly flags: LazyFlags;
  readonly pages: RegionPages;
}

/** The ways out of a region: all of them come to one epilogue (engine-decision B), and what each adds is short. */
export class RegionExits {
  /** Offset in CS that an indirect branch or return goes to. */
  private readonly target: Variable;
  /** Behind the epilogue's first part: the page is in the state. */
  private settled: Label = 0;
  private epilogue: Label = 0;
  /** Where returns and indirect branches go on that leave the region. */
  private returns: Label = 0;
  private jumps: Label = 0;
  /** Whether anybody goes there. */
  private hasReturns = false;
  private hasJumps = false;

  /** @param exitRecord record to go on with; 0: TypeScript goes on */
  constructor(
    private readonly code: CodeWriter,
    private readonly x: Compiler,
    private readonly exitRecord: Variable,
    private readonly cells: RegionState,
  ) {
    this.target = x.variable(ValueType.i64);
  }

  /** Before all blocks. */
  begin(): void {
    const { code } = this;
    this.settled = code.block();
    this.epilogue = code.block();
    this.returns = code.block();
    this.jumps = code.block();
  }

  /** Behind all blocks, to where nothing falls through. @param first record of the region's first block */
  end(first: number): void {
    const { x, code, cells } = this;
    code.end();
    cells.flags.startBlock(undefined);
    if (this.hasJumps) this.addressedBranch(false, first);
    code.end();
    if (this.hasReturns) this.addressedBranch(true, first);
    code.end();
    cells.pages.settle(x.read(cells.state));
    code.end();
    const state = x.read(cells.state);
    cells.flags.store(state);
    x.store(Op.i32Store, state, x.read(cells.budget), stateOffset.budget);
    x.push(x.read(this.exitRecord));
    code.op(Op.return);
  }

  /** The interpreter goes on at a record. @param page in which it is @param isCold see `LazyFlags.leave` */
  to(target: number, page: number, isCold = false): void {
    this.x.write(this.exitRecord, this.x.i32(target));
    this.cells.pages.leaveIn(page);
    this.leave(isCold);
  }

  /** The interpreter goes on at the record to go on with, in the page that the region was entered in; nothing was executed. */
  unbegun(): void {
    this.leave(true);
  }

  /** TypeScript goes on, and nothing was executed. */
  unbegunForTypeScript(reason: number, rec: Value): void {
    this.tell(reason, rec);
    this.leave(true);
  }

  /** Follows a branch that was not linked when the region was compiled; what it did besides branching is done. */
  byLink(rec: number, field: number, page: number): void {
    const { x } = this;
    const target = x.load(Op.i32Load, x.i32(rec), field);
    this.cells.pages.leaveIn(page);
    x.if(target, () => {
      x.write(this.exitRecord, target);
      this.leave(false);
    });
    x.store(Op.i64Store, x.read(this.cells.state), x.i64(field), stateOffset.exitAddress);
    this.tell(ExitReason.link, x.i32(rec));
    this.leave(true);
  }

  /** To an address that is known only now. @param offset in CS @param page of the branch */
  toAddress(offset: Value, page: number, isReturn: boolean): void {
    const { x, cells, code } = this;
    x.write(this.target, offset);
    cells.pages.leaveIn(page);
    cells.registers.store();
    cells.flags.leave(false);
    if (isReturn) this.hasReturns = true;
    else this.hasJumps = true;
    code.br(isReturn ? this.returns : this.jumps);
  }

  /** What the ring of returns or the jump cache knows about `target`, or TypeScript. */
  private addressedBranch(isReturn: boolean, first: number): void {
    const { x, code, cells } = this;
    const { pages } = cells;
    const state = x.copy(x.read(cells.state));
    pages.settle(state);
    const offset = x.copy(x.read(this.target));
    const linear = pages.is64 ? offset : pages.linear(offset);
    const page = x.copy(x.and(linear, x.i64(-4096)));
    const host = x.copy(hostOfCode(x, state, linear, page));
    const leaveTo = (target: Value): void => {
      x.write(this.exitRecord, target);
      // Base of CS is what is left of a linear address without its offset.
      const base = pages.is64 ? page : x.and(x.sub(page, x.sub(linear, offset)), x.i64(-1, 0));
      pages.settleIn(state, base, host);
      code.br(this.settled);
    };
    if (isReturn) {
      const expected = x.copy(popReturn(x, state, linear, host));
      x.if(expected, () => leaveTo(expected), undefined, true);
    }
    const entry = jumpEntryOf(x, x.read(cells.bank), linear);
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
    this.tell(ExitReason.jump, x.i32(first));
    code.br(this.settled);
    x.recycle();
  }

  private tell(reason: number, rec: Value): void {
    const { x } = this;
    const state = x.read(this.cells.state);
    x.store(Op.i32Store, state, x.i32(reason), stateOffset.exitReason);
    x.store(Op.i32Store, state, rec, stateOffset.exitRecord);
    x.write(this.exitRecord, x.i32(0));
  }

  private leave(isCold: boolean): void {
    this.cells.registers.store();
    this.cells.flags.leave(isCold);
    this.code.br(this.epilogue);
  }
}
