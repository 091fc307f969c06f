import type { Engine, IoPorts } from '@nest86/cpu';
import type { PhysicalMemory } from '@nest86/mmu';
import type { Scheduler } from './processors/scheduler.ts';
import type { VirtualProcessor } from './processors/virtual-processor.ts';

/**
 * Told of what happens on each virtual processor, when it happens: for traces. `processor` counts from 0, `time` is nanoseconds of guest time and never goes
 * back. It looks on only: what it does to the machine is not defined.
 */
export interface MachineObserver {
  /**
   * The delivery of an interrupt, exception or software interrupt begins.
   *
   * @param type as VMX and SVM number them: 0 interrupt, 2 NMI, 3 exception, 4 INT n, 5 INT1, 6 INT3 and INTO (SDM vol. 3, table 24-14)
   * @param errorCode -1: none
   */
  delivered(processor: number, time: number, vector: number, type: number, errorCode: number): void;
  /** An access to an I/O port. @param bytes 1, 2 or 4 */
  port(processor: number, time: number, port: number, bytes: number, isWrite: boolean, value: number): void;
  /** An access to a device's memory. @param region the device's name @param offset in its memory */
  device(
    processor: number,
    time: number,
    region: string,
    offset: number,
    bytes: number,
    isWrite: boolean,
    value: number,
  ): void;
  /** It waits: for an interrupt, or for the IPI that starts it. */
  slept(processor: number, time: number): void;
  woke(processor: number, time: number): void;
  /** Hot code of this processor was compiled. @param bytes of WebAssembly */
  compiled(processor: number, time: number, blocks: number, instructions: number, bytes: number): void;
}

export interface ObservedMachine {
  readonly engine: Engine;
  readonly physical: PhysicalMemory;
  readonly clock: { readonly now: number };
  readonly scheduler: Scheduler;
  readonly processors: readonly VirtualProcessor[];
}

/** Lets an observer hear of everything but ports, which are observed on their way: {@link observedPorts}. */
export function attachObserver(machine: ObservedMachine, observer: MachineObserver): void {
  const { engine, physical, clock, scheduler, processors } = machine;
  for (const [index, { processor }] of processors.entries())
    processor.delivery.observer = {
      begun: ({ vector, type, errorCode }) => observer.delivered(index, clock.now, vector, type, errorCode),
    };
  physical.deviceObserver = {
    accessed: (region, offset, bytes, isWrite, value) =>
      observer.device(scheduler.currentIndex, clock.now, region, offset, bytes, isWrite, value),
  };
  scheduler.observer = {
    slept: (index) => observer.slept(index, clock.now),
    woke: (index) => observer.woke(index, clock.now),
  };
  engine.regions.observer = {
    compiled: (blocks, instructions, bytes) =>
      observer.compiled(scheduler.currentIndex, clock.now, blocks, instructions, bytes),
  };
}

/** Ports of one processor, with somebody who is told. */
export function observedPorts(
  ports: IoPorts,
  index: number,
  clock: { readonly now: number },
  observer: MachineObserver,
): IoPorts {
  return {
    read(port, bytes) {
      const value = ports.read(port, bytes);
      observer.port(index, clock.now, port, bytes, false, value);
      return value;
    },
    // Before the device acts: it may end the run, or interrupt somebody.
    write(port, bytes, value) {
      observer.port(index, clock.now, port, bytes, true, value);
      ports.write(port, bytes, value);
    },
  };
}
