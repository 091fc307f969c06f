import { DeliveryStage, EventType } from '@nest86/cpu/virtualization';
import { Pin } from '../capabilities/controls.ts';
import { ExitReason } from '../explain/exit-reasons.ts';
import { abortCell, Cell } from '../vmcs/fields.ts';
import type { VmxCore } from './core.ts';
import { saveGuest } from './guest-state.ts';
import { loadHost } from './host-state.ts';
import { loadMsrs, storeMsrs } from './msr-lists.ts';

const entryFailed = 0x8000_0000 | 0;
/** VMX-abort indicators (SDM vol. 3, 28.7). */
const Abort = { storeMsrs: 1, pdptes: 2, loadMsrs: 4 } as const;
const valid = 0x8000_0000 | 0;

/** Leaves the guest for the reason in the record (SDM vol. 3, ch. 28). */
export function leaveGuest(core: VmxCore): void {
  const { unit, vmcs, checks, record } = core;
  core.select(core.currentPage);
  checks.load();
  core.exits[record.reason]++;
  writeInformation(core);
  saveGuest(core);
  core.timer.stop();
  const isNmi =
    record.reason === ExitReason.exceptionOrNmi &&
    ((record.interruption >>> 8) & 7) === EventType.nonMaskable;
  // `nmiBlocked` was that of virtual NMIs, if there are any.
  const hasVirtualNmis = (checks.pin & Pin.virtualNmis) !== 0;
  const isBlocked = !hasVirtualNmis && unit.state.get('nmiBlocked') !== 0;
  const count = vmcs.low(Cell.exitMsrStoreCount);
  if (storeMsrs(core, count, vmcs.low(Cell.exitMsrStoreAddress), vmcs.high(Cell.exitMsrStoreAddress)) > 0)
    abort(core, Abort.storeMsrs);
  toHost(core);
  unit.state.set('nmiBlocked', isNmi || isBlocked ? 1 : 0);
  core.written();
}

/** An entry that fails behind the checks of control and host fields: no guest state is saved (SDM vol. 3, 27.8). */
export function failEntry(core: VmxCore, reason: number, qualification: number): void {
  const { unit, vmcs } = core;
  const { events } = unit;
  core.exits[reason]++;
  vmcs.setLow(Cell.exitReason, reason | entryFailed);
  vmcs.setPair(Cell.exitQualification, qualification, 0);
  events.pending &= ~ownPending;
  events.debugBits = 0;
  events.isInjecting = false;
  toHost(core);
  core.written();
  unit.stateLoaded();
}

/** What an entry may have latched before it failed: windows and debug traps. */
const ownPending = 0x540;

function toHost(core: VmxCore): void {
  const { vmcs } = core;
  const isLoaded = loadHost(core);
  core.holdRoot();
  if (!isLoaded) abort(core, Abort.pdptes);
  const count = vmcs.low(Cell.exitMsrLoadCount);
  if (loadMsrs(core, count, vmcs.low(Cell.exitMsrLoadAddress), vmcs.high(Cell.exitMsrLoadAddress)) > 0)
    abort(core, Abort.loadMsrs);
}

/** A VMX abort: the indicator is written, and the processor shut down. */
function abort({ unit, vmcs }: VmxCore, indicator: number): void {
  vmcs.setLow(abortCell, indicator);
  unit.shutDown();
}

/** The exit-information fields (SDM vol. 3, 28.2). */
function writeInformation(core: VmxCore): void {
  const { unit, vmcs, record, checks } = core;
  const { delivery } = unit;
  vmcs.setLow(Cell.exitReason, record.reason);
  vmcs.setPair(Cell.exitQualification, record.qualificationLow, record.qualificationHigh);
  vmcs.setPair(Cell.guestLinearAddress, record.linearLow, record.linearHigh);
  vmcs.setPair(Cell.guestPhysicalAddress, record.guestPhysicalLow, record.guestPhysicalHigh);
  vmcs.setLow(Cell.exitInterruption, record.interruption);
  vmcs.setLow(Cell.exitErrorCode, record.errorCode);
  vmcs.setLow(Cell.exitInstructionInformation, record.instructionInformation);
  let vectoring = 0;
  let length = record.instructionLength;
  if (delivery.stage !== DeliveryStage.none && record.reason !== ExitReason.tripleFault) {
    vectoring = valid | (delivery.type << 8) | delivery.vector;
    if (delivery.errorCode >= 0) {
      vectoring |= 0x800;
      vmcs.setLow(Cell.idtVectoringErrorCode, delivery.errorCode);
    }
    // Software events return behind their instruction.
    if (delivery.type >= EventType.softwareInterrupt) length = delivery.instructionLength;
    // An NMI that was not delivered does not block others (28.2.4 and 28.3.3.4).
    if (delivery.type === EventType.nonMaskable && (checks.pin & Pin.nmi) !== 0)
      unit.state.set('nmiBlocked', (checks.pin & Pin.virtualNmis) !== 0 ? 1 : 0);
  }
  vmcs.setLow(Cell.idtVectoring, vectoring);
  vmcs.setLow(Cell.exitInstructionLength, length);
  vmcs.setLow(Cell.entryInterruption, vmcs.low(Cell.entryInterruption) & ~valid);
}
