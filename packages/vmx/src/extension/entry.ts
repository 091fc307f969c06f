import { Fault, Translation } from '@nest86/mmu';
import { Pin, Primary, Secondary } from '../capabilities/controls.ts';
import { checkControls } from '../checks/control-checks.ts';
import { checkGuest, EntryFailure, isPaeGuest } from '../checks/guest-checks.ts';
import { checkHost } from '../checks/host-checks.ts';
import { ExitReason, InstructionError } from '../explain/exit-reasons.ts';
import { Cell, launchCell } from '../vmcs/fields.ts';
import type { VmxCore } from './core.ts';
import { failEntry } from './exit.ts';
import { loadGuest, setSecondStage } from './guest-state.ts';
import { loadMsrs } from './msr-lists.ts';
import { EventSource, Intercept } from './port.ts';

const out = new Translation();
/** Bits of an event's type for which an error code or a length is taken over. */
const [hardwareException, softwareInterrupt, otherEvent] = [3, 4, 7];

/**
 * VM entry behind the checks of the instruction itself (SDM vol. 3, ch. 27).
 *
 * @returns 0 when the guest runs or the entry has failed with an exit; else a VM-instruction error
 */
export function enterGuest(core: VmxCore, isLaunch: boolean): number {
  const { vmcs, checks, unit } = core;
  checks.load();
  checkControls(checks);
  if (checks.count > 0) return InstructionError.entryControls;
  checkHost(checks);
  if (checks.count > 0) return InstructionError.entryHost;
  checkGuest(checks);
  if (checks.count > 0) {
    failEntry(core, ExitReason.invalidGuestState, checks.qualification);
    return 0;
  }
  if (!pdptesLoad(core)) {
    failEntry(core, ExitReason.invalidGuestState, EntryFailure.pdptes);
    return 0;
  }
  const { state } = unit;
  core.hostPcid = (unit.context.cr4 & 0x2_0000) !== 0 ? unit.context.cr3Low & 0xfff : 0;
  loadGuest(core);
  const count = vmcs.low(Cell.entryMsrLoadCount);
  const list = Cell.entryMsrLoadAddress;
  const failed = loadMsrs(core, count, vmcs.low(list), vmcs.high(list));
  if (failed > 0) {
    failEntry(core, ExitReason.msrLoading, failed);
    return 0;
  }
  if (isLaunch) vmcs.setLow(launchCell, 1);
  core.entries++;
  setControls(core);
  const information = vmcs.low(Cell.entryInterruption);
  if (information < 0) inject(core, information);
  else if (state.get('activity') !== 0) unit.stop();
  if ((checks.pin & Pin.preemptionTimer) !== 0) core.timer.start(unit, vmcs.low(Cell.preemptionTimer));
  core.written();
  unit.stateLoaded();
  return 0;
}

/** A PAE guest without EPT has its PDPTEs in memory, at CR3 (SDM vol. 3, 27.3.1.6). */
function pdptesLoad(core: VmxCore): boolean {
  const { checks, guest, vmcs, unit } = core;
  if ((checks.secondary & Secondary.ept) !== 0 || !isPaeGuest(checks, checks.entry)) return true;
  guest.cr3Low = vmcs.low(Cell.guestCr3);
  guest.cr3High = vmcs.high(Cell.guestCr3);
  setSecondStage(core);
  return unit.mmu.walker.loadPdptes(guest, out) === Fault.none;
}

/** Event injection (SDM vol. 3, 27.6). */
function inject({ unit, vmcs }: VmxCore, information: number): void {
  const type = (information >>> 8) & 7;
  if (type === otherEvent) {
    unit.events.pending |= EventSource.monitorTrap;
    return;
  }
  const hasCode = type === hardwareException && (information & 0x800) !== 0;
  unit.events.inject({
    vector: information & 0xff,
    type,
    errorCode: hasCode ? vmcs.low(Cell.entryErrorCode) : -1,
    instructionLength: type >= softwareInterrupt ? vmcs.low(Cell.entryInstructionLength) : 0,
  });
}

