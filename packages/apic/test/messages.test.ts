import { describe, expect, test } from 'vitest';
import { InterruptFabric, type LocalApic } from '../src/index.ts';
import { command, drain, enable, makeBoard, offsets, read, toX2apic, write } from './board.ts';

/** Ids of the APICs that have a vector, which are rid of it. */
function takers(apics: readonly LocalApic[]): number[] {
  return apics.filter((apic) => drain(apic).length > 0).map(({ id }) => id);
}

function makeEnabled(count: number) {
  const board = makeBoard(Array.from({ length: count }, (_, id) => id));
  for (const apic of board.apics) enable(apic);
  return board;
}

describe('interprocessor interrupts (SDM vol. 3, 12.6)', () => {
  test('physical destinations, and all of them', () => {
    const { apics } = makeEnabled(4);
    command(apics[0], 0x4050, 2);
    expect(takers(apics)).toEqual([2]);
    command(apics[0], 0x4050, 9);
    expect(takers(apics)).toEqual([]);
    command(apics[1], 0x4050, 0xff);
    expect(takers(apics)).toEqual([0, 1, 2, 3]);
  });

  test('ids in xAPIC mode are what was written', () => {
    const { apics } = makeEnabled(3);
    write(apics[1], offsets.id, 2 << 24);
    command(apics[0], 0x4050, 2);
    expect(takers(apics)).toEqual([1, 2]);
    command(apics[0], 0x4050, 1);
    expect(takers(apics)).toEqual([]);
    // Shorthands do not ask for ids.
    command(apics[1], 0x4_4050);
    expect(takers(apics)).toEqual([1]);
    command(apics[1], 0xc_4050);
    expect(takers(apics)).toEqual([0, 2]);
  });

  test('shorthands', () => {
    const { apics } = makeEnabled(4);
    const rows = [
      [0x4_4050, [1]],
      [0x8_4050, [0, 1, 2, 3]],
      [0xc_4050, [0, 2, 3]],
      // The shorthand stands for the destination: its mode means nothing.
      [0xc_4850, [0, 2, 3]],
    ] as const;
    for (const [low, ids] of rows) {
      command(apics[1], low, 3);
      expect(takers(apics)).toEqual(ids);
    }
  });

  test('logical destinations in the flat model', () => {
    const { apics } = makeEnabled(4);
    for (const { id } of apics) write(apics[id], offsets.ldr, 1 << (24 + id));
    for (const mask of [0b0001, 0b1010, 0b1111]) {
      command(apics[0], 0x4850, mask);
      expect(takers(apics)).toEqual([0, 1, 2, 3].filter((id) => (mask >> id) & 1));
    }
    command(apics[0], 0x4850, 0x30);
    expect(takers(apics)).toEqual([]);
  });

  test('logical destinations in the cluster model', () => {
    const { apics } = makeEnabled(4);
    const logical = [0x11, 0x12, 0x21, 0x34];
    for (const { id } of apics) {
      write(apics[id], offsets.dfr, 0x0fff_ffff);
      write(apics[id], offsets.ldr, logical[id] << 24);
    }
    const rows = [
      [0x13, [0, 1]],
      [0x2f, [2]],
      [0x38, []],
      [0x4f, []],
      [0xff, [0, 1, 2, 3]],
    ] as const;
    for (const [destination, ids] of rows) {
      command(apics[0], 0x4850, destination);
      expect(takers(apics)).toEqual(ids);
    }
    // Other models match nothing.
    write(apics[0], offsets.dfr, 0x5000_0000);
    command(apics[1], 0x4850, 0x11);
    expect(takers(apics)).toEqual([]);
  });

  test('x2APIC mode: 32-bit ids, clusters of 16', () => {
    const { apics } = makeBoard([0, 0x11, 0x12, 0x100, 0x1_0000]);
    for (const apic of apics) {
      enable(apic);
      toX2apic(apic);
    }
    const rows = [
      [0x4050, 0x1_0000, [0x1_0000]],
      [0x4050, 0x100, [0x100]],
      [0x4050, 0xff, []],
      [0x4050, -1, [0, 0x11, 0x12, 0x100, 0x1_0000]],
      [0x4850, 0x0001_0006, [0x11, 0x12]],
      [0x4850, 0x1000_0001, [0x1_0000]],
      [0x4850, -1, [0, 0x11, 0x12, 0x100, 0x1_0000]],
      [0xc_4050, 0, [0x11, 0x12, 0x100, 0x1_0000]],
    ] as const;
    for (const [low, high, ids] of rows) {
      expect(apics[0].msrs.write(0x830, low, high)).toBe(true);
      expect(takers(apics)).toEqual(ids);
    }
  });

  test('delivery modes', () => {
    const { apics, news } = makeBoard([0, 1], { external: { acknowledge: () => 8 } });
    for (const apic of apics) enable(apic);
    const rows = [
      [0x4200, ['smi 1']],
      [0x4400, ['nmi 1']],
      [0x4500, ['init 1']],
      // INIT level de-assert: nobody listens.
      [0x8500, []],
      [0xc500, ['init 1']],
      [0x4612, ['startUp 1 18']],
      // Remote read and ExtINT cannot be sent.
      [0x4300, []],
      [0x4700, []],
    ] as const;
    for (const [low, told] of rows) {
      command(apics[0], low, 1);
      expect([low, news()]).toEqual([low, told]);
    }
    command(apics[0], 0xc_4500);
    expect(news()).toEqual(['init 1']);
  });

  test('a disabled APIC hears nothing; disabled by software it hears all but vectors', () => {
    const { apics, news } = makeEnabled(3);
    apics[1].msrs.write(0x1b, 0xfee0_0000 | 0, 0);
    write(apics[2], offsets.svr, 0xff);
    command(apics[0], 0xc_4400);
    command(apics[0], 0xc_4050);
    expect(news()).toEqual(['nmi 2']);
  });

  test('the lowest priority gets it, of equals the lowest id', () => {
    const { apics } = makeEnabled(4);
    for (const { id } of apics) write(apics[id], offsets.ldr, 1 << (24 + id));
    const choose = () => {
      command(apics[0], 0x4950, 0xf);
      return takers(apics);
    };
    expect(choose()).toEqual([0]);
    write(apics[0], offsets.tpr, 0x20);
    write(apics[1], offsets.tpr, 0x30);
    expect(choose()).toEqual([2]);
    // What is in service counts too.
    command(apics[0], 0x4040, 2);
    apics[2].acknowledge();
    expect(choose()).toEqual([3]);
    write(apics[3], offsets.svr, 0xff);
    expect(choose()).toEqual([0]);
    // A single physical destination has no choice.
    command(apics[0], 0x4150, 1);
    expect(takers(apics)).toEqual([1]);
  });

  test('illegal vectors are not sent', () => {
    const { apics } = makeEnabled(2);
    command(apics[0], 0x400f, 1);
    for (const apic of apics) write(apic, offsets.esr, 0);
    expect(apics.map((apic) => read(apic, offsets.esr))).toEqual([0x20, 0]);
  });

  test('ids are taken once', () => {
    const { apic } = makeBoard();
    const fabric = new InterruptFabric();
    fabric.add(apic);
    expect(() => fabric.add(apic)).toThrow('local APIC 0 already');
  });
});

