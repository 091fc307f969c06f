import type { Value } from '@nest86/wasm';
import { conditionNames } from './branches.ts';
import { signExtend } from './flags.ts';
import type { Definition, Family, Operation } from './operation.ts';

/** Zero-extended value of `from` bits as a value of `to` bits. */
function widen(op: Operation, from: number, to: number, value: Value): Value {
  return to === 64 && from < 64 ? op.x.extendU(value) : value;
}

const moveSigned: Definition = (op) => {
  const wide = signExtend(op.x, op.bits(1), op.read(1));
  op.write(0, op.bits(0) === 64 ? wide : op.x.wrap(wide));
};

/** CBW, CWDE, CDQE: the accumulator's lower half to all of it. */
function extendAccumulator(bits: 16 | 32 | 64): Definition {
  return (op) => {
    const wide = signExtend(op.x, bits / 2, op.readRegister(0, bits / 2));
    op.writeRegister(0, bits, bits === 64 ? wide : op.x.wrap(wide));
  };
}

/** CWD, CDQ, CQO: the accumulator's sign to all bits of rDX. */
function signToData(bits: 16 | 32 | 64): Definition {
  return (op) => {
    const sign = op.x.shrS(signExtend(op.x, bits, op.readRegister(0, bits)), op.x.i64(63));
    op.writeRegister(2, bits, bits === 64 ? sign : op.x.wrap(sign));
  };
}

const setOnCondition: Definition = (op) => op.write(0, op.condition(op.conditionCode()));

/** Memory is read and the destination written in any case: a 32-bit one clears its upper half (SDM vol. 2A, CMOVcc). */
const moveOnCondition: Definition = (op) => {
  const source = op.read(1);
  op.write(0, op.x.select(op.condition(op.conditionCode()), source, op.read(0)));
};

export const moves: Family = {
  definitions: {
    /** Selectors are zero-extended. */
    MOV: (op) => op.write(0, op.kind(1) === 'segment' ? widen(op, 16, op.bits(0), op.read(1)) : op.read(1)),
    MOVZX: (op) => op.write(0, widen(op, op.bits(1), op.bits(0), op.read(1))),
    MOVSX: moveSigned,
    MOVSXD: moveSigned,
    LEA: (op) => {
      const address = op.effectiveAddress(1);
      op.write(0, op.bits(0) === 64 ? address : op.x.wrap(address));
    },
    CBW: extendAccumulator(16),
    CWDE: extendAccumulator(32),
    CDQE: extendAccumulator(64),
    CWD: signToData(16),
    CDQ: signToData(32),
    CQO: signToData(64),
    ...Object.fromEntries(
      conditionNames.flatMap((name) => [
        [`SET${name}`, setOnCondition],
        [`CMOV${name}`, moveOnCondition],
      ]),
    ),
  },
};
