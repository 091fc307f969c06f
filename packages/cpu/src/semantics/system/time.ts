import { Op } from '@nest86/wasm';
import { stateOffset } from '../../state/layout.ts';
import type { Definition, Family, Operation } from '../operation.ts';

/*
 * RDTSC and RDTSCP (SDM vol. 2) where the counter ticks by retired instructions and nothing forbids or watches them; the services of
 * `system/counters.ts` know the other cases. They end their block, so that the budget tells how many instructions have retired.
 */

const [rax, rcx, rdx] = [0, 1, 2];

function readTime(op: Operation): void {
  const { x, state } = op;
  const staged = x.copy(x.load(Op.i32Load, state, stateOffset.tscIsStaged));
  op.leaveToService(x.eqz(staged));
  const atEnd = x.load(Op.i64Load, state, stateOffset.tscAtEnd);
  // Rounded up, so that the counter is never ahead of what it says behind the stay.
  const shift = x.copy(x.sub(staged, x.i32(1)));
  const most = x.sub(x.shl(x.i32(1), shift), x.i32(1));
  const left = x.shrU(x.add(op.instructionsLeft(), most), shift);
  const tsc = x.copy(x.sub(atEnd, x.extendU(left)));
  op.writeRegister(rax, 64, x.and(tsc, x.i64(-1, 0)));
  op.writeRegister(rdx, 64, x.shrU(tsc, x.i64(32)));
}

const rdtscp: Definition = (op) => {
  readTime(op);
  op.writeRegister(rcx, 64, op.x.extendU(op.x.load(Op.i32Load, op.state, stateOffset.tscAux)));
};

export const time: Family = {
  definitions: { RDTSC: readTime, RDTSCP: rdtscp },
  blockEnds: ['RDTSC', 'RDTSCP'],
};
