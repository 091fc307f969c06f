import { describe, expect, test } from 'vitest';
import { Segment } from '../src/state/layout.ts';
import { gdt, program, Selector, stack0, TransferMachine } from './transfer-machine.ts';

const { es, ss, ds, fs, ldtr, tr } = Segment;
const free = Selector.free;

/** MOV to a segment register from AX: 8E /r. */
const mov = ['8ec0', '8ec8', '8ed0', '8ed8', '8ee0', '8ee8'];

function load(machine: TransferMachine, segment: number, selector: number): string {
  machine.setRegister(0, selector);
  return machine.run(mov[segment]);
}

describe('MOV to DS, ES, FS, GS in protected mode (SDM vol. 2, MOV)', () => {
  // Privilege, RPL, attributes of the descriptor, exception.
  test.each([
    ['data of the same level', 0, 0, 0xc092, ''],
    ['read-only data', 0, 0, 0xc090, ''],
    ['readable code', 0, 0, 0xc09a, ''],
    ['execute-only code', 0, 0, 0xc098, '13(80)'],
    ['an LDT', 0, 0, 0x82, '13(80)'],
    ['inner data', 3, 3, 0xc092, '13(80)'],
    ['outer data', 0, 0, 0xc0f2, ''],
    ['RPL above DPL', 0, 3, 0xc092, '13(80)'],
    ['inner conforming code that may be read', 3, 3, 0xc09e, ''],
    ['inner conforming code that may not', 3, 3, 0xc09c, '13(80)'],
    ['not present', 0, 0, 0xc012, '11(80)'],
    ['not present and not allowed', 3, 3, 0xc012, '13(80)'],
  ])('%s', (_, privilege, rpl, attributes, fault) => {
    const machine = new TransferMachine().protected(privilege);
    machine.describe(free, { base: 0x1234_5678, limit: 0x12345, attributes });
    expect(load(machine, es, free | rpl)).toBe(fault);
    if (fault !== '') return;
    expect(machine.selector(es)).toBe(free | rpl);
    expect(machine.state.low('segmentBase', es)).toBe(0x1234_5678);
    expect(machine.state.get('segmentLimit', es)).toBe(0x1234_5fff);
    expect(machine.attributes(es)).toBe(attributes | 1);
    expect(machine.accessByte(free)).toBe((attributes | 1) & 0xff);
  });

  test('null: no fault, no access', () => {
    const machine = new TransferMachine().protected();
    for (const selector of [0, 3]) {
      expect(load(machine, ds, selector)).toBe('');
      expect(machine.selector(ds)).toBe(selector);
      expect(machine.state.get('segmentRights', ds)).toBe(0);
    }
  });

  test('beyond the table; the last descriptor that fits', () => {
    const machine = new TransferMachine().protected();
    machine.describe(free, { attributes: 0x92 });
    machine.state.set('tableLimit', free + 6);
    expect(load(machine, ds, free)).toBe('13(80)');
    machine.state.set('tableLimit', free + 7);
    expect(load(machine, ds, free)).toBe('');
  });

  test('the LDT, and none', () => {
    const machine = new TransferMachine().protected();
    machine.describe(0xf | 4, { base: 64, limit: 1, attributes: 0x92 });
    expect(load(machine, ds, 0xc)).toBe('');
    expect(machine.state.low('segmentBase', ds)).toBe(64);
    expect(load(machine, ds, 0x104)).toBe('13(104)');
    machine.setRegister(0, 0);
    expect(machine.run('0f00d0')).toBe('');
    expect(load(machine, ds, 0xc)).toBe('13(c)');
  });

  test('a table that cannot be written: only where the accessed bit must be set', () => {
    const machine = new TransferMachine().compatibility();
    machine.context.set({ cr0: 0x80010001 | 0 });
    machine.map(gdt, 5);
    expect(load(machine, es, Selector.data)).toBe('14(3)');
    expect(machine.faultAddress).toBe(BigInt(gdt + Selector.data + 5));
    machine.map(gdt, 7);
    expect(load(machine, es, Selector.data)).toBe('');
    machine.map(gdt, 5);
    expect(load(machine, es, Selector.data)).toBe('');
  });

  test('descriptor tables are read as a supervisor', () => {
    const machine = new TransferMachine().compatibility(3);
    machine.map(gdt, 3);
    expect(load(machine, es, Selector.userData)).toBe('');
  });
});

