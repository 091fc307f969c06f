export { type FeatureBit, featureBits, Register } from './features.ts';
export {
  CpuidFeatureError,
  CpuidModel,
  type CpuidModelInit,
  CpuidOptionError,
  type DynamicBits,
} from './model.ts';
