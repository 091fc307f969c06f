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
      // XSAVE's details are there only with XSAVE.
      const features = index === 13 ? [name, 'xsave'] : [name];
      const value = leaf(new CpuidModel({ features }), index, subleaf)[register];
      expect((value >>> bit) & 1, name).toBe(1);
      const without = leaf(new CpuidModel({ features: index === 13 ? ['xsave'] : [] }), index, subleaf)[
        register
      ];
      expect((without >>> bit) & 1, name).toBe(0);
    }
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

  test('beyond the highest leaf: Intel repeats it, AMD and the extended range have zeros', () => {
    const intel = new CpuidModel({ features: ['xsave'] });
    expect(leaf(intel, 0x40000000)).toEqual(leaf(intel, 13));
    expect(leaf(new CpuidModel({ features: ['xsave'], vendor: 'amd' }), 0x40000000)).toEqual([0, 0, 0, 0]);
    expect(leaf(intel, 0x80001000)).toEqual([0, 0, 0, 0]);
  });
});
