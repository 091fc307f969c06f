import type { MachineEnd } from '@nest86/machine';
import { expect, test } from 'vitest';
import { Pace } from '../src/run/pace.ts';

/** A guest of so many instructions, which the host runs at so many per millisecond. */
function guestOf(total: number, speed: (retired: number) => number) {
  const slices: [instructions: number, milliseconds: number][] = [];
  const guest = {
    clock: 0,
    retired: 0,
    slices,
    run(count: number): MachineEnd {
      const done = Math.min(count, total - guest.retired);
      const milliseconds = done / speed(guest.retired);
      slices.push([done, milliseconds]);
      guest.retired += done;
      guest.clock += milliseconds;
      return done < count ? { reason: 'halted' } : { reason: 'limit' };
    },
  };
  return guest;
}

const most = 5_000_000;
const never = (): boolean => false;
const rest = async (): Promise<void> => {};

test.each([2000, 20_000, 1_000_000])('at %i instructions a millisecond', (speed) => {
  const guest = guestOf(1e9, () => speed);
  const pace = new Pace(guest, most, () => guest.clock);
  for (let i = 0; i < 40; i++) pace.run(most);
  expect(Math.max(...guest.slices.map(([, milliseconds]) => milliseconds))).toBeLessThanOrEqual(40);
  const [instructions, milliseconds] = guest.slices[39];
  expect(instructions === most || milliseconds > 10).toBe(true);
});

test('one that becomes slow is asked soon', () => {
  const guest = guestOf(1e9, (retired) => (retired < 50e6 ? 500_000 : 500));
  const pace = new Pace(guest, most, () => guest.clock);
  for (let i = 0; i < 60; i++) pace.run(most);
  expect(guest.slices.at(-1)).toEqual([20_000, 40]);
});

test('all of a count, whatever the slices; unless it ends, or somebody wants it to', async () => {
  const guest = guestOf(12e6, () => 1000);
  const pace = new Pace(guest, most, () => guest.clock);
  expect(await pace.runAll(most, never, rest)).toEqual({ reason: 'limit' });
  expect(guest.retired).toBe(most);
  expect(guest.slices.length).toBeGreaterThan(100);
  expect(await pace.runAll(most, () => guest.retired > 6e6, rest)).toEqual({ reason: 'limit' });
  expect(guest.retired).toBeLessThan(6.1e6);
  expect(await pace.runAll(1e9, never, rest)).toEqual({ reason: 'halted' });
  expect(guest.retired).toBe(12e6);
});

test('a guest that does nothing is no reason to stay', async () => {
  const guest = { retired: 0, run: (): MachineEnd => ({ reason: 'limit' }) };
  expect(await new Pace(guest, most, () => 0).runAll(most, never, rest)).toEqual({ reason: 'limit' });
});
