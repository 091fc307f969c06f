import { type Compiler, Op, type Value, ValueType, type Variable } from '@nest86/wasm';
import { tlbEntries, tlbEntry } from '../interpreter/handler-operation.ts';
import type { HandlerShape } from '../interpreter/shape.ts';
import { conditionOf } from '../semantics/branches.ts';
import type { StatusFlags } from '../semantics/flags.ts';
import { Operation } from '../semantics/operation.ts';
import { stateOffset } from '../state/layout.ts';
import type { LazyFlags } from './lazy-flags.ts';

/** A record's fields, as constants of compiled code. */
export interface RecordFields {
  readonly a: number;
  readonly b: number;
  readonly base: number;
  readonly index: number;
  readonly displacement: number;
  readonly immediate: number;
  /** Offset of the next instruction in the page. */
  readonly next: number;
}

/** What the instructions of a region share. */
export interface RegionCells {
  readonly state: Variable;
  readonly bank: Variable;
  readonly pageBase: Variable;
  /** By register number; undefined for those the region does not use. */
  readonly registers: readonly (Variable | undefined)[];
  readonly flags: LazyFlags;
  /** Leaves the region: the interpreter goes on with the present instruction. */
  leave(): void;
  /** To a successor of the block. */
  goTo(isTaken: boolean): void;
}

const loads = { 8: Op.i32Load8U, 16: Op.i32Load16U, 32: Op.i32Load, 64: Op.i64Load } as const;
const stores = { 8: Op.i32Store8, 16: Op.i32Store16, 32: Op.i32Store, 64: Op.i64Store } as const;
type Width = keyof typeof loads;

/** Staging of definitions in compiled regions: operands are constants, registers are locals, every doubt leaves to the interpreter. */
export class RegionOperation extends Operation {
  private host: Variable | undefined;

  constructor(
    compiler: Compiler,
    private readonly shape: HandlerShape,
    private readonly fields: RecordFields,
    private readonly cells: RegionCells,
  ) {
    super(compiler);
  }

  override bits(operand: number): number {
    const shape = this.shape.operands[operand];
    return shape.kind === 'relative' ? 64 : shape.bits;
  }

  override read(operand: number): Value {
    const shape = this.shape.operands[operand];
    switch (shape.kind) {
      case 'register':
        return this.readRegister(this.fields[shape.field], shape.bits);
      case 'memory':
        return this.x.load(loads[shape.bits as Width], this.access(operand, false), 0);
      case 'immediate': {
        const { immediate } = this.fields;
        if (shape.bits === 64) return this.x.i64(immediate);
        return this.x.i32(shape.bits === 32 ? immediate : immediate & ((1 << shape.bits) - 1));
      }
      default:
        throw new Error(`operand ${operand} of ${this.shape.mnemonic} has no value`);
    }
  }

  override readForWrite(operand: number): Value {
    const shape = this.shape.operands[operand];
    if (shape.kind !== 'memory') return this.read(operand);
    return this.x.load(loads[shape.bits as Width], this.access(operand, true), 0);
  }

  override write(operand: number, value: Value): void {
    const shape = this.shape.operands[operand];
    if (shape.kind === 'register') this.writeRegister(this.fields[shape.field], shape.bits, value);
    else if (shape.kind === 'memory') {
      const host = this.host === undefined ? this.access(operand, true) : this.x.read(this.host);
      this.x.store(stores[shape.bits as Width], host, value, 0);
    } else throw new Error(`operand ${operand} of ${this.shape.mnemonic} cannot be written`);
  }

  override effectiveAddress(_operand: number): Value {
    const { x, fields } = this;
    const memory = this.shape.memory!;
    let address = this.addressRegister(fields.base);
    if (memory.scale >= 0)
      address = x.add(address, x.shl(this.addressRegister(fields.index), x.i64(memory.scale)));
    address = x.add(address, x.i64(fields.displacement));
    return memory.addressBits === 32 ? x.and(address, x.i64(-1, 0)) : address;
  }

  override readFlags(): StatusFlags {
    throw new Error('regions keep flags lazy: use condition and carry');
  }

  override writeFlags(flags: StatusFlags): void {
    this.cells.flags.setCanonical(flags);
  }

  override addFlags(bits: number, a: Value, b: Value, result: Value): void {
    if (this.shape.mnemonic === 'ADC') super.addFlags(bits, a, b, result);
    else this.cells.flags.set('add', bits, a, b);
  }

  override subtractFlags(bits: number, a: Value, b: Value, result: Value): void {
    if (this.shape.mnemonic === 'SBB') super.subtractFlags(bits, a, b, result);
    else this.cells.flags.set('subtract', bits, a, b);
  }

