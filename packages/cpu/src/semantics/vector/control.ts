import { Op } from '@nest86/wasm';
import { zero } from '../../library/vector/constants.ts';
import { stateOffset } from '../../state/layout.ts';
import { type Definition, Exception, type Family, type Operation } from '../operation.ts';
import { withVex } from './packed.ts';

/** Bits that MXCSR has: MXCSR_MASK less AMD's misaligned exception mask, bit 17. */
const mxcsrMask = 0xffff;

const load: Definition = (op) => {
  const { x } = op;
  const value = op.read(0);
  op.fault(Exception.generalProtection, x.and(value, x.i32(~mxcsrMask)), x.i32(0));
  x.store(Op.i32Store, op.state, value, stateOffset.mxcsr);
  op.mxcsrChanged();
};

const store: Definition = (op) => op.write(0, op.x.load(Op.i32Load, op.state, stateOffset.mxcsr));

/** Clears registers 0 to 7, or 15 in 64-bit mode, from 16-byte lane `first` on. */
function clearRegisters(op: Operation, first: number): void {
  const nothing = zero(op.x);
  for (let register = 0; register < (op.modeBits === 64 ? 16 : 8); register++) {
    for (let lane = first; lane < 2; lane++) op.writeVectorRegister(register, lane, nothing);
  }
}

/** MXCSR, and whole register files. */
export const control: Family = {
  definitions: {
    ...withVex({ LDMXCSR: load, STMXCSR: store }),
    VZEROUPPER: (op) => clearRegisters(op, 1),
    VZEROALL: (op) => clearRegisters(op, 0),
  },
};
