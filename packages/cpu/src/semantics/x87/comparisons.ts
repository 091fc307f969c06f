import { type Value, ValueType, type Variable } from '@nest86/wasm';
import { compare, compareUnordered, examine } from '../../library/float80/comparison.ts';
import type { CallLibrary, LibraryFunction } from '../../library/function.ts';
import { joinFlags } from '../flags.ts';
import type { Definition, Family, Operation } from '../operation.ts';
import { readFloat, readIntegerOperand } from './arithmetic.ts';
import { fastOrder } from './fast.ts';
import {
  blocksRegister,
  checkPending,
  type Extended,
  pairParameters,
  RegisterStack,
  rememberInstruction,
  Status,
  stackUnderflow,
} from './stack.ts';

const unordered = Status.c3 | Status.c2 | Status.c0;

/**
 * Sets the status word, or for FCOMI only its exceptions, and pops. FCOMI leaves C1 too, unless there is a stack fault: that is what AMD's
 * processors do, where Intel's manual clears it.

 * @param codes i32
 * @param pops i32, 0 to 2
 */
function finish(stack: RegisterStack, codes: Value, flags: Value, pops: Value, setsCodes: boolean): void {
  const { x } = stack;
  const raised = setsCodes ? x.or(flags, codes) : flags;
  const isFault = x.and(flags, x.i32(Status.stackFault));
  const replaced = setsCodes ? x.i32(Status.conditions) : x.select(isFault, x.i32(Status.c1), x.i32(0));
  x.if(
    stack.unmasked(flags, blocksRegister),
    () => stack.setStatus(raised, { replaced }),
    () => {
      const top = stack.physical('top');
      // One or two bits, the second of which may be that of R0.
      const bits = x.shl(x.sub(x.shl(x.i32(1), pops), x.i32(1)), top);
      const popped = x.or(bits, x.shrU(bits, x.i32(8)));
      stack.setTags(x.and(stack.tags, x.xor(popped, x.i32(-1))));
      stack.setStatus(raised, { replaced, move: pops });
    },
    false,
  );
}

/**
 * Compares ST(0) with a value, and writes C3, C2, C0 in their places to `codes`.
 * @param isFull i32: neither register is empty
 */
function write(
  stack: RegisterStack,
  call: CallLibrary,
  how: LibraryFunction,
  operands: { a: Extended; b: Extended; isFull: Value; pops: Value; setsCodes: boolean; codes: Variable },
): void {
  const { x, state } = stack;
  const { a, b, isFull, pops, setsCodes, codes } = operands;
  x.block((end) => {
    x.block((leave) => {
      leave(x.eqz(isFull));
      x.write(codes, fastOrder(x, a, b, leave));
      finish(stack, x.read(codes), x.i32(0), pops, setsCodes);
      end();
    });
    const flags = x.temporary(ValueType.i32);
    x.if(
      isFull,
      () => {
        stack.clearFloatFlags();
        const args = [state, a.significand, a.signExponent, b.significand, b.signExponent, stack.control];
        x.write(codes, call(how, args)!);
        x.write(flags, stack.floatFlags());
      },
      () => {
        x.write(codes, x.i32(unordered));
        x.write(flags, x.i32(stackUnderflow));
      },
      true,
    );
    finish(stack, x.read(codes), x.copy(x.read(flags)), pops, setsCodes);
  });
}

/** ST(0) with ST(i): (state, i, pops 0 to 2) to C3, C2, C0 in their places. @param setsCodes in the status word, too */
function ofRegisters(name: string, how: LibraryFunction, setsCodes: boolean): LibraryFunction {
  return {
    name: `x87.${name}`,
    parameters: [ValueType.i32, ValueType.i32, ValueType.i32],
    result: ValueType.i32,
    build: (x, [state, index, pops], call) => {
      const stack = new RegisterStack(x, state);
      const top = x.copy(stack.physical('top'));
      const other = x.copy(stack.physical(index));
      const codes = x.temporary(ValueType.i32);
      write(stack, call, how, {
        a: stack.read(top),
        b: stack.read(other),
        isFull: x.copy(x.and(stack.isFull(top), stack.isFull(other))),
        pops: x.copy(pops),
        setsCodes,
        codes,
      });
      return x.read(codes);
    },
  };
}

