import { type Expressions, Op, type Value, ValueType, type Variable } from '@nest86/wasm';
import { stateOffset } from '../../state/layout.ts';
import type { CallLibrary, LibraryFunction } from '../function.ts';

/** Flags of the x87 status word (SDM vol. 1, 8.1.3) as library functions report them. */
export const Status = {
  invalid: 0x1,
  denormal: 0x2,
  zeroDivide: 0x4,
  overflow: 0x8,
  underflow: 0x10,
  precision: 0x20,
  c0: 0x100,
  c1: 0x200,
  c2: 0x400,
  c3: 0x4000,
} as const;

/** Values of the control word's RC field, bits 11:10. */
export const Rounding = { nearest: 0, down: 1, up: 2, truncate: 3 } as const;

/** What is added to an exponent to make it unsigned. */
export const exponentBias = 0x3fff;
/** Exponent field of infinities and NaNs. */
export const exponentSpecial = 0x7fff;
/** Precision control: 64 bits. */
export const fullPrecision = 0x300;

/** Beside an operand's exponent: it was a denormal in memory, in a narrower format; operations then report DE. */
export const memoryDenormal = 0x10000;

/** An 80-bit value taken apart. */
export interface Operand {
  /** i64, with the integer bit. */
  readonly significand: Value;
  /** i32: sign in bit 15, exponent in bits 14:0; bit 16 may be {@link memoryDenormal}; upper bits are 0. */
  readonly signExponent: Value;
  /** i32, biased. */
  readonly exponent: Value;
  /** i32: 0 or 0x8000. */
  readonly sign: Value;
}

/** Body of a library function while it is written: its parameters, and what nearly all of them need. */
export class Body {
  /** i32: the control word. */
  readonly control: Value;
  readonly operands: readonly Operand[];
  private readonly result: Variable;
  private readonly callLibrary: CallLibrary;

  /** @param parameters state, pairs of significand and sign with exponent, control */
  constructor(
    readonly x: Expressions,
    parameters: readonly Value[],
    call: CallLibrary,
  ) {
    // Copies may be used in loops.
    const copies = parameters.map((parameter) => x.copy(parameter));
    this.state = copies[0];
    this.control = copies[copies.length - 1];
    this.callLibrary = call;
    const operands: Operand[] = [];
    for (let i = 1; i + 1 < copies.length; i += 2) operands.push(this.operand(copies[i], copies[i + 1]));
    this.operands = operands;
    this.result = x.temporary(ValueType.i64);
  }

  /** i32: address of the CPU state block. */
  readonly state: Value;

  operand(significand: Value, signExponent: Value): Operand {
    const { x } = this;
    return {
      significand,
      signExponent,
      exponent: x.and(signExponent, x.i32(0x7fff)),
      sign: x.and(signExponent, x.i32(0x8000)),
    };
  }

  /** Sets flags; does not clear others. @param flags i32 */
  raise(flags: Value): void {
    const { x, state } = this;
    const old = x.load(Op.i32Load, state, stateOffset.floatFlags);
    x.store(Op.i32Store, state, x.or(old, flags), stateOffset.floatFlags);
  }

  /** Before a second result is rounded. */
  dropC1(): void {
    const { x, state } = this;
    const flags = x.load(Op.i32Load, state, stateOffset.floatFlags);
    x.store(Op.i32Store, state, x.and(flags, x.i32(~Status.c1)), stateOffset.floatFlags);
  }

  raiseConstant(flags: number): void {
    this.raise(this.x.i32(flags));
  }

  /** i32: not 0 if all these exceptions are masked. */
  isMasked(exception: number): Value {
    const { x } = this;
    return x.and(this.control, x.i32(exception));
  }

  /** i32, 0 to 3: see {@link Rounding}. */
  rounding(): Value {
    const { x } = this;
    return x.and(x.shrU(this.control, x.i32(10)), x.i32(3));
  }

  /** Sets the function's result. @param significand i64 @param signExponent i32 */
  give(significand: Value, signExponent: Value): void {
    const { x } = this;
    x.write(this.result, significand);
    x.store(Op.i32Store, this.state, signExponent, stateOffset.floatExponent);
  }

  /** Sets a result that is no 80-bit value. @param bits i64 */
  giveBits(bits: Value): void {
    this.x.write(this.result, bits);
  }

  giveOperand({ significand, signExponent }: Operand): void {
    this.give(significand, signExponent);
  }

  /** Gives zero. @param sign i32: 0 or 0x8000 */
  giveZero(sign: Value): void {
    this.give(this.x.i64(0), sign);
  }

  giveInfinity(sign: Value): void {
    const { x } = this;
    this.give(topBit(x), x.or(sign, x.i32(exponentSpecial)));
  }

  /** The response to a masked invalid-operation exception: the default NaN. */
  giveInvalid(): void {
    const { x } = this;
    this.raiseConstant(Status.invalid);
    this.give(x.i64(0, 0xc0000000 | 0), x.i32(0xffff));
  }

  /** Gives the NaN that NaN or unsupported operands lead to. */
  giveNan(a: Operand, b: Operand | undefined, propagate: LibraryFunction): void {
    const { x } = this;
    const args = [this.state, a.significand, a.signExponent];
    args.push(b?.significand ?? x.i64(0), b?.signExponent ?? x.i32(0));
    x.write(this.result, this.call(propagate, args));
  }

  /** Sets the second result, which goes to a register that the instruction pushes. */
  giveSecond(significand: Value, signExponent: Value): void {
    const { x, state } = this;
    x.store(Op.i64Store, state, significand, stateOffset.floatSecond);
    x.store(Op.i32Store, state, signExponent, stateOffset.floatSecondExponent);
  }

