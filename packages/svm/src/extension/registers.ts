import { Segment, type VirtualizationUnit, writeSegmentCache } from '@nest86/cpu/virtualization';
import type { PagingContext } from '@nest86/mmu';
import { vmcbOffset } from '../vmcb/layout.ts';
import type { Vmcb } from '../vmcb/vmcb.ts';

/*
 * Registers to and from the state save area (APM vol. 2, 15.5.1 and 15.6). General registers but RAX and RSP, x87, vector registers, XCR0 and DR0 to
 * DR3 are shared by host and guest.
 */

const at = vmcbOffset;
const pe = 1;
const pg = -0x8000_0000;
const lme = 0x100;
const lma = 0x400;
/** PE MP EM TS ET NE WP AM NW CD PG: the others read as 0; ET is 1. */
const cr0Bits = 0xe005_003f | 0;
const et = 0x10;
const flagVirtual8086 = 0x2_0000;
const rax = 0;
const rsp = 4;

// Attributes: bits 7:0 lie as in the engine, 11:8 four bits higher there, where bit 16 says that there is no segment.
const present = 0x80;
const codeSegment = 0x18;
const unusable = 0x1_0000;

/** Segments by their number and the offset of their selector. */
const swapped: readonly (readonly [segment: number, offset: number])[] = [
  [Segment.es, at.esSelector],
  [Segment.cs, at.csSelector],
  [Segment.ss, at.ssSelector],
  [Segment.ds, at.dsSelector],
];
const further: readonly (readonly [segment: number, offset: number])[] = [
  [Segment.fs, at.fsSelector],
  [Segment.gs, at.gsSelector],
  [Segment.ldtr, at.ldtrSelector],
  [Segment.tr, at.trSelector],
];
const furtherRegisters = [
  ['star', at.star],
  ['lstar', at.lstar],
  ['cstar', at.cstar],
  ['sfmask', at.sfmask],
  ['kernelGsBase', at.kernelGsBase],
  ['sysenterCs', at.sysenterCs],
  ['sysenterEsp', at.sysenterEsp],
  ['sysenterEip', at.sysenterEip],
] as const;
/** Of these, addresses that are made canonical. */
const isAddress = new Set<string>(['lstar', 'cstar', 'kernelGsBase', 'sysenterEsp', 'sysenterEip']);

/** Bases and addresses are sign-extended, not checked (APM vol. 2, 15.5.1, "Canonicalization"). */
function canonicalHigh({ capabilities }: VirtualizationUnit, high: number): number {
  const unused = 64 - capabilities.linearBits;
  return (high << unused) >> unused;
}

function loadSegment(
  unit: VirtualizationUnit,
  vmcb: Vmcb,
  segment: number,
  offset: number,
  isPresent: boolean,
): void {
  const word = vmcb.low(offset);
  const raw = word >>> 16;
  let attributes = (raw & 0xff) | ((raw & 0xf00) << 4);
  if (isPresent) attributes |= present;
  else if ((raw & present) === 0) attributes |= unusable;
  const isWide = segment >= Segment.fs;
  const high = isWide ? canonicalHigh(unit, vmcb.high(offset + 8)) : 0;
  writeSegmentCache(
    unit.state,
    segment,
    word & 0xffff,
    vmcb.low(offset + 8),
    high,
    vmcb.low(offset + 4),
    attributes,
  );
}

function storeSegment({ state }: VirtualizationUnit, vmcb: Vmcb, segment: number, offset: number): void {
  const attributes = state.get('segmentAttributes', segment);
  let raw = (attributes & 0xff) | ((attributes >> 4) & 0xf00);
  if ((attributes & unusable) !== 0) raw &= ~present;
  vmcb.setWord(offset, (state.get('segmentSelector', segment) & 0xffff) | (raw << 16));
  vmcb.setWord(offset + 4, state.get('segmentLimit', segment));
  vmcb.setPair(offset + 8, state.low('segmentBase', segment), state.high('segmentBase', segment));
}

/** Control registers of the guest: what its translation depends on. `update` is the caller's to call. */
export function loadContext(vmcb: Vmcb, context: PagingContext): void {
  const cr0 = (vmcb.low(at.cr0) & cr0Bits) | et;
  const efer = vmcb.low(at.efer) & ~lma;
  context.cr0 = cr0;
  context.cr3Low = vmcb.low(at.cr3);
  context.cr3High = vmcb.high(at.cr3);
  context.cr4 = vmcb.low(at.cr4);
  context.efer = (cr0 & pg) !== 0 && (efer & lme) !== 0 ? efer | lma : efer;
}