describe('what the engine checks by (SDM vol. 3, 3.4.5.1)', () => {
  test.each([
    ['data', 0x92, 0xfff, [0, 0xfff, 3]],
    ['read-only', 0x90, 0xfff, [0, 0xfff, 1]],
    ['expand-down, 16 bits', 0x96, 0xfff, [0x1000, 0xffff, 3]],
    ['expand-down, 32 bits', 0x4096, 0xfff, [0x1000, 0xffff_ffff, 3]],
    ['expand-down and read-only', 0x4094, 0xfff, [0x1000, 0xffff_ffff, 1]],
    ['expand-down without an offset', 0x96, 0xffff, [0xffff_ffff, 0, 3]],
    ['code', 0x9a, 0, [0, 0, 1]],
  ])('%s', (_, attributes, limit, expected) => {
    const machine = new TransferMachine().protected();
    machine.describe(free, { limit, attributes });
    expect(load(machine, ds, free)).toBe('');
    const { state } = machine;
    expect([
      state.get('segmentFirst', ds) >>> 0,
      state.get('segmentLast', ds) >>> 0,
      state.get('segmentRights', ds),
    ]).toEqual(expected);
  });
});

describe('MOV to SS', () => {
  test.each([
    ['writable data', 0, 0, 0xc092, ''],
    ['read-only data', 0, 0, 0xc090, '13(80)'],
    ['code', 0, 0, 0xc09a, '13(80)'],
    ['RPL is not CPL', 0, 3, 0xc092, '13(80)'],
    ['DPL is not CPL', 0, 0, 0xc0f2, '13(80)'],
    ['level 3', 3, 3, 0xc0f2, ''],
    ['not present', 0, 0, 0xc012, '12(80)'],
  ])('%s', (_, privilege, rpl, attributes, fault) => {
    const machine = new TransferMachine().protected(privilege);
    machine.describe(free, { limit: 0xfffff, attributes });
    expect(load(machine, ss, free | rpl)).toBe(fault);
    // SDM vol. 3, 6.8.3
    expect(machine.state.get('interruptShadow')).toBe(fault === '' ? 2 : 0);
  });

  test.each([
    ['protected mode', () => new TransferMachine().protected(), 0, '13(0)'],
    ['compatibility mode', () => new TransferMachine().compatibility(), 0, '13(0)'],
    ['64-bit mode', () => new TransferMachine().long(), 0, ''],
    ['64-bit mode, RPL is not CPL', () => new TransferMachine().long(), 1, '13(0)'],
    ['64-bit mode, level 3', () => new TransferMachine().long(3), 3, '13(0)'],
  ])('null in %s', (_, start, selector, fault) => {
    expect(load(start(), ss, selector)).toBe(fault);
  });
});

