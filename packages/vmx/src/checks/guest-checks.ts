import { Entry, Pin, Secondary } from '../capabilities/controls.ts';
import { Cell } from '../vmcs/fields.ts';
import { vmcsRevision } from '../vmcs/vmcs.ts';
import type { EntryChecks } from './findings.ts';
import { checkGuestSegments } from './guest-segment-checks.ts';
import { isPat } from './values.ts';

const cr0Pe = 1;
const cr0Pg = 0x8000_0000 | 0;
const cr0Wp = 0x1_0000;
const cr4Pae = 0x20;
const cr4Pcide = 0x2_0000;
const cr4Cet = 0x80_0000;
const eferBits = 0xd01;
/** Bits of IA32_DEBUGCTL that there are here: LBR and BTF; the others that processors have are kept for those with a PMU. */
const debugControlBits = 3;
const flagTrap = 0x100;
const flagInterrupt = 0x200;
const flagVirtual8086 = 0x2_0000;

/** Qualifications of an entry that failed (SDM vol. 3, 27.8). */
export const EntryFailure = { pdptes: 2, nmiInjection: 3, linkPointer: 4 } as const;

/** Checks of the guest-state area (SDM vol. 3, 27.3.1): a violation is a failed entry with reason 33. */
export function checkGuest(checks: EntryChecks): void {
  checks.begin('guest');
  checkRegisters(checks);
  checkGuestSegments(checks);
  checkTables(checks);
  checkInstruction(checks);
  checkActivity(checks);
  checkLink(checks);
  checkPdptes(checks);
}

/** 27.3.1.1: control registers, debug registers, MSRs. */
function checkRegisters(checks: EntryChecks): void {
  const { vmcs, entry, secondary, capabilities } = checks;
  const section = '27.3.1.1';
  const cr0 = vmcs.low(Cell.guestCr0);
  const cr4 = vmcs.low(Cell.guestCr4);
  const isLong = (entry & Entry.longMode) !== 0;
  const isUnrestricted = (secondary & Secondary.unrestrictedGuest) !== 0;
  const fixed0 = isUnrestricted ? capabilities.cr0Fixed0 & ~(cr0Pe | cr0Pg) : capabilities.cr0Fixed0;
  checks.expect(
    (cr0 & fixed0) === fixed0 && vmcs.high(Cell.guestCr0) === 0,
    section,
    'guest CR0: bits as IA32_VMX_CR0_FIXED0 and FIXED1 say, but PE and PG of an unrestricted guest',
  );
  checks.expect((cr0 & cr0Pg) === 0 || (cr0 & cr0Pe) !== 0, section, 'guest CR0.PG: only with PE');
  checks.expect(
    (cr4 & capabilities.cr4Fixed0) === capabilities.cr4Fixed0 &&
      (cr4 & ~capabilities.cr4Fixed1) === 0 &&
      vmcs.high(Cell.guestCr4) === 0,
    section,
    'guest CR4: bits as IA32_VMX_CR4_FIXED0 and FIXED1 say',
  );
  checks.expect((cr4 & cr4Cet) === 0 || (cr0 & cr0Wp) !== 0, section, 'guest CR4.CET: only with CR0.WP');
  if ((entry & Entry.loadDebug) !== 0)
    checks.expect(
      (vmcs.low(Cell.guestDebugControl) & ~debugControlBits) === 0 && vmcs.high(Cell.guestDebugControl) === 0,
      section,
      'guest IA32_DEBUGCTL: reserved bits are 0',
    );
  if (isLong)
    checks.expect(
      (cr0 & cr0Pg) !== 0 && (cr4 & cr4Pae) !== 0,
      section,
      'IA-32e mode guest: CR0.PG and CR4.PAE are 1',
    );
  else checks.expect((cr4 & cr4Pcide) === 0, section, 'guest CR4.PCIDE: only in IA-32e mode');
  checks.expect(
    checks.isPhysical(Cell.guestCr3),
    section,
    'guest CR3: no bit beyond the physical-address width',
  );
  if ((entry & Entry.loadDebug) !== 0)
    checks.expect(vmcs.high(Cell.guestDr7) === 0, section, 'guest DR7: bits 63:32 are 0');
  checks.expect(
    checks.isCanonical(Cell.guestSysenterEsp) && checks.isCanonical(Cell.guestSysenterEip),
    section,
    'guest IA32_SYSENTER_ESP and EIP: canonical',
  );
  if ((entry & Entry.loadPat) !== 0)
    checks.expect(
      isPat(vmcs.low(Cell.guestPat)) && isPat(vmcs.high(Cell.guestPat)),
      section,
      'guest IA32_PAT: each byte one of 0, 1, 4, 5, 6, 7',
    );
  if ((entry & Entry.loadEfer) === 0) return;
  const efer = vmcs.low(Cell.guestEfer);
  checks.expect(
    (efer & ~eferBits) === 0 && vmcs.high(Cell.guestEfer) === 0,
    section,
    'guest IA32_EFER: reserved bits are 0',
  );
  const lma = (efer & 0x400) !== 0;
  checks.expect(lma === isLong, section, 'guest IA32_EFER.LMA: equal to IA-32e mode guest');
  if ((cr0 & cr0Pg) !== 0)
    checks.expect(lma === ((efer & 0x100) !== 0), section, 'guest IA32_EFER.LME: equal to LMA with paging');
}

