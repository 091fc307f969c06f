import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  buildVmcs,
  checkVmcs,
  encodingOf,
  explainExit,
  fieldNamed,
  parseVmcs,
  type VmcsField,
  VmcsImageError,
  VmxCapabilities,
  VmxMsr,
  VmxOptionError,
  vmcsFields,
  vmxControls,
} from '../src/index.ts';
import { cellOfEncoding, launchCell } from '../src/vmcs/fields.ts';
import { validFields } from './valid-vmcs.ts';

const all = { has: () => true, physicalBits: 46, linearBits: 48 };
const capabilities = new VmxCapabilities(all);
const bitsOf = [16, 64, 32, 64];
const bytesOf = (words: Int32Array): Uint8Array => new Uint8Array(words.buffer);

describe('the layout', () => {
  test('has a place of its own for each field, below the launch state, and finds it by its encoding', () => {
    const cells = vmcsFields.map(([name, encoding]) => {
      expect(encodingOf(name)).toBe(encoding);
      expect(fieldNamed(encoding)).toBe(name);
      return cellOfEncoding(encoding);
    });
    expect(new Set(cells).size).toBe(vmcsFields.length);
    expect(Math.max(...cells) + 1).toBeLessThan(launchCell);
    expect(launchCell * 4).toBeGreaterThanOrEqual(0x400);
    expect(Math.min(...cells)).toBeGreaterThanOrEqual(2);
  });

  test('knows no encoding but those of the table, and high halves of 64-bit fields', () => {
    const known = new Set<number>(vmcsFields.map(([, encoding]) => encoding));
    for (let encoding = 0; encoding < 0x2_0000; encoding++) {
      const isHigh = (encoding & 0x6001) === 0x2001 && known.has(encoding - 1);
      if (cellOfEncoding(encoding) >= 0 !== (known.has(encoding) || isHigh))
        throw new Error(`encoding ${encoding.toString(16)}`);
    }
    expect(cellOfEncoding(-0x8000_0000)).toBe(-1);
  });

  test('parse gives what build was given, cut off to the width of its field', () => {
    const value = fc.bigInt(0n, 2n ** 64n - 1n);
    const fields = fc.dictionary(fc.constantFrom(...vmcsFields.map(([name]) => name)), value);
    fc.assert(
      fc.property(fields, (values) => {
        const image = parseVmcs(bytesOf(buildVmcs(values).words));
        for (const [name, encoding] of vmcsFields) {
          const given = (values as Partial<Record<VmcsField, bigint>>)[name] ?? 0n;
          expect(image[name]).toBe(BigInt.asUintN(bitsOf[encoding >> 13], given));
        }
      }),
    );
  });

  test('an image of another size or revision is refused', () => {
    expect(() => parseVmcs(new Uint8Array(100))).toThrow(VmcsImageError);
    expect(() => parseVmcs(new Uint8Array(4096))).toThrow(VmcsImageError);
  });
});

describe('capabilities', () => {
  test('what must be 1 may be 1, and a seat is not offered', () => {
    const out = new Int32Array(2);
    for (const msr of [0x481, 0x482, 0x483, 0x484, 0x48b, 0x48d, 0x48e, 0x48f, 0x490]) {
      expect(capabilities.read(msr, out)).toBe(true);
      expect(out[0] & ~out[1]).toBe(0);
    }
    for (const { word, bit, isSeat } of vmxControls)
      if (isSeat === true) expect(capabilities.allowed[word] & bit).toBe(0);
  });

  test('S3-33: controls follow CPUID', () => {
    for (const { word, bit, needs } of vmxControls) {
      if (needs === undefined) continue;
      const without = new VmxCapabilities({ ...all, has: (name) => !needs.includes(name) });
      expect(without.allowed[word] & bit).toBe(0);
      expect(capabilities.allowed[word] & bit).not.toBe(0);
    }
  });

  test('without EPT there is nothing that needs it', () => {
    const without = new VmxCapabilities(all, { without: ['secondary.ept'] });
    expect(without.allowed.secondary & 0x46_0082).toBe(0);
    const out = new Int32Array(2);
    expect(without.read(VmxMsr.eptVpid, out)).toBe(true);
    expect(out[0]).toBe(0);
    expect(without.read(VmxMsr.vmFunctions, out)).toBe(false);
    expect(() => new VmxCapabilities(all, { without: ['secondary.eptt'] })).toThrow(VmxOptionError);
  });
});

