import { describe, expect, test } from 'vitest';
import { Segment } from '../src/state/layout.ts';
import { Msr } from '../src/system/msrs.ts';
import { initializeState, resetState } from '../src/system/reset.ts';
import { GP0, Machine, type Mode, UD } from './registers-machine.ts';

const canonical = 0xffff_8000_0000_0000n;
const notCanonical = 0x0000_8000_0000_0000n;

describe('RDMSR and WRMSR (SDM vol. 2)', () => {
  test('need CPL 0; real-address mode has it', () => {
    for (const code of ['0f30', '0f32']) {
      expect(new Machine({ cpl: 3 }).execute(code)).toEqual(GP0);
      expect(new Machine({ mode: 'virtual8086' }).execute(code)).toEqual(GP0);
    }
    expect(new Machine({ mode: 'real' }).rdmsr(Msr.PAT)).toBe(0n);
  });

  test('S3-32: a register that nobody knows is #GP(0), as is one whose feature is not there', () => {
    const machine = new Machine();
    expect(machine.rdmsr(0x3b)).toEqual(GP0);
    expect(machine.wrmsr(0x3b, 0n)).toEqual(GP0);
    machine.others.set(0x3b, 0x1_0000_0002n);
    expect(machine.rdmsr(0x3b)).toBe(0x1_0000_0002n);
    expect(machine.wrmsr(0x3b, 0x55n)).toBe('done');
    expect(machine.others.get(0x3b)).toBe(0x55n);

    const old = new Machine({
      cpuid: { '80000001.0': [0, 0, 0, 0], 'd.1': [0, 0, 0, 0], '7.0': [0, 0, 0, 0], '1.0': [0, 0, 0, 0] },
      mode: 'protected32',
    });
    for (const index of [
      Msr.EFER,
      Msr.STAR,
      Msr.LSTAR,
      Msr.FS_BASE,
      Msr.KERNEL_GS_BASE,
      Msr.TSC_AUX,
      Msr.XSS,
      Msr.SYSENTER_CS,
    ]) {
      expect(old.rdmsr(index)).toEqual(GP0);
      expect(old.wrmsr(index, 0n)).toEqual(GP0);
    }
  });

  test('RDMSR clears the upper halves of RAX and RDX', () => {
    const machine = new Machine();
    machine.state.setBig('star', 0x1111_2222_3333_4444n);
    machine.rax = -1n;
    machine.rdx = -1n;
    machine.rdmsr(Msr.STAR);
    expect([machine.rax, machine.rdx]).toEqual([0x3333_4444n, 0x1111_2222n]);
  });

  test.each([
    Msr.LSTAR,
    Msr.CSTAR,
    Msr.FS_BASE,
    Msr.GS_BASE,
    Msr.KERNEL_GS_BASE,
    Msr.SYSENTER_ESP,
    Msr.SYSENTER_EIP,
  ])('%x wants a canonical address', (index) => {
    const machine = new Machine();
    expect(machine.wrmsr(index, canonical)).toBe('done');
    expect(machine.rdmsr(index)).toBe(canonical);
    expect(machine.wrmsr(index, notCanonical)).toEqual(GP0);
    expect(machine.rdmsr(index)).toBe(canonical);
    // 57 bits count where the processor has them, whatever CR4.LA57.
    const wide = new Machine({ cpuid: { '7.0': [0, 0, 1 << 16, 0] } });
    expect(wide.wrmsr(index, notCanonical)).toBe('done');
    expect(wide.wrmsr(index, 1n << 56n)).toEqual(GP0);
  });

  test('AMD has 32 bits of SYSENTER_ESP and SYSENTER_EIP, and ignores reserved bits where Intel faults', () => {
    const amd = new Machine({ vendor: 'amd' });
    const intel = new Machine();
    expect(amd.wrmsr(Msr.SYSENTER_EIP, notCanonical | 5n)).toBe('done');
    expect(amd.rdmsr(Msr.SYSENTER_EIP)).toBe(5n);
    for (const index of [Msr.FMASK, Msr.TSC_AUX]) {
      expect(amd.wrmsr(index, 0x1_0000_0007n)).toBe('done');
      expect(amd.rdmsr(index)).toBe(7n);
      expect(intel.wrmsr(index, 0x1_0000_0007n)).toEqual(GP0);
    }
  });

  test('FS and GS bases are those of the segments', () => {
    const machine = new Machine();
    machine.wrmsr(Msr.FS_BASE, 0x1234n);
    machine.wrmsr(Msr.GS_BASE, canonical);
    expect(machine.state.getBig('segmentBase', Segment.fs)).toBe(0x1234n);
    expect(machine.state.getBig('segmentBase', Segment.gs)).toBe(canonical);
  });

  test('PAT: types 2, 3 and above 7 are #GP(0)', () => {
    for (let type = 0; type < 256; type++) {
      const isValid = [0, 1, 4, 5, 6, 7].includes(type);
      for (const entry of [0, 3, 7])
        expect([type, new Machine().wrmsr(Msr.PAT, BigInt(type) << BigInt(8 * entry))]).toEqual([
          type,
          isValid ? 'done' : GP0,
        ]);
    }
  });

  test('S3-25: MISC_ENABLE keeps what it tells, refuses what is reserved, and AMD has none', () => {
    const machine = new Machine();
    machine.state.setBig('miscEnable', 0x1801n);
    expect(machine.wrmsr(Msr.MISC_ENABLE, 0x4_0080n)).toBe('done');
    expect(machine.rdmsr(Msr.MISC_ENABLE)).toBe(0x4_1800n);
    expect(machine.wrmsr(Msr.MISC_ENABLE, 2n)).toEqual(GP0);
    expect(machine.wrmsr(Msr.MISC_ENABLE, 1n << 33n)).toEqual(GP0);
    // Bit 34 takes NX away.
    const efer = (machine.rdmsr(Msr.EFER) as bigint) | 0x800n;
    expect(machine.wrmsr(Msr.EFER, efer)).toBe('done');
    expect(machine.wrmsr(Msr.MISC_ENABLE, 1n << 34n)).toBe('done');
    expect(machine.rdmsr(Msr.MISC_ENABLE)).toBe((1n << 34n) | 0x1800n);
    expect(machine.wrmsr(Msr.EFER, efer)).toEqual(GP0);
    expect(new Machine({ vendor: 'amd' }).rdmsr(Msr.MISC_ENABLE)).toEqual(GP0);
  });

  test('DEBUGCTL', () => {
    expect(new Machine().wrmsr(Msr.DEBUGCTL, 3n)).toBe('done');
    expect(new Machine().wrmsr(Msr.DEBUGCTL, 4n)).toEqual(GP0);
    expect(new Machine({ vendor: 'amd' }).wrmsr(Msr.DEBUGCTL, 0x3fn)).toBe('done');
    expect(new Machine({ vendor: 'amd' }).wrmsr(Msr.DEBUGCTL, 0x40n)).toEqual(GP0);
  });

  test('XSS: no component of it is there', () => {
    expect(new Machine().wrmsr(Msr.XSS, 0n)).toBe('done');
    expect(new Machine().wrmsr(Msr.XSS, 0x800n)).toEqual(GP0);
    expect(new Machine().wrmsr(Msr.XSS, 1n << 32n)).toEqual(GP0);
  });

  test('S3-29: APIC_BASE is the APIC’s to judge, and is kept', () => {
    const machine = new Machine();
    expect(machine.wrmsr(Msr.APIC_BASE, 0xfee0_0900n)).toEqual(GP0);
    expect(machine.rdmsr(Msr.APIC_BASE)).toEqual(GP0);
    machine.others.set(Msr.APIC_BASE, 0n);
    expect(machine.wrmsr(Msr.APIC_BASE, 0xfee0_0900n)).toBe('done');
    expect(machine.state.getBig('apicBase')).toBe(0xfee0_0900n);
  });

  test('time stamp counter', () => {
    const machine = new Machine();
    expect(machine.wrmsr(Msr.TIME_STAMP_COUNTER, 0x1_0000_0002n)).toBe('done');
    expect(machine.tscValue).toBe(0x1_0000_0002n);
    expect(machine.rdmsr(Msr.TIME_STAMP_COUNTER)).toBe(0x1_0000_0002n);
  });

  test('SMBASE: Intel shows it in SMM only and takes no writes; AMD has it in C0010111h', () => {
    const machine = new Machine();
    expect(machine.rdmsr(Msr.SMBASE)).toEqual(GP0);
    machine.state.set('inSmm', 1);
    expect(machine.rdmsr(Msr.SMBASE)).toBe(0x3_0000n);
    expect(machine.wrmsr(Msr.SMBASE, 0n)).toEqual(GP0);
    expect(machine.rdmsr(Msr.SMM_BASE)).toEqual(GP0);
    const amd = new Machine({ vendor: 'amd' });
    expect(amd.wrmsr(Msr.SMM_BASE, 0x8_0000n)).toBe('done');
    expect(amd.rdmsr(Msr.SMM_BASE)).toBe(0x8_0000n);
    expect(amd.rdmsr(Msr.SMBASE)).toEqual(GP0);
  });
});

