import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { memorySource } from '../src/byte-source.ts';
import { ElfError, isElf, readElf } from '../src/elf/index.ts';
import { nest86 } from './fake-io.ts';
import { code, progbits, tinyElf } from './tiny-elf.ts';

const nops = [0x90, 0x90, 0x90, 0x90];
const read = (bytes: Uint8Array) => readElf(memorySource(bytes));

describe.each([64, 32] as const)('%i-bit files', (bits) => {
  const machine = bits === 64 ? 62 : 3;

  test('executable sections', () => {
    const elf = read(
      tinyElf({
        bits,
        machine,
        sections: [
          { name: '.text', bytes: nops, address: 0x1000 },
          { name: '.rodata', bytes: nops, flags: 2 },
          { name: '.note', bytes: nops, type: 7 },
          { name: '.empty', bytes: [] },
        ],
      }),
    );
    expect(elf).toMatchObject({ bits, mode: bits, kind: 'section' });
    expect(elf.code).toEqual([{ name: '.text', offset: expect.any(Number), size: 4, address: 0x1000n }]);
    expect(elf.sectionsNamed('.rodata')).toHaveLength(1);
    expect(elf.sectionsNamed('.nothing')).toEqual([]);
  });

  test('executable segments, if there are no sections', () => {
    const elf = read(
      tinyElf({
        bits,
        machine,
        segments: [
          { bytes: [1, 2], flags: 4 },
          { bytes: nops, address: 0x2000 },
          { bytes: [3], type: 4 },
        ],
      }),
    );
    expect(elf.kind).toBe('segment');
    expect(elf.code).toEqual([{ name: 'segment 1', offset: expect.any(Number), size: 4, address: 0x2000n }]);
    expect(() => elf.sectionsNamed('.text')).toThrow('the file has no section headers');
  });
});

test('sections of one name are all found, names that would write to the terminal are made harmless', () => {
  const elf = read(
    tinyElf({
      sections: [
        { name: '.text', bytes: nops },
        { name: '.text', bytes: nops },
        { name: '\x1b[2J', bytes: nops },
      ],
    }),
  );
  expect(elf.sectionsNamed('.text')).toHaveLength(2);
  expect(elf.code[2].name).toBe('\\x1b[2J');
});

test('what is no ELF file', () => {
  expect(isElf(memorySource(new Uint8Array(3)))).toBe(false);
  expect(() => read(new Uint8Array(100))).toThrow('this is not an ELF file');
});

