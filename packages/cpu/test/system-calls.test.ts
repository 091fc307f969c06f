import { describe, expect, test } from 'vitest';
import { Segment } from '../src/state/layout.ts';
import { program, stack0, TransferMachine } from './transfer-machine.ts';

const { cs, ss } = Segment;
const target = 0xffff_ffff_8100_0000n;
const syscall = '0f05';
const sysenter = '0f34';

function machine64(privilege: 0 | 3, vendor: 'intel' | 'amd' = 'intel'): TransferMachine {
  const machine = new TransferMachine({ vendor }).long(privilege);
  return withRegisters(machine);
}

/** SYSCALL to 10h and 18h, SYSRET to 33h and 2Bh, or 23h for 32-bit code. */
function withRegisters(machine: TransferMachine): TransferMachine {
  machine.context.set({ efer: machine.context.efer | 1 });
  machine.state.setBig('star', 0x0023_0010_1234_5678n);
  machine.state.setBig('lstar', target);
  machine.state.setBig('cstar', target + 0x1000n);
  machine.state.setBig('sfmask', 0x4_7700n);
  return machine;
}

describe('SYSCALL (SDM vol. 2)', () => {
  test('from 64-bit code', () => {
    const machine = machine64(3);
    machine.state.flags = 0x25_0fd7;
    expect(machine.run(syscall)).toBe('');
    expect(machine.rip).toBe(target);
    expect(machine.register(1)).toBe(BigInt(program + 2));
    // RF is 0 in the image.
    expect(machine.register(11)).toBe(0x24_0fd7n);
    expect(machine.flags).toBe(0x20_08d7);
    expect(machine.cpl).toBe(0);
    expect([machine.selector(cs), machine.attributes(cs)]).toEqual([0x10, 0xa09b]);
    expect([machine.selector(ss), machine.attributes(ss)]).toEqual([0x18, 0xc093]);
    expect(machine.state.get('segmentLimit', cs)).toBe(-1);
  });

  test('#UD without EFER.SCE, and on Intel outside 64-bit mode', () => {
    const machine = machine64(3);
    machine.context.set({ efer: 0xd00 });
    expect(machine.run(syscall)).toBe('6');
  });

  test('AMD: compatibility mode goes to CSTAR, legacy mode to STAR', () => {
    const compatible = withRegisters(new TransferMachine({ vendor: 'amd' }).compatibility(3));
    expect(compatible.run(syscall)).toBe('');
    expect(compatible.rip).toBe(target + 0x1000n);
    expect(compatible.attributes(cs)).toBe(0xa09b);
    const legacy = withRegisters(new TransferMachine({ vendor: 'amd' }).protected(3));
    legacy.state.flags = 0x202;
    expect(legacy.run(syscall)).toBe('');
    expect(legacy.rip).toBe(0x1234_5678n);
    expect(legacy.register(1)).toBe(BigInt(program + 2));
    expect(legacy.flags).toBe(2);
    expect(legacy.attributes(cs)).toBe(0xc09b);
    expect(legacy.run('0f07')).toBe('');
    expect(legacy.rip).toBe(BigInt(program + 2));
    expect([legacy.cpl, legacy.selector(cs), legacy.flags]).toEqual([3, 0x23, 0x202]);
  });
});

describe('SYSRET (SDM vol. 2)', () => {
  test('to 64-bit code', () => {
    const machine = machine64(0);
    machine.setRegister(1, 0x7fff_ffff_fffen);
    machine.setRegister(11, -1);
    expect(machine.run('480f07')).toBe('');
    expect(machine.rip).toBe(0x7fff_ffff_fffen);
    expect(machine.flags).toBe(0x3c_7fd7);
    expect(machine.cpl).toBe(3);
    expect([machine.selector(cs), machine.attributes(cs)]).toEqual([0x33, 0xa0fb]);
    expect([machine.selector(ss), machine.attributes(ss)]).toEqual([0x2b, 0xc0f3]);
    expect(machine.register(4)).toBe(BigInt(stack0));
  });

  test('to compatibility mode', () => {
    const machine = machine64(0);
    machine.setRegister(1, 0x1234_5678_9abc_def0n);
    expect(machine.run('0f07')).toBe('');
    expect(machine.rip).toBe(0x9abc_def0n);
    expect([machine.selector(cs), machine.attributes(cs)]).toEqual([0x23, 0xc0fb]);
  });

  test('RCX not canonical: Intel faults at level 0, AMD at level 3', () => {
    const intel = machine64(0);
    intel.setRegister(1, 1n << 47n);
    expect(intel.run('480f07')).toBe('13(0)');
    expect(intel.cpl).toBe(0);
    const amd = machine64(0, 'amd');
    amd.setRegister(1, 1n << 47n);
    expect(amd.run('480f07')).toBe('');
    expect([amd.cpl, amd.rip]).toEqual([3, 1n << 47n]);
  });

  test('AMD leaves the attributes of SS', () => {
    const machine = machine64(0, 'amd');
    machine.segment(ss, 0, 0, -1, 0x1_0000);
    machine.run('480f07');
    expect([machine.selector(ss), machine.attributes(ss)]).toEqual([0x2b, 0x1_0000]);
  });

  test('privilege and EFER.SCE', () => {
    expect(machine64(3).run('480f07')).toBe('13(0)');
    const machine = machine64(3);
    machine.context.set({ efer: 0xd00 });
    expect(machine.run('480f07')).toBe('6');
  });
});

