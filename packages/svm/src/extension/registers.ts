import { Segment, stateOffset, type VirtualizationUnit, writeSegmentCache } from '@nest86/cpu/virtualization';
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
/** Cell of the state, offset, and whether it is an address, which is made canonical. */
const furtherRegisters: readonly (readonly [cell: number, offset: number, isAddress: boolean])[] = [
  [stateOffset.star >> 2, at.star, false],
  [stateOffset.lstar >> 2, at.lstar, true],
  [stateOffset.cstar >> 2, at.cstar, true],
  [stateOffset.sfmask >> 2, at.sfmask, false],
  [stateOffset.kernelGsBase >> 2, at.kernelGsBase, true],
  [stateOffset.sysenterCs >> 2, at.sysenterCs, false],
  [stateOffset.sysenterEsp >> 2, at.sysenterEsp, true],
  [stateOffset.sysenterEip >> 2, at.sysenterEip, true],
];

// Cells of the state, as words: names are looked up once (measured: a third of a transition).
const selectors: number = stateOffset.segmentSelector >> 2;
const attributesOf: number = stateOffset.segmentAttributes >> 2;
const limits: number = stateOffset.segmentLimit >> 2;
const bases: number = stateOffset.segmentBase >> 2;
const tableBase: number = stateOffset.tableBase >> 2;
const tableLimit: number = stateOffset.tableLimit >> 2;
const general: number = stateOffset.gpr >> 2;
const cplCell: number = stateOffset.cpl >> 2;
const cr2Cell: number = stateOffset.cr2 >> 2;
const debugRegisters: number = stateOffset.debug >> 2;
const rightsOfCode: number = (stateOffset.segmentRights >> 2) + Segment.cs;
const attributesOfCode: number = attributesOf + Segment.cs;

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
  const { words } = state;
  const attributes = words[attributesOf + segment];
  let raw = (attributes & 0xff) | ((attributes >> 4) & 0xf00);
  if ((attributes & unusable) !== 0) raw &= ~present;
  vmcb.setWord(offset, (words[selectors + segment] & 0xffff) | (raw << 16));
  vmcb.setWord(offset + 4, words[limits + segment]);
  vmcb.setPair(offset + 8, words[bases + 2 * segment], words[bases + 2 * segment + 1]);
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
  const { words } = state;
  const flags = vmcb.low(at.rflags);
  const isReal = (context.cr0 & pe) === 0;
  const isVirtual8086 = !isReal && (flags & flagVirtual8086) !== 0;
  for (let i = 0; i < swapped.length; i++)
    loadSegment(unit, vmcb, swapped[i][0], swapped[i][1], swapped[i][0] === Segment.cs);
  // Code may be written there, whatever the attributes.
  if (isReal || isVirtual8086) words[rightsOfCode] = 3;
  else if ((words[attributesOfCode] & codeSegment) !== codeSegment) forceCode(unit);
  words[tableBase] = vmcb.low(at.gdtrBase);
  words[tableBase + 1] = canonicalHigh(unit, vmcb.high(at.gdtrBase));
  words[tableBase + 2] = vmcb.low(at.idtrBase);
  words[tableBase + 3] = canonicalHigh(unit, vmcb.high(at.idtrBase));
  words[tableLimit] = vmcb.low(at.gdtrLimit) & 0xffff;
  words[tableLimit + 1] = vmcb.low(at.idtrLimit) & 0xffff;
  state.flags = isReal ? flags & ~flagVirtual8086 : flags;
  words[cplCell] = isReal ? 0 : isVirtual8086 ? 3 : vmcb.byte(at.cpl) & 3;
  words[general + 2 * rax] = vmcb.low(at.rax);
  words[general + 2 * rax + 1] = vmcb.high(at.rax);
  words[general + 2 * rsp] = vmcb.low(at.rsp);
  words[general + 2 * rsp + 1] = vmcb.high(at.rsp);
  words[cr2Cell] = vmcb.low(at.cr2);
  words[cr2Cell + 1] = vmcb.high(at.cr2);
  words[debugRegisters + 12] = (vmcb.low(at.dr6) & 0xe00f) | 0xffff_0ff0;
  words[debugRegisters + 13] = 0;
  words[debugRegisters + 14] = (vmcb.low(at.dr7) & ~0xd000) | 0x400;
  words[debugRegisters + 15] = 0;
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
  const { words } = state;
  for (let i = 0; i < swapped.length; i++) storeSegment(unit, vmcb, swapped[i][0], swapped[i][1]);
  vmcb.setPair(at.gdtrBase, words[tableBase], words[tableBase + 1]);
  vmcb.setWord(at.gdtrLimit, words[tableLimit]);
  vmcb.setPair(at.idtrBase, words[tableBase + 2], words[tableBase + 3]);
  vmcb.setWord(at.idtrLimit, words[tableLimit + 1]);
  vmcb.setPair(at.rflags, state.flags, 0);
  vmcb.setByte(at.cpl, words[cplCell]);
  vmcb.setPair(at.rax, words[general + 2 * rax], words[general + 2 * rax + 1]);
  vmcb.setPair(at.rsp, words[general + 2 * rsp], words[general + 2 * rsp + 1]);
  vmcb.setPair(at.rip, unit.ripLow, unit.ripHigh);
  vmcb.setPair(at.cr2, words[cr2Cell], words[cr2Cell + 1]);
  vmcb.setPair(at.dr6, words[debugRegisters + 12], 0);
  vmcb.setPair(at.dr7, words[debugRegisters + 14], 0);
  vmcb.setPair(at.cr0, context.cr0, 0);
  vmcb.setPair(at.cr3, context.cr3Low, context.cr3High);
  vmcb.setPair(at.cr4, context.cr4, 0);
  vmcb.setPair(at.efer, context.efer, 0);
}

/** VMLOAD (APM vol. 2, 15.5.2). */
export function loadFurther(unit: VirtualizationUnit, vmcb: Vmcb): void {
  const { words } = unit.state;
  for (let i = 0; i < further.length; i++)
    loadSegment(unit, vmcb, further[i][0], further[i][1], further[i][0] === Segment.tr);
  for (let i = 0; i < furtherRegisters.length; i++) {
    const [cell, offset, isAddress] = furtherRegisters[i];
    const high = vmcb.high(offset);
    words[cell] = vmcb.low(offset);
    words[cell + 1] = isAddress ? canonicalHigh(unit, high) : high;
  }
  unit.segmentsChanged();
}

/** VMSAVE. */
export function storeFurther(unit: VirtualizationUnit, vmcb: Vmcb): void {
  const { words } = unit.state;
  for (let i = 0; i < further.length; i++) storeSegment(unit, vmcb, further[i][0], further[i][1]);
  for (let i = 0; i < furtherRegisters.length; i++) {
    const [cell, offset] = furtherRegisters[i];
    vmcb.setPair(offset, words[cell], words[cell + 1]);
  }
}
