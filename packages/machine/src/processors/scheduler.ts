import type { RunEnd } from '@nest86/cpu';
import type { MachineClock } from '../time/machine-clock.ts';

/** What the scheduler asks of a virtual processor. */
export interface ScheduledProcessor {
  readonly retired: number;
  /** Whether it executes instructions: neither halted, nor waiting for its start-up IPI, nor shut down. */
  readonly isRunning: boolean;
  readonly isShutDown: boolean;
  run(count: number): RunEnd;
  /** One instruction, or the delivery of one event; `limit` if there was one. */
  step(): RunEnd;
  /** Ends a run that goes on. */
  stop(): void;
}

/** Guest time that passes while a processor runs. */
export interface ScheduledTime {
  begin(processor: ScheduledProcessor): void;
  end(): void;
  skipTo(at: number): void;
  /** Instructions that a processor should get in a turn of so many nanoseconds; at least 1. */
  instructionsIn(nanoseconds: number): number;
  /** Whether time passes by itself while nobody runs. */
  readonly isReal: boolean;
}

/** Told when a processor has nothing to do, and when it has again, for traces. */
interface SleepObserver {
  slept(processor: number): void;
  woke(processor: number): void;
}

/** Why the scheduler came back. */
export type ScheduleEnd =
  | 'limit'
  /** `stop` was called. */
  | 'stopped'
  /** Nobody has anything to do before the next timer; in real time only. */
  | 'idle'
  /** Nobody has anything to do, and no timer will change that. */
  | 'halted'
  | 'shutdown'
  | 'problem';

/** Nanoseconds of guest time that a processor runs before the next one has its turn. */
const turn = 20_000;
/** The same in real time, where a turn's costs are somebody's time. */
const realTurn = 200_000;
/** Nanoseconds after which a processor that runs alone has its time set right. */
const longestTurn = 1_000_000;
/** Jumps to timers in one run behind which nothing retired. */
const mostJumps = 10_000;

/** Snapshot of whose turn it is. */
export interface SchedulerState {
  readonly version: 1;
  readonly current: number;
  /** Instructions. */
  readonly left: number;
  /** By processor. */
  readonly asleep: readonly boolean[];
}

/**
 * Gives processors their turns, one after the other on one thread, and timers theirs at their exact time. Whose turn it is, and how much of it is
 * left, does not depend on how many instructions a call of `run` asks for.
 */
export class Scheduler {
  /** Processors that stand still while a debugger lets others go on. */
  readonly held: boolean[];
  /** The processor whose next step ends the run, or -1. It is -1 again behind that. */
  stepping = -1;
  observer: SleepObserver | undefined = undefined;
  private readonly asleep: boolean[];
  private current = 0;
  /** Instructions left of the present turn. */
  private left: number;
  private isRunning = false;
  private isStopping = false;
  private isCut = false;

  constructor(
    private readonly processors: readonly ScheduledProcessor[],
    private readonly clock: MachineClock,
    private readonly time: ScheduledTime,
  ) {
    this.asleep = processors.map(() => false);
    this.held = processors.map(() => false);
    this.left = this.newTurn();
  }

  /** Number of the processor that runs, or ran last. */
  get currentIndex(): number {
    return this.current;
  }

  /** Something happened that a processor that sleeps should look at. */
  wake(index: number): void {
    if (!this.asleep[index]) return;
    this.asleep[index] = false;
    this.observer?.woke(index);
    if (index === this.current) return;
    this.left = 0;
    this.cut();
  }

  /** A timer was set, maybe to an earlier time than what the present run ends at. */
  cut(): void {
    if (!this.isRunning || this.isCut) return;
    this.isCut = true;
    this.processors[this.current].stop();
  }

  /** The run ends behind the present instruction. */
  stop(): void {
    this.isStopping = true;
    this.cut();
  }

