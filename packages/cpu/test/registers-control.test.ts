import { describe, expect, test } from 'vitest';
import { Segment } from '../src/state/layout.ts';
import { DB, GP0, Machine, type Mode, UD } from './registers-machine.ts';

/** MOV CRn, RAX and MOV RAX, CRn; EAX outside 64-bit mode. */
const toCr = (n: number): string =>
  (n >= 8 ? `440f22 c${(n - 8).toString(16)}` : `0f22`) + (n >= 8 ? '' : (0xc0 | (n << 3)).toString(16));
const fromCr = (n: number): string => `0f20${(0xc0 | (n << 3)).toString(16)}`;
const toCr8 = '440f22c0';
const fromCr8 = '440f20c0';
const toDr = (n: number): string => `0f23${(0xc0 | (n << 3)).toString(16)}`;
const fromDr = (n: number): string => `0f21${(0xc0 | (n << 3)).toString(16)}`;

const allModes: readonly Mode[] = [
  'long64',
  'compatibility',
  'protected32',
  'protected16',
  'real',
  'virtual8086',
];

describe('MOV to and from control registers (SDM vol. 2)', () => {
  test.each([
    ['CPL 3', 'long64', 3],
    ['CPL 1', 'protected32', 1],
    ['virtual-8086 mode', 'virtual8086', 3],
  ] as const)('%s: #GP(0)', (_, mode, cpl) => {
    for (const code of [toCr(0), toCr(2), toCr(3), toCr(4), fromCr(0), fromCr(3)]) {
      expect(new Machine({ mode, cpl }).execute(code)).toEqual(GP0);
    }
  });

  test('reads CR0, CR2, CR3, CR4 and CR8; 32 bits outside 64-bit mode', () => {
    const machine = new Machine();
    machine.state.setBig('cr2', 0x1234_5678_9abc_def0n);
    machine.cr8 = 9;
    for (const [code, value] of [
      [fromCr(0), 0x8005_0033n],
      [fromCr(2), 0x1234_5678_9abc_def0n],
      [fromCr(3), 0xf_0000n],
      [fromCr(4), BigInt(machine.cr4)],
      [fromCr8, 9n],
    ] as const) {
      machine.rax = -1n;
      expect(machine.execute(code)).toBe('done');
      expect(machine.rax).toBe(value);
    }
    const compatible = new Machine({ mode: 'compatibility' });
    compatible.state.setBig('cr2', 0x1234_5678_9abc_def0n);
    compatible.execute(fromCr(2));
    expect(compatible.rax).toBe(0x9abc_def0n);
  });

  test('CR0: ET stays 1, reserved bits are ignored, the upper half must be 0', () => {
    const machine = new Machine();
    machine.rax = 0x9ffd_ffe3n;
    expect(machine.execute(toCr(0))).toBe('done');
    expect(machine.context.cr0 >>> 0).toBe(0x8005_0033);
    machine.rax = 0x1_8005_0033n;
    expect(machine.execute(toCr(0))).toEqual(GP0);
  });

  test.each([
    ['PG without PE', 0x8000_0010, 'protected32'],
    ['NW without CD', 0x2000_0011, 'protected32'],
    ['PG off in 64-bit code', 0x11, 'long64'],
  ] as const)('CR0: %s is #GP(0)', (_, value, mode) => {
    const machine = new Machine({ mode });
    machine.rax = BigInt(value);
    expect(machine.execute(toCr(0))).toEqual(GP0);
  });

  test('CR0: long mode is not entered with a 16-bit TSS, nor without PAE', () => {
    for (const [type, cr4, outcome] of [
      [0x8b, 0x20, 'done'],
      [0x83, 0x20, GP0],
      [0x81, 0x20, GP0],
      [0x8b, 0, GP0],
    ] as const) {
      const machine = new Machine({ mode: 'protected32' });
      machine.state.set('segmentAttributes', type, Segment.tr);
      machine.context.set({ cr4, efer: 0x100 });
      machine.rax = 0x8000_0011n;
      expect(machine.execute(toCr(0))).toEqual(outcome);
      expect((machine.context.efer & 0x400) !== 0).toBe(outcome === 'done');
    }
  });

  test('S0-07, S0-08: CR3 bit 63 and PCIDE', () => {
    const machine = new Machine();
    machine.rax = (1n << 63n) | 0xf_0000n;
    expect(machine.execute(toCr(3))).toEqual(GP0);
    // PCIDE 0 to 1 wants a PCID of 0.
    machine.context.set({ cr3: 0xf_0001 });
    machine.rax = BigInt(machine.cr4 | 0x2_0000);
    expect(machine.execute(toCr(4))).toEqual(GP0);
    machine.context.set({ cr3: 0xf_0000 });
    expect(machine.execute(toCr(4))).toBe('done');
    machine.rax = (1n << 63n) | 0xf_0005n;
    expect(machine.execute(toCr(3))).toBe('done');
    machine.execute(fromCr(3));
    expect(machine.rax).toBe(0xf_0005n);
  });

  test('S3-06: CR3 above MAXPHYADDR is #GP(0)', () => {
    const machine = new Machine();
    machine.rax = 1n << 46n;
    expect(machine.execute(toCr(3))).toEqual(GP0);
    machine.rax = (1n << 45n) | 0xf_0000n;
    expect(machine.execute(toCr(3))).toBe('done');
  });

  test('S3-07: bits of CR4 whose feature is not there are reserved', () => {
    const machine = new Machine();
    for (let bit = 0; bit < 32; bit++) {
      const isThere = ((machine.capabilities.cr4 >>> bit) & 1) !== 0;
      if (bit === 5 || bit === 17) continue;
      const fresh = new Machine();
      fresh.rax = BigInt((fresh.cr4 | (1 << bit)) >>> 0);
      expect([bit, fresh.execute(toCr(4))]).toEqual([bit, isThere ? 'done' : GP0]);
    }
    // LA57 (12), SMXE (14), CET (23) are not in the test's CPUID; UMIP (11) is.
    expect(machine.capabilities.cr4 & 0x80_5800).toBe(0x800);
    const without = new Machine({ cpuid: { '7.0': [0, 0, 0, 0] } });
    without.rax = BigInt(without.cr4 | 0x800);
    expect(without.execute(toCr(4))).toEqual(GP0);
    machine.rax = (1n << 32n) | BigInt(machine.cr4);
    expect(machine.execute(toCr(4))).toEqual(GP0);
  });

  test('CR8 is the task priority; bits 63:4 are reserved', () => {
    const machine = new Machine();
    machine.rax = 15n;
    expect(machine.execute(toCr8)).toBe('done');
    expect(machine.cr8).toBe(15);
    for (const value of [16n, 1n << 32n]) {
      machine.rax = value;
      expect(machine.execute(toCr8)).toEqual(GP0);
    }
  });

  test('CR1 and CR5 are #UD, also at CPL 3', () => {
    for (const n of [1, 5, 6, 7]) {
      let outcome: unknown;
      try {
        outcome = new Machine({ cpl: 3 }).execute(fromCr(n));
      } catch {
        // The decoder may have refused it, which is #UD too.
        outcome = UD;
      }
      expect(outcome).toEqual(UD);
    }
  });
});

