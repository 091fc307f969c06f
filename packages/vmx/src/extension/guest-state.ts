import { writeSegmentCache } from '@nest86/cpu/virtualization';
import { Entry, Exit, Pin, Primary, Secondary } from '../capabilities/controls.ts';
import { isPaeGuest } from '../checks/guest-checks.ts';
import { Cell } from '../vmcs/fields.ts';
import { pageOf, type VmxCore } from './core.ts';
import { ResumeFlag } from './exit-record.ts';
import { EventSource } from './port.ts';

/** Segments by number: ES CS SS DS FS GS LDTR TR. */
const [cs, ss] = [1, 2];
const unusable = 0x1_0000;
const flagVirtual8086 = 0x2_0000;
const flagResume = 0x1_0000;
const debugPair = 7;
/** PE MP EM TS NE WP AM PG: what an entry loads; the others stay (SDM vol. 3, 27.3.2.1). */
const cr0Loaded = 0x8005_002f | 0;
/** By activity of the VMCS: active, HLT, shutdown, wait-for-SIPI; and back. */
const activities: readonly number[] = [0, 1, 3, 2];

/** Loads the guest's registers (SDM vol. 3, 27.3.2), but for what MSR lists hold. The context is the guest's afterwards. */
export function loadGuest(core: VmxCore): void {
  const { unit, vmcs, checks, guest, host } = core;
  const { state } = unit;
  const { entry } = checks;
  const cr0 = (vmcs.low(Cell.guestCr0) & cr0Loaded) | (host.cr0 & ~cr0Loaded);
  guest.cr0 = cr0;
  guest.cr3Low = vmcs.low(Cell.guestCr3);
  guest.cr3High = vmcs.high(Cell.guestCr3);
  guest.cr4 = vmcs.low(Cell.guestCr4);
  guest.efer = guestEfer(core, cr0);
  guest.pkrs = host.pkrs;
  if ((entry & Entry.loadDebug) !== 0) {
    state.setPair('debug', (vmcs.low(Cell.guestDr7) & 0xffff_2fff) | 0x400, 0, debugPair);
    state.setPair('debugControl', vmcs.low(Cell.guestDebugControl), 0);
  }
  state.setPair('sysenterCs', vmcs.low(Cell.guestSysenterCs), 0);
  state.setPair('sysenterEsp', vmcs.low(Cell.guestSysenterEsp), vmcs.high(Cell.guestSysenterEsp));
  state.setPair('sysenterEip', vmcs.low(Cell.guestSysenterEip), vmcs.high(Cell.guestSysenterEip));
  if ((entry & Entry.loadPat) !== 0) state.setPair('pat', vmcs.low(Cell.guestPat), vmcs.high(Cell.guestPat));
  for (let segment = 0; segment < 8; segment++) loadSegment(core, segment);
  state.setPair('tableBase', vmcs.low(Cell.guestGdtrBase), vmcs.high(Cell.guestGdtrBase), 0);
  state.set('tableLimit', vmcs.low(Cell.guestGdtrLimit), 0);
  state.setPair('tableBase', vmcs.low(Cell.guestIdtrBase), vmcs.high(Cell.guestIdtrBase), 1);
  state.set('tableLimit', vmcs.low(Cell.guestIdtrLimit), 1);
  const flags = vmcs.low(Cell.guestRflags);
  state.flags = flags;
  const isReal = (cr0 & 1) === 0;
  // Real mode writes and reads through CS alike.
  if (isReal) state.set('segmentRights', 3, cs);
  const level = (vmcs.low(Cell.guestSsRights) >>> 5) & 3;
  state.set('cpl', (flags & flagVirtual8086) !== 0 ? 3 : level);
  state.setPair('gpr', vmcs.low(Cell.guestRsp), vmcs.high(Cell.guestRsp), 4);
  unit.nextLow = vmcs.low(Cell.guestRip);
  unit.nextHigh = vmcs.high(Cell.guestRip);
  loadBlocking(core);
  tagGuest(core);
  unit.switchContext(guest);
}

function guestEfer(core: VmxCore, cr0: number): number {
  const { vmcs, checks, host } = core;
  if ((checks.entry & Entry.loadEfer) !== 0) return vmcs.low(Cell.guestEfer);
  const isLong = (checks.entry & Entry.longMode) !== 0;
  const efer = (host.efer & ~0x400) | (isLong ? 0x400 : 0);
  if (cr0 >= 0) return efer;
  return (efer & ~0x100) | (isLong ? 0x100 : 0);
}

