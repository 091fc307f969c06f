import { type Expressions, Op, type Value, ValueType } from '@nest86/wasm';
import type { LibraryFunction } from '../../library/function.ts';
import {
  toDecimal,
  toFloat32,
  toFloat64,
  toInteger16,
  toInteger32,
  toInteger64,
} from '../../library/float80/conversion.ts';
import { stateOffset } from '../../state/layout.ts';
import type { Definition, Family, Operation } from '../operation.ts';
import {
  blocksFloat,
  blocksInteger,
  checkPending,
  defaultNan,
  RegisterStack,
  rememberInstruction,
  stackUnderflow,
} from './stack.ts';

/**
 * ST(0) in another format: (state, pops 0 or 1) to the bits, with what an 80-bit value or ten bytes have beyond 64 bits in floatExponent. Pops the
 * register; floatFlags is then not 0 if memory must stay as it is, and the register is still there.
 * @param indefinite what an empty register gives
 */
function take(
  name: string,
  convert: LibraryFunction,
  indefinite: (x: Expressions) => Value,
  { blocks, truncates = false }: { blocks: number; truncates?: boolean },
): LibraryFunction {
  const type = convert.result!;
  return {
    name,
    parameters: [ValueType.i32, ValueType.i32],
    result: type,
    build: (x, [state, pops], call) => {
      const stack = new RegisterStack(x, state);
      const top = x.copy(stack.physical('top'));
      const bits = x.temporary(type);
      const flags = x.temporary(ValueType.i32);
      const present = x.copy(pops);
      x.if(
        stack.isFull(top),
        () => {
          const { significand, signExponent } = stack.read(top);
          const control = truncates ? x.or(stack.control, x.i32(0xc00)) : stack.control;
          stack.clearFloatFlags();
          x.write(bits, call(convert, [state, significand, signExponent, control])!);
          x.write(flags, stack.floatFlags());
        },
        () => {
          x.write(bits, indefinite(x));
          x.store(Op.i32Store, state, x.i32(0xffff), stateOffset.floatExponent);
          x.write(flags, x.i32(stackUnderflow));
        },
        true,
      );
      finishTake(stack, top, present, x.copy(x.read(flags)), blocks);
      return x.read(bits);
    },
  };
}

function finishTake(stack: RegisterStack, top: Value, pops: Value, flags: Value, blocks: number): void {
  const { x, state } = stack;
  const blocked = x.copy(stack.unmasked(flags, blocks));
  x.store(Op.i32Store, state, blocked, stateOffset.floatFlags);
  x.if(
    blocked,
    () => stack.setStatus(flags),
    () => {
      stack.setTags(x.and(stack.tags, x.xor(x.shl(pops, top), x.i32(-1))));
      stack.setStatus(flags, { move: pops });
    },
    false,
  );
}

const float = { blocks: blocksFloat };
const integer = { blocks: blocksInteger };
const truncated = { blocks: blocksInteger, truncates: true };
const takeFloat32 = take('x87.takeFloat32', toFloat32, (x) => x.i32(0xffc00000 | 0), float);
const takeFloat64 = take('x87.takeFloat64', toFloat64, (x) => x.i64(0, 0xfff80000 | 0), float);
const indefinite16 = (x: Expressions): Value => x.i32(-0x8000);
const indefinite32 = (x: Expressions): Value => x.i32(0x80000000 | 0);
const indefinite64 = (x: Expressions): Value => x.i64(0, 0x80000000 | 0);
const takeInteger: Readonly<Record<number, LibraryFunction>> = {
  16: take('x87.takeInteger16', toInteger16, indefinite16, integer),
  32: take('x87.takeInteger32', toInteger32, indefinite32, integer),
  64: take('x87.takeInteger64', toInteger64, indefinite64, integer),
};
const takeTruncated: Readonly<Record<number, LibraryFunction>> = {
  16: take('x87.takeTruncated16', toInteger16, indefinite16, truncated),
  32: take('x87.takeTruncated32', toInteger32, indefinite32, truncated),
  64: take('x87.takeTruncated64', toInteger64, indefinite64, truncated),
};
const takeDecimal = take('x87.takeDecimal', toDecimal, (x) => x.i64(0, 0xc0000000 | 0), integer);

