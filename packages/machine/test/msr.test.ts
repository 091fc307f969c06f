import { CpuidModel, type CpuModelData, cpuModels, type ModelRequest, resolveModel } from '@nest86/cpuid';
import { describe, expect, test } from 'vitest';
import { boardFeatures, boardRequest } from '../src/cpu-features.ts';
import { MachineMsrs, type MachineMsrsOptions, MsrSnapshotError } from '../src/msr/machine-msrs.ts';

const GP = 'GP';

class Registers {
  readonly msrs: MachineMsrs;

  constructor(model = 'x86-64-v3', request: ModelRequest = {}, options: Partial<MachineMsrsOptions> = {}) {
    const { model: cpuid } = resolveModel(cpuModels.get(model) as CpuModelData, {
      ...boardRequest,
      ...request,
    });
    this.msrs = new MachineMsrs({ cpuid, ...options });
  }

  read(index: number): bigint | typeof GP {
    const out = new Int32Array(2);
    if (!this.msrs.read(index, out)) return GP;
    return (BigInt(out[1] >>> 0) << 32n) | BigInt(out[0] >>> 0);
  }

  write(index: number, value: bigint): 'done' | typeof GP {
    const low = Number(BigInt.asIntN(32, value));
    return this.msrs.write(index, low, Number(BigInt.asIntN(32, value >> 32n))) ? 'done' : GP;
  }
}

describe('memory type ranges (SDM vol. 3, 13.11)', () => {
  test('8 variable ranges, 11 fixed ones, all off after RESET', () => {
    const { msrs } = new Registers();
    const registers = new Registers();
    expect(registers.read(0xfe)).toBe(0x508n);
    expect(registers.write(0xfe, 0x508n)).toBe(GP);
    for (const index of [0x200, 0x20f, 0x250, 0x258, 0x259, 0x268, 0x26f, 0x2ff])
      expect(registers.read(index), index.toString(16)).toBe(0n);
    for (const index of [0x210, 0x251, 0x25a, 0x267, 0x270]) expect(registers.read(index)).toBe(GP);
    expect(msrs.unknownReads).toBe(0);
  });

  test.each([
    [0x200, 0x8000_0006n, 'done'],
    [0x200, 0x8000_0002n, GP],
    [0x200, 0x8000_0106n, GP],
    [0x200, 1n << 39n, 'done'],
    [0x200, 1n << 40n, GP],
    [0x201, 0xff_8000_0800n, 'done'],
    [0x201, 0xff_8000_0400n, GP],
    [0x250, 0x0606_0505_0404_0100n, 'done'],
    [0x250, 0x0606_0606_0306_0606n, GP],
    [0x26f, 0x0700_0000_0000_0000n, GP],
    [0x2ff, 0xc06n, 'done'],
    [0x2ff, 0xc07n, GP],
    [0x2ff, 0x1006n, GP],
    [0x2ff, 1n << 32n, GP],
  ] as const)('MSR %x: %x is %s', (index, value, outcome) => {
    const registers = new Registers();
    expect(registers.write(index, value)).toBe(outcome);
    expect(registers.read(index)).toBe(outcome === GP ? 0n : value);
  });

  test('as firmware leaves them', () => {
    const registers = new Registers();
    registers.msrs.mtrrs.programAsFirmware(0xc000_0000);
    expect(registers.read(0x2ff)).toBe(0xc06n);
    expect(registers.read(0x258)).toBe(0x0606_0606_0606_0606n);
    expect(registers.read(0x259)).toBe(0n);
    expect(registers.read(0x268)).toBe(0x0505_0505_0505_0505n);
    expect(registers.read(0x200)).toBe(0xc000_0000n);
    expect(registers.read(0x201)).toBe(0xff_c000_0800n);
    registers.msrs.reset();
    expect(registers.read(0x2ff)).toBe(0n);
  });

  test("AMD's DRAM bits of fixed ranges wait for SYSCFG", () => {
    const registers = new Registers('zen4');
    expect(registers.write(0x250, 0x1e1e_1e1e_1e1e_1e1en)).toBe(GP);
    expect(registers.write(0xc001_0010, 0x18_0000n)).toBe('done');
    expect(registers.write(0x250, 0x1e1e_1e1e_1e1e_1e1en)).toBe('done');
  });
});

