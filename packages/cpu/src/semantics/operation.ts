import { type Expressions, Op, type Value } from '@nest86/wasm';
import type { CallLibrary } from '../library/function.ts';
import { stateOffset } from '../state/layout.ts';
import { addFlags, condition, keepCarry, logicFlags, type StatusFlags, subtractFlags } from './flags.ts';

/** Exceptions that definitions raise, by vector (SDM vol. 3, 6.15). */
export const Exception = {
  divide: 0,
  debug: 1,
  breakpoint: 3,
  overflow: 4,
  bound: 5,
  invalidOpcode: 6,
  deviceNotAvailable: 7,
  doubleFault: 8,
  invalidTss: 10,
  segmentNotPresent: 11,
  stack: 12,
  generalProtection: 13,
  page: 14,
  x87: 16,
  alignment: 17,
  machineCheck: 18,
  simd: 19,
  virtualization: 20,
  control: 21,
} as const;

/** Bytes of memory that were checked for an access and can be read or written without a fault now. */
export interface Place {
  readonly bits: number;
}

export interface RepeatOptions {
  readonly usesZeroFlag?: boolean;
  readonly last?: { readonly isZero: () => Value; readonly end: () => void };
  readonly bulk?: (most: Value) => Value;
}

/**
 * What the definition of an instruction sees: its operands, the flags, and ways to leave. The interpreter, compiled regions and the
 * evaluator each have their own; the definition is the same. Operand values of up to 32 bits are zero-extended in an i32, of 64 bits an
 * i64, of 128 bits a v128. A definition takes every step that may fault before it changes anything, so that a fault leaves the state as it
 * was; what it reads after it wrote may be what it wrote.
 */
export abstract class Operation {
  constructor(readonly x: Expressions) {}

  // Known when the definition is built: TypeScript may branch on these.

  abstract readonly mnemonic: string;
  /** 16, 32 or 64. */
  abstract readonly operandBits: number;
  abstract readonly addressBits: number;
  /** 16, 32 or 64: the mode of the code. */
  abstract readonly modeBits: number;
  /** Where the vendors' processors differ, and the manuals say or allow it. */
  abstract readonly vendor: 'intel' | 'amd';
  /** VEX: results clear what lies above them. */
  abstract readonly isVex: boolean;
  /** 16-byte lanes of the instruction's vectors: 1, or 2 for 256 bits. */
  abstract readonly lanes: number;
  /** It has a REP prefix that counts. */
  abstract readonly isRepeated: boolean;
  abstract readonly operandCount: number;
  /** Width of an operand in bits; of a vector register its whole width, 128 or 256. */
  abstract bits(operand: number): number;
  abstract isMemory(operand: number): boolean;
  /** Class of a register operand, `memory` and `implicit`, `immediate` or `relative`. */
  abstract kind(operand: number): string;
  /** Value of an immediate operand, sign-extended; only of mnemonics in `constantImmediates`. */
  abstract constantImmediate(operand: number): number;
  /** Condition code of the instruction, 0 to 15. */
  abstract conditionCode(): number;

  // General operands.

  /** A general register, memory of up to 64 bits, an immediate, an MMX register. */
  abstract read(operand: number): Value;
  /** Reads an operand that will be written: a fault of the write happens now. */
  abstract readForWrite(operand: number): Value;
  abstract write(operand: number, value: Value): void;
  /** A general register by number, 0 to 15, whatever the operands are. `bits` 8 is the low byte. */
  abstract readRegister(number: number, bits: number): Value;
  abstract writeRegister(number: number, bits: number, value: Value): void;
  /** Number that a register operand names (vector, x87, opmask, segment): i32, known or not. */
  abstract registerNumber(operand: number): Value;

  // Vector operands: XMM and YMM registers, or memory.

  /** 16 bytes of a vector register or a memory operand, as v128; memory operands are read whole at the first call. */
  abstract readVector(operand: number, lane?: number): Value;
  /**
   * Writes all lanes of a vector operand, one v128 for each of `values`. Of a register, what lies above is cleared by VEX instructions and
   * kept by others. Memory operands get 16 bytes per value.
   */
  abstract writeVector(operand: number, values: readonly Value[]): void;
  /** Lowest `bits` (8 to 64) of a vector register, or a memory operand of that size, as i32 or i64. */
  abstract readElement(operand: number, bits: number): Value;
  /** Writes the lowest `bits` of a vector register, keeps the rest below 128, clears above 128 for VEX; or writes memory of that size. */
  abstract writeElement(operand: number, bits: number, value: Value): void;

