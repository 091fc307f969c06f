import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { BareMachine, LockstepMachine, readBootImage, stateHash } from '../src/index.ts';

const image = readBootImage(readFileSync(new URL('../../../guests/bench/bench.elf', import.meta.url)));
const options = { memory: 16 << 20 };
const commandLine = 'only=alu scale=1 repeat=1';

function start(): { machine: LockstepMachine; text: () => string } {
  let text = '';
  const output = { write: (byte: number) => (text += String.fromCharCode(byte)) };
  const machine = new LockstepMachine({ ...options, output });
  machine.load(image, commandLine);
  return { machine, text: () => text };
}

test('two machines that agree are one machine', () => {
  let text = '';
  const alone = new BareMachine({
    ...options,
    output: { write: (byte) => (text += String.fromCharCode(byte)) },
  });
  alone.load(image, commandLine);
  const expected = alone.run(3_000_000);
  const pair = start();
  let end = pair.machine.run(1_000_001);
  for (let i = 0; i < 3 && end.reason === 'limit'; i++) end = pair.machine.run(i === 2 ? 999_997 : 500_001);
  expect(end).toEqual(expected);
  expect(pair.text()).toBe(text);
  const hash = stateHash(alone.processor);
  expect(stateHash(pair.machine.reference.processor)).toBe(hash);
  expect(stateHash(pair.machine.candidate.processor)).toBe(hash);
  expect(pair.machine.candidate.engine.statistics.regions).toBeGreaterThan(0);
});

/** Lets the compiling machine do something at a certain count. */
function disturb(machine: LockstepMachine, at: number, what: () => void): void {
  const { processor } = machine.candidate;
  const run = processor.run.bind(processor);
  processor.run = (count) => {
    const left = at - processor.retired;
    if (left <= 0 || left > count) return run(count);
    const end = run(left);
    if (end !== 'limit') return end;
    what();
    return left < count ? run(count - left) : end;
  };
}

test('memory that differs is found, with the instruction after which it does', () => {
  const { machine } = start();
  const { physical } = machine.candidate;
  disturb(machine, 1_012_345, () => {
    physical.bytes[physical.base + 0xf0_0000] ^= 0x55;
  });
  expect(machine.run(1_000_000).reason).toBe('limit');
  const end = machine.run(1_000_000);
  expect(end.reason === 'problem' && end.problem).toMatch(
    /agree after 1012344 instructions, differ after 1012345:\n +memory from f00000: 55000000/,
  );
});

test('what goes to a device is compared, too', () => {
  // When the first letter is printed: the instruction before has put it into AL.
  let at = 0;
  const alone: BareMachine = new BareMachine({
    ...options,
    output: {
      write: () => {
        at ||= alone.processor.retired;
      },
    },
  });
  alone.load(image, commandLine);
  alone.run(1e6);
  const { machine, text } = start();
  const { state } = machine.candidate.processor;
  disturb(machine, at - 1, () => state.setPair('gpr', state.low('gpr', 0) ^ 1, state.high('gpr', 0), 0));
  const end = machine.run(at + 10_000);
  expect(end.reason === 'problem' && end.problem).toMatch(/differ after \d+:/);
  expect(end.reason === 'problem' && end.problem).toContain('gpr 0');
  // Nothing is printed twice while the place is looked for.
  expect(text()).toMatch(/^nest86-bench\b(?!.*nest86-bench)/s);
});
