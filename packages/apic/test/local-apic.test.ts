import { describe, expect, test } from 'vitest';
import { LocalSource } from '../src/index.ts';
import { command, drain, enable, makeBoard, offsets, read, readMsr, toX2apic, write } from './board.ts';

const lvts = [
  offsets.lvtTimer,
  offsets.lvtThermal,
  offsets.lvtPerformance,
  offsets.lint0,
  offsets.lint1,
  offsets.lvtError,
];

describe('registers (SDM vol. 3, 12.4)', () => {
  test('state after reset (12.4.7.1)', () => {
    const { apic } = makeBoard([3]);
    expect(read(apic, offsets.id)).toBe(0x0300_0000);
    expect(read(apic, offsets.version)).toBe(0x0105_0014);
    expect(read(apic, offsets.dfr)).toBe(0xffff_ffff);
    expect(read(apic, offsets.svr)).toBe(0xff);
    for (const entry of lvts) expect(read(apic, entry)).toBe(0x1_0000);
    for (const offset of [offsets.tpr, offsets.ppr, offsets.ldr, offsets.esr, offsets.icr, offsets.icr2])
      expect(read(apic, offset)).toBe(0);
    for (const offset of [offsets.initialCount, offsets.currentCount, offsets.divide])
      expect(read(apic, offset)).toBe(0);
    expect(readMsr(apic, 0x1b)).toEqual([0xfee0_0900, 0]);
    expect(apic.baseAddress).toBe(0xfee0_0000);
  });

  test('writes keep the bits that there are (figures 12-8 to 12-23)', () => {
    const { apic } = makeBoard();
    enable(apic);
    const kept = [
      [offsets.tpr, 0xff],
      [offsets.ldr, 0xff00_0000],
      [offsets.dfr, 0xffff_ffff],
      [offsets.icr2, 0xff00_0000],
      [offsets.lvtTimer, 0x7_00ff],
      [offsets.lvtThermal, 0x1_07ff],
      [offsets.lvtPerformance, 0x1_07ff],
      [offsets.lint0, 0x1_a7ff],
      [offsets.lint1, 0x1_a7ff],
      [offsets.lvtError, 0x1_00ff],
      [offsets.divide, 0xb],
      [offsets.svr, 0x13ff],
      [offsets.id, 0xff00_0000],
      [offsets.version, 0x0105_0014],
    ] as const;
    for (const [offset, bits] of kept) {
      write(apic, offset, -1);
      expect([offset, read(apic, offset)]).toEqual([offset, bits]);
    }
    // A start-up IPI to nobody: bit 12, delivery status, is always idle.
    command(apic, 0x0004_1612 | 0x8000, 9);
    write(apic, offsets.icr, 0x3_f600);
    expect(read(apic, offsets.icr)).toBe(0xc600);
  });

  test('without TSC deadline LVT bit 18 is reserved; with CMCI there is a seventh entry', () => {
    const { apic } = makeBoard([0], { features: { cmci: true, suppressBroadcast: false } }, false);
    enable(apic);
    write(apic, offsets.lvtTimer, 0x4_0000);
    expect(read(apic, offsets.lvtTimer)).toBe(0);
    expect(read(apic, offsets.version)).toBe(0x0006_0014);
    expect(read(apic, offsets.cmci)).toBe(0x1_0000);
    write(apic, offsets.svr, 0x1fff);
    expect(read(apic, offsets.svr)).toBe(0x3ff);
  });

  test('only whole registers are written; narrow reads see their part', () => {
    const { apic } = makeBoard([5]);
    apic.mmio.write(offsets.tpr, 1, 0x20);
    apic.mmio.write(offsets.tpr + 4, 4, 0x20);
    expect(read(apic, offsets.tpr)).toBe(0);
    expect(apic.mmio.read(offsets.id + 3, 1) & 0xff).toBe(5);
    expect(apic.mmio.read(offsets.version + 2, 2) & 0xffff).toBe(0x105);
    expect(apic.mmio.read(offsets.id + 4, 4)).toBe(0);
  });

  test('software disable masks the entries and keeps them masked (12.4.7.2)', () => {
    const { apic } = makeBoard();
    write(apic, offsets.lvtError, 0x40);
    expect(read(apic, offsets.lvtError)).toBe(0x1_0040);
    enable(apic);
    expect(read(apic, offsets.lvtError)).toBe(0x1_0040);
    for (const entry of lvts) write(apic, entry, 0x55);
    write(apic, offsets.svr, 0xff);
    for (const entry of lvts) expect(read(apic, entry)).toBe(0x1_0055);
  });

  test('software disable: requests that wait are still delivered, new ones are not accepted', () => {
    const { apic, news } = makeBoard();
    enable(apic);
    command(apic, 0x4_0051);
    write(apic, offsets.svr, 0xff);
    command(apic, 0x4_0061);
    expect(drain(apic)).toEqual([0x51]);
    news();
    command(apic, 0x400);
    expect(news()).toEqual(['nmi 0']);
  });
});

