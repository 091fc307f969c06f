import { Op } from './opcodes.ts';
import type { FunctionType, ValueType } from './types.ts';

/** A value that a definition computes with; opaque. Valid until `recycle`. */
export type Value = number;

/** A mutable cell: a WebAssembly local when compiled. */
export type Variable = number;

/** A function that definitions may call. */
export interface Callee {
  readonly name: string;
  readonly type: FunctionType;
  /** Index in the module that is being built. */
  readonly index: number;
}

/**
 * The language in which instruction semantics are written. A definition calls these methods; {@link Compiler} writes WebAssembly for them,
 * {@link Evaluator} computes them at once. Both must see the same definition do the same, so a definition may branch in TypeScript
 * only on what it knows when it is built (operand sizes, immediates), never on a `Value`.
 */
export abstract class Expressions {
  abstract i32(value: number): Value;
  /** @param high upper half; the sign of `low` if left out */
  abstract i64(low: number, high?: number): Value;
  /** By bits. */
  abstract f32(bits: number): Value;
  abstract f64(low: number, high: number): Value;
  /** @param words four 32-bit lanes, low first */
  abstract v128(words: readonly number[]): Value;

  abstract typeOf(value: Value): ValueType;
  /** Whether code here runs only if something before it went one way and not another. */
  get isNested(): boolean {
    return false;
  }
  /** The value of an i32 that is known while code is written; undefined if it is not. Code may be better for it, but must do the same. */
  constantOf(_value: Value): number | undefined {
    return undefined;
  }
  /** An instruction that only computes, by its signature. @throws Error if operands have other types */
  abstract compute(op: number, a: Value, b?: Value, c?: Value): Value;
  /** `condition` (i32) not 0: `yes`, else `no`. Both are computed. */
  abstract select(condition: Value, yes: Value, no: Value): Value;
  abstract extractLane(op: number, vector: Value, lane: number): Value;
  abstract replaceLane(op: number, vector: Value, value: Value, lane: number): Value;
  /** @param lanes 16 numbers: 0–15 bytes of `a`, 16–31 of `b` */
  abstract shuffle(a: Value, b: Value, lanes: readonly number[]): Value;

  /** @param address of the memory's address type; unaligned is allowed */
  abstract load(op: number, address: Value, offset: number): Value;
  abstract store(op: number, address: Value, value: Value, offset: number): void;

  /** Copies `length` bytes (i32) as if through a buffer; the ranges may overlap. Addresses as for loads. */
  abstract copyMemory(target: Value, source: Value, length: Value): void;
  /** Fills `length` bytes (i32) with the low byte of `byte` (i32). */
  abstract fillMemory(target: Value, byte: Value, length: Value): void;

  /** A variable that lives until `recycle`. Read before it is written, it holds anything. */
  abstract temporary(type: ValueType): Variable;
  /** The present value; usable until the variable is written. */
  abstract read(variable: Variable): Value;
  /** The same value, usable until `recycle` whatever is written. */
  abstract copy(value: Value): Value;
  abstract write(variable: Variable, value: Value): void;

  /** @param likely branch hint, for engines that read them */
  abstract if(condition: Value, then: () => void, otherwise?: () => void, likely?: boolean): void;
  /** Runs `body` once; `leave(condition)` in it jumps behind it, always if no condition is given. */
  abstract block(body: (leave: (condition?: Value) => void) => void): void;
  /** Runs `body` until it does not call `again`; `again(condition)` jumps to its start. */
  abstract loop(body: (again: (condition?: Value) => void) => void): void;
  /** Answers the function's result, or nothing. */
  abstract call(callee: Callee, args: readonly Value[]): Value | undefined;

  /** Ends the lifetime of all values and temporaries, so that their locals serve the next instruction. */
  abstract recycle(): void;

  // What follows chooses the instruction by the type of the first operand.

  add(a: Value, b: Value): Value {
    return this.typed(a, Op.i32Add, Op.i64Add, a, b);
  }
  sub(a: Value, b: Value): Value {
    return this.typed(a, Op.i32Sub, Op.i64Sub, a, b);
  }
  mul(a: Value, b: Value): Value {
    return this.typed(a, Op.i32Mul, Op.i64Mul, a, b);
  }
  and(a: Value, b: Value): Value {
    return this.typed(a, Op.i32And, Op.i64And, a, b);
  }
  or(a: Value, b: Value): Value {
    return this.typed(a, Op.i32Or, Op.i64Or, a, b);
  }
  xor(a: Value, b: Value): Value {
    return this.typed(a, Op.i32Xor, Op.i64Xor, a, b);
  }
  /** Counts are taken modulo the width. */
  shl(a: Value, b: Value): Value {
    return this.typed(a, Op.i32Shl, Op.i64Shl, a, b);
  }
  shrU(a: Value, b: Value): Value {
    return this.typed(a, Op.i32ShrU, Op.i64ShrU, a, b);
  }
  shrS(a: Value, b: Value): Value {
    return this.typed(a, Op.i32ShrS, Op.i64ShrS, a, b);
  }
  rotl(a: Value, b: Value): Value {
    return this.typed(a, Op.i32Rotl, Op.i64Rotl, a, b);
  }
  rotr(a: Value, b: Value): Value {
    return this.typed(a, Op.i32Rotr, Op.i64Rotr, a, b);
  }
  clz(a: Value): Value {
    return this.typed(a, Op.i32Clz, Op.i64Clz, a);
  }
  ctz(a: Value): Value {
    return this.typed(a, Op.i32Ctz, Op.i64Ctz, a);
  }
  popcnt(a: Value): Value {
    return this.typed(a, Op.i32Popcnt, Op.i64Popcnt, a);
  }
  eqz(a: Value): Value {
    return this.typed(a, Op.i32Eqz, Op.i64Eqz, a);
  }
  eq(a: Value, b: Value): Value {
    return this.typed(a, Op.i32Eq, Op.i64Eq, a, b);
  }
  ne(a: Value, b: Value): Value {
    return this.typed(a, Op.i32Ne, Op.i64Ne, a, b);
  }
  ltU(a: Value, b: Value): Value {
    return this.typed(a, Op.i32LtU, Op.i64LtU, a, b);
  }
  ltS(a: Value, b: Value): Value {
    return this.typed(a, Op.i32LtS, Op.i64LtS, a, b);
  }
  gtU(a: Value, b: Value): Value {
    return this.typed(a, Op.i32GtU, Op.i64GtU, a, b);
  }
  geU(a: Value, b: Value): Value {
    return this.typed(a, Op.i32GeU, Op.i64GeU, a, b);
  }
  leU(a: Value, b: Value): Value {
    return this.typed(a, Op.i32LeU, Op.i64LeU, a, b);
  }

  /** Low half of an i64. */
  wrap(a: Value): Value {
    return this.compute(Op.i32WrapI64, a);
  }
  /** i32 to i64, without and with sign. */
  extendU(a: Value): Value {
    return this.compute(Op.i64ExtendI32U, a);
  }
  extendS(a: Value): Value {
    return this.compute(Op.i64ExtendI32S, a);
  }

  protected typed(first: Value, op32: number, op64: number, a: Value, b?: Value): Value {
    return this.compute(this.typeOf(first) === 0x7e ? op64 : op32, a, b);
  }
}
