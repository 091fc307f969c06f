import { Exception } from '../semantics/operation.ts';
import { guestFault } from './fault.ts';
import type { SystemUnit } from './unit.ts';

/** Privileged instructions (SDM vol. 3, 5.9): #GP(0) unless CPL is 0. In virtual-8086 mode it is 3, in real-address mode 0. */
export function requireLevel0(unit: SystemUnit): void {
  if (unit.state.get('cpl') !== 0) throw guestFault(Exception.generalProtection, 0);
}

const cr0Em = 1 << 2;
const cr0Ts = 1 << 3;

/** x87 and FXSAVE: #NM while they are emulated (CR0.EM) or the registers hold another task's state (CR0.TS) (SDM vol. 3, 2.5). */
export function requireFpu(unit: SystemUnit): void {
  if ((unit.context.cr0 & (cr0Em | cr0Ts)) !== 0) throw guestFault(Exception.deviceNotAvailable);
}