describe('what is there follows CPUID (S3-32)', () => {
  test.each([
    ['mtrr', 0xfe],
    ['mca', 0x179],
    ['mca', 0x400],
    ['arch-capabilities', 0x10a],
    ['mce', 0],
  ])('without %s there is no MSR %x', (feature, index) => {
    expect(new Registers().read(index)).not.toBe(GP);
    expect(new Registers('x86-64-v3', { changes: [[feature, false]] }).read(index)).toBe(GP);
  });

  test('SPEC_CTRL has the bits that are told of', () => {
    const all = new Registers();
    expect(all.write(0x48, 7n)).toBe('done');
    expect(all.write(0x48, 8n)).toBe(GP);
    expect(all.read(0x48)).toBe(7n);
    const some = new Registers('x86-64-v3', { changes: [['ssbd', false]] });
    expect(some.write(0x48, 4n)).toBe(GP);
    const off = ['spec-ctrl', 'stibp', 'ssbd'].map((name): [string, boolean] => [name, false]);
    const none = new Registers('x86-64-v3', { changes: off });
    expect([none.read(0x48), none.write(0x48, 0n), none.write(0x49, 1n)]).toEqual([GP, GP, GP]);
  });

  test('commands can be written and not read', () => {
    const registers = new Registers('skylake-server');
    expect([registers.write(0x49, 1n), registers.write(0x49, 2n), registers.read(0x49)]).toEqual([
      'done',
      GP,
      GP,
    ]);
    expect([registers.write(0x10b, 1n), registers.read(0x10b)]).toEqual(['done', GP]);
    expect(registers.write(0x49, 0x80n)).toBe(GP);
    expect(new Registers('zen4', { changes: [['sbpb', true]] }).write(0x49, 0x80n)).toBe('done');
    expect(registers.msrs.unknownReads).toBe(0);
  });

  test('immune processors say so', () => {
    // RDCL_NO, IBRS_ALL, MDS_NO; ITS_NO.
    const value = new Registers().read(0x10a) as bigint;
    expect(value & 0x23n).toBe(0x23n);
    expect(value >> 62n).toBe(1n);
    expect(new Registers().write(0x10a, 0n)).toBe(GP);
    expect(new Registers('skylake-server').read(0x10a)).toBe(GP);
  });
});

describe('identification', () => {
  test('the microcode revision is in the upper half on Intel, in the lower on AMD; software writes 0 first', () => {
    const intel = new Registers('alder-lake');
    expect(intel.write(0x8b, 0n)).toBe('done');
    expect(intel.read(0x8b)).toBe(0x36n << 32n);
    expect(new Registers('alder-lake', { microcode: 0xffff_ffff }).read(0x8b)).toBe(0xffff_ffffn << 32n);
    expect(new Registers('zen4').read(0x8b)).toBe(0x0a10_1148n);
  });

  test('FEATURE_CONTROL is locked; PLATFORM_INFO tells 10 × 100 MHz and that CPUID can fault', () => {
    const registers = new Registers();
    expect([registers.read(0x3a), registers.write(0x3a, 1n)]).toEqual([1n, GP]);
    expect(registers.read(0xce)).toBe(0xa00_8000_0a00n);
    expect([registers.write(0x140, 1n), registers.read(0x140), registers.write(0x140, 2n)]).toEqual([
      'done',
      1n,
      GP,
    ]);
  });
});

