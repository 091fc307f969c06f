import { type Expressions, Op, type Value, type Variable } from '@nest86/wasm';
import { AccessRequest, lossesOffset, tlbEntry } from '../memory/fast-tlb.ts';
import { conditionOf } from '../semantics/branches.ts';
import { Exception, Operation, type Place } from '../semantics/operation.ts';
import { Segment, stateOffset } from '../state/layout.ts';
import { dataEntryOf } from './core-handlers.ts';
import type { HandlerShape, OperandShape, RegisterField } from './shape.ts';
import { loadOf, storeOf } from './widths.ts';

interface StagedPlace extends Place {
  /** i32, host address of the bytes. */
  readonly host: Variable;
  /** Scratch slot that would serve the bytes if RAM cannot. */
  readonly slot: number;
}

/** What handlers and regions have in common: operands by their shapes, segments, places. */
export abstract class StagedOperation extends Operation {
  /** The memory operand once it was checked, by operand number. */
  private readonly operandPlaces: (StagedPlace | undefined)[] = [];
  private slots = 0;

  constructor(
    x: Expressions,
    protected readonly shape: HandlerShape,
    readonly state: Value,
  ) {
    super(x);
  }

  // What the record holds.

  protected abstract immediate(field: 'immediate' | 'displacement' | 'both', bits: number): Value;
  /** A general register operand. */
  protected abstract loadCell(field: RegisterField, bits: number): Value;
  protected abstract storeCell(field: RegisterField, bits: number, value: Value): void;
  /** Number in a record's byte field. */
  protected abstract fieldNumber(field: RegisterField): Value;
  /** Address and constant offset of the cell `base + (number << shift)` of the state. */
  protected abstract cellOf(field: RegisterField, base: number, shift: number): [Value, number];
  /** 16 bytes of a vector register operand, and its lowest element. */
  protected abstract loadVector(field: RegisterField, lane: number): Value;
  protected abstract storeVector(field: RegisterField, lane: number, value: Value): void;
  protected abstract loadElement(field: RegisterField, bits: number): Value;
  protected abstract storeElement(field: RegisterField, bits: number, value: Value): void;
  protected abstract addressRegister(field: 'base' | 'index'): Value;
  protected abstract displacement(isAbsolute: boolean): Value;
  /** Host address of bytes at a linear address, by the fast TLB; leaves with a fault. @param what see AccessRequest */
  protected abstract checkLinear(address: Value, bytes: number, what: number): Variable;
  /** Address of the fast TLB's bank. */
  protected abstract bank(): Value;
  /** Leaves with the fault that a request stands for. */
  protected abstract refuse(address: Value, what: number): void;

  // Known when built.

  override get mnemonic(): string {
    return this.shape.mnemonic;
  }

  override get operandBits(): number {
    return this.shape.operandBits;
  }

  override get addressBits(): number {
    return this.shape.memory?.addressBits ?? this.shape.mode.bits;
  }

  override get modeBits(): number {
    return this.shape.mode.bits;
  }

  override get vendor(): 'intel' | 'amd' {
    return this.shape.mode.vendor;
  }

  override get isVex(): boolean {
    return this.shape.encoding !== 0;
  }

  override get lanes(): number {
    return this.shape.vectorBytes > 16 ? this.shape.vectorBytes / 16 : 1;
  }

  override get isRepeated(): boolean {
    return this.shape.repeat !== 0;
  }

  override get operandCount(): number {
    return this.shape.operands.length;
  }

  override get scale(): number {
    return this.shape.memory?.scale ?? -1;
  }

  override get dataSegment(): number {
    return this.shape.memory?.segment ?? Segment.ds;
  }

  override bits(operand: number): number {
    const shape = this.shape.operands[operand];
    return shape.kind === 'relative' ? this.shape.operandBits : shape.bits;
  }

  override isMemory(operand: number): boolean {
    return this.shape.operands[operand]?.kind === 'memory';
  }

  override kind(operand: number): string {
    return this.shape.operands[operand]?.kind ?? 'none';
  }

  override constantImmediate(operand: number): number {
    const shape = this.shape.operands[operand];
    if (shape.kind !== 'immediate' || shape.value === undefined)
      throw new Error(`${this.mnemonic} is not among the mnemonics with constant immediates`);
    return shape.value;
  }

  override conditionCode(): number {
    return conditionOf(this.mnemonic);
  }

  // Operands.