function loadSegment({ unit, vmcs }: VmxCore, segment: number): void {
  const at = 2 * segment;
  writeSegmentCache(
    unit.state,
    segment,
    vmcs.low(Cell.guestEsSelector + at),
    vmcs.low(Cell.guestEsBase + at),
    vmcs.high(Cell.guestEsBase + at),
    vmcs.low(Cell.guestEsLimit + at),
    vmcs.low(Cell.guestEsRights + at) & 0x1_f0ff,
  );
}

/** Interruptibility, activity, pending debug exceptions. */
function loadBlocking({ unit, vmcs, checks }: VmxCore): void {
  const { state, events } = unit;
  const blocking = vmcs.low(Cell.guestInterruptibility);
  state.set('interruptShadow', (blocking & 2) !== 0 ? 2 : blocking & 1);
  state.set('nmiBlocked', (blocking & 8) !== 0 ? 1 : 0);
  state.set('activity', activities[vmcs.low(Cell.guestActivity) & 3]);
  const pending = vmcs.low(Cell.guestPendingDebug);
  // Bits 3:0 alone wait for nobody: bit 12 says that one of them was enabled.
  if ((pending & 0x5000) !== 0) {
    events.debugBits = pending & 0x400f;
    events.pending |= EventSource.debugTrap;
  }
  if ((checks.primary & Primary.interruptWindow) !== 0) events.pending |= EventSource.interruptWindow;
  if ((checks.primary & Primary.nmiWindow) !== 0) events.pending |= EventSource.nmiWindow;
}

/** Second stage, PDPTEs and TLB tags. A guest that comes back as it was costs no new tag. */
function tagGuest(core: VmxCore): void {
  const { unit, vmcs, checks, guest, ept } = core;
  const vpid = (checks.secondary & Secondary.vpid) !== 0 ? vmcs.low(Cell.vpid) & 0xffff : 0;
  let isSame = guest.tlbContext >= 0 && guest.owner.owner === 'vmx' && guest.owner.vpidOrAsid === vpid;
  const { secondStage } = guest;
  const { rootPage, modeBasedExecute } = ept;
  setSecondStage(core);
  isSame &&= guest.secondStage === secondStage && ept.modeBasedExecute === modeBasedExecute;
  isSame &&= secondStage === null || (ept.rootPage === rootPage && guest.owner.eptpOrNcr3 === rootPage);
  guest.pdptesInMemory = false;
  if (isPaeGuest(checks, checks.entry) && guest.secondStage !== null)
    for (let i = 0; i < 8; i += 2) {
      guest.pdptes[i] = vmcs.low(Cell.guestPdpte0 + i);
      guest.pdptes[i + 1] = vmcs.high(Cell.guestPdpte0 + i);
    }
  const pcid = (guest.cr4 & 0x2_0000) !== 0 ? guest.cr3Low & 0xfff : 0;
  if (isSame && pcid === core.guestPcid) guest.update();
  else unit.mmu.enter(guest, { owner: 'vmx', vpidOrAsid: vpid });
  core.guestPcid = pcid;
}

/** Gives the guest's context its extended page tables, or none. */
export function setSecondStage(core: VmxCore): void {
  const { checks, guest, vmcs, ept } = core;
  if ((checks.secondary & Secondary.ept) === 0) {
    if (guest.secondStage !== null && ept.tlbContext >= 0) {
      core.unit.mmu.tlb.releaseContext(ept.tlbContext);
      ept.tlbContext = -1;
    }
    guest.secondStage = null;
    return;
  }
  setEptp(core, vmcs.low(Cell.eptPointer), vmcs.high(Cell.eptPointer));
  ept.modeBasedExecute = (checks.secondary & Secondary.modeBasedExecute) !== 0;
  guest.secondStage = ept;
}

/** Fields of an EPTP. */
export function setEptp({ ept }: VmxCore, low: number, high: number): void {
  ept.rootPage = pageOf(low, high & 0xfffff);
  ept.levels = ((low >>> 3) & 7) + 1;
  ept.accessedDirty = (low & 0x40) !== 0;
}

