import { evaluate, type Scalar, signatureOf } from './evaluate.ts';
import { extractLane, replaceLane, shuffleLanes } from './evaluate-vector.ts';
import { type Callee, Expressions, type Value, type Variable } from './expressions.ts';
import { Op } from './opcodes.ts';
import { ValueType } from './types.ts';

/** Thrown by `leave` and `again`, caught where the block or loop stands. */
class Jump {
  constructor(readonly target: object) {}
}

const typeOfLetter: Record<string, ValueType> = {
  i: ValueType.i32,
  I: ValueType.i64,
  f: ValueType.f32,
  F: ValueType.f64,
  v: ValueType.v128,
};

/**
 * Runs definitions at once, in TypeScript: the oracle for the compiler, slow and simple. Loops that never end never end here either, so tests
 * give `steps`.
 */
export class Evaluator extends Expressions {
  private readonly values: Scalar[] = [];
  private readonly types: ValueType[] = [];
  private readonly variables: (Scalar | undefined)[] = [];
  private readonly variableTypes: ValueType[] = [];
  private lasting = 0;
  private readonly view: DataView;
  private readonly callees: Record<string, (...args: Scalar[]) => Scalar | undefined>;
  private steps: number;

  /**
   * @param memory what loads and stores see
   * @param callees implementations of functions by name
   * @param steps jumps backwards that are allowed
   */
  constructor(
    memory: ArrayBufferLike,
    callees: Record<string, (...args: Scalar[]) => Scalar | undefined> = {},
    steps = 1_000_000,
  ) {
    super();
    this.view = new DataView(memory);
    this.callees = callees;
    this.steps = steps;
  }

  /** A variable that outlives `recycle`. */
  variable(type: ValueType, initial: Scalar): Variable {
    if (this.lasting !== this.variables.length) throw new Error('variable after a temporary');
    this.lasting++;
    this.variableTypes.push(type);
    return this.variables.push(initial) - 1;
  }

  /** What a value is, for tests. */
  scalar(value: Value): Scalar {
    return this.values[value];
  }

  override i32(value: number): Value {
    return this.make(ValueType.i32, value | 0);
  }

  override i64(low: number, high: number = low >> 31): Value {
    return this.make(ValueType.i64, (BigInt(high) << 32n) | BigInt(low >>> 0));
  }

  override f32(bits: number): Value {
    return this.make(ValueType.f32, bits >>> 0);
  }

  override f64(low: number, high: number): Value {
    return this.make(ValueType.f64, (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0));
  }

  override v128(words: readonly number[]): Value {
    return this.make(ValueType.v128, new Uint8Array(Int32Array.from(words).buffer));
  }

  override typeOf(value: Value): ValueType {
    return this.types[value];
  }

  override compute(op: number, a: Value, b?: Value, c?: Value): Value {
    const signature = signatureOf(op);
    const operands = [a, b, c].filter((value) => value !== undefined);
    operands.forEach((value, i) => {
      if (typeOfLetter[signature[i]] !== this.types[value])
        throw new Error(`operand ${i} of 0x${op.toString(16)} has another type`);
    });
    return this.make(
      typeOfLetter[signature[signature.length - 1]],
      evaluate(op, ...operands.map((value) => this.values[value])),
    );
  }

  override select(condition: Value, yes: Value, no: Value): Value {
    return this.values[condition] !== 0 ? yes : no;
  }

  override extractLane(op: number, vector: Value, lane: number): Value {
    return this.make(
      typeOfLetter[signatureOf(op)[2]],
      extractLane(op, this.values[vector] as Uint8Array, lane),
    );
  }

  override replaceLane(op: number, vector: Value, value: Value, lane: number): Value {
    return this.make(
      ValueType.v128,
      replaceLane(op, this.values[vector] as Uint8Array, this.values[value], lane),
    );
  }

  override shuffle(a: Value, b: Value, lanes: readonly number[]): Value {
    return this.make(
      ValueType.v128,
      shuffleLanes(this.values[a] as Uint8Array, this.values[b] as Uint8Array, lanes),
    );
  }

