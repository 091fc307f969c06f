import { describe, expect, test } from 'vitest';
import {
  AcpiPm,
  DebugConsole,
  DebugExit,
  Hpet,
  I8042,
  I8254,
  I8259Pair,
  type InterruptLine,
  Mc146818,
  PcTestDevice,
  Port92,
  PortMap,
  PostCode,
  PvPanic,
  ResetControl,
  Uart16550,
} from '../src/index.ts';
import { Line, ManualClock } from './manual-clock.ts';

const accesses = 100_000;
/** Ends of accesses at which the clock moves on, and snapshots are taken. */
const step = 1000;

/** Numerical Recipes' generator; the seed is in the test's name. */
function random(seed: number) {
  let state = seed >>> 0;
  return (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** One device behind ports of its own, and what comes from outside. */
interface Subject {
  /** Beside ports, MMIO of this size. */
  readonly memory?: {
    size: number;
    read(o: number, s: number): number;
    write(o: number, s: number, v: number): void;
  };
  readonly outside?: (choose: (below: number) => number) => void;
  readonly save: () => { readonly version: number };
  // biome-ignore lint/suspicious/noExplicitAny: each device has a state of its own
  readonly restore: (state: any) => void;
  readonly reset: () => void;
}

type Make = (ports: PortMap, clock: ManualClock, line: InterruptLine) => Subject;

/** Ports from 0 on belong to the device. */
const subjects: Record<string, Make> = {
  i8259: (ports, _clock, line) => {
    const device = new I8259Pair({ output: line });
    ports.addBytes(0, 2, device.master);
    ports.addBytes(2, 2, device.slave);
    ports.addBytes(4, 2, device.triggers);
    const outside = (choose: (below: number) => number) => {
      const irq = choose(16);
      if (irq !== 2) device.line(irq).set(choose(2) === 1);
      const vector = device.acknowledge();
      expect(vector >= 0 && vector <= 255).toBe(true);
    };
    return { ...methods(device), outside };
  },
  i8254: (ports, clock, line) => {
    const device = new I8254({ clock, interrupt: line });
    ports.addBytes(0, 4, device);
    ports.addBytes(4, 1, device.systemControl);
    return methods(device);
  },
  mc146818: (ports, clock, line) => {
    const device = new Mc146818({ clock, interrupt: line, wallClock: () => 1.7e12 });
    ports.addBytes(0, 2, device);
    return methods(device);
  },
  hpet: (_ports, clock, line) => {
    const device = new Hpet({ clock, irq0: line, irq8: new Line(), route: () => new Line() });
    return {
      ...methods(device),
      memory: { size: 0x200, read: (o, s) => device.read(o, s), write: (o, s, v) => device.write(o, s, v) },
    };
  },
  i8042: (ports, _clock, line) => {
    const device = new I8042({ keyboardInterrupt: line, mouseInterrupt: new Line(), reset: () => {} });
    ports.addBytes(0, 1, device.data);
    ports.addBytes(1, 1, device.command);
    const outside = (choose: (below: number) => number) => {
      device.key([choose(256), choose(256)]);
      device.movePointer(choose(9999) - 5000, choose(9999) - 5000, choose(20) - 10, choose(64));
    };
    return { ...methods(device), outside };
  },
  'acpi-pm': (ports, clock, line) => {
    const device = new AcpiPm({ clock, sci: line, powerOff: () => {} }, { timerBits: 24 });
    ports.add(0, 64, device);
    return { ...methods(device), outside: () => device.powerButton() };
  },
  'reset-control': (ports) => {
    const device = new ResetControl(() => {});
    ports.addBytes(0, 1, device);
    return methods(device);
  },
  port92: (ports) => {
    const device = new Port92({ reset: () => {} });
    ports.addBytes(0, 1, device);
    return methods(device);
  },
  'debug-ports': (ports) => {
    const device = new PostCode();
    ports.addBytes(0, 1, device);
    ports.addBytes(1, 1, new DebugConsole({ write: () => {} }));
    ports.add(2, 4, new DebugExit(() => {}));
    ports.addBytes(6, 1, new PvPanic({ panicked: () => {}, crashLoaded: () => {} }));
    return methods(device);
  },
  'pc-testdev': (ports, _clock, line) => {
    const device = new PcTestDevice({ line: (input) => (input === 0 ? line : undefined) });
    ports.add(0, 4, device.latch);
    ports.add(4, 4, device.flush);
    ports.addBytes(8, 4, device.byteLatch);
    ports.add(12, 24, device.lines);
    return { ...methods(device), memory: { size: 0x800, ...device.memory } };
  },
  uart16550: (ports, _clock, line) => {
    const device = new Uart16550({ output: { write: () => {} }, interrupt: line });
    ports.addBytes(0, 8, device);
    return { ...methods(device), outside: (choose) => device.receive(choose(256)) };
  },
};

function methods<State extends { readonly version: number }>(device: {
  save(): State;
  restore(state: State): void;
  reset(): void;
}): Subject {
  return {
    save: () => device.save(),
    restore: (state) => device.restore(state),
    reset: () => device.reset(),
  };
}

/** A device with its surroundings, so that two can be treated alike. */
class Bench {
  readonly ports = new PortMap();
  readonly clock = new ManualClock();
  readonly line = new Line();
  readonly subject: Subject;

  constructor(make: Make) {
    this.subject = make(this.ports, this.clock, this.line);
  }

  access(isMemory: boolean, isRead: boolean, offset: number, size: number, value: number): number {
    const target = isMemory ? this.subject.memory! : this.ports;
    if (isRead) return target.read(offset, size);
    target.write(offset, size, value);
    return 0;
  }

  get text(): string {
    return JSON.stringify(this.subject.save());
  }
}

/** Random values are mostly small ones and bits. */
function value(choose: (below: number) => number): number {
  const kind = choose(4);
  if (kind === 0) return choose(16);
  if (kind === 1) return 1 << choose(32);
  return kind === 2 ? choose(256) : choose(2 ** 32) | 0;
}

describe('any accesses', () => {
  for (const [name, make] of Object.entries(subjects))
    test(`${name}: ${accesses} of seed 0x6e657374 neither throw nor cost without bound, and a restored device goes on alike`, () => {
      const choose = random(0x6e657374);
      const bench = new Bench(make);
      let benches = [bench];
      let used = 0;
      while (bench.ports.read(used, 1) !== -1 || used < 2) used++;
      for (let i = 1; i <= accesses; i++) {
        const size = 1 << choose(3);
        const isMemory = bench.subject.memory !== undefined && (used <= 2 || choose(2) === 0);
        const isRead = choose(2) === 0;
        const offset = isMemory ? choose(bench.subject.memory!.size) & ~(size - 1) : choose(used);
        const written = value(choose);
        const nanoseconds = choose(16) === 0 ? choose(100_000) : 0;
        const outside = choose(64) === 0 ? choose(2 ** 32) : -1;
        const results = benches.map((each) => {
          const result = each.access(isMemory, isRead, offset, size, written);
          each.clock.advance(nanoseconds);
          if (outside >= 0) each.subject.outside?.(random(outside));
          return result;
        });
        if (!Number.isInteger(results[0]) || results.some((result) => result !== results[0]))
          throw new Error(`access ${i} gave ${results}`);
        if (i % step !== 0) continue;
        const pause = choose(4) === 0 ? 1e6 : choose(1e6);
        for (const { clock } of benches) {
          clock.fired = 0;
          clock.advance(pause);
          // Three timers of the HPET, each at most every 10 µs.
          expect(clock.fired).toBeLessThanOrEqual(3 * (pause / 10_000 + 2));
        }
        const { text } = bench;
        expect(text.length).toBeLessThan(400_000);
        for (const each of benches)
          expect([each.text === text, each.line.level]).toEqual([true, bench.line.level]);
        const state = JSON.parse(text);
        const copy = new Bench(make);
        copy.clock.now = bench.clock.now;
        copy.subject.restore(state);
        expect([copy.text === text, copy.line.level]).toEqual([true, bench.line.level]);
        expect(() => copy.subject.restore({ ...state, version: 99 })).toThrow('version 99');
        benches = [bench, copy];
        if (choose(10) === 0) for (const { subject } of benches) subject.reset();
      }
    });
});
