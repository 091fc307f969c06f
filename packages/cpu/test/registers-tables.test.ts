import { describe, expect, test } from 'vitest';
import { Segment } from '../src/state/layout.ts';
import {
  AC0,
  absentPage,
  data,
  GP0,
  Machine,
  type Mode,
  PF,
  SS0,
  supervisorPage,
  UD,
} from './registers-machine.ts';

const canonical = 0xffff_8000_0000_1234n;
const notCanonical = 0x0000_8000_0000_0000n;

function at(machine: Machine, address = data): Machine {
  machine.rbx = BigInt(address);
  return machine;
}

describe('LGDT and LIDT (SDM vol. 2)', () => {
  const rows: readonly [Mode, string, number, bigint][] = [
    ['long64', '0f0113', 0, 0xffff_8000_1234_5678n],
    ['long64', '0f011b', 1, 0xffff_8000_1234_5678n],
    ['compatibility', '0f0113', 0, 0x1234_5678n],
    ['protected32', '0f011b', 1, 0x1234_5678n],
    ['protected32', '660f0113', 0, 0x34_5678n],
    ['protected16', '670f0113', 0, 0x34_5678n],
    ['protected16', '67660f0113', 0, 0x1234_5678n],
    ['real', '670f011b', 1, 0x34_5678n],
  ];
  test.each(rows)('%s %s', (mode, code, table, base) => {
    const machine = at(new Machine({ mode }));
    machine.view.setUint16(data, 0xabcd, true);
    machine.view.setBigUint64(data + 2, 0xffff_8000_1234_5678n, true);
    expect(machine.execute(code)).toBe('done');
    expect(machine.state.getBig('tableBase', table)).toBe(base);
    expect(machine.state.get('tableLimit', table)).toBe(0xabcd);
    expect(machine.state.get('tableLimit', 1 - table)).toBe(0);
  });

  test('CPL 0, a canonical base, memory', () => {
    for (const code of ['0f0113', '0f011b']) {
      expect(at(new Machine({ cpl: 3 })).execute(code)).toEqual(GP0);
      const machine = at(new Machine());
      machine.view.setBigUint64(data + 2, notCanonical, true);
      expect(machine.execute(code)).toEqual(GP0);
      expect(at(machine, absentPage - 4).execute(code)).toEqual(PF(0));
      machine.rbx = notCanonical;
      expect(machine.execute(code)).toEqual(GP0);
    }
    expect(new Machine({ mode: 'virtual8086' }).execute('670f0113')).toEqual(GP0);
    // RBP addresses the stack; a prefix that means nothing does not change that.
    const machine = new Machine();
    machine.state.setBig('gpr', notCanonical, 5);
    for (const code of ['0f015500', '3e0f015500']) expect(machine.execute(code)).toEqual(SS0);
  });
});

describe('SGDT and SIDT', () => {
  test.each<[Mode, string, number]>([
    ['long64', '0f0103', 8],
    ['protected32', '0f010b', 4],
    ['protected32', '660f0103', 4],
    ['real', '670f0103', 4],
  ])('%s %s', (mode, code, bytes) => {
    const machine = at(new Machine({ mode }));
    const table = code.endsWith('b') ? 1 : 0;
    machine.ram.fill(0xcc, data, data + 16);
    machine.state.setBig('tableBase', canonical, table);
    machine.state.set('tableLimit', 0x1ff, table);
    expect(machine.execute(code)).toBe('done');
    expect(machine.view.getUint16(data, true)).toBe(0x1ff);
    const base =
      bytes === 8
        ? machine.view.getBigUint64(data + 2, true)
        : BigInt(machine.view.getUint32(data + 2, true));
    expect(base).toBe(bytes === 8 ? canonical : 0x1234n);
    expect(machine.ram[data + 2 + bytes]).toBe(0xcc);
  });

  test('CR4.UMIP, faults', () => {
    for (const code of ['0f0103', '0f010b']) {
      const user = at(new Machine({ cpl: 3 }));
      expect(user.execute(code)).toBe('done');
      expect(at(user, absentPage - 4).execute(code)).toEqual(PF(6));
      expect(at(user, supervisorPage).execute(code)).toEqual(PF(7));
      user.cr4 |= 0x800;
      expect(at(user).execute(code)).toEqual(GP0);
      const kernel = at(new Machine());
      kernel.cr4 |= 0x800;
      expect(kernel.execute(code)).toBe('done');
    }
    const compatible = at(new Machine({ mode: 'compatibility' }));
    compatible.state.set('segmentRights', 1, Segment.ds);
    expect(compatible.execute('0f0103')).toEqual(GP0);
  });

  test('#AC: limit and base are aligned each', () => {
    const user = at(new Machine({ cpl: 3, mode: 'compatibility' }));
    user.context.cr0 |= 0x4_0000;
    user.flags = 0x4_0000;
    expect(user.execute('0f0103')).toEqual(AC0);
    expect(at(user, data + 1).execute('0f0103')).toEqual(AC0);
    expect(at(user, data + 2).execute('0f0103')).toBe('done');
  });
});

