import { DeliveryStage, EventType } from '@nest86/cpu/virtualization';
import { type Npt, PagingContext, PagingMode, Translation } from '@nest86/mmu';
import { EventField } from '../vmcb/bits.ts';
import { firstViolation, type SvmHostState } from '../vmcb/check.ts';
import { ExitCode } from '../vmcb/exit-codes.ts';
import { vmcbOffset } from '../vmcb/layout.ts';
import type { Vmcb } from '../vmcb/vmcb.ts';
import { loadContext, loadRegisters, storeRegisters } from './registers.ts';
import type { SvmExtension } from './svm-extension.ts';

const at = vmcbOffset;
const cr0Paging = -0x8000_0000;
const eferLma = 0x400;
/** Of the host's CR4, what decides how nested page tables look and what their faults tell: PSE PAE LA57 SMEP. */
const nestedCr4 = 0x10_1030;
const pcide = 0x2_0000;
/** Values of TLB_CONTROL. */
const TlbControl = { none: 0, all: 1, asid: 3, asidNonGlobal: 7 } as const;

const translation = new Translation();
const bytes = new Uint8Array(16);

/** The guest's address space, and the tag that it has in the TLB. */
export class GuestSpace {
  readonly context: PagingContext = new PagingContext();
  readonly npt: Npt = { kind: 'npt', paging: new PagingContext(), tlbContext: -1 };
  /** What the context's tag was made of; -1: nothing. */
  asid = -1;
  pcid = 0;
  isNested = false;
  /** The host's PAT while the guest has its own. */
  patLow = 0;
  patHigh = 0;
}

const hostState = { hasPaging: false, isLongMode: false };

function describeHost({ cr0, efer }: PagingContext): SvmHostState {
  hostState.hasPaging = (cr0 & cr0Paging) !== 0;
  hostState.isLongMode = (efer & eferLma) !== 0;
  return hostState;
}

/** VMRUN, once its operand is known (APM vol. 2, 15.5.1). @param vmcbAt offset of the VMCB in the memory's buffer */
export function enterGuest(svm: SvmExtension, vmcbAt: number): void {
  const { unit, host, space, controls, capabilities, features } = svm;
  const { mmu, state } = unit;
  svm.vmcbAt = vmcbAt;
  const vmcb = svm.view();
  host.save(unit);
  const violation = firstViolation(vmcb, capabilities, describeHost(unit.context));
  if (violation !== undefined || !prepareSpace(svm, vmcb)) {
    refuse(svm, vmcb);
    return;
  }
  mmu.servePending();
  flush(svm, vmcb);
  const { context } = space;
  unit.switchContext(context);
  loadRegisters(unit, vmcb, context);
  if (space.isNested) {
    space.patLow = state.low('pat');
    space.patHigh = state.high('pat');
    state.setPair('pat', vmcb.low(at.guestPat), vmcb.high(at.guestPat));
  }
  state.set('interruptShadow', vmcb.low(at.interruptShadow) & 1);
  svm.isOpen = true;
  svm.virtual = vmcb.low(at.virtualInterrupt);
  svm.pauses.load(vmcb);
  controls.isGuest = true;
  svm.controlsChanged();
  inject(svm, vmcb, features.nripSave);
  svm.offerVirtualInterrupt();
  unit.stateLoaded();
}

/** Control registers, second stage and tag. @returns false if PDPTEs are not allowed */
function prepareSpace(svm: SvmExtension, vmcb: Vmcb): boolean {
  const { unit, space, features } = svm;
  const { mmu } = unit;
  const { context, npt } = space;
  const isNested = features.npt && (vmcb.low(at.nestedControl) & 1) !== 0;
  loadContext(vmcb, context);
  context.secondStage = isNested ? npt : null;
  context.pdptesInMemory = isNested;
  if (isNested) {
    const { paging } = npt;
    paging.cr0 = unit.context.cr0;
    paging.cr4 = unit.context.cr4 & nestedCr4;
    paging.efer = unit.context.efer;
    paging.cr3Low = vmcb.low(at.nestedCr3);
    paging.cr3High = vmcb.high(at.nestedCr3);
    paging.update();
  }
  context.update();
  if (!isNested && context.mode === PagingMode.pae && mmu.walker.loadPdptes(context, translation) !== 0)
    return false;
  const asid = vmcb.low(at.asid) >>> 0;
  const pcid = pcidOf(context);
  if (asid !== space.asid || pcid !== space.pcid || isNested !== space.isNested) {
    mmu.enter(context, { owner: 'svm', vpidOrAsid: asid, stage: isNested ? 'combined' : 'linear' });
    space.asid = asid;
    space.pcid = pcid;
    space.isNested = isNested;
  }
  return true;
}

function pcidOf({ cr3Low, cr4 }: PagingContext): number {
  return (cr4 & pcide) !== 0 ? cr3Low & 0xfff : 0;
}

