import type { CodeWriter, Label } from './code.ts';
import { canEvaluate, evaluate, type Scalar, signatureOf } from './evaluate.ts';
import { nameOf } from './evaluate-vector.ts';
import { type Callee, Expressions, type Value, type Variable } from './expressions.ts';
import { Op } from './opcodes.ts';
import { ValueType } from './types.ts';

const typeOfLetter: Record<string, number> = {
  i: ValueType.i32,
  I: ValueType.i64,
  f: ValueType.f32,
  F: ValueType.f64,
  v: ValueType.v128,
};

/*
 * A value is a number: `slot << 3 | type` for what stands in a local, the complement of `row << 3 | type` for a constant. Types count from v128
 * (0) to i32 (4). A slot leads to its local through a table, so that a
 * value that was read from a variable can be called stale once the variable is written.
 */
const typeBits = 7;
const typeBase = ValueType.v128;
/** Local of a slot whose variable has another value now. */
const stale = -1;

/** Writes WebAssembly for definitions. One serves for as many functions as wanted. */
export class Compiler extends Expressions {
  readonly code: CodeWriter;
  private readonly slotLocals: number[] = [];
  /** The variable that a slot was read from, or -1; and how many loops were open then. */
  private readonly slotVariables: number[] = [];
  private readonly slotLoops: number[] = [];
  private slots = 0;
  private readonly constantLow: number[] = [];
  private readonly constantHigh: number[] = [];
  private readonly constantWords: (readonly number[] | undefined)[] = [];
  /** Locals for temporaries by type, and how many of each are in use: recycled, since every new local makes compiling slower. */
  private readonly pools: number[][] = [[], [], [], [], []];
  private readonly used: number[] = [0, 0, 0, 0, 0];
  /** By variable: its local, its type, and the slot that stands for its present value or -1. */
  private readonly variableLocals: number[] = [];
  private readonly variableTypes: number[] = [];
  private readonly variableAlias: number[] = [];
  private lastingVariables = 0;
  private loops = 0;

  /** @param addressType of the memory, for the types of addresses */
  constructor(
    code: CodeWriter,
    private readonly addressType: typeof ValueType.i32 | typeof ValueType.i64 = ValueType.i32,
  ) {
    super();
    this.code = code;
  }

  /** Starts a function whose {@link CodeWriter.begin} was called; forgets all variables. */
  begin(): void {
    for (const pool of this.pools) pool.length = 0;
    this.variableLocals.length = 0;
    this.variableTypes.length = 0;
    this.variableAlias.length = 0;
    this.lastingVariables = 0;
    this.loops = 0;
    this.recycle();
  }

  /** A variable for the whole function. @param local a parameter to use, else a new local */
  variable(type: ValueType, local: number = this.code.newLocal(type)): Variable {
    if (this.lastingVariables !== this.variableLocals.length) throw new Error('variable after a temporary');
    this.lastingVariables++;
    return this.newVariable(local, type);
  }

  override i32(value: number): Value {
    return this.constant(ValueType.i32, value | 0, 0);
  }

  override i64(low: number, high: number = low >> 31): Value {
    return this.constant(ValueType.i64, low | 0, high | 0);
  }

  override f32(bits: number): Value {
    return this.constant(ValueType.f32, bits | 0, 0);
  }

  override f64(low: number, high: number): Value {
    return this.constant(ValueType.f64, low | 0, high | 0);
  }

  override v128(words: readonly number[]): Value {
    const value = this.constant(ValueType.v128, 0, 0);
    this.constantWords[~value >> 3] = words;
    return value;
  }

  override typeOf(value: Value): ValueType {
    return (((value >= 0 ? value : ~value) & typeBits) + typeBase) as ValueType;
  }

  override compute(op: number, a: Value, b?: Value, c?: Value): Value {
    const signature = signatureOf(op);
    if (a < 0 && (b === undefined || b < 0) && c === undefined) {
      const folded = this.fold(op, signature, a, b);
      if (folded !== undefined) return folded;
    }
    if (b !== undefined && b < 0 && this.isNeutral(op, b)) return a;
    this.push(a);
    this.expect(op, signature, 0, a);
    if (b !== undefined) {
      this.push(b);
      this.expect(op, signature, 1, b);
    }
    if (c !== undefined) {
      this.push(c);
      this.expect(op, signature, 2, c);
    }
    this.code.op(op);
    return this.pop(typeOfLetter[signature[signature.length - 1]]);
  }