describe('INVLPG, INVPCID, caches', () => {
  test('S0-06: INVLPG drops the page; CPL 0; an address that is not canonical does nothing', () => {
    const machine = at(new Machine());
    machine.execute('0f0103');
    const entry = 0xf_3000 + 8 * (data >> 12);
    machine.view.setBigUint64(entry, 0xb007n, true);
    machine.state.set('tableLimit', 0x77);
    machine.execute('0f0103');
    expect(machine.ram[data]).toBe(0x77);
    expect(machine.execute('0f013b')).toBe('done');
    machine.state.set('tableLimit', 0x55);
    machine.execute('0f0103');
    expect([machine.ram[data], machine.ram[0xb000]]).toEqual([0x77, 0x55]);
    machine.rbx = notCanonical;
    expect(machine.execute('0f013b')).toBe('done');
    expect(new Machine({ cpl: 3 }).execute('0f013b')).toEqual(GP0);
    expect(new Machine({ mode: 'real' }).execute('670f013b')).toBe('done');
    // No limit is checked.
    const limited = at(new Machine({ mode: 'protected32' }));
    limited.state.set('segmentLast', 0, Segment.ds);
    expect(limited.execute('0f013b')).toBe('done');
  });

  test.each([
    ['type 0', 0n, 0n, 0x5000n, 'done'],
    ['type 1', 1n, 0n, 0n, 'done'],
    ['type 2', 2n, 0n, 0n, 'done'],
    ['type 3', 3n, 0n, 0n, 'done'],
    ['type 4', 4n, 0n, 0n, GP0],
    ['type above 32 bits', 1n << 32n, 0n, 0n, GP0],
    ['reserved bits', 2n, 0x1000n, 0n, GP0],
    ['PCID without PCIDE', 1n, 5n, 0n, GP0],
    ['not canonical', 0n, 0n, notCanonical, GP0],
  ] as const)('S0-09: INVPCID %s', (_, type, first, second, outcome) => {
    const machine = at(new Machine());
    machine.view.setBigUint64(data, first, true);
    machine.view.setBigUint64(data + 8, second, true);
    machine.rax = type;
    expect(machine.execute('660f388203')).toEqual(outcome);
    const user = at(new Machine({ cpl: 3 }));
    expect(user.execute('660f388203')).toEqual(GP0);
  });

  test('INVPCID reads 16 bytes', () => {
    expect(at(new Machine(), absentPage - 8).execute('660f388203')).toEqual(PF(0));
    expect(new Machine({ mode: 'virtual8086' }).execute('67660f388203')).toEqual(GP0);
  });

  test.each(['0f08', '0f09', 'f30f09'])('%s needs CPL 0', (code) => {
    expect(new Machine().execute(code)).toBe('done');
    expect(new Machine({ mode: 'real' }).execute(code)).toBe('done');
    expect(new Machine({ cpl: 3 }).execute(code)).toEqual(GP0);
  });
});

describe('bases of FS and GS', () => {
  const rdfs = 'f30fae c0';
  const rdfs64 = 'f3480fae c0';
  const wrgs = 'f30fae d8';
  const wrgs64 = 'f3480fae d8';

  test('#UD without CR4.FSGSBASE', () => {
    for (const code of [rdfs, rdfs64, wrgs, wrgs64]) expect(new Machine().execute(code)).toEqual(UD);
  });

  test('read and write, any CPL', () => {
    const machine = new Machine({ cpl: 3 });
    machine.cr4 |= 0x1_0000;
    machine.state.setBig('segmentBase', canonical, Segment.fs);
    machine.execute(rdfs);
    expect(machine.rax).toBe(0x1234n);
    machine.execute(rdfs64);
    expect(machine.rax).toBe(canonical);
    machine.execute(wrgs64);
    expect(machine.state.getBig('segmentBase', Segment.gs)).toBe(canonical);
    machine.rax = -1n;
    machine.execute(wrgs);
    expect(machine.state.getBig('segmentBase', Segment.gs)).toBe(0xffff_ffffn);
    machine.rax = notCanonical;
    expect(machine.execute(wrgs64)).toEqual(GP0);
  });

  test('SWAPGS: 64-bit mode, CPL 0', () => {
    const machine = new Machine();
    machine.state.setBig('segmentBase', 1n, Segment.gs);
    machine.state.setBig('kernelGsBase', canonical);
    expect(machine.execute('0f01f8')).toBe('done');
    expect(machine.state.getBig('segmentBase', Segment.gs)).toBe(canonical);
    expect(machine.state.getBig('kernelGsBase')).toBe(1n);
    expect(new Machine({ cpl: 3 }).execute('0f01f8')).toEqual(GP0);
  });
});

