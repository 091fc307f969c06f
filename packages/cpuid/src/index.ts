export { type FeatureBit, featureBits, Register } from './features.ts';
export { CpuidFeatureError, CpuidModel, type CpuidModelInit, type DynamicBits } from './model.ts';
