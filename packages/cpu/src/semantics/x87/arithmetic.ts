import { type Expressions, Op, type Value, ValueType } from '@nest86/wasm';
import { arctangent } from '../../library/float80/arctangent.ts';
import { add, div, mul, sqrt, sub } from '../../library/float80/arithmetic.ts';
import { operandFromFloat32, operandFromFloat64 } from '../../library/float80/conversion.ts';
import { exponential, logarithmPlusOneProduct, logarithmProduct } from '../../library/float80/exponential.ts';
import { remainderNearest, remainderTruncated } from '../../library/float80/remainder.ts';
import { extract, roundToIntegral, scale } from '../../library/float80/scaling.ts';
import { cosine, sine, sineAndCosine, tangent } from '../../library/float80/trigonometry.ts';
import type { CallLibrary, LibraryFunction } from '../../library/function.ts';
import { stateOffset } from '../../state/layout.ts';
import type { Definition, Family, Operation } from '../operation.ts';
import { type FastOperation, fastDifference, fastProduct, fastSum } from './fast.ts';
import { extend, extendInteger, float32, float64, isNotNormal } from './fast-conversions.ts';
import { readInteger } from './loads.ts';
import {
  blocksRegister,
  checkPending,
  defaultNan,
  type Extended,
  pairParameters,
  RegisterStack,
  rememberInstruction,
  Status,
  stackOverflow,
  stackUnderflow,
} from './stack.ts';

/** Which condition codes an instruction sets or clears, i32. @param flags i32: exceptions that it raised @param result its sign and exponent */
type Codes = (stack: RegisterStack, flags: Value, result: Value) => Value;

const onlyC1: Codes = ({ x }) => x.i32(Status.c1);
/** C2: the operand is out of range. */
const partial: Codes = ({ x }) => x.i32(Status.c1 | Status.c2);
/** C0, C3, C1: bits of a quotient. Without a quotient AMD's processors leave C0 and C3 as they were. */
const quotientBits: Codes = (stack, flags, result) => {
  const { x } = stack;
  const isNan = x.eq(x.and(result, x.i32(0x7fff)), x.i32(0x7fff));
  const hasNone = x.or(isNan, stack.unmasked(flags, Status.denormal));
  return x.select(hasNone, x.i32(Status.c1 | Status.c2), x.i32(Status.conditions));
};

/** A result that is being computed. */
class Result {
  private readonly significand;
  private readonly signExponent;
  private readonly flags;

  constructor(private readonly stack: RegisterStack) {
    const { x } = stack;
    this.significand = x.temporary(ValueType.i64);
    this.signExponent = x.temporary(ValueType.i32);
    this.flags = x.temporary(ValueType.i32);
  }

  /** Of a function of the 80-bit library. */
  compute(call: CallLibrary, compute: LibraryFunction, operands: readonly Extended[]): void {
    const { stack } = this;
    stack.clearFloatFlags();
    const pairs = operands.flatMap(({ significand, signExponent }) => [significand, signExponent]);
    this.set(stack.result(call(compute, [stack.state, ...pairs, stack.control])), stack.floatFlags());
  }

  /** After a stack fault: the default NaN. */
  invalidate(flags: number): void {
    const { x } = this.stack;
    this.set(defaultNan(x), x.i32(flags));
  }

  private set({ significand, signExponent }: Extended, flags: Value): void {
    const { x } = this.stack;
    x.write(this.significand, significand);
    x.write(this.signExponent, signExponent);
    x.write(this.flags, flags);
  }

  /**
   * Writes it to a register, unless an exception forbids that.
   * @param pops i32, 0 or 1
   * @param codes which condition codes the instruction sets
   */
  finish(target: Value, codes: Codes, pops?: Value): void {
    const { stack } = this;
    const { x } = stack;
    const flags = x.copy(x.read(this.flags));
    const replaced = codes(stack, flags, x.read(this.signExponent));
    x.if(
      stack.unmasked(flags, blocksRegister),
      () => stack.setStatus(flags, { replaced }),
      () => {
        stack.write(target, {
          significand: x.read(this.significand),
          signExponent: x.read(this.signExponent),
        });
        const tags = x.or(stack.tags, stack.bit(target));
        stack.setTags(
          pops === undefined ? tags : x.and(tags, x.xor(x.shl(pops, stack.physical('top')), x.i32(-1))),
        );
        stack.setStatus(flags, { replaced, move: pops });
      },
      false,
    );
  }
}

