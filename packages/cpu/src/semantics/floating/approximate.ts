import { Op, type Value } from '@nest86/wasm';
import { floatReciprocal, floatReciprocalRoot } from '../../library/float/approximate.ts';
import { answer } from '../../library/float/format.ts';
import type { LibraryFunction } from '../../library/function.ts';
import type { Definition, Family } from '../operation.ts';
import { sources, withVex, writeLanes } from '../vector/packed.ts';
import { readBits } from './operands.ts';

const packed =
  (callee: LibraryFunction): Definition =>
  (op) =>
    writeLanes(op, (lane) => answer(op.library, callee, [op.readVector(1, lane)]));

const scalar =
  (callee: LibraryFunction): Definition =>
  (op) => {
    const { x } = op;
    const [first, second] = sources(op);
    const source: Value = x.compute(Op.i32x4Splat, readBits(op, second, 'f32'));
    const result = answer(op.library, callee, [source]);
    const low = x.extractLane(Op.i32x4ExtractLane, result, 0);
    op.writeVector(0, [x.replaceLane(Op.i32x4ReplaceLane, op.readVector(first), low, 0)]);
  };

/** Approximations, which raise nothing and know no MXCSR. */
export const approximate: Family = {
  definitions: withVex({
    RCPPS: packed(floatReciprocal),
    RCPSS: scalar(floatReciprocal),
    RSQRTPS: packed(floatReciprocalRoot),
    RSQRTSS: scalar(floatReciprocalRoot),
  }),
};
