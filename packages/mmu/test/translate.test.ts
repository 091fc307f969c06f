import { describe, expect, test } from 'vitest';
import { eptFrom, PagingOptionError, type TranslateOptions, translate } from '../src/index.ts';
import { A, D, Machine, P, PS, U, W, XD } from './oracle/machine.ts';

function dump(build: (machine: Machine, root: number) => void): { memory: Uint8Array; cr3: number } {
  const machine = new Machine();
  const root = machine.table();
  build(machine, root);
  return { memory: machine.memory.bytes, cr3: root * 4096 };
}

const usual = dump((machine, root) => {
  machine.map(root, 0x40_0000n, 0x5000n, P | W | U | A | D);
  machine.map(root, 0x40_1000n, 0x6000n, P | U | XD);
  machine.map(root, 0x40_2000n, 0x7000n | (1n << 50n) | (1n << 51n), P);
  machine.map(root, 0x60_0000n, 0xa0_0000n, P | W | (3n << 59n), { level: 2 });
});

const ask = (linear: number | bigint, access?: string, more: Partial<TranslateOptions> = {}) =>
  translate({
    memory: usual.memory,
    registers: { cr3: usual.cr3 },
    linear,
    ...(access === undefined ? {} : { access }),
    ...more,
  });

describe('translate', () => {
  test('tells each entry, and changes nothing', () => {
    const before = usual.memory.slice();
    const report = ask(0x400123, 'user write');
    expect(String(report).split('\n')).toEqual([
      'PML4E 0x10000: 0x11007 present write user',
      'PDPTE 0x11000: 0x12007 present write user',
      'PDE 0x12010: 0x13007 present write user',
      'PTE 0x13000: 0x5067 present write user accessed dirty',
      '0x400123 is 0x5123, in a page of 4 KiB',
    ]);
    expect([report.ok, report.physical, report.pageBytes, report.fault]).toEqual([
      true,
      0x5123n,
      4096,
      undefined,
    ]);
    expect(Buffer.compare(usual.memory, before)).toBe(0);
    expect(String(ask(0x612345)).split('\n').slice(-2)).toEqual([
      'PDE 0x12018: 0x1800000000a00083 present write supervisor large key 3',
      '0x612345 is 0xa12345, in a page of 2 MiB',
    ]);
  });

  test.each<[number | bigint, string, Partial<TranslateOptions>, string]>([
    [0x401000, 'user write', {}, '#PF(0x7): PTE is read-only'],
    [0x401000, 'write', {}, '#PF(0x3): PTE is read-only, and CR0.WP is 1'],
    [0x401000, 'user execute', {}, '#PF(0x15): PTE is no-execute'],
    [0x402000, 'read', {}, '#PF(0x9): PTE has reserved bits 50, 51 set'],
    [0x402000, 'read', { model: { physicalBits: 51 } }, '#PF(0x9): PTE has reserved bit 51 set'],
    [0x600000, 'user read', {}, '#PF(0x5): PDE is for the supervisor'],
    [0x403000, 'read', {}, '#PF(0x0): PTE is not present'],
    [0x40_0000_0000n, 'read', {}, '#PF(0x0): PDPTE is not present'],
    [0x400000, 'read shadow-stack', {}, '#PF(0x41): it is no page of a shadow stack of this privilege'],
    [1n << 47n, 'read', {}, 'not canonical: bits 63:47 are not all equal'],
    [
      0x400000,
      'read',
      { registers: { cr3: usual.cr3, cr4: 0x20_00a0 } },
      '#PF(0x1): SMAP: the supervisor may not use user pages while EFLAGS.AC is 0',
    ],
    [
      0x400000,
      'implicit read',
      { registers: { cr3: usual.cr3, cr4: 0x20_00a0, ac: true } },
      '#PF(0x1): SMAP: implicit accesses may not use user pages',
    ],
    [
      0x400000,
      'execute',
      { registers: { cr3: usual.cr3, cr4: 0x10_00a0 } },
      '#PF(0x11): SMEP: the supervisor may not execute user pages',
    ],
    [
      0x600000,
      'read',
      { registers: { cr3: usual.cr3, cr4: 0x100_00a0, pkrs: 1 << 6 } },
      '#PF(0x21): protection key 3 forbids it',
    ],
  ])('says why not: %s %s', (linear, access, more, expected) => {
    const report = ask(linear, access, more);
    expect(
      `${report.fault}${report.code === undefined ? '' : `(0x${report.code.toString(16)})`}: ${report.reason}`,
    ).toBe(expected);
    expect(String(report)).toContain(expected);
  });

  test('other modes: 32-bit, PAE registers, none', () => {
    const legacy = ask(0x400123, 'read', {
      registers: { cr3: usual.cr3, cr0: -0x7fff_ffff, cr4: 0, efer: 0 },
    });
    expect(legacy.steps.map(({ name, value }) => `${name} ${value.toString(16)}`)).toEqual(['PDE 0']);
    const pae = ask(0x400123, 'read', {
      registers: { cr0: -0x7fff_ffff, cr4: 0x20, efer: 0, pdptes: [0x12001n] },
    });
    expect(String(pae).split('\n')[0]).toBe('PDPTE register: 0x12001 present');
    expect(pae.physical).toBe(0x5123n);
    expect(ask(0x400123, 'read', { registers: { cr0: 1 } }).physical).toBe(0x400123n);
  });

  test('a second stage, indented, and its faults', () => {
    const staged = dump((machine, root) => {
      machine.map(root, 0x40_0000n, 0x5000n, P | W | U | A | D, { above: P | W | U | A });
      machine.write64(100, 0, (101n << 12n) | 7n);
      machine.write64(101, 0, (102n << 12n) | 7n);
      machine.write64(102, 0, (103n << 12n) | 7n);
      for (let page = 0; page < 100; page++) machine.write64(103, page, (BigInt(page) << 12n) | 0x37n);
      machine.write64(103, 5, 0x9031n);
      machine.write64(103, 6, 0x9032n);
    });
    const secondStage = eptFrom((100n << 12n) | 0x1en);
    const at = (access: string, linear = 0x40_0010) =>
      translate({ ...staged, registers: { cr3: staged.cr3 }, linear, access, secondStage });
    const report = at('read');
    expect(report.physical).toBe(0x9010n);
    expect(report.steps.length).toBe(24);
    expect(String(report).split('\n').slice(-6)).toEqual([
      'PTE 0x13000: 0x5067 present write user accessed dirty',
      '  EPT PML4E 0x64000: 0x65007 rwx',
      '  EPT PDPTE 0x65000: 0x66007 rwx',
      '  EPT PDE 0x66000: 0x67007 rwx',
      '  EPT PTE 0x67028: 0x9031 r-- WB',
      '0x400010 is 0x9010, in a page of 4 KiB',
    ]);
    expect(at('write').reason).toBe('writing guest-physical 0x5010: the entries do not all allow it');
    const view = new DataView(staged.memory.buffer);
    view.setBigUint64(0x13000, 0x6067n, true);
    expect(at('write').reason).toBe('EPT PTE allows writing without reading');
    view.setBigUint64(0x67000 + 0x13 * 8, 0n, true);
    expect(at('read').reason).toBe(
      'reading guest-physical 0x13000, where a guest page table lies: EPT PTE is not present',
    );
  });

  test('refuses words it does not know', () => {
    expect(() => ask(0, 'user fetch')).toThrow(PagingOptionError);
    expect(() => ask(0, 'user fetch')).toThrow(
      'access "fetch": words out of read, write, execute, user, supervisor, implicit, shadow-stack',
    );
    expect(PS).toBe(0x80n);
  });

  test('an image whose size is no multiple of a page, and an empty one', () => {
    expect(
      translate({
        memory: usual.memory.subarray(0, 0x13008),
        registers: { cr3: usual.cr3 },
        linear: 0x400123,
      }).physical,
    ).toBe(0x5123n);
    expect(translate({ memory: new Uint8Array(0), registers: { cr3: 0 }, linear: 0 }).reason).toContain(
      'reserved',
    );
  });
});
