import { describe, expect, test } from 'vitest';
import { Segment } from '../src/state/layout.ts';
import { otherTss, program, Selector, stack0, stack3, TransferMachine, tss } from './transfer-machine.ts';

const { cs, ss, ds, es, fs, gs, tr } = Segment;
const back = 0x1_9000;
const { free } = Selector;
/** Every flag that has a name. */
const all = 0x3f_7fd7;

describe('real-address mode', () => {
  test('IRET loads 16 bits of flags', () => {
    const machine = new TransferMachine().real();
    machine.halves(0x7000, 0x1234, 0x200, 0x7fd7);
    machine.state.flags = 0x18_0002;
    expect(machine.run('cf')).toBe('');
    expect(machine.rip).toBe(0x1234n);
    expect(machine.state.low('segmentBase', cs)).toBe(0x2000);
    expect(machine.flags).toBe(0x18_7fd7);
    expect(machine.register(4)).toBe(0x7006n);
  });

  test('IRETD loads RF, AC and ID too; VM, VIF and VIP stay', () => {
    const machine = new TransferMachine().real();
    machine.words(0x7000, 0x1234, 0x7777_0200, -1);
    expect(machine.run('66cf')).toBe('');
    expect(machine.flags).toBe(0x25_7fd7);
    machine.words(0x7000, 0x1_0000, 0, 0);
    machine.setRegister(4, 0x7000);
    expect(machine.run('66cf')).toBe('13(0)');
  });

  test('NMIs are let in again, even by an IRET that faults (SDM vol. 3, 6.7.1)', () => {
    const machine = new TransferMachine().protected();
    machine.state.set('nmiBlocked', 1);
    machine.words(stack0, back, 0, 2);
    expect(machine.run('cf')).toBe('13(0)');
    expect(machine.state.get('nmiBlocked')).toBe(0);
  });
});

describe('virtual-8086 mode (SDM vol. 3, 20.2.7 and 20.3)', () => {
  test.each([
    ['IOPL 3, 16 bits', 3, 0, 'cf', '', 0x7fd7],
    ['IOPL 3, 32 bits', 3, 0, '66cf', '', 0x25_7fd7],
    ['IOPL 2', 2, 0, 'cf', '13(0)', 0],
    ['IOPL 2, VME', 2, 1, 'cf', '13(0)', 0],
    ['IOPL 2, VME, 32 bits', 2, 1, '66cf', '13(0)', 0],
  ])('%s', (_, ioPrivilege, cr4, code, fault, flags) => {
    const machine = new TransferMachine().virtual8086(ioPrivilege);
    machine.context.set({ cr4 });
    if (code === 'cf') machine.halves(0x1700, 0x1234, 0x200, 0x7fd7);
    else machine.words(0x1700, 0x1234, 0x200, -1);
    expect(machine.run(code)).toBe(fault);
    if (fault !== '') return;
    expect(machine.flags).toBe(flags | 0x2_3000);
    expect(machine.selector(cs)).toBe(0x200);
    expect(machine.attributes(cs)).toBe(0xf3);
  });

  test('VME with IOPL below 3: IF of the image becomes VIF', () => {
    const machine = new TransferMachine().virtual8086(1);
    machine.context.set({ cr4: 1 });
    machine.halves(0x1700, 0x1234, 0x200, 0x7ed7);
    machine.state.flags = 0x2_1202;
    expect(machine.run('cf')).toBe('');
    // IF and IOPL stay.
    expect(machine.flags).toBe(0xa_5ed7);
    machine.setRegister(4, 0x700);
    machine.halves(0x1700, 0x1234, 0x200, 0);
    expect(machine.run('cf')).toBe('');
    expect(machine.flags).toBe(0x2_1202);
  });

  test('VIP refuses to open IF', () => {
    const machine = new TransferMachine().virtual8086(1);
    machine.context.set({ cr4: 1 });
    machine.state.flags = 0x12_1002;
    machine.halves(0x1700, 0x1234, 0x200, 0x200);
    expect(machine.run('cf')).toBe('13(0)');
    machine.halves(0x1700, 0x1234, 0x200, 0);
    expect(machine.run('cf')).toBe('');
  });
});

