import { Op, type Value } from '@nest86/wasm';
import { Segment, stateOffset } from '../../state/layout.ts';
import { attributeBig, attributeLong } from '../../state/segment-cache.ts';
import type { Definition, Family, Operation } from '../operation.ts';
import { cell, flagImage, loadStatus, setCell, systemFlags } from './flag-image.ts';

/*
 * SYSCALL, SYSRET to 64-bit code and SWAPGS where nothing unusual is about (SDM vol. 2; engine-decision G); all else is left to the services of
 * `system/system-calls.ts` and `system/segment-bases.ts`. A change of privilege between levels 3 and 0 of one context, without EFLAGS.AC, keeps
 * code mode and paging context: only the bank of the fast TLB changes, to the one that TypeScript left in the state.
 */

// Bits of RFLAGS (SDM vol. 1, 3.4.3).
const interrupt = 0x200;
/** TF, RF, AC: debug traps, breakpoints and SMAP are TypeScript's. */
const unusual = 0x5_0100;
/** Flags that SYSRET loads: all but RF and VM. */
const returned = 0x3c_7fd7;

/** Attributes as SYSCALL and SYSRET make them: present, accessed, G = 1; code that is executed and read, data that is written. */
const code: number = 0x809b | attributeLong;
const data: number = 0x8093 | attributeBig;

const [rcx, r11] = [1, 11];

/** Loads a segment register with a flat segment. */
function enterSegment(op: Operation, segment: number, selector: Value, attributes: number): void {
  const { x } = op;
  setCell(op, stateOffset.segmentSelector + 4 * segment, x.and(selector, x.i32(0xffff)));
  x.store(Op.i64Store, op.state, x.i64(0), stateOffset.segmentBase + 8 * segment);
  setCell(op, stateOffset.segmentLimit + 4 * segment, x.i32(-1));
  setCell(op, stateOffset.segmentAttributes + 4 * segment, x.i32(attributes));
  setCell(op, stateOffset.segmentFirst + 4 * segment, x.i32(0));
  setCell(op, stateOffset.segmentLast + 4 * segment, x.i32(-1));
  // Readable code; readable and writable data.
  setCell(op, stateOffset.segmentRights + 4 * segment, x.i32(segment === Segment.cs ? 1 : 3));
}

const syscall: Definition = (op) => {
  if (op.modeBits !== 64) {
    op.leaveToService();
    return;
  }
  const { x } = op;
  const bank = x.copy(cell(op, stateOffset.callBank));
  const flags = x.copy(cell(op, stateOffset.systemFlags));
  const isUsual = x.and(
    x.and(x.eqz(x.eqz(bank)), x.eq(cell(op, stateOffset.cpl), x.i32(3))),
    x.eqz(x.and(flags, x.i32(unusual))),
  );
  op.leaveToService(x.eqz(isUsual));
  const image = flagImage(op, flags);
  op.writeRegister(rcx, 64, op.nextAddress());
  op.writeRegister(r11, 64, x.extendU(image));
  const kept = x.copy(x.and(image, x.xor(cell(op, stateOffset.sfmask), x.i32(-1))));
  loadStatus(op, kept);
  setCell(op, stateOffset.systemFlags, x.and(kept, x.i32(systemFlags)));
  const selector = x.copy(x.and(cell(op, stateOffset.star + 4), x.i32(0xfffc)));
  enterSegment(op, Segment.cs, selector, code);
  enterSegment(op, Segment.ss, x.add(selector, x.i32(8)), data);
  setCell(op, stateOffset.cpl, x.i32(0));
  setCell(op, stateOffset.tlbBank, bank);
  op.enterAt(x.copy(x.load(Op.i64Load, op.state, stateOffset.lstar)));
};

/** AMD changes only the selector of SS (APM vol. 3, SYSRET). Where an event waits that IF may let through, TypeScript returns. */
const sysret: Definition = (op) => {
  if (op.modeBits !== 64) {
    op.leaveToService();
    return;
  }
  const { x } = op;
  const bank = x.copy(cell(op, stateOffset.returnBank));
  const flags = x.copy(x.and(op.readRegister(r11, 32), x.i32(returned)));
  const target = x.copy(op.readRegister(rcx, 64));
  const either = x.or(flags, cell(op, stateOffset.systemFlags));
  const isWatched = x.and(x.and(flags, x.i32(interrupt)), cell(op, stateOffset.eventWaits));
  const isUsual = x.and(
    x.and(x.eqz(x.eqz(bank)), x.eqz(cell(op, stateOffset.cpl))),
    x.and(x.eqz(x.or(x.and(either, x.i32(unusual)), isWatched)), op.isCanonical(target)),
  );
  op.leaveToService(x.eqz(isUsual));
  loadStatus(op, flags);
  setCell(op, stateOffset.systemFlags, x.and(flags, x.i32(systemFlags)));
  const selector = x.copy(x.shrU(cell(op, stateOffset.star + 4), x.i32(16)));
  enterSegment(op, Segment.cs, x.or(x.add(selector, x.i32(16)), x.i32(3)), code | 0x60);
  if (op.vendor === 'amd')
    setCell(
      op,
      stateOffset.segmentSelector + 4 * Segment.ss,
      x.and(x.add(selector, x.i32(8)), x.i32(0xffff)),
    );
  else enterSegment(op, Segment.ss, x.or(x.add(selector, x.i32(8)), x.i32(3)), data | 0x60);
  setCell(op, stateOffset.cpl, x.i32(3));
  setCell(op, stateOffset.tlbBank, bank);
  op.enterAt(target);
};

const swapgs: Definition = (op) => {
  if (op.modeBits !== 64) {
    op.leaveToService();
    return;
  }
  const { x, state } = op;
  const gs = stateOffset.segmentBase + 8 * Segment.gs;
  op.leaveToService(cell(op, stateOffset.cpl));
  const base = x.copy(x.load(Op.i64Load, state, gs));
  x.store(Op.i64Store, state, x.copy(x.load(Op.i64Load, state, stateOffset.kernelGsBase)), gs);
  x.store(Op.i64Store, state, base, stateOffset.kernelGsBase);
};

export const transitions: Family = {
  definitions: { SYSCALL: syscall, SYSRETQ: sysret, SWAPGS: swapgs },
};

/** Mnemonics of instructions that may change the privilege: regions leave them to the interpreter. */
export const privilegeChanges: ReadonlySet<string> = new Set(['SYSCALL', 'SYSRETQ', 'IRETQ']);
