import { Activity, type HostStop } from '@nest86/cpu';
import type { Machine } from '../machine.ts';
import type { MachineEnd } from '../machine-end.ts';
import { DebugMemory } from './debug-memory.ts';
import type { DebugStop, DebugTarget, RegisterDescription, ResumePlan, StopReport } from './debug-target.ts';
import { Monitor } from './monitor.ts';
import { registerTable } from './register-table.ts';
import { targetDescription } from './target-description.ts';

const activities: Readonly<Record<number, string>> = {
  [Activity.running]: 'running',
  [Activity.halted]: 'halted',
  [Activity.waitForSipi]: 'waits for its start-up IPI',
  [Activity.shutdown]: 'shut down',
};

/** A machine as something to debug: it stands still or runs between calls of `Machine.run`, and never sees who looks at it. */
export class MachineTarget implements DebugTarget {
  readonly registers: readonly RegisterDescription[] = registerTable;
  readonly description: string = targetDescription(registerTable);
  private readonly memories: readonly DebugMemory[];
  private readonly monitor: Monitor;
  private stops: readonly DebugStop[] = [];
  /** What the present run met first. */
  private met: StopReport | undefined;
  private stepped = 0;

  /** @param quit of `monitor quit` */
  constructor(
    private readonly machine: Machine,
    quit: () => void,
  ) {
    const { processors } = machine;
    this.memories = processors.map(({ mmu, processor }) => new DebugMemory(mmu, () => processor.context));
    this.monitor = new Monitor(machine, this.memories, quit);
    for (const [index, { processor }] of processors.entries())
      processor.stops.onMet = (stop) => this.meet(index + 1, stop);
  }

  get threads(): number {
    return this.machine.processors.length;
  }

  get current(): number {
    return this.machine.scheduler.currentIndex + 1;
  }

  describeThread(thread: number): string {
    const { processor, apic } = this.machine.processors[thread - 1];
    const activity = activities[processor.state.get('activity')] ?? 'waits';
    return `processor ${thread - 1}, APIC ID ${apic.id}, ${activity}`;
  }

  readRegister(thread: number, number: number): bigint {
    return registerTable[number].read(this.machine.processors[thread - 1].processor);
  }

  writeRegister(thread: number, number: number, value: bigint): boolean {
    const { processor } = this.machine.processors[thread - 1];
    const isDone = registerTable[number].write(processor, value);
    if (isDone) processor.stateChanged();
    return isDone;
  }

  readMemory(thread: number, address: bigint, length: number, isPhysical: boolean): Uint8Array {
    return this.memories[thread - 1].read(address, length, isPhysical);
  }

  writeMemory(thread: number, address: bigint, bytes: Uint8Array, isPhysical: boolean): boolean {
    return this.memories[thread - 1].write(address, bytes, isPhysical);
  }

  command(thread: number, text: string): string {
    return this.monitor.command(thread - 1, text);
  }

  // Running.

  setStops(stops: readonly DebugStop[]): void {
    this.stops = stops;
    const hostStops = stops.map(hostStopOf);
    for (const { processor } of this.machine.processors) {
      processor.stops.set(hostStops);
      processor.stopsChanged();
    }
  }

  resume({ step, continues }: ResumePlan): void {
    const { scheduler } = this.machine;
    this.met = undefined;
    this.stepped = step;
    scheduler.stepping = step - 1;
    for (const index of scheduler.held.keys())
      scheduler.held[index] = index !== step - 1 && !continues(index + 1);
  }

  /** Everybody may run again, as far as the target is concerned. */
  release(): void {
    const { scheduler } = this.machine;
    scheduler.stepping = -1;
    scheduler.held.fill(false);
    this.stepped = 0;
  }

  /** What a run of the machine ended with, if that is a reason to stand still. */
  stopOf(end: MachineEnd): StopReport | undefined {
    if (this.met !== undefined) return this.met;
    if (this.stepped > 0 && this.machine.scheduler.stepping < 0)
      return { kind: 'step', thread: this.stepped };
    if (end.reason === 'shutdown' || end.reason === 'problem')
      return { kind: end.reason, thread: this.current };
    return undefined;
  }

  private meet(thread: number, stop: HostStop): void {
    this.machine.stop();
    if (this.met !== undefined) return;
    const address = addressOf(stop);
    const isCode = stop.kind === 'execute';
    const known = this.stops.find(
      (one) =>
        one.address === address && (isCode ? hostStopOf(one).kind === 'execute' : one.kind === stop.kind),
    );
    this.met = known === undefined ? { kind: 'breakpoint', thread } : { kind: known.kind, thread, address };
  }

  /**
   * The report as gdb should have it: of a breakpoint that RIP does not name, since CS has a base, it would believe that it is gone, and go on.
   */
  shown(report: StopReport): StopReport {
    if (report.kind !== 'software' && report.kind !== 'hardware') return report;
    const { state } = this.machine.processors[report.thread - 1].processor;
    return state.getBig('rip') === report.address ? report : { kind: 'breakpoint', thread: report.thread };
  }
}

function hostStopOf({ kind, address, bytes }: DebugStop): HostStop {
  const isCode = kind === 'software' || kind === 'hardware';
  return {
    kind: isCode ? 'execute' : kind,
    low: Number(BigInt.asIntN(32, address)),
    high: Number(BigInt.asIntN(32, address >> 32n)),
    bytes: isCode ? 1 : bytes,
  };
}

function addressOf({ low, high }: HostStop): bigint {
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}