/** What the processor is to ask about while this guest runs. */
export function setControls(core: VmxCore): void {
  const { controls, checks, vmcs } = core;
  const { pin, primary, secondary } = checks;
  controls.clear();
  controls.isGuest = true;
  controls.intercepts = interceptsOf(core);
  let exceptions = vmcs.low(Cell.exceptionBitmap) & ~4;
  // The page-fault error code's mask and match turn bit 14 around where they do not fit.
  const hasMatch = (vmcs.low(Cell.pageFaultMask) | vmcs.low(Cell.pageFaultMatch)) !== 0;
  if (hasMatch) exceptions |= 1 << 14;
  controls.exceptions = exceptions;
  let events: number = EventSource.init | EventSource.startup;
  if ((pin & Pin.nmi) !== 0) events |= EventSource.nmi;
  if ((pin & Pin.externalInterrupt) !== 0) {
    events |= EventSource.externalInterrupt;
    controls.interruptGate = openGate;
  }
  controls.events = events;
  if ((pin & Pin.virtualNmis) !== 0) controls.nmiGate = openGate;
  controls.monitorTrap = (primary & Primary.monitorTrap) !== 0;
  if ((primary & Primary.tscOffset) === 0) return;
  controls.tscOffsetLow = vmcs.low(Cell.tscOffset);
  controls.tscOffsetHigh = vmcs.high(Cell.tscOffset);
  if ((secondary & Secondary.tscScaling) === 0) return;
  controls.tscMultiplierLow = vmcs.low(Cell.tscMultiplier);
  controls.tscMultiplierHigh = vmcs.high(Cell.tscMultiplier);
}

/** `InterruptGate.open`. */
const openGate = 1;

/** With a primary control, a class of instructions. */
const byPrimary: readonly (readonly [control: number, intercept: number])[] = [
  [Primary.hlt, Intercept.halt],
  [Primary.invlpg, Intercept.invalidatePage],
  [Primary.mwait, Intercept.monitorWait],
  [Primary.rdpmc, Intercept.performanceCounter],
  [Primary.rdtsc, Intercept.timeStampCounter | Intercept.processorId | Intercept.timedWait],
  [Primary.cr3Load, Intercept.pageTableWrite],
  [Primary.cr3Store, Intercept.pageTableRead],
  [Primary.cr8Load, Intercept.taskPriorityWrite],
  [Primary.cr8Store, Intercept.taskPriorityRead],
  [Primary.tprShadow, Intercept.taskPriorityWrite | Intercept.taskPriorityRead],
  [Primary.movDr, Intercept.debugRegister],
  [Primary.unconditionalIo, Intercept.port],
  [Primary.ioBitmaps, Intercept.port],
  [Primary.monitor, Intercept.monitor],
  [Primary.pause, Intercept.pause],
];
const bySecondary: readonly (readonly [control: number, intercept: number])[] = [
  [Secondary.descriptorTable, Intercept.descriptorTable],
  [Secondary.wbinvd, Intercept.writeBackCaches],
  [Secondary.rdrand, Intercept.random],
  [Secondary.rdseed, Intercept.random],
  [Secondary.xsaves, Intercept.supervisorState],
];
/** Instructions that raise #UD without their control. */
const withoutSecondary: readonly (readonly [control: number, intercept: number])[] = [
  [Secondary.rdtscp, Intercept.processorId],
  [Secondary.invpcid, Intercept.invalidateContext],
  [Secondary.xsaves, Intercept.supervisorState],
  [Secondary.userWait, Intercept.timedWait],
];

function interceptsOf({ checks }: VmxCore): number {
  const { primary, secondary } = checks;
  let mask: number =
    Intercept.cpuid |
    Intercept.invalidateCaches |
    Intercept.extendedControl |
    Intercept.taskSwitch |
    Intercept.msr |
    Intercept.controlRead |
    Intercept.controlWrite;
  for (let i = 0; i < byPrimary.length; i++) if ((primary & byPrimary[i][0]) !== 0) mask |= byPrimary[i][1];
  for (let i = 0; i < bySecondary.length; i++)
    if ((secondary & bySecondary[i][0]) !== 0) mask |= bySecondary[i][1];
  for (let i = 0; i < withoutSecondary.length; i++)
    if ((secondary & withoutSecondary[i][0]) === 0) mask |= withoutSecondary[i][1];
  // INVLPG exiting goes for INVPCID, too.
  if ((primary & Primary.invlpg) !== 0) mask |= Intercept.invalidateContext;
  return mask;
}
