import { Mnemonic } from '@nest86/decoder/mnemonic';
import { describe, expect, test } from 'vitest';
import { capabilitiesOf } from '../src/system/capabilities.ts';
import { registerServices } from '../src/system/register-services.ts';

test('services are named after mnemonics of the decoder', () => {
  const names = new Set(Object.keys(Mnemonic).map((name) => name.toUpperCase()));
  expect(Object.keys(registerServices).filter((name) => !name.includes('.') && !names.has(name))).toEqual([]);
});

describe('capabilities from CPUID (S3-01, S3-07)', () => {
  const none = { read: (_leaf: number, _subleaf: number, out: Int32Array): void => void out.fill(0) };

  test('a processor without features has RDPMC’s bit of CR4 and nothing else', () => {
    const { cr4, efer, xcr0, xss, linearBits, hasTscAux } = capabilitiesOf(none);
    expect({ cr4, efer, xcr0, xss, linearBits, hasTscAux }).toEqual({
      cr4: 0x100,
      efer: 0,
      xcr0: 0,
      xss: 0,
      linearBits: 48,
      hasTscAux: false,
    });
  });

  test('S3-12: leaves above the highest are not asked', () => {
    const asked: number[] = [];
    const source = {
      read: (leaf: number, _subleaf: number, out: Int32Array): void => {
        asked.push(leaf >>> 0);
        out.fill(leaf === 0 ? 1 : (leaf & 0xffff) === 0 ? 0x8000_0001 | 0 : -1);
      },
    };
    const { efer, cr4 } = capabilitiesOf(source);
    expect(Math.max(...asked.filter((leaf) => leaf < 0x8000_0000))).toBe(1);
    expect(Math.max(...asked)).toBe(0x8000_0001);
    // SCE LME LMA NXE SVME TCE, not AIBRSE; no UMIP.
    expect(efer).toBe(0x9d01);
    expect(cr4 & 0x800).toBe(0);
  });

  test('XCR0 offers what the state holds', () => {
    const source = {
      read: (leaf: number, subleaf: number, out: Int32Array): void => {
        out.fill(leaf === 0 ? 0x1f : 0);
        if (leaf === 1) out[2] = 1 << 26;
        if (leaf === 13 && subleaf === 0) out[0] = -1;
        if (leaf === 13 && subleaf === 1) out.set([15, 0, -1, 0]);
        if (leaf === 13 && subleaf > 1) out.set([8, 64 * subleaf, subleaf === 9 ? 2 : 0, 0]);
      },
    };
    const { xcr0, xss, componentOffsets, alignedComponents } = capabilitiesOf(source);
    expect([xcr0, xss, alignedComponents]).toEqual([0x2e7, 0, 1 << 9]);
    expect([componentOffsets[2], componentOffsets[9], componentOffsets[3]]).toEqual([128, 576, 0]);
  });
});
