import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import {
  LockstepMachine,
  type LockstepOptions,
  Machine,
  MachineOptionError,
  readBootImage,
  SeededRandom,
  stateHash,
  VirtioEntropy,
} from '../src/index.ts';

const image = readBootImage(readFileSync(new URL('../../../guests/bench/bench.elf', import.meta.url)));
const interrupts = readBootImage(readFileSync(new URL('harness/interrupts.bin', import.meta.url)));
const options = { memory: 16 << 20 };
const request = { commandLine: 'only=alu scale=1 repeat=1' };

function start(more: Partial<LockstepOptions> = {}): { machine: LockstepMachine; text: () => string } {
  let text = '';
  const serial = { write: (byte: number) => (text += String.fromCharCode(byte)) };
  const machine = new LockstepMachine({ ...options, serial, ...more });
  machine.start(image, request);
  return { machine, text: () => text };
}

test('two machines that agree are one machine', () => {
  let text = '';
  const alone = new Machine({
    ...options,
    serial: { write: (byte) => (text += String.fromCharCode(byte)) },
  });
  alone.start(image, request);
  const expected = alone.run(3_000_000);
  const pair = start();
  let end = pair.machine.run(1_000_001);
  for (let i = 0; i < 3 && end.reason === 'limit'; i++) end = pair.machine.run(i === 2 ? 999_997 : 500_001);
  expect(end).toEqual(expected);
  expect(pair.text()).toBe(text);
  const hash = stateHash(alone.processors[0].processor);
  expect(stateHash(pair.machine.reference.processors[0].processor)).toBe(hash);
  expect(stateHash(pair.machine.candidate.processors[0].processor)).toBe(hash);
  expect(pair.machine.candidate.engine.statistics.regions).toBeGreaterThan(0);
});

/** Lets the compiling machine do something at a certain count. */
function disturb(machine: LockstepMachine, at: number, what: () => void): void {
  const [{ processor }] = machine.candidate.processors;
  const run = processor.run.bind(processor);
  processor.run = (count) => {
    const left = at - processor.retired;
    if (left <= 0 || left > count) return run(count);
    const end = run(left);
    if (processor.retired < at) return end;
    what();
    return left < count && end === 'limit' ? run(count - left) : end;
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
  const alone: Machine = new Machine({
    ...options,
    serial: {
      write: () => {
        at ||= alone.processors[0].retired;
      },
    },
  });
  alone.start(image, request);
  alone.run(1e6);
  const { machine, text } = start();
  const { state } = machine.candidate.processors[0].processor;
  disturb(machine, at - 1, () => state.setPair('gpr', state.low('gpr', 0) ^ 1, state.high('gpr', 0), 0));
  const end = machine.run(at + 10_000);
  expect(end.reason === 'problem' && end.problem).toMatch(/differ after \d+:/);
  expect(end.reason === 'problem' && end.problem).toContain('gpr 0');
  // Nothing is printed twice while the place is looked for.
  expect(text()).toMatch(/^nest86-bench\b(?!.*nest86-bench)/s);
});

test('a device that differs is found', () => {
  const { machine } = start();
  const { pc } = machine.candidate;
  disturb(machine, 1_012_345, () => pc.ports.write(0x3ff, 1, 0x5a));
  const end = machine.run(2_000_000);
  expect(end.reason === 'problem' && end.problem).toMatch(
    /differ after 1012345:\n +events: uart [\da-f]+, not uart/,
  );
});

test('several processors, devices, input and a reset; the other processor is compared, too', () => {
  const devices = () => [new VirtioEntropy(new SeededRandom(1))];
  const { machine } = start({ processors: 2, devices });
  machine.start(interrupts, { commandLine: '' });
  for (let i = 0; i < 3; i++) {
    expect(machine.run(30_000).reason).toBe('limit');
    machine.receive(65 + i);
  }
  machine.reset();
  expect(machine.run(30_000).reason).toBe('limit');
  const [a, b] = [machine.reference, machine.candidate].map(({ processors }) =>
    processors.map((one) => one.retired),
  );
  expect(a).toEqual(b);
  expect(Math.min(...a)).toBeGreaterThan(0);
  const { state } = machine.candidate.processors[1].processor;
  state.setPair('gpr', 1, 2, 15);
  expect(machine.run(1000).reason).toBe('problem');
});

test('real time is refused', () => {
  expect(() => start({ clock: 'realtime' })).toThrow(MachineOptionError);
});