  /** Makes the result of a call, which stored its exponent, the function's own. */
  giveCall(callee: LibraryFunction, args: readonly Value[]): void {
    this.x.write(this.result, this.call(callee, args));
  }

  /** What {@link give} set; the end of a body. */
  finish(): Value {
    return this.x.read(this.result);
  }

  /** @throws Error if `callee` has no result */
  call(callee: LibraryFunction, args: readonly Value[]): Value {
    const result = this.callLibrary(callee, args);
    if (result === undefined) throw new Error(`"${callee.name}" answers nothing`);
    return result;
  }

  /** Sets a 128-bit result: internal functions leave its lower half in floatSecond. */
  giveWide({ high, low }: { high: Value; low: Value }): void {
    const { x } = this;
    x.write(this.result, high);
    x.store(Op.i64Store, this.state, low, stateOffset.floatSecond);
  }

  /** The 128-bit result of a function that ended with {@link giveWide}. */
  callWide(callee: LibraryFunction, args: readonly Value[]): { high: Value; low: Value } {
    const { x } = this;
    const high = this.call(callee, args);
    return { high: x.copy(high), low: x.load(Op.i64Load, this.state, stateOffset.floatSecond) };
  }

  /** Stores what {@link storedExponent} reads. @param exponent i32 */
  storeExponent(exponent: Value): void {
    this.x.store(Op.i32Store, this.state, exponent, stateOffset.floatExponent);
  }

  /** The exponent (sign and exponent) that a call stored. */
  storedExponent(): Value {
    return this.x.load(Op.i32Load, this.state, stateOffset.floatExponent);
  }

  /**
   * Denormal operands: reports them, and leaves if the exception is unmasked, for then the instruction is not carried out.
   * @param isDenormal i32
   */
  checkDenormal(isDenormal: Value, leave: (condition?: Value) => void): void {
    const { x } = this;
    x.if(
      isDenormal,
      () => {
        this.raiseConstant(Status.denormal);
        leave(x.eqz(this.isMasked(Status.denormal)));
      },
      undefined,
      false,
    );
  }
}

/** i64: the integer bit alone. */
export function topBit(x: Expressions): Value {
  return x.i64(0, 0x80000000 | 0);
}

/** i32: infinity, NaN, or an encoding that the processor does not support. */
export function isSpecial(x: Expressions, { significand, exponent }: Operand): Value {
  return x.or(x.eq(exponent, x.i32(exponentSpecial)), isUnsupported(x, { significand, exponent }));
}

/** i32: unnormal, pseudo-infinity or pseudo-NaN (SDM vol. 1, 8.2.2). */
export function isUnsupported(
  x: Expressions,
  { significand, exponent }: Pick<Operand, 'significand' | 'exponent'>,
): Value {
  return x.and(isNotZero(x, exponent), x.compute(Op.i64GeS, significand, x.i64(0)));
}

/** i32: of a value that {@link isSpecial}, whether it is no infinity. */
export function isSpecialNan(x: Expressions, operand: Operand): Value {
  return x.and(isSpecial(x, operand), x.ne(operand.significand, topBit(x)));
}

/** i32: NaN of a supported encoding. */
export function isNan(x: Expressions, { significand, exponent }: Operand): Value {
  return x.and(x.eq(exponent, x.i32(exponentSpecial)), x.compute(Op.i64GtU, significand, topBit(x)));
}

/** i32: infinity of a supported encoding. */
export function isInfinite(x: Expressions, { significand, exponent }: Operand): Value {
  return x.and(x.eq(exponent, x.i32(exponentSpecial)), x.eq(significand, topBit(x)));
}

/** i32: denormal or pseudo-denormal, also of a narrower format in memory. */
export function isDenormal(x: Expressions, { significand, exponent, signExponent }: Operand): Value {
  return x.or(x.and(x.eqz(exponent), isNotZero(x, significand)), x.shrU(signExponent, x.i32(16)));
}

/** i32; of a value that is not {@link isSpecial}. */
export function isZero(x: Expressions, { significand }: Operand): Value {
  return x.eqz(significand);
}

/** i32, 0 or 1. @param value i32 or i64 */
export function isNotZero(x: Expressions, value: Value): Value {
  return x.ne(value, x.typeOf(value) === ValueType.i64 ? x.i64(0) : x.i32(0));
}

/** A value that is neither special nor zero with its integer bit set: exponent (i32) may go down to -62. */
export function normalize(
  x: Expressions,
  { significand, exponent }: Operand,
): { significand: Value; exponent: Value } {
  const zeros = x.clz(significand);
  // Denormals have the scale of exponent 1.
  const scale = x.select(x.eqz(exponent), x.i32(1), exponent);
  return { significand: x.shl(significand, zeros), exponent: x.sub(scale, x.wrap(zeros)) };
}

/**
 * A function of `operands` 80-bit values: (state i32, [significand i64, signExponent i32]..., control i32) to a significand i64, with
 * sign and exponent stored at `stateOffset.floatExponent`.
 */
export function float80Function(
  name: string,
  operands: number,
  write: (body: Body) => void,
): LibraryFunction {
  const pairs = Array.from({ length: operands }, () => [ValueType.i64, ValueType.i32] as const).flat();
  return {
    name: `float80.${name}`,
    parameters: [ValueType.i32, ...pairs, ValueType.i32],
    result: ValueType.i64,
    build: (x, parameters, call) => {
      const body = new Body(x, parameters, call);
      write(body);
      return body.finish();
    },
  };
}