describe('SYSENTER and SYSEXIT (SDM vol. 2)', () => {
  function entered(machine: TransferMachine): TransferMachine {
    machine.state.setBig('sysenterCs', 0x13n);
    machine.state.setBig('sysenterEsp', 0xffff_ffff_8000_1000n);
    machine.state.setBig('sysenterEip', target);
    machine.state.flags = 0x302;
    return machine;
  }

  test('protected mode', () => {
    const machine = entered(new TransferMachine().protected(3));
    expect(machine.run(sysenter)).toBe('');
    expect(machine.rip).toBe(target & 0xffff_ffffn);
    expect(machine.register(4)).toBe(0x8000_1000n);
    expect(machine.flags).toBe(0x102);
    expect([machine.cpl, machine.selector(cs), machine.selector(ss)]).toEqual([0, 0x10, 0x18]);
    expect([machine.attributes(cs), machine.attributes(ss)]).toEqual([0xc09b, 0xc093]);
    machine.setRegister(2, 0x1234);
    machine.setRegister(1, 0x5678);
    expect(machine.run('0f35')).toBe('');
    expect([machine.rip, machine.register(4)]).toEqual([0x1234n, 0x5678n]);
    expect([machine.cpl, machine.selector(cs), machine.selector(ss)]).toEqual([3, 0x23, 0x2b]);
    expect([machine.attributes(cs), machine.attributes(ss)]).toEqual([0xc0fb, 0xc0f3]);
  });

  test('from virtual-8086 mode', () => {
    const machine = entered(new TransferMachine().virtual8086());
    machine.state.flags = 0x2_0202;
    expect(machine.run(sysenter)).toBe('');
    expect(machine.flags).toBe(2);
  });

  test('long mode', () => {
    const machine = entered(new TransferMachine().compatibility(3));
    expect(machine.run(sysenter)).toBe('');
    expect([machine.rip, machine.register(4)]).toEqual([target, 0xffff_ffff_8000_1000n]);
    expect(machine.attributes(cs)).toBe(0xa09b);
    machine.setRegister(2, 0x7fff_0000_1234n);
    machine.setRegister(1, 0x7fff_0000_5678n);
    expect(machine.run('480f35')).toBe('');
    expect([machine.rip, machine.register(4)]).toEqual([0x7fff_0000_1234n, 0x7fff_0000_5678n]);
    expect([machine.selector(cs), machine.selector(ss)]).toEqual([0x33, 0x3b]);
    expect(machine.attributes(cs)).toBe(0xa0fb);
  });

  test('#GP(0): no selector, real-address mode, level 3, not canonical', () => {
    const machine = entered(new TransferMachine().long());
    machine.setRegister(2, 1n << 47n);
    expect(machine.run('480f35')).toBe('13(0)');
    machine.setRegister(2, 0);
    machine.setRegister(1, 1n << 47n);
    expect(machine.run('480f35')).toBe('13(0)');
    machine.state.setBig('sysenterCs', 0x3n);
    expect(machine.run(sysenter)).toBe('13(0)');
    expect(machine.run('0f35')).toBe('13(0)');
    expect(entered(new TransferMachine().protected(3)).run('0f35')).toBe('13(0)');
    expect(entered(new TransferMachine().real()).run(sysenter)).toBe('13(0)');
  });
});