  override select(condition: Value, yes: Value, no: Value): Value {
    if (condition < 0) return this.constantLow[~condition >> 3] !== 0 ? yes : no;
    if (yes === no) return yes;
    const type = this.typeOf(yes);
    this.push(yes);
    this.push(no);
    this.push(condition);
    if (type === ValueType.v128) this.code.selectTyped(type);
    else this.code.op(Op.select);
    return this.pop(type);
  }

  override extractLane(op: number, vector: Value, lane: number): Value {
    this.push(vector);
    this.code.lane(op, lane);
    return this.pop(typeOfLetter[signatureOf(op)[2]]);
  }

  override replaceLane(op: number, vector: Value, value: Value, lane: number): Value {
    this.push(vector);
    this.push(value);
    this.code.lane(op, lane);
    return this.pop(ValueType.v128);
  }

  override shuffle(a: Value, b: Value, lanes: readonly number[]): Value {
    this.push(a);
    this.push(b);
    this.code.shuffle(lanes);
    return this.pop(ValueType.v128);
  }

  override load(op: number, address: Value, offset: number): Value {
    this.pushAddress(address);
    this.code.memory(op, 0, offset);
    const signature = signatureOf(op);
    return this.pop(typeOfLetter[signature[signature.length - 1]]);
  }

  override store(op: number, address: Value, value: Value, offset: number): void {
    this.pushAddress(address);
    this.push(value);
    this.expect(op, signatureOf(op), 1, value);
    this.code.memory(op, 0, offset);
  }

  override copyMemory(target: Value, source: Value, length: Value): void {
    this.pushAddress(target);
    this.pushAddress(source);
    this.push(length);
    this.code.memoryCopy();
  }

  override fillMemory(target: Value, byte: Value, length: Value): void {
    this.pushAddress(target);
    this.push(byte);
    this.push(length);
    this.code.memoryFill();
  }

  override temporary(type: ValueType): Variable {
    return this.newVariable(this.takeLocal(type), type);
  }

  override read(variable: Variable): Value {
    const type = this.variableTypes[variable];
    let slot = this.variableAlias[variable];
    if (slot < 0 || this.slotLoops[slot] < this.loops) {
      slot = this.newSlot(this.variableLocals[variable]);
      this.slotVariables[slot] = variable;
      this.variableAlias[variable] = slot;
    }
    return (slot << 3) | (type - typeBase);
  }

  override copy(value: Value): Value {
    if (value < 0) return value;
    this.push(value);
    return this.pop(this.typeOf(value));
  }

  override write(variable: Variable, value: Value): void {
    const type = this.variableTypes[variable];
    if (this.typeOf(value) !== type)
      throw new Error(`variable of type ${type} written with ${this.typeOf(value)}`);
    if (value >= 0 && this.slotVariables[value >> 3] === variable) return;
    this.push(value);
    this.code.localSet(this.variableLocals[variable]);
    for (let slot = 0; slot < this.slots; slot++) {
      if (this.slotVariables[slot] === variable) this.slotLocals[slot] = stale;
    }
    this.variableAlias[variable] = -1;
  }

  override if(condition: Value, then: () => void, otherwise?: () => void, likely?: boolean): void {
    if (condition < 0) {
      if (this.constantLow[~condition >> 3] !== 0) then();
      else otherwise?.();
      return;
    }
    this.push(condition);
    this.code.ifThen(undefined, likely);
    then();
    if (otherwise !== undefined) {
      this.code.otherwise();
      otherwise();
    }
    this.code.end();
  }

  override block(body: (leave: (condition?: Value) => void) => void): void {
    const label = this.code.block();
    body((condition) => this.jump(label, condition));
    this.code.end();
  }

  override loop(body: (again: (condition?: Value) => void) => void): void {
    const label = this.code.loop();
    this.loops++;
    body((condition) => this.jump(label, condition));
    this.loops--;
    this.code.end();
  }

  override call(callee: Callee, args: readonly Value[]): Value | undefined {
    for (const arg of args) this.push(arg);
    this.code.call(callee.index);
    return callee.type.results.length > 0 ? this.pop(callee.type.results[0]) : undefined;
  }

  override recycle(): void {
    this.slots = 0;
    this.constantLow.length = 0;
    this.constantHigh.length = 0;
    this.constantWords.length = 0;
    this.used.fill(0);
    this.variableLocals.length = this.lastingVariables;
    this.variableTypes.length = this.lastingVariables;
    this.variableAlias.length = this.lastingVariables;
    this.variableAlias.fill(-1);
  }

