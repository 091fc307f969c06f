import {
  type Clock,
  InterruptFabric,
  IoApic,
  LocalApic,
  type LocalApicParts,
  type Timer,
} from '../src/index.ts';

/** A clock that tests move. */
class TestClock implements Clock {
  now = 0;
  private readonly timers: { at: number; expired: () => void }[] = [];

  timer(expired: () => void): Timer {
    const timer = { at: Infinity, expired };
    this.timers.push(timer);
    return {
      set: (at) => {
        timer.at = at;
      },
      clear: () => {
        timer.at = Infinity;
      },
    };
  }

  /** When the next timer expires; Infinity: none is set. */
  get next(): number {
    return Math.min(...this.timers.map(({ at }) => at));
  }

  /** Time goes on, and timers expire on the way. */
  advance(nanoseconds: number): void {
    const end = this.now + nanoseconds;
    while (this.next <= end) {
      this.now = Math.max(this.now, this.next);
      const timer = this.timers.find(({ at }) => at === this.next)!;
      timer.at = Infinity;
      timer.expired();
    }
    this.now = end;
  }
}

export const offsets = {
  id: 0x20,
  version: 0x30,
  tpr: 0x80,
  ppr: 0xa0,
  eoi: 0xb0,
  ldr: 0xd0,
  dfr: 0xe0,
  svr: 0xf0,
  isr: 0x100,
  tmr: 0x180,
  irr: 0x200,
  esr: 0x280,
  cmci: 0x2f0,
  icr: 0x300,
  icr2: 0x310,
  lvtTimer: 0x320,
  lvtThermal: 0x330,
  lvtPerformance: 0x340,
  lint0: 0x350,
  lint1: 0x360,
  lvtError: 0x370,
  initialCount: 0x380,
  currentCount: 0x390,
  divide: 0x3e0,
} as const;

export interface Board {
  readonly clock: TestClock;
  readonly fabric: InterruptFabric;
  readonly ioApic: IoApic;
  readonly apics: LocalApic[];
  /** The first one. */
  readonly apic: LocalApic;
  /** What processors were told. */
  readonly told: string[];
  /** What has been told since it was last asked. */
  news(): string[];
}

/** Local APICs on one fabric with an I/O APIC. @param own beside or instead of the usual parts */
export function makeBoard(
  ids: readonly number[] = [0],
  own: Partial<LocalApicParts> = {},
  hasDeadline = true,
): Board {
  const clock = new TestClock();
  const fabric = new InterruptFabric();
  const ioApic = new IoApic({ bus: fabric });
  fabric.addIoApic(ioApic);
  const told: string[] = [];
  const apics = ids.map((id, index) => {
    const tell = (what: string) => () => told.push(`${what} ${id}`);
    const apic = new LocalApic({
      id,
      isBootstrap: index === 0,
      clock,
      bus: fabric,
      target: {
        wake: tell('wake'),
        nmi: tell('nmi'),
        smi: tell('smi'),
        init: tell('init'),
        startUp: (vector) => told.push(`startUp ${id} ${vector}`),
      },
      // The counter of the tests runs at 1 GHz from 0.
      ...(hasDeadline ? { tsc: { timeOf: (low, high) => (high >>> 0) * 2 ** 32 + (low >>> 0) } } : {}),
      ...own,
    });
    fabric.add(apic);
    return apic;
  });
  const news = () => told.splice(0);
  return { clock, fabric, ioApic, apics, apic: apics[0], told, news };
}

export function enable(apic: LocalApic): void {
  apic.mmio.write(offsets.svr, 4, 0x1ff);
}

/** A register of the page, unsigned. */
export function read(apic: LocalApic, offset: number): number {
  return apic.mmio.read(offset, 4) >>> 0;
}

export function write(apic: LocalApic, offset: number, value: number): void {
  apic.mmio.write(offset, 4, value);
}

/** Sends an IPI in xAPIC mode. */
export function command(apic: LocalApic, low: number, destination = 0): void {
  write(apic, offsets.icr2, destination << 24);
  write(apic, offsets.icr, low);
}

/** Goes to x2APIC mode. */
export function toX2apic(apic: LocalApic): void {
  const base = new Int32Array(2);
  apic.msrs.read(0x1b, base);
  if (!apic.msrs.write(0x1b, base[0] | 0x400, base[1])) throw new Error('x2APIC mode was refused');
}

/** An MSR as [low, high], unsigned; undefined: #GP. */
export function readMsr(apic: LocalApic, index: number): readonly number[] | undefined {
  const out = new Int32Array(2);
  return apic.msrs.read(index, out) ? [out[0] >>> 0, out[1] >>> 0] : undefined;
}

/** Vectors that wait, taken and ended one after the other; a pin that stays high would never end. */
export function drain(apic: LocalApic): number[] {
  const vectors: number[] = [];
  while (apic.isPending) {
    if (vectors.length > 999) throw new Error('interrupts without end');
    vectors.push(apic.acknowledge());
    if (apic.isX2apic) apic.msrs.write(0x80b, 0, 0);
    else write(apic, offsets.eoi, 0);
  }
  return vectors;
}
