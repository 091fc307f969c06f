import { describe, expect, test } from 'vitest';
import type { IoApic } from '../src/index.ts';
import { drain, enable, makeBoard, offsets, read, toX2apic, write } from './board.ts';

function get(ioApic: IoApic, index: number): number {
  ioApic.write(0, 4, index);
  return ioApic.read(0x10, 4) >>> 0;
}

function put(ioApic: IoApic, index: number, value: number): void {
  ioApic.write(0, 4, index);
  ioApic.write(0x10, 4, value);
}

/** @param low of the entry of a pin @param destination bits 63:56 */
function route(ioApic: IoApic, pin: number, low: number, destination = 0): void {
  put(ioApic, 0x11 + 2 * pin, destination << 24);
  put(ioApic, 0x10 + 2 * pin, low);
}

function makeEnabled(ids?: readonly number[]) {
  const board = makeBoard(ids, { external: { acknowledge: () => 8 } });
  for (const apic of board.apics) enable(apic);
  board.news();
  return board;
}

describe('I/O APIC registers (82093AA, 3.2)', () => {
  test('after reset', () => {
    const { ioApic } = makeBoard();
    expect([get(ioApic, 0), get(ioApic, 1), get(ioApic, 2)]).toEqual([0, 0x0017_0020, 0]);
    for (let pin = 0; pin < 24; pin++)
      expect([get(ioApic, 0x10 + 2 * pin), get(ioApic, 0x11 + 2 * pin)]).toEqual([0x1_0000, 0]);
    expect([get(ioApic, 0x40), get(ioApic, 0xff), get(ioApic, 3)]).toEqual([0, 0, 0]);
  });

  test('writes keep the bits that there are', () => {
    const { ioApic } = makeBoard();
    for (let index = 0; index < 256; index++) put(ioApic, index, -1);
    expect([get(ioApic, 0), get(ioApic, 1), get(ioApic, 2)]).toEqual([0x0f00_0000, 0x0017_0020, 0x0f00_0000]);
    expect([get(ioApic, 0x10), get(ioApic, 0x3f)]).toEqual([0x1_afff, 0xff00_0000]);
    ioApic.write(0x10, 1, 0);
    ioApic.write(0x14, 4, 0);
    expect([get(ioApic, 0x3f), ioApic.read(0x14, 4), ioApic.read(0x20, 4)]).toEqual([0xff00_0000, 0, 0]);
  });

  test('has 24 pins', () => {
    const { ioApic } = makeBoard();
    expect(() => ioApic.line(24)).toThrow(RangeError);
  });
});