  // Memory.

  /** Effective address of a memory operand, without segment: i64, wrapped to the address size. */
  abstract effectiveAddress(operand: number): Value;
  /** log2 of the scale of the memory operand's index; -1 without index. */
  abstract readonly scale: number;
  /** VSIB: 16 bytes of the vector register that is the memory operand's index; `effectiveAddress` leaves it out. */
  abstract readVectorIndex(lane?: number): Value;
  /** 16 bytes of the vector register of that number, whatever the operands are. */
  abstract readVectorRegister(number: number, lane: number): Value;
  abstract writeVectorRegister(number: number, lane: number, value: Value): void;
  /** Segment of the memory operand, or DS as overridden for implicit ones. */
  abstract readonly dataSegment: number;
  /**
   * Checks an access to `bits` (8 to 512) at an offset (i64, within the address size) in a segment; a fault leaves here. Places of one
   * instruction that are alive together are at most four.
   */
  abstract place(segment: number, offset: Value, bits: number, access: 'read' | 'write' | 'readWrite'): Place;
  /** The place of a memory operand, moved by `displacement` (i64) if given. */
  abstract operandPlace(operand: number, access: 'read' | 'write' | 'readWrite', displacement?: Value): Place;
  /** Reads from a place: i32, i64 or v128. @param offset bytes, constant */
  abstract loadPlace(place: Place, bits?: number, offset?: number): Value;
  /** Writes to it. After the last one call `commitPlace`. */
  abstract storePlace(place: Place, value: Value, bits?: number, offset?: number): void;
  /** Ends the writes to a place. */
  abstract commitPlace(place: Place): void;

  /**
   * Host address (i32) of the byte at an offset in a segment if RAM serves accesses to its whole page directly, 0 if it does not or nobody knows yet.
   * Never faults: for `bulk` of `repeat`.
   */
  directPlace(_segment: number, _offset: Value, _access: 'read' | 'write'): Value {
    return this.x.i32(0);
  }

  /** i32 that changes when a page is lost that an earlier `directPlace` may have answered. */
  translationLosses(): Value {
    return this.x.i32(0);
  }

  /** Reads `bits` at an offset in a segment. */
  load(segment: number, offset: Value, bits: number): Value {
    return this.loadPlace(this.place(segment, offset, bits, 'read'));
  }

  /** Writes `bits` at an offset in a segment. */
  store(segment: number, offset: Value, bits: number, value: Value): void {
    const kept = this.x.copy(value);
    const place = this.place(segment, offset, bits, 'write');
    this.storePlace(place, kept);
    this.commitPlace(place);
  }

  // Processor state that is no general register and no status flag: cells of the state block by `stateOffset`.

  /** Byte address of the state block, i32: base for `x.load` and `x.store` with offsets from `stateOffset`. */
  abstract readonly state: Value;
  /** The same 16 bytes, in a register where code is compiled that may use them often. @param words four 32-bit lanes, low first */
  vectorConstant(words: readonly number[]): Value {
    return this.x.v128(words);
  }

  /** i32, not 0 if inexact results show. */
  isLoud(): Value {
    return isLoud(this.x, this.state);
  }

  /** MXCSR was written. */
  mxcsrChanged(): void {}

  /** Calls a function of the engine's library. */
  abstract readonly library: CallLibrary;

  // Flags.

  abstract readFlags(): StatusFlags;
  abstract writeFlags(flags: StatusFlags): void;

  // Stack and branches.

  /** Pushes or pops `bits` (the operand size, if not given). */
  abstract push(value: Value, bits?: number): void;
  abstract pop(bits?: number): Value;
  /** Offset that the stack pointer holds, i64, wrapped to the stack's address size; and setting it. */
  abstract stackPointer(): Value;
  abstract setStackPointer(value: Value): void;
  /** An i64 wrapped to the stack's address size. */
  abstract wrapStackPointer(value: Value): Value;

