import { expect, test } from 'vitest';
import { type CpuModelData, cpuidEntries, cpuModels, type ModelRequest, resolveModel } from '../src/index.ts';

const dynamic = { osxsave: true, ospke: true, apicId: 0, xcr0: 7 };

function places(name: string, request: ModelRequest = {}): string[] {
  const { model } = resolveModel(cpuModels.get(name) as CpuModelData, request);
  return cpuidEntries(model, dynamic).map(
    ([leaf, subleaf]) => `${leaf.toString(16)}.${subleaf.toString(16)}`,
  );
}

test('all subleaves that there are, and the first that is not where only that tells the end', () => {
  const all = places('zen2', { topology: { cores: 2 } });
  expect(all.filter((place) => /^(b|d|7|8000001d)\./.test(place))).toEqual(
    '7.0 b.0 b.1 b.2 d.0 d.1 d.2 8000001d.0 8000001d.1 8000001d.2 8000001d.3 8000001d.4'.split(' '),
  );
  expect(all[0]).toBe('0.0');
  expect(all.at(-1)).toBe('80000021.0');
  expect(new Set(all).size).toBe(all.length);
  const alder = places('alder-lake');
  expect(alder.filter((place) => /^(7|18|1f)\./.test(place))).toEqual(
    '7.0 7.1 18.0 18.1 18.2 18.3 18.4 18.5 18.6 18.7 18.8 1f.0 1f.1 1f.2'.split(' '),
  );
});

test('ranges of hypervisors lie between', () => {
  const hypervisor = [{ base: 0x40000000, signature: 'TCGTCGTCGTCG', tellsFrequencies: true }];
  const all = places('x86-64-v2', { hypervisor });
  expect(all.filter((place) => place.startsWith('4000')).length).toBe(0x11);
  expect(all.indexOf('40000000.0')).toBeGreaterThan(all.indexOf('16.0'));
});
