import { type Callee, type Compiler, Op, type Value, ValueType, type Variable } from '@nest86/wasm';
import { ExitReason, record, recordSize } from '../records/layout.ts';
import { conditionOf } from '../semantics/branches.ts';
import type { StatusFlags } from '../semantics/flags.ts';
import { Operation } from '../semantics/operation.ts';
import { stateOffset } from '../state/layout.ts';
import type { HandlerShape } from './shape.ts';

/** Entries of the fast TLB, see memory/fast-tlb.ts. */
export const tlbEntry = { readTag: 0, writeTag: 8, executeTag: 16, addend: 24, size: 32 } as const;
export const tlbEntries = 256;

/** Records of targets of indirect branches, by linear address. */
export const jumpCacheEntry = { tag: 0, record: 8, size: 16 } as const;
export const jumpCacheEntries = 1024;

/** Functions that handlers import. */
export interface HandlerImports {
  /**
   * (state, record, address low, address high, size | write << 8) to the host address of the bytes, or -1 after a fault. For an access that no
   * page of RAM serves alone, the state's scratch bytes: filled for a read, to be handed to `commit` after a write.
   */
  readonly access: Callee;
  /** (state, record): writes the scratch bytes to where the last `access` asked for. */
  readonly commit: Callee;
}

const loads = { 8: Op.i32Load8U, 16: Op.i32Load16U, 32: Op.i32Load, 64: Op.i64Load } as const;
const stores = { 8: Op.i32Store8, 16: Op.i32Store16, 32: Op.i32Store, 64: Op.i64Store } as const;
type Width = keyof typeof loads;

/** Staging of definitions as interpreter handlers: everything lies in memory, operands are named by the record. */
export class HandlerOperation extends Operation {
  private readonly state: Value;
  private readonly rec: Value;
  /** Host address of the memory operand once it was checked, for reading and for writing. */
  private host: Variable | undefined;
  private isCommitNeeded = false;
  private left = false;

  constructor(
    private readonly compiler: Compiler,
    private readonly shape: HandlerShape,
    private readonly imports: HandlerImports,
    private readonly cells: { state: Variable; record: Variable; budget: Variable },
    private readonly handlerType: number,
  ) {
    super(compiler);
    this.state = compiler.read(cells.state);
    this.rec = compiler.read(cells.record);
  }

  override bits(operand: number): number {
    const shape = this.shape.operands[operand];
    return shape.kind === 'relative' ? 64 : shape.bits;
  }

  override read(operand: number): Value {
    const shape = this.shape.operands[operand];
    switch (shape.kind) {
      case 'register':
        return this.x.load(loads[shape.bits as Width], this.registerCell(shape.field), stateOffset.gpr);
      case 'memory':
        return this.loadHost(this.access(operand, false), shape.bits);
      case 'immediate': {
        const value = this.x.load(Op.i32Load, this.rec, record.immediate);
        if (shape.bits === 64) return this.x.extendS(value);
        return shape.bits === 32 ? value : this.x.and(value, this.x.i32((1 << shape.bits) - 1));
      }
      default:
        throw new Error(`operand ${operand} of ${this.shape.mnemonic} has no value`);
    }
  }

  override readForWrite(operand: number): Value {
    const shape = this.shape.operands[operand];
    return shape.kind === 'memory'
      ? this.loadHost(this.access(operand, true), shape.bits)
      : this.read(operand);
  }

  override write(operand: number, value: Value): void {
    const shape = this.shape.operands[operand];
    const { x } = this;
    if (shape.kind === 'register') {
      const cell = this.registerCell(shape.field);
      // A 32-bit result clears the upper half (SDM vol. 1, 3.4.1.1).
      if (shape.bits === 32) x.store(Op.i64Store, cell, x.extendU(value), stateOffset.gpr);
      else x.store(stores[shape.bits as Width], cell, value, stateOffset.gpr);
      return;
    }
    if (shape.kind !== 'memory')
      throw new Error(`operand ${operand} of ${this.shape.mnemonic} cannot be written`);
    const host =
      this.host === undefined || !this.isCommitNeeded ? this.access(operand, true) : x.read(this.host);
    x.store(stores[shape.bits as Width], host, value, 0);
    this.commit(host);
  }

