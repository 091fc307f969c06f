import { describe, expect, test } from 'vitest';
import { CpuidModel, type DynamicBits, Topology, type TopologyInit } from '../src/index.ts';

function leaf(model: CpuidModel, index: number, subleaf: number, apicId: number): number[] {
  const out = new Int32Array(4);
  const dynamic: DynamicBits = { osxsave: false, ospke: false, apicId, xcr0: 1 };
  model.read(index, subleaf, dynamic, out);
  return [...out].map((value) => value >>> 0);
}

describe('topology', () => {
  test('APIC ids have fields for thread, core and package', () => {
    const ids = (init: TopologyInit): number[] => {
      const topology = new Topology(init);
      return Array.from({ length: topology.processors }, (_, i) => topology.apicId(i));
    };
    expect(ids({})).toEqual([0]);
    expect(ids({ cores: 4 })).toEqual([0, 1, 2, 3]);
    expect(ids({ cores: 3, threads: 2 })).toEqual([0, 1, 2, 3, 4, 5]);
    // 3 cores need 2 bits: each package begins anew.
    expect(ids({ packages: 2, cores: 3 })).toEqual([0, 1, 2, 4, 5, 6]);
    expect(ids({ packages: 2, cores: 3, threads: 2 })).toEqual([0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13]);
  });

  test.each([
    [{ cores: 0 }, 'cores 0: 1 to 255 is allowed'],
    [{ threads: 3 }, 'threads 3: 1 to 2 is allowed'],
    [{ packages: 1.5 }, 'packages 1.5: 1 to 255 is allowed'],
    [{ packages: 4, cores: 100 }, '4 packages of 100 cores of 1 threads: APIC ids up to 254 are allowed'],
    [{ packages: 9, cores: 17 }, 'APIC ids up to 254 are allowed'],
  ])('%j is refused', (init, message) => {
    expect(() => new Topology(init)).toThrow(message);
  });

  test('Intel: leaves 1, 4, 0Bh, 1Fh of the second package', () => {
    const topology = { packages: 2, cores: 3, threads: 2 };
    const caches = [
      [4, 0, 0x121, 0x01c0003f, 0x3f, 0],
      [4, 1, 0x163, 0x03c0003f, 0x3fff, 4],
    ] as const;
    const model = new CpuidModel({ features: ['fpu'], topology, leaves: caches, highestBasic: 0x1f });
    const [, ebx, , edx] = leaf(model, 1, 0, 11);
    expect(ebx).toBe(0x0b080800);
    expect(edx).toBe((1 << 28) | 1);
    expect(model.has('ht')).toBe(true);
    // Who shares: 2 threads of the core; 8 ids of the package. 4 ids of cores.
    expect(leaf(model, 4, 0, 11)).toEqual([0x0c004121, 0x01c0003f, 0x3f, 0]);
    expect(leaf(model, 4, 1, 11)).toEqual([0x0c01c163, 0x03c0003f, 0x3fff, 4]);
    expect(leaf(model, 4, 2, 11)).toEqual([0, 0, 0, 0]);
    for (const index of [0xb, 0x1f]) {
      expect(leaf(model, index, 0, 11)).toEqual([1, 2, 0x100, 11]);
      expect(leaf(model, index, 1, 11)).toEqual([3, 6, 0x201, 11]);
      expect(leaf(model, index, 2, 11)).toEqual([0, 0, 2, 11]);
      expect(leaf(model, index, 0x1234, 11)).toEqual([0, 0, 0x34, 11]);
    }
  });

  test('AMD: leaves 1, 0Bh, 80000008h, 8000001Dh, 8000001Eh of the second package', () => {
    const model = new CpuidModel({
      vendor: 'amd',
      features: ['fpu', 'topoext'],
      topology: { packages: 2, cores: 6, threads: 2 },
      leaves: [
        [0x8000001d, 0, 0x121, 0x01c0003f, 0x3f, 0],
        [0x8000001d, 1, 0x163, 0x03c0003f, 0x3fff, 1],
      ],
      coresPerL3: 4,
    });
    const id = model.topology.apicId(12 + 5);
    expect(id).toBe(0x15);
    expect(leaf(model, 1, 0, id)[1]).toBe(0x150c0800);
    expect(leaf(model, 0xb, 1, id)).toEqual([4, 12, 0x201, 0x15]);
    expect(leaf(model, 0x80000008, 0, id)[2]).toBe(0x400b);
    expect(leaf(model, 0x80000001, 0, id)[2] & 2).toBe(2);
    expect(leaf(model, 0x8000001d, 0, id)[0]).toBe(0x4121);
    expect(leaf(model, 0x8000001d, 1, id)[0]).toBe(0x1c163);
    // Core 2 of package 1, two threads.
    expect(leaf(model, 0x8000001e, 0, id)).toEqual([0x15, 0x102, 1, 0]);
    const without = new CpuidModel({ vendor: 'amd', features: ['fpu'] });
    expect(leaf(without, 0x8000001e, 0, 3)).toEqual([0, 0, 0, 0]);
    expect([leaf(without, 1, 0, 0)[1], leaf(without, 1, 0, 0)[3], without.has('ht')]).toEqual([
      0x10800,
      1,
      false,
    ]);
  });
});
