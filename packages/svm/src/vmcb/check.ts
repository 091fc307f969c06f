import { EventField, Intercept1, Intercept2, VirtualInterrupt } from './bits.ts';
import { vmcbOffset } from './layout.ts';
import { type Vmcb, vmcbOf } from './vmcb.ts';

/** What of the processor VMRUN's checks depend on. */
export interface SvmCapabilities {
  /** MAXPHYADDR, 32 to 52. */
  readonly physicalBits: number;
  /** Bits of CR4 that may be set. */
  readonly cr4: number;
  /** Bits of EFER that may be set, LMA and SVME among them. */
  readonly efer: number;
  /** Fn8000_000A_EDX[NP], [VNMI]. */
  readonly hasNestedPaging: boolean;
  readonly hasVirtualNmi: boolean;
}

/** What of the host's state they depend on. */
export interface SvmHostState {
  /** The host's CR0.PG and, for nCR3, whether its page tables are those of long mode. */
  readonly hasPaging: boolean;
  readonly isLongMode: boolean;
}

/** Something that VMRUN refuses. */
export interface Violation {
  /** Of APM vol. 2. */
  readonly section: string;
  readonly text: string;
}

interface Check extends Violation {
  fails(vmcb: Vmcb, capabilities: SvmCapabilities, host: SvmHostState): boolean;
}

const at = vmcbOffset;
const pe = 1;
const nw = 0x2000_0000;
const cd = 0x4000_0000;
const pg = -0x8000_0000;
const pae = 0x20;
const lme = 0x100;
const lma = 0x400;
const svme = 0x1000;
/** Of a segment's attributes: L and D. */
const longAndBig = 0x600;

const isLong = (v: Vmcb): boolean => (v.low(at.efer) & lme) !== 0 && (v.low(at.cr0) & pg) !== 0;
/** PAE paging, and that of long mode. */
const hasWideEntries = (v: Vmcb): boolean => (v.low(at.cr0) & pg) !== 0 && (v.low(at.cr4) & pae) !== 0;
const hasNested = (v: Vmcb, c: SvmCapabilities): boolean =>
  c.hasNestedPaging && (v.low(at.nestedControl) & 1) !== 0;
/** Upper halves of addresses beyond MAXPHYADDR. */
const beyond = (high: number, physicalBits: number): boolean => (high & (-1 << (physicalBits - 32))) !== 0;

/** Whether a table of so many pages at an address, whose low 12 bits do not matter, ends beyond MAXPHYADDR. */
function endsBeyond(v: Vmcb, offset: number, pages: number, physicalBits: number): boolean {
  const page = (v.high(offset) >>> 0) * 0x10_0000 + (v.low(offset) >>> 12);
  return page + pages > 2 ** (physicalBits - 12);
}

/** Four entries of the PAT: 0, 1, 4 to 7. */
function hasBadType(half: number): boolean {
  for (let shift = 0; shift < 32; shift += 8) {
    const type = (half >>> shift) & 0xff;
    if (type > 7 || type === 2 || type === 3) return true;
  }
  return false;
}

/** Types: interrupt, NMI, exception, software interrupt. Vector 2 is no exception (15.20). */
function isBadEvent(v: Vmcb): boolean {
  const event = v.low(at.eventInjection);
  if ((event & EventField.valid) === 0) return false;
  const type = (event >> 8) & 7;
  const vector = event & 0xff;
  if (type !== 0 && type !== 2 && type !== 3 && type !== 4) return true;
  return type === 3 && (vector > 31 || vector === 2);
}

