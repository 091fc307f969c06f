import { type Expressions, Op, type Value, ValueType } from '@nest86/wasm';
import {
  toDecimal,
  toFloat32,
  toFloat64,
  toInteger16,
  toInteger32,
  toInteger64,
} from '../../library/float80/conversion.ts';
import type { LibraryFunction } from '../../library/function.ts';
import { stateOffset } from '../../state/layout.ts';
import type { Definition, Family, Operation } from '../operation.ts';
import { type FastTake, float32, float64, takeFloat, takeInteger } from './fast-conversions.ts';
import {
  blocksFloat,
  blocksInteger,
  checkPending,
  defaultNan,
  RegisterStack,
  rememberInstruction,
  stackUnderflow,
} from './stack.ts';

/** How ST(0) is converted. */
interface Conversion {
  /** Where it may raise something or `fast` may leave: (state, a, control) to the bits. */
  readonly convert?: LibraryFunction;
  /** A way for usual values. */
  readonly fast?: FastTake;
  /** What an empty register gives. */
  readonly indefinite: (x: Expressions) => Value;
  /** Exceptions that keep memory from being written. */
  readonly blocks: number;
  /** By RC = 3, whatever it is. */
  readonly truncates?: boolean;
}

/**
 * ST(0) in another format: (state, pops 0 or 1) to the bits, with what an 80-bit value or ten bytes have beyond 64 bits in floatExponent. Pops the
 * register; floatFlags is then not 0 if memory must stay as it is, and the register is still there.
 */
function take(
  name: string,
  type: typeof ValueType.i32 | typeof ValueType.i64,
  { convert, fast, indefinite, blocks, truncates = false }: Conversion,
): LibraryFunction {
  return {
    name: `x87.${name}`,
    parameters: [ValueType.i32, ValueType.i32],
    result: type,
    build: (x, [state, pops], call) => {
      const stack = new RegisterStack(x, state);
      const top = x.copy(stack.physical('top'));
      const bits = x.temporary(type);
      const flags = x.temporary(ValueType.i32);
      const popped = x.copy(pops);
      const isFull = x.copy(stack.isFull(top));
      const failed = (): void => {
        x.write(bits, indefinite(x));
        x.store(Op.i32Store, state, x.i32(0xffff), stateOffset.floatExponent);
        x.write(flags, x.i32(stackUnderflow));
      };
      const converted = (by: LibraryFunction): void => {
        const { significand, signExponent } = stack.read(top);
        const control = truncates ? x.or(stack.control, x.i32(0xc00)) : stack.control;
        stack.clearFloatFlags();
        x.write(bits, call(by, [state, significand, signExponent, control])!);
        x.write(flags, stack.floatFlags());
      };
      x.block((end) => {
        if (fast !== undefined) {
          x.block((leave) => {
            leave(x.eqz(isFull));
            const taken = fast(stack, stack.read(top), leave);
            x.write(bits, taken.bits);
            stack.clearFloatFlags();
            stack.setTags(x.and(stack.tags, x.xor(x.shl(popped, top), x.i32(-1))));
            stack.setMaskedStatus(taken.flags, popped);
            end();
          });
        }
        if (convert === undefined) failed();
        else x.if(isFull, () => converted(convert), failed, true);
        finishTake(stack, top, popped, x.copy(x.read(flags)), blocks);
      });
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

const takeFloat32 = take('takeFloat32', ValueType.i32, {
  convert: toFloat32,
  fast: takeFloat(float32),
  indefinite: (x) => x.i32(0xffc00000 | 0),
  blocks: blocksFloat,
});
const takeFloat64 = take('takeFloat64', ValueType.i64, {
  convert: toFloat64,
  fast: takeFloat(float64),
  indefinite: (x) => x.i64(0, 0xfff80000 | 0),
  blocks: blocksFloat,
});

/** FIST, FISTTP: by bits. */
function takeIntegers(truncates: boolean): Readonly<Record<number, LibraryFunction>> {
  const of = (
    bits: 16 | 32 | 64,
    convert: LibraryFunction,
    indefinite: (x: Expressions) => Value,
  ): LibraryFunction =>
    take(`take${truncates ? 'Truncated' : 'Integer'}${bits}`, bits === 64 ? ValueType.i64 : ValueType.i32, {
      convert,
      fast: takeInteger(bits, truncates),
      indefinite,
      blocks: blocksInteger,
      truncates,
    });
  return {
    16: of(16, toInteger16, (x) => x.i32(-0x8000)),
    32: of(32, toInteger32, (x) => x.i32(0x80000000 | 0)),
    64: of(64, toInteger64, (x) => x.i64(0, 0x80000000 | 0)),
  };
}

const takeRounded = takeIntegers(false);
const takeTruncated = takeIntegers(true);
const takeDecimal = take('takeDecimal', ValueType.i64, {
  convert: toDecimal,
  // The decimal indefinite has the default NaN's bits.
  indefinite: (x) => defaultNan(x).significand,
  blocks: blocksInteger,
});
const takeExtended = take('takeExtended', ValueType.i64, {
  fast: ({ x, state }, { significand, signExponent }) => {
    x.store(Op.i32Store, state, signExponent, stateOffset.floatExponent);
    return { bits: significand, flags: x.i32(0) };
  },
  indefinite: (x) => defaultNan(x).significand,
  blocks: blocksInteger,
});

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
    FIST: (op) => storeBits(op, takeRounded[op.bits(0)], false),
    FISTP: (op) => storeBits(op, takeRounded[op.bits(0)], true),
    FISTTP: (op) => storeBits(op, takeTruncated[op.bits(0)], true),
    FBSTP: (op) => storeBits(op, takeDecimal, true),
  },
};