  /** Puts a value onto WebAssembly's stack, for code written next to this by hand. */
  push(value: Value): void {
    if (value >= 0) {
      const local = this.slotLocals[value >> 3];
      if (local === stale) throw new Error('value of a variable that was written since: copy it before');
      if (this.slotVariables[value >> 3] >= 0 && this.slotLoops[value >> 3] < this.loops) {
        throw new Error(
          'value of a variable that was read before a loop: read it in the loop, or copy it before',
        );
      }
      this.code.localGet(local);
      return;
    }
    const row = ~value >> 3;
    const [low, high] = [this.constantLow[row], this.constantHigh[row]];
    switch (this.typeOf(value)) {
      case ValueType.i32:
        this.code.i32Const(low);
        break;
      case ValueType.i64:
        this.code.i64Const(low, high);
        break;
      case ValueType.f32:
        this.code.f32Const(low);
        break;
      case ValueType.f64:
        this.code.f64Const(low, high);
        break;
      default:
        this.code.v128Const(this.constantWords[row]!);
    }
  }

  /** Takes what stands on WebAssembly's stack as a value. */
  pop(type: number): Value {
    const local = this.takeLocal(type as ValueType);
    this.code.localSet(local);
    return (this.newSlot(local) << 3) | (type - typeBase);
  }

  private constant(type: number, low: number, high: number): Value {
    this.constantHigh.push(high);
    return ~(((this.constantLow.push(low) - 1) << 3) | (type - typeBase));
  }

  private newSlot(local: number): number {
    this.slotLocals[this.slots] = local;
    this.slotVariables[this.slots] = -1;
    this.slotLoops[this.slots] = this.loops;
    return this.slots++;
  }

  private newVariable(local: number, type: number): Variable {
    this.variableTypes.push(type);
    this.variableAlias.push(-1);
    return this.variableLocals.push(local) - 1;
  }

  private takeLocal(type: ValueType): number {
    const pool = this.pools[type - typeBase];
    const index = this.used[type - typeBase]++;
    if (index === pool.length) pool.push(this.code.newLocal(type));
    return pool[index];
  }

  private pushAddress(address: Value): void {
    if (this.typeOf(address) !== this.addressType) throw new Error(`address of type ${this.typeOf(address)}`);
    this.push(address);
  }

  private jump(label: Label, condition: Value | undefined): void {
    if (condition === undefined) this.code.br(label);
    else {
      this.push(condition);
      this.code.brIf(label);
    }
  }

  private expect(op: number, signature: string, operand: number, value: Value): void {
    const letter = signature[operand];
    if (letter !== 'a' && typeOfLetter[letter] !== this.typeOf(value)) {
      throw new Error(`operand ${operand} of ${nameOf(op)} has type 0x${this.typeOf(value).toString(16)}`);
    }
  }

  /** Integer constants are computed now. */
  private fold(op: number, signature: string, a: Value, b: Value | undefined): Value | undefined {
    if (!/^[iI]+:[iI]$/.test(signature) || !canEvaluate(op)) return undefined;
    let result: Scalar;
    try {
      result = b === undefined ? evaluate(op, this.scalar(a)) : evaluate(op, this.scalar(a), this.scalar(b));
    } catch {
      // A division that traps must trap when it runs.
      return undefined;
    }
    if (typeof result === 'bigint')
      return this.i64(Number(BigInt.asIntN(32, result)), Number(BigInt.asIntN(32, result >> 32n)));
    return this.i32(result as number);
  }

  private scalar(constant: Value): number | bigint {
    const row = ~constant >> 3;
    const low = this.constantLow[row];
    return this.typeOf(constant) === ValueType.i64
      ? (BigInt(this.constantHigh[row]) << 32n) | BigInt(low >>> 0)
      : low;
  }

  /** x + 0, x | 0, x << 0, x & -1 and the like. */
  private isNeutral(op: number, constant: Value): boolean {
    const row = ~constant >> 3;
    const low = this.constantLow[row];
    const high = this.typeOf(constant) === ValueType.i64 ? this.constantHigh[row] : low >> 31;
    switch (op) {
      case Op.i32Add:
      case Op.i64Add:
      case Op.i32Sub:
      case Op.i64Sub:
      case Op.i32Or:
      case Op.i64Or:
      case Op.i32Xor:
      case Op.i64Xor:
      case Op.i32Shl:
      case Op.i64Shl:
      case Op.i32ShrU:
      case Op.i64ShrU:
      case Op.i32ShrS:
      case Op.i64ShrS:
        return low === 0 && high === 0;
      case Op.i32And:
      case Op.i64And:
        return low === -1 && high === -1;
      default:
        return false;
    }
  }
}
