import { type VirtualizationUnit, writeSegmentCache } from '@nest86/cpu/virtualization';
import { Fault, Translation } from '@nest86/mmu';
import { Exit } from '../capabilities/controls.ts';
import { Cell } from '../vmcs/fields.ts';
import type { VmxCore } from './core.ts';

const unusable = 0x1_0000;
const [es, cs, ss, ds, fs, gs, ldtr, tr] = [0, 1, 2, 3, 4, 5, 6, 7];
/** CR0 bits that an exit does not load: ET, CD, NW, 28:19, 17, 15:6 (SDM vol. 3, 28.5.1). */
const cr0Kept = 0x7ffa_ffd0;
const cr4Pae = 0x20;
const cr4Pcide = 0x2_0000;
const out = new Translation();

/**
 * Loads the processor's own registers (SDM vol. 3, 28.5), but for the MSR list. The context is the host's afterwards.
 *
 * @returns false if PDPTEs could not be loaded: a VMX abort
 */
export function loadHost(core: VmxCore): boolean {
  const { unit, vmcs, checks, host } = core;
  const { state } = unit;
  const { exit } = checks;
  const isLong = (exit & Exit.hostLongMode) !== 0;
  host.cr0 = (vmcs.low(Cell.hostCr0) & ~cr0Kept) | (unit.context.cr0 & cr0Kept);
  host.cr3Low = vmcs.low(Cell.hostCr3);
  host.cr3High = vmcs.high(Cell.hostCr3);
  const cr4 = vmcs.low(Cell.hostCr4);
  host.cr4 = isLong ? cr4 | cr4Pae : cr4 & ~cr4Pcide;
  if ((exit & Exit.loadEfer) !== 0) host.efer = vmcs.low(Cell.hostEfer);
  else host.efer = (unit.context.efer & ~0x500) | (isLong ? 0x500 : 0);
  host.pkrs = unit.context.pkrs;
  state.setPair('debug', 0x400, 0, 7);
  state.setPair('debugControl', 0, 0);
  state.setPair('sysenterCs', vmcs.low(Cell.hostSysenterCs), 0);
  state.setPair('sysenterEsp', vmcs.low(Cell.hostSysenterEsp), vmcs.high(Cell.hostSysenterEsp));
  state.setPair('sysenterEip', vmcs.low(Cell.hostSysenterEip), vmcs.high(Cell.hostSysenterEip));
  if ((exit & Exit.loadPat) !== 0) state.setPair('pat', vmcs.low(Cell.hostPat), vmcs.high(Cell.hostPat));
  loadSegments(core, isLong);
  state.setPair('tableBase', vmcs.low(Cell.hostGdtrBase), vmcs.high(Cell.hostGdtrBase), 0);
  state.set('tableLimit', 0xffff, 0);
  state.setPair('tableBase', vmcs.low(Cell.hostIdtrBase), vmcs.high(Cell.hostIdtrBase), 1);
  state.set('tableLimit', 0xffff, 1);
  state.flags = 2;
  state.set('cpl', 0);
  state.set('interruptShadow', 0);
  state.set('activity', 0);
  state.setPair('gpr', vmcs.low(Cell.hostRsp), isLong ? vmcs.high(Cell.hostRsp) : 0, 4);
  unit.nextLow = vmcs.low(Cell.hostRip);
  unit.nextHigh = isLong ? vmcs.high(Cell.hostRip) : 0;
  const pcid = (host.cr4 & cr4Pcide) !== 0 ? host.cr3Low & 0xfff : 0;
  if (pcid === core.hostPcid && host.tlbContext >= 0) host.update();
  else unit.mmu.enter(host);
  core.hostPcid = pcid;
  if (unit.context !== host) unit.switchContext(host);
  if (isLong || (host.cr4 & cr4Pae) === 0) return true;
  return unit.mmu.walker.loadPdptes(host, out) === Fault.none;
}

/** A flat data segment; one with a null selector is not usable. */
function loadData(
  state: VirtualizationUnit['state'],
  segment: number,
  selector: number,
  low: number,
  high: number,
): void {
  const isNull = (selector & 0xffff) === 0;
  writeSegmentCache(state, segment, selector, low, high, -1, isNull ? 0xc093 | unusable : 0xc093);
}

/** SDM vol. 3, 28.5.2. */
function loadSegments({ unit, vmcs }: VmxCore, isLong: boolean): void {
  const { state } = unit;
  writeSegmentCache(state, cs, vmcs.low(Cell.hostCsSelector), 0, 0, -1, isLong ? 0xa09b : 0xc09b);
  loadData(state, es, vmcs.low(Cell.hostEsSelector), 0, 0);
  loadData(state, ss, vmcs.low(Cell.hostSsSelector), 0, 0);
  loadData(state, ds, vmcs.low(Cell.hostDsSelector), 0, 0);
  loadData(state, fs, vmcs.low(Cell.hostFsSelector), vmcs.low(Cell.hostFsBase), vmcs.high(Cell.hostFsBase));
  loadData(state, gs, vmcs.low(Cell.hostGsSelector), vmcs.low(Cell.hostGsBase), vmcs.high(Cell.hostGsBase));
  writeSegmentCache(state, ldtr, 0, 0, 0, 0, unusable);
  writeSegmentCache(
    state,
    tr,
    vmcs.low(Cell.hostTrSelector),
    vmcs.low(Cell.hostTrBase),
    vmcs.high(Cell.hostTrBase),
    0x67,
    0x8b,
  );
}