describe('message-signalled interrupts (SDM vol. 3, 12.11)', () => {
  test('address and data', () => {
    const { apics, fabric, news } = makeEnabled(4);
    for (const { id } of apics) write(apics[id], offsets.ldr, 1 << (24 + id));
    const rows = [
      [0xfee0_2000, 0x0050, [2]],
      [0xfeef_f000, 0x0050, [0, 1, 2, 3]],
      // Logical, without and with redirection hint.
      [0xfee0_6004, 0x0050, [1, 2]],
      [0xfee0_600c, 0x0050, [1]],
      [0xfee0_6004, 0x0150, [1]],
      // Level-triggered: asserted and not.
      [0xfee0_1000, 0xc050, [1]],
      [0xfee0_1000, 0x8050, []],
    ] as const;
    for (const [address, data, ids] of rows) {
      expect(fabric.deliverMsi(address, data)).toBe(true);
      expect(takers(apics)).toEqual(ids);
    }
    news();
    fabric.deliverMsi(0xfee0_3000, 0x400);
    // Devices cannot start processors.
    fabric.deliverMsi(0xfee0_3000, 0x612);
    expect(news()).toEqual(['nmi 3']);
  });

  test('other addresses are none', () => {
    const { fabric, apic } = makeBoard();
    enable(apic);
    for (const address of [0xfed0_0000, 0xfef0_0000, 0x1_fee0_0000, 0, -1])
      expect(fabric.deliverMsi(address, 0x50)).toBe(false);
    expect(apic.isPending).toBe(false);
  });
});
