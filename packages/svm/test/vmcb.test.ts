import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  buildVmcb,
  checkVmcb,
  ExitCode,
  exitName,
  explainExit,
  explainVmcb,
  parseVmcb,
  type SvmCapabilities,
  Vmcb,
  type VmcbValues,
  vmcbFields,
  vmcbOf,
  vmcbOffset,
} from '../src/index.ts';

const capabilities: SvmCapabilities = {
  physicalBits: 48,
  cr4: 0x7f_07ff,
  efer: 0x1d01,
  hasNestedPaging: true,
  hasVirtualNmi: false,
};
const valid: VmcbValues = {
  efer: 0x1500,
  cr0: 0x8005_0033,
  cr4: 0x20,
  csAttributes: 0x29b,
  intercept2: 1,
  asid: 1,
  nestedControl: 1,
  guestPat: 0x0007_0406_0007_0406n,
};

describe('layout', () => {
  test('fields do not overlap and are aligned', () => {
    let end = 0;
    for (const { name, offset, bytes } of vmcbFields) {
      expect(offset, name).toBeGreaterThanOrEqual(end);
      if (bytes === 4 || bytes === 8) expect(offset % 4, name).toBe(0);
      end = offset + bytes;
    }
    expect(end).toBeLessThanOrEqual(0x1000);
  });

  test('what is built is what is parsed, whatever the values', () => {
    const field = fc.constantFrom(...vmcbFields);
    fc.assert(
      fc.property(fc.array(fc.tuple(field, fc.bigInt(0n, 2n ** 120n - 1n)), { maxLength: 20 }), (pairs) => {
        const values = Object.fromEntries(
          pairs.map(([{ name, bytes }, value]) => [name, BigInt.asUintN(8 * bytes, value)]),
        );
        const parsed = parseVmcb(buildVmcb(values));
        for (const { name } of vmcbFields) expect(parsed[name]).toBe(values[name] ?? 0n);
      }),
    );
  });

  test('the view reads and writes halves and bytes', () => {
    const view = vmcbOf(buildVmcb({ cr3: 0x1234_5678_9abc_def0n, cpl: 3 }));
    expect(view.low(vmcbOffset.cr3) >>> 0).toBe(0x9abc_def0);
    expect(view.high(vmcbOffset.cr3)).toBe(0x1234_5678);
    expect(view.byte(vmcbOffset.cpl)).toBe(3);
    view.setByte(vmcbOffset.cpl, 1);
    expect(view.byte(vmcbOffset.cpl)).toBe(1);
    const words = new Int32Array(2048);
    new Vmcb(words, 4096).setPair(vmcbOffset.rip, 5, 6);
    expect([...words.subarray(1024 + 0x578 / 4, 1024 + 0x580 / 4)]).toEqual([5, 6]);
  });

  test('a file that is too short is refused', () => {
    expect(() => parseVmcb(new Uint8Array(100))).toThrow('VMCB of 100 bytes: 1688 to 4096 are allowed');
    expect(parseVmcb(new Uint8Array(1688)).asid).toBe(0n);
  });
});

