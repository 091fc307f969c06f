import type { CodeWriter, Label } from './code.ts';
import { canEvaluate, evaluate, type Scalar } from './evaluate.ts';
import { nameOf } from './evaluate-vector.ts';
import { type Callee, Expressions, type Value, type Variable } from './expressions.ts';
import { Op, signatures } from './opcodes.ts';
import { ValueType } from './types.ts';

const typeOfLetter: Record<string, number> = {
  i: ValueType.i32,
  I: ValueType.i64,
  f: ValueType.f32,
  F: ValueType.f64,
  v: ValueType.v128,
};

/** By row of `signatures`: types of the first three operands (0 for an address) and of the result, and whether constants can be folded. */
const operandTypes = new Uint8Array(4 * signatures.length);
const resultTypes = new Uint8Array(signatures.length);
const isFoldable = new Uint8Array(signatures.length);
for (const [row, signature] of signatures.entries()) {
  const [operands, results = ''] = signature.split(' ')[0].split(':');
  for (let i = 0; i < Math.min(3, operands.length); i++)
    operandTypes[4 * row + i] = typeOfLetter[operands[i]] ?? 0;
  resultTypes[row] = typeOfLetter[results] ?? 0;
  isFoldable[row] = /^[iI]+:[iI]$/.test(signature) ? 1 : 0;
}

/** By opcode: 1 where 0 as second operand changes nothing, 2 where -1 does. */
const neutralConstants = new Uint8Array(256);
for (const op of [
  ...[Op.i32Add, Op.i64Add, Op.i32Sub, Op.i64Sub, Op.i32Or, Op.i64Or, Op.i32Xor, Op.i64Xor],
  ...[Op.i32Shl, Op.i64Shl, Op.i32ShrU, Op.i64ShrU, Op.i32ShrS, Op.i64ShrS],
])
  neutralConstants[op & 0xff] = 1;
for (const op of [Op.i32And, Op.i64And]) neutralConstants[op & 0xff] = 2;

/*
 * A value is a number: `slot << 3 | type` for what stands in a local, the complement of `row << 3 | type` for a constant. Types count from v128
 * (0) to i32 (4). A slot leads to its local through a table, so that a
 * value that was read from a variable can be called stale once the variable is written.
 */
const typeBits = 7;
const typeBase = ValueType.v128;
/** Local of a slot whose variable has another value now. */
const stale = -1;

/*
 * Rows of eight words, one table for slots and one for variables: a value's row begins at its number without the type's bits. Words of a slot:
 * - `variable` that it was read from, or -1; `loops` that were open then; the slot that was read from the same variable before, or -1
 * - of i64 values, what they are a known distance from, see `originOf`
 */
const rowShift = 3;
const rowMask = -1 << rowShift;
const slotRow = { local: 0, variable: 1, loops: 2, earlier: 3, root: 4, distance: 5 } as const;
/** Words of a variable: `alias` is the slot that stands for its present value or -1, `read` the one that was read last; both as of the `recycle` that `epoch` counts. */
const variableRow = { local: 0, type: 1, alias: 2, read: 3, epoch: 4, root: 5, distance: 6 } as const;

/** Distances between values that are kept track of are below this. */
const maximumDistance = 2 ** 30;