test('IA32_PKRS is there with PKS alone, has 32 bits, and INIT leaves it and PKRU as they are', () => {
  const none = new Machine();
  expect(none.rdmsr(Msr.PKRS)).toEqual(GP0);
  expect(none.wrmsr(Msr.PKRS, 0n)).toEqual(GP0);
  const machine = new Machine({ cpuid: { '7.0': [0, 0x0010_0481, 0x8040_000c | 0, 0] } });
  expect(machine.wrmsr(Msr.PKRS, 0x1_0000_0000n)).toEqual(GP0);
  expect(machine.wrmsr(Msr.PKRS, 0xf000_0004n)).toBe('done');
  expect(machine.rdmsr(Msr.PKRS)).toBe(0xf000_0004n);
  machine.context.pkru = 8;
  initializeState(machine.state, machine.context, 0);
  expect(machine.rdmsr(Msr.PKRS)).toBe(0xf000_0004n);
  expect(machine.context.pkru).toBe(8);
  resetState(machine.state, machine.context, 0);
  expect([machine.context.pkrs, machine.context.pkru]).toEqual([0, 0]);
});

describe('EFER (SDM vol. 3, 2.2.1; APM vol. 2, 3.1.7)', () => {
  test('LME cannot change while paging is on; LMA is the processor’s', () => {
    const machine = new Machine();
    expect(machine.rdmsr(Msr.EFER)).toBe(0xd01n);
    expect(machine.wrmsr(Msr.EFER, 0xc01n)).toEqual(GP0);
    expect(machine.wrmsr(Msr.EFER, 0x901n)).toBe('done');
    expect(machine.rdmsr(Msr.EFER)).toBe(0xd01n);
    const real = new Machine({ mode: 'protected32' });
    expect(real.wrmsr(Msr.EFER, 0x500n)).toBe('done');
    expect(real.rdmsr(Msr.EFER)).toBe(0x100n);
  });

  test('AMD: LMA written unlike it is: #GP(0)', () => {
    const amd = new Machine({ vendor: 'amd' });
    expect(amd.wrmsr(Msr.EFER, 0x901n)).toEqual(GP0);
    expect(amd.wrmsr(Msr.EFER, 0xd00n)).toBe('done');
    expect(amd.rdmsr(Msr.EFER)).toBe(0xd00n);
  });

  test('reserved bits, among them those whose feature is not there', () => {
    for (const [bit, isThere] of [
      [0, true],
      [1, false],
      [11, true],
      [12, true],
      [13, false],
      [14, false],
      [15, false],
      [32, false],
    ] as const) {
      const machine = new Machine();
      const outcome = machine.wrmsr(Msr.EFER, 0xd01n | (1n << BigInt(bit)));
      expect([bit, outcome]).toEqual([bit, isThere ? 'done' : GP0]);
    }
    const noSvm = new Machine({ cpuid: { '80000001.0': [0, 0, 0, 0x2810_0800] } });
    expect(noSvm.wrmsr(Msr.EFER, 0x1d01n)).toEqual(GP0);
  });

  test('NXE reaches the memory unit', () => {
    const machine = new Machine();
    const before = machine.context.judge;
    machine.wrmsr(Msr.EFER, 0x501n);
    expect(machine.context.judge).not.toBe(before);
    expect(machine.contextChanges).toBeGreaterThan(0);
  });
});