/** 27.3.1.3. */
function checkTables(checks: EntryChecks): void {
  const { vmcs } = checks;
  const section = '27.3.1.3';
  checks.expect(
    checks.isCanonical(Cell.guestGdtrBase) && checks.isCanonical(Cell.guestIdtrBase),
    section,
    'guest GDTR and IDTR bases: canonical',
  );
  checks.expect(
    vmcs.low(Cell.guestGdtrLimit) >>> 16 === 0 && vmcs.low(Cell.guestIdtrLimit) >>> 16 === 0,
    section,
    'guest GDTR and IDTR limits: bits 31:16 are 0',
  );
}

/** 27.3.1.4: RIP, RFLAGS. */
function checkInstruction(checks: EntryChecks): void {
  const { vmcs, entry } = checks;
  const section = '27.3.1.4';
  const isLong = (entry & Entry.longMode) !== 0;
  const is64 = isLong && (vmcs.low(Cell.guestCsRights) & 0x2000) !== 0;
  if (!is64)
    checks.expect(vmcs.high(Cell.guestRip) === 0, section, 'guest RIP: bits 63:32 are 0 outside 64-bit code');
  else checks.expect(checks.isCanonical(Cell.guestRip), section, 'guest RIP: canonical in 64-bit code');
  const flags = vmcs.low(Cell.guestRflags);
  checks.expect(
    (flags & 0xffc0_802a) === 2 && vmcs.high(Cell.guestRflags) === 0,
    section,
    'guest RFLAGS: reserved bits are 0, bit 1 is 1',
  );
  checks.expect(
    (flags & flagVirtual8086) === 0 || (!isLong && (vmcs.low(Cell.guestCr0) & cr0Pe) !== 0),
    section,
    'guest RFLAGS.VM: 0 in IA-32e mode and without CR0.PE',
  );
  const information = vmcs.low(Cell.entryInterruption);
  if (information < 0 && (information & 0x700) === 0)
    checks.expect(
      (flags & flagInterrupt) !== 0,
      section,
      'guest RFLAGS.IF: 1 if an external interrupt is injected',
    );
}

const Activity = { active: 0, hlt: 1, shutdown: 2, waitForSipi: 3 } as const;

