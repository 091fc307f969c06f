import { describe, expect, test } from 'vitest';
import { drain, enable, makeBoard, offsets, read, readMsr, toX2apic, write } from './board.ts';

const vector = 0x40;
const periodic = 0x2_0000;
const deadline = 0x4_0000;
const masked = 0x1_0000;

/** @param divide divide configuration; 0Bh: by 1 */
function makeTimer(mode = 0, divide = 0xb) {
  const board = makeBoard();
  enable(board.apic);
  write(board.apic, offsets.divide, divide);
  write(board.apic, offsets.lvtTimer, mode | vector);
  const { apic, clock } = board;
  const count = () => read(apic, offsets.currentCount);
  const start = (value: number) => write(apic, offsets.initialCount, value);
  return {
    ...board,
    count,
    start,
    isPending: () => drain(apic).length > 0,
    at: (time: number) => clock.advance(time - clock.now),
  };
}

describe('APIC timer (SDM vol. 3, 12.5.4)', () => {
  test('dividers (figure 12-10)', () => {
    const dividers = { 0: 2, 1: 4, 2: 8, 3: 16, 8: 32, 9: 64, 10: 128, 11: 1 };
    for (const [configuration, divisor] of Object.entries(dividers)) {
      const { at, start, count, isPending } = makeTimer(0, Number(configuration));
      start(100);
      at(10 * divisor - 1);
      expect([configuration, count()]).toEqual([configuration, 91]);
      at(10 * divisor);
      expect([configuration, count()]).toEqual([configuration, 90]);
      at(100 * divisor - 1);
      expect([count(), isPending()]).toEqual([1, false]);
      at(100 * divisor);
      expect([count(), isPending()]).toEqual([0, true]);
    }
  });

  test('one-shot: once; writing 0 stops it', () => {
    const { at, start, count, isPending, clock, apic } = makeTimer();
    start(0xffff_ffff);
    expect([count(), read(apic, offsets.initialCount)]).toEqual([0xffff_ffff, 0xffff_ffff]);
    at(1000);
    start(500);
    at(1500);
    expect(isPending()).toBe(true);
    at(10_000);
    expect([count(), isPending(), clock.next]).toEqual([0, false, Infinity]);
    start(500);
    start(0);
    at(20_000);
    expect([count(), isPending(), clock.next]).toEqual([0, false, Infinity]);
  });

  test('periodic: from its own schedule', () => {
    const { at, start, count, isPending } = makeTimer(periodic);
    start(50_000);
    for (let time = 50_000; time < 500_000; time += 50_000) {
      at(time - 1);
      expect([count(), isPending()]).toEqual([1, false]);
      at(time);
      expect([count(), isPending()]).toEqual([50_000, true]);
    }
  });

  test('periodic: what comes late does not shift what follows, and comes once', () => {
    const { at, start, count, isPending, clock } = makeTimer(periodic);
    start(50_000);
    // The owner of the clock slept.
    clock.now = 175_000;
    at(175_000);
    expect([count(), isPending()]).toEqual([25_000, true]);
    expect(clock.next).toBe(200_000);
  });

  test('periods below 10 µs interrupt every 10 µs or little more, the counter runs on', () => {
    const { at, start, count, clock, apic } = makeTimer(periodic);
    start(3);
    let interrupts = 0;
    while (clock.now < 1_000_000) {
      at(clock.next);
      interrupts += drain(apic).length;
      expect(clock.next % 3).toBe(0);
    }
    expect(interrupts).toBeGreaterThan(95);
    expect(interrupts).toBeLessThanOrEqual(100);
    at(1_500_001);
    expect(count()).toBe(2);
  });

  test('a masked timer counts, sets no timer of the clock and does not make up for what it missed', () => {
    const { at, start, count, isPending, clock, apic } = makeTimer(masked | periodic);
    start(50_000);
    expect(clock.next).toBe(Infinity);
    at(130_000);
    expect(count()).toBe(20_000);
    write(apic, offsets.lvtTimer, periodic | vector);
    expect([isPending(), clock.next]).toEqual([false, 150_000]);
  });

  test('from one mode to the other the count goes on; a counter that has ended stays at 0', () => {
    const { at, start, count, isPending, apic } = makeTimer();
    start(100_000);
    at(60_000);
    write(apic, offsets.lvtTimer, periodic | vector);
    expect(count()).toBe(40_000);
    at(110_000);
    expect([count(), isPending()]).toEqual([90_000, true]);
    write(apic, offsets.lvtTimer, vector);
    at(199_999);
    expect(count()).toBe(1);
    at(200_000);
    expect([count(), isPending()]).toEqual([0, true]);
    write(apic, offsets.lvtTimer, periodic | vector);
    at(400_000);
    expect([count(), isPending()]).toEqual([0, false]);
  });

  test('another divider changes the rate from here on', () => {
    const { at, start, count, isPending, apic } = makeTimer();
    start(1000);
    at(400);
    write(apic, offsets.divide, 3);
    expect(count()).toBe(600);
    at(400 + 16 * 599);
    expect([count(), isPending()]).toEqual([1, false]);
    at(400 + 16 * 600);
    expect([count(), isPending()]).toEqual([0, true]);
  });

  test('a clock with fractions neither loses an interrupt nor asks again for the same moment', () => {
    const { start, isPending, clock } = makeTimer();
    clock.now = 1234.7;
    start(3);
    expect(clock.next).toBe(1237);
    clock.advance(clock.next - clock.now);
    expect([isPending(), clock.next]).toEqual([true, Infinity]);
  });
});