/** All that VMRUN loads but control registers and PAT. */
export function loadRegisters(unit: VirtualizationUnit, vmcb: Vmcb, context: PagingContext): void {
  const { state } = unit;
  const flags = vmcb.low(at.rflags);
  const isReal = (context.cr0 & pe) === 0;
  const isVirtual8086 = !isReal && (flags & flagVirtual8086) !== 0;
  for (let i = 0; i < swapped.length; i++)
    loadSegment(unit, vmcb, swapped[i][0], swapped[i][1], swapped[i][0] === Segment.cs);
  if (isReal || isVirtual8086)
    // Code may be written there, whatever the attributes.
    state.set('segmentRights', 3, Segment.cs);
  else if ((state.get('segmentAttributes', Segment.cs) & codeSegment) !== codeSegment) forceCode(unit);
  state.setPair('tableBase', vmcb.low(at.gdtrBase), canonicalHigh(unit, vmcb.high(at.gdtrBase)), 0);
  state.set('tableLimit', vmcb.low(at.gdtrLimit) & 0xffff, 0);
  state.setPair('tableBase', vmcb.low(at.idtrBase), canonicalHigh(unit, vmcb.high(at.idtrBase)), 1);
  state.set('tableLimit', vmcb.low(at.idtrLimit) & 0xffff, 1);
  state.flags = isReal ? flags & ~flagVirtual8086 : flags;
  state.set('cpl', isReal ? 0 : isVirtual8086 ? 3 : vmcb.byte(at.cpl) & 3);
  state.setPair('gpr', vmcb.low(at.rax), vmcb.high(at.rax), rax);
  state.setPair('gpr', vmcb.low(at.rsp), vmcb.high(at.rsp), rsp);
  state.setPair('cr2', vmcb.low(at.cr2), vmcb.high(at.cr2));
  state.setPair('debug', (vmcb.low(at.dr6) & 0xe00f) | 0xffff_0ff0, 0, 6);
  state.setPair('debug', (vmcb.low(at.dr7) & ~0xd000) | 0x400, 0, 7);
  unit.nextLow = vmcb.low(at.rip);
  unit.nextHigh = vmcb.high(at.rip);
}

/** In protected mode CS is taken for a code segment; D, L and R alone are looked at. */
function forceCode({ state }: VirtualizationUnit): void {
  const { cs } = Segment;
  const attributes = state.get('segmentAttributes', cs) | codeSegment;
  writeSegmentCache(
    state,
    cs,
    state.get('segmentSelector', cs),
    state.low('segmentBase', cs),
    0,
    state.get('segmentLimit', cs),
    attributes,
  );
}

/** What #VMEXIT stores, but for PAT. @param context the guest's */
export function storeRegisters(unit: VirtualizationUnit, vmcb: Vmcb, context: PagingContext): void {
  const { state } = unit;
  for (let i = 0; i < swapped.length; i++) storeSegment(unit, vmcb, swapped[i][0], swapped[i][1]);
  vmcb.setPair(at.gdtrBase, state.low('tableBase', 0), state.high('tableBase', 0));
  vmcb.setWord(at.gdtrLimit, state.get('tableLimit', 0));
  vmcb.setPair(at.idtrBase, state.low('tableBase', 1), state.high('tableBase', 1));
  vmcb.setWord(at.idtrLimit, state.get('tableLimit', 1));
  vmcb.setPair(at.rflags, state.flags, 0);
  vmcb.setByte(at.cpl, state.get('cpl'));
  vmcb.setPair(at.rax, state.low('gpr', rax), state.high('gpr', rax));
  vmcb.setPair(at.rsp, state.low('gpr', rsp), state.high('gpr', rsp));
  vmcb.setPair(at.rip, unit.ripLow, unit.ripHigh);
  vmcb.setPair(at.cr2, state.low('cr2'), state.high('cr2'));
  vmcb.setPair(at.dr6, state.low('debug', 6), 0);
  vmcb.setPair(at.dr7, state.low('debug', 7), 0);
  vmcb.setPair(at.cr0, context.cr0, 0);
  vmcb.setPair(at.cr3, context.cr3Low, context.cr3High);
  vmcb.setPair(at.cr4, context.cr4, 0);
  vmcb.setPair(at.efer, context.efer, 0);
}

/** VMLOAD (APM vol. 2, 15.5.2). */
export function loadFurther(unit: VirtualizationUnit, vmcb: Vmcb): void {
  for (const [segment, offset] of further) loadSegment(unit, vmcb, segment, offset, segment === Segment.tr);
  for (const [field, offset] of furtherRegisters) {
    const high = vmcb.high(offset);
    unit.state.setPair(field, vmcb.low(offset), isAddress.has(field) ? canonicalHigh(unit, high) : high);
  }
  unit.segmentsChanged();
}

/** VMSAVE. */
export function storeFurther(unit: VirtualizationUnit, vmcb: Vmcb): void {
  for (const [segment, offset] of further) storeSegment(unit, vmcb, segment, offset);
  for (const [field, offset] of furtherRegisters)
    vmcb.setPair(offset, unit.state.low(field), unit.state.high(field));
}