describe("AMD's", () => {
  test('registers that kernels read and change', () => {
    const registers = new Registers('zen2', {}, { topOfLowMemory: 0x8000_0000, topOfMemory: 0x1_8000_0000 });
    expect(registers.read(0xc001_0010)).toBe(0x70_0000n);
    expect(registers.read(0xc001_001a)).toBe(0x8000_0000n);
    expect(registers.read(0xc001_001d)).toBe(0x1_8000_0000n);
    expect((registers.read(0xc001_0015) as bigint) & 0x100_0000n).toBe(0x100_0000n);
    expect((registers.read(0xc001_1029) as bigint) & 2n).toBe(2n);
    expect(registers.read(0xc001_001f)).toBe(0n);
    for (const index of [0xce, 0x140, 0x3a, 0x17]) expect(registers.read(index)).toBe(GP);
    expect(new Registers().read(0xc001_0015)).toBe(GP);
  });

  test('CPUID can be kept from users if CPUID says so', () => {
    expect(new Registers('zen4').write(0xc001_0015, 1n << 35n)).toBe(GP);
  });

  test('the counters of the K7 are there and never count', () => {
    const registers = new Registers('zen4');
    for (let index = 0xc001_0000; index < 0xc001_0008; index++) {
      expect(registers.write(index, 0x43_0076n)).toBe('done');
      expect(registers.read(index)).toBe(0n);
      expect(new Registers().read(index)).toBe(GP);
    }
  });

  test('the status of a machine-check bank can be written with McStatusWrEn', () => {
    const registers = new Registers('zen4');
    expect(registers.write(0x401, 1n)).toBe(GP);
    const hwcr = registers.read(0xc001_0015) as bigint;
    expect(registers.write(0xc001_0015, hwcr | (1n << 18n))).toBe('done');
    expect(registers.write(0x401, 1n)).toBe('done');
  });
});

test('machine check: 4 empty banks', () => {
  const registers = new Registers();
  expect(registers.read(0x179)).toBe(0x104n);
  expect(registers.write(0x17b, -1n)).toBe('done');
  expect(registers.write(0x17b, 5n)).toBe(GP);
  expect(registers.write(0x17a, 8n)).toBe(GP);
  expect(registers.write(0x40c, 0xffff_ffff_ffff_ffffn)).toBe('done');
  expect(registers.read(0x40c)).toBe(0xffff_ffff_ffff_ffffn);
  // All errors are reported, or none; bits 0 and 10 alone may be off.
  expect(registers.write(0x40c, 0xffff_ffff_ffff_fbfen)).toBe('done');
  expect(registers.write(0x40c, 3n)).toBe(GP);
  expect([registers.write(0x401, 0n), registers.write(0x401, 1n)]).toEqual(['done', GP]);
  for (const index of [0x402, 0x403]) {
    expect(registers.write(index, 0xaaaa_aaaa_aaaa_aaaan)).toBe('done');
    expect(registers.read(index)).toBe(0xaaaa_aaaa_aaaa_aaaan);
  }
  expect(registers.read(0x410)).toBe(GP);
});

test('TSC_ADJUST is what was added to the counter, by whatever register', () => {
  const tsc = { adjustment: 0xffff_ffff_8000_0001n };
  const registers = new Registers('x86-64-v3', {}, { tsc });
  expect(registers.read(0x3b)).toBe(0xffff_ffff_8000_0001n);
  expect(registers.write(0x3b, 0x1_8000_0000n)).toBe('done');
  expect(tsc.adjustment).toBe(0x1_8000_0000n);
  expect(registers.read(0x3b)).toBe(0x1_8000_0000n);
  const off: [string, boolean] = ['tsc-adjust', false];
  expect(new Registers('x86-64-v3', { changes: [off] }, { tsc }).read(0x3b)).toBe(GP);
});

test('what nobody knows is counted, and bounded', () => {
  const registers = new Registers();
  for (let i = 0; i < 1000; i++) registers.read(0x9000_0000 + i);
  for (let i = 0; i < 3; i++) registers.write(0x9000_0001, 0n);
  expect([registers.msrs.unknownReads, registers.msrs.unknownWrites]).toEqual([1000, 3]);
  expect(registers.msrs.unknownAccesses()[0]).toEqual({ index: 0x9000_0001, reads: 1, writes: 3 });
  expect(registers.msrs.unknownAccesses().length).toBe(64);
});

