import { describe, expect, test } from 'vitest';
import { Segment } from '../src/state/layout.ts';
import {
  AC0,
  absentPage,
  GP0,
  Machine,
  type MachineOptions,
  type Mode,
  type Outcome,
  PF,
  supervisorPage,
} from './registers-machine.ts';

const df = 0x400;
const iopl3 = 0x3000;

/** A machine with a TSS at C000h whose bitmap begins at offset 68h and allows ports 60h and 64h to 67h. */
function withTask(options: MachineOptions, limit = 0x2068): Machine {
  const machine = new Machine(options);
  machine.state.setBig('segmentBase', 0xc000n, Segment.tr);
  machine.state.set('segmentLimit', limit, Segment.tr);
  machine.view.setUint16(0xc066, 0x68, true);
  machine.ram.fill(0xff, 0xc068, 0xc068 + 0x2001);
  machine.ram[0xc068 + 12] = 0x0e;
  machine.ports.set(0x60, 0x1234_5678);
  machine.ports.set(0x64, 0x1234_5678);
  return machine;
}

describe('IN and OUT (SDM vol. 2)', () => {
  test.each([
    ['e460', 0xffff_ffff_ffff_ff78n, 'in 60 1'],
    ['66e560', 0xffff_ffff_ffff_5678n, 'in 60 2'],
    ['e560', 0x1234_5678n, 'in 60 4'],
    ['48e560', 0x1234_5678n, 'in 60 4'],
    ['ec', 0xffff_ffff_ffff_ff78n, 'in 64 1'],
    ['ed', 0x1234_5678n, 'in 64 4'],
  ])('IN %s', (code, value, log) => {
    const machine = withTask({});
    machine.rax = -1n;
    machine.rdx = 0xffff_0064n;
    expect(machine.execute(code)).toBe('done');
    expect(machine.rax).toBe(value);
    expect(machine.log).toEqual([log]);
  });

  test.each([
    ['e660', 'out 60 1 f0'],
    ['66e760', 'out 60 2 def0'],
    ['e760', 'out 60 4 9abcdef0'],
    ['ef', 'out 64 4 9abcdef0'],
  ])('OUT %s', (code, log) => {
    const machine = withTask({});
    machine.rax = 0x9abc_def0n;
    machine.rdx = 0x64n;
    expect(machine.execute(code)).toBe('done');
    expect(machine.log).toEqual([log]);
  });

  test('an 8-bit port above 7Fh is not sign-extended', () => {
    const machine = new Machine();
    machine.execute('e6f0');
    expect(machine.log).toEqual(['out f0 1 0']);
  });
});

describe('permission (SDM vol. 1, 19.5)', () => {
  const rows: readonly [string, MachineOptions, number, string, Outcome][] = [
    ['CPL 0', {}, 0, 'e470', 'done'],
    ['CPL 3, IOPL 3', { cpl: 3 }, iopl3, 'e470', 'done'],
    ['CPL 3, bit 0', { cpl: 3 }, 0, 'e460', 'done'],
    ['CPL 3, bit 1', { cpl: 3 }, 0, 'e470', GP0],
    ['CPL 3, four ports', { cpl: 3 }, 0, 'e564', 'done'],
    ['CPL 3, four ports, one of them forbidden', { cpl: 3 }, 0, 'e560', GP0],
    ['CPL 3, across bytes', { cpl: 3 }, 0, 'e566', GP0],
    ['virtual-8086 mode goes by the bitmap, IOPL 3 or not', { mode: 'virtual8086' }, iopl3, 'e470', GP0],
    ['virtual-8086 mode, allowed', { mode: 'virtual8086' }, 0, 'e460', 'done'],
    ['real-address mode', { mode: 'real' }, 0, 'e470', 'done'],
  ];
  test.each(rows)('%s', (_, options, flags, code, outcome) => {
    const machine = withTask(options);
    machine.flags = (machine.flags & 0x2_0002) | flags;
    expect(machine.execute(code)).toEqual(outcome);
    expect(machine.log.length).toBe(outcome === 'done' ? 1 : 0);
  });

  test('the TSS must hold the bitmap, of which two bytes are read, and be none of 16 bits', () => {
    const at = 0x68 + 12;
    expect(withTask({ cpl: 3 }, at + 1).execute('e460')).toBe('done');
    expect(withTask({ cpl: 3 }, at).execute('e460')).toEqual(GP0);
    expect(withTask({ cpl: 3 }, 0x66).execute('e460')).toEqual(GP0);
    for (const attributes of [0x81, 0x83, 0x1_008b]) {
      const machine = withTask({ cpl: 3 });
      machine.state.set('segmentAttributes', attributes, Segment.tr);
      expect(machine.execute('e460')).toEqual(GP0);
    }
  });

  test('it is read as a supervisor', () => {
    const machine = withTask({ cpl: 3 });
    machine.state.setBig('segmentBase', BigInt(supervisorPage), Segment.tr);
    machine.view.setUint16(supervisorPage + 0x66, 0x68, true);
    expect(machine.execute('e460')).toBe('done');
    machine.state.setBig('segmentBase', BigInt(absentPage), Segment.tr);
    // A read by a supervisor of a page that is not present.
    expect(machine.execute('e460')).toEqual(PF(0));
  });
});