describe('HLT, MONITOR, MWAIT', () => {
  const monitor = '0f01c8';
  const mwait = '0f01c9';

  test('HLT needs CPL 0 and stops', () => {
    expect(new Machine({ cpl: 3 }).execute('f4')).toEqual(GP0);
    const machine = new Machine();
    expect(machine.execute('f4')).toBe('done');
    expect([machine.isStopped, machine.state.get('activity')]).toEqual([true, 1]);
    expect(machine.nextLow).toBe(0x1001);
  });

  test('S3-24: MONITOR and MWAIT are #UD outside CPL 0 and without MISC_ENABLE bit 18, which AMD does not have', () => {
    for (const code of [monitor, mwait]) {
      expect(new Machine({ cpl: 3 }).execute(code)).toEqual(UD);
      const machine = new Machine();
      machine.state.setBig('miscEnable', 0n);
      expect(machine.execute(code)).toEqual(UD);
      const amd = new Machine({ vendor: 'amd' });
      amd.state.setBig('miscEnable', 0n);
      expect(amd.execute(code)).toBe('done');
    }
  });

  test('MONITOR: RCX is 0; the address is read', () => {
    const machine = new Machine();
    machine.rax = BigInt(data);
    expect(machine.execute(monitor)).toBe('done');
    machine.rax = BigInt(absentPage);
    expect(machine.execute(monitor)).toEqual(PF(0));
    machine.rax = notCanonical;
    expect(machine.execute(monitor)).toEqual(GP0);
    for (const rcx of [1n, 1n << 32n]) {
      machine.rcx = rcx;
      expect(machine.execute(monitor)).toEqual(GP0);
    }
    const compatible = new Machine({ mode: 'compatibility' });
    compatible.rcx = 1n << 32n;
    expect(compatible.execute(monitor)).toBe('done');
    compatible.state.set('segmentLast', 0, Segment.es);
    compatible.rax = BigInt(data);
    compatible.rcx = 0n;
    expect(compatible.execute(`26${monitor}`)).toEqual(GP0);
  });

  test('MWAIT: extension 0 if CPUID shows it; the run ends and nothing waits', () => {
    const machine = new Machine();
    machine.rcx = 1n;
    expect(machine.execute(mwait)).toBe('done');
    expect([machine.isStopped, machine.state.get('activity')]).toEqual([true, 0]);
    machine.rcx = 2n;
    expect(machine.execute(mwait)).toEqual(GP0);
    const without = new Machine({ cpuid: { '5.0': [64, 64, 0, 0] } });
    without.rcx = 1n;
    expect(without.execute(mwait)).toEqual(GP0);
  });

  test('MONITORX and MWAITX at CPL 3', () => {
    const machine = new Machine({ vendor: 'amd', cpl: 3 });
    machine.rax = BigInt(data);
    expect(machine.execute('0f01fa')).toBe('done');
    machine.rax = BigInt(supervisorPage);
    expect(machine.execute('0f01fa')).toEqual(PF(5));
    machine.rcx = 3n;
    expect(machine.execute('0f01fb')).toBe('done');
    machine.rcx = 4n;
    expect(machine.execute('0f01fb')).toEqual(GP0);
    expect(machine.execute('0f01fa')).toEqual(GP0);
  });

  test('UMONITOR, UMWAIT, TPAUSE', () => {
    const machine = new Machine({ cpl: 3 });
    machine.rax = BigInt(data);
    expect(machine.execute('f30faef0')).toBe('done');
    machine.rax = BigInt(absentPage);
    expect(machine.execute('f30faef0')).toEqual(PF(4));
    for (const code of ['f20faef0', '660faef0']) {
      machine.rax = 1n;
      machine.flags = 0x8d7;
      expect(machine.execute(code)).toBe('done');
      expect(machine.flags).toBe(2);
      machine.rax = 2n;
      expect(machine.execute(code)).toEqual(GP0);
      const restricted = new Machine({ cpl: 3 });
      restricted.cr4 |= 4;
      expect(restricted.execute(code)).toEqual(GP0);
    }
  });
});