  override read(operand: number): Value {
    const shape = this.shape.operands[operand];
    switch (shape.kind) {
      case 'register':
        return this.loadCell(shape.field, shape.bits);
      case 'memory':
        return this.loadPlace(this.operandPlace(operand, 'read'));
      case 'immediate':
        return this.immediate(shape.field, shape.bits);
      case 'mmx':
      case 'opmask':
        return this.x.load(Op.i64Load, ...this.operandCell(shape));
      case 'segment':
        return this.x.load(Op.i32Load, ...this.operandCell(shape));
      default:
        throw new Error(`operand ${operand} of ${this.mnemonic} (${shape.kind}) has no general value`);
    }
  }

  override readForWrite(operand: number): Value {
    return this.isMemory(operand)
      ? this.loadPlace(this.operandPlace(operand, 'readWrite'))
      : this.read(operand);
  }

  override write(operand: number, value: Value): void {
    const shape = this.shape.operands[operand];
    const { x } = this;
    switch (shape.kind) {
      case 'register':
        this.storeCell(shape.field, shape.bits, value);
        break;
      case 'memory': {
        const known = this.operandPlaces[operand];
        const place = known ?? this.operandPlace(operand, 'write');
        this.storePlace(place, value, shape.bits);
        this.commitPlace(place);
        break;
      }
      case 'mmx': {
        const [address, offset] = this.operandCell(shape);
        x.store(Op.i64Store, address, value, offset);
        // Exponent and sign become ones (SDM vol. 1, 9.6).
        x.store(Op.i32Store16, address, x.i32(0xffff), offset + 8);
        break;
      }
      case 'opmask': {
        const [address, offset] = this.operandCell(shape);
        x.store(Op.i64Store, address, value, offset);
        break;
      }
      default:
        throw new Error(`operand ${operand} of ${this.mnemonic} (${shape.kind}) cannot be written`);
    }
  }

  override registerNumber(operand: number): Value {
    const shape = this.shape.operands[operand];
    if (!('field' in shape) || shape.kind === 'immediate' || shape.kind === 'register')
      throw new Error(`operand ${operand} of ${this.mnemonic} has no register number`);
    return this.fieldNumber(shape.field);
  }

  private operandCell(shape: OperandShape): [Value, number] {
    switch (shape.kind) {
      case 'mmx':
        return this.cellOf(shape.field, stateOffset.x87, 4);
      case 'opmask':
        return this.cellOf(shape.field, stateOffset.opmask, 3);
      case 'segment':
        return this.cellOf(shape.field, stateOffset.segmentSelector, 2);
      default:
        throw new Error(`${shape.kind} operands have no cell`);
    }
  }

  // Vectors.

  override readVector(operand: number, lane = 0): Value {
    const shape = this.shape.operands[operand];
    if (shape.kind === 'memory') {
      const place = this.operandPlaces[operand] ?? this.operandPlace(operand, 'read');
      return this.loadPlace(place, 128, 16 * lane);
    }
    return this.loadVector(this.vectorField(operand), lane);
  }

  override readVectorIndex(lane = 0): Value {
    return this.loadVector('index', lane);
  }

  override writeVector(operand: number, values: readonly Value[]): void {
    if (this.isMemory(operand)) {
      const place = this.operandPlaces[operand] ?? this.operandPlace(operand, 'write');
      for (const [lane, value] of values.entries()) this.storePlace(place, value, 128, 16 * lane);
      this.commitPlace(place);
      return;
    }
    const field = this.vectorField(operand);
    for (const [lane, value] of values.entries()) this.storeVector(field, lane, value);
    this.clearAbove(field, values.length);
  }

  override readElement(operand: number, bits: number): Value {
    const shape = this.shape.operands[operand];
    if (shape.kind === 'memory') {
      const place = this.operandPlaces[operand] ?? this.operandPlace(operand, 'read');
      return this.loadPlace(place, bits);
    }
    return this.loadElement(this.vectorField(operand), bits);
  }

  override writeElement(operand: number, bits: number, value: Value): void {
    const shape = this.shape.operands[operand];
    if (shape.kind === 'memory') {
      this.write(operand, value);
      return;
    }
    const field = this.vectorField(operand);
    this.storeElement(field, bits, value);
    this.clearAbove(field, 1);
  }

  /** VEX: what lies above the lanes that were written becomes 0 (SDM vol. 1, 14.1.3); without AVX-512, up to bit 255. */
  private clearAbove(field: RegisterField, lanes: number): void {
    if (this.shape.encoding === 0) return;
    for (let lane = lanes; lane < 2; lane++) this.storeVector(field, lane, this.x.v128([0, 0, 0, 0]));
  }