describe('protected mode, same level', () => {
  // CPL, IOPL before, form: flags that change when all are popped as 1.
  test.each([
    [0, 0, 'cf', 0x3d_7fd7],
    [0, 0, '66cf', 0x7fd7],
    [3, 3, 'cf', 0x25_7fd7],
    [3, 0, 'cf', 0x25_4dd7],
    [1, 1, '66cf', 0x5fd7],
  ])('level %i with IOPL %i, %s: flags', (privilege, ioPrivilege, code, flags) => {
    const machine = new TransferMachine().protected(privilege);
    machine.state.flags = 2 | (ioPrivilege << 12);
    const at = Number(machine.register(4));
    const selector = machine.selector(cs);
    // VM set makes a return to virtual-8086 mode of it, at level 0.
    if (code === 'cf') machine.words(at, back, selector, all & ~0x2_0000);
    else machine.halves(at, back, selector, 0x7fd7);
    expect(machine.run(code)).toBe('');
    expect(machine.flags).toBe(flags);
    expect(machine.rip).toBe(BigInt(code === 'cf' ? back : back & 0xffff));
    expect(machine.register(4)).toBe(BigInt(at + (code === 'cf' ? 12 : 6)));
  });

  test.each([
    ['null', 0, 0, '13(0)'],
    ['beyond the table', 0, 0x800, '13(800)'],
    ['data', 0, Selector.data, '13(10)'],
    ['to an inner level', 3, Selector.code, '13(8)'],
    ['RPL and DPL differ', 0, Selector.userCode & ~3, '13(18)'],
    ['not present', 0, free, '11(80)'],
    ['beyond the limit', 0, 0x90, '13(0)'],
  ])('%s', (_, privilege, selector, fault) => {
    const machine = new TransferMachine().protected(privilege);
    machine.describe(free, { limit: 0xfffff, attributes: 0xc01a });
    machine.describe(0x90, { limit: 0xff, attributes: 0x409a });
    machine.words(Number(machine.register(4)), back, selector, 2, 0, 0);
    expect(machine.run('cf')).toBe(fault);
  });

  test('a frame beyond the stack', () => {
    const machine = new TransferMachine().protected();
    machine.segment(ss, Selector.data, 0, stack0 + 10, 0x4093);
    expect(machine.run('cf')).toBe('12(0)');
  });
});

describe('protected mode, outer level', () => {
  test('loads SS:ESP, takes inner segments away, and obeys the old level for flags', () => {
    const machine = new TransferMachine().protected();
    machine.words(stack0, back, Selector.userCode, 0x3202, stack3, Selector.userData);
    expect(machine.run('cf')).toBe('');
    expect(machine.cpl).toBe(3);
    expect(machine.flags).toBe(0x3202);
    expect(machine.register(4)).toBe(BigInt(stack3));
    for (const segment of [ds, es, fs, gs]) expect(machine.selector(segment)).toBe(0);
    expect(machine.accessByte(Selector.userCode)).toBe(0xfb);
    expect(machine.accessByte(Selector.userData)).toBe(0xf3);
  });

  test.each([
    ['null', 0, '13(0)'],
    ['RPL', Selector.userData & ~3, '13(20)'],
    ['DPL', Selector.data | 3, '13(10)'],
    ['read-only', 0x90 | 3, '13(90)'],
    ['not present', free | 3, '12(80)'],
  ])('SS: %s', (_, selector, fault) => {
    const machine = new TransferMachine().protected();
    machine.describe(free, { limit: 0xfffff, attributes: 0xc072 });
    machine.describe(0x90, { limit: 0xfffff, attributes: 0xc0f0 });
    machine.words(stack0, back, Selector.userCode, 2, stack3, selector);
    expect(machine.run('cf')).toBe(fault);
  });

  test('16-bit form', () => {
    const machine = new TransferMachine().protected();
    machine.halves(stack0, 0x9000, Selector.userCode, 0x202, 0xb000, Selector.userData);
    expect(machine.run('66cf')).toBe('');
    expect(machine.rip).toBe(0x9000n);
    expect(machine.register(4)).toBe(0xb000n);
    expect(machine.cpl).toBe(3);
  });

  test('to virtual-8086 mode', () => {
    const machine = new TransferMachine().protected();
    machine.words(stack0, 0x1234, 0x7777_0200, 0x2_3202, 0x5_0700, 0x300, 1, 2, 3, 4);
    expect(machine.run('cf')).toBe('');
    expect(machine.cpl).toBe(3);
    expect(machine.rip).toBe(0x1234n);
    expect(machine.flags).toBe(0x2_3202);
    expect(machine.register(4)).toBe(0x5_0700n);
    expect([cs, ss, es, ds, fs, gs].map((segment) => machine.selector(segment))).toEqual([
      0x200, 0x300, 1, 2, 3, 4,
    ]);
    for (const segment of [cs, ss, ds]) expect(machine.attributes(segment)).toBe(0xf3);
    expect(machine.state.low('segmentBase', fs)).toBe(0x30);
  });

  test('not from level 3, and only to 64 KiB', () => {
    const user = new TransferMachine().protected(3);
    user.words(stack3, back, Selector.userCode, 0x2_0002);
    expect(user.run('cf')).toBe('');
    expect(user.flags & 0x2_0000).toBe(0);
    const machine = new TransferMachine().protected();
    machine.words(stack0, 0x1_0000, 0x200, 0x2_0002, 0, 0, 0, 0, 0, 0);
    expect(machine.run('cf')).toBe('13(0)');
  });
});