describe('counters', () => {
  test('RDTSC, RDTSCP and CR4.TSD', () => {
    for (const [code, cpl, tsd, outcome] of [
      ['0f31', 0, true, 'done'],
      ['0f31', 3, false, 'done'],
      ['0f31', 3, true, GP0],
      ['0f01f9', 0, true, 'done'],
      ['0f01f9', 3, false, 'done'],
      ['0f01f9', 3, true, GP0],
    ] as const) {
      const machine = new Machine({ cpl });
      machine.tscValue = 0x1234_5678_9abc_def0n;
      machine.state.setBig('tscAux', 0x42n);
      machine.rax = machine.rdx = machine.rcx = -1n;
      if (tsd) machine.cr4 |= 4;
      expect(machine.execute(code)).toEqual(outcome);
      if (outcome !== 'done') continue;
      expect([machine.rax, machine.rdx]).toEqual([0x9abc_def0n, 0x1234_5678n]);
      expect(machine.rcx).toBe(code === '0f31' ? BigInt.asUintN(64, -1n) : 0x42n);
    }
  });

  test('RDPID asks nothing', () => {
    const machine = new Machine({ cpl: 3 });
    machine.cr4 |= 4;
    machine.state.setBig('tscAux', 0x8000_0042n);
    machine.rcx = -1n;
    expect(machine.execute('f30fc7f9')).toBe('done');
    expect(machine.rcx).toBe(0x8000_0042n);
  });

  test('RDPMC: CR4.PCE, and counters that are there', () => {
    for (const [vendor, index, msr] of [
      ['intel', 1n, 0xc2],
      ['intel', 0x4000_0001n, 0x30a],
      ['amd', 1n, 0xc001_0203],
    ] as const) {
      const machine = new Machine({ vendor });
      machine.rcx = index;
      expect(machine.execute('0f33')).toEqual(GP0);
      machine.others.set(msr, 0x12_3456_789an);
      expect(machine.execute('0f33')).toBe('done');
      expect([machine.rax, machine.rdx]).toEqual([0x3456_789an, 0x12n]);
      const user = new Machine({ vendor, cpl: 3 });
      user.others.set(msr, 0n);
      user.rcx = index;
      expect(user.execute('0f33')).toEqual(GP0);
      user.cr4 |= 0x100;
      expect(user.execute('0f33')).toBe('done');
    }
    const machine = new Machine();
    machine.rcx = 0x100n;
    expect(machine.execute('0f33')).toEqual(GP0);
  });
});