/** TLB_CONTROL (S4-62): no value makes VMRUN fail; reserved ones flush the ASID. */
function flush({ unit, features }: SvmExtension, vmcb: Vmcb): void {
  const control = vmcb.low(at.tlbControl) & 0xff;
  if (control === TlbControl.none) return;
  const asid = vmcb.low(at.asid) >>> 0;
  const { tlb } = unit.mmu;
  if (control === TlbControl.all) tlb.tlbControl('all', asid);
  else if (control === TlbControl.asidNonGlobal && features.flushByAsid)
    tlb.tlbControl('asidNonGlobal', asid);
  else tlb.tlbControl('asid', asid);
}

/** EVENTINJ (15.20). */
function inject({ unit }: SvmExtension, vmcb: Vmcb, hasNextRip: boolean): void {
  const event = vmcb.low(at.eventInjection);
  if ((event & EventField.valid) === 0) return;
  const vector = event & 0xff;
  let type = (event >> 8) & 7;
  // #BP and #OF are those of INT3 and INTO: they and INT n return behind the instruction, where the VMCB says that it ends.
  if (type === EventType.hardwareException && (vector === 3 || vector === 4) && hasNextRip)
    type = EventType.softwareException;
  const isSoftware = type === EventType.softwareInterrupt || type === EventType.softwareException;
  unit.events.inject({
    vector,
    type,
    errorCode: (event & EventField.errorValid) !== 0 ? vmcb.high(at.eventInjection) >>> 0 : -1,
    instructionLength: isSoftware && hasNextRip ? (vmcb.low(at.nextRip) - vmcb.low(at.rip)) >>> 0 : 0,
  });
}

/** #VMEXIT(INVALID): no guest ran. */
function refuse(svm: SvmExtension, vmcb: Vmcb): void {
  const { exit, unit, host } = svm;
  exit.set(ExitCode.invalid);
  svm.exits.set(exit.code, (svm.exits.get(exit.code) ?? 0) + 1);
  storeExit(svm, vmcb);
  host.load(unit);
  svm.isOpen = false;
  svm.controlsChanged();
  unit.breakpointsChanged();
}

/** EXITINTINFO is the event whose delivery was cut short. */
function storeExit({ exit, unit, features, vmcbAt }: SvmExtension, vmcb: Vmcb): void {
  const { delivery, mmu } = unit;
  exit.store(vmcb, features.nripSave);
  if (delivery.stage === DeliveryStage.none || exit.code === ExitCode.invalid)
    vmcb.setPair(at.exitIntInfo, 0, 0);
  else {
    const hasError = delivery.errorCode >= 0;
    // INT3, INTO and INT1 are exceptions here.
    const type = delivery.type > EventType.softwareInterrupt ? EventType.hardwareException : delivery.type;
    const event = EventField.valid | (type << 8) | delivery.vector;
    vmcb.setPair(
      at.exitIntInfo,
      hasError ? event | EventField.errorValid : event,
      hasError ? delivery.errorCode : 0,
    );
  }
  vmcb.setPair(at.eventInjection, 0, 0);
  mmu.memory.written(vmcbAt, 0x698);
}

/** #VMEXIT (15.6). */
export function leaveGuest(svm: SvmExtension): void {
  const { unit, host, space, controls, exit, features } = svm;
  const { state } = unit;
  const vmcb = svm.view();
  if (exit.debugBits !== 0) state.setPair('debug', (state.low('debug', 6) & ~15) | exit.debugBits, 0, 6);
  if (features.decodeAssists) {
    bytes.fill(0);
    if (exit.takesBytes) bytes[15] = unit.instructionBytes(bytes);
    storeBytes(vmcb);
  }
  storeRegisters(unit, vmcb, space.context);
  vmcb.setPair(at.interruptShadow, state.get('interruptShadow') !== 0 ? 1 : 0, 0);
  vmcb.setWord(at.virtualInterrupt, svm.virtual);
  if (space.isNested) {
    vmcb.setPair(at.guestPat, state.low('pat'), state.high('pat'));
    state.setPair('pat', space.patLow, space.patHigh);
  }
  storeExit(svm, vmcb);
  // The guest may have changed its PCID.
  space.pcid = pcidOf(space.context);
  state.set('interruptShadow', 0);
  host.load(unit);
  if (host.context !== undefined) unit.switchContext(host.context);
  controls.clear();
  svm.isOpen = false;
  svm.controlsChanged();
}

/** Count and bytes: offset 0D0h on. */
function storeBytes(vmcb: Vmcb): void {
  const count = bytes[15];
  let word = count;
  for (let i = 0; i < 15; i++) {
    const place = (i + 1) & 3;
    if (place === 0) word = 0;
    word |= bytes[i] << (8 * place);
    if (place === 3) vmcb.setWord(at.fetchedCount + (i + 1 - 3), word);
  }
}
