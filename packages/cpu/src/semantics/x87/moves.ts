import { ValueType } from '@nest86/wasm';
import type { LibraryFunction } from '../../library/function.ts';
import type { Definition, Family } from '../operation.ts';
import {
  blocksInteger,
  checkPending,
  defaultNan,
  RegisterStack,
  rememberInstruction,
  stackUnderflow,
} from './stack.ts';

/** FXCH: (state, i). Empty registers get the default NaN first. */
const exchange: LibraryFunction = {
  name: 'x87.exchange',
  parameters: [ValueType.i32, ValueType.i32],
  result: undefined,
  build: (x, [state, index]) => {
    const stack = new RegisterStack(x, state);
    const top = x.copy(stack.physical('top'));
    const other = x.copy(stack.physical(index));
    const swap = (): void => {
      const { significand, signExponent } = stack.read(top);
      stack.write(top, stack.read(other));
      stack.write(other, { significand, signExponent });
    };
    const fill = (register: number): void => {
      x.if(x.eqz(stack.isFull(register)), () => stack.write(register, defaultNan(x)));
    };
    x.if(
      x.and(stack.isFull(top), stack.isFull(other)),
      () => {
        swap();
        stack.setStatus(x.i32(0));
      },
      () => {
        const flags = x.i32(stackUnderflow);
        x.if(x.eqz(stack.unmasked(flags, blocksInteger)), () => {
          fill(top);
          fill(other);
          swap();
          stack.setTags(x.or(stack.tags, x.or(stack.bit(top), stack.bit(other))));
        });
        stack.setStatus(flags);
      },
      true,
    );
    return undefined;
  },
};

/** FCMOVcc: (state, i, condition). C1 stays without a stack fault. */
const moveIf: LibraryFunction = {
  name: 'x87.moveIf',
  parameters: [ValueType.i32, ValueType.i32, ValueType.i32],
  result: undefined,
  build: (x, [state, index, condition]) => {
    const stack = new RegisterStack(x, state);
    const top = x.copy(stack.physical('top'));
    const other = x.copy(stack.physical(index));
    x.if(
      x.and(stack.isFull(top), stack.isFull(other)),
      () => {
        x.if(condition, () => stack.write(top, stack.read(other)));
      },
      () => {
        const flags = x.i32(stackUnderflow);
        x.if(x.eqz(stack.unmasked(flags, blocksInteger)), () => {
          stack.write(top, defaultNan(x));
          stack.setTags(x.or(stack.tags, stack.bit(top)));
        });
        stack.setStatus(flags);
      },
      true,
    );
    return undefined;
  },
};

/** @param code condition code, 0 to 15 */
function conditionalMove(code: number): Definition {
  return (op) => {
    checkPending(op);
    rememberInstruction(op);
    op.library(moveIf, [op.state, op.registerNumber(1), op.condition(code)]);
  };
}

/** Moves between registers of the stack (SDM vol. 1, 8.3.3). */
export const moves: Family = {
  definitions: {
    FXCH: (op) => {
      checkPending(op);
      rememberInstruction(op);
      op.library(exchange, [op.state, op.registerNumber(1)]);
    },
    FCMOVB: conditionalMove(2),
    FCMOVNB: conditionalMove(3),
    FCMOVE: conditionalMove(4),
    FCMOVNE: conditionalMove(5),
    FCMOVBE: conditionalMove(6),
    FCMOVNBE: conditionalMove(7),
    FCMOVU: conditionalMove(10),
    FCMOVNU: conditionalMove(11),
  },
};