describe('real-address and virtual-8086 mode', () => {
  test('limit and attributes survive in real-address mode', () => {
    const machine = new TransferMachine().real();
    machine.segment(ds, 0, 0, -1, 0xc093);
    expect(load(machine, ds, 0x1234)).toBe('');
    expect(machine.state.low('segmentBase', ds)).toBe(0x12340);
    expect(machine.state.get('segmentLast', ds)).toBe(-1);
    expect(machine.state.get('segmentRights', ds)).toBe(3);
  });

  test('a segment that was null in protected mode is usable again', () => {
    const machine = new TransferMachine().protected();
    machine.segment(ds, Selector.data16, 0, 0xffff, 0x93);
    load(machine, ds, 0);
    machine.context.set({ cr0: 0 });
    load(machine, ds, 0xffff);
    expect(machine.state.low('segmentBase', ds)).toBe(0xffff0);
    expect(machine.state.get('segmentLast', ds)).toBe(0xffff);
    expect(machine.state.get('segmentRights', ds)).toBe(3);
  });

  test('virtual-8086 mode gives 64 KiB at level 3', () => {
    const machine = new TransferMachine().virtual8086();
    machine.segment(fs, 0, 0, 1, 0xc0f1);
    expect(load(machine, fs, 0x1234)).toBe('');
    expect(machine.state.low('segmentBase', fs)).toBe(0x12340);
    expect(machine.state.get('segmentLast', fs)).toBe(0xffff);
    expect(machine.attributes(fs)).toBe(0xf3);
  });
});

describe('moves from segment registers, PUSH and POP', () => {
  test('MOV zero-extends to a register and writes 16 bits of memory', () => {
    const machine = new TransferMachine().long();
    machine.setRegister(0, -1);
    machine.run('668cd8');
    expect(machine.register(0)).toBe(0xffff_ffff_ffff_0010n);
    machine.run('8cd8');
    expect(machine.register(0)).toBe(0x10n);
    machine.setRegister(0, -1);
    machine.run('488cd8');
    expect(machine.register(0)).toBe(0x10n);
    machine.setRegister(3, program);
    machine.words(program, -1, -1);
    machine.run('488c1b');
    expect(machine.read(program, 1)).toEqual([0xffff0010]);
  });

  test('PUSH: the host zero-extends too', () => {
    const machine = new TransferMachine().protected();
    machine.words(stack0 - 4, -1);
    machine.run('0fa0');
    expect(machine.read(stack0 - 4, 1)).toEqual([0x10]);
    machine.run('660fa0');
    expect(machine.register(4)).toBe(BigInt(stack0 - 6));
    expect(machine.read(stack0 - 6, 1, 2)).toEqual([0x10]);
  });

  test('POP SS takes a 16-bit stack, and shadows', () => {
    const machine = new TransferMachine().protected();
    machine.words(stack0, Selector.data16);
    expect(machine.run('17')).toBe('');
    expect(machine.register(4)).toBe(BigInt(stack0 + 4));
    expect(machine.state.get('interruptShadow')).toBe(2);
    expect(machine.attributes(ss) & 0x4000).toBe(0);
  });

  test('POP that faults moves nothing', () => {
    const machine = new TransferMachine().protected();
    machine.words(stack0, 0x700);
    expect(machine.run('1f')).toBe('13(700)');
    expect(machine.register(4)).toBe(BigInt(stack0));
    machine.segment(ss, Selector.data, 0, stack0 + 2, 0x4093);
    expect(machine.run('1f')).toBe('12(0)');
  });
});

describe('LDS, LES, LFS, LGS, LSS', () => {
  test.each([
    ['c403', es],
    ['c503', ds],
    ['0fb203', ss],
    ['0fb403', fs],
    ['0fb503', Segment.gs],
  ])('%s', (code, segment) => {
    const machine = new TransferMachine().protected();
    machine.setRegister(3, program);
    machine.words(program, 0x12345678, Selector.data);
    expect(machine.run(code)).toBe('');
    expect(machine.register(0)).toBe(0x12345678n);
    expect(machine.selector(segment)).toBe(Selector.data);
    machine.words(program, 0x12345678, 0x700);
    machine.setRegister(0, 7);
    expect(machine.run(code)).toBe('13(700)');
    expect(machine.register(0)).toBe(7n);
  });

  test('m16:64', () => {
    const machine = new TransferMachine().long();
    machine.setRegister(3, program);
    machine.longs(program, 0x1234_5678_9abc_def0n, Selector.data);
    expect(machine.run('480fb403')).toBe('');
    expect(machine.register(0)).toBe(0x1234_5678_9abc_def0n);
    expect(machine.selector(fs)).toBe(Selector.data);
  });
});

