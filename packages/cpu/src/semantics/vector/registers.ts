import { Op, type Value } from '@nest86/wasm';
import { zero } from '../../library/vector/constants.ts';
import { stateOffset } from '../../state/layout.ts';
import type { Operation } from '../operation.ts';

/** XMM0 where the instruction implies it. */
export function readXmm0(op: Operation): Value {
  return op.x.load(Op.v128Load, op.state, stateOffset.vector);
}

export function writeXmm0(op: Operation, value: Value): void {
  const { x, state } = op;
  x.store(Op.v128Store, state, value, stateOffset.vector);
  if (op.isVex) x.store(Op.v128Store, state, zero(x), stateOffset.vector + 16);
}