describe('LMSW, SMSW, CLTS', () => {
  test('LMSW sets PE and does not clear it; TS EM MP are written', () => {
    const real = new Machine({ mode: 'real' });
    real.rax = 0xffffn;
    expect(real.execute('0f01f0')).toBe('done');
    expect(real.context.cr0).toBe(0x3f);
    real.rax = 0n;
    real.execute('0f01f0');
    expect(real.context.cr0).toBe(0x31);
  });

  test('LMSW and CLTS need CPL 0', () => {
    for (const code of ['0f01f0', '0f06']) {
      expect(new Machine({ cpl: 3 }).execute(code)).toEqual(GP0);
      expect(new Machine({ mode: 'virtual8086' }).execute(code)).toEqual(GP0);
    }
    const machine = new Machine();
    machine.context.cr0 |= 8;
    expect(machine.execute('0f06')).toBe('done');
    expect(machine.context.cr0 & 8).toBe(0);
  });

  test.each([
    ['0f01e0', 0x8005_0033n],
    ['660f01e0', 0xffff_ffff_ffff_0033n],
    ['480f01e0', 0x8005_0033n],
  ])('SMSW %s', (code, value) => {
    const machine = new Machine({ cpl: 3 });
    machine.rax = -1n;
    expect(machine.execute(code)).toBe('done');
    expect(machine.rax).toBe(value);
  });

  test('SMSW to memory writes 16 bits; CR4.UMIP forbids it outside CPL 0', () => {
    const machine = new Machine({ cpl: 3 });
    machine.view.setUint32(0x4000, 0xffff_ffff, true);
    machine.rbx = 0x4000n;
    expect(machine.execute('480f0123')).toBe('done');
    expect(machine.view.getUint32(0x4000, true)).toBe(0xffff_0033);
    machine.cr4 |= 0x800;
    expect(machine.execute('0f01e0')).toEqual(GP0);
    const kernel = new Machine();
    kernel.cr4 |= 0x800;
    expect(kernel.execute('0f01e0')).toBe('done');
  });
});

