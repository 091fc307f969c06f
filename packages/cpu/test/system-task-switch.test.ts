import { describe, expect, test } from 'vitest';
import { Segment } from '../src/state/layout.ts';
import {
  ldt,
  otherTss,
  program,
  Selector,
  stack0,
  stack3,
  TransferMachine,
  tss,
} from './transfer-machine.ts';

const { es, cs, ss, ds, fs, gs, ldtr, tr } = Segment;
const start = 0x1_8000;
const { free } = Selector;
const trapTask = 1 << 15;

interface Task {
  readonly eip?: number;
  readonly flags?: number;
  /** ES CS SS DS FS GS. */
  readonly selectors?: readonly number[];
  readonly ldt?: number;
  readonly cr3?: number;
  readonly trap?: number;
}

/** JMP and CALL to the TSS at `free`, IRET from a task that it called. */
const instructions = { jump: 'ea000000008000', call: '9a000000008000', iret: 'cf' } as const;
const sources = ['jump', 'call', 'iret'] as const;
type Source = (typeof sources)[number];

function prepare(source: Source, task: Task = {}, privilege = 0): TransferMachine {
  const machine = new TransferMachine().protected(privilege);
  const { eip = start, flags = 0x202, cr3 = 0, trap = 0 } = task;
  const { data, code } = Selector;
  machine.describe(free, { base: otherTss, limit: 0x67, attributes: source === 'iret' ? 0x8b : 0x89 });
  machine.words(otherTss + 0x1c, cr3, eip, flags, 10, 11, 12, 13, stack3, 15, 16, 17);
  machine.words(otherTss + 0x48, ...(task.selectors ?? [data, code, data, data, 0, 0]), task.ldt ?? 0, trap);
  for (let i = 0; i < 8; i++) if (i !== 4) machine.setRegister(i, 100 + i);
  if (source === 'iret') {
    machine.state.flags = 0x4046;
    machine.halves(tss, free);
  } else machine.state.flags = 0x46;
  return machine;
}

function run(machine: TransferMachine, source: Source): string {
  return machine.run(instructions[source]);
}

