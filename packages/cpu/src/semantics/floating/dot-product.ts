import { type Expressions, Op, type Value } from '@nest86/wasm';
import { carefulPackedOf } from '../../library/float/careful.ts';
import { answer } from '../../library/float/format.ts';
import { zero } from '../../library/vector/constants.ts';
import type { Definition, Family, Operation } from '../operation.ts';
import { shuffleElements, sources, withVex } from '../vector/packed.ts';
import { collectExceptions, readMxcsr } from './exceptions.ts';
import { and, type FormatName, formats } from './operands.ts';

/** Elements whose bit of the immediate is set. @param first bit of element 0 */
function selected(x: Expressions, format: FormatName, immediate: Value, first: number): Value {
  const bits =
    format === 'f32' ? [0, 1, 2, 3].map((n) => 1 << (first + n)) : [0, 0, 1, 1].map((n) => 1 << (first + n));
  const mask = x.v128(bits);
  return x.compute(Op.i32x4Eq, and(x, x.compute(Op.i32x4Splat, immediate), mask), mask);
}

/** One operation on all lanes: exceptions come stage by stage (SDM vol. 2A, DPPS). MXCSR keeps what masks allow. */
function stage(
  op: Operation,
  name: 'multiply' | 'add',
  format: FormatName,
  lanes: readonly (readonly Value[])[],
): Value[] {
  const mxcsr = readMxcsr(op);
  const results: Value[] = [];
  collectExceptions(op, () => {
    for (const operands of lanes)
      results.push(answer(op.library, carefulPackedOf(name, format), [op.state, ...operands, mxcsr]));
  });
  return results;
}

const dotProduct =
  (format: FormatName): Definition =>
  (op) => {
    const { x } = op;
    const { bits } = formats[format];
    const [first, second] = sources(op);
    const immediate = op.read(second + 1);
    const factors = selected(x, format, immediate, 4);
    const factorLanes = Array.from({ length: op.lanes }, (_, lane) =>
      [first, second].map((operand) => and(x, op.readVector(operand, lane), factors)),
    );
    let sums = stage(op, 'multiply', format, factorLanes);
    const add = (even: readonly number[], odd: readonly number[]): void => {
      const pairs = sums.map((sum) =>
        [even, odd].map((elements) => shuffleElements(x, bits, sum, sum, elements)),
      );
      sums = stage(op, 'add', format, pairs);
    };
    // Which NaN of two a sum answers, by element: the manuals do not say. Found by comparing.
    const isIntel = op.vendor === 'intel';
    if (format === 'f32' && isIntel) {
      add([1, 0, 3, 2], [0, 1, 2, 3]);
      add([0, 1, 2, 3], [2, 3, 0, 1]);
    } else if (format === 'f32') {
      add([0, 2, 0, 2], [1, 3, 1, 3]);
      add([0, 0, 0, 0], [1, 1, 1, 1]);
    } else if (isIntel) add([0, 1], [1, 0]);
    else add([0, 0], [1, 1]);
    const places = selected(x, format, immediate, 0);
    op.writeVector(
      0,
      sums.map((sum) => x.compute(Op.v128Bitselect, sum, zero(x), places)),
    );
  };

/** DPPS and DPPD. */
export const dotProducts: Family = {
  definitions: withVex({ DPPS: dotProduct('f32'), DPPD: dotProduct('f64') }),
  aligned: ['DPPS', 'DPPD'],
};
