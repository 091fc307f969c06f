export { EventField, Intercept1, Intercept2, Intercept3, VirtualInterrupt } from './vmcb/bits.ts';
export {
  checkVmcb,
  firstViolation,
  type SvmCapabilities,
  type SvmHostState,
  type Violation,
} from './vmcb/check.ts';
export { ExitCode, exitName } from './vmcb/exit-codes.ts';
export { eventText, exitOf, explainExit, explainVmcb, interceptsIn, type SvmExit } from './vmcb/explain.ts';
export { type VmcbField, type VmcbFieldName, vmcbFields, vmcbOffset, vmcbSize } from './vmcb/layout.ts';
export { buildVmcb, parseVmcb, Vmcb, type VmcbValues, vmcbOf } from './vmcb/vmcb.ts';