describe('I/O APIC interrupts', () => {
  test('edges: each one interrupts, a masked one is lost', () => {
    const { ioApic, apic } = makeEnabled();
    route(ioApic, 4, 0x31);
    const line = ioApic.line(4);
    line.set(true);
    expect(drain(apic)).toEqual([0x31]);
    line.set(true);
    expect(apic.isPending).toBe(false);
    line.set(false);
    line.set(true);
    expect(drain(apic)).toEqual([0x31]);
    route(ioApic, 4, 0x1_0031);
    line.set(false);
    line.set(true);
    route(ioApic, 4, 0x31);
    expect(apic.isPending).toBe(false);
  });

  test('levels: one interrupt until its end, then again while the pin is asserted', () => {
    const { ioApic, apic } = makeEnabled();
    route(ioApic, 9, 0x8061);
    const line = ioApic.line(9);
    line.set(true);
    expect(get(ioApic, 0x22)).toBe(0xc061);
    expect(apic.acknowledge()).toBe(0x61);
    line.set(false);
    line.set(true);
    expect(apic.isPending).toBe(false);
    write(apic, offsets.eoi, 0);
    expect(apic.acknowledge()).toBe(0x61);
    line.set(false);
    write(apic, offsets.eoi, 0);
    expect([apic.isPending, get(ioApic, 0x22)]).toEqual([false, 0x8061]);
  });

  test('a level entry that is masked and unmasked while its interrupt is in service does not interrupt again', () => {
    const { ioApic, apic } = makeEnabled();
    route(ioApic, 9, 0x8061);
    ioApic.line(9).set(true);
    apic.acknowledge();
    route(ioApic, 9, 0x1_8061);
    route(ioApic, 9, 0x8061);
    expect([read(apic, offsets.irr + 0x30), get(ioApic, 0x22)]).toEqual([0, 0xc061]);
  });

  test('only ends of level-triggered interrupts are told', () => {
    const { ioApic, apic, fabric } = makeEnabled();
    const ended: number[] = [];
    fabric.addIoApic({ endOfInterrupt: (vector) => ended.push(vector) });
    route(ioApic, 4, 0x31);
    route(ioApic, 9, 0x8061);
    for (const pin of [4, 9]) {
      ioApic.line(pin).set(true);
      ioApic.line(pin).set(false);
    }
    expect([drain(apic), ended]).toEqual([[0x61, 0x31], [0x61]]);
  });

  test('levels wait behind the mask', () => {
    const { ioApic, apic } = makeEnabled();
    route(ioApic, 9, 0x1_8061);
    ioApic.line(9).set(true);
    expect(apic.isPending).toBe(false);
    route(ioApic, 9, 0x8061);
    expect(apic.isPending).toBe(true);
  });

  test('a level that nobody takes comes when the entry is right', () => {
    const { ioApic, apic } = makeEnabled();
    route(ioApic, 9, 0x8061, 7);
    ioApic.line(9).set(true);
    expect(get(ioApic, 0x22)).toBe(0x8061);
    route(ioApic, 9, 0x8061, 0);
    expect([get(ioApic, 0x22), apic.isPending]).toEqual([0xc061, true]);
  });

  test('the end of an edge is nobody’s business; EOI register and a change of trigger end levels', () => {
    const { ioApic, apic } = makeEnabled();
    write(apic, offsets.svr, 0x11ff);
    route(ioApic, 9, 0x8061);
    const line = ioApic.line(9);
    line.set(true);
    apic.acknowledge();
    line.set(false);
    // The broadcast is suppressed.
    write(apic, offsets.eoi, 0);
    expect(get(ioApic, 0x22)).toBe(0xc061);
    ioApic.write(0x40, 4, 0x62);
    expect(get(ioApic, 0x22)).toBe(0xc061);
    ioApic.write(0x40, 4, 0x61);
    expect(get(ioApic, 0x22)).toBe(0x8061);
    line.set(true);
    route(ioApic, 9, 0x1_0061);
    route(ioApic, 9, 0x1_8061);
    expect(get(ioApic, 0x22)).toBe(0x1_8061);
  });

  test('TMR follows the trigger of the last request of a vector', () => {
    const { ioApic, apic } = makeEnabled();
    route(ioApic, 9, 0x8061);
    ioApic.line(9).set(true);
    expect(read(apic, offsets.tmr + 0x30)).toBe(2);
    ioApic.line(9).set(false);
    drain(apic);
    route(ioApic, 4, 0x61);
    ioApic.line(4).set(true);
    expect(read(apic, offsets.tmr + 0x30)).toBe(0);
  });

  test('delivery modes; all but fixed and lowest priority are edges', () => {
    const { ioApic, apics, news } = makeEnabled([0, 1]);
    const rows = [
      [0x200, ['smi 1']],
      [0x8400, ['nmi 1']],
      [0x500, ['init 1']],
      [0x300, []],
      [0x612, []],
      [0x700, ['wake 1']],
      [0x8150, ['wake 1']],
    ] as const;
    for (const [low, told] of rows) {
      route(ioApic, 2, low, 1);
      ioApic.line(2).set(true);
      expect([low, news()]).toEqual([low, told]);
      // Nothing has to end before the next one, and no end would come.
      expect(get(ioApic, 0x14) & 0x4000).toBe(low === 0x8150 ? 0x4000 : 0);
      ioApic.line(2).set(false);
      while (apics[1].isPending) apics[1].acknowledge();
    }
  });

  test('logical destinations, and lowest priority among them', () => {
    const { ioApic, apics } = makeEnabled([0, 1, 2]);
    for (const { id } of apics) write(apics[id], offsets.ldr, 1 << (24 + id));
    const pulse = () => {
      ioApic.line(3).set(true);
      ioApic.line(3).set(false);
      return apics.map((apic) => drain(apic).length);
    };
    route(ioApic, 3, 0x850, 0b110);
    expect(pulse()).toEqual([0, 1, 1]);
    route(ioApic, 3, 0x950, 0b110);
    expect(pulse()).toEqual([0, 1, 0]);
    write(apics[1], offsets.tpr, 0x10);
    expect(pulse()).toEqual([0, 0, 1]);
  });

  test('reaches processors in x2APIC mode: 8-bit ids, cluster 0, all', () => {
    const { ioApic, apics } = makeEnabled([0, 1, 0x11]);
    for (const apic of apics) toX2apic(apic);
    const pulse = () => {
      ioApic.line(3).set(true);
      ioApic.line(3).set(false);
      return apics.map((apic) => drain(apic).length);
    };
    route(ioApic, 3, 0x50, 0x11);
    expect(pulse()).toEqual([0, 0, 1]);
    route(ioApic, 3, 0x850, 2);
    expect(pulse()).toEqual([0, 1, 0]);
    route(ioApic, 3, 0x50, 0xff);
    expect(pulse()).toEqual([1, 1, 1]);
  });
});
