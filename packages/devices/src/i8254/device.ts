import type { Clock, Timer } from '../clock.ts';
import type { InterruptLine } from '../interrupt-line.ts';
import { Oscillator } from '../oscillator.ts';
import type { BytePorts } from '../port-map.ts';
import { requireVersion } from '../snapshot-version.ts';
import { I8254Counter } from './counter.ts';
import { ControlWord, controlOffset, ReadBack, SystemControl } from './registers.ts';
import type { I8254State } from './state.ts';

export interface I8254Ports {
  readonly clock: Clock;
  /** OUT of counter 0: IRQ 0. */
  readonly interrupt: InterruptLine;
}

/** 1.193182 MHz: a third of 3.579545 MHz, which is 315/88 of a MHz. */
const crystal = new Oscillator(105, 88_000);
/** Two edges of counter 0 come no closer: 12 ticks, 10 µs. A faster one loses edges, as one would whose interrupts are not served in time. */
const shortestInterval = 12;
/** Of the refresh request, which toggles a bit of port 61h. */
const refreshNanoseconds = 15_085;

/** The 8254 timer of a PC with port 61h, which belongs to its counter 2. At 40h, four ports. */
export class I8254 implements BytePorts {
  /** Port 61h. */
  readonly systemControl: BytePorts = {
    read: () => this.readSystemControl(),
    write: (_offset, value) => this.writeSystemControl(value),
  };
  private readonly counters: readonly I8254Counter[] = [
    new I8254Counter(true),
    new I8254Counter(true),
    new I8254Counter(false),
  ];
  private readonly timer: Timer;
  private control = 0;
  private level = false;
  /** The rise that the timer waits for, in ticks. */
  private rise = Infinity;
  /** No periodic rise before this tick. */
  private quietUntil = 0;

  constructor(private readonly ports: I8254Ports) {
    this.timer = ports.clock.timer(() => this.expired());
  }

  /** @param offset 0 to 3 */
  read(offset: number): number {
    const counter = this.counters[offset & 3];
    return counter === undefined ? 0xff : counter.read(this.now());
  }

  /** @param offset 0 to 3 */
  write(offset: number, value: number): void {
    const tick = this.now();
    const index = offset & 3;
    if (index !== controlOffset) this.counters[index].write(value & 0xff, tick);
    else this.writeControl(value & 0xff, tick);
    this.update(tick);
  }

  /** As after power-up: no counter counts until it is programmed. */
  reset(): void {
    const unprogrammed = new I8254Counter(true).save(0);
    this.counters.forEach((counter, index) => {
      counter.restore({ ...unprogrammed, gate: index !== 2 });
    });
    this.control = 0;
    this.quietUntil = 0;
    this.update(this.now());
  }

  save(): I8254State {
    const tick = this.now();
    const counters = this.counters.map((counter) => counter.save(tick));
    const { control, level, quietUntil } = this;
    return { version: 1, counters, control, level, quietUntil };
  }

  /** The clock must stand where it stood. @throws SnapshotVersionError */
  restore(state: I8254State): void {
    requireVersion('8254', state, 1);
    this.counters.forEach((counter, index) => {
      counter.restore(state.counters[index]);
    });
    this.control = state.control;
    this.quietUntil = state.quietUntil;
    const tick = this.now();
    // Not what OUT is now: a fall may be due that had no effect, and receivers know the line as it was left.
    this.level = state.level;
    this.ports.interrupt.set(this.level);
    this.rise = NaN;
    this.await(tick);
  }

  private now(): number {
    return crystal.at(this.ports.clock.now);
  }

  private writeControl(word: number, tick: number): void {
    const select = word >> ControlWord.counterShift;
    if (select < 3) {
      const counter = this.counters[select];
      if (((word >> ControlWord.accessShift) & 3) === 0) counter.latchCount(tick);
      else counter.writeControl(word);
      return;
    }
    for (let index = 0; index < 3; index++) {
      if (((word >> (index + 1)) & 1) === 0) continue;
      if ((word & ReadBack.noCount) === 0) this.counters[index].latchCount(tick);
      if ((word & ReadBack.noStatus) === 0) this.counters[index].latchStatus(tick);
    }
  }

  private readSystemControl(): number {
    const { now } = this.ports.clock;
    return (
      this.control |
      ((Math.floor(now / refreshNanoseconds) & 1) !== 0 ? SystemControl.refreshToggle : 0) |
      (this.counters[2].output(crystal.at(now)) ? SystemControl.output2 : 0)
    );
  }

  private writeSystemControl(value: number): void {
    this.control = value & SystemControl.writable;
    this.counters[2].setGate((value & SystemControl.gate2) !== 0, this.now());
  }

  /** Sets line and timer after what may have changed counter 0. */
  private update(tick: number): void {
    const level = this.counters[0].output(tick);
    if (level !== this.level) this.ports.interrupt.set(level);
    this.level = level;
    this.await(tick);
  }

  private await(tick: number): void {
    const rise = this.counters[0].nextRise(tick, Math.max(tick, this.quietUntil - 1));
    if (rise === this.rise) return;
    this.rise = rise;
    if (rise === Infinity) this.timer.clear();
    else this.timer.set(crystal.timeOf(rise));
  }

  private expired(): void {
    const { interrupt } = this.ports;
    const { rise } = this;
    this.rise = Infinity;
    // The fall before it was not worth a timer.
    interrupt.set(false);
    interrupt.set(true);
    this.level = true;
    const tick = Math.max(this.now(), rise);
    this.quietUntil = tick + shortestInterval;
    this.await(tick);
  }
}