describe('what a task switch does (SDM vol. 3, 7.3)', () => {
  test.each(sources)('%s', (source) => {
    const machine = prepare(source);
    const length = instructions[source].length / 2;
    expect(run(machine, source)).toBe('');
    // The new task's state.
    expect(machine.rip).toBe(BigInt(start));
    const isNested = source === 'call';
    expect(machine.flags).toBe(isNested ? 0x4202 : 0x202);
    expect(Array.from({ length: 8 }, (_, i) => Number(machine.register(i)))).toEqual([
      10,
      11,
      12,
      13,
      stack3,
      15,
      16,
      17,
    ]);
    expect([es, cs, ss, ds, fs, gs].map((segment) => machine.selector(segment))).toEqual([
      Selector.data,
      Selector.code,
      Selector.data,
      Selector.data,
      0,
      0,
    ]);
    expect(machine.selector(ldtr)).toBe(0);
    expect(machine.context.cr0 & 8).toBe(8);
    expect(machine.selector(tr)).toBe(free);
    expect(machine.attributes(tr)).toBe(0x8b);
    // The old task's.
    expect(machine.read(tss + 0x20, 10)).toEqual([
      program + length,
      0x46,
      100,
      101,
      102,
      103,
      stack0,
      105,
      106,
      107,
    ]);
    expect([0, 1, 2, 3, 4, 5].map((i) => machine.read(tss + 0x48 + 4 * i, 1, 2)[0])).toEqual([
      Selector.data,
      Selector.code,
      Selector.data,
      Selector.data,
      Selector.data,
      Selector.data,
    ]);
    // Busy bits and the link (SDM vol. 3, table 7-2).
    expect(machine.accessByte(Selector.tss)).toBe(isNested ? 0x8b : 0x89);
    expect(machine.accessByte(free)).toBe(0x8b);
    expect(machine.read(otherTss, 1, 2)).toEqual([isNested ? Selector.tss : 0]);
  });

  test('static fields and upper halves of the old TSS stay', () => {
    const machine = prepare('jump');
    machine.words(tss + 0x48, -1);
    machine.words(tss + 0x60, 0x1234_5678);
    machine.words(tss + 0x1c, 0x9999_9999);
    run(machine, 'jump');
    expect(machine.read(tss + 0x48, 1)).toEqual([0xffff_0010]);
    expect(machine.read(tss + 0x60, 1)).toEqual([0x1234_5678]);
    expect(machine.read(tss + 0x1c, 1)).toEqual([0x9999_9999]);
  });

  test('local breakpoints end (SDM vol. 3, 17.2.4)', () => {
    const machine = prepare('jump');
    machine.state.setPair('debug', 0x7ff | 0xf_0000, 0, 7);
    run(machine, 'jump');
    expect(machine.state.low('debug', 7)).toBe(0xf_0000 | 0x6aa);
  });

  test('another privilege level', () => {
    const { userCode, userData } = Selector;
    const machine = prepare('jump', { selectors: [0, userCode, userData, userData, 0, 0] });
    expect(run(machine, 'jump')).toBe('');
    expect(machine.cpl).toBe(3);
  });

  test('to virtual-8086 mode', () => {
    const machine = prepare('jump', { flags: 0x2_0202, selectors: [1, 2, 3, 4, 5, 6], eip: 0x123 });
    expect(run(machine, 'jump')).toBe('');
    expect(machine.cpl).toBe(3);
    expect([es, cs, ss, ds, fs, gs].map((segment) => machine.state.low('segmentBase', segment))).toEqual([
      16, 32, 48, 64, 80, 96,
    ]);
    expect(machine.attributes(ss)).toBe(0xf3);
  });

  test('an LDT, and segments in it', () => {
    const machine = prepare('call', {
      ldt: Selector.ldt,
      selectors: [4, Selector.code, Selector.data, 0, 0, 0],
    });
    machine.describe(4, { base: 0x77, limit: 5, attributes: 0x92 });
    machine.segment(ldtr, 0, 0, 0, 0x1_0000);
    expect(run(machine, 'call')).toBe('');
    expect(machine.state.low('segmentBase', ldtr)).toBe(ldt);
    expect(machine.state.low('segmentBase', es)).toBe(0x77);
  });

  test('16-bit TSS, in both directions', () => {
    const machine = prepare('jump');
    machine.describe(free, { base: otherTss, limit: 0x2b, attributes: 0x81 });
    machine.halves(otherTss + 0x0e, 0x8000, 0x202, 10, 11, 12, 13, 0xb000, 15, 16, 17);
    machine.halves(otherTss + 0x22, Selector.data, Selector.code, Selector.data, 0, 0);
    machine.halves(otherTss + 0x2c, 0x7777);
    expect(run(machine, 'jump')).toBe('');
    expect(machine.rip).toBe(0x8000n);
    expect(machine.register(0)).toBe(10n);
    expect([fs, gs].map((segment) => machine.selector(segment))).toEqual([0, 0]);
    machine.setRegister(0, 0x1_2345);
    // Back, from the 16-bit TSS to the 32-bit one, which is free now.
    machine.words(tss + 0x20, start);
    machine.words(tss + 0x48, 0, Selector.code, Selector.data, 0, 0, 0, 0, 0);
    expect(machine.run(`ea00000000${Selector.tss.toString(16)}00`)).toBe('');
    expect(machine.read(otherTss + 0x0e, 3, 2)).toEqual([0x8007, 0x202, 0x2345]);
    expect(machine.read(otherTss + 0x2c, 1, 2)).toEqual([0x7777]);
  });

  test('CR3 is loaded where paging is on', () => {
    // Page directories for 4 MiB pages, identity.
    const machine = prepare('jump', { cr3: 0x10_4000 });
    machine.words(0x10_4000, 0x87);
    machine.words(0x10_3000, 0x87);
    machine.context.set({ cr0: 0x80000001 | 0, cr4: 0x10, cr3: 0x10_3000 });
    machine.mmu.enter(machine.context);
    expect(run(machine, 'jump')).toBe('');
    expect(machine.context.cr3Low).toBe(0x10_4000);
    const flat = prepare('jump', { cr3: 0x10_4000 });
    run(flat, 'jump');
    expect(flat.context.cr3Low).toBe(0);
  });

  test('T: #DB before the first instruction of the new task', () => {
    const machine = prepare('jump', { trap: 1 });
    expect(run(machine, 'jump')).toBe('1');
    expect(machine.ripLow).toBe(start);
    expect(machine.state.low('debug', 6) & trapTask).toBe(trapTask);
  });
});

