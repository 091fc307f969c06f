export {
  VmxCapabilities,
  type VmxCapabilityOptions,
  type VmxFeatures,
  VmxMsr,
  VmxOptionError,
} from './capabilities/capabilities.ts';
export {
  type Control,
  type ControlWord,
  Entry,
  Exit,
  Pin,
  Primary,
  Secondary,
  vmxControls,
} from './capabilities/controls.ts';
export { checkVmcs } from './checks/check-vmcs.ts';
export type { EntryState, Violation } from './checks/findings.ts';
export {
  ExitReason,
  exitReasonText,
  InstructionError,
  instructionErrorText,
} from './explain/exit-reasons.ts';
export { type ExitInformation, explainExit, explainInterruption } from './explain/explain.ts';
export { FieldKind, FieldWidth, type VmcsField, vmcsFields } from './vmcs/fields.ts';
export {
  buildVmcs,
  encodingOf,
  fieldNamed,
  parseVmcs,
  Vmcs,
  VmcsImageError,
  type VmcsValues,
  vmcsRevision,
} from './vmcs/vmcs.ts';
