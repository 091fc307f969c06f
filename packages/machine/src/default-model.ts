import { CpuidModel } from '@nest86/cpuid';

/** Feature bits of a machine that was given no model: x86-64-v3 and what else works. Each is held to its promise by a test. */
export const defaultFeatures: readonly string[] = (
  'fpu vme de pse tsc msr pae cx8 sep pge cmov pat pse36 clflush mmx fxsr sse sse2 ' +
  'sse3 pclmulqdq ssse3 fma cx16 pcid sse4.1 sse4.2 movbe popcnt aes xsave avx f16c rdrand hypervisor ' +
  'fsgsbase bmi1 avx2 smep bmi2 erms invpcid rdseed adx smap clflushopt clwb sha-ni umip pku gfni vaes vpclmulqdq rdpid ' +
  'xsaveopt xsavec xgetbv1 xsaves syscall nx pdpe1gb rdtscp lm lahf-lm abm 3dnowprefetch'
).split(' ');

/** The default model, with features added or taken away. @throws CpuidFeatureError for a name that does not exist */
export function defaultModel(changes: Iterable<readonly [feature: string, isOn: boolean]> = []): CpuidModel {
  const features = new Set(defaultFeatures);
  const taken: string[] = [];
  for (const [feature, isOn] of changes) {
    if (isOn) features.add(feature);
    else if (!features.delete(feature)) taken.push(feature);
  }
  // A name that is taken away without being there may be misspelt.
  if (taken.length > 0) new CpuidModel({ features: taken });
  return new CpuidModel({ features });
}