describe('MOV to and from debug registers (SDM vol. 2; vol. 3, 18.2)', () => {
  test.each(allModes)('%s: privilege', (mode) => {
    const cpl = mode === 'real' ? 0 : 3;
    const outcome = mode === 'real' ? 'done' : GP0;
    expect(new Machine({ mode, cpl }).execute(fromDr(0))).toEqual(outcome);
    expect(new Machine({ mode, cpl }).execute(toDr(7))).toEqual(outcome);
  });

  test('DR4 and DR5 are DR6 and DR7, and #UD with CR4.DE', () => {
    const machine = new Machine();
    machine.rax = 0xffff_ffffn;
    expect(machine.execute(toDr(5))).toBe('done');
    expect(machine.state.getBig('debug', 7)).toBe(0xffff_27ffn);
    machine.state.setBig('debug', 0x400n, 7);
    machine.execute(fromDr(4));
    expect(machine.rax).toBe(0xffff_0ff0n);
    machine.cr4 |= 8;
    for (const code of [toDr(4), fromDr(5)]) expect(machine.execute(code)).toEqual(UD);
    // Before privilege.
    const user = new Machine({ cpl: 3 });
    user.cr4 |= 8;
    expect(user.execute(toDr(4))).toEqual(UD);
  });

  test('general detect: #DB with BD in DR6', () => {
    const machine = new Machine();
    machine.state.setBig('debug', 0x2400n, 7);
    expect(machine.execute(fromDr(0))).toEqual(DB);
    expect(machine.state.getBig('debug', 6)).toBe(0xffff_2ff0n);
    // Privilege goes first.
    const user = new Machine({ cpl: 3 });
    user.state.setBig('debug', 0x2400n, 7);
    expect(user.execute(fromDr(0))).toEqual(GP0);
  });

  test.each([
    [6, 0n, 0xffff_0ff0n],
    [6, 0xffff_ffffn, 0xffff_efffn],
    [7, 0n, 0x400n],
    [7, 0xffff_dfffn, 0xffff_07ffn],
    [0, 0x8000_0000_0000_0000n, 0x8000_0000_0000_0000n],
  ])('DR%i := %x', (n, value, kept) => {
    const machine = new Machine();
    machine.rax = value;
    expect(machine.execute(toDr(n))).toBe('done');
    expect(machine.state.getBig('debug', n)).toBe(kept);
  });

  test('upper halves of DR6 and DR7 are reserved', () => {
    for (const n of [4, 5, 6, 7]) {
      const machine = new Machine();
      machine.rax = 1n << 32n;
      expect(machine.execute(toDr(n))).toEqual(GP0);
    }
  });
});