interface Ways {
  readonly codes?: Codes;
  /** A way for usual operands. */
  readonly fast?: FastOperation | undefined;
}

/** Two registers to one: (state, first i, second i, target i, pops 0 or 1). */
function ofRegisters(
  name: string,
  compute: LibraryFunction,
  { codes = onlyC1, fast }: Ways = {},
): LibraryFunction {
  return {
    name: `x87.${name}`,
    parameters: [ValueType.i32, ValueType.i32, ValueType.i32, ValueType.i32, ValueType.i32],
    result: undefined,
    build: (x, [state, first, second, target, pops], call) => {
      const stack = new RegisterStack(x, state);
      const a = x.copy(stack.physical(first));
      const b = x.copy(stack.physical(second));
      const to = x.copy(stack.physical(target));
      const popped = x.copy(pops);
      const areFull = x.copy(x.and(stack.isFull(a), stack.isFull(b)));
      const operands = [stack.read(a), stack.read(b)];
      x.block((end) => {
        if (fast !== undefined) {
          x.block((leave) => {
            leave(x.eqz(areFull));
            const { flags, ...value } = fast(stack, operands[0], operands[1], leave);
            stack.write(to, value);
            stack.setTags(x.and(stack.tags, x.xor(x.shl(popped, stack.physical('top')), x.i32(-1))));
            stack.setMaskedStatus(flags, popped);
            end();
          });
        }
        const result = new Result(stack);
        x.if(
          areFull,
          () => result.compute(call, compute, operands),
          () => result.invalidate(stackUnderflow),
          true,
        );
        result.finish(to, codes, popped);
      });
      return undefined;
    },
  };
}

/** ST(0) and an operand from memory: (state, significand, signExponent). @param isReversed the operand comes first */
function ofMemory(
  name: string,
  compute: LibraryFunction,
  isReversed: boolean,
  fast?: FastOperation,
): LibraryFunction {
  return {
    name: `x87.${name}Memory`,
    parameters: pairParameters,
    result: undefined,
    build: (x, [state, significand, signExponent], call) => {
      const stack = new RegisterStack(x, state);
      const top = x.copy(stack.physical('top'));
      const isFull = x.copy(stack.isFull(top));
      const operand = { significand: x.copy(significand), signExponent: x.copy(signExponent) };
      const own = stack.read(top);
      const operands = isReversed ? [operand, own] : [own, operand];
      x.block((end) => {
        if (fast !== undefined) {
          x.block((leave) => {
            leave(x.eqz(isFull));
            const { flags, ...value } = fast(stack, operands[0], operands[1], leave);
            stack.write(top, value);
            stack.setMaskedStatus(flags);
            end();
          });
        }
        const result = new Result(stack);
        x.if(
          isFull,
          () => result.compute(call, compute, operands),
          () => result.invalidate(stackUnderflow),
          true,
        );
        result.finish(top, onlyC1);
      });
      return undefined;
    },
  };
}

/** ST(0) to itself: (state). */
function ofTop(name: string, compute: LibraryFunction, codes: Codes = onlyC1): LibraryFunction {
  return {
    name: `x87.${name}`,
    parameters: [ValueType.i32],
    result: undefined,
    build: (x, [state], call) => {
      const stack = new RegisterStack(x, state);
      const top = x.copy(stack.physical('top'));
      const result = new Result(stack);
      x.if(
        stack.isFull(top),
        () => result.compute(call, compute, [stack.read(top)]),
        () => result.invalidate(stackUnderflow),
        true,
      );
      result.finish(top, codes);
      return undefined;
    },
  };
}

