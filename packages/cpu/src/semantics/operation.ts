import type { Expressions, Value } from '@nest86/wasm';
import { addFlags, condition, keepCarry, logicFlags, type StatusFlags, subtractFlags } from './flags.ts';

/**
 * What the definition of an instruction sees: its operands, the flags, and ways to leave. The interpreter, compiled regions and the
 * evaluator each have their own; the definition is the same. Operand values of up to 32 bits are zero-extended in an i32, of 64 bits an
 * i64. A definition reads memory before it changes anything, so that a fault leaves the state as it was.
 */
export abstract class Operation {
  constructor(readonly x: Expressions) {}

  /** Width of an operand, 8 to 64. Known when the definition is built. */
  abstract bits(operand: number): number;
  abstract read(operand: number): Value;
  /** Reads an operand that will be written: a fault of the write happens now. */
  abstract readForWrite(operand: number): Value;
  abstract write(operand: number, value: Value): void;
  /** Effective address of a memory operand, without segment: i64, wrapped to the address size. */
  abstract effectiveAddress(operand: number): Value;

  abstract readFlags(): StatusFlags;
  abstract writeFlags(flags: StatusFlags): void;
  /** Condition code of the instruction, 0 to 15. Known when the definition is built. */
  abstract conditionCode(): number;

  /** Pushes or pops at the width of the stack operation. */
  abstract push(value: Value): void;
  abstract pop(): Value;

  /** To the relative target that is operand 0. With a condition (i32): only if it is not 0. */
  abstract jump(condition?: Value): void;
  /** To an address: i64 or i32. */
  abstract jumpTo(address: Value): void;
  /** Address of the next instruction, at the operand size. */
  abstract nextInstruction(): Value;

  // Regions keep these lazy; the default makes the canonical form at once.

  addFlags(bits: number, a: Value, b: Value, result: Value): void {
    this.writeFlags(addFlags(this.x, bits, a, b, result));
  }

  subtractFlags(bits: number, a: Value, b: Value, result: Value): void {
    this.writeFlags(subtractFlags(this.x, bits, a, b, result));
  }

  logicFlags(bits: number, result: Value): void {
    this.writeFlags(logicFlags(this.x, bits, result));
  }

  /** As addition or subtraction of 1, but CF stays. */
  incrementFlags(bits: number, a: Value, one: Value, result: Value, isIncrement: boolean): void {
    const carry = this.carry();
    const flags = (isIncrement ? addFlags : subtractFlags)(this.x, bits, a, one, result);
    this.writeFlags(keepCarry(this.x, flags, carry));
  }

  /** i32, 0 or 1. */
  condition(code: number): Value {
    return condition(this.x, this.readFlags(), code);
  }

  /** CF as i32, 0 or 1. */
  carry(): Value {
    return this.condition(2);
  }

  /** A constant of an operand's type. */
  constant(bits: number, value: number): Value {
    return bits === 64 ? this.x.i64(value) : this.x.i32(value);
  }
}

export type Definition = (operation: Operation) => void;