describe('TSC deadline (SDM vol. 3, 12.5.4.1)', () => {
  const msr = 0x6e0;

  test('fires when the counter gets there, and disarms itself', () => {
    const { apic, at, isPending, clock } = makeTimer(deadline);
    apic.msrs.write(msr, 5000, 0);
    at(4999);
    expect([readMsr(apic, msr), isPending()]).toEqual([[5000, 0], false]);
    at(5000);
    expect([readMsr(apic, msr), isPending(), clock.next]).toEqual([[0, 0], true, Infinity]);
    apic.msrs.write(msr, 0, 0x8000_0000 | 0);
    expect([readMsr(apic, msr), clock.next]).toEqual([[0, 0x8000_0000], 2 ** 63]);
  });

  test('survives a write of the entry that stays in the mode', () => {
    const { apic, clock } = makeTimer(deadline);
    apic.msrs.write(msr, 5000, 0);
    write(apic, offsets.lvtTimer, deadline | masked | vector);
    write(apic, offsets.lvtTimer, deadline | 0x50);
    clock.advance(5000);
    expect(drain(apic)).toEqual([0x50]);
  });

  test('0 disarms, the past fires at once', () => {
    const { apic, at, isPending, clock } = makeTimer(deadline);
    at(10_000);
    apic.msrs.write(msr, 20_000, 0);
    apic.msrs.write(msr, 0, 0);
    expect(clock.next).toBe(Infinity);
    apic.msrs.write(msr, 9999, 0);
    expect([isPending(), readMsr(apic, msr)]).toEqual([true, [0, 0]]);
  });

  test('going there and leaving disarm; the count registers are dead in it', () => {
    const { apic, at, isPending, count, start, clock } = makeTimer();
    start(1000);
    write(apic, offsets.lvtTimer, deadline | vector);
    expect([count(), read(apic, offsets.initialCount), clock.next]).toEqual([0, 0, Infinity]);
    start(1000);
    expect([count(), read(apic, offsets.initialCount)]).toEqual([0, 0]);
    apic.msrs.write(msr, 5000, 0);
    write(apic, offsets.lvtTimer, periodic | vector);
    write(apic, offsets.lvtTimer, deadline | vector);
    at(6000);
    expect([readMsr(apic, msr), isPending()]).toEqual([[0, 0], false]);
  });

  test('in other modes the MSR ignores writes and reads 0', () => {
    const { apic, clock } = makeTimer(periodic);
    expect(apic.msrs.write(msr, 5000, 0)).toBe(true);
    expect([readMsr(apic, msr), clock.next]).toEqual([[0, 0], Infinity]);
  });

  test('masked, it passes without interrupt', () => {
    const { apic, at, isPending } = makeTimer(deadline | masked);
    apic.msrs.write(msr, 5000, 0);
    at(6000);
    write(apic, offsets.lvtTimer, deadline | vector);
    expect([isPending(), readMsr(apic, msr)]).toEqual([false, [0, 0]]);
  });

  test('follows a written counter', () => {
    let offset = 0;
    const { apic, clock } = makeBoard([0], { tsc: { timeOf: (low) => low - offset } });
    enable(apic);
    write(apic, offsets.lvtTimer, deadline | vector);
    apic.msrs.write(msr, 5000, 0);
    expect(clock.next).toBe(5000);
    offset = 1000;
    apic.tscChanged();
    expect(clock.next).toBe(4000);
    offset = 9000;
    apic.tscChanged();
    expect(drain(apic)).toEqual([vector]);
  });

  test('not offered: #GP', () => {
    const { apic } = makeBoard([0], {}, false);
    expect([readMsr(apic, msr), apic.msrs.write(msr, 0, 0)]).toEqual([undefined, false]);
  });

  test('INIT and a disabled APIC stop timers', () => {
    const { apic, clock, start } = makeTimer(periodic);
    start(1000);
    apic.initialize();
    expect(clock.next).toBe(Infinity);
    toX2apic(apic);
    apic.msrs.write(0x80f, 0x1ff, 0);
    apic.msrs.write(0x832, deadline | vector, 0);
    apic.msrs.write(msr, 5000, 0);
    expect(clock.next).toBe(5000);
    apic.msrs.write(0x1b, 0xfee0_0100 | 0, 0);
    expect([clock.next, readMsr(apic, msr)]).toEqual([Infinity, [0, 0]]);
  });
});