/** Writes WebAssembly for definitions. One serves for as many functions as wanted. */
export class Compiler extends Expressions {
  readonly code: CodeWriter;
  // What is recycled stays allocated: tables only grow, and their length is kept beside them.
  private slotTable = new Int32Array(1 << 12);
  private slots = 0;
  private variableTable = new Int32Array(1 << 10);
  private variables = 0;
  private lastingVariables = 0;
  private roots = 0;
  /** How often values were recycled. */
  private epoch = 0;
  /** Variables in the order of writes. */
  private readonly writeLog: number[] = [];
  private writes = 0;
  private constants = 0;
  /** Halves, low first. */
  private readonly constantHalves: number[] = [];
  private readonly constantWords: (readonly number[] | undefined)[] = [];
  /** Locals for temporaries by type, how many there are and how many in use: recycled, since every new local makes compiling slower. */
  private readonly pools: number[][] = [[], [], [], [], []];
  private readonly pooled: number[] = [0, 0, 0, 0, 0];
  private readonly used: number[] = [0, 0, 0, 0, 0];
  private loops = 0;
  /** How many of `if`, `block` and `loop` the code is in. */
  private nesting = 0;

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
    this.pooled.fill(0);
    this.variables = 0;
    this.lastingVariables = 0;
    this.roots = 0;
    this.writes = 0;
    this.loops = 0;
    this.nesting = 0;
    this.recycle();
  }

  /** A variable for the whole function. @param local a parameter to use, else a new local */
  variable(type: ValueType, local: number = this.code.newLocal(type)): Variable {
    if (this.lastingVariables !== this.variables) throw new Error('variable after a temporary');
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

  override constantOf(value: Value): number | undefined {
    return value < 0 && this.typeOf(value) === ValueType.i32
      ? this.constantHalves[2 * (~value >> 3)]
      : undefined;
  }

  override compute(op: number, a: Value, b?: Value, c?: Value): Value {
    if (a < 0 && (b === undefined || b < 0) && c === undefined && isFoldable[op >> 16] !== 0) {
      const folded = this.fold(op, a, b);
      if (folded !== undefined) return folded;
    }
    if (b !== undefined && b < 0 && this.isNeutral(op, b)) return a;
    this.push(a);
    this.expect(op, 0, a);
    if (b !== undefined) {
      this.push(b);
      this.expect(op, 1, b);
    }
    if (c !== undefined) {
      this.push(c);
      this.expect(op, 2, c);
    }
    this.code.op(op);
    const result = this.pop(resultTypes[op >> 16]);
    if (b !== undefined && b < 0 && a >= 0 && (op === Op.i64Add || op === Op.i64Sub)) {
      const row = 2 * (~b >> 3);
      const low = this.constantHalves[row];
      if (this.constantHalves[row + 1] === low >> 31)
        this.noteDistance(result, a, op === Op.i64Add ? low : -low);
    }
    return result;
  }

  /** A value is so far from another. Small distances only: they must not reach round. */
  private noteDistance(value: Value, from: Value, more: number): void {
    const { slotTable } = this;
    const distance = slotTable[(from & rowMask) + slotRow.distance] + more;
    if (Math.abs(distance) >= maximumDistance) return;
    const row = value & rowMask;
    slotTable[row + slotRow.root] = slotTable[(from & rowMask) + slotRow.root];
    slotTable[row + slotRow.distance] = distance;
  }

  override get isNested(): boolean {
    return this.nesting > 0;
  }

  /**
   * What an i64 is a known distance from: a number that stands for some value, and the distance. Two values with the same root are as far
   * apart as their distances are, wherever in the code both are at hand.
   */
  originOf(value: Value): { readonly root: number; readonly distance: number } | undefined {
    if (value < 0) return undefined;
    const row = value & rowMask;
    return {
      root: this.slotTable[row + slotRow.root],
      distance: this.slotTable[row + slotRow.distance],
    };
  }

  /** What is known of variables at a place where control comes from somewhere else than what was written last. */
  saveOrigins(): readonly number[] {
    const { variableTable, lastingVariables } = this;
    const saved = new Array<number>(2 * lastingVariables);
    for (let variable = 0; variable < lastingVariables; variable++) {
      const row = variable << rowShift;
      saved[2 * variable] = variableTable[row + variableRow.root];
      saved[2 * variable + 1] = variableTable[row + variableRow.distance];
    }
    return saved;
  }

  /** @param saved what was known where control comes from; none: nothing is known */
  restoreOrigins(saved: readonly number[] | undefined): void {
    const { variableTable, lastingVariables } = this;
    const known = saved?.length ?? 0;
    for (let variable = 0; variable < lastingVariables; variable++) {
      const row = variable << rowShift;
      const isKnown = 2 * variable < known;
      variableTable[row + variableRow.root] = isKnown ? saved![2 * variable] : ++this.roots;
      variableTable[row + variableRow.distance] = isKnown ? saved![2 * variable + 1] : 0;
    }
  }

  /** Variables written since then may hold one thing or another: they are new. */
  private joinOrigins(since: number): void {
    for (let write = since; write < this.writes; write++) this.forgetOrigin(this.writeLog[write]);
  }

  private forgetOrigin(variable: Variable): void {
    const row = variable << rowShift;
    this.variableTable[row + variableRow.root] = ++this.roots;
    this.variableTable[row + variableRow.distance] = 0;
  }

  override select(condition: Value, yes: Value, no: Value): Value {
    if (condition < 0) return this.constantHalves[2 * (~condition >> 3)] !== 0 ? yes : no;
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
    return this.pop(resultTypes[op >> 16]);
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
    return this.pop(resultTypes[op >> 16]);
  }

  override store(op: number, address: Value, value: Value, offset: number): void {
    this.pushAddress(address);
    this.push(value);
    this.expect(op, 1, value);
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
    const { variableTable } = this;
    const row = variable << rowShift;
    if (variableTable[row + variableRow.epoch] !== this.epoch) this.forgetReads(row);
    let slot = variableTable[row + variableRow.alias];
    if (slot < 0 || this.slotTable[(slot << rowShift) + slotRow.loops] < this.loops) {
      slot = this.newSlot(variableTable[row + variableRow.local]);
      const { slotTable } = this;
      const at = slot << rowShift;
      slotTable[at + slotRow.variable] = variable;
      slotTable[at + slotRow.earlier] = variableTable[row + variableRow.read];
      slotTable[at + slotRow.root] = variableTable[row + variableRow.root];
      slotTable[at + slotRow.distance] = variableTable[row + variableRow.distance];
      variableTable[row + variableRow.read] = slot;
      variableTable[row + variableRow.alias] = slot;
    }
    return (slot << rowShift) | (variableTable[row + variableRow.type] - typeBase);
  }

  /** The value of a variable that is not written as long as the answer is used: a copy that costs nothing. */
  unchanging(variable: Variable): Value {
    const row = variable << rowShift;
    const slot = this.newSlot(this.variableTable[row + variableRow.local]);
    return (slot << rowShift) | (this.variableTable[row + variableRow.type] - typeBase);
  }

  override copy(value: Value): Value {
    if (value < 0) return value;
    this.push(value);
    const copied = this.pop(this.typeOf(value));
    this.noteDistance(copied, value, 0);
    return copied;
  }

  override write(variable: Variable, value: Value): void {
    const { variableTable, slotTable } = this;
    const row = variable << rowShift;
    const type = variableTable[row + variableRow.type];
    if (this.typeOf(value) !== type)
      throw new Error(`variable of type ${type} written with ${this.typeOf(value)}`);
    const from = value & rowMask;
    if (value >= 0 && slotTable[from + slotRow.variable] === variable) return;
    this.push(value);
    this.code.localSet(variableTable[row + variableRow.local]);
    if (variableTable[row + variableRow.epoch] === this.epoch)
      for (
        let slot = variableTable[row + variableRow.read];
        slot >= 0;
        slot = slotTable[(slot << rowShift) + slotRow.earlier]
      )
        slotTable[(slot << rowShift) + slotRow.local] = stale;
    this.forgetReads(row);
    this.writeLog[this.writes++] = variable;
    if (value < 0) this.forgetOrigin(variable);
    else {
      variableTable[row + variableRow.root] = slotTable[from + slotRow.root];
      variableTable[row + variableRow.distance] = slotTable[from + slotRow.distance];
    }
  }

  override if(condition: Value, then: () => void, otherwise?: () => void, likely?: boolean): void {
    if (condition < 0) {
      if (this.constantHalves[2 * (~condition >> 3)] !== 0) then();
      else otherwise?.();
      return;
    }
    this.push(condition);
    this.code.ifThen(undefined, likely);
    const since = this.writes;
    this.nesting++;
    then();
    if (otherwise !== undefined) {
      this.code.otherwise();
      this.joinOrigins(since);
      otherwise();
    }
    this.nesting--;
    this.code.end();
    this.joinOrigins(since);
  }

  override block(body: (leave: (condition?: Value) => void) => void): void {
    const label = this.code.block();
    const since = this.writes;
    this.nesting++;
    body((condition) => this.jump(label, condition));
    this.nesting--;
    this.code.end();
    this.joinOrigins(since);
  }

  override loop(body: (again: (condition?: Value) => void) => void): void {
    const label = this.code.loop();
    this.loops++;
    this.nesting++;
    const since = this.writes;
    // What the loop writes is not known yet.
    for (let variable = 0; variable < this.variables; variable++) this.forgetOrigin(variable);
    body((condition) => this.jump(label, condition));
    this.loops--;
    this.nesting--;
    this.code.end();
    this.joinOrigins(since);
  }

  override call(callee: Callee, args: readonly Value[]): Value | undefined {
    for (const arg of args) this.push(arg);
    this.code.call(callee.index);
    return callee.type.results.length > 0 ? this.pop(callee.type.results[0]) : undefined;
  }

  override recycle(): void {
    this.slots = 0;
    this.constants = 0;
    const { used } = this;
    for (let type = 0; type < used.length; type++) used[type] = 0;
    this.variables = this.lastingVariables;
    this.epoch = (this.epoch + 1) | 0;
  }

  /** Puts a value onto WebAssembly's stack, for code written next to this by hand. */
  push(value: Value): void {
    if (value >= 0) {
      const { slotTable } = this;
      const row = value & rowMask;
      const local = slotTable[row + slotRow.local];
      if (local === stale) throw new Error('value of a variable that was written since: copy it before');
      if (slotTable[row + slotRow.loops] < this.loops && slotTable[row + slotRow.variable] >= 0) {
        throw new Error(
          'value of a variable that was read before a loop: read it in the loop, or copy it before',
        );
      }
      this.code.localGet(local);
      return;
    }
    const row = ~value >> 3;
    const low = this.constantHalves[2 * row];
    const high = this.constantHalves[2 * row + 1];
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
    const row = this.constants++;
    this.constantHalves[2 * row] = low;
    this.constantHalves[2 * row + 1] = high;
    return ~((row << 3) | (type - typeBase));
  }

  private newSlot(local: number): number {
    const at = this.slots << rowShift;
    if (at === this.slotTable.length) this.slotTable = doubled(this.slotTable);
    const { slotTable } = this;
    slotTable[at + slotRow.local] = local;
    slotTable[at + slotRow.variable] = -1;
    slotTable[at + slotRow.loops] = this.loops;
    slotTable[at + slotRow.root] = ++this.roots;
    slotTable[at + slotRow.distance] = 0;
    return this.slots++;
  }

  private newVariable(local: number, type: number): Variable {
    const variable = this.variables++;
    const row = variable << rowShift;
    if (row === this.variableTable.length) this.variableTable = doubled(this.variableTable);
    this.variableTable[row + variableRow.type] = type;
    this.variableTable[row + variableRow.local] = local;
    this.forgetOrigin(variable);
    this.forgetReads(row);
    return variable;
  }

  private forgetReads(row: number): void {
    const { variableTable } = this;
    variableTable[row + variableRow.alias] = -1;
    variableTable[row + variableRow.read] = -1;
    variableTable[row + variableRow.epoch] = this.epoch;
  }

  private takeLocal(type: ValueType): number {
    const pool = this.pools[type - typeBase];
    const index = this.used[type - typeBase]++;
    if (index === this.pooled[type - typeBase]) {
      pool[index] = this.code.newLocal(type);
      this.pooled[type - typeBase]++;
    }
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

  private expect(op: number, operand: number, value: Value): void {
    const type = operandTypes[4 * (op >> 16) + operand];
    if (type !== this.typeOf(value) && type !== 0)
      throw new Error(`operand ${operand} of ${nameOf(op)} has type 0x${this.typeOf(value).toString(16)}`);
  }

  /** Integer constants are computed now. */
  private fold(op: number, a: Value, b: Value | undefined): Value | undefined {
    if (!canEvaluate(op)) return undefined;
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
    const row = 2 * (~constant >> 3);
    const low = this.constantHalves[row];
    return this.typeOf(constant) === ValueType.i64
      ? (BigInt(this.constantHalves[row + 1]) << 32n) | BigInt(low >>> 0)
      : low;
  }

  /** x + 0, x | 0, x << 0, x & -1 and the like. */
  private isNeutral(op: number, constant: Value): boolean {
    const neutral = neutralConstants[op & 0xff];
    if (neutral === 0 || (op & 0xff00) !== 0) return false;
    const row = 2 * (~constant >> 3);
    const wanted = neutral === 1 ? 0 : -1;
    if (this.constantHalves[row] !== wanted) return false;
    return this.typeOf(constant) !== ValueType.i64 || this.constantHalves[row + 1] === wanted;
  }
}

function doubled(table: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(2 * table.length);
  larger.set(table);
  return larger;
}
