import { type Callee, type Expressions, Op, type Value, ValueType, type Variable } from '@nest86/wasm';
import type { CallLibrary } from '../library/function.ts';
import { AccessRequest, jumpCacheEntry, jumpCacheOffset, tlbEntry } from '../memory/fast-tlb.ts';
import { ExitReason, Row, record, recordSize } from '../records/layout.ts';
import type { StatusFlags } from '../semantics/flags.ts';
import type { Place, RepeatOptions } from '../semantics/operation.ts';
import { Segment, stateOffset } from '../state/layout.ts';
import {
  dataEntryOf,
  hostInBank,
  hostOfCode,
  isOtherPage,
  jumpEntryOf,
  popReturn,
  pushReturn,
} from './core-handlers.ts';
import { fieldBit, type RegisterUse } from './register-use.ts';
import type { HandlerShape, RegisterField } from './shape.ts';
import { StagedOperation } from './staged-operation.ts';
import { loadOf, storeOf } from './widths.ts';

/** Functions that handlers import. */
export interface HandlerImports {
  /**
   * (state, record, address low, address high, what: see `AccessRequest`) to the host address of the bytes, or -1 after a fault. For an access
   * that no page of RAM serves alone, the scratch bytes of its slot: filled for a read, to be handed to `commit` after a write.
   */
  readonly access: Callee;
  /** (state, slot): writes the scratch bytes to where the last `access` with that slot asked for. */
  readonly commit: Callee;
}

/** How a handler ends; compiled and evaluated ones differ. */
export interface HandlerEnd {
  /** Goes on with a record. */
  dispatch(state: Value, target: Value, budget: Value): void;
  /** Returns to TypeScript; the state says why. */
  leave(): void;
}

export interface HandlerCells {
  readonly state: Variable;
  readonly record: Variable;
  readonly budget: Variable;
}

/** Staging of definitions as interpreter handlers: everything lies in memory, operands are named by the record. */
export class HandlerOperation extends StagedOperation {
  private readonly rec: Value;
  private left = false;
  // See `RegisterUse`.
  private implicit = 0;
  private writtenImplicit = 0;
  private writtenFields = 0;
  private isConditional = false;

  constructor(
    x: Expressions,
    shape: HandlerShape,
    private readonly imports: HandlerImports,
    readonly library: CallLibrary,
    private readonly cells: HandlerCells,
    private readonly end: HandlerEnd,
  ) {
    super(x, shape, x.copy(x.read(cells.state)));
    this.rec = x.copy(x.read(cells.record));
  }

  /** After the definition. */
  get registerUse(): RegisterUse {
    const { implicit, writtenImplicit, writtenFields, isConditional } = this;
    return { implicit, writtenImplicit, writtenFields, isConditional };
  }

  private noteUse(): void {
    if (this.x.isNested) this.isConditional = true;
  }

  private noteWrite(field: RegisterField): void {
    this.noteUse();
    this.writtenFields |= fieldBit(field);
  }

  private noteImplicit(bit: number, isWritten: boolean): void {
    this.noteUse();
    this.implicit |= bit;
    if (isWritten) this.writtenImplicit |= bit;
  }

  // Operands.

  protected override immediate(field: 'immediate' | 'displacement' | 'both', bits: number): Value {
    const { x, rec } = this;
    if (field === 'both') return x.load(Op.i64Load, rec, record.displacement);
    const value = x.load(Op.i32Load, rec, record[field]);
    if (bits === 64) return x.extendS(value);
    return bits === 32 ? value : x.and(value, x.i32((1 << bits) - 1));
  }

  protected override loadCell(field: RegisterField, bits: number): Value {
    this.noteUse();
    return this.x.load(loadOf(bits), this.registerCell(field), stateOffset.gpr);
  }

  protected override storeCell(field: RegisterField, bits: number, value: Value): void {
    const { x } = this;
    this.noteWrite(field);
    const cell = this.registerCell(field);
    // A 32-bit result clears the upper half (SDM vol. 1, 3.4.1.1).
    if (bits === 32) x.store(Op.i64Store, cell, x.extendU(value), stateOffset.gpr);
    else x.store(storeOf(bits), cell, value, stateOffset.gpr);
  }

