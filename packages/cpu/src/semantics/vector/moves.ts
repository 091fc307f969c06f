import { Op, type Value } from '@nest86/wasm';
import type { Definition, Family, Operation } from '../operation.ts';
import { checkPending } from '../x87/stack.ts';
import { clearTop, enterMmx, readMmx, writeMmx } from './mmx.ts';
import { bitmaskOf, lowElement, shuffleElements, sources, unary, withVex, writeLanes } from './packed.ts';

/** Whole vectors, whatever is in them. */
const copy: Definition = (op) => writeLanes(op, (lane) => op.readVector(1, lane));

/**
 * MMX register to a general register, to memory or to another MMX register: `value` i64. On Intel's processors TOP is 0 even if memory faults (seen
 * on Xeon; the manual does not say): doing it again changes nothing.
 */
function storeMmx(op: Operation, value: Value): void {
  const kept = op.x.copy(value);
  if (op.isMemory(0)) {
    if (op.vendor === 'intel') clearTop(op);
    op.operandPlace(0, 'write');
  }
  enterMmx(op);
  op.write(0, op.bits(0) === 64 ? kept : op.x.wrap(kept));
}

/** MOVD and MOVQ: between MMX or XMM registers and general registers, memory or one another. */
const moveScalar =
  (bits: 32 | 64): Definition =>
  (op) => {
    if (op.kind(0) === 'mmx') {
      checkPending(op);
      writeMmx(op, readMmx(op, 1));
    } else if (op.kind(1) === 'mmx') {
      checkPending(op);
      storeMmx(op, op.read(1));
    } else if (op.kind(0) === 'vector') {
      const value = op.kind(1) === 'vector' ? op.readElement(1, bits) : op.read(1);
      op.writeVector(0, [lowElement(op.x, bits, value)]);
    } else op.write(0, op.readElement(1, bits));
  };

/** MOVSS and MOVSD: a load clears what is above, a register move keeps it. */
const moveLow =
  (bits: 32 | 64): Definition =>
  (op) => {
    const { x } = op;
    if (op.isMemory(0)) op.write(0, op.readElement(1, bits));
    else if (op.isMemory(1)) op.writeVector(0, [lowElement(x, bits, op.read(1))]);
    else {
      const [upper, low] = sources(op);
      const elements = bits === 64 ? [2, 1] : [4, 1, 2, 3];
      op.writeVector(0, [shuffleElements(x, bits, op.readVector(upper), op.readVector(low), elements)]);
    }
  };

/** MOVLPS, MOVHPS and the like: one half of a register and memory. */
const moveHalf =
  (half: 0 | 1): Definition =>
  (op) => {
    const { x } = op;
    if (op.isMemory(0)) {
      op.write(0, x.extractLane(Op.i64x2ExtractLane, op.readVector(1), half));
      return;
    }
    const [kept, loaded] = sources(op);
    const value = op.read(loaded);
    op.writeVector(0, [x.replaceLane(Op.i64x2ReplaceLane, op.readVector(kept), value, half)]);
  };

/** MOVHLPS and MOVLHPS. @param elements halves, 2 and 3 those of the second source */
const moveBetweenHalves =
  (elements: readonly number[]): Definition =>
  (op) => {
    const [a, b] = sources(op);
    op.writeVector(0, [shuffleElements(op.x, 64, op.readVector(a), op.readVector(b), elements)]);
  };

const duplicateLow: Definition = (op) => {
  const { x } = op;
  if (op.lanes === 1) op.writeVector(0, [x.compute(Op.i64x2Splat, op.readElement(1, 64))]);
  else {
    writeLanes(op, (lane) => {
      const value = op.readVector(1, lane);
      return shuffleElements(x, 64, value, value, [0, 0]);
    });
  }
};

const duplicate = (elements: readonly number[]): Definition =>
  unary((x, a) => shuffleElements(x, 32, a, a, elements));

/** MOVMSKPS, MOVMSKPD, PMOVMSKB: sign bits to a general register. */
const signs =
  (bits: 8 | 32 | 64): Definition =>
  (op) => {
    const { x } = op;
    const write = (mask: Value): void => op.write(0, op.bits(0) === 64 ? x.extendU(mask) : mask);
    if (op.kind(1) === 'mmx') {
      checkPending(op);
      const mask = x.compute(Op.i8x16Bitmask, lowElement(x, 64, op.read(1)));
      enterMmx(op);
      write(mask);
      return;
    }
    let mask = x.compute(bitmaskOf(bits), op.readVector(1));
    if (op.lanes === 2)
      mask = x.or(mask, x.shl(x.compute(bitmaskOf(bits), op.readVector(1, 1)), x.i32(128 / bits)));
    write(mask);
  };

/** Moves of vector registers, and of sign bits. Non-temporal ones are moves: there are no caches. */
export const moves: Family = {
  definitions: {
    ...withVex({
      MOVAPS: copy,
      MOVAPD: copy,
      MOVUPS: copy,
      MOVUPD: copy,
      MOVDQA: copy,
      MOVDQU: copy,
      LDDQU: copy,
      MOVNTPS: copy,
      MOVNTPD: copy,
      MOVNTDQ: copy,
      MOVNTDQA: copy,
      MOVD: moveScalar(32),
      MOVQ: moveScalar(64),
      MOVSS: moveLow(32),
      MOVSD: moveLow(64),
      MOVLPS: moveHalf(0),
      MOVLPD: moveHalf(0),
      MOVHPS: moveHalf(1),
      MOVHPD: moveHalf(1),
      MOVHLPS: moveBetweenHalves([3, 1]),
      MOVLHPS: moveBetweenHalves([0, 2]),
      MOVDDUP: duplicateLow,
      MOVSLDUP: duplicate([0, 0, 2, 2]),
      MOVSHDUP: duplicate([1, 1, 3, 3]),
      MOVMSKPS: signs(32),
      MOVMSKPD: signs(64),
      PMOVMSKB: signs(8),
    }),
    MOVNTI: (op) => op.write(0, op.read(1)),
    MOVNTQ: (op) => {
      checkPending(op);
      storeMmx(op, op.read(1));
    },
    MOVQ2DQ: (op) => {
      checkPending(op);
      enterMmx(op);
      op.writeVector(0, [lowElement(op.x, 64, op.read(1))]);
    },
    MOVDQ2Q: (op) => {
      checkPending(op);
      writeMmx(op, op.readElement(1, 64));
    },
    // SSE4a.
    MOVNTSS: (op) => op.write(0, op.readElement(1, 32)),
    MOVNTSD: (op) => op.write(0, op.readElement(1, 64)),
  },
};
