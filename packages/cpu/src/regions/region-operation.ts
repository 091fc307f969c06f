import { type Compiler, Op, type Value, ValueType, type Variable } from '@nest86/wasm';
import { dataEntryOf, isOtherPage } from '../interpreter/core-handlers.ts';
import { registerField } from '../interpreter/register-use.ts';
import type { HandlerShape, RegisterField } from '../interpreter/shape.ts';
import { StagedOperation } from '../interpreter/staged-operation.ts';
import type { CallLibrary } from '../library/function.ts';
import { AccessRequest, tlbEntry } from '../memory/fast-tlb.ts';
import { addFlags, type StatusFlags, subtractFlags } from '../semantics/flags.ts';
import { stateOffset } from '../state/layout.ts';
import type { AccessFacts } from './access-facts.ts';
import type { LazyFlags } from './lazy-flags.ts';
import type { RegionRegisters } from './region-registers.ts';

/** A record's fields, as constants of compiled code. */
export interface RecordFields {
  readonly a: number;
  readonly b: number;
  readonly base: number;
  readonly index: number;
  readonly last: number;
  readonly displacement: number;
  readonly immediate: number;
  /** Offset of the instruction and of the next in the page. */
  readonly start: number;
  readonly next: number;
}

/** The byte that was written last, by itself. */
export interface LowByte {
  /** i32 */
  readonly variable: Variable;
  /** The register whose lowest byte it is, or -1. */
  register: number;
}

/** What the instructions of a region share. */
export interface RegionCells {
  readonly state: Variable;
  readonly bank: Variable;
  /** Instructions that may still retire, the present block's taken off. */
  readonly budget: Variable;
  /** Of the present block's page, i64. */
  instructionBase(): Value;
  readonly registers: RegionRegisters;
  readonly lowByte: LowByte;
  /** See `Operation.isLoud`; undefined where the region has no vectors. */
  readonly loud: Variable | undefined;
  /** Those of `floatConstants` in locals: the compiler makes others anew, of several instructions, wherever they are used. */
  readonly constants: ReadonlyMap<readonly number[], Variable>;
  readonly flags: LazyFlags;
  readonly accesses: AccessFacts;
  /** Leaves the region: the interpreter goes on with the present instruction. */
  leave(): void;
  /** Before the block is left for another. */
  endBlock(): void;
  /** To a successor of the block. */
  goTo(isTaken: boolean): void;
  /** Whether a branch is likely to be taken; undefined: nobody knows. */
  isLikely(): boolean | undefined;
  /** Notes that the present instruction, a call, will return behind it. */
  noteReturn(): void;
  /** To an address: offset in CS, and linear, i64. */
  goToAddress(offset: Value, linear: Value): void;
}

/** Staging of definitions in compiled regions: operands are constants, registers are locals, every doubt leaves to the interpreter. */
export class RegionOperation extends StagedOperation {
  constructor(
    private readonly compiler: Compiler,
    shape: HandlerShape,
    private readonly fields: RecordFields,
    private readonly cells: RegionCells,
    readonly library: CallLibrary,
  ) {
    super(compiler, shape, compiler.unchanging(cells.state));
  }

  // Operands.

  protected override immediate(field: 'immediate' | 'displacement' | 'both', bits: number): Value {
    const { x, fields } = this;
    if (field === 'both') return x.i64(fields.displacement, fields.immediate);
    const value = field === 'immediate' ? fields.immediate : fields.displacement;
    if (bits === 64) return x.i64(value);
    return x.i32(bits === 32 ? value : value & ((1 << bits) - 1));
  }

  protected override loadCell(field: RegisterField, bits: number): Value {
    return this.part(registerField(this.fields, field), bits);
  }

  protected override storeCell(field: RegisterField, bits: number, value: Value): void {
    this.setPart(registerField(this.fields, field), bits, value);
  }

  protected override fieldNumber(field: RegisterField): Value {
    return this.x.i32(registerField(this.fields, field));
  }

  protected override cellOf(field: RegisterField, base: number, shift: number): [Value, number] {
    return [this.state, base + (registerField(this.fields, field) << shift)];
  }

  override readRegister(number: number, bits: number): Value {
    return this.part(8 * number, bits);
  }

  override writeRegister(number: number, bits: number, value: Value): void {
    this.setPart(8 * number, bits, value);
  }

