import { Op, type Value, ValueType } from '@nest86/wasm';
import {
  loadLnOf2,
  loadLog2Of10,
  loadLog2OfE,
  loadLog10Of2,
  loadPi,
} from '../../library/float80/constants.ts';
import { fromDecimal, fromFloat32, fromFloat64 } from '../../library/float80/conversion.ts';
import type { CallLibrary, LibraryFunction } from '../../library/function.ts';
import { stateOffset } from '../../state/layout.ts';
import type { Definition, Family, Operation } from '../operation.ts';
import {
  extend,
  extendInteger,
  type FloatFormat,
  float32,
  float64,
  isNotNormal,
} from './fast-conversions.ts';
import {
  blocksInteger,
  checkPending,
  defaultNan,
  type Extended,
  type Leave,
  pairParameters,
  RegisterStack,
  rememberInstruction,
  Status,
  stackOverflow,
  stackUnderflow,
} from './stack.ts';

/** Pushes a value: (state, significand, signExponent, flags that reading it raised). Only IE keeps it from being pushed. */
const push: LibraryFunction = {
  name: 'x87.push',
  parameters: [...pairParameters, ValueType.i32],
  result: undefined,
  build: (x, [state, significand, signExponent, flags]) => {
    const stack = new RegisterStack(x, state);
    const target = stack.physical('push');
    const give = (value: Extended, raised: Value): void => {
      stack.write(target, value);
      stack.setTags(x.or(stack.tags, stack.bit(target)));
      stack.setStatus(raised, { move: x.i32(7) });
    };
    x.if(
      stack.isFull(target),
      () => {
        // An empty source comes first.
        const isUnderflow = x.and(flags, x.i32(Status.stackFault));
        const raised = x.select(isUnderflow, flags, x.i32(stackOverflow));
        x.if(
          stack.unmasked(raised, blocksInteger),
          () => stack.setStatus(raised),
          () => give(defaultNan(x), raised),
        );
      },
      () => {
        x.if(
          stack.unmasked(flags, blocksInteger),
          () => stack.setStatus(flags),
          () => give({ significand, signExponent }, flags),
          false,
        );
      },
      false,
    );
    return undefined;
  },
};

/** Pushes a value if there is room: all that it takes mostly. `flags` is 0. */
function pushFast(stack: RegisterStack, value: Extended, leave: Leave): void {
  const { x } = stack;
  const target = x.copy(stack.physical('push'));
  leave(stack.isFull(target));
  stack.write(target, value);
  stack.setTags(x.or(stack.tags, stack.bit(target)));
  stack.setMaskedStatus(x.i32(0), x.i32(7));
}

/** Pushes a value, wherever it goes. */
function pushWhere(stack: RegisterStack, value: Extended, call: CallLibrary): void {
  const { x, state } = stack;
  const significand = x.copy(value.significand);
  const signExponent = x.copy(value.signExponent);
  x.block((end) => {
    x.block((leave) => {
      pushFast(stack, { significand, signExponent }, leave);
      end();
    });
    call(push, [state, significand, signExponent, x.i32(0)]);
  });
}

/** FLD ST(i): (state, i). */
const pushRegister: LibraryFunction = {
  name: 'x87.pushRegister',
  parameters: [ValueType.i32, ValueType.i32],
  result: undefined,
  build: (x, [state, index], call) => {
    const stack = new RegisterStack(x, state);
    const source = x.copy(stack.physical(index));
    x.if(
      stack.isFull(source),
      () => pushWhere(stack, stack.read(source), call),
      () => {
        const { significand, signExponent } = defaultNan(x);
        call(push, [state, significand, signExponent, x.i32(stackUnderflow)]);
      },
      true,
    );
    return undefined;
  },
};

/** FLD m32fp, m64fp: (state, bits). */
function pushFloat(name: string, convert: LibraryFunction, format: FloatFormat): LibraryFunction {
  return {
    name,
    parameters: [ValueType.i32, convert.parameters[1]],
    result: undefined,
    build: (x, [state, bits], call) => {
      const stack = new RegisterStack(x, state);
      x.block((end) => {
        x.block((leave) => {
          leave(isNotNormal(x, bits, format));
          pushFast(stack, extend(x, bits, format), leave);
          end();
        });
        stack.clearFloatFlags();
        const { significand, signExponent } = stack.result(call(convert, [state, bits, stack.control]));
        call(push, [state, significand, signExponent, stack.floatFlags()]);
      });
      return undefined;
    },
  };
}

