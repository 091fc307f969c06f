import { describe, expect, test } from 'vitest';
import { AcpiPm, ResetControl, sleepTypeS5 } from '../src/index.ts';
import { fileCopy, Line, ManualClock } from './manual-clock.ts';

function makePm(timerBits: 24 | 32 = 32) {
  const clock = new ManualClock();
  const sci = new Line();
  const calls: string[] = [];
  const pm = new AcpiPm({ clock, sci, powerOff: () => calls.push('off') }, { timerBits });
  return { clock, sci, calls, pm };
}

describe('ACPI power management (ACPI 6.5, section 4.8)', () => {
  test('the timer counts 3.579545 MHz in 24 or 32 bits', () => {
    const { clock, pm } = makePm();
    clock.advance(88_000);
    expect([pm.read(8, 4), pm.read(8, 2), pm.read(9, 1)]).toEqual([315, 315, 1]);
    clock.advanceTo(2 ** 32 * (88_000 / 315) - 1000);
    expect(pm.read(8, 4)).toBe(2 ** 32 - 4);
    clock.advance(2000);
    expect(pm.read(8, 4)).toBe(3);
    const narrow = makePm(24);
    narrow.clock.advanceTo(2 ** 24 * (88_000 / 315) + 1000);
    expect(narrow.pm.read(8, 4)).toBe(3);
  });

  test('its highest bit sets TMR_STS, which asks for the SCI if it is enabled', () => {
    const { clock, sci, pm } = makePm(24);
    clock.advance(3e9);
    expect([pm.read(0, 2), sci.level, clock.fired]).toEqual([1, false, 0]);
    pm.write(0, 2, 1);
    pm.write(2, 2, 1);
    expect(pm.read(0, 2)).toBe(0);
    clock.advance(2.4e9);
    expect([pm.read(0, 4), sci.level]).toEqual([0x10001, true]);
    pm.write(0, 2, 1);
    expect(sci.level).toBe(false);
    clock.advance(23.5e9);
    expect([sci.rises, clock.fired]).toEqual([2, 2]);
  });

  test('the power button', () => {
    const { sci, pm } = makePm();
    pm.powerButton();
    expect(sci.level).toBe(false);
    pm.write(3, 1, 1);
    expect([sci.level, pm.read(1, 1)]).toEqual([true, 1]);
    pm.write(1, 1, 1);
    expect([sci.level, pm.read(0, 2)]).toEqual([false, 0]);
  });

  test('SLP_EN with S5 switches off; other states end at once', () => {
    const { calls, pm } = makePm();
    expect(pm.read(4, 2)).toBe(1);
    pm.write(4, 2, 0x2000 | (5 << 10));
    expect([calls, pm.read(0, 2)]).toEqual([[], 0x8000]);
    pm.write(4, 2, sleepTypeS5 << 10);
    expect(calls).toEqual([]);
    pm.write(4, 2, 0x2000 | (sleepTypeS5 << 10));
    expect(calls).toEqual(['off']);
    pm.write(4, 1, 0);
    expect(pm.read(4, 2)).toBe(1 | (sleepTypeS5 << 10));
  });

  test('no general-purpose events', () => {
    const { pm } = makePm();
    pm.write(0x20, 4, -1);
    pm.write(0x28, 4, -1);
    expect([pm.read(0x20, 4), pm.read(0x28, 4), pm.read(12, 4)]).toEqual([0, 0, 0]);
  });

  test('a snapshot keeps status and carries', () => {
    const { clock, pm } = makePm(24);
    pm.write(2, 2, 0x101);
    pm.powerButton();
    clock.advance(3e9);
    const copy = makePm(24);
    copy.clock.now = clock.now;
    copy.pm.restore(fileCopy(pm.save()));
    expect([copy.sci.level, copy.pm.read(0, 4)]).toEqual([true, 0x1010101]);
    copy.pm.reset();
    expect([copy.sci.level, copy.pm.read(0, 4)]).toEqual([false, 0]);
  });
});

test('reset control register CF9h: RST_CPU going up resets', () => {
  let resets = 0;
  const control = new ResetControl(() => resets++);
  control.write(0, 2);
  expect([control.read(), resets]).toEqual([2, 0]);
  control.write(0, 6);
  control.write(0, 6);
  expect(resets).toBe(1);
  const copy = new ResetControl(() => resets++);
  copy.restore(fileCopy(control.save()));
  copy.write(0, 4);
  copy.reset();
  copy.write(0, 14);
  expect([copy.read(), resets]).toEqual([14, 2]);
});