/** ST(0) with an operand from elsewhere: (state, significand, signExponent, pops 0 or 1). */
const compareOperand: LibraryFunction = {
  name: 'x87.compareOperand',
  parameters: [...pairParameters, ValueType.i32],
  result: undefined,
  build: (x, [state, significand, signExponent, pops], call) => {
    const stack = new RegisterStack(x, state);
    const top = x.copy(stack.physical('top'));
    write(stack, call, compare, {
      a: stack.read(top),
      b: { significand: x.copy(significand), signExponent: x.copy(signExponent) },
      isFull: x.copy(stack.isFull(top)),
      pops: x.copy(pops),
      setsCodes: true,
      codes: x.temporary(ValueType.i32),
    });
    return undefined;
  },
};

const ordered = ofRegisters('compare', compare, true);
const quiet = ofRegisters('compareUnordered', compareUnordered, true);
const orderedFlags = ofRegisters('compareFlags', compare, false);
const quietFlags = ofRegisters('compareUnorderedFlags', compareUnordered, false);

/** FXAM: (state). */
const examineTop: LibraryFunction = {
  name: 'x87.examine',
  parameters: [ValueType.i32],
  result: undefined,
  build: (x, [state], call) => {
    const stack = new RegisterStack(x, state);
    const top = x.copy(stack.physical('top'));
    const { significand, signExponent } = stack.read(top);
    const kind = call(examine, [state, significand, signExponent, stack.control])!;
    // Empty: C3 and C0, and the sign of what is there.
    const empty = x.or(x.and(kind, x.i32(Status.c1)), x.i32(Status.c3 | Status.c0));
    stack.setStatus(x.select(stack.isFull(top), kind, empty), { replaced: x.i32(Status.conditions) });
    return undefined;
  },
};

function withOperand(read: (op: Operation) => Extended, pops: 0 | 1): Definition {
  return (op) => {
    checkPending(op);
    const { significand, signExponent } = read(op);
    rememberInstruction(op, 0);
    op.library(compareOperand, [op.state, significand, signExponent, op.x.i32(pops)]);
  };
}

/** FCOM, FUCOM: with ST(i) or memory. */
function comparison(how: LibraryFunction, pops: 0 | 1): Definition {
  const memory = withOperand(readFloat, pops);
  return (op) => {
    if (op.isMemory(0)) {
      memory(op);
      return;
    }
    checkPending(op);
    rememberInstruction(op);
    op.library(how, [op.state, op.registerNumber(op.operandCount - 1), op.x.i32(pops)]);
  };
}

/** FCOMPP, FUCOMPP. */
function popsBoth(how: LibraryFunction): Definition {
  return (op) => {
    const { x, state } = op;
    checkPending(op);
    rememberInstruction(op);
    op.library(how, [state, x.i32(1), x.i32(2)]);
  };
}

/** FCOMI, FUCOMI: ZF, PF, CF as C3, C2, C0 would be; the others are 0. */
function toFlags(how: LibraryFunction, pops: 0 | 1): Definition {
  return (op) => {
    const { x, state } = op;
    checkPending(op);
    rememberInstruction(op);
    const codes = x.copy(op.library(how, [state, op.registerNumber(1), x.i32(pops)])!);
    const bit = (place: number): Value => x.and(x.shrU(codes, x.i32(place)), x.i32(1));
    const zero = x.i32(0);
    op.writeFlags(
      joinFlags(x, {
        carry: bit(8),
        parity: bit(10),
        auxiliary: zero,
        zero: bit(14),
        sign: zero,
        overflow: zero,
      }),
    );
  };
}

/** Comparisons and FXAM (SDM vol. 1, 8.3.6). */
export const comparisons: Family = {
  definitions: {
    FCOM: comparison(ordered, 0),
    FCOMP: comparison(ordered, 1),
    FCOMPP: popsBoth(ordered),
    FUCOM: comparison(quiet, 0),
    FUCOMP: comparison(quiet, 1),
    FUCOMPP: popsBoth(quiet),
    FCOMI: toFlags(orderedFlags, 0),
    FCOMIP: toFlags(orderedFlags, 1),
    FUCOMI: toFlags(quietFlags, 0),
    FUCOMIP: toFlags(quietFlags, 1),
    FICOM: withOperand(readIntegerOperand, 0),
    FICOMP: withOperand(readIntegerOperand, 1),
    FTST: (op) => {
      const { x, state } = op;
      checkPending(op);
      rememberInstruction(op);
      op.library(compareOperand, [state, x.i64(0), x.i32(0), x.i32(0)]);
    },
    FXAM: (op) => {
      checkPending(op);
      rememberInstruction(op);
      op.library(examineTop, [op.state]);
    },
  },
};