  // What is read is copied: definitions may use it after they have written the register.

  override readVectorRegister(number: number, lane: number): Value {
    return this.x.copy(this.x.read(this.cells.registers.vector(number, lane)));
  }

  override writeVectorRegister(number: number, lane: number, value: Value): void {
    this.x.write(this.cells.registers.writtenVector(number, lane), value);
  }

  protected override loadVector(field: RegisterField, lane: number): Value {
    return this.readVectorRegister(registerField(this.fields, field), lane);
  }

  protected override storeVector(field: RegisterField, lane: number, value: Value): void {
    this.writeVectorRegister(registerField(this.fields, field), lane, value);
  }

  protected override loadElement(field: RegisterField, bits: number): Value {
    return this.x.extractLane(extractOf(bits), this.loadVector(field, 0), 0);
  }

  protected override storeElement(field: RegisterField, bits: number, value: Value): void {
    this.storeVector(field, 0, this.x.replaceLane(replaceOf(bits), this.loadVector(field, 0), value, 0));
  }

  protected override addressRegister(field: 'base' | 'index'): Value {
    const { x } = this;
    const cell = field === 'base' ? this.fields.base : this.fields.index;
    if (cell === stateOffset.zero - stateOffset.gpr) return x.i64(0);
    if (cell === stateOffset.instructionBase - stateOffset.gpr) return this.cells.instructionBase();
    return x.read(this.cells.registers.register(cell >> 3));
  }

  protected override displacement(isAbsolute: boolean): Value {
    const { displacement, immediate } = this.fields;
    return isAbsolute ? this.x.i64(displacement, immediate) : this.x.i64(displacement);
  }

  private part(cell: number, bits: number): Value {
    const { x, cells } = this;
    if (bits === 8 && cell === 8 * cells.lowByte.register) return x.copy(x.read(cells.lowByte.variable));
    const value = x.read(this.cells.registers.register(cell >> 3));
    if (bits === 64) return value;
    const narrow = x.wrap((cell & 7) === 0 ? value : x.shrU(value, x.i64((cell & 7) * 8)));
    return bits === 32 ? narrow : x.and(narrow, x.i32((1 << bits) - 1));
  }

  private setPart(cell: number, bits: number, value: Value): void {
    const { x, cells } = this;
    // The rest of it stays.
    if (bits < 32) cells.registers.register(cell >> 3);
    const variable = cells.registers.writtenRegister(cell >> 3);
    if (cells.lowByte.register === cell >> 3) cells.lowByte.register = -1;
    if (bits === 64) x.write(variable, value);
    else if (bits === 32) x.write(variable, x.extendU(value));
    else {
      const shift = (cell & 7) * 8;
      const mask = (bits === 8 ? 0xff : 0xffff) << shift;
      const narrow = x.and(value, x.i32((1 << bits) - 1));
      const kept = x.and(x.read(variable), x.i64(~mask));
      x.write(variable, x.or(kept, x.shl(x.extendU(narrow), x.i64(shift))));
      if (bits === 8 && shift === 0 && !this.compiler.isNested) {
        // Who reads it next need not wait until it is put together with the rest and taken apart again.
        x.write(cells.lowByte.variable, narrow);
        cells.lowByte.register = cell >> 3;
      }
    }
  }

  // Flags.

  override readFlags(): StatusFlags {
    return this.cells.flags.read();
  }

  override writeFlags(flags: StatusFlags): void {
    this.cells.flags.setCanonical(flags);
  }

  override deferFlags(
    operands: readonly Value[],
    formula: (operands: readonly Value[]) => StatusFlags,
  ): void {
    this.cells.flags.defer(operands, formula);
  }

  override deferSomeFlags(
    operands: readonly Value[],
    kept: 'noncarry' | 'any',
    formula: (old: StatusFlags, operands: readonly Value[]) => StatusFlags,
  ): void {
    this.cells.flags.deferSome(operands, kept, formula);
  }

  override addFlags(bits: number, a: Value, b: Value, result: Value): void {
    const { x } = this;
    if (this.mnemonic === 'ADD' || this.mnemonic === 'XADD') this.cells.flags.set('add', bits, a, b);
    else this.deferFlags([a, b, result], ([a, b, result]) => addFlags(x, bits, a, b, result));
  }

