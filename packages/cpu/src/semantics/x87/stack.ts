import { type Expressions, Op, type Value, ValueType } from '@nest86/wasm';
import { Segment, stateOffset } from '../../state/layout.ts';
import { Exception, type Operation } from '../operation.ts';

/** Status word (SDM vol. 1, 8.1.3). */
export const Status = {
  invalid: 0x1,
  denormal: 0x2,
  zeroDivide: 0x4,
  overflow: 0x8,
  underflow: 0x10,
  precision: 0x20,
  stackFault: 0x40,
  /** All six exceptions. */
  exceptions: 0x3f,
  /** ES: an exception is pending that is not masked; B is a copy of it. */
  summary: 0x80,
  summaryAndBusy: 0x8080,
  c0: 0x100,
  c1: 0x200,
  c2: 0x400,
  c3: 0x4000,
  conditions: 0x4700,
  top: 0x3800,
} as const;

/** Exceptions that keep a register from being written if they are not masked: IE, DE, ZE. */
export const blocksRegister = 0x07;
/** Those that keep memory from being written by FST: all but PE. */
export const blocksFloat = 0x1f;
/** Those that keep memory from being written by FIST, FBSTP and a value from being pushed by FLD. */
export const blocksInteger: number = Status.invalid;

/** Raises #MF if an unmasked exception is pending: before anything else, memory accesses too (SDM vol. 1, 8.7). */
export function checkPending(op: Operation): void {
  const { x } = op;
  const status = x.load(Op.i32Load, op.state, stateOffset.x87Status);
  op.fault(Exception.x87, x.and(status, x.i32(Status.summary)));
}

/**
 * Remembers the instruction for FNSTENV and the like (SDM vol. 1, 8.1.8): all but control instructions do. After all that may fault.
 * @param operand the one in memory, if there is one
 */
export function rememberInstruction(op: Operation, operand = -1): void {
  const { x, state } = op;
  const selector = (segment: number): Value =>
    x.load(Op.i32Load, state, stateOffset.segmentSelector + 4 * segment);
  x.store(Op.i64Store, state, op.thisInstruction(), stateOffset.x87InstructionPointer);
  x.store(Op.i32Store, state, selector(Segment.cs), stateOffset.x87InstructionSelector);
  x.store(Op.i32Store, state, op.x87Opcode(), stateOffset.x87Opcode);
  if (operand < 0) return;
  x.store(Op.i64Store, state, op.effectiveAddress(operand), stateOffset.x87DataPointer);
  x.store(Op.i32Store, state, selector(op.dataSegment), stateOffset.x87DataSelector);
}

/** An 80-bit value. */
export interface Extended {
  /** i64, with the integer bit. */
  readonly significand: Value;
  /** i32: sign in bit 15, exponent in bits 14:0. */
  readonly signExponent: Value;
}

/** Jumps out of a fast way, to where the library is called, if a condition holds. */
export type Leave = (condition: Value) => void;

/** The default NaN: what masked invalid operations and stack faults give. */
export function defaultNan(x: Expressions): Extended {
  return { significand: x.i64(0, 0xc0000000 | 0), signExponent: x.i32(0xffff) };
}

/** Of a source that is empty: IE and SF; C1 is 0. */
export const stackUnderflow: number = Status.invalid | Status.stackFault;
/** Of a push onto a register that is not empty. */
export const stackOverflow: number = Status.invalid | Status.stackFault | Status.c1;

/** The register stack as library functions of this folder see it: status, control and tags as they were at its making. */
export class RegisterStack {
  readonly status: Value;
  readonly control: Value;
  readonly tags: Value;
  /** Number of the register that is ST(0); not cut to three bits. */
  readonly top: Value;

  constructor(
    readonly x: Expressions,
    readonly state: Value,
  ) {
    this.status = this.load(stateOffset.x87Status);
    this.control = this.load(stateOffset.x87Control);
    this.tags = this.load(stateOffset.x87Tags);
    this.top = x.shrU(this.status, x.i32(11));
  }

  private load(offset: number): Value {
    return this.x.copy(this.x.load(Op.i32Load, this.state, offset));
  }

  /** Number of a register, i32, 0 to 7. @param index i32, of ST(index); `push` is the register that a push fills */
  physical(index: Value | 'push' | 'top'): Value {
    const { x } = this;
    if (index === 'top') return x.and(this.top, x.i32(7));
    const distance = index === 'push' ? x.i32(7) : index;
    return x.and(x.add(this.top, distance), x.i32(7));
  }