describe('checks', () => {
  const found = (change: VmcbValues, host?: { hasPaging: boolean; isLongMode: boolean }) =>
    checkVmcb(buildVmcb({ ...valid, ...change }), capabilities, host).map(
      ({ section, text }) => `${section} ${text}`,
    );

  test('a state that is allowed', () => {
    expect(found({})).toEqual([]);
    expect(found({ eventInjection: 0x8000_030en | 0x800n })).toEqual([]);
    // Without PAE the upper half of CR3 does not matter.
    expect(found({ efer: 0x1000, cr4: 0, cr3: 2n ** 60n, csAttributes: 0xc9b })).toEqual([]);
    // Without nested paging its fields do not.
    expect(found({ nestedControl: 0, guestPat: 0x0202n, nestedCr3: 2n ** 60n })).toEqual([]);
  });

  test.each<[string, VmcbValues]>([
    ['15.5.1 EFER.SVME is 0', { efer: 0x500 }],
    ['15.5.1 CR0.CD is 0 and CR0.NW is 1', { cr0: 0xa005_0033 }],
    ['15.5.1 CR0[63:32] are not 0', { cr0: 0x1_8005_0033n }],
    ['15.5.1 CR3 has reserved bits set', { cr3: 2n ** 48n }],
    ['15.5.1 CR3 has reserved bits set', { cr3: 2n ** 63n }],
    ['15.5.1 CR3 has reserved bits set', { cr3: 2n ** 48n, efer: 0x1000 }],
    ['15.5.1 CR4 has reserved bits set', { cr4: 0x8000_0020 }],
    ['15.5.1 CR4 has reserved bits set', { cr4: 0x1_0000_0020n }],
    ['15.5.1 DR6[63:32] are not 0', { dr6: 2n ** 32n }],
    ['15.5.1 DR7[63:32] are not 0', { dr7: 2n ** 63n }],
    ['15.5.1 EFER has reserved bits set', { efer: 0x1502 }],
    ['15.5.1 EFER has reserved bits set', { efer: 0x1_0000_1500n }],
    ['15.5.1 EFER.LME and CR0.PG are 1 and CR4.PAE is 0', { cr4: 0 }],
    ['15.5.1 EFER.LME and CR0.PG are 1 and CR0.PE is 0', { cr0: 0x8005_0032 }],
    ['15.5.1 EFER.LME, CR0.PG, CR4.PAE, CS.L and CS.D are all 1', { csAttributes: 0x69b }],
    ['15.5.1 the VMRUN intercept is clear', { intercept2: 0 }],
    ['15.5.1 the MSR permission map ends beyond the physical addresses', { msrpmBase: 0xffff_ffff_f000n }],
    ['15.5.1 the I/O permission map ends beyond the physical addresses', { iopmBase: 0xffff_ffff_e000n }],
    ['15.5.1 ASID is 0', { asid: 0 }],
    ['15.20 the event to be injected has a reserved type or vector', { eventInjection: 0x8000_0100 }],
    ['15.20 the event to be injected has a reserved type or vector', { eventInjection: 0x8000_0302 }],
    ['15.20 the event to be injected has a reserved type or vector', { eventInjection: 0x8000_0320 }],
    ['15.25.4 nCR3 has reserved bits set', { nestedCr3: 2n ** 48n }],
    ['15.25.4 G_PAT has a reserved memory type', { guestPat: 2 }],
    ['15.25.4 G_PAT has a reserved memory type', { guestPat: 8n << 56n }],
  ])('%s', (text, change) => expect(found(change)).toEqual([text]));

  test('of tables that just fit, and of the host', () => {
    expect(found({ msrpmBase: 0xffff_ffff_dfffn, iopmBase: 0xffff_ffff_dfffn })).toEqual([]);
    expect(found({}, { hasPaging: false, isLongMode: false })).toEqual([
      '15.25.3 nested paging is enabled and the host has paging off',
    ]);
    expect(found({ nestedCr3: 2n ** 32n }, { hasPaging: true, isLongMode: false })).toHaveLength(1);
  });

  test('any bytes give violations of the list, never an exception', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 4096, maxLength: 4096 }), (image) => {
        expect(checkVmcb(image, capabilities).length).toBeGreaterThanOrEqual(0);
        expect(explainVmcb(image)).toContain('exit: ');
      }),
      { numRuns: 200 },
    );
  });
});

describe('words', () => {
  const exit = (code: number, info1 = 0n, info2 = 0n, interrupted = 0n) =>
    explainExit({ code, info1, info2, interrupted });

  test('names of exit codes', () => {
    expect([0x03, 0x14, 0x27, 0x4e, 0x65, 0x66, 0x72, 0x8d, 0x400, -1].map(exitName)).toEqual(
      'CR3_READ CR4_WRITE DR7_READ EXCP_PF CR0_SEL_WRITE IDTR_READ CPUID XSETBV NPF INVALID'.split(' '),
    );
    expect(exitName(0x555)).toBe('555h');
  });

  test('exits', () => {
    expect(exit(ExitCode.ioio, 0x3f8_0210n, 0x1002n)).toBe('IOIO: OUT port 3f8h, 8 bits, next RIP 1002h');
    expect(exit(ExitCode.ioio, 0x60_028dn, 0x1002n)).toContain('REP INS port 60h, 32 bits');
    expect(exit(ExitCode.msr, 1n)).toBe('MSR: WRMSR');
    expect(exit(ExitCode.exception + 14, 6n, 0x5000n)).toBe(
      'EXCP_PF: user write, not present at 5000h, error code 6h',
    );
    expect(exit(ExitCode.nestedPageFault, 0x2_0000_0007n, 0x9000n, 0x8000_0b0en | (2n << 32n))).toBe(
      'NPF: write, not allowed of a guest page table at guest-physical 9000h, error code 200000007h, while delivering exception eh, error code 2h',
    );
    expect(exit(ExitCode.crWrite + 3, (1n << 63n) | 7n)).toBe('CR3_WRITE: general register 7');
    expect(exit(ExitCode.cpuid)).toBe('CPUID');
  });

  test('a whole VMCB', () => {
    const text = explainVmcb(buildVmcb({ ...valid, interceptExceptions: 1 << 14, intercept1: 1 << 24 }));
    expect(text).toContain('intercepts: EXCP_PF, hlt, vmrun\n');
    expect(text).toContain('058h asid = 1h (address-space identifier of the guest)');
  });
});

/** Runs the example of the README: what it prints stands beside it. */
test('the example in the README', async () => {
  const readme = readFileSync(fileURLToPath(new URL('../README.md', import.meta.url)), 'utf8');
  const source = /<!-- example -->\n```ts\n([\s\S]*?)```/.exec(readme)?.[1] ?? '';
  const expected = [...source.matchAll(/\/\/ → (.*)$/gm)].map((match) => match[1]);
  const body = source.replace(/^import \{([^}]*)\} from '@nest86\/svm';/m, 'const {$1} = svm;');
  const printed: string[] = [];
  const console = { log: (...values: unknown[]) => printed.push(values.map(String).join(' ')) };
  new Function('svm', 'console', body)(await import('../src/index.ts'), console);
  expect(expected.length).toBeGreaterThan(0);
  expect(printed).toEqual(expected);
});
