import { describe, expect, test } from 'vitest';
import { Mc146818 } from '../src/index.ts';
import { fileCopy, Line, ManualClock } from './manual-clock.ts';

const a = 10;
const b = 11;
const c = 12;

function makeRtc(time = '2024-02-28T23:59:58.000Z') {
  const clock = new ManualClock();
  const interrupt = new Line();
  const rtc = new Mc146818({ clock, interrupt, wallClock: () => Date.parse(time) });
  const read = (index: number) => {
    rtc.write(0, index);
    return rtc.read(1);
  };
  const write = (index: number, value: number) => {
    rtc.write(0, index);
    rtc.write(1, value);
  };
  /** Century, year, month, day, hours, minutes, seconds, as they are read. */
  const time7 = () => [0x32, 9, 8, 7, 4, 2, 0].map((index) => read(index).toString(16)).join(' ');
  return { clock, interrupt, rtc, read, write, time7 };
}

describe('MC146818A real-time clock (data sheet)', () => {
  test('starts with the wall clock, in BCD and 24 hours, and goes on by the machine', () => {
    const { clock, read, time7 } = makeRtc();
    expect(time7()).toBe('20 24 2 28 23 59 58');
    expect([read(b), read(13), read(a) & 0x7f]).toEqual([2, 0x80, 0x26]);
    expect(read(6)).toBe(4);
    clock.advance(2e9);
    expect(time7()).toBe('20 24 2 29 0 0 0');
    expect(read(6)).toBe(5);
  });

  test('binary, and 12 hours with PM', () => {
    const { clock, write, time7, read } = makeRtc();
    write(b, 4);
    expect(time7()).toBe('14 18 2 1c 8b 3b 3a');
    clock.advance(2e9);
    expect(read(4)).toBe(12);
    write(b, 0);
    expect(read(4)).toBe(0x12);
    clock.advance(12 * 3600e9);
    expect(read(4)).toBe(0x92);
  });

  test('SET stops the time for writing, and it goes on from what was written', () => {
    const { clock, write, read, time7 } = makeRtc();
    write(b, 0x82);
    const fields = [0x32, 9, 8, 7, 4, 2, 0];
    const values = [0x19, 0x99, 0x12, 0x31, 0x23, 0x59, 0x59];
    fields.forEach((index, i) => {
      write(index, values[i]);
    });
    write(6, 1);
    clock.advance(5e9);
    expect(time7()).toBe('19 99 12 31 23 59 59');
    expect(read(a) & 0x80).toBe(0);
    write(b, 2);
    clock.advance(1e9);
    expect(time7()).toBe('20 0 1 1 0 0 0');
    expect(read(6)).toBe(2);
  });

  test('the divider held in reset stops the time; released, the next second comes after half of one', () => {
    const { clock, write, time7 } = makeRtc('2024-01-01T00:00:00.900Z');
    write(a, 0x76);
    clock.advance(3e9);
    expect(time7()).toMatch(/ 0$/);
    write(a, 0x26);
    clock.advance(499_999_999);
    expect(time7()).toMatch(/ 0$/);
    clock.advance(1);
    expect(time7()).toMatch(/ 1$/);
  });

  test('UIP announces the update 244 µs ahead', () => {
    const { clock, read } = makeRtc();
    clock.advance(1e9 - 2_228_001);
    expect(read(a) & 0x80).toBe(0);
    clock.advance(1);
    expect(read(a) & 0x80).toBe(0x80);
    clock.advance(2_228_000);
    expect([read(a) & 0x80, read(0)]).toEqual([0, 0x59]);
  });

  test('update-ended interrupt; reading register C takes it back', () => {
    const { clock, interrupt, write, read } = makeRtc();
    read(c);
    write(b, 0x12);
    clock.advance(999_999_999);
    expect(interrupt.level).toBe(false);
    clock.advance(1);
    expect([interrupt.level, read(c), interrupt.level, read(c)]).toEqual([true, 0xd0, false, 0]);
    clock.advance(10e9);
    expect(interrupt.rises).toBe(2);
  });

  test('periodic interrupt: 1,024 Hz, without drift', () => {
    const { clock, interrupt, write, read } = makeRtc();
    write(b, 0x42);
    let count = 0;
    for (let i = 0; i < 10_000; i++) {
      clock.advance(100_000);
      if (interrupt.level && (read(c) & 0xc0) === 0xc0) count++;
    }
    expect(count).toBe(1024);
    write(a, 0x21);
    read(c);
    count = 0;
    for (let i = 0; i < 1000; i++) {
      clock.advance(1e6);
      if ((read(c) & 0x40) !== 0) count++;
    }
    expect(count).toBe(256);
  });

  test('flags are set though nothing is enabled, and enabling raises the line', () => {
    const { clock, interrupt, write, read } = makeRtc();
    clock.advance(1e9);
    expect(clock.fired).toBe(0);
    write(b, 0x12);
    expect(interrupt.level).toBe(true);
    expect(read(c)).toBe(0xd0);
  });

  test('alarm at a time of day, and every minute', () => {
    const { clock, interrupt, write, read } = makeRtc();
    [0x05, 0x01, 0x00].forEach((value, i) => {
      write(2 * i + 1, value);
    });
    write(b, 0x22);
    clock.advance(66e9);
    expect(interrupt.level).toBe(false);
    clock.advance(1e9);
    expect([interrupt.level, read(c) & 0xa0]).toEqual([true, 0xa0]);
    clock.advance(86399e9);
    expect(interrupt.level).toBe(false);
    clock.advance(1e9);
    expect(interrupt.level).toBe(true);
    for (const index of [3, 5]) write(index, 0xff);
    read(c);
    clock.advance(60e9);
    expect([read(c) & 0x20, clock.fired < 5]).toEqual([0x20, true]);
    // A time that never comes.
    write(1, 0x99);
    clock.advance(1e15);
    expect(interrupt.level).toBe(false);
  });

  test('RAM keeps bytes; port 70h holds the NMI mask', () => {
    const { rtc, read, write } = makeRtc();
    write(0x80 | 0x20, 0x77);
    expect([rtc.masksNmi, read(0x20), rtc.masksNmi, rtc.read(0)]).toEqual([true, 0x77, false, 0xff]);
    rtc.store(0x34, 0x12);
    expect(read(0x34)).toBe(0x12);
    expect(() => rtc.store(0, 1)).toThrow('14 to 127 are allowed');
  });

  test('RESET takes interrupts back, not the time', () => {
    const { clock, interrupt, rtc, write, read, time7 } = makeRtc();
    write(b, 0x72);
    clock.advance(1e9);
    rtc.reset();
    expect([interrupt.level, read(b), time7()]).toEqual([false, 2, '20 24 2 28 23 59 59']);
  });

  test('a snapshot goes on with the same time and interrupts', () => {
    const one = makeRtc();
    one.write(b, 0x12);
    one.clock.advance(12_345_678_901);
    const two = makeRtc('1970-01-01T00:00:00Z');
    two.clock.now = one.clock.now;
    two.rtc.restore(fileCopy(one.rtc.save()));
    expect([two.interrupt.level, two.time7()]).toEqual([true, one.time7()]);
    two.read(c);
    two.clock.advance(1e9);
    expect(two.interrupt.rises).toBe(2);
  });
});