describe('refusals name what is wrong', () => {
  const good = tinyElf({ sections: [{ name: '.text', bytes: nops }] });
  /** A file with some bytes replaced; negative offsets count from the section headers. */
  function patched(
    patches: readonly (readonly [offset: number, value: bigint, size: number])[],
    from = good,
  ): Uint8Array {
    const bytes = from.slice();
    const view = new DataView(bytes.buffer);
    const sections = Number(view.getBigUint64(40, true));
    for (const [offset, value, size] of patches) {
      const at = offset < 0 ? sections - offset : offset;
      for (let i = 0; i < size; i++) bytes[at + i] = Number((value >> BigInt(8 * i)) & 255n);
    }
    return bytes;
  }
  const all = 2n ** 64n - 1n;
  const text = -64;

  test.each<[string, Uint8Array]>([
    [
      'the ELF header reaches beyond the end of the file (offset 0x0, 64 bytes; the file has 40)',
      good.slice(0, 40),
    ],
    ['its class is 3; 1 (32-bit) and 2 (64-bit) exist', patched([[4, 3n, 1]])],
    ['it is big-endian, so not for x86', patched([[5, 2n, 1]])],
    ['its byte order is 9; x86 has 1', patched([[5, 9n, 1]])],
    ['it is for AArch64 (machine 183), not for x86', patched([[18, 183n, 2]])],
    ['it is for another processor (machine 9999), not for x86', patched([[18, 9999n, 2]])],
    ['it is for 32-bit x86 in a 64-bit file (machine 3), not for x86', patched([[18, 3n, 2]])],
    ['its section headers have 63 bytes each; at least 64 are needed', patched([[58, 63n, 2]])],
    ['section header 0 reaches beyond the end of the file', patched([[40, all, 8]])],
    ['the table of 65,535 section headers reaches beyond the end of the file', patched([[60, 0xffffn, 2]])],
    [
      'the table of 18,446,744,073,709,552,000 section headers reaches',
      patched([
        [60, 0n, 2],
        [-32, all, 8],
      ]),
    ],
    ['section .text reaches beyond the end of the file', patched([[text - 24, all, 8]])],
    ['section .text reaches beyond the end of the file', patched([[text - 32, 0x7fffffffffffffffn, 8]])],
    [
      'the name of section 1 lies outside the table of section names (offset 0xffffffff)',
      patched([[text, all, 4]]),
    ],
    ['section names are said to be in section 7; there are 3', patched([[62, 7n, 2]])],
    [
      'its table of section names has 68,719,476,736 bytes; at most 67,108,864 are read',
      patched([[-128 - 32, 1n << 36n, 8]]),
    ],
    ['the table of section names reaches beyond the end of the file', patched([[-128 - 32, 1n << 20n, 8]])],
  ])('%s', (message, bytes) => {
    expect(() => read(bytes)).toThrow(ElfError);
    expect(() => read(bytes)).toThrow(message);
  });

  test('sections that overlap', () => {
    const two = tinyElf({
      sections: [
        { name: '.a', bytes: nops },
        { name: '.b', bytes: nops },
      ],
    });
    const view = new DataView(two.buffer);
    const headers = Number(view.getBigUint64(40, true));
    view.setBigUint64(headers + 128 + 24, view.getBigUint64(headers + 64 + 24, true) + 3n, true);
    expect(() => read(two)).toThrow(/^\.a and \.b overlap in the file \(at offset 0x[\da-f]+\)$/);
  });

  test('too many section headers', () => {
    const sparse = {
      size: 1 << 30,
      read: (target: Uint8Array, position: number) => {
        const part = patched([
          [60, 0n, 2],
          [-32, 300000n, 8],
        ]).subarray(position, position + target.length);
        target.fill(0).set(part);
        return target.length;
      },
    };
    expect(() => readElf(sparse)).toThrow('it has 300,000 section headers; at most 262,144 are read');
  });

  test('the command says it in one line', async () => {
    const files = {
      'a.out': patched([[text - 24, all, 8]]),
      'b.out': tinyElf({ sections: [{ name: '.data', bytes: nops, flags: 3 }] }),
    };
    const { code: exit, stdout, stderr } = await nest86(['decode', 'a.out'], { files });
    expect([exit, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(/^nest86 decode: a\.out: section \.text reaches beyond the end of the file .*\n$/);
    expect((await nest86(['decode', 'b.out'], { files })).stderr).toBe(
      'nest86 decode: b.out: has no code (no executable section with bytes); --section NAME decodes any section\n',
    );
  });
});

describe('hostile files', () => {
  const seed = Number(process.env.NEST86_SEED ?? Date.now() % 2 ** 31);
  const seeds = [64, 32].flatMap((bits) => [
    tinyElf({
      bits: bits as 32 | 64,
      machine: bits === 64 ? 62 : 3,
      sections: [
        { name: '.text', bytes: [...nops, 0xc3], address: 0x1000, type: progbits, flags: code },
        { name: '.fini', bytes: nops, address: 0x2000 },
      ],
    }),
    tinyElf({ bits: bits as 32 | 64, machine: bits === 64 ? 62 : 3, segments: [{ bytes: nops }] }),
  ]);
  const interesting = fc.constantFrom(0, 1, 2, 3, 7, 8, 0x7f, 0x80, 0xfe, 0xff);
  const hostile = fc
    .record({
      from: fc.constantFrom(...seeds),
      patches: fc.array(fc.tuple(fc.nat(), fc.oneof(interesting, fc.nat(255))), { maxLength: 12 }),
      cut: fc.option(fc.nat()),
    })
    .map(({ from, patches, cut }) => {
      const bytes = from.slice();
      // The magic number stays: without it, nothing is tested.
      for (const [at, value] of patches) bytes[4 + (at % (bytes.length - 4))] = value;
      return cut === null ? bytes : bytes.slice(0, cut % bytes.length);
    });

  // The seed is in the name: NEST86_SEED=… repeats the run.
  test(`never end in another error than ElfError, nor in endless work (seed ${seed})`, () => {
    fc.assert(
      fc.property(hostile, (bytes) => {
        try {
          const { code, sectionsNamed } = read(bytes);
          for (const part of code) expect(part.offset + part.size).toBeLessThanOrEqual(bytes.length);
          sectionsNamed('.text');
        } catch (error) {
          expect(error).toBeInstanceOf(ElfError);
          expect((error as Error).message).toMatch(/^[ -~]+$/);
        }
      }),
      { seed, numRuns: 3000 },
    );
  });

  test(`are one line for the command (seed ${seed})`, async () => {
    await fc.assert(
      fc.asyncProperty(hostile, async (bytes) => {
        const { code, stderr, leftOpen } = await nest86(['decode', 'a.out', '--stats'], {
          files: { 'a.out': bytes },
        });
        expect([0, 1]).toContain(code);
        expect(stderr).toMatch(code === 0 ? /^$/ : /^nest86 decode: a\.out: [ -~]+\n$/);
        expect(leftOpen).toBe(0);
      }),
      { seed, numRuns: 300 },
    );
  });
});