/** An 80-bit value as it is: raises nothing. */
const unchanged: LibraryFunction = {
  name: 'x87.unchanged',
  parameters: [ValueType.i32, ValueType.i64, ValueType.i32, ValueType.i32],
  result: ValueType.i64,
  build: (x, [state, significand, signExponent]) => {
    x.store(Op.i32Store, state, signExponent, stateOffset.floatExponent);
    return significand;
  },
};
const takeExtended = take('x87.takeExtended', unchanged, (x) => defaultNan(x).significand, integer);

/** Stores ST(0) to memory. */
function storeBits(op: Operation, read: LibraryFunction, pops: boolean): void {
  const { x, state } = op;
  checkPending(op);
  const place = op.operandPlace(0, 'write');
  rememberInstruction(op, 0);
  const value = op.library(read, [state, x.i32(pops ? 1 : 0)]);
  if (value === undefined) throw new Error(`${read.name} answers nothing`);
  const bits = x.copy(value);
  x.if(
    x.eqz(x.load(Op.i32Load, state, stateOffset.floatFlags)),
    () => {
      if (place.bits === 80) {
        op.storePlace(place, bits, 64);
        op.storePlace(place, x.load(Op.i32Load, state, stateOffset.floatExponent), 16, 8);
      } else op.storePlace(place, bits);
      op.commitPlace(place);
    },
    undefined,
    true,
  );
}

/** FST ST(i), FSTP ST(i): (state, i, pops 0 or 1). */
const copyRegister: LibraryFunction = {
  name: 'x87.copyRegister',
  parameters: [ValueType.i32, ValueType.i32, ValueType.i32],
  result: undefined,
  build: (x, [state, index, pops]) => {
    const stack = new RegisterStack(x, state);
    const top = x.copy(stack.physical('top'));
    const target = x.copy(stack.physical(index));
    const give = (): Value => {
      const tags = x.or(stack.tags, stack.bit(target));
      return x.and(tags, x.xor(x.shl(pops, top), x.i32(-1)));
    };
    x.if(
      stack.isFull(top),
      () => {
        stack.write(target, stack.read(top));
        stack.setTags(give());
        stack.setStatus(x.i32(0), { move: pops });
      },
      () => {
        const flags = x.i32(stackUnderflow);
        x.if(
          stack.unmasked(flags, blocksInteger),
          () => stack.setStatus(flags),
          () => {
            stack.write(target, defaultNan(x));
            stack.setTags(give());
            stack.setStatus(flags, { move: pops });
          },
        );
      },
      true,
    );
    return undefined;
  },
};

/** FSTPNCE, an FSTP ST(i) that no manual has: an empty register is popped but not copied, without a stack fault. (state, i) */
const copyUnchecked: LibraryFunction = {
  name: 'x87.copyUnchecked',
  parameters: [ValueType.i32, ValueType.i32],
  result: undefined,
  build: (x, [state, index]) => {
    const stack = new RegisterStack(x, state);
    const top = x.copy(stack.physical('top'));
    const target = x.copy(stack.physical(index));
    const isFull = x.copy(stack.isFull(top));
    x.if(isFull, () => stack.write(target, stack.read(top)), undefined, true);
    const tags = x.or(stack.tags, x.shl(isFull, target));
    stack.setTags(x.and(tags, x.xor(stack.bit(top), x.i32(-1))));
    stack.setStatus(x.i32(0), { move: x.i32(1) });
    return undefined;
  },
};

function store(pops: boolean): Definition {
  return (op) => {
    if (op.isMemory(0)) {
      const bits = op.bits(0);
      storeBits(op, bits === 80 ? takeExtended : bits === 64 ? takeFloat64 : takeFloat32, pops);
      return;
    }
    checkPending(op);
    rememberInstruction(op);
    op.library(copyRegister, [op.state, op.registerNumber(0), op.x.i32(pops ? 1 : 0)]);
  };
}

/** Instructions that store ST(0) elsewhere (SDM vol. 1, 8.3.3). */
export const stores: Family = {
  definitions: {
    FST: store(false),
    FSTP: store(true),
    FSTPNCE: (op) => {
      checkPending(op);
      rememberInstruction(op);
      op.library(copyUnchecked, [op.state, op.registerNumber(0)]);
    },
    FIST: (op) => storeBits(op, takeInteger[op.bits(0)], false),
    FISTP: (op) => storeBits(op, takeInteger[op.bits(0)], true),
    FISTTP: (op) => storeBits(op, takeTruncated[op.bits(0)], true),
    FBSTP: (op) => storeBits(op, takeDecimal, true),
  },
};
