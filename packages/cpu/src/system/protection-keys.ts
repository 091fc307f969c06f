import { Exception } from '../semantics/operation.ts';
import { guestFault } from './fault.ts';
import type { Service, Services, SystemUnit } from './unit.ts';

// PKRU (SDM vol. 2, RDPKRU, WRPKRU; vol. 3, 4.6.2). PKRU is the memory unit's.

const cr4Pke = 1 << 22;
const rax = 0;
const rcx = 1;
const rdx = 2;

function requireKeys(unit: SystemUnit): void {
  if ((unit.context.cr4 & cr4Pke) === 0) throw guestFault(Exception.invalidOpcode);
  if (unit.state.low('gpr', rcx) !== 0) throw guestFault(Exception.generalProtection, 0);
}

const rdpkru: Service = (unit) => {
  requireKeys(unit);
  unit.state.setPair('gpr', unit.context.pkru, 0, rax);
  unit.state.setPair('gpr', 0, 0, rdx);
};

const wrpkru: Service = (unit) => {
  requireKeys(unit);
  if (unit.state.low('gpr', rdx) !== 0) throw guestFault(Exception.generalProtection, 0);
  unit.context.pkru = unit.state.low('gpr', rax);
  unit.contextChanged();
};

export const protectionKeyServices: Services = { RDPKRU: rdpkru, WRPKRU: wrpkru };