/** In the manual's order. */
const checks: readonly Check[] = [
  { section: '15.5.1', text: 'EFER.SVME is 0', fails: (v) => (v.low(at.efer) & svme) === 0 },
  {
    section: '15.5.1',
    text: 'CR0.CD is 0 and CR0.NW is 1',
    fails: (v) => (v.low(at.cr0) & (cd | nw)) === nw,
  },
  { section: '15.5.1', text: 'CR0[63:32] are not 0', fails: (v) => v.high(at.cr0) !== 0 },
  {
    section: '15.5.1',
    text: 'CR3 has reserved bits set',
    // Bit 63, which asks MOV for no flush, is reserved here.
    fails: (v, c) => hasWideEntries(v) && beyond(v.high(at.cr3), c.physicalBits),
  },
  {
    section: '15.5.1',
    text: 'CR4 has reserved bits set',
    fails: (v, c) => v.high(at.cr4) !== 0 || (v.low(at.cr4) & ~c.cr4) !== 0,
  },
  { section: '15.5.1', text: 'DR6[63:32] are not 0', fails: (v) => v.high(at.dr6) !== 0 },
  { section: '15.5.1', text: 'DR7[63:32] are not 0', fails: (v) => v.high(at.dr7) !== 0 },
  {
    section: '15.5.1',
    text: 'EFER has reserved bits set',
    fails: (v, c) => v.high(at.efer) !== 0 || (v.low(at.efer) & ~(c.efer | svme | lme | lma)) !== 0,
  },
  {
    section: '15.5.1',
    text: 'EFER.LMA or EFER.LME is 1 on a processor without long mode',
    fails: (v, c) => (c.efer & lme) === 0 && (v.low(at.efer) & (lme | lma)) !== 0,
  },
  {
    section: '15.5.1',
    text: 'EFER.LME and CR0.PG are 1 and CR4.PAE is 0',
    fails: (v) => isLong(v) && (v.low(at.cr4) & pae) === 0,
  },
  {
    section: '15.5.1',
    text: 'EFER.LME and CR0.PG are 1 and CR0.PE is 0',
    fails: (v) => isLong(v) && (v.low(at.cr0) & pe) === 0,
  },
  {
    section: '15.5.1',
    text: 'EFER.LME, CR0.PG, CR4.PAE, CS.L and CS.D are all 1',
    fails: (v) => isLong(v) && ((v.low(at.csSelector) >>> 16) & longAndBig) === longAndBig,
  },
  {
    section: '15.5.1',
    text: 'the VMRUN intercept is clear',
    fails: (v) => (v.low(at.intercept2) & Intercept2.vmrun) === 0,
  },
  {
    section: '15.5.1',
    text: 'the MSR permission map ends beyond the physical addresses',
    // It has two pages; a third must fit behind it (kvm-unit-tests' finding, svm_tests: "MSRPM address").
    fails: (v, c) => endsBeyond(v, at.msrpmBase, 3, c.physicalBits),
  },
  {
    section: '15.5.1',
    text: 'the I/O permission map ends beyond the physical addresses',
    fails: (v, c) => endsBeyond(v, at.iopmBase, 3, c.physicalBits),
  },
  { section: '15.5.1', text: 'ASID is 0', fails: (v) => v.low(at.asid) === 0 },
  { section: '15.20', text: 'the event to be injected has a reserved type or vector', fails: isBadEvent },
  {
    section: '15.21.10',
    text: 'virtual NMIs are enabled and the NMI intercept is clear',
    fails: (v, c) =>
      c.hasVirtualNmi &&
      (v.low(at.virtualInterrupt) & VirtualInterrupt.nmiEnable) !== 0 &&
      (v.low(at.intercept1) & Intercept1.nmi) === 0,
  },
  {
    section: '15.25.3',
    text: 'nested paging is enabled and the host has paging off',
    fails: (v, c, { hasPaging }) => hasNested(v, c) && !hasPaging,
  },
  {
    section: '15.25.4',
    text: 'nCR3 has reserved bits set',
    fails: (v, c, { isLongMode }) =>
      hasNested(v, c) &&
      (isLongMode ? beyond(v.high(at.nestedCr3), c.physicalBits) : v.high(at.nestedCr3) !== 0),
  },
  {
    section: '15.25.4',
    text: 'G_PAT has a reserved memory type',
    fails: (v, c) => hasNested(v, c) && (hasBadType(v.low(at.guestPat)) || hasBadType(v.high(at.guestPat))),
  },
];

/**
 * Checks an image as VMRUN does (APM vol. 2, 15.5.1, 15.20, 15.25): what is listed ends in #VMEXIT(INVALID).
 * @throws RangeError if the image is too short
 */
export function checkVmcb(
  image: Uint8Array,
  capabilities: SvmCapabilities,
  host: SvmHostState = { hasPaging: true, isLongMode: true },
): Violation[] {
  const vmcb = vmcbOf(image);
  return checks
    .filter((check) => check.fails(vmcb, capabilities, host))
    .map(({ section, text }) => ({ section, text }));
}

/** The first violation, or undefined. For VMRUN itself: allocates nothing. */
export function firstViolation(
  vmcb: Vmcb,
  capabilities: SvmCapabilities,
  host: SvmHostState,
): Violation | undefined {
  for (let i = 0; i < checks.length; i++) if (checks[i].fails(vmcb, capabilities, host)) return checks[i];
  return undefined;
}