describe('what stops a task switch (SDM vol. 3, table 7-1)', () => {
  test.each([
    ['privilege of the TSS', 3, 0x89, 0x67, '13(80)'],
    ['not present', 0, 0x09, 0x67, '11(80)'],
    ['busy', 0, 0x8b, 0x67, '13(80)'],
    ['too small', 0, 0x89, 0x66, '10(80)'],
    ['too small, 16 bits', 0, 0x81, 0x2a, '10(80)'],
  ])('%s', (_, privilege, attributes, limit, fault) => {
    for (const source of ['jump', 'call'] as const) {
      const machine = prepare(source, {}, privilege);
      machine.describe(free, { base: otherTss, limit, attributes });
      expect(run(machine, source)).toBe(fault);
      expect(machine.ripLow).toBe(program);
      expect(machine.selector(tr)).toBe(Selector.tss);
    }
  });

  test('a TSS that cannot be read or written: nothing has changed', () => {
    for (const [page, bits, code] of [
      [otherTss, 0, '14(0)'],
      [tss, 0, '14(2)'],
      [tss, 1, '14(3)'],
    ] as const) {
      const machine = prepare('call');
      // A page table at 104000h.
      for (let i = 0; i < 512; i++) machine.words(0x10_4000 + 4 * i, (i << 12) | 3);
      machine.words(0x10_5000, 0x10_4003);
      machine.words(0x10_4000 + (page >> 10), bits === 0 ? 0 : page | bits);
      machine.context.set({ cr0: 0x80010001 | 0, cr3: 0x10_5000 });
      machine.mmu.enter(machine.context);
      expect(run(machine, 'call')).toBe(code);
      expect(machine.ripLow).toBe(program);
      expect(machine.accessByte(free)).toBe(0x89);
    }
  });
});

test('an old TSS of which a part is missing is not written at all', () => {
  const machine = prepare('call');
  // EIP to ESP lie below C000h, which is not mapped.
  machine.segment(tr, Selector.tss, 0xbfc0, 0x67, 0x8b);
  machine.words(0xbfe0, 0x7777_7777);
  for (let i = 0; i < 512; i++) machine.words(0x10_4000 + 4 * i, i === 0xc ? 0 : (i << 12) | 3);
  machine.words(0x10_5000, 0x10_4003);
  machine.context.set({ cr0: 0x80010001 | 0, cr3: 0x10_5000 });
  machine.mmu.enter(machine.context);
  expect(run(machine, 'call')).toBe('14(2)');
  expect(machine.faultAddress).toBe(0xc000n);
  expect(machine.read(0xbfe0, 1)).toEqual([0x7777_7777]);
});

describe('exceptions of the new task (SDM vol. 3, table 7-1, conditions 5 to 18)', () => {
  const { code, data, userCode, userData, conforming } = Selector;
  const absent = 0x90;
  test.each([
    ['LDT from the LDT', { ldt: 0x64 }, '10(64)'],
    ['LDT is none', { ldt: data }, '10(10)'],
    ['LDT not present', { ldt: absent + 8 }, '10(98)'],
    ['CS null', { selectors: [0, 0, data, 0, 0, 0] }, '10(0)'],
    ['CS is data', { selectors: [0, data, data, 0, 0, 0] }, '10(10)'],
    ['CS: DPL and RPL differ', { selectors: [0, code | 3, data, 0, 0, 0] }, '10(8)'],
    ['CS conforming, DPL above RPL', { selectors: [0, absent + 16, data, 0, 0, 0] }, '10(a0)'],
    ['CS conforming', { selectors: [0, conforming | 3, userData, 0, 0, 0] }, ''],
    ['CS not present', { selectors: [0, absent, data, 0, 0, 0] }, '11(90)'],
    ['SS null', { selectors: [0, code, 0, 0, 0, 0] }, '10(0)'],
    ['SS: RPL', { selectors: [0, code, data | 3, 0, 0, 0] }, '10(10)'],
    ['SS: DPL', { selectors: [0, userCode, data | 3, 0, 0, 0] }, '10(10)'],
    ['SS not present', { selectors: [0, code, absent + 24, 0, 0, 0] }, '12(a8)'],
    ['DS is execute-only', { selectors: [0, code, data, absent + 32, 0, 0] }, '10(b0)'],
    ['DS: DPL', { selectors: [0, userCode, userData, data, 0, 0] }, '10(10)'],
    ['GS beyond the table', { selectors: [0, code, data, 0, 0, 0x800] }, '10(800)'],
    ['FS not present', { selectors: [0, code, data, 0, absent + 24, 0] }, '11(a8)'],
    ['EIP beyond the limit', { selectors: [0, Selector.code16, data, 0, 0, 0] }, '13(0)'],
  ])('%s', (_, task, fault) => {
    const machine = prepare('jump', task);
    machine.describe(absent, { attributes: 0xc01a });
    machine.describe(absent + 8, { attributes: 0x02 });
    machine.describe(absent + 16, { limit: 0xfffff, attributes: 0xc0fe });
    machine.describe(absent + 24, { attributes: 0xc012 });
    machine.describe(absent + 32, { attributes: 0xc098 });
    expect(run(machine, 'jump')).toBe(fault);
    // Saved CS:EIP are the new task's.
    expect(machine.ripLow).toBe(start);
    expect(machine.selector(tr)).toBe(free);
  });
});