const pushFloat32 = pushFloat('x87.pushFloat32', fromFloat32, float32);
const pushFloat64 = pushFloat('x87.pushFloat64', fromFloat64, float64);

/** FILD: (state, value i64). */
const pushInteger: LibraryFunction = {
  name: 'x87.pushInteger',
  parameters: [ValueType.i32, ValueType.i64],
  result: undefined,
  build: (x, [state, value], call) => {
    pushWhere(new RegisterStack(x, state), extendInteger(x, value), call);
    return undefined;
  },
};

function pushPair(op: Operation, significand: Value, signExponent: Value): void {
  op.library(push, [op.state, significand, signExponent, op.x.i32(0)]);
}

const load: Definition = (op) => {
  checkPending(op);
  if (!op.isMemory(0)) {
    rememberInstruction(op);
    op.library(pushRegister, [op.state, op.registerNumber(0)]);
    return;
  }
  if (op.bits(0) === 80) {
    const place = op.operandPlace(0, 'read');
    const significand = op.loadPlace(place, 64);
    const signExponent = op.loadPlace(place, 16, 8);
    rememberInstruction(op, 0);
    pushPair(op, significand, signExponent);
    return;
  }
  const bits = op.read(0);
  rememberInstruction(op, 0);
  op.library(op.bits(0) === 32 ? pushFloat32 : pushFloat64, [op.state, bits]);
};

/** An integer operand in memory, as i64. */
export function readInteger(op: Operation): Value {
  const { x } = op;
  const value = op.read(0);
  if (op.bits(0) === 64) return value;
  return x.extendS(op.bits(0) === 16 ? x.compute(Op.i32Extend16S, value) : value);
}

/** FLD1, FLDZ. */
function constant(significandHigh: number, exponent: number): Definition {
  return (op) => {
    checkPending(op);
    rememberInstruction(op);
    pushPair(op, op.x.i64(0, significandHigh | 0), op.x.i32(exponent));
  };
}

/** The others are rounded by RC. */
function roundedConstant(read: LibraryFunction): Definition {
  return (op) => {
    const { x, state } = op;
    checkPending(op);
    rememberInstruction(op);
    const control = x.load(Op.i32Load, state, stateOffset.x87Control);
    const significand = op.library(read, [state, control]);
    if (significand === undefined) throw new Error(`${read.name} answers nothing`);
    pushPair(op, significand, x.load(Op.i32Load, state, stateOffset.floatExponent));
  };
}

/** Instructions that push a value (SDM vol. 1, 8.3.3 and 8.3.4). */
export const loads: Family = {
  definitions: {
    FLD: load,
    FILD: (op) => {
      checkPending(op);
      const value = readInteger(op);
      rememberInstruction(op, 0);
      op.library(pushInteger, [op.state, value]);
    },
    FBLD: (op) => {
      const { x, state } = op;
      checkPending(op);
      const place = op.operandPlace(0, 'read');
      const lower = op.loadPlace(place, 64);
      const upper = op.loadPlace(place, 16, 8);
      rememberInstruction(op, 0);
      const control = x.load(Op.i32Load, state, stateOffset.x87Control);
      const significand = op.library(fromDecimal, [state, lower, upper, control]);
      if (significand === undefined) throw new Error(`${fromDecimal.name} answers nothing`);
      pushPair(op, significand, x.load(Op.i32Load, state, stateOffset.floatExponent));
    },
    FLD1: constant(0x80000000, 0x3fff),
    FLDZ: constant(0, 0),
    FLDL2T: roundedConstant(loadLog2Of10),
    FLDL2E: roundedConstant(loadLog2OfE),
    FLDPI: roundedConstant(loadPi),
    FLDLG2: roundedConstant(loadLog10Of2),
    FLDLN2: roundedConstant(loadLnOf2),
  },
};