describe('errors (SDM vol. 3, 12.5.3)', () => {
  test('a write of ESR shows what was collected since the last, and starts anew', () => {
    const { apic } = makeBoard();
    enable(apic);
    write(apic, offsets.lvtError, 0x60);
    read(apic, 0x10);
    expect(read(apic, offsets.esr)).toBe(0);
    expect(drain(apic)).toEqual([0x60]);
    command(apic, 0x4_000f);
    // One interrupt until ESR is written.
    expect(apic.isPending).toBe(false);
    write(apic, offsets.esr, 0);
    expect(read(apic, offsets.esr)).toBe(0xa0);
    expect(read(apic, offsets.esr)).toBe(0xa0);
    write(apic, 0xff0, 1);
    expect(drain(apic)).toEqual([0x60]);
    write(apic, offsets.esr, 0);
    expect(read(apic, offsets.esr)).toBe(0x80);
    write(apic, offsets.esr, 0);
    expect(read(apic, offsets.esr)).toBe(0);
  });

  test('vectors below 16 are refused by who gets them, even if the error entry has one', () => {
    const { apic, fabric } = makeBoard();
    enable(apic);
    write(apic, offsets.lvtError, 3);
    fabric.deliverMsi(0xfee0_0000, 0x0f);
    expect(apic.isPending).toBe(false);
    write(apic, offsets.esr, 0);
    expect(read(apic, offsets.esr)).toBe(0x40);
  });

  test('reserved places of the page are illegal; registers of one direction are not', () => {
    const { apic } = makeBoard();
    for (const offset of [offsets.eoi, offsets.version, offsets.isr]) {
      read(apic, offset);
      write(apic, offset, 0);
    }
    write(apic, offsets.esr, 0);
    expect(read(apic, offsets.esr)).toBe(0);
    for (const offset of [0x00, 0x10, 0x40, 0xc0, 0x290, 0x2f0, 0x3a0, 0x3f0, 0x400, 0xff0]) {
      read(apic, offset);
      write(apic, offsets.esr, 0);
      expect([offset, read(apic, offsets.esr)]).toEqual([offset, 0x80]);
    }
  });
});