  /** i32, 0 or 1. @param physical its number */
  isFull(physical: Value): Value {
    const { x } = this;
    return x.and(x.shrU(this.tags, physical), x.i32(1));
  }

  read(physical: Value): Extended {
    const { x } = this;
    const address = this.address(physical);
    return {
      significand: x.load(Op.i64Load, address, stateOffset.x87),
      signExponent: x.load(Op.i32Load16U, address, stateOffset.x87 + 8),
    };
  }

  /** Its tag is `setTags`' affair. */
  write(physical: Value, { significand, signExponent }: Extended): void {
    const { x } = this;
    const address = this.address(physical);
    x.store(Op.i64Store, address, significand, stateOffset.x87);
    x.store(Op.i32Store16, address, signExponent, stateOffset.x87 + 8);
  }

  private address(physical: Value): Value {
    const { x } = this;
    return x.add(this.state, x.shl(physical, x.i32(4)));
  }

  bit(physical: Value): Value {
    return this.x.shl(this.x.i32(1), physical);
  }

  setTags(tags: Value): void {
    this.x.store(Op.i32Store, this.state, tags, stateOffset.x87Tags);
  }

  /** i32: not 0 if one of these exceptions is raised and not masked. @param flags i32 */
  unmasked(flags: Value, exceptions: number): Value {
    const { x } = this;
    return x.and(x.and(flags, x.xor(this.control, x.i32(-1))), x.i32(exceptions));
  }

  /**
   * Sets the status word: exceptions (i32, with SF and condition codes) are added, condition codes in `replaced` (i32, C1 if left out) are
   * theirs alone.
   * @param move what is added to TOP, i32
   */
  setStatus(
    flags: Value,
    {
      replaced = this.x.i32(Status.c1),
      move,
    }: { replaced?: Value | undefined; move?: Value | undefined } = {},
  ): void {
    const { x } = this;
    const cleared = move === undefined ? replaced : x.or(replaced, x.i32(Status.top));
    const kept = x.and(this.status, x.xor(cleared, x.i32(-1)));
    let status = x.or(kept, flags);
    if (move !== undefined)
      status = x.or(status, x.and(x.shl(x.add(this.top, move), x.i32(11)), x.i32(Status.top)));
    // Nothing was pending before.
    const pending = this.unmasked(flags, Status.exceptions);
    const summary = x.select(pending, x.i32(Status.summaryAndBusy), x.i32(0));
    x.store(Op.i32Store, this.state, x.or(status, summary), stateOffset.x87Status);
  }

  /** The same if what is raised is masked, and C1 alone is replaced: few steps, for every instruction waits for the TOP of the one before it. */
  setMaskedStatus(flags: Value, move?: Value): void {
    const { x, status } = this;
    const store = (value: Value): void => x.store(Op.i32Store, this.state, value, stateOffset.x87Status);
    if (move === undefined) {
      store(x.or(x.and(status, x.i32(~Status.c1)), flags));
      return;
    }
    const kept = x.or(x.and(status, x.i32(~(Status.c1 | Status.top))), flags);
    store(x.or(kept, x.and(x.add(status, x.shl(move, x.i32(11))), x.i32(Status.top))));
  }

  clearFloatFlags(): void {
    this.x.store(Op.i32Store, this.state, this.x.i32(0), stateOffset.floatFlags);
  }

  /** i32: what a function of the 80-bit library reported. */
  floatFlags(): Value {
    return this.x.copy(this.x.load(Op.i32Load, this.state, stateOffset.floatFlags));
  }

  /** The result of such a function. */
  result(significand: Value | undefined): Extended {
    const { x, state } = this;
    if (significand === undefined) throw new Error('a function of the 80-bit library answers a significand');
    return {
      significand: x.copy(significand),
      signExponent: x.copy(x.load(Op.i32Load, state, stateOffset.floatExponent)),
    };
  }

  /** Its second result. */
  secondResult(): Extended {
    const { x, state } = this;
    return {
      significand: x.copy(x.load(Op.i64Load, state, stateOffset.floatSecond)),
      signExponent: x.copy(x.load(Op.i32Load, state, stateOffset.floatSecondExponent)),
    };
  }
}

/** Parameters of library functions: the state, then a pair. */
export const pairParameters: readonly ValueType[] = [ValueType.i32, ValueType.i64, ValueType.i32];
