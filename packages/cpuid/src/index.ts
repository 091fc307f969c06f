export { featureNeeds, type MissingNeed } from './dependencies.ts';
export { cpuidEntries } from './entries.ts';
export { CpuidFeatureError, CpuidOptionError } from './errors.ts';
export { type FeatureBit, featureBits, featuresIn, type LeafRow, Register } from './features.ts';
export {
  CpuidModel,
  type CpuidModelInit,
  type DynamicBits,
  type Frequencies,
  type HypervisorRange,
} from './model.ts';
export type { CpuModelData } from './models/model-data.ts';
export { cpuModels, type ModelRequest, type ResolvedModel, resolveModel } from './resolve.ts';
export { Topology, type TopologyInit } from './topology.ts';