describe('local interrupts (SDM vol. 3, 12.5.1)', () => {
  test('delivery modes of LINT pins act on edges', () => {
    const { apic, news } = makeBoard();
    enable(apic);
    const modes = [
      [0x200, 'smi 0'],
      [0x400, 'nmi 0'],
      [0x500, 'init 0'],
      // Triggered by edges whatever bit 15 says.
      [0x8400, 'nmi 0'],
    ] as const;
    for (const [mode, told] of modes) {
      write(apic, offsets.lint1, mode);
      apic.lint1.set(true);
      apic.lint1.set(true);
      apic.lint1.set(false);
      expect(news()).toEqual([told]);
    }
    write(apic, offsets.lint1, 0x1_0400);
    apic.lint1.set(true);
    expect(news()).toEqual([]);
    write(apic, offsets.lint0, 0x44);
    apic.lint0.set(true);
    expect(drain(apic)).toEqual([0x44]);
    expect(apic.isPending).toBe(false);
  });

  test('a level-triggered fixed LINT0 comes again after its end, while the pin is high', () => {
    const { apic } = makeBoard();
    enable(apic);
    write(apic, offsets.lint0, 0x8044);
    apic.lint0.set(true);
    expect(read(apic, offsets.lint0)).toBe(0xc044);
    expect(apic.acknowledge()).toBe(0x44);
    expect(read(apic, offsets.tmr + 0x20)).toBe(0x10);
    expect(apic.isPending).toBe(false);
    write(apic, offsets.eoi, 0);
    expect(apic.isPending).toBe(true);
    apic.lint0.set(false);
    expect(drain(apic)).toEqual([0x44]);
    expect(read(apic, offsets.lint0)).toBe(0x8044);
    // Raised while masked: comes when it is unmasked.
    write(apic, offsets.lint0, 0x1_8044);
    apic.lint0.set(true);
    expect(apic.isPending).toBe(false);
    write(apic, offsets.lint0, 0x8044);
    expect(apic.isPending).toBe(true);
  });

  test('remote IRR of LINT0 falls when the entry is no longer level-triggered', () => {
    const { apic } = makeBoard();
    enable(apic);
    write(apic, offsets.lint0, 0x8044);
    apic.lint0.set(true);
    write(apic, offsets.lint0, 0x1_8044);
    expect(read(apic, offsets.lint0)).toBe(0x1_c044);
    write(apic, offsets.lint0, 0x1_0044);
    expect(read(apic, offsets.lint0)).toBe(0x1_0044);
  });

  test('the performance entry masks itself; others do not', () => {
    const { apic } = makeBoard();
    enable(apic);
    write(apic, offsets.lvtPerformance, 0x50);
    write(apic, offsets.lvtThermal, 0x70);
    apic.raise(LocalSource.performance);
    apic.raise(LocalSource.performance);
    apic.raise(LocalSource.thermal);
    apic.raise(LocalSource.cmci);
    expect(read(apic, offsets.lvtPerformance)).toBe(0x1_0050);
    expect(read(apic, offsets.lvtThermal)).toBe(0x70);
    expect(drain(apic)).toEqual([0x70, 0x50]);
  });

  test('ExtINT: the 8259 behind LINT0 gives the vector, past all priorities', () => {
    const given: number[] = [];
    const pic = { acknowledge: () => given.push(0) + 0x1f };
    const { apic, news } = makeBoard([0], { external: pic });
    enable(apic);
    news();
    apic.lint0.set(true);
    expect(apic.isPending).toBe(false);
    write(apic, offsets.lint0, 0x700);
    expect(news()).toEqual(['wake 0']);
    write(apic, offsets.tpr, 0xff);
    expect([apic.isPending, apic.acknowledge(), apic.isPending]).toEqual([true, 0x20, true]);
    apic.lint0.set(false);
    expect([apic.isPending, read(apic, offsets.isr + 0x10)]).toEqual([false, 0]);
    // By message, as an I/O APIC's pin sends it: one acknowledge each.
    apic.accept(7, 0, false);
    expect([apic.isPending, apic.acknowledge(), apic.isPending]).toEqual([true, 0x21, false]);
    expect(news()).toEqual(['wake 0']);
  });

  test('a disabled APIC leaves its pins to INTR and NMI', () => {
    const { apic, news } = makeBoard([0], { external: { acknowledge: () => 8 } });
    apic.msrs.write(0x1b, 0xfee0_0100 | 0, 0);
    apic.lint0.set(true);
    apic.lint1.set(true);
    expect(news()).toEqual(['wake 0', 'nmi 0']);
    expect([apic.isPending, apic.acknowledge()]).toEqual([true, 8]);
  });
});