/** Saves the guest's registers (SDM vol. 3, 28.3). */
export function saveGuest(core: VmxCore): void {
  const { unit, vmcs, checks, guest, record } = core;
  const { state, events } = unit;
  const { exit, pin, secondary } = checks;
  vmcs.setPair(Cell.guestCr0, guest.cr0, 0);
  vmcs.setPair(Cell.guestCr3, guest.cr3Low, guest.cr3High);
  vmcs.setPair(Cell.guestCr4, guest.cr4, 0);
  if ((exit & Exit.saveDebug) !== 0) {
    vmcs.setPair(Cell.guestDr7, state.low('debug', debugPair), 0);
    vmcs.setPair(Cell.guestDebugControl, state.low('debugControl'), 0);
  }
  vmcs.setLow(Cell.guestSysenterCs, state.low('sysenterCs'));
  vmcs.setPair(Cell.guestSysenterEsp, state.low('sysenterEsp'), state.high('sysenterEsp'));
  vmcs.setPair(Cell.guestSysenterEip, state.low('sysenterEip'), state.high('sysenterEip'));
  if ((exit & Exit.savePat) !== 0) vmcs.setPair(Cell.guestPat, state.low('pat'), state.high('pat'));
  if ((exit & Exit.saveEfer) !== 0) vmcs.setPair(Cell.guestEfer, guest.efer, 0);
  if ((secondary & Secondary.unrestrictedGuest) !== 0) {
    const entry = checks.entry & ~Entry.longMode;
    vmcs.setLow(Cell.entryControls, entry | ((guest.efer & 0x400) !== 0 ? Entry.longMode : 0));
  }
  for (let segment = 0; segment < 8; segment++) saveSegment(core, segment);
  vmcs.setPair(Cell.guestGdtrBase, state.low('tableBase', 0), state.high('tableBase', 0));
  vmcs.setLow(Cell.guestGdtrLimit, state.get('tableLimit', 0));
  vmcs.setPair(Cell.guestIdtrBase, state.low('tableBase', 1), state.high('tableBase', 1));
  vmcs.setLow(Cell.guestIdtrLimit, state.get('tableLimit', 1));
  vmcs.setPair(Cell.guestRip, unit.ripLow, unit.ripHigh);
  vmcs.setPair(Cell.guestRsp, state.low('gpr', 4), state.high('gpr', 4));
  let flags = state.flags;
  if (record.resumeFlag === ResumeFlag.set) flags |= flagResume;
  else if (record.resumeFlag === ResumeFlag.clear) flags &= ~flagResume;
  vmcs.setPair(Cell.guestRflags, flags, 0);
  vmcs.setLow(Cell.guestActivity, activities[state.get('activity') & 3]);
  const shadow = state.get('interruptShadow');
  vmcs.setLow(Cell.guestInterruptibility, shadow | (state.get('nmiBlocked') !== 0 ? 8 : 0));
  const bits = events.debugBits & 0x400f;
  vmcs.setPair(Cell.guestPendingDebug, bits | ((bits & 15) !== 0 ? 0x1000 : 0), 0);
  if ((secondary & Secondary.ept) !== 0 && isPae(core))
    for (let i = 0; i < 8; i += 2) vmcs.setPair(Cell.guestPdpte0 + i, guest.pdptes[i], guest.pdptes[i + 1]);
  if ((pin & Pin.preemptionTimer) !== 0 && (exit & Exit.saveTimer) !== 0)
    vmcs.setLow(Cell.preemptionTimer, core.timer.remaining(unit));
}

function isPae({ guest }: VmxCore): boolean {
  return guest.cr0 < 0 && (guest.cr4 & 0x20) !== 0 && (guest.efer & 0x400) === 0;
}

function saveSegment({ unit, vmcs }: VmxCore, segment: number): void {
  const { state } = unit;
  const at = 2 * segment;
  vmcs.setLow(Cell.guestEsSelector + at, state.get('segmentSelector', segment));
  vmcs.setPair(Cell.guestEsBase + at, state.low('segmentBase', segment), state.high('segmentBase', segment));
  vmcs.setLow(Cell.guestEsLimit + at, state.get('segmentLimit', segment));
  let rights = state.get('segmentAttributes', segment) & 0x1_f0ff;
  // A stack segment that is not usable tells the privilege level all the same.
  if (segment === ss && (rights & unusable) !== 0) rights = (rights & ~0x60) | (state.get('cpl') << 5);
  vmcs.setLow(Cell.guestEsRights + at, rights);
}
