import { ByteWriter } from './bytes.ts';
import { Op } from './opcodes.ts';
import type { FunctionType, MemoryShape, ValueType } from './types.ts';

/** A place that branches can name; made by `block`, `loop` and `ifThen`. */
export type Label = number;

/** Bytes of a type in a block's signature. */
const voidBlock = 0x40;

/**
 * Writes the body of one function at a time into a buffer that is reused; {@link ModuleBuilder.define} takes it from there. The order of
 * calls is the order of instructions, as on WebAssembly's stack.
 */
export class CodeWriter {
  readonly body: ByteWriter = new ByteWriter();
  /** Types of the function's parameters and locals, by index. */
  readonly localTypes: number[] = [];
  /** Likely branches: offset in the body and 0 (unlikely) or 1, in pairs. */
  readonly hints: number[] = [];
  parameterCount = 0;
  private depth = 0;
  /** The last `local.set`: where it stands, its end or -1, and what it sets. A `local.get` right behind it makes it a `local.tee`. */
  private lastSetAt = 0;
  private lastSetEnd = -1;
  private lastSetLocal = -1;
  private readonly wide: boolean;

  constructor(memory: MemoryShape) {
    this.wide = memory.addressType === 'i64';
  }

  /** Starts the next function. */
  begin(type: FunctionType): void {
    this.body.length = 0;
    this.localTypes.length = 0;
    this.hints.length = 0;
    for (const parameter of type.parameters) this.localTypes.push(parameter);
    this.parameterCount = type.parameters.length;
    this.depth = 0;
    this.lastSetEnd = -1;
  }

  newLocal(type: ValueType): number {
    return this.localTypes.push(type) - 1;
  }

  /** An instruction without immediates. */
  op(op: number): void {
    const prefix = (op >> 8) & 0xff;
    if (prefix !== 0) {
      this.body.byte(prefix);
      this.body.unsigned(op & 0xff);
    } else this.body.byte(op & 0xff);
  }

  /** A load, store or atomic. @param align log2 of the alignment that is promised */
  memory(op: number, align: number, offset: number): void {
    this.op(op);
    if (this.wide) {
      this.body.unsigned(align);
      this.body.unsigned64(offset);
    } else this.body.byteAndUnsigned(align, offset);
  }

  /** A load or store of one lane, or an extraction or replacement. */
  lane(op: number, lane: number): void {
    this.op(op);
    this.body.byte(lane);
  }

  memoryLane(op: number, align: number, offset: number, lane: number): void {
    this.memory(op, align, offset);
    this.body.byte(lane);
  }

  /** @param lanes 16 numbers from 0 to 31 */
  shuffle(lanes: readonly number[]): void {
    this.op(Op.i8x16Shuffle);
    for (const lane of lanes) this.body.byte(lane);
  }

  i32Const(value: number): void {
    this.body.byte(Op.i32Const & 0xff);
    this.body.signed(value);
  }

  i64Const(low: number, high: number): void {
    this.body.byte(Op.i64Const & 0xff);
    this.body.signed64(low, high);
  }

  /** By bits, so that NaN payloads survive. */
  f32Const(bits: number): void {
    this.body.byte(Op.f32Const & 0xff);
    this.body.fixed32(bits);
  }

  f64Const(low: number, high: number): void {
    this.body.byte(Op.f64Const & 0xff);
    this.body.fixed32(low);
    this.body.fixed32(high);
  }

  /** @param words four 32-bit lanes, low first */
  v128Const(words: readonly number[]): void {
    this.op(Op.v128Const);
    for (const word of words) this.body.fixed32(word);
  }

  localGet(local: number): void {
    const { body } = this;
    if (this.lastSetLocal === local && body.length === this.lastSetEnd) {
      body.bytes[this.lastSetAt] = Op.localTee & 0xff;
      this.lastSetEnd = -1;
    } else body.byteAndUnsigned(Op.localGet & 0xff, local);
  }

  localSet(local: number): void {
    const { body } = this;
    this.lastSetAt = body.length;
    this.lastSetLocal = local;
    body.byteAndUnsigned(Op.localSet & 0xff, local);
    this.lastSetEnd = body.length;
  }

  localTee(local: number): void {
    this.body.byteAndUnsigned(Op.localTee & 0xff, local);
  }

  globalGet(global: number): void {
    this.body.byte(Op.globalGet & 0xff);
    this.body.unsigned(global);
  }

  globalSet(global: number): void {
    this.body.byte(Op.globalSet & 0xff);
    this.body.unsigned(global);
  }

  /** `select` for types that the plain one does not take (v128). */
  selectTyped(type: ValueType): void {
    this.body.byte(0x1c);
    this.body.byte(1);
    this.body.byte(type);
  }

  block(result: ValueType | undefined = undefined): Label {
    return this.open(Op.block, result);
  }

  loop(result: ValueType | undefined = undefined): Label {
    return this.open(Op.loop, result);
  }

  /** Takes an i32 from the stack. @param likely branch hint, where the engine reads them */
  ifThen(result: ValueType | undefined = undefined, likely: boolean | undefined = undefined): Label {
    this.hint(likely);
    return this.open(Op.if, result);
  }

  otherwise(): void {
    this.forget();
    this.body.byte(Op.else & 0xff);
  }

  end(): void {
    this.forget();
    this.depth--;
    this.body.byte(Op.end & 0xff);
  }

  br(label: Label): void {
    this.body.byte(Op.br & 0xff);
    this.body.unsigned(this.depth - label);
  }

  brIf(label: Label, likely: boolean | undefined = undefined): void {
    this.hint(likely);
    this.body.byte(Op.brIf & 0xff);
    this.body.unsigned(this.depth - label);
  }

  brTable(labels: readonly Label[], fallback: Label): void {
    this.body.byte(Op.brTable & 0xff);
    this.body.unsigned(labels.length);
    for (const label of labels) this.body.unsigned(this.depth - label);
    this.body.unsigned(this.depth - fallback);
  }

  call(functionIndex: number): void {
    this.body.byte(Op.call & 0xff);
    this.body.unsigned(functionIndex);
  }

  returnCall(functionIndex: number): void {
    this.body.byte(Op.returnCall & 0xff);
    this.body.unsigned(functionIndex);
  }

  callIndirect(typeIndex: number, table = 0): void {
    this.body.byte(Op.callIndirect & 0xff);
    this.body.unsigned(typeIndex);
    this.body.unsigned(table);
  }

  returnCallIndirect(typeIndex: number, table = 0): void {
    this.body.byte(Op.returnCallIndirect & 0xff);
    this.body.unsigned(typeIndex);
    this.body.unsigned(table);
  }

  memoryCopy(): void {
    this.op(Op.memoryCopy);
    this.body.byte(0);
    this.body.byte(0);
  }

  memoryFill(): void {
    this.op(Op.memoryFill);
    this.body.byte(0);
  }

  /** Ends the function; every block must be closed. */
  finish(): void {
    if (this.depth !== 0) throw new Error(`${this.depth} blocks are open at the end of a function`);
    this.body.byte(Op.end & 0xff);
  }

  private open(op: number, result: ValueType | undefined): Label {
    this.forget();
    this.body.byte(op & 0xff);
    this.body.byte(result ?? voidBlock);
    return ++this.depth;
  }

  /** A value set before a join cannot be taken from the stack behind it. */
  private forget(): void {
    this.lastSetEnd = -1;
  }

  private hint(likely: boolean | undefined): void {
    if (likely !== undefined) this.hints.push(this.body.length, likely ? 1 : 0);
  }
}