  override subtractFlags(bits: number, a: Value, b: Value, result: Value): void {
    const { x } = this;
    if (this.mnemonic !== 'SBB') this.cells.flags.set('subtract', bits, a, b);
    else this.deferFlags([a, b, result], ([a, b, result]) => subtractFlags(x, bits, a, b, result));
  }

  override logicFlags(bits: number, result: Value): void {
    this.cells.flags.set('logic', bits, result);
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

  // Floating point.

  override vectorConstant(words: readonly number[]): Value {
    const variable = this.cells.constants.get(words);
    return variable === undefined ? super.vectorConstant(words) : this.x.read(variable);
  }

  override isLoud(): Value {
    const { loud } = this.cells;
    return loud === undefined ? super.isLoud() : this.x.read(loud);
  }

  override mxcsrChanged(): void {
    const { loud } = this.cells;
    if (loud !== undefined) this.x.write(loud, super.isLoud());
  }

  // Memory: a miss leaves, and the interpreter executes the instruction.

  protected override checkLinear(address: Value, bytes: number, what: number): Variable {
    const { x, cells } = this;
    const isWrite = (what & AccessRequest.write) !== 0;
    return cells.accesses.host(address, bytes, isWrite, () => {
      const low = x.wrap(address);
      const entry = dataEntryOf(x, x.read(cells.bank), low);
      const tag = x.load(Op.i64Load, entry, isWrite ? tlbEntry.writeTag : tlbEntry.readTag);
      x.if(isOtherPage(x, tag, address, bytes), () => cells.leave(), undefined, false);
      return x.add(low, x.load(Op.i32Load, entry, tlbEntry.addend));
    });
  }

  protected override refuse(): void {
    this.cells.leave();
  }

  override commitPlace(): void {}

  protected override bank(): Value {
    return this.x.read(this.cells.bank);
  }

  // Branches.

  override nextInstruction(): Value {
    const { x } = this;
    return this.narrowTarget(x.add(this.cells.instructionBase(), x.i64(this.fields.next)));
  }

  override thisInstruction(): Value {
    const { x } = this;
    return this.wrapCode(x.add(this.cells.instructionBase(), x.i64(this.fields.start)));
  }

  override x87Opcode(): Value {
    return this.x.i32(this.fields.immediate);
  }

  override jump(condition?: Value): void {
    this.cells.endBlock();
    if (this.mnemonic === 'CALL') this.cells.noteReturn();
    if (condition !== undefined) {
      this.x.if(condition, () => this.cells.goTo(true), undefined, this.cells.isLikely());
      this.cells.goTo(false);
    } else this.cells.goTo(true);
  }

  override jumpTo(address: Value): void {
    const { x } = this;
    this.cells.endBlock();
    const offset = x.copy(x.typeOf(address) === ValueType.i64 ? address : x.extendU(address));
    this.cells.goToAddress(offset, x.copy(this.linearTarget(offset)));
  }

  override fault(_vector: number, condition?: Value): void {
    if (condition === undefined) this.cells.leave();
    else this.x.if(condition, () => this.cells.leave(), undefined, false);
  }

  override nextAddress(): Value {
    const { x } = this;
    return x.add(this.cells.instructionBase(), x.i64(this.fields.next));
  }

  override instructionsLeft(): Value {
    return this.x.read(this.cells.budget);
  }

  override leaveToService(condition?: Value): void {
    if (condition === undefined) this.cells.leave();
    else this.x.if(condition, () => this.cells.leave(), undefined, false);
  }

  override enterAt(): void {
    throw new Error('changes of privilege are interpreted');
  }

  override repeat(iteration: () => void): void {
    if (this.shape.repeat !== 0) throw new Error('repeated instructions are interpreted');
    iteration();
  }
}

function extractOf(bits: number): number {
  if (bits === 64) return Op.i64x2ExtractLane;
  if (bits === 32) return Op.i32x4ExtractLane;
  return bits === 16 ? Op.i16x8ExtractLaneU : Op.i8x16ExtractLaneU;
}

function replaceOf(bits: number): number {
  if (bits === 64) return Op.i64x2ReplaceLane;
  if (bits === 32) return Op.i32x4ReplaceLane;
  return bits === 16 ? Op.i16x8ReplaceLane : Op.i8x16ReplaceLane;
}