describe('LLDT and LTR (SDM vol. 2)', () => {
  const lldt = '0f00d0';
  const ltr = '0f00d8';

  test.each([
    ['LLDT of an LDT', lldt, 0x82, free, ''],
    ['LLDT of null', lldt, 0, 3, ''],
    ['LLDT of data', lldt, 0x92, free, '13(80)'],
    ['LLDT from the LDT', lldt, 0x82, free | 4, '13(84)'],
    ['LLDT, not present', lldt, 0x02, free, '11(80)'],
    ['LTR of a free TSS', ltr, 0x89, free, ''],
    ['LTR of a free 16-bit TSS', ltr, 0x81, free, ''],
    ['LTR of a busy TSS', ltr, 0x8b, free, '13(80)'],
    ['LTR of null', ltr, 0, 0, '13(0)'],
    ['LTR from the LDT', ltr, 0x89, free | 4, '13(84)'],
    ['LTR, not present', ltr, 0x09, free, '11(80)'],
    ['LTR beyond the table', ltr, 0x09, 0x7f8 + 8, '13(800)'],
  ])('%s', (_, code, attributes, selector, fault) => {
    const machine = new TransferMachine().protected();
    machine.describe(free, { base: 0x7777_1234, limit: 0x67, attributes });
    machine.describe(free | 4, { base: 0x7777_1234, limit: 0x67, attributes });
    machine.setRegister(0, selector);
    expect(machine.run(code)).toBe(fault);
    if (fault !== '' || (selector & 0xfffc) === 0) return;
    const segment = code === ltr ? tr : ldtr;
    expect(machine.selector(segment)).toBe(selector);
    expect(machine.state.low('segmentBase', segment)).toBe(0x7777_1234);
    expect(machine.accessByte(selector)).toBe(attributes | (code === ltr ? 2 : 0));
    expect(machine.attributes(segment) & 0xff).toBe(machine.accessByte(selector));
  });

  test('privilege and modes', () => {
    for (const code of [lldt, ltr]) {
      expect(new TransferMachine().protected(3).run(code)).toBe('13(0)');
      expect(new TransferMachine().real().run(code)).toBe('6');
      expect(new TransferMachine().virtual8086().run(code)).toBe('6');
    }
  });

  test.each([
    ['16 bytes', 0x89, 0xffff_8000, 0, ''],
    ['not canonical', 0x89, 0x8000, 0, '13(80)'],
    ['a type in the upper half', 0x89, 0, 0x100, '13(80)'],
    ['a 16-bit TSS', 0x81, 0, 0, '13(80)'],
  ])('LTR in long mode: %s', (_, attributes, upper, last, fault) => {
    const machine = new TransferMachine().long();
    machine.describe(free, { base: 0x1234_0000, limit: 0x67, attributes });
    machine.words(gdt + free + 8, upper, last);
    machine.setRegister(0, free);
    expect(machine.run(ltr)).toBe(fault);
    if (fault === '') expect(machine.state.getBig('segmentBase', tr)).toBe(0xffff_8000_1234_0000n);
    machine.state.set('tableLimit', free + 14);
    expect(machine.run(ltr)).toBe('13(80)');
  });
});