  override load(op: number, address: Value, offset: number): Value {
    const at = this.address(address, offset);
    const { view } = this;
    switch (op) {
      case Op.i32Load:
        return this.i32(view.getInt32(at, true));
      case Op.i32Load8U:
        return this.i32(view.getUint8(at));
      case Op.i32Load8S:
        return this.i32(view.getInt8(at));
      case Op.i32Load16U:
        return this.i32(view.getUint16(at, true));
      case Op.i32Load16S:
        return this.i32(view.getInt16(at, true));
      case Op.i64Load:
        return this.make(ValueType.i64, view.getBigInt64(at, true));
      case Op.i64Load8U:
        return this.make(ValueType.i64, BigInt(view.getUint8(at)));
      case Op.i64Load8S:
        return this.make(ValueType.i64, BigInt(view.getInt8(at)));
      case Op.i64Load16U:
        return this.make(ValueType.i64, BigInt(view.getUint16(at, true)));
      case Op.i64Load16S:
        return this.make(ValueType.i64, BigInt(view.getInt16(at, true)));
      case Op.i64Load32U:
        return this.make(ValueType.i64, BigInt(view.getUint32(at, true)));
      case Op.i64Load32S:
        return this.make(ValueType.i64, BigInt(view.getInt32(at, true)));
      case Op.f32Load:
        return this.make(ValueType.f32, view.getUint32(at, true));
      case Op.f64Load:
        return this.make(ValueType.f64, view.getBigUint64(at, true));
      case Op.v128Load:
        return this.make(ValueType.v128, new Uint8Array(view.buffer.slice(at, at + 16)));
      default:
        throw new Error(`load 0x${op.toString(16)} cannot be evaluated`);
    }
  }

  override store(op: number, address: Value, value: Value, offset: number): void {
    const at = this.address(address, offset);
    const { view } = this;
    const scalar = this.values[value];
    const low = typeof scalar === 'bigint' ? Number(BigInt.asIntN(32, scalar)) : (scalar as number);
    switch (op) {
      case Op.i32Store8:
      case Op.i64Store8:
        view.setInt8(at, low);
        break;
      case Op.i32Store16:
      case Op.i64Store16:
        view.setInt16(at, low, true);
        break;
      case Op.i32Store:
      case Op.i64Store32:
      case Op.f32Store:
        view.setInt32(at, low, true);
        break;
      case Op.i64Store:
      case Op.f64Store:
        view.setBigInt64(at, BigInt.asIntN(64, scalar as bigint), true);
        break;
      case Op.v128Store:
        new Uint8Array(view.buffer).set(scalar as Uint8Array, at);
        break;
      default:
        throw new Error(`store 0x${op.toString(16)} cannot be evaluated`);
    }
  }

  override copyMemory(target: Value, source: Value, length: Value): void {
    const from = this.address(source, 0);
    const bytes = new Uint8Array(this.view.buffer);
    bytes.copyWithin(this.address(target, 0), from, from + ((this.values[length] as number) >>> 0));
  }

  override fillMemory(target: Value, byte: Value, length: Value): void {
    const at = this.address(target, 0);
    const end = at + ((this.values[length] as number) >>> 0);
    new Uint8Array(this.view.buffer).fill(this.values[byte] as number, at, end);
  }

  override temporary(type: ValueType): Variable {
    this.variableTypes.push(type);
    return this.variables.push(undefined) - 1;
  }

  override read(variable: Variable): Value {
    const scalar = this.variables[variable];
    if (scalar === undefined) throw new Error('a temporary is read before it is written');
    return this.make(this.variableTypes[variable], scalar);
  }

  override copy(value: Value): Value {
    return value;
  }

  override write(variable: Variable, value: Value): void {
    if (this.types[value] !== this.variableTypes[variable])
      throw new Error('variable written with another type');
    this.variables[variable] = this.values[value];
  }

  override if(condition: Value, then: () => void, otherwise?: () => void): void {
    if (this.values[condition] !== 0) then();
    else otherwise?.();
  }

  override block(body: (leave: (condition?: Value) => void) => void): void {
    const target = {};
    try {
      body((condition) => this.jump(target, condition));
    } catch (error) {
      if (!(error instanceof Jump) || error.target !== target) throw error;
    }
  }

  override loop(body: (again: (condition?: Value) => void) => void): void {
    for (;;) {
      const target = {};
      try {
        body((condition) => this.jump(target, condition));
        return;
      } catch (error) {
        if (!(error instanceof Jump) || error.target !== target) throw error;
        if (--this.steps < 0) throw new Error('too many jumps backwards');
      }
    }
  }

  override call(callee: Callee, args: readonly Value[]): Value | undefined {
    const implementation = this.callees[callee.name];
    if (implementation === undefined) throw new Error(`no implementation of "${callee.name}"`);
    const result = implementation(...args.map((arg) => this.values[arg]));
    return result === undefined ? undefined : this.make(callee.type.results[0], result);
  }

  override recycle(): void {
    this.values.length = 0;
    this.types.length = 0;
    this.variables.length = this.lasting;
    this.variableTypes.length = this.lasting;
  }

  private make(type: ValueType, scalar: Scalar): Value {
    this.types.push(type);
    return this.values.push(scalar) - 1;
  }

  private address(address: Value, offset: number): number {
    const scalar = this.values[address];
    return (
      (typeof scalar === 'bigint' ? Number(BigInt.asUintN(64, scalar)) : (scalar as number) >>> 0) + offset
    );
  }

  private jump(target: object, condition: Value | undefined): void {
    if (condition === undefined || this.values[condition] !== 0) throw new Jump(target);
  }
}