describe('modes (SDM vol. 3, 12.12.5)', () => {
  const bases = { off: 0xfee0_0100, xapic: 0xfee0_0900, x2apic: 0xfee0_0d00, invalid: 0xfee0_0500 };
  const legal: Record<string, readonly string[]> = {
    off: ['off', 'xapic'],
    xapic: ['off', 'xapic', 'x2apic'],
    x2apic: ['off', 'x2apic'],
  };
  const paths: Record<string, readonly (keyof typeof bases)[]> = {
    off: ['off'],
    xapic: [],
    x2apic: ['x2apic'],
  };
  for (const from of Object.keys(legal))
    for (const to of Object.keys(bases) as (keyof typeof bases)[])
      test(`${from} to ${to}`, () => {
        const { apic } = makeBoard();
        for (const step of paths[from]) expect(apic.msrs.write(0x1b, bases[step] | 0, 0)).toBe(true);
        const before = readMsr(apic, 0x1b);
        const isLegal = legal[from].includes(to);
        expect(apic.msrs.write(0x1b, bases[to] | 0, 0)).toBe(isLegal);
        expect(readMsr(apic, 0x1b)).toEqual(isLegal ? [bases[to], 0] : before);
      });

  test('reserved bits of IA32_APIC_BASE', () => {
    const { apic } = makeBoard([0], { features: { physicalAddressBits: 40, x2apic: false } });
    for (const bit of [0, 1, 2, 3, 4, 5, 6, 7, 9, 10])
      expect(apic.msrs.write(0x1b, 0xfee0_0900 | (1 << bit), 0)).toBe(false);
    expect(apic.msrs.write(0x1b, 0xfee0_0900 | 0, 0x100)).toBe(false);
    expect(apic.msrs.write(0x1b, 0x1234_5900, 0xff)).toBe(true);
    expect(apic.baseAddress).toBe(0xff_1234_5000);
    expect(readMsr(apic, 0x802)).toBeUndefined();
  });

  test('off: the page answers no more, CR8 does; on again, all is as after reset', () => {
    let changes = 0;
    const { apic } = makeBoard([0], { baseChanged: () => changes++ });
    enable(apic);
    command(apic, 0x4_0090);
    apic.msrs.write(0x1b, 0xfee0_0100 | 0, 0);
    expect([changes, apic.isEnabled, apic.isMmioVisible, apic.isPending]).toEqual([1, false, false, false]);
    write(apic, offsets.tpr, 0x50);
    expect([read(apic, offsets.version), apic.taskPriority.read()]).toEqual([0xffff_ffff, 0]);
    apic.taskPriority.write(7);
    expect(apic.taskPriority.read()).toBe(7);
    apic.msrs.write(0x1b, 0xfee0_0900 | 0, 0);
    expect([read(apic, offsets.tpr), read(apic, offsets.svr), apic.isMmioVisible]).toEqual([0, 0xff, true]);
  });

  test('x2APIC mode keeps what xAPIC mode had, but for the identity', () => {
    const { apic } = makeBoard([0x123]);
    enable(apic);
    write(apic, offsets.tpr, 0x30);
    write(apic, offsets.ldr, 0x0400_0000);
    command(apic, 0x4_0071, 5);
    toX2apic(apic);
    expect(apic.isMmioVisible).toBe(false);
    expect(readMsr(apic, 0x802)).toEqual([0x123, 0]);
    expect(readMsr(apic, 0x80d)).toEqual([0x0012_0008, 0]);
    expect(readMsr(apic, 0x808)).toEqual([0x30, 0]);
    expect(drain(apic)).toEqual([0x71]);
    expect(readMsr(apic, 0x830)).toEqual([0x4_0071, 0]);
  });

  test('a written xAPIC id survives INIT, not a disabled APIC', () => {
    const { apic } = makeBoard([3]);
    write(apic, offsets.id, 0x0700_0000);
    apic.initialize();
    expect(read(apic, offsets.id)).toBe(0x0700_0000);
    apic.msrs.write(0x1b, 0xfee0_0100 | 0, 0);
    apic.msrs.write(0x1b, 0xfee0_0900 | 0, 0);
    expect(read(apic, offsets.id)).toBe(0x0300_0000);
    write(apic, offsets.id, 0x0700_0000);
    toX2apic(apic);
    expect(readMsr(apic, 0x802)).toEqual([3, 0]);
    apic.reset();
    expect(read(apic, offsets.id)).toBe(0x0300_0000);
  });

  test('INIT: registers as after reset, mode and id stay', () => {
    const { apic } = makeBoard([0x21]);
    toX2apic(apic);
    apic.msrs.write(0x808, 0x50, 0);
    apic.initialize();
    expect(readMsr(apic, 0x808)).toEqual([0, 0]);
    expect(readMsr(apic, 0x802)).toEqual([0x21, 0]);
    expect(readMsr(apic, 0x80d)).toEqual([0x0002_0002, 0]);
    expect(readMsr(apic, 0x1b)).toEqual([0xfee0_0d00, 0]);
    apic.reset();
    expect(readMsr(apic, 0x1b)).toEqual([0xfee0_0900, 0]);
  });
});

