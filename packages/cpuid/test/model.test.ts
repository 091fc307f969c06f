import { describe, expect, test } from 'vitest';
import { CpuidModel, CpuidOptionError, type DynamicBits, featureBits } from '../src/index.ts';

const off: DynamicBits = { osxsave: false, ospke: false, apicId: 3, xcr0: 1 };

function leaf(model: CpuidModel, index: number, subleaf = 0, dynamic: DynamicBits = off): number[] {
  const out = new Int32Array(4);
  model.read(index, subleaf, dynamic, out);
  return [...out].map((value) => value >>> 0);
}

describe('CPUID model', () => {
  test('every feature sets exactly its bit', () => {
    for (const [name, { leaf: index, subleaf, register, bit }] of featureBits) {
      if (['osxsave', 'ospke'].includes(name)) continue;
      // XSAVE's details are there only with XSAVE, SVM's with SVM.
      const needs = index === 13 ? ['xsave'] : index === 0x8000000a ? ['svm'] : [];
      const bitWith = (features: string[]): number => {
        const model = new CpuidModel({ features, highestExtended: 0x80000021 });
        return (leaf(model, index, subleaf)[register] >>> bit) & 1;
      };
      expect(bitWith([...needs, name]), name).toBe(1);
      expect(bitWith(needs), name).toBe(0);
    }
  });

  test('a feature brings its leaf with it', () => {
    expect(leaf(new CpuidModel({ features: ['srso-no'] }), 0x80000000)[0]).toBe(0x80000021);
    expect(leaf(new CpuidModel({ features: ['srso-no'] }), 0x80000021)[0]).toBe(1 << 29);
  });

  test('a feature that does not exist is named, with what is allowed', () => {
    expect(() => new CpuidModel({ features: ['sse9'] })).toThrow('feature "sse9": allowed are fpu, vme');
  });

  test.each([
    [{ physicalBits: 31 }, 'physicalBits 31: 32 to 52 is allowed'],
    [{ linearBits: 52 }, 'linearBits 52: 48 or 57 is allowed'],
    [{ vendor: 'via' as 'amd' }, 'vendor via: intel or amd is allowed'],
    [{ brand: 'é' }, 'brand é: up to 47 printable characters of ASCII is allowed'],
    [{ family: 271 }, 'family 271: 0 to 270 is allowed'],
    [{ model: -1 }, 'model -1: 0 to 255 is allowed'],
    [{ stepping: 1.5 }, 'stepping 1.5: 0 to 15 is allowed'],
  ])('%j is refused', (init, message) => {
    expect(() => new CpuidModel({ features: [], ...init })).toThrow(message);
    expect(() => new CpuidModel({ features: [], ...init })).toThrow(CpuidOptionError);
  });

  test('family, model and stepping are in the signature as software reads them', () => {
    // Skylake: 6, 9Eh, 10. Zen 4: 25, 61h, 2.
    expect(new CpuidModel({ features: [] }).signature).toBe(0x906ea);
    const zen4 = new CpuidModel({ features: [], vendor: 'amd', family: 25, model: 0x61, stepping: 2 });
    expect(zen4.signature).toBe(0xa60f12);
    expect(leaf(zen4, 1)[0]).toBe(0xa60f12);
    expect(leaf(zen4, 0x80000001)[0]).toBe(0xa60f12);
  });

  test('AMD repeats bits of leaf 1 in leaf 80000001h', () => {
    const features = ['fpu', 'sep', 'cmov', 'fxsr', 'sse', 'syscall'];
    expect(leaf(new CpuidModel({ features, vendor: 'amd' }), 0x80000001)[3]).toBe(0x01008801);
    expect(leaf(new CpuidModel({ features }), 0x80000001)[3]).toBe(0x800);
  });

  test('57-bit addresses come with la57', () => {
    expect(leaf(new CpuidModel({ features: ['la57'] }), 0x80000008)[0]).toBe(0x3928);
    expect(leaf(new CpuidModel({ features: [] }), 0x80000008)[0]).toBe(0x3028);
  });

  test('vendor strings', () => {
    const text = ([, b, c, d]: number[]): string =>
      [b, d, c]
        .map((word) => String.fromCharCode(...[0, 8, 16, 24].map((shift) => (word >>> shift) & 255)))
        .join('');
    expect(text(leaf(new CpuidModel({ features: [] }), 0))).toBe('GenuineIntel');
    expect(text(leaf(new CpuidModel({ features: [], vendor: 'amd' }), 0))).toBe('AuthenticAMD');
  });

  test('OSXSAVE and the APIC id are of the moment', () => {
    const model = new CpuidModel({ features: ['xsave'] });
    expect((leaf(model, 1)[2] >>> 27) & 1).toBe(0);
    const [, ebx, ecx] = leaf(model, 1, 0, { ...off, osxsave: true });
    expect((ecx >>> 27) & 1).toBe(1);
    expect(ebx >>> 24).toBe(3);
  });

  test('XSAVE sizes follow XCR0 and the model', () => {
    const model = new CpuidModel({ features: ['xsave', 'avx', 'pku'] });
    expect(model.xcr0Mask).toBe(0x207);
    expect(leaf(model, 13)).toEqual([0x207, 576, 2696, 0]);
    expect(leaf(model, 13, 0, { ...off, xcr0: 7 })[1]).toBe(832);
    expect(leaf(model, 13, 2)).toEqual([256, 576, 0, 0]);
    expect(leaf(model, 13, 3)).toEqual([0, 0, 0, 0]);
  });

  test('beyond the highest leaf, and in classes that are not there: Intel repeats the highest basic leaf, AMD has zeros (S3-12)', () => {
    const features = ['xsave', 'avx'];
    const intel = new CpuidModel({ features, highestBasic: 13 });
    const amd = new CpuidModel({ features, vendor: 'amd', highestBasic: 13 });
    for (const index of [14, 0x3fff, 0x40000000, 0x40010000, 0x80000009, 0x80001000, 0xc0000000, 0xffffffff])
      for (const subleaf of [0, 2]) {
        // With ECX as it was.
        expect(leaf(intel, index, subleaf), index.toString(16)).toEqual(leaf(intel, 13, subleaf));
        const isThere = index >= 0x80000009 && index <= 0x80000020;
        if (!isThere) expect(leaf(amd, index, subleaf), index.toString(16)).toEqual([0, 0, 0, 0]);
      }
    expect(leaf(intel, 13, 2)[0]).toBe(256);
  });

  test('a leaf in range that is not listed is 0; leaves without subleaves take no notice of ECX (S3-11)', () => {
    const model = new CpuidModel({ features: ['fpu', 'fsgsbase', 'syscall'] });
    for (const index of [3, 8, 9, 0xc, 0xe]) expect(leaf(model, index)).toEqual([0, 0, 0, 0]);
    expect(leaf(model, 7, 2)).toEqual([0, 0, 0, 0]);
    expect(leaf(model, 7, 0xffffffff)).toEqual([0, 0, 0, 0]);
    for (const index of [0, 1, 0x80000000, 0x80000001, 0x80000002])
      expect(leaf(model, index, 5), index.toString(16)).toEqual(leaf(model, index));
  });

  test('what tells of the moment: APIC, MONITOR, and SYSCALL on Intel (S3-03, S3-08)', () => {
    const features = ['apic', 'monitor', 'syscall', 'lm'];
    const bit = (
      vendor: 'intel' | 'amd',
      index: number,
      register: number,
      at: number,
      dynamic: object,
    ): number =>
      (leaf(new CpuidModel({ features, vendor }), index, 0, { ...off, ...dynamic })[register] >>> at) & 1;
    for (const vendor of ['intel', 'amd'] as const) {
      expect(bit(vendor, 1, 3, 9, {})).toBe(1);
      expect(bit(vendor, 1, 3, 9, { apicEnabled: false })).toBe(0);
    }
    expect(bit('amd', 0x80000001, 3, 9, {})).toBe(1);
    expect(bit('amd', 0x80000001, 3, 9, { apicEnabled: false })).toBe(0);
    expect(bit('intel', 1, 2, 3, { monitorEnabled: false })).toBe(0);
    // AMD has no IA32_MISC_ENABLE.
    expect(bit('amd', 1, 2, 3, { monitorEnabled: false })).toBe(1);
    expect(bit('intel', 0x80000001, 3, 11, {})).toBe(1);
    expect(bit('intel', 0x80000001, 3, 11, { in64BitMode: false })).toBe(0);
    expect(bit('amd', 0x80000001, 3, 11, { in64BitMode: false })).toBe(1);
  });

  test('the compacted area follows XCR0 and IA32_XSS, with components aligned that must be (S3-04)', () => {
    const features = ['xsave', 'xsavec', 'xsaves', 'avx', 'pku', 'shstk', 'xfd', 'amx-tile'];
    const model = new CpuidModel({ features });
    expect(model.xssMask).toBe(0x1800);
    expect(leaf(model, 13, 1)).toEqual([0x1a, 576, 0x1800, 0]);
    expect(leaf(model, 13, 1, { ...off, xcr0: 0x207, xss: 0x1800 })[1]).toBe(576 + 256 + 8 + 16 + 24);
    // 576 + 8 of PKRU, up to the next 64, and the tiles.
    expect(leaf(model, 13, 1, { ...off, xcr0: 0x60203 })[1]).toBe(640 + 64 + 8192);
    expect(leaf(model, 13, 11)).toEqual([16, 0, 1, 0]);
    expect(leaf(model, 13, 18)).toEqual([8192, 2816, 2, 0]);
    // Without XSAVEC nobody asks.
    expect(leaf(new CpuidModel({ features: ['xsave', 'xsaveopt'] }), 13, 1)).toEqual([1, 0, 0, 0]);
  });

  test.each([
    [1e9, 1e9, [1, 1, 1e9, 0]],
    [1e9, 38_400_000, [24, 625, 38_400_000, 0]],
    [2_600_000_000, 25_000_000, [1, 104, 25_000_000, 0]],
  ])('TSC of %i Hz from a crystal of %i Hz', (tsc, crystal, expected) => {
    const model = new CpuidModel({ features: ['tsc'], frequencies: { tsc, crystal } });
    expect(leaf(model, 0x15)).toEqual(expected);
    expect(leaf(model, 0x16)).toEqual([tsc / 1e6, tsc / 1e6, 100, 0]);
    const [eax, ebx, ecx] = leaf(model, 0x15);
    expect((ecx * ebx) / eax).toBe(tsc);
    expect(leaf(new CpuidModel({ features: ['tsc'], vendor: 'amd', highestBasic: 0x16 }), 0x15)).toEqual([
      0, 0, 0, 0,
    ]);
  });

  test("a hypervisor's range is data, and there with its bit only (S3-13)", () => {
    const hypervisor = [
      {
        base: 0x40000100,
        signature: 'KVMKVMKVM\x20\x20\x20',
        tellsFrequencies: true,
        leaves: [[0x40000101, 0, 0x1000000, 0, 0, 0] as const],
      },
    ];
    const model = new CpuidModel({ features: ['hypervisor'], vendor: 'amd', hypervisor });
    expect(leaf(model, 0x40000100)).toEqual([0x40000110, 0x4b4d564b, 0x564b4d56, 0x2020204d]);
    expect(leaf(model, 0x40000101)[0]).toBe(0x1000000);
    expect(leaf(model, 0x40000110)).toEqual([1_000_000, 1_000_000, 0, 0]);
    expect(leaf(model, 0x40000000)).toEqual([0, 0, 0, 0]);
    expect(leaf(model, 0x40000111)).toEqual([0, 0, 0, 0]);
    expect(leaf(new CpuidModel({ features: [], vendor: 'amd', hypervisor }), 0x40000100)).toEqual([
      0, 0, 0, 0,
    ]);
    expect(() => new CpuidModel({ features: [], hypervisor: [{ base: 0x40000080, signature: '' }] })).toThrow(
      'hypervisor base 40000080: 40000000 to 4000ff00 in steps of 100 is allowed',
    );
  });
});
