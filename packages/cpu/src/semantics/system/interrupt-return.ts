import { Op, type Value } from '@nest86/wasm';
import { Segment, stateOffset } from '../../state/layout.ts';
import { attributeUnusable } from '../../state/segment-cache.ts';
import type { Definition, Family, Operation } from '../operation.ts';
import { cell, loadStatus, setCell, systemFlags } from './flag-image.ts';

/*
 * IRETQ within level 0 where neither CS nor SS changes and nothing unusual is about (SDM vol. 2, IRET): how handlers of interrupts return to the
 * kernel, and how kernels serialize. All else is left to the service of `system/interrupt-return.ts`.
 */

// Bits of RFLAGS (SDM vol. 1, 3.4.3).
const interrupt = 0x200;
const nestedTask = 0x4000;
/** TF, RF, AC: debug traps, breakpoints and SMAP are TypeScript's. */
const unusual = 0x5_0100;
const virtual8086 = 0x2_0000;

/** Of a descriptor's upper half: P DPL S, code, conforming, accessed, L, D. */
const codeMask = 0x60_fd00;
const codeValue = 0x20_9900;
/** P DPL S, data, writable, accessed. */
const dataMask = 0xfb00;
const dataValue = 0x9300;

const rsp = 4;

/** i32, 0 or 1: loading a segment register with a selector would find in the GDT what the register holds already. */
function isLoaded(op: Operation, segment: number, selector: Value, mask: number, value: number): Value {
  const { x, state } = op;
  const index = x.copy(x.and(selector, x.i32(0xfff8)));
  const address = x.copy(x.add(x.load(Op.i64Load, state, stateOffset.tableBase), x.extendU(index)));
  const host = x.copy(op.directPlace(Segment.ds, address, 'read'));
  // Where there is no host address, what lies at 0 is read, and means nothing.
  const low = x.copy(x.load(Op.i32Load, host, 0));
  const high = x.copy(x.load(Op.i32Load, host, 4));
  const baseMiddle = x.shl(x.and(high, x.i32(0xff)), x.i32(16));
  const base = x.or(x.or(x.shrU(low, x.i32(16)), baseMiddle), x.and(high, x.i32(0xff00_0000 | 0)));
  const units = x.copy(x.or(x.and(low, x.i32(0xffff)), x.and(high, x.i32(0xf_0000))));
  const bytes = x.or(x.shl(units, x.i32(12)), x.i32(0xfff));
  const limit = x.select(x.and(high, x.i32(0x80_0000)), bytes, units);
  const conditions = [
    x.eq(selector, cell(op, stateOffset.segmentSelector + 4 * segment)),
    // In the GDT, which is aligned, and within its limit.
    x.eqz(x.and(selector, x.i32(4))),
    x.ne(index, x.i32(0)),
    x.ltU(x.add(index, x.i32(6)), cell(op, stateOffset.tableLimit)),
    x.eqz(x.and(x.wrap(address), x.i32(7))),
    x.ne(host, x.i32(0)),
    x.eq(x.and(high, x.i32(mask)), x.i32(value)),
    x.eq(x.extendU(base), x.load(Op.i64Load, state, stateOffset.segmentBase + 8 * segment)),
    x.eq(limit, cell(op, stateOffset.segmentLimit + 4 * segment)),
    x.eq(x.and(x.shrU(high, x.i32(8)), x.i32(0xf0ff)), cell(op, stateOffset.segmentAttributes + 4 * segment)),
  ];
  return x.copy(conditions.reduce((all, condition) => x.and(all, condition)));
}

/** i32, 0 or 1: a null selector of level 0 is popped into an SS that an IRETQ or an event has made null. */
function isNull(op: Operation, selector: Value): Value {
  const { x, state } = op;
  const { ss } = Segment;
  const isHere = x.eqz(x.or(selector, cell(op, stateOffset.segmentSelector + 4 * ss)));
  const isEmpty = x.and(
    x.eq(cell(op, stateOffset.segmentAttributes + 4 * ss), x.i32(attributeUnusable)),
    x.eq(cell(op, stateOffset.segmentLimit + 4 * ss), x.i32(-1)),
  );
  return x.and(x.and(isHere, isEmpty), x.eqz(x.load(Op.i64Load, state, stateOffset.segmentBase + 8 * ss)));
}

const interruptReturn: Definition = (op) => {
  if (op.modeBits !== 64) {
    op.leaveToService();
    return;
  }
  const { x } = op;
  const flags = x.copy(cell(op, stateOffset.systemFlags));
  const stack = x.copy(op.readRegister(rsp, 64));
  // Five items of 8 bytes, in one page.
  const place = x.copy(x.and(x.wrap(stack), x.i32(0xfff)));
  const frame = x.copy(op.directPlace(Segment.ss, stack, 'read'));
  const isFrame = x.and(
    x.and(x.ne(frame, x.i32(0)), x.eqz(x.and(place, x.i32(7)))),
    x.ltU(place, x.i32(0x1000 - 40 + 1)),
  );
  const isUsual = x.and(
    x.eqz(x.or(cell(op, stateOffset.cpl), cell(op, stateOffset.nmiBlocked))),
    x.eqz(x.and(flags, x.i32(unusual | nestedTask))),
  );
  op.leaveToService(x.eqz(x.and(isFrame, isUsual)));
  const target = x.copy(x.load(Op.i64Load, frame, 0));
  const code = x.copy(x.load(Op.i32Load16U, frame, 8));
  const image = x.copy(x.load(Op.i32Load, frame, 16));
  const pointer = x.copy(x.load(Op.i64Load, frame, 24));
  const data = x.copy(x.load(Op.i32Load16U, frame, 32));
  const isSame = x.and(
    isLoaded(op, Segment.cs, code, codeMask, codeValue),
    x.or(isLoaded(op, Segment.ss, data, dataMask, dataValue), isNull(op, data)),
  );
  const isLevel0 = x.eqz(x.and(x.or(code, data), x.i32(3)));
  const isWatched = x.and(x.and(image, x.i32(interrupt)), cell(op, stateOffset.eventWaits));
  const isQuiet = x.eqz(x.or(x.and(image, x.i32(unusual)), isWatched));
  op.leaveToService(x.eqz(x.and(x.and(isSame, isLevel0), x.and(isQuiet, op.isCanonical(target)))));
  op.writeRegister(rsp, 64, pointer);
  loadStatus(op, image);
  setCell(op, stateOffset.systemFlags, x.and(image, x.i32(systemFlags & ~virtual8086)));
  op.enterAt(target);
};

export const interruptReturns: Family = { definitions: { IRETQ: interruptReturn } };
