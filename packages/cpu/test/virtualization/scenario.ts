import { expect } from 'vitest';
import type { ToyExit } from './toy-extension.ts';
import { ToyMachine, type ToyOptions } from './toy-machine.ts';

/** VMMCALL: where scenarios end. */
export const vmmcall: readonly number[] = [0x0f, 0x01, 0xd9];
/** INC EBX. */
export const inc: readonly number[] = [0xff, 0xc3];
const ways: readonly (readonly [name: string, options: ToyOptions, slice: number])[] = [
  ['interpreted', { accel: 'interp' }, 1000],
  ['compiled', { accel: 'jit', heat: 1 }, 1000],
  ['compiled, in slices', { accel: 'jit', heat: 3 }, 7],
  ['without a TLB', { accel: 'interp', tlb: 'none' }, 1],
];

/** Runs a guest in each way until it calls VMMCALL; all ways must agree. @returns what the first way gave */
export function scenario(
  code: readonly number[],
  prepare: (machine: ToyMachine) => void,
  onExit: (machine: ToyMachine, exit: ToyExit) => void = () => {},
): { exits: readonly ToyExit[]; machine: ToyMachine } {
  const ends: { hash: string; exits: readonly ToyExit[]; machine: ToyMachine }[] = [];
  for (const [, options, slice] of ways) {
    const machine = new ToyMachine([...code, ...vmmcall], options);
    const { extension } = machine;
    extension.onExit = (exit) => {
      onExit(machine, exit);
      if (exit.reason.startsWith('vmmcall')) machine.stop();
    };
    prepare(machine);
    machine.run(1000, slice);
    ends.push({ hash: machine.hash, exits: extension.exits, machine });
  }
  for (const end of ends.slice(1)) {
    expect(end.exits).toEqual(ends[0].exits);
    expect(end.hash).toBe(ends[0].hash);
  }
  return ends[0];
}

/** Goes on behind the instruction. */
export function skip(machine: ToyMachine, bytes: number): void {
  machine.extension.guest.ripLow += bytes;
}
