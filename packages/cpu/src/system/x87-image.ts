import type { SystemUnit } from './unit.ts';

/*
 * The x87 state in images of FXSAVE and XSAVE (SDM vol. 1, 13.5.1; vol. 2, FXSAVE), and what loading its registers from any image does to them:
 *   word 0 FCW, FSW · 1 tags by a bit each, FOP · 2 3 instruction pointer · 4 5 data pointer · 6 MXCSR · 7 MXCSR_MASK · 8… ST(0) to ST(7), 16 bytes each
 */

/** FCW, FSW, tags, FOP and pointers: words 0 to 5. */
export const x87HeadBytes = 24;
/** MXCSR and MXCSR_MASK. */
export const mxcsrOffset = 24;
/** ST(0) to ST(7). */
export const x87RegistersOffset = 32;
export const x87RegistersBytes = 128;
/** XMM registers. */
export const xmmOffset = 160;

/** Summary of unmasked exceptions, and its old companion "busy". */
export const statusSummary = 0x8080;

/** TOP of a status word. */
export function topOf(status: number): number {
  return (status >>> 11) & 7;
}

/** Control word as the processor keeps it: bits 15:13 and 7 are 0, bit 6 is 1 (FLDCW FFFFh, then FNSTCW: 1F7Fh). */
export function keptControl(control: number): number {
  return (control & 0x1f3f) | 0x40;
}

/** Status word with ES and B as control and exception flags have it, whatever was loaded. */
export function summarized(status: number, control: number): number {
  const pending = (status & ~control & 0x3f) !== 0;
  return (status & 0xffff & ~statusSummary) | (pending ? statusSummary : 0);
}

/** FNINIT's state without the registers (SDM vol. 2, FINIT). */
export function initializeX87({ state }: SystemUnit): void {
  state.set('x87Control', 0x37f);
  state.set('x87Status', 0);
  state.set('x87Tags', 0);
  state.set('x87Opcode', 0);
  state.setPair('x87InstructionPointer', 0, 0);
  state.set('x87InstructionSelector', 0);
  state.setPair('x87DataPointer', 0, 0);
  state.set('x87DataSelector', 0);
}

/** The initial configuration of XRSTOR: the registers are 0 too (SDM vol. 1, 13.6). */
export function resetX87(unit: SystemUnit): void {
  initializeX87(unit);
  for (let word = 0; word < 32; word++) unit.state.set('x87', 0, word);
}

/** @param isWide pointers of 64 bits without selectors: FXSAVE64, XSAVE64 */
export function saveX87(unit: SystemUnit, image: Int32Array, isWide: boolean): void {
  const { state, capabilities } = unit;
  const status = state.get('x87Status');
  image[0] = (state.get('x87Control') & 0xffff) | (status << 16);
  image[1] = (state.get('x87Tags') & 0xff) | (state.get('x87Opcode') << 16);
  image[2] = state.low('x87InstructionPointer');
  image[4] = state.low('x87DataPointer');
  if (isWide) {
    image[3] = state.high('x87InstructionPointer');
    image[5] = state.high('x87DataPointer');
  } else {
    image[3] = capabilities.dropsFpuSelectors ? 0 : state.get('x87InstructionSelector') & 0xffff;
    image[5] = capabilities.dropsFpuSelectors ? 0 : state.get('x87DataSelector') & 0xffff;
  }
  if (unit.mmu.model.vendor === 'amd' && (status & 0x80) === 0) {
    // AMD saves opcode and pointers with a pending exception only and else zeros (CPUID 80000008h.EBX bit 2; seen on EPYC).
    image[1] &= 0xffff;
    image.fill(0, 2, 6);
  }
  const top = topOf(status);
  for (let i = 0; i < 8; i++) {
    const from = 4 * ((top + i) & 7);
    const to = 8 + 4 * i;
    image[to] = state.get('x87', from);
    image[to + 1] = state.get('x87', from + 1);
    image[to + 2] = state.get('x87', from + 2) & 0xffff;
    image[to + 3] = 0;
  }
}

export function loadX87(unit: SystemUnit, image: Int32Array, isWide: boolean): void {
  const { state } = unit;
  const control = keptControl(image[0]);
  const status = summarized(image[0] >>> 16, control);
  state.set('x87Control', control);
  state.set('x87Status', status);
  state.set('x87Tags', image[1] & 0xff);
  state.set('x87Opcode', (image[1] >>> 16) & 0x7ff);
  state.setPair('x87InstructionPointer', image[2], isWide ? canonicalHigh(unit, image[3]) : 0);
  state.set('x87InstructionSelector', isWide ? 0 : image[3] & 0xffff);
  state.setPair('x87DataPointer', image[4], isWide ? dataHigh(unit, image[5]) : 0);
  state.set('x87DataSelector', isWide ? 0 : image[5] & 0xffff);
  const top = topOf(status);
  for (let i = 0; i < 8; i++) {
    const from = 8 + 4 * i;
    const to = 4 * ((top + i) & 7);
    state.set('x87', image[from], to);
    state.set('x87', image[from + 1], to + 1);
    state.set('x87', image[from + 2] & 0xffff, to + 2);
    state.set('x87', 0, to + 3);
  }
}

/** Upper half of a data pointer: Intel's processors keep all of it (seen on Xeon). */
function dataHigh(unit: SystemUnit, high: number): number {
  return unit.mmu.model.vendor === 'intel' ? high : canonicalHigh(unit, high);
}

/** Upper half of a pointer, made canonical: no more bits than an address has are kept (seen on EPYC, and for the instruction pointer on Xeon). */
function canonicalHigh(unit: SystemUnit, high: number): number {
  const unused = 64 - unit.capabilities.linearBits;
  return (high << unused) >> unused;
}