  private vectorField(operand: number): RegisterField {
    const shape = this.shape.operands[operand];
    if (shape.kind !== 'vector')
      throw new Error(`operand ${operand} of ${this.mnemonic} is no vector register`);
    return shape.field;
  }

  // Memory.

  override effectiveAddress(_operand: number): Value {
    const { x } = this;
    const memory = this.shape.memory;
    if (memory === undefined) throw new Error(`${this.mnemonic} has no memory operand`);
    if (memory.isAbsolute) return this.wrapAddress(this.displacement(true), memory.addressBits);
    let address = this.addressRegister('base');
    if (memory.scale >= 0 && !memory.isVectorIndex)
      address = x.add(address, x.shl(this.addressRegister('index'), x.i64(memory.scale)));
    return this.wrapAddress(x.add(address, this.displacement(false)), memory.addressBits);
  }

  protected wrapAddress(address: Value, bits: number): Value {
    const { x } = this;
    if (bits === 64) return address;
    return x.and(address, bits === 32 ? x.i64(-1, 0) : x.i64(0xffff));
  }

  override operandPlace(
    operand: number,
    access: 'read' | 'write' | 'readWrite',
    displacement?: Value,
  ): Place {
    const known = this.operandPlaces[operand];
    if (known !== undefined) return known;
    const { x, shape } = this;
    let offset = this.effectiveAddress(operand);
    if (displacement !== undefined) offset = this.wrapAddress(x.add(offset, displacement), this.addressBits);
    const place = this.place(this.dataSegment, offset, this.bits(operand), access, shape.needsAlignment);
    this.operandPlaces[operand] = this.placeOf(place);
    return place;
  }

  override place(
    segment: number,
    offset: Value,
    bits: number,
    access: 'read' | 'write' | 'readWrite',
    needsAlignment = false,
  ): Place {
    const bytes = bits / 8;
    const slot = this.slots++ & 3;
    const what =
      (access === 'read' ? 0 : AccessRequest.write) |
      (access === 'readWrite' ? AccessRequest.modify : 0) |
      (segment === Segment.ss ? AccessRequest.stack : 0) |
      (slot << AccessRequest.slotShift);
    const linear = this.linear(segment, offset, bytes, what);
    if (needsAlignment && bytes >= 16)
      this.checkAlignment(linear, bytes, what, AccessRequest.misalignedVector);
    else if (this.shape.mode.checksAlignment && bytes > 1 && bytes <= 10)
      this.checkAlignment(linear, bytes, what, AccessRequest.misaligned);
    const place: StagedPlace = { bits, host: this.checkLinear(linear, bytes, what), slot };
    return place;
  }

  private checkAlignment(linear: Value, bytes: number, what: number, kind: number): void {
    const { x } = this;
    // Extended reals want a multiple of 8 (SDM vol. 3, table 6-7).
    const isOff = x.and(x.wrap(linear), x.i32((bytes === 10 ? 8 : bytes) - 1));
    x.if(isOff, () => this.refuse(linear, what | kind | bytes), undefined, false);
  }

  /** Linear address of bytes in a segment, with the segment's checks. */
  private linear(segment: number, offset: Value, bytes: number, what: number): Value {
    const { x, state } = this;
    const { mode } = this.shape;
    const base = (): Value => x.load(Op.i64Load, state, stateOffset.segmentBase + 8 * segment);
    if (mode.bits === 64) return segment >= Segment.fs ? x.add(offset, base()) : offset;
    if (mode.isFlat && segment < Segment.fs && segment !== Segment.cs) return offset;
    const first = x.load(Op.i64Load32U, state, stateOffset.segmentFirst + 4 * segment);
    const last = x.load(Op.i64Load32U, state, stateOffset.segmentLast + 4 * segment);
    const rights = x.load(Op.i32Load, state, stateOffset.segmentRights + 4 * segment);
    const isOutside = x.or(
      x.ltU(offset, first),
      x.gtU(bytes === 1 ? offset : x.add(offset, x.i64(bytes - 1)), last),
    );
    // A read needs bit 0, a write bit 1.
    const needed = (what & AccessRequest.write) === 0 ? 1 : (what & AccessRequest.modify) !== 0 ? 3 : 2;
    const isForbidden = x.ne(x.and(rights, x.i32(needed)), x.i32(needed));
    x.if(
      x.or(isOutside, isForbidden),
      () => this.refuse(offset, what | AccessRequest.segmentFault | bytes),
      undefined,
      false,
    );
    return x.and(x.add(offset, base()), x.i64(-1, 0));
  }