  /** As after a reset: the first processor has the first turn. */
  reset(): void {
    for (const [i, isAsleep] of this.asleep.entries()) if (isAsleep) this.observer?.woke(i);
    this.asleep.fill(false);
    this.current = 0;
    this.left = this.newTurn();
  }

  /** Between runs. What a debugger holds is not part of it. */
  save(): SchedulerState {
    // One that runs alone has no end of its turn; what is left then depends on the calls of `run`.
    const left = this.isAlone() ? 0 : this.left;
    return { version: 1, current: this.current, left, asleep: [...this.asleep] };
  }

  /** @throws RangeError if it is of another number of processors */
  restore({ current, left, asleep }: SchedulerState): void {
    if (asleep.length !== this.asleep.length || !(current >= 0 && current < asleep.length))
      throw new RangeError(`the turn of processor ${current} of ${asleep.length}`);
    this.current = current;
    this.left = left;
    for (const [i, isAsleep] of asleep.entries()) this.asleep[i] = isAsleep;
  }

  /** Runs up to so many instructions of all processors together. */
  run(count: number): ScheduleEnd {
    const { clock, time, processors } = this;
    let jumps = 0;
    this.isStopping = false;
    for (let remaining = count; ; ) {
      clock.fire();
      if (this.isStopping) return 'stopped';
      if (remaining <= 0) return 'limit';
      if (!this.choose()) {
        if (clock.nextDue === Number.POSITIVE_INFINITY) return time.isReal ? 'idle' : 'halted';
        if (time.isReal) return 'idle';
        if (++jumps > mostJumps) return 'limit';
        time.skipTo(clock.nextDue);
        continue;
      }
      const processor = processors[this.current];
      const before = processor.retired;
      const end = this.turn(processor, remaining);
      const done = processor.retired - before;
      remaining -= done;
      this.left -= done;
      if (this.current === this.stepping && (done > 0 || end === 'limit')) {
        this.stepping = -1;
        this.isStopping = true;
      }
      // One that delivers one fault after the other does not retire anything either.
      if (done > 0) jumps = 0;
      else if (++jumps > mostJumps) return 'limit';
      if (end === 'problem') return 'problem';
      if (processor.isShutDown) return 'shutdown';
      if (end !== 'stopped' || this.isCut) continue;
      // It waits, or gave up its turn.
      this.left = 0;
      if (done > 0) continue;
      // What came before it began to wait would not wake it: it sleeps only when it has looked, and found nothing.
      if (processor.isRunning) return 'limit';
      this.asleep[this.current] = true;
      this.observer?.slept(this.current);
    }
  }

  private turn(processor: ScheduledProcessor, remaining: number): RunEnd {
    const { clock, time } = this;
    const due = Math.max(1, clock.nextDue - clock.now);
    let budget = time.instructionsIn(time.isReal ? Math.min(due, longestTurn) : due);
    if (!this.isAlone()) budget = Math.min(budget, this.left);
    this.isCut = false;
    this.isRunning = true;
    time.begin(processor);
    try {
      if (this.current === this.stepping) return processor.step();
      return processor.run(Math.min(budget, remaining));
    } finally {
      time.end();
      this.isRunning = false;
    }
  }

  private newTurn(): number {
    const { time } = this;
    return time.instructionsIn(time.isReal ? realTurn : turn);
  }

  /** Whether all others sleep. */
  private isAlone(): boolean {
    const { asleep, current } = this;
    for (let i = 0; i < asleep.length; i++) if (i !== current && !asleep[i]) return false;
    return true;
  }

  /** Whose turn it is now; false if all sleep. */
  private choose(): boolean {
    const { asleep, current, held } = this;
    if (this.left > 0 && !asleep[current] && !held[current]) return true;
    const count = asleep.length;
    for (let i = 1; i <= count; i++) {
      const next = (current + i) % count;
      if (asleep[next] || held[next]) continue;
      this.current = next;
      this.left = this.newTurn();
      return true;
    }
    return false;
  }
}
