import { describe, expect, test } from 'vitest';
import { Hpet, I8254 } from '../src/index.ts';
import { fileCopy, Line, ManualClock } from './manual-clock.ts';

const configuration = 0x10;
const status = 0x20;
const counter = 0xf0;
const enabled = 4;
const periodic = 8;
const setValue = 0x40;
const mode32 = 0x100;
const level = 2;

/** A timer's registers. */
const config = (index: number) => 0x100 + 0x20 * index;
const comparator = (index: number) => 0x108 + 0x20 * index;

function makeHpet() {
  const clock = new ManualClock();
  const irq0 = new Line();
  const irq8 = new Line();
  const inputs = Array.from({ length: 32 }, () => new Line());
  const hpet = new Hpet({ clock, irq0, irq8, route: (input) => inputs[input] });
  const read = (offset: number) => hpet.read(offset, 4);
  const write = (offset: number, value: number) => hpet.write(offset, 4, value);
  return { clock, irq0, irq8, inputs, hpet, read, write };
}

describe('HPET (IA-PC HPET specification 1.0a)', () => {
  test('capabilities, and a counter of 10 MHz and 64 bits that runs while it is enabled', () => {
    const { clock, hpet, read, write } = makeHpet();
    expect([read(0), read(4)]).toEqual([0x8086a201, 100_000_000]);
    clock.advance(1000);
    expect(read(counter)).toBe(0);
    write(counter, 0xffff_fff0);
    write(counter + 4, 7);
    write(configuration, 1);
    clock.advance(1500);
    expect([read(counter), read(counter + 4)]).toEqual([0xffff_ffff, 7]);
    clock.advance(100);
    expect([read(counter), read(counter + 4)]).toEqual([0, 8]);
    clock.advance(2 ** 33 * 100);
    expect([read(counter), read(counter + 4)]).toEqual([0, 10]);
    write(configuration, 0);
    clock.advance(1e9);
    expect([read(counter), hpet.read(counter + 4, 2), hpet.read(counter + 5, 1)]).toEqual([0, 10, 0]);
    hpet.write(counter, 2, 5);
    expect(read(counter)).toBe(0);
  });

  test('one shot through legacy replacement: what Linux uses as clock event device', () => {
    const { clock, irq0, read, write } = makeHpet();
    write(configuration, 3);
    write(config(0), enabled | mode32);
    write(comparator(0), read(counter) + 5000);
    clock.advance(499_999);
    expect(irq0.rises).toBe(0);
    clock.advance(1);
    expect(irq0.rises).toBe(1);
    clock.advance(100e9);
    expect(irq0.rises).toBe(1);
    // In 32-bit mode the counter comes by again.
    clock.advance(2 ** 32 * 100);
    expect(irq0.rises).toBe(2);
  });

  test('periodic with VAL_SET: the accumulator goes on by the period', () => {
    const { clock, irq0, read, write } = makeHpet();
    write(configuration, 3);
    write(config(0), enabled | periodic | setValue | mode32);
    write(comparator(0), 3000);
    write(comparator(0), 10_000);
    clock.advance(299_999);
    expect(irq0.rises).toBe(0);
    clock.advance(1);
    expect([irq0.rises, read(comparator(0))]).toEqual([1, 13_000]);
    clock.advance(1e9);
    expect([irq0.rises, clock.fired]).toEqual([1001, 1001]);
  });

  test('the accumulator advances though nobody is interrupted', () => {
    const { clock, read, write } = makeHpet();
    write(configuration, 1);
    write(config(1), periodic | setValue);
    write(comparator(1), 100);
    write(comparator(1) + 4, 0);
    write(comparator(1), 50);
    write(comparator(1) + 4, 0);
    clock.advance(12_345);
    expect([read(comparator(1)), read(comparator(1) + 4), clock.fired]).toEqual([150, 0, 0]);
    clock.advance(50e9 * 100);
    expect(read(comparator(1) + 4)).toBeGreaterThan(0);
  });

  test('a level-triggered timer holds its line until its status is cleared', () => {
    const { clock, inputs, read, write } = makeHpet();
    write(configuration, 1);
    write(config(2), enabled | level | (20 << 9));
    write(comparator(2), 10);
    write(comparator(2) + 4, 0);
    clock.advance(1000);
    expect([inputs[20].level, read(status)]).toEqual([true, 4]);
    // Routed elsewhere, it moves.
    write(config(2), enabled | level | (21 << 9));
    expect([inputs[20].level, inputs[21].level]).toEqual([false, true]);
    write(status, 4);
    expect([inputs[21].level, read(status)]).toEqual([false, 0]);
  });

  test('routes that are not offered lead nowhere', () => {
    const { clock, inputs, read, write } = makeHpet();
    expect(read(config(0) + 4)).toBe(0x00f0_0000);
    write(configuration, 1);
    write(config(0), enabled | (5 << 9));
    write(comparator(0), 10);
    write(comparator(0) + 4, 0);
    clock.advance(1e6);
    expect(inputs.every((input) => input.rises === 0)).toBe(true);
  });

  test('legacy replacement keeps 8254 and RTC out, and lets them in again', () => {
    const { clock, hpet, irq0, irq8, write } = makeHpet();
    const pit = new I8254({ clock, interrupt: hpet.pit });
    pit.write(3, 0x34);
    pit.write(0, 0x9c);
    pit.write(0, 0x2e);
    clock.advance(1e9);
    expect(irq0.rises).toBeGreaterThan(90);
    hpet.rtc.set(true);
    expect(irq8.level).toBe(true);
    write(configuration, 2);
    expect([irq0.level, irq8.level]).toEqual([false, false]);
    const { rises } = irq0;
    clock.advance(1e9);
    expect(irq0.rises).toBe(rises);
    write(configuration, 0);
    expect([irq0.level, irq8.level]).toEqual([true, true]);
  });

  test('a period beyond all measure costs at most 100,000 interrupts a second', () => {
    const { clock, irq0, write } = makeHpet();
    write(configuration, 3);
    for (const value of [0, 1, 7]) {
      write(config(0), enabled | periodic | setValue | mode32);
      write(comparator(0), 0xffff_ffff);
      write(comparator(0), value);
      write(config(0), enabled | periodic | setValue | mode32);
      write(comparator(0), (hpetCounter(clock) + 10) >>> 0);
      write(comparator(0), value);
      clock.fired = 0;
      irq0.rises = 0;
      clock.advance(1e7);
      expect(clock.fired).toBeLessThanOrEqual(1001);
      expect(irq0.rises).toBeGreaterThanOrEqual(value === 0 ? 1 : 900);
    }
  });

  test('RESET stops it', () => {
    const { clock, hpet, read, write, inputs } = makeHpet();
    write(configuration, 1);
    write(config(2), enabled | level | (20 << 9));
    write(comparator(2), 10);
    write(comparator(2) + 4, 0);
    clock.advance(1e6);
    hpet.reset();
    expect([
      inputs[20].level,
      read(configuration),
      read(counter),
      read(config(2)),
      read(comparator(2)),
    ]).toEqual([false, 0, 0, 0x30, 0xffff_ffff]);
  });

  test('a snapshot has the same interrupts at the same time', () => {
    const one = makeHpet();
    one.write(counter, 123);
    one.write(configuration, 3);
    one.write(config(0), enabled | periodic | setValue | mode32);
    one.write(comparator(0), 3000);
    one.write(comparator(0), 10_000);
    one.write(config(2), enabled | level | (20 << 9));
    one.write(comparator(2), 200);
    one.write(comparator(2) + 4, 0);
    one.clock.advance(1_234_567);
    const two = makeHpet();
    two.clock.now = one.clock.now;
    two.hpet.restore(fileCopy(one.hpet.save()));
    expect(two.hpet.save()).toEqual(one.hpet.save());
    expect(two.inputs[20].level).toBe(true);
    const { rises } = one.irq0;
    one.clock.advance(1e8);
    two.clock.advance(1e8);
    expect([two.irq0.rises, two.read(counter)]).toEqual([one.irq0.rises - rises, one.read(counter)]);
    const four = new Hpet({ ...two, route: () => new Line() }, { timers: 4 });
    expect(() => four.restore(one.hpet.save())).toThrow('3 timers');
    expect(() => new Hpet({ ...two, route: () => new Line() }, { timers: 2 })).toThrow('3 to 32');
  });
});

function hpetCounter(clock: ManualClock): number {
  return Math.floor(clock.now / 100) >>> 0;
}
