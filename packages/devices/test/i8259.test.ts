import { describe, expect, test } from 'vitest';
import { I8259Pair, SnapshotVersionError } from '../src/index.ts';
import { fileCopy, Line } from './manual-clock.ts';

/** Initialized as Linux does it: vectors 30h and 38h, nothing masked. */
function makePair(icw4 = 1) {
  const output = new Line();
  const pair = new I8259Pair({ output });
  pair.master.write(0, 0x11);
  for (const value of [0x30, 4, icw4, 0]) pair.master.write(1, value);
  pair.slave.write(0, 0x11);
  for (const value of [0x38, 2, icw4, 0]) pair.slave.write(1, value);
  return { pair, output };
}

function pulse(pair: I8259Pair, irq: number) {
  pair.line(irq).set(true);
  pair.line(irq).set(false);
}

describe('8259A pair (Intel 8259A data sheet)', () => {
  test('an edge is latched, acknowledged once, and in service until its end', () => {
    const { pair, output } = makePair();
    pulse(pair, 4);
    expect([output.level, pair.isPending, pair.master.read(0)]).toEqual([true, true, 0x10]);
    expect(pair.acknowledge()).toBe(0x34);
    expect([output.level, pair.master.read(0)]).toEqual([false, 0]);
    pair.master.write(0, 0x0b);
    expect(pair.master.read(0)).toBe(0x10);
    pulse(pair, 5);
    expect(output.level).toBe(false);
    pulse(pair, 1);
    expect(pair.acknowledge()).toBe(0x31);
    pair.master.write(0, 0x20);
    expect(pair.master.read(0)).toBe(0x10);
    pair.master.write(0, 0x20);
    expect([pair.master.read(0), output.level]).toEqual([0, true]);
    expect(pair.acknowledge()).toBe(0x35);
  });

  test("the slave's interrupts pass through input 2, each as a new edge", () => {
    const { pair, output } = makePair();
    pulse(pair, 14);
    pulse(pair, 8);
    expect(pair.acknowledge()).toBe(0x38);
    expect(output.level).toBe(false);
    pair.slave.write(0, 0x20);
    pair.master.write(0, 0x20);
    expect(output.level).toBe(true);
    expect(pair.acknowledge()).toBe(0x3e);
    pair.slave.write(0, 0x66);
    pair.master.write(0, 0x62);
    expect([output.level, pair.isPending]).toEqual([false, false]);
  });

  test('without ICW3 for it, input 2 is an ordinary one', () => {
    const { pair } = makePair();
    pair.master.write(0, 0x13);
    for (const value of [0x30, 1, 0]) pair.master.write(1, value);
    pulse(pair, 9);
    expect(pair.acknowledge()).toBe(0x32);
  });

  test('a masked interrupt waits', () => {
    const { pair, output } = makePair();
    pair.master.write(1, 0xff);
    pulse(pair, 3);
    expect([output.level, pair.master.read(0), pair.master.read(1)]).toEqual([false, 8, 0xff]);
    pair.master.write(1, 0xf7);
    expect(pair.acknowledge()).toBe(0x33);
  });

  test('what vanishes before the acknowledge is spurious: IRQ 7 or 15, without an ISR bit', () => {
    const { pair } = makePair();
    expect(pair.acknowledge()).toBe(0x37);
    pair.master.write(0, 0x0b);
    expect(pair.master.read(0)).toBe(0);
    pair.triggers.write(1, 0x0c);
    pair.line(10).set(true);
    pair.line(10).set(false);
    expect(pair.acknowledge()).toBe(0x3f);
    pair.slave.write(0, 0x0b);
    expect([pair.slave.read(0), pair.master.read(0)]).toEqual([0, 4]);
  });

  test('level-triggered inputs ask again as long as they are high', () => {
    const { pair, output } = makePair();
    pair.triggers.write(0, 0xff);
    pair.triggers.write(1, 0xff);
    expect([pair.triggers.read(0), pair.triggers.read(1)]).toEqual([0xf8, 0xde]);
    pair.line(11).set(true);
    for (let i = 0; i < 2; i++) {
      expect(pair.acknowledge()).toBe(0x3b);
      pair.slave.write(0, 0x63);
      pair.master.write(0, 0x62);
      expect(output.level).toBe(true);
    }
    pair.line(11).set(false);
    expect(pair.slave.read(0)).toBe(0);
  });

  test('an edge-triggered input that stays high asks once', () => {
    const { pair, output } = makePair();
    pair.line(6).set(true);
    pair.acknowledge();
    pair.master.write(0, 0x20);
    expect(output.level).toBe(false);
    pair.line(6).set(true);
    expect(output.level).toBe(false);
  });

  test('automatic EOI leaves nothing in service, and can rotate', () => {
    const { pair, output } = makePair(3);
    pair.master.write(0, 0x80);
    for (const irq of [0, 1]) pulse(pair, irq);
    expect(pair.acknowledge()).toBe(0x30);
    pulse(pair, 0);
    expect([pair.acknowledge(), pair.acknowledge(), output.level]).toEqual([0x31, 0x30, false]);
    // Both of the slave's come through, though it never lowers its INT for long.
    for (const irq of [9, 10]) pulse(pair, irq);
    expect([pair.acknowledge(), pair.acknowledge(), output.level]).toEqual([0x39, 0x3a, false]);
  });

  test('rotation and set priority', () => {
    const { pair } = makePair();
    pair.master.write(0, 0xc4);
    pulse(pair, 0);
    pulse(pair, 5);
    expect(pair.acknowledge()).toBe(0x35);
    pair.master.write(0, 0xa0);
    pulse(pair, 5);
    expect(pair.acknowledge()).toBe(0x30);
    pair.master.write(0, 0xe0);
    for (const irq of [0, 1]) pulse(pair, irq);
    expect(pair.acknowledge()).toBe(0x31);
  });

  test('special mask mode lets lower levels through', () => {
    const { pair, output } = makePair();
    pulse(pair, 3);
    pair.acknowledge();
    pulse(pair, 5);
    expect(output.level).toBe(false);
    pair.master.write(1, 8);
    pair.master.write(0, 0x68);
    expect(pair.acknowledge()).toBe(0x35);
    // A non-specific EOI passes over what is masked.
    pair.master.write(0, 0x20);
    pair.master.write(0, 0x0b);
    expect(pair.master.read(0)).toBe(8);
  });

  test("special fully nested mode: the slave's higher levels interrupt its lower ones", () => {
    const { pair, output } = makePair(0x11);
    pulse(pair, 12);
    expect(pair.acknowledge()).toBe(0x3c);
    pulse(pair, 8);
    expect(output.level).toBe(true);
    expect(pair.acknowledge()).toBe(0x38);
  });

  test('poll acknowledges by a read', () => {
    const { pair, output } = makePair();
    pulse(pair, 6);
    pair.master.write(0, 0x0c);
    expect([pair.master.read(0), output.level]).toEqual([0x86, false]);
    pair.master.write(0, 0x0c);
    expect(pair.master.read(1)).toBe(0);
    expect(pair.master.read(1)).toBe(0);
  });

  test('ICW1 clears mask, service and edges; until the last ICW nothing is delivered', () => {
    const { pair, output } = makePair();
    pulse(pair, 4);
    pair.acknowledge();
    pair.master.write(1, 0xff);
    pair.line(3).set(true);
    pair.master.write(0, 0x11);
    pair.line(0).set(true);
    expect(output.level).toBe(false);
    for (const value of [0x40, 4, 1]) pair.master.write(1, value);
    expect([output.level, pair.acknowledge()]).toEqual([true, 0x40]);
  });

  test('IRQ 2 is no line', () => {
    const { pair } = makePair();
    for (const irq of [2, 16, -1]) expect(() => pair.line(irq)).toThrow('0 to 15 but 2 are allowed');
  });

  test('a snapshot continues where it was taken, its output raised', () => {
    const { pair } = makePair();
    pulse(pair, 12);
    pair.acknowledge();
    pulse(pair, 1);
    const copy = makePair();
    copy.pair.restore(fileCopy(pair.save()));
    expect(copy.output.level).toBe(true);
    expect(copy.pair.save()).toEqual(pair.save());
    expect(copy.pair.acknowledge()).toBe(0x31);
    expect(() => pair.restore({ ...pair.save(), version: 2 as 1 })).toThrow(SnapshotVersionError);
  });
});