  /** Raises #GP if an offset (as for `jumpTo`) cannot be jumped to: not canonical, or beyond the limit of CS. */
  abstract checkTarget(address: Value): void;
  /** To the relative target that is operand 0. With a condition (i32): only if it is not 0. Nothing may follow. */
  abstract jump(condition?: Value): void;
  /** To an offset in CS that `checkTarget` has seen: i64, or i32 zero-extended. Nothing may follow. */
  abstract jumpTo(address: Value): void;
  /** Offset in CS of the next instruction, at the operand size: i64 for 64 bits, else i32. */
  abstract nextInstruction(): Value;
  /** Offset in CS of this instruction, prefixes included: i64. */
  abstract thisInstruction(): Value;
  /** Linear address behind this instruction in 64-bit code, i64. */
  abstract nextAddress(): Value;
  /** Whether an address (i64) is canonical, i32; in 64-bit code. */
  abstract isCanonical(address: Value): Value;
  /** Instructions that may still retire before the run ends, i32; only of an instruction that ends its block. */
  abstract instructionsLeft(): Value;
  /** TypeScript executes the instruction by its service: always, or if `condition` (i32) is not 0. Nothing has changed before. */
  abstract leaveToService(condition?: Value): void;
  /**
   * To a linear address (i64) after the privilege and with it the fast TLB's bank in the state has changed: its page is looked for anew. Nothing may
   * follow. Regions cannot do it.
   */
  abstract enterAt(address: Value): void;
  /** Of an x87 instruction, i32: its ModRM byte, and above it the lower three bits of its opcode (SDM vol. 1, 8.1.9). */
  abstract x87Opcode(): Value;
  /** Raises an exception if `condition` (i32) is not 0, or always. @param errorCode i32, for exceptions that have one */
  abstract fault(vector: number, condition?: Value, errorCode?: Value): void;
  /**
   * Runs `iteration` once, or under a REP prefix as often as rCX says: each counts it down and retires one instruction; the run may end
   * between two. `usesZeroFlag`: REPE and REPNE end by ZF (CMPS, SCAS); with `last`, by what it answers, and `end` runs once behind the last
   * repetition. `bulk` may do several at once: it gets the greatest number (i32, at
   * least 1) and answers how many it did (i32, 0 if it could not), with all pointers moved, but rCX left alone.
   */
  abstract repeat(iteration: () => void, options?: RepeatOptions): void;

  // Regions keep these lazy; the default makes the canonical form at once.

  /**
   * Flags that all change, by a formula over at most three operands. Regions keep the operands, and compute only if somebody asks: the formula
   * may use nothing but its arguments and what is known when it is built.
   */
  deferFlags(operands: readonly Value[], formula: (operands: readonly Value[]) => StatusFlags): void {
    this.writeFlags(formula(operands));
  }

  /** The same where a formula keeps some of the old flags. @param kept `noncarry`: all but CF and OF, whatever these were */
  deferSomeFlags(
    operands: readonly Value[],
    _kept: 'noncarry' | 'any',
    formula: (old: StatusFlags, operands: readonly Value[]) => StatusFlags,
  ): void {
    this.writeFlags(formula(this.readFlags(), operands));
  }

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

/** i32, not 0 if inexact results show: PE of MXCSR is clear or not masked, or RC is not nearest (SDM vol. 1, 10.2.3). */
export function isLoud(x: Expressions, state: Value): Value {
  const mxcsr = x.load(Op.i32Load, state, stateOffset.mxcsr);
  return x.xor(x.and(mxcsr, x.i32(0x7020)), x.i32(0x1020));
}

export type Definition = (operation: Operation) => void;

/** What a file of definitions exports. */
export interface Family {
  /** By mnemonic, upper case. */
  readonly definitions: Readonly<Record<string, Definition>>;
  /** Mnemonics whose immediates the definition needs when it is built: each value gets a handler of its own. */
  readonly constantImmediates?: readonly string[];
  /** Mnemonics whose memory operand must be aligned, beside what the table's exception class says. */
  readonly aligned?: readonly string[];
  /** Mnemonics of instructions that are no branches, and end their block nevertheless. */
  readonly blockEnds?: readonly string[];
}
