import { describe, expect, test } from 'vitest';
import { Intercept1 } from '../src/index.ts';
import { Guest, Host, instruction, type NestedMachine, scenario } from './nested-machine.ts';

const end = (at: number): string => `VMMCALL 0 0 at ${at} next ${at + 3}`;

describe('intercepted instructions', () => {
  test('CPUID: RIP stays, nRIP is behind it', () => {
    const { exits } = scenario([0x90, ...instruction.cpuid], (m) => m.set({ intercept1: Intercept1.cpuid }));
    expect(exits).toEqual(['CPUID 0 0 at 1 next 3', end(3)]);
  });

  test('without an intercept nothing leaves the guest', () => {
    const { exits } = scenario([...instruction.cpuid, 0x0f, 0x31]);
    expect(exits).toEqual([end(4)]);
  });
});
