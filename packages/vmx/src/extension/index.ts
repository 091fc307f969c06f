export { type VmxState, VmxStateError } from './snapshot.ts';
export { VmxExtension } from './vmx-extension.ts';
