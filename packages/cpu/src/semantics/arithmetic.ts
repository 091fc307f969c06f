import type { Value } from '@nest86/wasm';
import type { Definition, Family, Operation } from './operation.ts';

/** ADD, ADC (SDM vol. 2A). */
function add(withCarry: boolean): Definition {
  return (op) => {
    const bits = op.bits(0);
    const a = op.readForWrite(0);
    const b = op.read(1);
    const sum = op.x.add(a, b);
    const result = withCarry ? op.x.add(sum, carryAs(op, bits)) : sum;
    op.addFlags(bits, a, b, result);
    op.write(0, result);
  };
}

/** SUB, SBB, CMP. */
function subtract(withBorrow: boolean, store: boolean): Definition {
  return (op) => {
    const bits = op.bits(0);
    const a = store ? op.readForWrite(0) : op.read(0);
    const b = op.read(1);
    const difference = op.x.sub(a, b);
    const result = withBorrow ? op.x.sub(difference, carryAs(op, bits)) : difference;
    op.subtractFlags(bits, a, b, result);
    if (store) op.write(0, result);
  };
}

/** AND, OR, XOR, TEST. */
function logic(name: 'and' | 'or' | 'xor', store: boolean): Definition {
  return (op) => {
    const a = store ? op.readForWrite(0) : op.read(0);
    const result = op.x[name](a, op.read(1));
    op.logicFlags(op.bits(0), result);
    if (store) op.write(0, result);
  };
}

/** INC, DEC: CF stays. */
function increment(isIncrement: boolean): Definition {
  return (op) => {
    const bits = op.bits(0);
    const a = op.readForWrite(0);
    const one = op.constant(bits, 1);
    const result = isIncrement ? op.x.add(a, one) : op.x.sub(a, one);
    op.incrementFlags(bits, a, one, result, isIncrement);
    op.write(0, result);
  };
}

function carryAs(op: Operation, bits: number): Value {
  return bits === 64 ? op.x.extendU(op.carry()) : op.carry();
}

export const arithmetic: Family = {
  definitions: {
    ADD: add(false),
    ADC: add(true),
    SUB: subtract(false, true),
    SBB: subtract(true, true),
    CMP: subtract(false, false),
    AND: logic('and', true),
    OR: logic('or', true),
    XOR: logic('xor', true),
    TEST: logic('and', false),
    INC: increment(true),
    DEC: increment(false),
    NEG: (op) => {
      const bits = op.bits(0);
      const a = op.readForWrite(0);
      const zero = op.constant(bits, 0);
      const result = op.x.sub(zero, a);
      op.subtractFlags(bits, zero, a, result);
      op.write(0, result);
    },
    NOT: (op) => op.write(0, op.x.xor(op.readForWrite(0), op.constant(op.bits(0), -1))),
  },
};
