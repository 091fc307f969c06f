import { describe, expect, test } from 'vitest';
import { Interpreter } from '../src/engine/interpreter.ts';
import { type HostCase, type HostState, randomCases, scratchAddress, scratchSize } from './harness/cases.ts';
import { runOnHost } from './harness/host.ts';

const codeAddress = 0x4000;
const scratchPage = 0x2000;

/** The scratch memory lies where the harness has it, code where it is in RAM. */
function engine(): Interpreter {
  return new Interpreter(1 << 20, {
    page: (low, high) => {
      if (high !== 0) return -1;
      if (low >>> 12 === scratchAddress >>> 12) return scratchPage;
      return low >>> 0 < 1 << 20 ? low & ~0xfff : -1;
    },
  });
}

function run(
  cpu: Interpreter,
  { code, before }: HostCase,
  address: number,
  compiled: boolean,
): HostState | string {
  cpu.ram.set(code, address);
  // A branch to itself behind it: the budget of two ends there.
  cpu.ram.set([0xeb, 0xfe], address + code.length);
  for (const [number, value] of before.registers.entries()) cpu.setRegister(number, value);
  cpu.setStatusFlags(before.flags);
  cpu.ram.set(before.memory, scratchPage);
  if (compiled) cpu.compile(BigInt(address));
  const { end } = cpu.run(BigInt(address), 2);
  if (end !== 'budget') return `${end} ${cpu.problem}`;
  return {
    registers: Array.from({ length: 16 }, (_, number) => cpu.register(number)),
    flags: cpu.statusFlags(),
    memory: cpu.ram.slice(scratchPage, scratchPage + scratchSize),
  };
}

describe('random instructions do what the host processor does', () => {
  const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
  test.each([
    ['interpreted', false, 10_000],
    ['compiled', true, 2_000],
  ] as const)(`%s (SEED=${seed})`, (_, compiled, count) => {
    const cases = randomCases(count, seed);
    const expected = runOnHost(cases);
    const wrong: string[] = [];
    let compared = 0;
    let cpu = engine();
    let address = codeAddress;
    cases.forEach((one, i) => {
      const host = expected[i];
      if (host === undefined) return;
      // Code is not rewritten: each case has bytes of its own.
      address += 32;
      if ((address & 0xfff) > 0xfc0) address = (address & ~0xfff) + 0x1000;
      // Each region is a module, and on Node 20 each module copies the table: a new engine now and then.
      if (address > 0xf0000 || (compiled && i % 200 === 199)) {
        cpu = engine();
        address = codeAddress;
      }
      const ours = run(cpu, one, address, compiled);
      compared++;
      const what = typeof ours === 'string' ? ours : difference(one, ours, host);
      if (what !== '' && wrong.length < 10)
        wrong.push(`${one.text} (${Buffer.from(one.code).toString('hex')}): ${what}`);
    });
    expect(wrong).toEqual([]);
    expect(compared).toBeGreaterThan(count * 0.9);
  });
});

function difference(one: HostCase, ours: HostState, host: HostState): string {
  for (let number = 0; number < 16; number++) {
    if (ours.registers[number] !== host.registers[number]) {
      return `register ${number} is ${ours.registers[number].toString(16)}, on the host ${host.registers[number].toString(16)}`;
    }
  }
  const flags = (ours.flags ^ host.flags) & one.definedFlags;
  if (flags !== 0) return `flags ${ours.flags.toString(16)}, on the host ${host.flags.toString(16)}`;
  return Buffer.compare(ours.memory, host.memory) === 0 ? '' : 'memory';
}