describe('LAR, LSL, VERR, VERW', () => {
  // What an EPYC under Linux says at level 3 for the kernel's descriptors: 23h, 2Bh, 33h.
  test.each([
    [0x23, 0xc0fb, 0xcffb00, 'r'],
    [0x2b, 0xc0f3, 0xcff300, 'rw'],
    [0x33, 0xa0fb, 0xaffb00, 'r'],
  ])('selector %i as on the host', (selector, attributes, rights, use) => {
    const machine = new TransferMachine().long(3);
    machine.describe(selector, { limit: 0xfffff, attributes });
    machine.setRegister(3, selector);
    machine.setRegister(0, -1);
    machine.run('0f02c3');
    expect(machine.register(0)).toBe(BigInt(rights));
    machine.run('0f03c3');
    expect(machine.register(0)).toBe(0xffff_ffffn);
    expect(machine.flags & 0x40).toBe(0x40);
    machine.run('0f00e3');
    expect(machine.flags & 0x40).toBe(use.includes('r') ? 0x40 : 0);
    machine.run('0f00eb');
    expect(machine.flags & 0x40).toBe(use.includes('w') ? 0x40 : 0);
  });

  const types = Array.from({ length: 16 }, (_, type) => type);
  const known = (code: string, start: () => TransferMachine): number[] =>
    types.filter((type) => {
      const machine = start();
      machine.describe(free, { limit: 5, attributes: 0x80 | type });
      machine.setRegister(3, free);
      machine.run(code);
      return (machine.flags & 0x40) !== 0;
    });

  test('system types (SDM vol. 2, tables 3-53 and 3-57)', () => {
    expect(known('0f02c3', () => new TransferMachine().protected())).toEqual([1, 2, 3, 4, 5, 9, 11, 12]);
    expect(known('0f02c3', () => new TransferMachine().long())).toEqual([2, 9, 11, 12]);
    expect(known('0f03c3', () => new TransferMachine().protected())).toEqual([1, 2, 3, 9, 11]);
    expect(known('0f03c3', () => new TransferMachine().long())).toEqual([2, 9, 11]);
  });

  test('privilege, null, 16 bits', () => {
    const machine = new TransferMachine().protected(3);
    for (const [selector, isSeen] of [
      [Selector.data, false],
      [Selector.conforming, true],
      [Selector.userData, true],
      [0, false],
      [0xfff8, false],
    ] as const) {
      machine.setRegister(0, 0x7777_7777);
      machine.setRegister(3, selector);
      machine.run('660f02c3');
      expect(machine.flags & 0x40, `${selector}`).toBe(isSeen ? 0x40 : 0);
      expect(machine.register(0) & 0xffff_00ffn).toBe(isSeen ? 0x7777_0000n : 0x7777_0077n);
    }
  });

  test('RPL counts as CPL does', () => {
    const machine = new TransferMachine().protected();
    for (const code of ['0f02c3', '0f03c3', '0f00e3', '0f00eb'])
      for (const rpl of [0, 1]) {
        machine.setRegister(3, Selector.data | rpl);
        machine.run(code);
        expect(machine.flags & 0x40).toBe(rpl === 0 ? 0x40 : 0);
      }
  });

  test('#UD where selectors are paragraphs', () => {
    for (const code of ['0f02c3', '0f03c3', '0f00e3', '0f00eb', '63d8', '0f00c0', '0f00c8']) {
      expect(new TransferMachine().real().run(code)).toBe('6');
      expect(new TransferMachine().virtual8086().run(code)).toBe('6');
    }
  });
});

test('ARPL', () => {
  const machine = new TransferMachine().protected();
  for (const [destination, source, result] of [
    [0x10, 3, 0x13],
    [0x13, 0, 0x13],
    [0x11, 1, 0x11],
  ]) {
    machine.setRegister(0, destination);
    machine.setRegister(3, source);
    machine.run('63d8');
    expect(machine.register(0)).toBe(BigInt(result));
    expect(machine.flags & 0x40).toBe(result === destination ? 0 : 0x40);
  }
});

test('SLDT and STR, UMIP (SDM vol. 3, 2.5)', () => {
  const machine = new TransferMachine().protected(3);
  machine.setRegister(0, -1);
  machine.run('0f00c0');
  expect(machine.register(0)).toBe(BigInt(Selector.ldt));
  machine.run('0f00c8');
  expect(machine.register(0)).toBe(BigInt(Selector.tss));
  machine.context.set({ cr4: 0x800 });
  expect(machine.run('0f00c0')).toBe('13(0)');
  expect(machine.run('0f00c8')).toBe('13(0)');
});
