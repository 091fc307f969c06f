import { describe, expect, test } from 'vitest';
import { type CpuModelData, cpuModels, featureBits, featureNeeds, resolveModel } from '../src/index.ts';

const modelOf = (name: string): CpuModelData => cpuModels.get(name) as CpuModelData;

test('needs are names of features, and no feature needs itself', () => {
  for (const [feature, needs] of featureNeeds) {
    expect(featureBits.has(feature), feature).toBe(true);
    for (const need of needs) expect(featureBits.has(need), `${feature} needs ${need}`).toBe(true);
    const all = new Set(needs);
    for (const need of all) for (const further of featureNeeds.get(need) ?? []) all.add(further);
    expect(all.has(feature), feature).toBe(false);
  }
});

describe.each([...cpuModels])('%s', (_name, data) => {
  test('has what its features need', () => {
    const { cleared, leftOut, model } = resolveModel(data, { mode: 'strict' });
    expect([cleared, leftOut]).toEqual([[], []]);
    for (const feature of data.features)
      if (!['ht', 'cmp-legacy'].includes(feature)) expect(model.has(feature), feature).toBe(true);
  });

  test('has names for its features, once each', () => {
    for (const feature of data.features) expect(featureBits.has(feature), feature).toBe(true);
    expect(new Set(data.features).size).toBe(data.features.length);
  });
});

test('levels 2 and 3 of the psABI', () => {
  const level2 = 'cx16 lahf-lm popcnt sse3 sse4.1 sse4.2 ssse3 cmov cx8 fpu fxsr mmx syscall sse sse2'.split(
    ' ',
  );
  const level3 = 'avx avx2 bmi1 bmi2 f16c fma abm movbe xsave'.split(' ');
  const { model: v2 } = resolveModel(modelOf('x86-64-v2'));
  const { model: v3 } = resolveModel(modelOf('x86-64-v3'));
  for (const name of level2) expect([name, v2.has(name), v3.has(name)]).toEqual([name, true, true]);
  for (const name of level3) expect([name, v2.has(name), v3.has(name)]).toEqual([name, false, true]);
});

test('what cannot be had is left out, with what needs it', () => {
  const data = modelOf('skylake-server');
  const available = data.features.filter((name) => name !== 'avx2' && !name.startsWith('avx512dq'));
  const { model, leftOut, cleared } = resolveModel(data, { available });
  expect(leftOut).toEqual(['avx2', 'avx512dq']);
  expect(cleared.map(({ feature }) => feature)).toContain('avx512f');
  for (const name of ['avx2', 'avx512f', 'avx512vl']) expect(model.has(name), name).toBe(false);
  expect(model.has('avx')).toBe(true);
});

describe('features added and taken away', () => {
  const data = modelOf('x86-64-v3');

  test('what needs a feature goes with it, and is told', () => {
    const { model, cleared } = resolveModel(data, { changes: [['avx', false]] });
    for (const name of ['avx', 'avx2', 'fma', 'f16c']) expect(model.has(name), name).toBe(false);
    expect(model.has('sse4.2')).toBe(true);
    expect(cleared).toContainEqual({ feature: 'avx2', needs: 'avx' });
  });

  test('in whatever order the features are', () => {
    const reversed = { ...data, features: [...data.features].reverse() };
    for (const feature of ['xsave', 'sse2', 'apic', 'lm']) {
      const left = (model: CpuModelData): string[] =>
        [...resolveModel(model, { changes: [[feature, false]] }).model.features].sort();
      expect(left(reversed)).toEqual(left(data));
    }
  });

  test('-sse2 takes AVX too, through what lies between', () => {
    const { model, cleared } = resolveModel(data, { changes: [['sse2', false]] });
    expect([...model.features].filter((name) => /sse|avx|aes|^lm$/.test(name))).toEqual(['sse']);
    expect(cleared).toContainEqual({ feature: 'sse3', needs: 'sse2' });
  });

  test('strict refuses what fix takes away; raw does neither', () => {
    const changes = [['xsave', false]] as const;
    expect(() => resolveModel(data, { changes, mode: 'strict' })).toThrow(
      'avx needs xsave, which is taken away',
    );
    expect(resolveModel(data, { changes, mode: 'raw' }).model.has('avx')).toBe(true);
  });

  test('a feature that was asked for is not taken away in silence', () => {
    expect(() =>
      resolveModel(data, {
        changes: [
          ['sse2', false],
          ['avx', true],
        ],
      }),
    ).toThrow('avx needs sse4.2, which x86-64-v3 does not have here');
    expect(() => resolveModel(modelOf('x86-64-v2'), { changes: [['avx2', true]] })).toThrow(
      'avx2 needs avx, which x86-64-v2 does not have here',
    );
  });

  test('names that do not exist, and features that cannot be had', () => {
    expect(() => resolveModel(data, { changes: [['sse9', false]] })).toThrow('feature "sse9": allowed are');
    const available = data.features;
    expect(() => resolveModel(data, { available, changes: [['avx512f', true]] })).toThrow(
      '+avx512f: this machine does not have it, whatever the model',
    );
    const request = { available, onRequest: ['monitor'] };
    expect(resolveModel(data, { ...request, changes: [['monitor', true]] }).model.has('monitor')).toBe(true);
    expect(resolveModel(modelOf('zen2'), request).model.has('monitor')).toBe(false);
    // Of what is not there, nothing needs to be taken away.
    expect(resolveModel(data, { available, changes: [['vmx', false]] }).model.has('vmx')).toBe(false);
  });
});

test('microcode, width of addresses and topology may differ from the model', () => {
  const { model } = resolveModel(modelOf('alder-lake'), {
    microcode: 0x2d,
    physicalBits: 46,
    topology: { cores: 4 },
  });
  expect([model.microcode, model.physicalBits, model.topology.processors]).toEqual([0x2d, 46, 4]);
  expect(resolveModel(modelOf('alder-lake')).model.microcode).toBe(0x36);
});

test('microcode against SRSO is told to guests, which warn without it (Linux: "IBPB-extending microcode not applied!")', () => {
  for (const name of ['zen2', 'zen4'])
    expect(resolveModel(modelOf(name)).model.has('ibpb-brtype'), name).toBe(true);
  expect(resolveModel(modelOf('zen4')).model.has('sbpb')).toBe(true);
});
