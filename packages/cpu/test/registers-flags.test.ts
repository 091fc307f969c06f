import { describe, expect, test } from 'vitest';
import {
  absentPage,
  GP0,
  Machine,
  type MachineOptions,
  type Outcome,
  PF,
  SS0,
  UD,
} from './registers-machine.ts';

const cf = 1;
const tf = 0x100;
const if_ = 0x200;
const iopl3 = 0x3000;
const nt = 0x4000;
const rf = 0x1_0000;
const vm = 0x2_0000;
const ac = 0x4_0000;
const vif = 0x8_0000;
const vip = 0x10_0000;
const id = 0x20_0000;
const vme = 1;
const pvi = 2;
/** All flags that POPF may know, set. */
const all = 0x3f_7fd7;

interface Case extends MachineOptions {
  readonly flags: number;
  readonly cr4?: number;
}

function machineOf({ flags, cr4 = 0, ...options }: Case): Machine {
  const machine = new Machine(options);
  machine.flags = flags | (options.mode === 'virtual8086' ? vm : 0);
  machine.cr4 |= cr4;
  return machine;
}

/** Pops an image with `code`; the flags after it, or the exception. */
function pop(code: string, bytes: number, image: number, options: Case): number | Outcome {
  const machine = machineOf(options);
  machine.view.setBigUint64(0x7000, BigInt(image), true);
  const outcome = machine.execute(code);
  expect(machine.rsp).toBe(outcome === 'done' ? 0x7000n + BigInt(bytes) : 0x7000n);
  return outcome === 'done' ? machine.flags : outcome;
}

/** Pushes; what lies on the stack, or the exception. */
function push(code: string, bytes: number, options: Case): number | Outcome {
  const machine = machineOf(options);
  machine.view.setBigUint64(0x6ff8, 0xffff_ffff_ffff_ffffn, true);
  const outcome = machine.execute(code);
  if (outcome !== 'done') return outcome;
  expect(machine.rsp).toBe(0x7000n - BigInt(bytes));
  if (bytes === 8) expect(machine.view.getUint32(0x6ffc, true)).toBe(0);
  return bytes === 2 ? machine.view.getUint16(0x6ffe, true) : machine.view.getUint32(0x7000 - bytes, true);
}

describe('PUSHF (SDM vol. 2)', () => {
  test('RF and VM are 0 in the image', () => {
    expect(push('9c', 8, { flags: all | rf })).toBe(all & ~(rf | vm));
    expect(push('669c', 2, { flags: all })).toBe(all & 0xffff);
    expect(push('9c', 4, { mode: 'protected32', flags: all & ~vm })).toBe(all & ~(rf | vm));
    expect(push('9c', 2, { mode: 'real', flags: iopl3 | nt | 2 })).toBe(iopl3 | nt | 2);
  });

  test('virtual-8086 mode: IOPL 3, or VME with 16 bits', () => {
    const mode = 'virtual8086';
    expect(push('9c', 2, { mode, flags: iopl3 | if_ })).toBe(iopl3 | if_ | 2);
    expect(push('669c', 4, { mode, flags: iopl3 | if_ })).toBe(iopl3 | if_ | 2);
    expect(push('9c', 2, { mode, flags: if_ })).toEqual(GP0);
    expect(push('9c', 2, { mode, flags: if_, cr4: vme })).toBe(iopl3 | 2);
    expect(push('9c', 2, { mode, flags: vif, cr4: vme })).toBe(iopl3 | if_ | 2);
    expect(push('669c', 4, { mode, flags: vif, cr4: vme })).toEqual(GP0);
  });

  test('faults of the stack', () => {
    const machine = new Machine();
    machine.rsp = BigInt(absentPage + 8);
    expect(machine.execute('9c')).toEqual(PF(2));
    machine.rsp = 0x8000_0000_0000_0008n;
    expect(machine.execute('9c')).toEqual(SS0);
  });
});

