import type { Value } from '@nest86/wasm';
import { zero } from '../../library/vector/constants.ts';
import type { Operation } from '../operation.ts';

/** XMM0 where the instruction implies it. */
export function readXmm0(op: Operation): Value {
  return op.readVectorRegister(0, 0);
}

export function writeXmm0(op: Operation, value: Value): void {
  op.writeVectorRegister(0, 0, value);
  if (op.isVex) op.writeVectorRegister(0, 1, zero(op.x));
}
