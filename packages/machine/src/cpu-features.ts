import {
  type CpuidModel,
  type CpuModelData,
  cpuModels,
  type ModelRequest,
  resolveModel,
} from '@nest86/cpuid';
import { svmFeatureNames } from '@nest86/svm/extension';
import { defaultFeatures } from './default-model.ts';

/*
 * What can be had of a processor (design, 6: a bit of CPUID is a promise). Each name is held to it by a test: packages/machine/test/cpuid-promise.test.ts and
 * packages/machine/test/msr.test.ts.
 */

const words = (text: string): readonly string[] => text.split(' ');

/** What the engine can beside the default features; models have some of it. */
export const furtherEngineFeatures: readonly string[] = words(
  'sse4a mmxext cr8legacy movdiri serialize fsrm cldemote wbnoinvd zero-fcs-fds null-sel-clr-base lfence-always-serializing pks',
);

/** What a machine with local APICs, and with the MSRs of `MachineMsrs`, has beside what the engine can. */
export const boardFeatures: readonly string[] = words(
  'mce apic mtrr mca x2apic tsc-deadline arat tsc-adjust invtsc ss topoext ' +
    // Mitigations of what speculation leaks: there is none, so what these promise is kept.
    'arch-capabilities spec-ctrl stibp ssbd md-clear flush-l1d ' +
    'ibpb ibrs amd-stibp amd-ssbd amd-ssb-no ibrs-preferred ibrs-same-mode stibp-always-on auto-ibrs btc-no ibpb-ret sbpb ibpb-brtype ' +
    'srso-no tsa-sq-no tsa-l1-no',
);

/** They work, but a guest that has them waits by MWAIT, which only gives others their turn: it never sleeps as it does with HLT. */
export const featuresOnRequest: readonly string[] = words('monitor monitorx');

/** For a machine that is nothing but engine and memory. */
export const bareRequest: Pick<ModelRequest, 'available' | 'onRequest'> = {
  available: [...defaultFeatures, ...furtherEngineFeatures],
  onRequest: featuresOnRequest,
};

/** For a machine with local APICs and the MSRs of `MachineMsrs`. */
export const boardRequest: Pick<ModelRequest, 'available' | 'onRequest'> = {
  available: [...defaultFeatures, ...furtherEngineFeatures, ...boardFeatures],
  onRequest: [...featuresOnRequest, 'waitpkg', 'vmx', ...svmFeatureNames],
};

const generic = cpuModels.get('x86-64-v3') as CpuModelData;

/** Everything that works, of whatever vendor it is. */
export const maxModel: CpuModelData = {
  ...generic,
  name: 'max',
  description: 'all that works here, in no processor together',
  features: [
    ...new Set([
      ...generic.features,
      ...defaultFeatures,
      'movdiri',
      'serialize',
      'cldemote',
      'zero-fcs-fds',
      'pks',
    ]),
  ],
};

/** Names that can be asked for; the first is what a machine has that was given none. */
export const modelNames: readonly string[] = [
  'x86-64-v3',
  ...[...cpuModels.keys()].filter((name) => name !== 'x86-64-v3'),
  'max',
];

/** A model by its name; `default` is `x86-64-v3`. */
export function findModel(name: string): CpuModelData | undefined {
  return name === 'max' ? maxModel : cpuModels.get(name === 'default' ? 'x86-64-v3' : name);
}

/** The default model of a machine with so many processors: x86-64-v3. */
export function boardModel(processors: number = 1): CpuidModel {
  return resolveModel(generic, { ...boardRequest, topology: { cores: processors } }).model;
}