describe('POPF (SDM vol. 2)', () => {
  test('CPL 0: all but VIF, VIP, VM; RF becomes 0', () => {
    expect(pop('9d', 8, all, { flags: 2 | rf })).toBe(all & ~(vif | vip | rf | vm));
    expect(pop('9d', 8, 0, { flags: all & ~vm })).toBe(2 | vif | vip);
    expect(pop('669d', 2, 0xffff, { flags: 2 | id | ac })).toBe(0x7fd7 | id | ac);
  });

  test('CPL above 0: IOPL stays; IF changes by IOPL', () => {
    expect(pop('9d', 8, all, { cpl: 3, flags: 2 })).toBe(all & ~(vif | vip | rf | vm | iopl3 | if_));
    expect(pop('9d', 8, all, { cpl: 3, flags: 2 | iopl3 })).toBe(all & ~(vif | vip | rf | vm));
    expect(pop('9d', 8, 2, { cpl: 3, flags: 2 | iopl3 | if_ })).toBe(2 | iopl3);
    expect(pop('9d', 4, 2, { cpl: 1, mode: 'protected32', flags: 2 | if_ })).toBe(2 | if_);
    // PVI is for CLI and STI only.
    expect(pop('9d', 4, 2 | if_, { cpl: 3, mode: 'protected32', flags: 2, cr4: pvi })).toBe(2);
  });

  test('virtual-8086 mode with IOPL 3', () => {
    const mode = 'virtual8086';
    expect(pop('9d', 2, 0x4fd7, { mode, flags: iopl3 })).toBe(0x7fd7 | vm);
    expect(pop('669d', 4, all & ~iopl3 & ~vm, { mode, flags: iopl3 })).toBe((all & ~(vif | vip | rf)) | vm);
  });

  test('virtual-8086 mode with IOPL below 3: VME', () => {
    const mode = 'virtual8086';
    expect(pop('9d', 2, 2, { mode, flags: 2 })).toEqual(GP0);
    expect(pop('669d', 4, 2, { mode, flags: 2, cr4: vme })).toEqual(GP0);
    expect(pop('9d', 2, if_ | cf, { mode, flags: 2, cr4: vme })).toBe(vm | vif | cf | 2);
    expect(pop('9d', 2, iopl3 | nt, { mode, flags: vif | if_, cr4: vme })).toBe(vm | if_ | nt | 2);
    expect(pop('9d', 2, tf, { mode, flags: 2, cr4: vme })).toEqual(GP0);
    expect(pop('9d', 2, if_, { mode, flags: vip, cr4: vme })).toEqual(GP0);
    expect(pop('9d', 2, 0, { mode, flags: vip | vif, cr4: vme })).toBe(vm | vip | 2);
  });

  test('AC reaches the memory unit', () => {
    const machine = new Machine();
    machine.view.setBigUint64(0x7000, BigInt(ac), true);
    machine.execute('9d');
    expect(machine.context.ac).toBe(true);
  });
});

describe('CLI and STI (SDM vol. 2, their tables)', () => {
  const rows: readonly [string, Case, 'IF' | 'VIF' | 'GP'][] = [
    ['real', { mode: 'real', flags: 2 }, 'IF'],
    ['CPL 0', { flags: 2 }, 'IF'],
    ['CPL 3, IOPL 3', { cpl: 3, flags: iopl3 }, 'IF'],
    ['CPL 3, IOPL 0', { cpl: 3, flags: 2 }, 'GP'],
    ['CPL 3, PVI', { cpl: 3, flags: 2, cr4: pvi }, 'VIF'],
    ['CPL 3, VME is not PVI', { cpl: 3, flags: 2, cr4: vme }, 'GP'],
    ['CPL 2, PVI', { mode: 'protected32', cpl: 2, flags: 2, cr4: pvi }, 'GP'],
    ['VM, IOPL 3', { mode: 'virtual8086', flags: iopl3 }, 'IF'],
    ['VM, IOPL 0', { mode: 'virtual8086', flags: 2 }, 'GP'],
    ['VM, VME', { mode: 'virtual8086', flags: 2, cr4: vme }, 'VIF'],
    ['VM, PVI is not VME', { mode: 'virtual8086', flags: 2, cr4: pvi }, 'GP'],
  ];
  test.each(rows)('%s', (_, options, which) => {
    const flag = which === 'IF' ? if_ : vif;
    const sets = machineOf(options);
    const outcome = sets.execute('fb');
    expect(outcome).toEqual(which === 'GP' ? GP0 : 'done');
    const clears = machineOf({ ...options, flags: options.flags | flag });
    expect(clears.execute('fa')).toEqual(which === 'GP' ? GP0 : 'done');
    if (which === 'GP') return;
    expect(sets.flags & (if_ | vif)).toBe(flag);
    expect(clears.flags & (if_ | vif)).toBe(0);
    expect(sets.state.get('interruptShadow')).toBe(which === 'IF' ? 1 : 0);
    // An interrupt that waits: VIF cannot be set.
    const waiting = machineOf({ ...options, flags: options.flags | vip });
    expect(waiting.execute('fb')).toEqual(which === 'VIF' ? GP0 : 'done');
    expect(machineOf({ ...options, flags: options.flags | vip | vif }).execute('fa')).toBe('done');
  });

  test('STI with IF set shadows nothing', () => {
    const machine = machineOf({ flags: if_ });
    machine.execute('fb');
    expect(machine.state.get('interruptShadow')).toBe(0);
  });
});

describe('CLAC and STAC', () => {
  test('#UD outside CPL 0', () => {
    for (const code of ['0f01ca', '0f01cb']) {
      expect(new Machine({ cpl: 3 }).execute(code)).toEqual(UD);
      expect(new Machine({ mode: 'virtual8086' }).execute(code)).toEqual(UD);
      expect(new Machine({ mode: 'real' }).execute(code)).toBe('done');
    }
  });

  test('AC follows, for the memory unit too', () => {
    const machine = new Machine();
    machine.execute('0f01cb');
    expect([machine.flags & ac, machine.context.ac]).toEqual([ac, true]);
    machine.execute('0f01ca');
    expect([machine.flags & ac, machine.context.ac]).toEqual([0, false]);
  });
});