/** 27.3.1.5: activity, interruptibility, pending debug exceptions. */
function checkActivity(checks: EntryChecks): void {
  const { vmcs, pin } = checks;
  const section = '27.3.1.5';
  const activity = vmcs.low(Cell.guestActivity) >>> 0;
  const blocking = vmcs.low(Cell.guestInterruptibility);
  const information = vmcs.low(Cell.entryInterruption);
  const flags = vmcs.low(Cell.guestRflags);
  checks.expect(activity <= Activity.waitForSipi, section, 'activity state: 0 to 3');
  const level = (vmcs.low(Cell.guestSsRights) >>> 5) & 3;
  checks.expect(activity !== Activity.hlt || level === 0, section, 'activity state HLT: only with SS.DPL 0');
  checks.expect(
    activity === Activity.active || (blocking & 3) === 0,
    section,
    'activity state: active with blocking by STI or MOV SS',
  );
  if (information < 0) {
    const type = (information >>> 8) & 7;
    const vector = information & 0xff;
    let isRight = true;
    if (activity === Activity.hlt)
      isRight =
        type === 0 ||
        type === 2 ||
        (type === 3 && (vector === 1 || vector === 18)) ||
        (type === 7 && vector === 0);
    else if (activity === Activity.shutdown) isRight = type === 2 || (type === 3 && vector === 18);
    else if (activity === Activity.waitForSipi) isRight = false;
    checks.expect(isRight, section, 'injected event: one that the activity state lets through');
  }
  checks.expect((blocking & ~0x1f) === 0, section, 'interruptibility state: bits 31:5 are 0');
  checks.expect(
    (blocking & 3) !== 3,
    section,
    'interruptibility state: blocking by STI or by MOV SS, not both',
  );
  checks.expect(
    (flags & flagInterrupt) !== 0 || (blocking & 1) === 0,
    section,
    'blocking by STI: only with RFLAGS.IF',
  );
  if (information < 0) {
    const type = (information >>> 8) & 7;
    if (type === 0)
      checks.expect(
        (blocking & 3) === 0,
        section,
        'injected external interrupt: no blocking by STI or MOV SS',
      );
    if (type === 2) {
      checks.expectElse(
        (blocking & 3) === 0,
        EntryFailure.nmiInjection,
        section,
        'injected NMI: no blocking by STI or MOV SS',
      );
      if ((pin & Pin.virtualNmis) !== 0)
        checks.expect((blocking & 8) === 0, section, 'injected virtual NMI: no blocking by NMI');
    }
  }
  checks.expect((blocking & 4) === 0, section, 'blocking by SMI: 0 outside SMM');
  checks.expect((blocking & 0x10) === 0, section, 'enclave interruption: 0 without SGX');
  checkPendingDebug(checks, blocking, activity, flags);
}

function checkPendingDebug(checks: EntryChecks, blocking: number, activity: number, flags: number): void {
  const { vmcs } = checks;
  const section = '27.3.1.5';
  const pending = vmcs.low(Cell.guestPendingDebug);
  checks.expect(
    (pending & ~0x1_500f) === 0 && vmcs.high(Cell.guestPendingDebug) === 0,
    section,
    'pending debug exceptions: reserved bits are 0',
  );
  if ((blocking & 3) === 0 && activity !== Activity.hlt) return;
  const steps = (flags & flagTrap) !== 0 && (vmcs.low(Cell.guestDebugControl) & 2) === 0;
  checks.expect(
    ((pending & 0x4000) !== 0) === steps,
    section,
    'pending debug exceptions, BS: as RFLAGS.TF and IA32_DEBUGCTL.BTF say, under blocking or in HLT',
  );
}

/** 27.3.1.5, VMCS link pointer. */
function checkLink(checks: EntryChecks): void {
  const { vmcs, secondary, state } = checks;
  const section = '27.3.1.5';
  const low = vmcs.low(Cell.linkPointer);
  const high = vmcs.high(Cell.linkPointer);
  if (low === -1 && high === -1) return;
  const { linkPointer } = EntryFailure;
  checks.expectElse(
    checks.isPage(Cell.linkPointer),
    linkPointer,
    section,
    'VMCS link pointer: all ones, or a page inside the physical-address width',
  );
  if (!checks.isPage(Cell.linkPointer)) return;
  const revision = state.readPhysical(low, high);
  const isShadow = (secondary & Secondary.shadowing) !== 0;
  checks.expectElse(
    revision === (isShadow ? vmcsRevision | 0x8000_0000 : vmcsRevision),
    linkPointer,
    section,
    'VMCS link pointer: the region has our revision, and bit 31 as VMCS shadowing says',
  );
}

/** 27.3.1.6: PDPTEs of a PAE guest with EPT come from the VMCS. Without EPT they are read from memory when CR3 is loaded. */
function checkPdptes(checks: EntryChecks): void {
  const { vmcs, entry, secondary } = checks;
  if ((secondary & Secondary.ept) === 0 || !isPaeGuest(checks, entry)) return;
  for (const cell of [Cell.guestPdpte0, Cell.guestPdpte1, Cell.guestPdpte2, Cell.guestPdpte3]) {
    const low = vmcs.low(cell);
    checks.expectElse(
      (low & 1) === 0 || ((low & 0x1e6) === 0 && checks.isPhysical(cell)),
      EntryFailure.pdptes,
      '27.3.1.6',
      'guest PDPTEs: reserved bits are 0',
    );
  }
}

/** CR0.PG, CR4.PAE, and not in IA-32e mode. */
export function isPaeGuest({ vmcs }: EntryChecks, entry: number): boolean {
  return (
    (vmcs.low(Cell.guestCr0) & cr0Pg) !== 0 &&
    (vmcs.low(Cell.guestCr4) & cr4Pae) !== 0 &&
    (entry & Entry.longMode) === 0
  );
}
