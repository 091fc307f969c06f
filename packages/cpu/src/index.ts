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
export { type SegmentCache, setSegmentCache } from './state/segment-cache.ts';
export { VcpuState } from './state/vcpu-state.ts';
export { type Capabilities, capabilitiesOf } from './system/capabilities.ts';
export { GuestFault, guestFault } from './system/fault.ts';
export { resetState } from './system/reset.ts';
export type {
  CpuidSource,
  IoPorts,
  LinearMemory,
  MsrSource,
  SystemUnit,
  TaskPriority,
  TimeSource,
} from './system/unit.ts';
