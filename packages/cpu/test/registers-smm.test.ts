import { describe, expect, test } from 'vitest';
import { Activity, Segment } from '../src/state/layout.ts';
import { deriveSegmentAccess } from '../src/state/segment-cache.ts';
import { enterSmm } from '../src/system/smm.ts';
import { absentPage, Machine, type Mode, UD } from './registers-machine.ts';

const area = 0x3_0000;
const rsm = '0faa';

/** A machine that was interrupted by an SMI at an address, its registers told apart. */
function interrupted(mode: Mode = 'long64'): Machine {
  const machine = new Machine({ mode });
  const { state } = machine;
  for (let register = 0; register < 16; register++)
    state.setBig('gpr', 0x1111_1111_1111_1111n * BigInt(register), register);
  state.setBig('segmentBase', 0xffff_8000_0000_1234n, Segment.gs);
  state.set('segmentSelector', 0x33, Segment.gs);
  state.set('tableLimit', 0x7f);
  state.setBig('tableBase', 0xffff_8000_0000_4000n);
  state.set('segmentAttributes', 0x1_0082, Segment.ldtr);
  for (let segment = 0; segment < 8; segment++) deriveSegmentAccess(machine.state, segment);
  machine.flags = 0x247;
  state.setBig('debug', 0x455n, 7);
  machine.nextLow = 0x1234;
  machine.nextHigh = 0xffff_8000 | 0;
  return machine;
}

/** All that an SMI and RSM must bring back. */
function snapshot(machine: Machine): unknown {
  const { state, context } = machine;
  return {
    bytes: Buffer.from(state.bytes).toString('hex'),
    control: [
      context.cr0,
      context.cr3Low,
      context.cr3High,
      context.cr4,
      context.efer,
      context.mode,
      context.judge,
    ],
    rip: [machine.nextLow, machine.nextHigh],
  };
}

describe('SMI (APM vol. 2, 10.3)', () => {
  test('the handler starts at SMBASE + 8000h with flat segments and no protection', () => {
    const machine = interrupted();
    enterSmm(machine);
    const { state, context } = machine;
    expect([machine.nextLow, machine.nextHigh]).toEqual([0x8000, 0]);
    expect([context.cr0, context.cr4, context.efer]).toEqual([0x5_0032, 0, 0]);
    expect(machine.flags).toBe(2);
    expect(state.getBig('debug', 7)).toBe(0x400n);
    expect([state.get('segmentSelector', Segment.cs), state.getBig('segmentBase', Segment.cs)]).toEqual([
      0x3000,
      0x3_0000n,
    ]);
    for (let segment = 0; segment < 6; segment++) {
      expect(state.get('segmentLast', segment)).toBe(-1);
      expect(state.get('segmentRights', segment)).toBe(3);
    }
    expect([state.get('inSmm'), state.get('nmiBlocked'), machine.inSmram]).toEqual([1, 1, true]);
  });

  test('the map of the save area (APM vol. 2, table 10-1)', () => {
    const machine = interrupted();
    enterSmm(machine);
    const word = (offset: number): bigint => machine.view.getBigUint64(area + offset, true);
    expect(word(0xfff8)).toBe(0n);
    expect(word(0xfff0)).toBe(0x1111_1111_1111_1111n);
    expect(word(0xff80)).toBe(0xffff_ffff_ffff_ffffn);
    expect(word(0xff78)).toBe(0xffff_8000_0000_1234n);
    expect(word(0xff70)).toBe(0x247n);
    expect(word(0xff60)).toBe(0x455n);
    expect(word(0xff58)).toBe(0x8005_0033n);
    expect(word(0xff50)).toBe(0xf_0000n);
    expect(word(0xfed0)).toBe(0xd01n);
    expect(machine.view.getUint32(area + 0xff00, true)).toBe(0x3_0000);
    expect(machine.view.getUint32(area + 0xfefc, true)).toBe(0x2_0064);
    // GS: selector, attributes, limit, base.
    expect(machine.view.getUint16(area + 0xfe50, true)).toBe(0x33);
    expect(machine.view.getUint16(area + 0xfe52, true)).toBe(0xc093);
    expect(machine.view.getUint32(area + 0xfe54, true)).toBe(0xffff_ffff);
    expect(word(0xfe58)).toBe(0xffff_8000_0000_1234n);
    expect(word(0xfe68)).toBe(0xffff_8000_0000_4000n);
    expect(machine.view.getUint16(area + 0xfe64, true)).toBe(0x7f);
    // An LDTR that cannot be used is not present.
    expect(machine.view.getUint16(area + 0xfe72, true) & 0x80).toBe(0);
  });
});

