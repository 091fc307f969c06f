export { seededRandom } from './engine/absent-parts.ts';
export { Engine } from './engine/engine.ts';
export { type Divergence, divergenceText, Lockstep, type LockstepSide } from './engine/lockstep.ts';
export { EngineOptionError, type EngineOptions } from './engine/options.ts';
export {
  type ExceptionObserver,
  type InterruptSource,
  Processor,
  type ProcessorParts,
  type RunEnd,
} from './engine/processor.ts';
export { memoryHash, stateHash } from './engine/state-hash.ts';
export type { EngineStatistics, ProcessorStatistics } from './engine/statistics.ts';
export { type ProfileLine, profileOf, profileText } from './observation/profile.ts';
export { regionText } from './observation/region-text.ts';
export { Activity, Segment, type StateField } from './state/layout.ts';
export { type SegmentCache, setSegmentCache } from './state/segment-cache.ts';
export { VcpuState } from './state/vcpu-state.ts';
export { type Capabilities, capabilitiesOf } from './system/capabilities.ts';
export { resetState } from './system/reset.ts';
export type { CpuidSource, IoPorts, MsrSource, TaskPriority, TimeSource } from './system/unit.ts';