/** ST(0) to two results, of which the second is pushed: (state). With C2, ST(0) stays and nothing is pushed. */
function toTwo(name: string, compute: LibraryFunction, codes: number = Status.c1): LibraryFunction {
  return {
    name: `x87.${name}`,
    parameters: [ValueType.i32],
    result: undefined,
    build: (x, [state], call) => {
      const stack = new RegisterStack(x, state);
      const replaced = x.i32(codes);
      const top = x.copy(stack.physical('top'));
      const target = x.copy(stack.physical('push'));
      const give = (first: Extended, second: Extended, flags: Value): void => {
        stack.write(top, first);
        stack.write(target, second);
        stack.setTags(x.or(stack.tags, x.or(stack.bit(top), stack.bit(target))));
        stack.setStatus(flags, { replaced, move: x.i32(7) });
      };
      const failed = (flags: number): void => {
        const raised = x.i32(flags);
        x.if(
          stack.unmasked(raised, blocksRegister),
          () => stack.setStatus(raised, { replaced }),
          () => give(defaultNan(x), defaultNan(x), raised),
        );
      };
      const succeeded = (): void => {
        const { significand, signExponent } = stack.read(top);
        stack.clearFloatFlags();
        const first = stack.result(call(compute, [state, significand, signExponent, stack.control]));
        const flags = stack.floatFlags();
        const isPartial = x.and(flags, x.i32(Status.c2));
        x.if(
          x.or(stack.unmasked(flags, blocksRegister), isPartial),
          () => stack.setStatus(flags, { replaced }),
          () => give(first, stack.secondResult(), flags),
        );
      };
      x.if(
        x.eqz(stack.isFull(top)),
        () => failed(stackUnderflow),
        () => x.if(stack.isFull(target), () => failed(stackOverflow), succeeded),
      );
      return undefined;
    },
  };
}

/** FABS, FCHS: (state). @param change of sign and exponent */
function ofSign(name: string, change: (x: Expressions, signExponent: Value) => Value): LibraryFunction {
  return ofTop(name, {
    name: `x87.${name}Value`,
    parameters: [...pairParameters, ValueType.i32],
    result: ValueType.i64,
    build: (x, [state, significand, signExponent]) => {
      x.store(Op.i32Store, state, change(x, signExponent), stateOffset.floatExponent);
      return significand;
    },
  });
}

/** How the operands of an instruction stand in the operation. */
interface Arithmetic {
  readonly registers: LibraryFunction;
  readonly memory: LibraryFunction;
  readonly isReversed: boolean;
}

function arithmeticOf(
  name: string,
  compute: LibraryFunction,
  fast?: FastOperation,
): [plain: Arithmetic, reversed: Arithmetic] {
  const registers = ofRegisters(name, compute, { fast });
  return [
    { registers, memory: ofMemory(name, compute, false, fast), isReversed: false },
    { registers, memory: ofMemory(`${name}Reversed`, compute, true, fast), isReversed: true },
  ];
}

const [addition] = arithmeticOf('add', add, fastSum);
const [multiplication] = arithmeticOf('multiply', mul, fastProduct);
const [subtraction, reversedSubtraction] = arithmeticOf('subtract', sub, fastDifference);
const [division, reversedDivision] = arithmeticOf('divide', div);

/** A floating-point operand in memory, for operations. */
export function readFloat(op: Operation): Extended {
  const { x, state } = op;
  const isNarrow = op.bits(0) === 32;
  const format = isNarrow ? float32 : float64;
  const bits = x.copy(op.read(0));
  const significand = x.temporary(ValueType.i64);
  const signExponent = x.temporary(ValueType.i32);
  const give = (value: Extended): void => {
    x.write(significand, value.significand);
    x.write(signExponent, value.signExponent);
  };
  x.if(
    isNotNormal(x, bits, format),
    () => {
      const control = x.load(Op.i32Load, state, stateOffset.x87Control);
      const convert = isNarrow ? operandFromFloat32 : operandFromFloat64;
      const upper = op.library(convert, [state, bits, control]);
      if (upper === undefined) throw new Error(`${convert.name} answers nothing`);
      give({
        significand: upper,
        signExponent: x.load(Op.i32Load, state, stateOffset.floatExponent),
      });
    },
    () => give(extend(x, bits, format)),
    false,
  );
  return { significand: x.read(significand), signExponent: x.read(signExponent) };
}