describe('INS and OUTS, one iteration at a time', () => {
  test.each<[string, Mode, bigint, bigint]>([
    ['6d', 'long64', 0x4000n, 0x4004n],
    ['676d', 'long64', 0xffff_ffff_0000_4000n, 0x4004n],
    ['666d', 'long64', 0x4000n, 0x4002n],
    ['6c', 'real', 0xabcd_4000n, 0xabcd_4001n],
  ])('INS %s in %s', (code, mode, before, after) => {
    const machine = withTask({ mode });
    machine.rdx = 0x64n;
    machine.rdi = before;
    expect(machine.execute(code)).toBe('done');
    expect(machine.rdi).toBe(after);
    expect(machine.ram[0x4000]).toBe(0x78);
    expect(machine.nextLow).toBe(0x1000 + code.length / 2);
  });

  test('REP: back to itself until the count is 0; DF goes down', () => {
    const machine = withTask({});
    machine.rdx = 0x64n;
    machine.rdi = 0x4008n;
    machine.rcx = 2n;
    machine.flags = df;
    expect(machine.execute('f36d')).toBe('done');
    expect([machine.rcx, machine.rdi, machine.nextLow]).toEqual([1n, 0x4004n, 0x1000]);
    machine.execute('f36d');
    expect([machine.rcx, machine.rdi, machine.nextLow]).toEqual([0n, 0x4000n, 0x1002]);
    machine.execute('f36d');
    expect([machine.rcx, machine.rdi, machine.nextLow]).toEqual([0n, 0x4000n, 0x1002]);
    expect(machine.log.length).toBe(2);
  });

  test('a count of 0 checks nothing', () => {
    const machine = withTask({ cpl: 3 });
    machine.rdx = 0x70n;
    for (const code of ['f36c', 'f26e']) expect(machine.execute(code)).toBe('done');
    expect(machine.log).toEqual([]);
  });

  test('INS asks memory before the device', () => {
    const machine = withTask({});
    machine.rdx = 0x64n;
    machine.rdi = BigInt(absentPage - 2);
    expect(machine.execute('6d')).toEqual(PF(2));
    machine.rdi = 0x8000_0000_0000_0000n;
    expect(machine.execute('6d')).toEqual(GP0);
    expect(machine.log).toEqual([]);
    const user = withTask({ cpl: 3 });
    user.rdx = 0x70n;
    user.rdi = BigInt(absentPage);
    // The port goes first.
    expect(user.execute('6d')).toEqual(GP0);
  });

  test('limits, rights and alignment', () => {
    const machine = withTask({ mode: 'protected32' });
    machine.rdx = 0x64n;
    machine.rdi = 0x4000n;
    machine.state.set('segmentRights', 1, Segment.es);
    expect(machine.execute('6d')).toEqual(GP0);
    machine.state.set('segmentRights', 3, Segment.es);
    machine.state.set('segmentLast', 0x4002, Segment.es);
    expect(machine.execute('6d')).toEqual(GP0);
    expect(machine.execute('666d')).toBe('done');
    // Around the end of 4 GiB, whatever the limit.
    machine.rsi = 0xffff_fffen;
    expect(machine.execute('6f')).toEqual(GP0);
    const user = withTask({ cpl: 3 });
    user.context.cr0 |= 0x4_0000;
    user.flags = 0x4_0000 | iopl3;
    user.rdx = 0x64n;
    user.rdi = 0x4001n;
    expect(user.execute('6d')).toEqual(AC0);
    user.rdi = 0x4004n;
    expect(user.execute('6d')).toBe('done');
  });

  test('OUTS reads through the override', () => {
    const machine = withTask({ mode: 'protected32' });
    machine.state.setBig('segmentBase', 0x100n, Segment.fs);
    machine.view.setUint32(0x4100, 0xcafe_f00d, true);
    machine.rdx = 0x64n;
    machine.rsi = 0x4000n;
    machine.rcx = 3n;
    expect(machine.execute('f3646f')).toBe('done');
    expect(machine.log).toEqual(['out 64 4 cafef00d']);
    expect([machine.rsi, machine.rcx, machine.nextLow]).toEqual([0x4004n, 2n, 0x1000]);
  });

  test('OUTS: a fault keeps the device unaware', () => {
    const machine = withTask({});
    machine.rdx = 0x64n;
    machine.rsi = BigInt(absentPage);
    expect(machine.execute('6e')).toEqual(PF(0));
    expect(machine.log).toEqual([]);
  });

  test('16-bit counts leave the upper bits alone', () => {
    const machine = withTask({ mode: 'real' });
    machine.rdx = 0x64n;
    machine.rcx = 0xffff_0001n;
    machine.rsi = 0x4000n;
    expect(machine.execute('f36e')).toBe('done');
    expect([machine.rcx, machine.nextLow]).toEqual([0xffff_0000n, 0x1002]);
  });
});