test('a snapshot brings everything back, and only into a processor that has it', () => {
  const registers = new Registers('zen4');
  registers.write(0x200, 0x8000_0006n);
  registers.write(0x2ff, 0xc06n);
  registers.write(0x40c, -1n);
  registers.write(0xc001_1029, 0x202n);
  const state = JSON.parse(JSON.stringify(registers.msrs.save()));
  const other = new Registers('zen4');
  other.msrs.restore(state);
  expect([0x200, 0x2ff, 0x40c, 0xc001_1029].map((index) => other.read(index))).toEqual([
    0x8000_0006n,
    0xc06n,
    0xffff_ffff_ffff_ffffn,
    0x202n,
  ]);
  expect(() => other.msrs.restore({ ...state, version: 2 })).toThrow(MsrSnapshotError);
  expect(() => new Registers().msrs.restore(state)).toThrow('MSR c0010010: this processor does not have it');
});

test('100,000 random accesses: no exception, and what was read back was allowed', () => {
  for (const model of cpuModels.keys()) {
    const registers = new Registers(model);
    let seed = 1;
    const random = (): number => {
      seed ^= seed << 13;
      seed ^= seed >>> 17;
      seed ^= seed << 5;
      return seed;
    };
    const bases = [0, 0x40, 0x100, 0x170, 0x200, 0x260, 0x2f0, 0x400, 0xc001_0010, 0xc001_1020, 0xc000_0080];
    const out = new Int32Array(2);
    for (let i = 0; i < 100_000 / cpuModels.size; i++) {
      const index = bases[(random() >>> 8) % bases.length] + ((random() >>> 8) & 0x1f);
      if ((random() & 1) !== 0) registers.msrs.read(index, out);
      else
        registers.msrs.write(index, (random() & 3) === 0 ? 0 : random(), (random() & 1) === 0 ? 0 : random());
    }
    expect(registers.msrs.unknownAccesses().length).toBeLessThanOrEqual(64);
  }
});

/** What keeps a promise: MSRs that are there with the feature and not without it; or another place. */
const kept: Readonly<Record<string, readonly number[] | string>> = {
  mce: [0, 1],
  apic: 'packages/apic',
  mtrr: [0xfe, 0x200, 0x250, 0x2ff],
  mca: [0x179, 0x17a, 0x400, 0x40f],
  x2apic: 'packages/apic',
  'tsc-deadline': 'packages/apic',
  arat: 'the APIC timer follows guest time, which never stops',
  'tsc-adjust': [0x3b],
  invtsc: 'the time stamp counter follows guest time, which never stops',
  ss: 'there is one memory, and no cache in front of it',
  topoext: 'packages/cpuid/test/topology.test.ts',
  'arch-capabilities': [0x10a],
  'spec-ctrl': [0x48, 0x49],
  stibp: [0x48],
  ssbd: [0x48],
  'md-clear': 'VERW has nothing to clear',
  'flush-l1d': [0x10b],
  ibpb: [0x49],
  ibrs: [0x48],
  'amd-stibp': [0x48],
  'amd-ssbd': [0x48],
  'auto-ibrs': 'packages/cpu/test/registers-msr.test.ts: EFER bit 21',
  sbpb: 'bit 7 of PRED_CMD, above',
};
/** Nothing is speculated, so nothing leaks that way. */
const nothingLeaks =
  'amd-ssb-no ibrs-preferred ibrs-same-mode stibp-always-on btc-no ibpb-ret ibpb-brtype srso-no tsa-sq-no tsa-l1-no'.split(
    ' ',
  );

test.each(boardFeatures)('%s is kept', (feature) => {
  if (nothingLeaks.includes(feature)) return;
  const evidence = kept[feature];
  expect(evidence, feature).toBeDefined();
  if (typeof evidence === 'string') return;
  const registersWith = (features: readonly string[]): Registers => {
    const registers = new Registers();
    const cpuid = new CpuidModel({ features });
    return Object.assign(registers, { msrs: new MachineMsrs({ cpuid, tsc: { adjustment: 0n } }) });
  };
  for (const index of evidence) {
    const isThere = (registers: Registers): boolean =>
      registers.read(index) !== GP || registers.write(index, 0n) !== GP;
    expect(isThere(registersWith([feature])), index.toString(16)).toBe(true);
    expect(isThere(registersWith([])), index.toString(16)).toBe(false);
  }
});