  override effectiveAddress(_operand: number): Value {
    const { x } = this;
    const memory = this.shape.memory;
    if (memory === undefined) throw new Error(`${this.shape.mnemonic} has no memory operand`);
    let address = x.load(Op.i64Load, this.registerCell('base'), stateOffset.gpr);
    if (memory.scale >= 0) {
      const index = x.load(Op.i64Load, this.registerCell('index'), stateOffset.gpr);
      address = x.add(address, x.shl(index, x.i64(memory.scale)));
    }
    address = x.add(address, x.load(Op.i64Load32S, this.rec, record.displacement));
    return memory.addressBits === 32 ? x.and(address, x.i64(-1, 0)) : address;
  }

  override readFlags(): StatusFlags {
    return {
      result: this.x.load(Op.i64Load, this.state, stateOffset.flagResult),
      aux: this.x.load(Op.i32Load, this.state, stateOffset.flagAux),
    };
  }

  override writeFlags(flags: StatusFlags): void {
    this.x.store(Op.i64Store, this.state, flags.result, stateOffset.flagResult);
    this.x.store(Op.i32Store, this.state, flags.aux, stateOffset.flagAux);
  }

  override conditionCode(): number {
    return conditionOf(this.shape.mnemonic);
  }

  override push(value: Value): void {
    const { x } = this;
    const bytes = this.shape.stackBits / 8;
    const pointer = x.sub(this.stackPointer(), x.i64(bytes));
    const host = this.check(pointer, bytes, true);
    x.store(stores[this.shape.stackBits as Width], host, value, 0);
    this.commit(host);
    this.setStackPointer(pointer);
  }

  override pop(): Value {
    const { x } = this;
    const bytes = this.shape.stackBits / 8;
    const pointer = this.stackPointer();
    const value = this.loadHost(this.check(pointer, bytes, false), this.shape.stackBits);
    this.setStackPointer(x.add(pointer, x.i64(bytes)));
    return value;
  }

  override nextInstruction(): Value {
    const { x } = this;
    const position = x.load(Op.i32Load16U, this.rec, record.position);
    const offset = x.add(x.and(position, x.i32(0xfff)), x.shrU(position, x.i32(12)));
    return x.add(x.load(Op.i64Load, this.state, stateOffset.pageBase), x.extendU(offset));
  }

  override jump(condition?: Value): void {
    this.left = true;
    if (condition === undefined) {
      this.follow(record.immediate);
      return;
    }
    this.x.if(condition, () => this.follow(record.immediate));
    this.follow(record.displacement);
  }

  override jumpTo(address: Value): void {
    this.left = true;
    const { x } = this;
    const entry = x.add(
      x.load(Op.i32Load, this.state, stateOffset.jumpCache),
      x.shl(x.and(x.wrap(address), x.i32(jumpCacheEntries - 1)), x.i32(4)),
    );
    x.if(
      x.ne(x.load(Op.i64Load, entry, jumpCacheEntry.tag), address),
      () => {
        x.store(Op.i64Store, this.state, address, stateOffset.exitAddress);
        this.exit(ExitReason.jump);
      },
      undefined,
      false,
    );
    this.dispatch(x.load(Op.i32Load, entry, jumpCacheEntry.record));
  }

  /** Goes on with the next record, unless the definition jumped. */
  finish(): void {
    if (this.left) return;
    this.dispatch(this.x.add(this.rec, this.x.i32(recordSize)));
  }