  protected override fieldNumber(field: RegisterField): Value {
    return this.x.load(Op.i32Load8U, this.rec, record[field]);
  }

  protected override cellOf(field: RegisterField, base: number, shift: number): [Value, number] {
    const { x } = this;
    return [x.add(this.state, x.shl(this.fieldNumber(field), x.i32(shift))), base];
  }

  override readRegister(number: number, bits: number): Value {
    this.noteImplicit(1 << number, false);
    return this.x.load(loadOf(bits), this.state, stateOffset.gpr + 8 * number);
  }

  override writeRegister(number: number, bits: number, value: Value): void {
    this.noteImplicit(1 << number, true);
    const { x } = this;
    const at = stateOffset.gpr + 8 * number;
    if (bits === 32) x.store(Op.i64Store, this.state, x.extendU(value), at);
    else x.store(storeOf(bits), this.state, value, at);
  }

  protected override loadVector(field: RegisterField, lane: number): Value {
    this.noteUse();
    const [address, offset] = this.cellOf(field, stateOffset.vector, 6);
    return this.x.load(Op.v128Load, address, offset + 16 * lane);
  }

  protected override storeVector(field: RegisterField, lane: number, value: Value): void {
    this.noteWrite(field);
    const [address, offset] = this.cellOf(field, stateOffset.vector, 6);
    this.x.store(Op.v128Store, address, value, offset + 16 * lane);
  }

  protected override loadElement(field: RegisterField, bits: number): Value {
    this.noteUse();
    return this.x.load(loadOf(bits), ...this.cellOf(field, stateOffset.vector, 6));
  }

  protected override storeElement(field: RegisterField, bits: number, value: Value): void {
    this.noteWrite(field);
    const [address, offset] = this.cellOf(field, stateOffset.vector, 6);
    this.x.store(storeOf(bits), address, value, offset);
  }

  override readVectorRegister(number: number, lane: number): Value {
    this.noteImplicit(0x10000 << number, false);
    return this.x.load(Op.v128Load, this.state, stateOffset.vector + 64 * number + 16 * lane);
  }

  override writeVectorRegister(number: number, lane: number, value: Value): void {
    this.noteImplicit(0x10000 << number, true);
    this.x.store(Op.v128Store, this.state, value, stateOffset.vector + 64 * number + 16 * lane);
  }

  protected override addressRegister(field: 'base' | 'index'): Value {
    this.noteUse();
    return this.x.load(Op.i64Load, this.registerCell(field), stateOffset.gpr);
  }

  protected override displacement(isAbsolute: boolean): Value {
    return this.x.load(isAbsolute ? Op.i64Load : Op.i64Load32S, this.rec, record.displacement);
  }

  // Flags.

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

  // Memory.

  protected override checkLinear(address: Value, bytes: number, what: number): Variable {
    const { x } = this;
    const isWrite = (what & AccessRequest.write) !== 0;
    const host = x.temporary(ValueType.i32);
    const entry = dataEntryOf(x, this.bank(), x.wrap(address));
    const tag = x.load(Op.i64Load, entry, isWrite ? tlbEntry.writeTag : tlbEntry.readTag);
    x.if(
      isOtherPage(x, tag, address, bytes),
      () => {
        x.write(host, this.slowAccess(address, what | bytes));
        x.if(x.eq(x.read(host), x.i32(-1)), () => this.exit(ExitReason.fault), undefined, false);
      },
      () => x.write(host, x.add(x.wrap(address), x.load(Op.i32Load, entry, tlbEntry.addend))),
      false,
    );
    return host;
  }

  protected override bank(): Value {
    return this.x.load(Op.i32Load, this.state, stateOffset.tlbBank);
  }

  protected override refuse(address: Value, what: number): void {
    this.slowAccess(address, what);
    this.exit(ExitReason.fault);
  }

  private slowAccess(address: Value, what: number): Value {
    const { x } = this;
    const high = x.wrap(x.shrU(address, x.i64(32)));
    return x.call(this.imports.access, [this.state, this.rec, x.wrap(address), high, x.i32(what)])!;
  }

