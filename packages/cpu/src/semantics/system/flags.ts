import type { Value } from '@nest86/wasm';
import { Segment, stateOffset } from '../../state/layout.ts';
import type { Definition, Family, Operation } from '../operation.ts';
import { movedPointer } from '../stack.ts';
import { cell, flagImage, loadStatus, setCell, systemFlags } from './flag-image.ts';

/*
 * PUSHF, POPF, CLI and STI (SDM vol. 2 under these names) where they have no consequence but the flag; the services of `system/flags.ts` know
 * virtual-8086 mode, virtual interrupts, missing privilege, and what the run loop must look at behind them: TF, AC, an interrupt that waits.
 */

// Bits of RFLAGS (SDM vol. 1, 3.4.3).
const trap = 0x100;
const interrupt = 0x200;
const ioPrivilege = 0x3000;
const resume = 0x1_0000;
const virtual8086 = 0x2_0000;
const alignment = 0x4_0000;
/** What POPF may change at all: CF PF AF ZF SF TF IF DF OF IOPL NT, and with 32 or 64 bits AC and ID. */
const popped16 = 0x7fd5;
const popped32 = 0x24_7fd5;

/** i32, 0 or 1: CPL is above IOPL, so that IF is not the program's. @param flags `systemFlags` */
function lacksPrivilege(op: Operation, flags: Value): Value {
  const { x } = op;
  return x.gtU(cell(op, stateOffset.cpl), x.and(x.shrU(flags, x.i32(12)), x.i32(3)));
}

const pushFlags: Definition = (op) => {
  const { x } = op;
  const bits = op.operandBits;
  const flags = x.copy(cell(op, stateOffset.systemFlags));
  if (op.modeBits !== 64) op.leaveToService(x.and(flags, x.i32(virtual8086)));
  // RF and VM are never seen.
  const image = x.and(flagImage(op, flags), x.i32(bits === 16 ? 0xffff : ~(resume | virtual8086)));
  op.push(bits === 64 ? x.extendU(image) : image);
};

const popFlags: Definition = (op) => {
  const { x } = op;
  const bits = op.operandBits;
  const before = x.copy(cell(op, stateOffset.systemFlags));
  const cpl = cell(op, stateOffset.cpl);
  const pointer = x.copy(op.stackPointer());
  const value = x.copy(op.load(Segment.ss, pointer, bits));
  const image = bits === 64 ? x.copy(x.wrap(value)) : value;
  const all = (bits === 16 ? popped16 : popped32) & systemFlags;
  const user = x.select(
    lacksPrivilege(op, before),
    x.i32(all & ~(ioPrivilege | interrupt)),
    x.i32(all & ~ioPrivilege),
  );
  const writable = x.copy(x.select(cpl, user, x.i32(all)));
  const kept = x.and(before, x.xor(writable, x.i32(-1)));
  const after = x.copy(x.or(kept, x.and(image, writable)));
  const opens = x.and(x.and(after, x.xor(before, x.i32(-1))), x.i32(interrupt));
  const isUnusual = x.or(
    x.or(
      x.and(x.or(before, after), x.i32(trap | resume | virtual8086)),
      x.and(x.xor(before, after), x.i32(alignment)),
    ),
    x.and(opens, cell(op, stateOffset.eventWaits)),
  );
  op.leaveToService(isUnusual);
  op.setStackPointer(movedPointer(op, pointer, x.i64(bits / 8)));
  loadStatus(op, image);
  setCell(op, stateOffset.systemFlags, after);
};

const cli: Definition = (op) => {
  const { x } = op;
  const flags = x.copy(cell(op, stateOffset.systemFlags));
  op.leaveToService(lacksPrivilege(op, flags));
  setCell(op, stateOffset.systemFlags, x.and(flags, x.i32(~interrupt)));
};

/**
 * STI keeps interrupts waiting for one more instruction. Where none waits and that instruction belongs to the same run, nobody can see the difference; else
 * the service sets the interrupt shadow. It ends its block, so that the budget tells.
 */
const sti: Definition = (op) => {
  const { x } = op;
  const flags = x.copy(cell(op, stateOffset.systemFlags));
  const isClosed = x.eqz(x.and(flags, x.i32(interrupt)));
  const isSeen = x.or(x.ne(cell(op, stateOffset.eventWaits), x.i32(0)), x.eqz(op.instructionsLeft()));
  op.leaveToService(x.or(lacksPrivilege(op, flags), x.and(isClosed, isSeen)));
  setCell(op, stateOffset.systemFlags, x.or(flags, x.i32(interrupt)));
};

export const systemFlagFamily: Family = {
  definitions: {
    PUSHF: pushFlags,
    PUSHFD: pushFlags,
    PUSHFQ: pushFlags,
    POPF: popFlags,
    POPFD: popFlags,
    POPFQ: popFlags,
    CLI: cli,
    STI: sti,
  },
  blockEnds: ['STI'],
};