describe('nested task', () => {
  function nested(): TransferMachine {
    const machine = new TransferMachine().protected();
    machine.state.flags = 0x4002;
    machine.halves(tss, free);
    machine.describe(free, { base: otherTss, limit: 0x67, attributes: 0x8b });
    machine.words(otherTss + 0x20, back, 0x202);
    machine.words(otherTss + 0x48, 0, Selector.code, Selector.data, 0, 0, 0);
    return machine;
  }

  test('goes back: neither task is left busy but the resumed one; NT is cleared in the image', () => {
    const machine = nested();
    expect(machine.run('cf')).toBe('');
    expect(machine.rip).toBe(BigInt(back));
    expect(machine.selector(tr)).toBe(free);
    expect(machine.accessByte(free)).toBe(0x8b);
    expect(machine.accessByte(Selector.tss)).toBe(0x89);
    expect(machine.read(tss + 0x20, 2)).toEqual([program + 1, 2]);
    expect(machine.flags).toBe(0x202);
  });

  test.each([
    ['from the LDT', (m: TransferMachine) => m.halves(tss, free | 4), '10(84)'],
    ['beyond the table', (m: TransferMachine) => m.halves(tss, 0x800), '10(800)'],
    ['not busy', (m: TransferMachine) => m.describe(free, { limit: 0x67, attributes: 0x89 }), '10(80)'],
    ['not present', (m: TransferMachine) => m.describe(free, { limit: 0x67, attributes: 0x0b }), '11(80)'],
    ['too small', (m: TransferMachine) => m.describe(free, { limit: 0x66, attributes: 0x8b }), '10(80)'],
  ])('%s', (_, arrange, fault) => {
    const machine = nested();
    arrange(machine);
    expect(machine.run('cf')).toBe(fault);
  });

  test('long mode: #GP(0)', () => {
    const machine = new TransferMachine().long();
    machine.state.flags = 0x4002;
    expect(machine.run('48cf')).toBe('13(0)');
  });
});

describe('64-bit mode', () => {
  function frame(machine: TransferMachine, ...items: (number | bigint)[]): TransferMachine {
    machine.longs(stack0, ...items);
    return machine;
  }

  test('always pops SS:RSP', () => {
    const machine = frame(
      new TransferMachine().long(),
      back,
      Selector.longCode,
      0x202,
      0x8001,
      Selector.data,
    );
    expect(machine.run('48cf')).toBe('');
    expect(machine.register(4)).toBe(0x8001n);
    expect(machine.flags).toBe(0x202);
    expect(machine.selector(ds)).toBe(Selector.data);
  });

  test('null SS at level 0', () => {
    const machine = frame(new TransferMachine().long(), back, Selector.longCode, 2, 0x8001, 0);
    expect(machine.run('48cf')).toBe('');
    expect(machine.attributes(ss)).toBe(0x1_0000);
    const wrong = frame(new TransferMachine().long(), back, Selector.longCode, 2, 0x8001, 1);
    expect(wrong.run('48cf')).toBe('13(0)');
  });

  test('null SS is not for compatibility mode', () => {
    const machine = frame(new TransferMachine().long(), back, Selector.code, 2, 0x8000, 0);
    expect(machine.run('48cf')).toBe('13(0)');
  });

  test('to level 3', () => {
    const machine = frame(
      new TransferMachine().long(),
      0x7fff_ffff_f000n,
      Selector.longUserCode,
      0x246,
      0x7fff_0000_0000n,
      Selector.userData,
    );
    expect(machine.run('48cf')).toBe('');
    expect(machine.rip).toBe(0x7fff_ffff_f000n);
    expect(machine.register(4)).toBe(0x7fff_0000_0000n);
    expect(machine.cpl).toBe(3);
  });

  test('to compatibility mode: 32 bits of RSP; RIP above 4 GiB is beyond the limit, as on the host', () => {
    const machine = frame(
      new TransferMachine().long(),
      0x1234,
      Selector.userCode,
      2,
      0x1_0000_8000n,
      Selector.userData,
    );
    expect(machine.run('48cf')).toBe('');
    expect(machine.rip).toBe(0x1234n);
    expect(machine.register(4)).toBe(0x8000n);
    const far = frame(new TransferMachine().long(), 1n << 32n, Selector.userCode, 2, 0, Selector.userData);
    expect(far.run('48cf')).toBe('13(0)');
  });

  test('32-bit form, and from compatibility mode at the same level', () => {
    const machine = new TransferMachine().long();
    machine.words(stack0, back, Selector.longCode, 2, 0x8000, Selector.data);
    expect(machine.run('cf')).toBe('');
    expect(machine.register(4)).toBe(0x8000n);
    const compatible = new TransferMachine().compatibility();
    compatible.words(stack0, back, Selector.code, 2);
    expect(compatible.run('cf')).toBe('');
    expect(compatible.register(4)).toBe(BigInt(stack0 + 12));
  });

  test('RIP not canonical: #GP(0); a stack that is not canonical: #SS(0)', () => {
    const machine = frame(new TransferMachine().long(), 1n << 47n, Selector.longCode, 2, 0x8001, 0);
    expect(machine.run('48cf')).toBe('13(0)');
    machine.setRegister(4, 1n << 47n);
    expect(machine.run('48cf')).toBe('12(0)');
  });
});