  override incrementFlags(bits: number, a: Value, _one: Value, _result: Value, isIncrement: boolean): void {
    this.cells.flags.step(isIncrement, bits, a);
  }

  override condition(code: number): Value {
    return this.cells.flags.condition(code);
  }

  override carry(): Value {
    return this.cells.flags.carry();
  }

  override conditionCode(): number {
    return conditionOf(this.shape.mnemonic);
  }

  override push(value: Value): void {
    const { x } = this;
    const bytes = this.shape.stackBits / 8;
    const kept = x.copy(value);
    const pointer = x.sub(x.read(this.cells.registers[4]!), x.i64(bytes));
    const host = this.check(pointer, bytes, true);
    x.store(stores[this.shape.stackBits as Width], host, kept, 0);
    x.write(this.cells.registers[4]!, pointer);
  }

  override pop(): Value {
    const { x } = this;
    const bytes = this.shape.stackBits / 8;
    const pointer = x.read(this.cells.registers[4]!);
    const value = x.load(loads[this.shape.stackBits as Width], this.check(pointer, bytes, false), 0);
    x.write(this.cells.registers[4]!, x.add(pointer, x.i64(bytes)));
    return value;
  }

  override nextInstruction(): Value {
    return this.x.add(this.x.read(this.cells.pageBase), this.x.i64(this.fields.next));
  }

  override jump(condition?: Value): void {
    if (condition !== undefined) {
      this.x.if(condition, () => this.cells.goTo(true));
      this.cells.goTo(false);
    } else this.cells.goTo(true);
  }

  override jumpTo(_address: Value): void {
    throw new Error('indirect branches end a region before they are defined');
  }

  private readRegister(cell: number, bits: number): Value {
    const { x } = this;
    const value = x.read(this.variable(cell));
    if (bits === 64) return value;
    const narrow = x.wrap((cell & 7) === 0 ? value : x.shrU(value, x.i64((cell & 7) * 8)));
    return bits === 32 ? narrow : x.and(narrow, x.i32((1 << bits) - 1));
  }

  private writeRegister(cell: number, bits: number, value: Value): void {
    const { x } = this;
    const variable = this.variable(cell);
    if (bits === 64) x.write(variable, value);
    else if (bits === 32) x.write(variable, x.extendU(value));
    else {
      const shift = (cell & 7) * 8;
      const mask = (bits === 8 ? 0xff : 0xffff) << shift;
      const part = x.extendU(x.and(value, x.i32((1 << bits) - 1)));
      const kept = x.and(x.read(variable), x.i64(~mask));
      x.write(variable, x.or(kept, x.shl(part, x.i64(shift))));
    }
  }

  private addressRegister(cell: number): Value {
    const { x } = this;
    if (cell === stateOffset.zero - stateOffset.gpr) return x.i64(0);
    if (cell === stateOffset.pageBase - stateOffset.gpr) return x.read(this.cells.pageBase);
    return x.read(this.variable(cell));
  }

  private variable(cell: number): Variable {
    const variable = this.cells.registers[cell >> 3];
    if (variable === undefined) throw new Error(`register ${cell >> 3} has no local in this region`);
    return variable;
  }

  private access(operand: number, isWrite: boolean): Value {
    const { x } = this;
    const memory = this.shape.memory!;
    let address = this.effectiveAddress(operand);
    if (memory.segment >= 0) {
      address = x.add(
        address,
        x.load(Op.i64Load, x.read(this.cells.state), stateOffset.segmentBase + 8 * memory.segment),
      );
    }
    const host = this.check(address, this.bits(operand) / 8, isWrite);
    if (isWrite) {
      this.host = x.temporary(ValueType.i32);
      x.write(this.host, host);
    }
    return host;
  }

  /** Host address; a miss leaves, and the interpreter executes the instruction. */
  private check(address: Value, bytes: number, isWrite: boolean): Value {
    const { x } = this;
    const low = x.wrap(address);
    const entry = x.add(x.read(this.cells.bank), x.and(x.shrU(low, x.i32(7)), x.i32((tlbEntries - 1) << 5)));
    const last = bytes === 1 ? address : x.add(address, x.i64(bytes - 1));
    const tag = x.load(Op.i64Load, entry, isWrite ? tlbEntry.writeTag : tlbEntry.readTag);
    x.if(x.ne(tag, x.and(last, x.i64(-4096))), () => this.cells.leave(), undefined, false);
    return x.add(low, x.load(Op.i32Load, entry, tlbEntry.addend));
  }
}
