import { Secondary } from '../capabilities/controls.ts';
import { Cell } from '../vmcs/fields.ts';
import type { VmxCore } from './core.ts';
import { setControls } from './entry.ts';
import { setSecondStage } from './guest-state.ts';

/** Snapshot of VMX of one processor. VMCSs lie in the guest's RAM. Pages are numbers, −1 for none. */
export interface VmxState {
  readonly version: 1;
  readonly isOn: boolean;
  readonly vmxonPage: number;
  readonly currentPage: number;
  readonly isGuest: boolean;
  /** Preemption timer: value of the time stamp counter, over its rate, at which it ends, −1: it is off; count of retired instructions to look at it. */
  readonly timerEnd: number;
  readonly timerDeadline: number;
}

/** A snapshot that is not one of this version. */
export class VmxStateError extends Error {
  override readonly name: string = 'VmxStateError';
}

export function saveVmx({ isOn, vmxonPage, currentPage, controls, timer }: VmxCore): VmxState {
  const { isGuest } = controls;
  return { version: 1, isOn, vmxonPage, currentPage, isGuest, ...timer.save() };
}

/** To be called when RAM has been restored, and before the processor is: its registers go to the context that this chooses. */
export function restoreVmx(core: VmxCore, saved: VmxState): void {
  if (saved.version !== 1) throw new VmxStateError(`VMX state of version ${saved.version}: 1 is understood`);
  const { unit, checks, guest, host, vmcs } = core;
  core.isOn = saved.isOn;
  core.vmxonPage = saved.vmxonPage;
  core.currentPage = saved.currentPage;
  core.timer.stop();
  if (unit.context !== host) unit.switchContext(host);
  core.holdRoot();
  if (!saved.isGuest) return;
  core.select(core.currentPage);
  checks.load();
  const hasVpid = (checks.secondary & Secondary.vpid) !== 0;
  setSecondStage(core);
  unit.mmu.enter(guest, { owner: 'vmx', vpidOrAsid: hasVpid ? vmcs.low(Cell.vpid) & 0xffff : 0 });
  // The tags that this interned are not those of the restored registers: the next entry looks anew.
  core.guestPcid = -1;
  core.hostPcid = -1;
  unit.switchContext(guest);
  setControls(core);
  core.timer.restore(saved.timerEnd, saved.timerDeadline);
}
