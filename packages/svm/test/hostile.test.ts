import { expect, test } from 'vitest';
import { checkVmcb, Intercept1, vmcbFields } from '../src/index.ts';
import { Guest, Host, instruction, NestedMachine } from './nested-machine.ts';

/** A generator of its own, so that a seed gives the same images for ever. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    return (state ^ (state >>> 15)) >>> 0;
  };
}

/** A guest that does a little of everything. */
const code: readonly number[] = [
  ...[0x0f, 0xa2, 0x0f, 0x31, 0x9c, 0x9d, 0xe6, 0x80, 0x0f, 0x20, 0xc0, 0x0f, 0x22, 0xc0],
  ...[0xb9, 0x80, 0, 0, 0xc0, 0x0f, 0x32, 0xcd, 0x30, 0xcc, 0x89, 0x04, 0x25, 0, 0x70, 0, 0],
  ...[0xf3, 0x90, 0xfb, 0xf4, ...instruction.vmload, ...instruction.clgi, ...instruction.stgi],
  ...[...instruction.vmmcall, 0xeb, 0xc0],
];

/** Changes a VMCB in some places; `wild` ones anywhere. */
function mutate(machine: NestedMachine, next: () => number, isWild: boolean): void {
  const changes = 1 + (next() % 4);
  for (let i = 0; i < changes; i++) {
    const { offset, bytes } = vmcbFields[next() % vmcbFields.length];
    const at = Host.vmcb + (isWild ? next() % 0x6a0 : offset + (next() % bytes));
    if (next() % 2 === 0) machine.ram[at] ^= 1 << (next() % 8);
    else machine.ram[at] = next();
  }
}

/** Per seed; set higher for a long search. */
const rounds = 400;

test.each([1, 2])(
  'VMCBs of chance on a live machine, seed %i: no exception, no hang, and the checks agree',
  (seed) => {
    const next = numbers(seed);
    let entered = 0;
    let refused = 0;
    const clean = new NestedMachine(code).ram.slice(Host.vmcb, Host.vmcb + 4096);
    const machine = new NestedMachine(code, { accel: seed === 1 ? 'interp' : 'jit', heat: 1 });
    const host = machine.processor.save();
    for (let round = 0; round < rounds; round++) {
      machine.ram.set(clean, Host.vmcb);
      machine.guestWrite(Guest.code, code);
      // Something leaves the guest, whatever happens to it.
      machine.set({ intercept1: next() | Intercept1.shutdown | Intercept1.hlt | Intercept1.cpuid });
      mutate(machine, next, round % 2 === 0);
      const image = machine.ram.slice(Host.vmcb, Host.vmcb + 4096);
      let isFirst = true;
      machine.onExit = () => {
        if (!isFirst) return;
        isFirst = false;
        const isInvalid = machine.get('exitCode') === 0xffff_ffff_ffff_ffffn;
        const violations = checkVmcb(image, machine.svm.capabilities);
        expect(isInvalid, JSON.stringify(violations)).toBe(violations.length > 0);
        if (isInvalid) refused++;
        else entered++;
      };
      // Exits go on with what the VMCB then holds.
      machine.run(300, 100);
      expect(machine.processor.problem).toBe('');
      machine.svm.reset();
      machine.processor.restore(host);
    }
    expect(entered).toBeGreaterThan(100);
    expect(refused).toBeGreaterThan(20);
  },
);