describe('checkVmcs', () => {
  test('nothing is wrong with a usual guest', () => {
    expect(checkVmcs(buildVmcs(validFields), capabilities)).toEqual([]);
  });

  const wrong: readonly (readonly [name: VmcsField, value: number | bigint, section: string])[] = [
    ['pinControls', 0, '27.2.1.1'],
    ['primaryControls', 0x8400_6173 + 1, '27.2.1.1'],
    ['cr3TargetCount', 5, '27.2.1.1'],
    ['exitControls', 0, '27.2.1.2'],
    ['entryInterruption', 0x8000_0100, '27.2.1.3'],
    ['entryInterruption', 0x8000_0020 | 0x300, '27.2.1.3'],
    ['hostCr0', 0x33, '27.2.2'],
    ['hostCr3', 1n << 46n, '27.2.2'],
    ['hostTrSelector', 0, '27.2.3'],
    ['hostFsBase', 1n << 47n, '27.2.3'],
    ['hostRip', 1n << 47n, '27.2.4'],
    ['guestCr0', 0x33, '27.3.1.1'],
    ['guestCr4', 0x20, '27.3.1.1'],
    ['guestTrRights', 0x1_008b, '27.3.1.2'],
    ['guestCsRights', 0xe09b, '27.3.1.2'],
    ['guestSsSelector', 3, '27.3.1.2'],
    ['guestGdtrLimit', 0x1_0000, '27.3.1.3'],
    ['guestRflags', 0, '27.3.1.4'],
    ['guestRip', 1n << 47n, '27.3.1.4'],
    ['guestActivity', 4, '27.3.1.5'],
    ['guestInterruptibility', 3, '27.3.1.5'],
    ['guestPendingDebug', 16, '27.3.1.5'],
    ['linkPointer', 0x1000, '27.3.1.5'],
  ];
  test.each(wrong)('%s = %s breaks a rule of %s', (name, value, section) => {
    const found = checkVmcs(buildVmcs({ ...validFields, [name]: value }), capabilities);
    expect(found.map((violation) => violation.section)).toContain(section);
  });

  test('takes whatever there is in a region', () => {
    const words = fc.array(fc.integer(), { minLength: 1024, maxLength: 1024 });
    fc.assert(
      fc.property(words, (cells) => {
        const vmcs = buildVmcs({});
        vmcs.words.set(cells);
        expect(checkVmcs(vmcs, capabilities).length).toBeGreaterThan(0);
      }),
    );
  });
});

test('exits in words', () => {
  expect(explainExit({ reason: 30, qualification: 0xe9_0000n })).toBe(
    'I/O instruction: out, port E9h, 1 bytes',
  );
  expect(explainExit({ reason: 28, qualification: 0x300n })).toBe('control-register access: CR0 from RBX');
  expect(explainExit({ reason: 0x8000_0021, qualification: 4n })).toBe(
    'VM entry failed: invalid guest state: VMCS link pointer',
  );
  expect(
    explainExit({ reason: 0, interruption: 0x8000_0b0e | 0, errorCode: 2, qualification: 0x1000n }),
  ).toBe('exception or NMI: hardware exception, vector 14, error code 2h, address 1000h');
  expect(
    explainExit({
      reason: 48,
      qualification: 0x181n,
      guestPhysicalAddress: 0x5000n,
      guestLinearAddress: 0x4000n,
    }),
  ).toBe('EPT violation: read at guest-physical 5000h (---), linear 4000h');
});

test('the example of the README tells the truth', async () => {
  const readme = readFileSync(fileURLToPath(new URL('../README.md', import.meta.url)), 'utf8');
  const code = /<!-- example -->\n```ts\n([\s\S]*?)```/.exec(readme)?.[1] ?? '';
  const expected = [...code.matchAll(/\/\/ → (.*)/g)].map((match) => match[1]);
  const printed: string[] = [];
  const module = await import('../src/index.ts');
  const body = code.replace(/import \{([^}]*)\} from '@nest86\/vmx';/, 'const {$1} = vmx;');
  new Function('vmx', 'console', body)(module, {
    log: (...words: unknown[]) => printed.push(words.map(String).join(' ')),
  });
  expect(printed).toEqual(expected);
  expect(printed.length).toBeGreaterThan(0);
});