  /** To the record that a branch is linked to; 0 is not linked yet. */
  private follow(field: number): void {
    const { x } = this;
    const target = x.load(Op.i32Load, this.rec, field);
    x.if(
      x.eqz(target),
      () => {
        x.store(Op.i64Store, this.state, x.i64(field), stateOffset.exitAddress);
        this.exit(ExitReason.link);
      },
      undefined,
      false,
    );
    this.dispatch(target);
  }

  private dispatch(target: Value): void {
    const { code } = this.compiler;
    this.compiler.push(this.state);
    this.compiler.push(target);
    this.compiler.push(this.compiler.read(this.cells.budget));
    this.compiler.push(this.x.load(Op.i32Load16U, target, record.handler));
    code.returnCallIndirect(this.handlerType);
  }

  private exit(reason: number): void {
    const { x } = this;
    x.store(Op.i32Store, this.state, x.i32(reason), stateOffset.exitReason);
    x.store(Op.i32Store, this.state, this.rec, stateOffset.exitRecord);
    x.store(Op.i32Store, this.state, x.read(this.cells.budget), stateOffset.budget);
    this.compiler.code.op(Op.return);
  }

  /** Address of a register's cell less the offset of the registers in the block. */
  private registerCell(field: 'a' | 'b' | 'base' | 'index'): Value {
    return this.x.add(this.state, this.x.load(Op.i32Load8U, this.rec, record[field]));
  }

  private stackPointer(): Value {
    return this.x.load(Op.i64Load, this.state, stateOffset.gpr + 4 * 8);
  }

  private setStackPointer(value: Value): void {
    this.x.store(Op.i64Store, this.state, value, stateOffset.gpr + 4 * 8);
  }

  private loadHost(host: Value, bits: number): Value {
    return this.x.load(loads[bits as Width], host, 0);
  }

  private access(operand: number, isWrite: boolean): Value {
    const memory = this.shape.memory!;
    let address = this.effectiveAddress(operand);
    if (memory.segment >= 0) {
      address = this.x.add(
        address,
        this.x.load(Op.i64Load, this.state, stateOffset.segmentBase + 8 * memory.segment),
      );
    }
    const host = this.check(address, this.bits(operand) / 8, isWrite);
    this.isCommitNeeded = isWrite;
    return host;
  }

  /** Host address of `bytes` at a linear address; leaves with a fault. */
  private check(address: Value, bytes: number, isWrite: boolean): Value {
    const { x } = this;
    const host = x.temporary(ValueType.i32);
    const entry = x.add(
      x.load(Op.i32Load, this.state, stateOffset.tlbBank),
      x.shl(x.and(x.wrap(x.shrU(address, x.i64(12))), x.i32(tlbEntries - 1)), x.i32(5)),
    );
    // The page of the last byte: an access within the page hits, one that crosses misses.
    const last = bytes === 1 ? address : x.add(address, x.i64(bytes - 1));
    const page = x.and(last, x.i64(-4096));
    const tag = x.load(Op.i64Load, entry, isWrite ? tlbEntry.writeTag : tlbEntry.readTag);
    x.if(
      x.eq(tag, page),
      () => x.write(host, x.add(x.wrap(address), x.load(Op.i32Load, entry, tlbEntry.addend))),
      () => {
        const low = x.wrap(address);
        const high = x.wrap(x.shrU(address, x.i64(32)));
        x.write(
          host,
          x.call(this.imports.access, [
            this.state,
            this.rec,
            low,
            high,
            x.i32(bytes | (isWrite ? 0x100 : 0)),
          ])!,
        );
        x.if(x.eq(x.read(host), x.i32(-1)), () => this.exit(ExitReason.fault), undefined, false);
      },
      true,
    );
    this.host = host;
    return x.read(host);
  }

  /** After a store: if it went to the scratch bytes, lets TypeScript bring them home. */
  private commit(host: Value): void {
    const { x } = this;
    const scratch = x.add(this.state, x.i32(stateOffset.scratch));
    x.if(
      x.eq(host, scratch),
      () => {
        x.call(this.imports.commit, [this.state, this.rec]);
      },
      undefined,
      false,
    );
  }
}