describe('RSM (SDM vol. 2)', () => {
  test('outside SMM it is #UD', () => {
    expect(new Machine().execute(rsm)).toEqual(UD);
    expect(new Machine({ cpl: 3 }).execute(rsm)).toEqual(UD);
  });

  test.each<Mode>(['long64', 'compatibility', 'protected32', 'real'])('%s: everything comes back', (mode) => {
    const machine = interrupted(mode);
    // Present is what remains of it.
    machine.state.set('segmentAttributes', 0x1_0002, Segment.ldtr);
    machine.state.set('nmiBlocked', 1);
    const before = snapshot(machine);
    enterSmm(machine);
    machine.state.setBig('gpr', 0x55n, 3);
    expect(machine.execute(rsm)).toBe('done');
    expect(snapshot(machine)).toEqual(before);
    expect(machine.inSmram).toBe(false);
    expect(machine.isStopped).toBe(false);
  });

  test('virtual-8086 mode comes back with CPL 3', () => {
    const machine = interrupted('virtual8086');
    machine.flags = 0x2_0202;
    enterSmm(machine);
    expect(machine.state.get('cpl')).toBe(0);
    machine.execute(rsm);
    expect([machine.state.get('cpl'), machine.flags]).toEqual([3, 0x2_0202]);
  });

  test('SMBASE moves', () => {
    const machine = interrupted();
    enterSmm(machine);
    machine.view.setUint32(area + 0xff00, 0x5_0000, true);
    machine.execute(rsm);
    enterSmm(machine);
    expect(machine.state.get('segmentSelector', Segment.cs)).toBe(0x5000);
    expect(machine.view.getUint32(0x5_0000 + 0xfefc, true)).toBe(0x2_0064);
  });

  test('back into HLT, unless the handler says otherwise', () => {
    for (const goesOn of [false, true]) {
      const machine = interrupted();
      machine.state.set('activity', Activity.halted);
      enterSmm(machine);
      expect(machine.state.get('activity')).toBe(Activity.running);
      expect(machine.ram[area + 0xfec9]).toBe(1);
      if (goesOn) machine.ram[area + 0xfec9] = 0;
      machine.execute(rsm);
      expect(machine.state.get('activity')).toBe(goesOn ? Activity.running : Activity.halted);
    }
  });

  test('translations of the handler are forgotten', () => {
    const machine = interrupted();
    machine.state.setPair('gpr', 0x4000, 0, 3);
    machine.execute('0f0103');
    enterSmm(machine);
    machine.view.setBigUint64(0xf_3000 + 8 * 4, 0xb007n, true);
    machine.execute(rsm);
    machine.state.setPair('gpr', 0x4000, 0, 3);
    machine.execute('0f0103');
    expect(machine.ram[0xb000]).toBe(0x7f);
  });

  test.each([
    ['PG without PE', 0xff58, 0x8000_0030n],
    ['NW without CD', 0xff58, 0xa005_0033n],
    ['upper half of CR0', 0xff58, 0x1_8005_0033n],
    ['reserved bits of CR4', 0xff48, 0x8000_0020n],
    ['long mode without PAE', 0xff48, 0x600n],
    ['reserved bits of EFER', 0xfed0, 0x4d01n],
    ['CR3 above MAXPHYADDR', 0xff50, 1n << 50n],
  ])('shutdown: %s', (_, offset, value) => {
    const machine = interrupted();
    enterSmm(machine);
    machine.view.setBigUint64(area + offset, value, true);
    expect(machine.execute(rsm)).toBe('done');
    expect([machine.state.get('activity'), machine.isStopped]).toEqual([Activity.shutdown, true]);
    expect(machine.context.cr0).toBe(0x5_0032);
  });

  test('PAE paging: the PDPTEs come with CR3, or a shutdown', () => {
    const pdpt = 0x2_0000;
    for (const [entry, activity] of [
      [0xf_2001n, Activity.running],
      [0xf_2007n, Activity.shutdown],
    ] as const) {
      const machine = interrupted('protected32');
      machine.view.setBigUint64(pdpt, entry, true);
      machine.context.set({ cr0: 0x8000_0031 | 0, cr3: pdpt, cr4: 0x20, pdptes: [0xf_2001n, 0n, 0n, 0n] });
      machine.mmu.enter(machine.context);
      enterSmm(machine);
      machine.context.pdptes.fill(0);
      machine.execute(rsm);
      expect(machine.state.get('activity')).toBe(activity);
      if (activity !== Activity.running) continue;
      expect(machine.memory.read(0x4000, 0, 1)).toBe(0);
      expect(() => machine.memory.read(absentPage, 0, 1)).toThrow();
    }
  });
});
