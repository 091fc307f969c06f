import { readFileSync } from 'node:fs';
import { Machine, type MachineEnd, type MachineOptions, readBootImage } from '../../src/index.ts';

const image = readBootImage(readFileSync(new URL('interrupts.bin', import.meta.url)));

/** Any machine that fits the guest of interrupts.S. */
export function makeMachine(options: Partial<MachineOptions> = {}): Machine {
  return new Machine({ memory: 4 << 20, processors: 2, serial: { write: () => {} }, ...options });
}

/** A machine before the guest's first instruction. */
export function startMachine(options: Partial<MachineOptions> = {}): Machine {
  const machine = makeMachine(options);
  machine.start(image, { commandLine: '' });
  return machine;
}

/** Instructions of all processors. */
export function countOf(machine: Machine): number {
  return machine.processors.reduce((sum, { retired }) => sum + retired, 0);
}

/** Runs up to a count of instructions of all processors, or to the guest's end. */
export function runTo(machine: Machine, count: number = Number.POSITIVE_INFINITY): MachineEnd {
  for (;;) {
    const left = count - countOf(machine);
    if (left <= 0) return { reason: 'limit' };
    const end = machine.run(Math.min(left, 1_000_000));
    if (end.reason !== 'limit') return end;
  }
}

/** All that a snapshot holds, as one text for each unit. */
export function contentOf(machine: Machine): Record<string, string> {
  const units = machine.save().units.map(({ name, bytes }) => [name, Buffer.from(bytes).toString('base64')]);
  return Object.fromEntries(units);
}
