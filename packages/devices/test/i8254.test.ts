import { describe, expect, test } from 'vitest';
import { I8254 } from '../src/index.ts';
import { fileCopy, Line, ManualClock } from './manual-clock.ts';

function makeTimer() {
  const clock = new ManualClock();
  const interrupt = new Line();
  const pit = new I8254({ clock, interrupt });
  interrupt.rises = 0;
  return { clock, interrupt, pit };
}

/** The first nanosecond of a tick. */
const at = (tick: number) => Math.ceil((tick * 88000) / 105);

function program(pit: I8254, counter: number, mode: number, count: number, bcd = 0) {
  pit.write(3, (counter << 6) | 0x30 | (mode << 1) | bcd);
  pit.write(counter, count & 0xff);
  pit.write(counter, count >> 8);
}

/** Latched, low byte first. */
function count(pit: I8254, counter: number): number {
  pit.write(3, counter << 6);
  return pit.read(counter) | (pit.read(counter) << 8);
}

function status(pit: I8254, counter: number): number {
  pit.write(3, 0xe0 | (2 << counter));
  return pit.read(counter);
}

describe('8254 timer (Intel 8254 data sheet)', () => {
  test('mode 0: OUT rises once the count is over, and counting goes on', () => {
    const { clock, interrupt, pit } = makeTimer();
    program(pit, 0, 0, 1000);
    expect([interrupt.level, status(pit, 0)]).toEqual([false, 0x70]);
    clock.advanceTo(at(1));
    expect([count(pit, 0), status(pit, 0)]).toEqual([1000, 0x30]);
    clock.advanceTo(at(1001) - 1);
    expect([interrupt.level, count(pit, 0)]).toEqual([false, 1]);
    clock.advanceTo(at(1001));
    expect([interrupt.rises, count(pit, 0), status(pit, 0)]).toEqual([1, 0, 0xb0]);
    clock.advanceTo(at(1002));
    expect(count(pit, 0)).toBe(0xffff);
    clock.advance(1e9);
    expect(interrupt.rises).toBe(1);
  });

  test('mode 0: the first of two bytes stops the counter', () => {
    const { clock, interrupt, pit } = makeTimer();
    program(pit, 0, 0, 1000);
    clock.advanceTo(at(500));
    pit.write(0, 10);
    clock.advanceTo(at(5000));
    expect(interrupt.rises).toBe(0);
    pit.write(0, 0);
    clock.advanceTo(at(5011));
    expect(interrupt.rises).toBe(1);
  });

  test('mode 2: 100 Hz has 100 edges in a second, without drift', () => {
    const { clock, interrupt, pit } = makeTimer();
    program(pit, 0, 2, 11932);
    const first = interrupt.rises;
    clock.advance(10e9);
    expect(interrupt.rises - first).toBe(Math.floor((10e9 * 105) / 88000 / 11932));
    expect(clock.fired).toBeLessThan(1010);
  });

  test('mode 2: OUT is low for the last tick of each period', () => {
    const { clock, pit } = makeTimer();
    pit.systemControl.write(0, 1);
    program(pit, 2, 2, 3);
    const seen = [];
    for (let tick = 1; tick < 8; tick++) {
      clock.advanceTo(at(tick));
      seen.push(`${count(pit, 2)}${status(pit, 2) >> 7}`);
    }
    expect(seen).toEqual(['31', '21', '10', '31', '21', '10', '31']);
  });

  test('mode 3: even and odd counts go by twos, high for the longer half', () => {
    const { clock, pit } = makeTimer();
    pit.systemControl.write(0, 1);
    const seen = (value: number) => {
      const text = [];
      program(pit, 2, 3, value);
      const start = Math.floor((clock.now * 105) / 88000) + 1;
      for (let tick = 0; tick < 10; tick++) {
        clock.advanceTo(at(start + tick));
        text.push(`${count(pit, 2)}${status(pit, 2) >> 7}`);
      }
      return text.join(' ');
    };
    expect(seen(4)).toBe('41 21 40 20 41 21 40 20 41 21');
    expect(seen(5)).toBe('41 21 01 40 20 41 21 01 40 20');
  });

  test('modes 2 and 3: a new count waits for the end of the period, or of the half', () => {
    const { clock, interrupt, pit } = makeTimer();
    program(pit, 0, 2, 1000);
    clock.advanceTo(at(101));
    pit.write(0, 200);
    pit.write(0, 0);
    expect(status(pit, 0) & 0x40).toBe(0x40);
    const before = interrupt.rises;
    clock.advanceTo(at(1000));
    expect(interrupt.rises - before).toBe(0);
    clock.advanceTo(at(1001 + 400));
    expect([interrupt.rises - before, status(pit, 0) & 0x40]).toEqual([3, 0]);
    const start = Math.floor((clock.now * 105) / 88000) + 1;
    program(pit, 0, 3, 1000);
    clock.advanceTo(at(start + 100));
    pit.write(0, 200);
    pit.write(0, 0);
    const rises = interrupt.rises;
    // High to 500, low for half of the new period.
    clock.advanceTo(at(start + 599));
    expect([interrupt.rises - rises, status(pit, 0) >> 7]).toEqual([0, 0]);
    clock.advanceTo(at(start + 600));
    expect([interrupt.rises - rises, status(pit, 0) >> 7]).toEqual([1, 1]);
    clock.advanceTo(at(start + 800));
    expect(interrupt.rises - rises).toBe(2);
  });

  test('mode 4: one strobe, its end is the edge', () => {
    const { clock, interrupt, pit } = makeTimer();
    program(pit, 0, 4, 100);
    clock.advanceTo(at(101));
    expect(status(pit, 0) >> 7).toBe(0);
    clock.advanceTo(at(102));
    expect([interrupt.level, status(pit, 0) >> 7]).toEqual([true, 1]);
    const { rises } = interrupt;
    clock.advance(1e9);
    expect(interrupt.rises).toBe(rises);
  });

  test('modes 1 and 5 wait for the gate', () => {
    const { clock, pit } = makeTimer();
    const out = () => (pit.systemControl.read(0) >> 5) & 1;
    program(pit, 2, 1, 100);
    clock.advance(1e6);
    expect([out(), status(pit, 2) & 0x40]).toEqual([1, 0x40]);
    const trigger = () => {
      pit.systemControl.write(0, 0);
      pit.systemControl.write(0, 1);
      return Math.floor((clock.now * 105) / 88000) + 1;
    };
    let start = trigger();
    clock.advanceTo(at(start));
    expect([out(), count(pit, 2)]).toEqual([0, 100]);
    clock.advanceTo(at(start + 50));
    start = trigger();
    clock.advanceTo(at(start + 99));
    expect(out()).toBe(0);
    clock.advanceTo(at(start + 100));
    expect(out()).toBe(1);
    program(pit, 2, 5, 10);
    start = trigger();
    clock.advanceTo(at(start + 10));
    expect(out()).toBe(0);
    clock.advanceTo(at(start + 11));
    expect(out()).toBe(1);
  });

  test('the gate holds counter 2, and OUT2 is seen at port 61h: what Linux calibrates the TSC with', () => {
    const { clock, pit } = makeTimer();
    pit.systemControl.write(0, 1);
    program(pit, 2, 0, 59659);
    clock.advanceTo(at(1 + 1000));
    pit.systemControl.write(0, 0);
    clock.advance(1e9);
    expect(count(pit, 2)).toBe(58659);
    pit.systemControl.write(0, 1);
    const now = clock.now;
    while ((pit.systemControl.read(0) & 0x20) === 0) clock.advance(1000);
    expect(Math.abs(clock.now - now - (58659 * 88000) / 105)).toBeLessThan(2000);
  });

  test('BCD counts decimal digits', () => {
    const { clock, pit } = makeTimer();
    pit.systemControl.write(0, 1);
    program(pit, 2, 0, 0x1000, 1);
    clock.advanceTo(at(2));
    expect(count(pit, 2)).toBe(0x999);
    program(pit, 2, 0, 0, 1);
    clock.advanceTo(at(4));
    expect(count(pit, 2)).toBe(0x9999);
  });

  test('a latched count stays until it is read; status comes before it', () => {
    const { clock, pit } = makeTimer();
    program(pit, 0, 2, 5000);
    clock.advanceTo(at(1 + 100));
    pit.write(3, 0xc2);
    pit.write(3, 0x00);
    clock.advanceTo(at(1 + 200));
    pit.write(3, 0xe2);
    expect(pit.read(0)).toBe(0xb4);
    expect(pit.read(0) | (pit.read(0) << 8)).toBe(4900);
    expect(pit.read(0) | (pit.read(0) << 8)).toBe(4800);
  });

  test('access by one byte', () => {
    const { clock, pit } = makeTimer();
    pit.write(3, 0x24);
    pit.write(0, 2);
    clock.advanceTo(at(2));
    expect([pit.read(0), pit.read(0)]).toEqual([1, 1]);
    pit.write(3, 0x14);
    pit.write(0, 20);
    clock.advanceTo(at(3));
    expect(pit.read(0)).toBe(20);
  });

  test('a frequency beyond all measure costs at most 100,000 interrupts a second', () => {
    const { clock, interrupt, pit } = makeTimer();
    for (const mode of [2, 3])
      for (const value of [1, 2, 3]) {
        program(pit, 0, mode, value);
        clock.fired = 0;
        interrupt.rises = 0;
        clock.advance(1e7);
        expect(clock.fired).toBeLessThanOrEqual(1000);
        if (value > 1) expect(interrupt.rises).toBeGreaterThan(500);
      }
  });

  test('one shots may follow each other at once', () => {
    const { clock, interrupt, pit } = makeTimer();
    for (let i = 0; i < 10; i++) {
      program(pit, 0, i % 2 === 0 ? 0 : 4, 3);
      interrupt.rises = 0;
      clock.advance(6000);
      expect(interrupt.rises).toBe(1);
    }
  });

  test('port 61h: refresh toggles every 15 µs, what is written can be read', () => {
    const { clock, pit } = makeTimer();
    pit.systemControl.write(0, 0xfe);
    const before = pit.systemControl.read(0);
    expect(before & 0xcf).toBe(0x0e);
    clock.advance(15_085);
    expect((pit.systemControl.read(0) ^ before) & 0x10).toBe(0x10);
  });

  test('a snapshot has the same edges at the same time', () => {
    const one = makeTimer();
    program(one.pit, 0, 3, 777);
    one.pit.write(0, 99);
    one.clock.advance(123_456);
    one.pit.write(3, 0);
    const two = makeTimer();
    two.clock.now = one.clock.now;
    two.pit.restore(fileCopy(one.pit.save()));
    expect(two.pit.save()).toEqual(one.pit.save());
    expect(two.interrupt.level).toBe(one.interrupt.level);
    const rises = [one.interrupt.rises, two.interrupt.rises];
    one.clock.advance(1e7);
    two.clock.advance(1e7);
    expect(two.interrupt.rises - rises[1]).toBe(one.interrupt.rises - rises[0]);
    expect(two.pit.read(0)).toBe(one.pit.read(0));
  });
});