  override commitPlace(place: Place): void {
    const { x } = this;
    const { host, slot } = this.placeOf(place);
    // If the bytes went to the scratch slot, TypeScript brings them home.
    x.if(
      x.eq(x.read(host), x.add(this.state, x.i32(stateOffset.scratch + 64 * slot))),
      () => {
        x.call(this.imports.commit, [this.state, x.i32(slot)]);
      },
      undefined,
      false,
    );
  }

  // Branches.

  override nextInstruction(): Value {
    const { x, rec } = this;
    const position = x.load(Op.i32Load16U, rec, record.position);
    const offset = x.add(x.and(position, x.i32(0xfff)), x.shrU(position, x.i32(12)));
    return this.narrowTarget(
      x.add(x.load(Op.i64Load, this.state, stateOffset.instructionBase), x.extendU(offset)),
    );
  }

  override thisInstruction(): Value {
    const { x } = this;
    const offset = x.and(x.load(Op.i32Load16U, this.rec, record.position), x.i32(0xfff));
    const base = x.load(Op.i64Load, this.state, stateOffset.instructionBase);
    return this.wrapCode(x.add(base, x.extendU(offset)));
  }

  override x87Opcode(): Value {
    return this.x.load(Op.i32Load16U, this.rec, record.immediate);
  }

  private linearOfNext(): Value {
    const { x, rec } = this;
    const position = x.load(Op.i32Load16U, rec, record.position);
    const offset = x.add(x.and(position, x.i32(0xfff)), x.shrU(position, x.i32(12)));
    return x.add(x.load(Op.i64Load, this.state, stateOffset.pageBase), x.extendU(offset));
  }

  override jump(condition?: Value): void {
    this.left = true;
    if (this.mnemonic === 'CALL') {
      const { x, rec, state } = this;
      pushReturn(x, state, this.linearOfNext(), x.load(Op.i32Load, rec, record.displacement));
    }
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
    const linear = this.linearTarget(address);
    const page = x.and(linear, x.i64(-4096));
    const host = x.copy(hostOfCode(x, this.state, linear, page));
    if (this.mnemonic === 'RET') {
      const expected = x.copy(popReturn(x, this.state, linear, host));
      x.if(
        expected,
        () => {
          this.enterPage(page, host);
          this.dispatch(expected);
        },
        undefined,
        true,
      );
    }
    const entry = jumpEntryOf(x, x.load(Op.i32Load, this.state, stateOffset.tlbBank), linear);
    const isKnown = x.and(
      x.eq(x.load(Op.i64Load, entry, jumpCacheOffset + jumpCacheEntry.tag), linear),
      x.eq(x.load(Op.i32Load, entry, jumpCacheOffset + jumpCacheEntry.host), host),
    );
    x.if(
      x.eqz(isKnown),
      () => {
        x.store(Op.i64Store, this.state, linear, stateOffset.exitAddress);
        this.exit(ExitReason.jump);
      },
      undefined,
      false,
    );
    this.enterPage(page, host);
    this.dispatch(x.load(Op.i32Load, entry, jumpCacheOffset + jumpCacheEntry.record));
  }

  override nextAddress(): Value {
    return this.linearOfNext();
  }

  override instructionsLeft(): Value {
    return this.x.read(this.cells.budget);
  }

  override leaveToService(condition?: Value): void {
    if (condition !== undefined) {
      this.x.if(condition, () => this.exit(ExitReason.service), undefined, false);
      return;
    }
    this.left = true;
    this.exit(ExitReason.service);
  }

  override enterAt(address: Value): void {
    this.left = true;
    const { x, state } = this;
    const page = x.copy(x.and(address, x.i64(-4096)));
    const host = x.copy(hostInBank(x, state, address, page));
    const entry = jumpEntryOf(x, x.load(Op.i32Load, state, stateOffset.tlbBank), address);
    const isKnown = x.and(
      x.eq(x.load(Op.i64Load, entry, jumpCacheOffset + jumpCacheEntry.tag), address),
      x.eq(x.load(Op.i32Load, entry, jumpCacheOffset + jumpCacheEntry.host), host),
    );
    x.if(
      x.eqz(isKnown),
      () => {
        x.store(Op.i64Store, state, address, stateOffset.exitAddress);
        // The page that was left may be the target's, but not with the same rights.
        x.store(Op.i32Store, state, x.i32(-1), stateOffset.codeHost);
        this.exit(ExitReason.jump);
      },
      undefined,
      false,
    );
    this.enterPage(page, host);
    this.dispatch(x.load(Op.i32Load, entry, jumpCacheOffset + jumpCacheEntry.record));
  }