describe('CPUID, RDRAND and friends', () => {
  test('CPUID writes 32-bit registers', () => {
    const machine = new Machine({ cpl: 3, cpuid: { '7.1': [1, 2, 3, 4] } });
    machine.rax = 0xffff_ffff_0000_0007n;
    machine.rcx = 0xffff_ffff_0000_0001n;
    machine.rbx = machine.rdx = -1n;
    expect(machine.execute('0fa2')).toBe('done');
    expect([machine.rax, machine.rbx, machine.rcx, machine.rdx]).toEqual([1n, 2n, 3n, 4n]);
  });

  test('S0-29: CPUID faulting outside CPL 0 and SMM', () => {
    for (const [vendor, msr, value] of [
      ['intel', 0x140, 1n],
      ['amd', 0xc001_0015, 1n << 35n],
    ] as const) {
      const run = (cpl: number, inSmm: number, set: bigint): unknown => {
        const machine = new Machine({ vendor, cpl });
        machine.state.set('inSmm', inSmm);
        machine.others.set(msr, set);
        return machine.execute('0fa2');
      };
      expect(run(3, 0, value)).toEqual(GP0);
      expect(run(3, 0, 0n)).toBe('done');
      expect(run(0, 0, value)).toBe('done');
      expect(run(3, 1, value)).toBe('done');
    }
  });

  test.each([
    ['0fc7f0', 1n],
    ['660fc7f0', 0xffff_ffff_ffff_0001n],
    ['480fc7f8', 0x2_0000_0001n],
  ])('RDRAND, RDSEED %s: CF is 1, the other status flags 0', (code, value) => {
    const machine = new Machine({ cpl: 3 });
    machine.rax = -1n;
    machine.flags = 0x8d6;
    expect(machine.execute(code)).toBe('done');
    expect(machine.rax).toBe(value);
    expect(machine.flags).toBe(3);
  });

  test.each(['0f0b', '0fb9c0', '0fffc0', '0f37'])('%s is #UD', (code) => {
    expect(new Machine().execute(code)).toEqual(UD);
  });

  test('PKRU: CR4.PKE, ECX and EDX', () => {
    for (const code of ['0f01ee', '0f01ef']) expect(new Machine({ cpl: 3 }).execute(code)).toEqual(UD);
    const machine = new Machine({ cpl: 3 });
    machine.cr4 |= 0x40_0000;
    machine.rax = 0xffff_ffff_5555_5554n;
    expect(machine.execute('0f01ef')).toBe('done');
    machine.rdx = -1n;
    expect(machine.execute('0f01ee')).toBe('done');
    expect([machine.rax, machine.rdx]).toEqual([0x5555_5554n, 0n]);
    machine.rdx = 1n;
    expect(machine.execute('0f01ef')).toEqual(GP0);
    machine.rdx = 0n;
    machine.rcx = 1n;
    for (const code of ['0f01ee', '0f01ef']) expect(machine.execute(code)).toEqual(GP0);
  });

  test.each<[string, Mode]>([
    ['long64', 'long64'],
    ['real', 'real'],
  ])('SERIALIZE does nothing (%s)', (_, mode) => {
    expect(new Machine({ mode }).execute('0f01e8')).toBe('done');
  });
});
