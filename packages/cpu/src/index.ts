export { Engine, type EngineOptions } from './engine/engine.ts';
export {
  type ExceptionObserver,
  type InterruptSource,
  Processor,
  type ProcessorParts,
  type RunEnd,
} from './engine/processor.ts';
export { memoryHash, stateHash } from './engine/state-hash.ts';
export { Activity, Segment, type StateField, stateOffset } from './state/layout.ts';
export { VcpuState } from './state/vcpu-state.ts';
export { type Capabilities, capabilitiesOf } from './system/capabilities.ts';
export { GuestFault, guestFault } from './system/fault.ts';
export { resetState, type SegmentCache, setSegmentCache } from './system/reset.ts';
export type {
  CpuidSource,
  IoPorts,
  LinearMemory,
  MsrSource,
  SystemUnit,
  TaskPriority,
  TimeSource,
} from './system/unit.ts';