  /** The target may lie in another page. */
  private enterPage(page: Value, host: Value): void {
    const { x, state } = this;
    x.store(Op.i32Store, state, host, stateOffset.codeHost);
    x.store(Op.i64Store, state, page, stateOffset.pageBase);
    if (this.shape.mode.bits === 64) x.store(Op.i64Store, state, page, stateOffset.instructionBase);
    else {
      const base = x.load(Op.i64Load, state, stateOffset.segmentBase + 8 * Segment.cs);
      x.store(Op.i64Store, state, x.and(x.sub(page, base), x.i64(-1, 0)), stateOffset.instructionBase);
    }
  }

  override fault(vector: number, condition?: Value, errorCode?: Value): void {
    const { x, state } = this;
    const raise = (): void => {
      x.store(Op.i32Store, state, x.i32(vector), stateOffset.faultVector);
      x.store(Op.i32Store, state, errorCode ?? x.i32(-1), stateOffset.faultError);
      this.exit(ExitReason.fault);
    };
    if (condition === undefined) raise();
    else x.if(condition, raise, undefined, false);
  }

  override repeat(iteration: () => void, { usesZeroFlag = false, last, bulk }: RepeatOptions = {}): void {
    const { x, cells, shape } = this;
    if (shape.repeat === 0) {
      iteration();
      return;
    }
    const bits = this.addressBits;
    const count = (): Value => this.readRegister(1, bits);
    const countDown = (by: Value): void =>
      this.writeRegister(1, bits, x.sub(count(), bits === 64 ? x.extendU(by) : by));
    x.block((leave) => {
      leave(x.eqz(count()));
      x.loop((again) => {
        if (bulk === undefined) {
          iteration();
          countDown(x.i32(1));
        } else {
          const most = x.temporary(ValueType.i32);
          const left = count();
          const room = x.add(x.read(cells.budget), x.i32(1));
          const capped =
            bits === 64
              ? x.select(x.ltU(left, x.extendU(room)), x.wrap(left), room)
              : x.select(x.ltU(left, room), left, room);
          x.write(most, capped);
          const done = x.temporary(ValueType.i32);
          x.write(done, bulk(x.read(most)));
          x.if(
            x.read(done),
            () => x.write(cells.budget, x.sub(x.read(cells.budget), x.sub(x.read(done), x.i32(1)))),
            () => {
              iteration();
              x.write(done, x.i32(1));
            },
          );
          countDown(x.read(done));
        }
        const endIf = (condition: Value): void => {
          if (last === undefined) {
            leave(condition);
            return;
          }
          x.if(condition, () => {
            last.end();
            leave();
          });
        };
        endIf(x.eqz(count()));
        if (usesZeroFlag) {
          // REPE goes on while ZF is 1, REPNE while it is 0.
          const isZero = last === undefined ? this.condition(4) : last.isZero();
          endIf(shape.repeat === 1 ? x.eqz(isZero) : isZero);
        }
        // What it wrote may be its own code: TypeScript looks at it anew.
        const row = x.load(Op.i32Load16U, this.rec, record.handler);
        const mustEnd = x.or(x.eqz(x.read(cells.budget)), x.eq(row, x.i32(Row.stale)));
        x.if(mustEnd, () => this.exit(ExitReason.budget), undefined, false);
        x.write(cells.budget, x.sub(x.read(cells.budget), x.i32(1)));
        again();
      });
    });
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
    this.end.dispatch(this.state, target, this.x.read(this.cells.budget));
  }

  private exit(reason: number): void {
    const { x } = this;
    x.store(Op.i32Store, this.state, x.i32(reason), stateOffset.exitReason);
    x.store(Op.i32Store, this.state, this.rec, stateOffset.exitRecord);
    x.store(Op.i32Store, this.state, x.read(this.cells.budget), stateOffset.budget);
    this.end.leave();
  }

  /** Address of a general register's cell less the offset of the registers in the block. */
  private registerCell(field: RegisterField): Value {
    return this.x.add(this.state, this.fieldNumber(field));
  }
}