/** An integer operand in memory, for operations. */
export function readIntegerOperand(op: Operation): Extended {
  return extendInteger(op.x, op.x.copy(readInteger(op)));
}

function withMemory(op: Operation, read: (op: Operation) => Extended, { memory }: Arithmetic): void {
  checkPending(op);
  const { significand, signExponent } = read(op);
  rememberInstruction(op, 0);
  op.library(memory, [op.state, significand, signExponent]);
}

/** FADD and the like: operand 0 is the target, and comes first unless the instruction is a reversed one. */
function arithmetic(how: Arithmetic, pops = false): Definition {
  return (op) => {
    if (op.isMemory(0)) {
      withMemory(op, readFloat, how);
      return;
    }
    checkPending(op);
    rememberInstruction(op);
    const { x, state } = op;
    const [target, source] = [x.copy(op.registerNumber(0)), op.registerNumber(1)];
    const [first, second] = how.isReversed ? [source, target] : [target, source];
    op.library(how.registers, [state, first, second, target, x.i32(pops ? 1 : 0)]);
  };
}

function integerArithmetic(how: Arithmetic): Definition {
  return (op) => withMemory(op, readIntegerOperand, how);
}

/** An instruction without explicit operands. */
function implied(compute: LibraryFunction, args: readonly number[] = []): Definition {
  return (op) => {
    checkPending(op);
    rememberInstruction(op);
    op.library(compute, [op.state, ...args.map((arg) => op.x.i32(arg))]);
  };
}

/** First, second, target register; pops. */
const intoTop = [0, 1, 0, 0];
const intoNext = [0, 1, 1, 1];

/** Arithmetic and transcendental instructions (SDM vol. 1, 8.3.5 to 8.3.9). */
export const calculations: Family = {
  definitions: {
    FADD: arithmetic(addition),
    FADDP: arithmetic(addition, true),
    FIADD: integerArithmetic(addition),
    FMUL: arithmetic(multiplication),
    FMULP: arithmetic(multiplication, true),
    FIMUL: integerArithmetic(multiplication),
    FSUB: arithmetic(subtraction),
    FSUBP: arithmetic(subtraction, true),
    FISUB: integerArithmetic(subtraction),
    FSUBR: arithmetic(reversedSubtraction),
    FSUBRP: arithmetic(reversedSubtraction, true),
    FISUBR: integerArithmetic(reversedSubtraction),
    FDIV: arithmetic(division),
    FDIVP: arithmetic(division, true),
    FIDIV: integerArithmetic(division),
    FDIVR: arithmetic(reversedDivision),
    FDIVRP: arithmetic(reversedDivision, true),
    FIDIVR: integerArithmetic(reversedDivision),
    FABS: implied(ofSign('absolute', (x, signExponent) => x.and(signExponent, x.i32(0x7fff)))),
    FCHS: implied(ofSign('changeSign', (x, signExponent) => x.xor(signExponent, x.i32(0x8000)))),
    FSQRT: implied(ofTop('squareRoot', sqrt)),
    FRNDINT: implied(ofTop('roundToIntegral', roundToIntegral)),
    FSCALE: implied(ofRegisters('scale', scale), intoTop),
    FXTRACT: implied(toTwo('extract', extract)),
    FPREM: implied(ofRegisters('remainder', remainderTruncated, { codes: quotientBits }), intoTop),
    FPREM1: implied(ofRegisters('nearestRemainder', remainderNearest, { codes: quotientBits }), intoTop),
    F2XM1: implied(ofTop('exponential', exponential)),
    FYL2X: implied(ofRegisters('logarithm', logarithmProduct), intoNext),
    FYL2XP1: implied(ofRegisters('logarithmPlusOne', logarithmPlusOneProduct), intoNext),
    FSIN: implied(ofTop('sine', sine, partial)),
    FCOS: implied(ofTop('cosine', cosine, partial)),
    FSINCOS: implied(toTwo('sineAndCosine', sineAndCosine, Status.c1 | Status.c2)),
    FPTAN: implied(toTwo('tangent', tangent, Status.c1 | Status.c2)),
    FPATAN: implied(ofRegisters('arctangent', arctangent), intoNext),
  },
};
