import { Op, type Value } from '@nest86/wasm';
import { stateOffset } from '../../state/layout.ts';
import type { Operation } from '../operation.ts';
import { Status } from '../x87/stack.ts';

/** TOP becomes 0. */
export function clearTop({ x, state }: Operation): void {
  const status = x.load(Op.i32Load, state, stateOffset.x87Status);
  x.store(Op.i32Store, state, x.and(status, x.i32(~Status.top)), stateOffset.x87Status);
}

/** What each MMX instruction but EMMS does to the x87 state: TOP is 0, all registers are valid (SDM vol. 1, 9.6.2). After all faults. */
export function enterMmx(op: Operation): void {
  const { x, state } = op;
  clearTop(op);
  x.store(Op.i32Store, state, x.i32(0xff), stateOffset.x87Tags);
}

/** An MMX register or memory of up to 64 bits, zero-extended, as i64. */
export function readMmx(op: Operation, operand: number): Value {
  const value = op.read(operand);
  return op.bits(operand) === 64 ? value : op.x.extendU(value);
}

/** Both halves of a vector hold an MMX operand: 128-bit instructions then compute the result in the lower one. */
export function readMmxPair(op: Operation, operand: number): Value {
  return op.x.compute(Op.i64x2Splat, readMmx(op, operand));
}

/** Ends an instruction whose destination is the MMX register that is operand 0. @param value i64 */
export function writeMmx(op: Operation, value: Value): void {
  enterMmx(op);
  op.write(0, value);
}