  override directPlace(segment: number, offset: Value, access: 'read' | 'write'): Value {
    const { x, state } = this;
    const { mode } = this.shape;
    let address = offset;
    if (mode.bits === 64) {
      if (segment >= Segment.fs)
        address = x.add(offset, x.load(Op.i64Load, state, stateOffset.segmentBase + 8 * segment));
    } else if (!mode.isFlat || segment >= Segment.fs || segment === Segment.cs) return x.i32(0);
    const entry = dataEntryOf(x, x.load(Op.i32Load, state, stateOffset.tlbBank), x.wrap(address));
    const tag = x.load(Op.i64Load, entry, access === 'write' ? tlbEntry.writeTag : tlbEntry.readTag);
    const host = x.add(x.wrap(address), x.load(Op.i32Load, entry, tlbEntry.addend));
    return x.select(x.eq(tag, x.and(address, x.i64(-4096))), host, x.i32(0));
  }

  override translationLosses(): Value {
    const { x, state } = this;
    return x.load(Op.i32Load, x.load(Op.i32Load, state, stateOffset.tlbBank), lossesOffset);
  }

  override loadPlace(place: Place, bits: number = place.bits, offset = 0): Value {
    return this.x.load(loadOf(bits), this.x.read(this.placeOf(place).host), offset);
  }

  override storePlace(place: Place, value: Value, bits: number = place.bits, offset = 0): void {
    this.x.store(storeOf(bits), this.x.read(this.placeOf(place).host), value, offset);
  }

  protected placeOf(place: Place): StagedPlace {
    return place as StagedPlace;
  }

  // Stack and branches.

  override stackPointer(): Value {
    const { x } = this;
    const bits = this.shape.mode.stackAddressBits;
    const value = this.readRegister(4, bits);
    return bits === 64 ? value : x.extendU(value);
  }

  override setStackPointer(value: Value): void {
    const bits = this.shape.mode.stackAddressBits;
    this.writeRegister(4, bits, bits === 64 ? value : this.x.wrap(value));
  }

  override wrapStackPointer(value: Value): Value {
    return this.wrapAddress(value, this.shape.mode.stackAddressBits);
  }

  override push(value: Value, bits: number = this.operandBits): void {
    const { x } = this;
    const kept = x.copy(value);
    const pointer = x.copy(this.wrapStackPointer(x.sub(this.stackPointer(), x.i64(bits / 8))));
    const place = this.place(Segment.ss, pointer, bits, 'write');
    this.storePlace(place, kept);
    this.commitPlace(place);
    this.setStackPointer(pointer);
  }

  override pop(bits: number = this.operandBits): Value {
    const { x } = this;
    const pointer = x.copy(this.stackPointer());
    const value = x.copy(this.load(Segment.ss, pointer, bits));
    this.setStackPointer(this.wrapStackPointer(x.add(pointer, x.i64(bits / 8))));
    return value;
  }

  /** An offset in CS. */
  protected wrapCode(offset: Value): Value {
    return this.shape.mode.bits === 64 ? offset : this.x.and(offset, this.x.i64(-1, 0));
  }

  protected narrowTarget(offset: Value): Value {
    const { x } = this;
    if (this.operandBits === 64) return offset;
    const low = x.wrap(offset);
    return this.operandBits === 32 ? low : x.and(low, x.i32(0xffff));
  }

  /** i64 linear address of a branch target. */
  protected linearTarget(address: Value): Value {
    const { x } = this;
    const offset = x.typeOf(address) === 0x7e ? address : x.extendU(address);
    if (this.shape.mode.bits === 64) return offset;
    const base = x.load(Op.i64Load, this.state, stateOffset.segmentBase + 8 * Segment.cs);
    return x.and(x.add(offset, base), x.i64(-1, 0));
  }

  override isCanonical(address: Value): Value {
    const { x } = this;
    const shift = x.i64(64 - this.shape.mode.linearBits);
    return x.eq(x.shrS(x.shl(address, shift), shift), address);
  }

  override checkTarget(address: Value): void {
    const { x } = this;
    const { mode } = this.shape;
    if (mode.bits === 64) {
      if (x.typeOf(address) !== 0x7e) return;
      this.fault(Exception.generalProtection, x.eqz(this.isCanonical(address)), x.i32(0));
      return;
    }
    const limit = x.load(Op.i32Load, this.state, stateOffset.segmentLimit + 4 * Segment.cs);
    const offset = x.typeOf(address) === 0x7e ? x.wrap(address) : address;
    this.fault(Exception.generalProtection, x.gtU(offset, limit), x.i32(0));
  }
}
