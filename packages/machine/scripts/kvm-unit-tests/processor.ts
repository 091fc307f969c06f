import type { CpuidModel, CpuModelData } from '@nest86/cpuid';
import { featureBits, resolveModel } from '@nest86/cpuid';
import { svmFeatureNames } from '@nest86/svm/extension';
import { boardRequest, findModel } from '../../src/index.ts';

/** Our model for QEMU's: the nearest. */
const models: Readonly<Record<string, string>> = {
  max: 'max',
  host: 'max',
  qemu64: 'x86-64-v2',
  IvyBridge: 'x86-64-v3',
  Opteron_G1: 'zen2',
};

/** What is no feature's name and changes nothing here. */
const ignored: readonly string[] = ['host-phys-bits', 'migratable'];

/**
 * The processor that QEMU's `-cpu` asks for, as far as it can be had: MODEL, `+feature`, `-feature`, `vendor=`, `phys-bits=`.
 *
 * @param extra more of the same, behind it
 * @returns also features that were asked for and cannot be had
 */
export function processorOf(
  text: string | undefined,
  processors: number,
  extra = '',
): { readonly model: CpuidModel; readonly missing: readonly string[] } {
  const [head, ...parts] = `${text ?? 'max'}${extra}`.split(',');
  const found = findModel(models[head] ?? head);
  if (found === undefined) throw new Error(`-cpu ${head}: there is no model for it`);
  let data: CpuModelData = found;
  let physicalBits: number | undefined;
  const changes: [feature: string, isOn: boolean][] = [];
  const missing: string[] = [];
  const available = new Set([...(boardRequest.available ?? []), ...(boardRequest.onRequest ?? [])]);
  for (const part of parts) {
    const [key, value] = part.split('=');
    if (key === 'vendor') data = { ...data, vendor: value === 'AuthenticAMD' ? 'amd' : 'intel' };
    else if (key === 'phys-bits') physicalBits = Number(value);
    else if (!ignored.includes(key)) {
      const name = key.replace(/^[+-]/, '');
      const isOn = !key.startsWith('-') && value !== 'off';
      if (isOn && !available.has(name)) missing.push(name);
      else if (isOn || featureBits.has(name)) changes.push([name, isOn]);
      // QEMU's own processors are AMD's, and have all of SVM that it knows.
      if (name === 'svm' && isOn) {
        data = { ...data, vendor: 'amd' };
        for (const feature of svmFeatureNames) changes.push([feature, true]);
      }
    }
  }
  const { model } = resolveModel(data, {
    ...boardRequest,
    changes,
    mode: 'raw',
    topology: { cores: processors },
    ...(physicalBits === undefined ? {} : { physicalBits }),
  });
  return { model, missing };
}
