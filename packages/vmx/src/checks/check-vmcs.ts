import type { VmxCapabilities } from '../capabilities/capabilities.ts';
import type { Vmcs } from '../vmcs/vmcs.ts';
import { checkControls } from './control-checks.ts';
import { EntryChecks, type EntryState, type Violation } from './findings.ts';
import { checkGuest } from './guest-checks.ts';
import { checkHost } from './host-checks.ts';

const plainState: EntryState = { isLongMode: true, readPhysical: () => -1 };

/**
 * All rules of VM entry that a VMCS breaks, in the manual's order (SDM vol. 3, 27.2 and 27.3). A processor looks at the groups one after the
 * other and stops behind the first in which something is wrong.
 *
 * @param state of the processor that would enter. Default: long mode, and memory that reads as ones
 */
export function checkVmcs(
  vmcs: Vmcs,
  capabilities: VmxCapabilities,
  state: EntryState = plainState,
): Violation[] {
  const checks = new EntryChecks(capabilities, state);
  const list: Violation[] = [];
  checks.list = list;
  checks.vmcs.words = vmcs.words;
  checks.vmcs.base = vmcs.base;
  checks.load();
  checkControls(checks);
  checkHost(checks);
  checkGuest(checks);
  return list;
}
