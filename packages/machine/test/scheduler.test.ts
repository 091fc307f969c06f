import type { RunEnd } from '@nest86/cpu';
import { describe, expect, test } from 'vitest';
import { type ScheduledProcessor, Scheduler } from '../src/processors/scheduler.ts';
import { HostTime, InstructionTime, MachineClock } from '../src/time/machine-clock.ts';

/** Retires what it is asked to, and does something at chosen counts. */
class FakeProcessor implements ScheduledProcessor {
  retired = 0;
  isRunning = true;
  isShutDown = false;
  readonly events = new Map<number, () => void>();
  private isStopping = false;

  constructor(
    readonly name: string,
    private readonly log: string[],
  ) {}

  run(count: number): RunEnd {
    this.isStopping = false;
    const start = this.retired;
    while (this.retired - start < count && !this.isStopping && this.isRunning) {
      this.retired++;
      this.events.get(this.retired)?.();
    }
    if (this.retired > start) this.log.push(`${this.name}${this.retired - start}`);
    return !this.isStopping && this.retired - start >= count ? 'limit' : 'stopped';
  }

  step(): RunEnd {
    return this.run(1);
  }

  halt(): void {
    this.isRunning = false;
    this.stop();
  }

  stop(): void {
    this.isStopping = true;
  }
}

function machine(names: string): {
  readonly log: string[];
  readonly clock: MachineClock;
  readonly scheduler: Scheduler;
  readonly processors: readonly FakeProcessor[];
} {
  const log: string[] = [];
  const time = new InstructionTime();
  const processors = [...names].map((name) => new FakeProcessor(name, log));
  const clock: MachineClock = new MachineClock(time, () => scheduler.cut());
  const scheduler: Scheduler = new Scheduler(processors, clock, time);
  return { log, clock, scheduler, processors };
}

/** Turns, with what was split by the end of a run put together. */
function turns(log: readonly string[]): string {
  const joined: [string, number][] = [];
  for (const text of log) {
    const last = joined.at(-1);
    if (last?.[0] === text[0]) last[1] += Number(text.slice(1));
    else joined.push([text[0], Number(text.slice(1))]);
  }
  return joined.map(([name, count]) => name + count).join(' ');
}

describe('scheduler', () => {
  test.each([1, 7, 999, 20_000, 90_000])(
    'turns do not depend on how much a run is asked for (%i)',
    (step) => {
      const { log, scheduler, processors } = machine('abc');
      processors[1].events.set(25_000, () => processors[1].halt());
      for (let done = 0; done < 90_000; done += step) scheduler.run(Math.min(step, 90_000 - done));
      expect(turns(log)).toBe('a20000 b20000 c20000 a20000 b5000 c5000');
    },
  );

  test.each([1, 7, 500, 20_000])('nor does who gives up its turn (%i)', (count) => {
    const { log, scheduler, processors } = machine('ab');
    for (let at = 500; at < 4000; at += 500) processors[0].events.set(at, () => processors[0].stop());
    for (let done = 0; done < 42_000; done += count) scheduler.run(Math.min(count, 42_000 - done));
    expect(turns(log)).toBe('a500 b20000 a500 b20000 a500 b500');
  });

  test('a debugger steps one processor while others stand still, or have their turns', () => {
    const { log, scheduler, processors } = machine('abc');
    scheduler.run(100);
    scheduler.stepping = 1;
    expect(scheduler.run(100_000)).toBe('stopped');
    expect(turns(log)).toBe('a20000 b1');
    scheduler.held[1] = true;
    scheduler.held[0] = true;
    scheduler.stepping = 2;
    expect(scheduler.run(100_000)).toBe('stopped');
    expect([scheduler.stepping, processors[2].retired]).toEqual([-1, 1]);
    scheduler.run(30_000);
    expect(turns(log)).toBe('a20000 b1 c30001');
  });

  test('a timer that an instruction sets fires at its exact time', () => {
    const { log, clock, scheduler, processors } = machine('a');
    const fired: number[] = [];
    const timer = clock.timer(() => fired.push(clock.now));
    processors[0].events.set(100, () => timer.set(150));
    processors[0].events.set(150, () => log.push('x0'));
    scheduler.run(1000);
    expect(fired).toEqual([150]);
    expect(clock.now).toBe(1000);
  });

  test('of two that are due together the one made first is first; one that is set anew at once does not starve the run', () => {
    const { clock, scheduler } = machine('a');
    const fired: string[] = [];
    const first = clock.timer(() => fired.push('first'));
    const second = clock.timer(() => {
      fired.push('second');
      second.set(0);
    });
    second.set(10);
    first.set(10);
    expect(scheduler.run(12)).toBe('limit');
    expect(fired.slice(0, 2)).toEqual(['first', 'second']);
    expect(fired.length).toBeLessThan(10_000);
  });

  test('a wake-up gives the sleeper the next turn', () => {
    const { log, scheduler, processors } = machine('ab');
    const [a, b] = processors;
    b.isRunning = false;
    a.events.set(30_000, () => {
      b.isRunning = true;
      scheduler.wake(1);
    });
    scheduler.run(60_000);
    expect(turns(log)).toBe('a30000 b20000 a10000');
  });

  test('while all sleep, time goes on to the next timer; without one the machine is halted', () => {
    const { clock, scheduler, processors } = machine('a');
    const [a] = processors;
    const timer = clock.timer(() => {
      a.isRunning = true;
      scheduler.wake(0);
    });
    a.events.set(10, () => {
      timer.set(5_000_000);
      a.halt();
    });
    a.events.set(20, () => a.halt());
    expect(scheduler.run(100)).toBe('halted');
    expect([a.retired, clock.now]).toEqual([20, 5_000_010]);
  });

  test('what came just before a processor halts wakes it', () => {
    const { scheduler, processors } = machine('ab');
    const [a] = processors;
    let isPending = false;
    const { run } = FakeProcessor.prototype;
    a.run = (count) => {
      if (isPending) {
        isPending = false;
        a.isRunning = true;
      }
      return run.call(a, count);
    };
    a.events.set(10, () => {
      isPending = true;
      scheduler.wake(0);
      a.halt();
    });
    processors[1].isRunning = false;
    scheduler.run(100);
    expect(a.retired).toBe(100);
  });

  test('a timer that wakes nobody does not hang the run', () => {
    const { clock, scheduler, processors } = machine('a');
    processors[0].isRunning = false;
    const timer = clock.timer(() => timer.set(clock.now + 1));
    timer.set(1);
    expect(scheduler.run(100)).toBe('limit');
  });
});

test('on a host that is busy with other things, turns in real time stay worth their costs', () => {
  const log: string[] = [];
  const processors = ['a', 'b', 'c', 'd'].map((name) => new FakeProcessor(name, log));
  // A tenth of a fast host: 100 ns for an instruction, and each look at the host's clock finds 0.1 ms gone.
  let looks = 0;
  const time = new HostTime(
    () => processors.reduce((sum, { retired }) => sum + retired, 0) * 1e-4 + looks++ * 0.1,
  );
  const clock: MachineClock = new MachineClock(time, () => scheduler.cut());
  const scheduler: Scheduler = new Scheduler(processors, clock, time);
  for (const _ of processors) {
    const timer = clock.timer(() => timer.set(clock.now + 4e6));
    timer.set(4e6);
  }
  const count = 2_000_000;
  expect(scheduler.run(count)).toBe('limit');
  expect(count / log.length).toBeGreaterThan(1000);
});