describe('x2APIC registers (SDM vol. 3, table 12-6)', () => {
  // R, W or both, by MSR; all others of 800h to 8FFh raise #GP.
  const kinds: Record<number, string> = {
    2050: 'r',
    2051: 'r',
    2056: 'rw',
    2058: 'r',
    2059: 'w',
    2061: 'r',
    2063: 'rw',
    2088: 'rw',
    2096: 'rw',
    2098: 'rw',
    2099: 'rw',
    2100: 'rw',
    2101: 'rw',
    2102: 'rw',
    2103: 'rw',
    2104: 'rw',
    2105: 'r',
    2110: 'rw',
    2111: 'w',
  };
  for (let index = 0x810; index < 0x828; index++) kinds[index] = 'r';

  test('which exist, and in which direction', () => {
    const { apic } = makeBoard();
    toX2apic(apic);
    const out = new Int32Array(2);
    for (let index = 0x800; index <= 0x8ff; index++) {
      const kind = kinds[index] ?? '';
      expect([index, apic.msrs.read(index, out)]).toEqual([index, kind.includes('r')]);
      expect([index, apic.msrs.write(index, 0, 0)]).toEqual([index, kind.includes('w')]);
      // The high half is ICR's alone.
      expect([index, apic.msrs.write(index, 0, 1)]).toEqual([index, index === 0x830]);
    }
    for (const index of [0x7ff, 0x900, 0x1000_0800, 0x8000_0802, 0xffff_fff2])
      expect([apic.msrs.read(index, out), apic.msrs.write(index, 0, 0)]).toEqual([false, false]);
  });

  test('none in xAPIC mode', () => {
    const { apic } = makeBoard();
    for (let index = 0x800; index <= 0x8ff; index++) expect(readMsr(apic, index)).toBeUndefined();
  });

  const reserved = [
    [0x808, 0xffff_ff00],
    [0x80b, 0xffff_ffff],
    [0x80f, 0xffff_ec00],
    [0x828, 0xffff_ffff],
    [0x830, 0xfff3_2000],
    [0x832, 0xfff8_af00],
    [0x833, 0xfffe_a800],
    [0x834, 0xfffe_a800],
    [0x835, 0xfffe_0800],
    [0x836, 0xfffe_0800],
    [0x837, 0xfffe_af00],
    [0x838, 0],
    [0x83e, 0xffff_fff4],
    [0x83f, 0xffff_ff00],
  ] as const;
  test.each(reserved)('reserved bits of MSR %i', (index, bits) => {
    const { apic } = makeBoard();
    toX2apic(apic);
    for (let bit = 0; bit < 32; bit++) {
      const value = 1 << bit;
      expect([bit, apic.msrs.write(index, value, 0)]).toEqual([bit, (bits & value) === 0]);
    }
  });

  test('SELF IPI', () => {
    const { apic } = makeBoard();
    toX2apic(apic);
    apic.msrs.write(0x80f, 0x1ff, 0);
    apic.msrs.write(0x83f, 0x77, 0);
    expect(drain(apic)).toEqual([0x77]);
    apic.msrs.write(0x83f, 0x0f, 0);
    apic.msrs.write(0x828, 0, 0);
    expect(readMsr(apic, 0x828)).toEqual([0x20, 0]);
  });
});
