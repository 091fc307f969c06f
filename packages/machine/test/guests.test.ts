import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { boardModel } from '../src/cpu-features.ts';
import {
  boardRequest,
  LockstepMachine,
  Machine,
  type MachineOptions,
  maxModel,
  readBootImage,
  resolveModel,
} from '../src/index.ts';

// The system guests of guests/system, whose expectations are the manuals' (requirements T-01 to T-05, S0, S1; issue "guest programs").

const folder = new URL('../../../guests/system/', import.meta.url);
const names = readdirSync(folder)
  .filter((name) => name.endsWith('.elf'))
  .map((name) => name.slice(0, -4));

/** Instructions; the longest guest needs a tenth. */
const limit = 100_000_000;

interface Outcome {
  readonly end: string;
  readonly passed: number;
  /** Names of the checks that failed. */
  readonly failures: readonly string[];
  /** What is printed beside PASS and FAIL lines and the count. */
  readonly other: readonly string[];
}

/** With what only some models have. */
const cpuid = resolveModel(maxModel, boardRequest).model;

interface RunOptions extends Pick<MachineOptions, 'tlb' | 'seed' | 'cpuid'> {
  readonly accel?: 'interp' | 'jit' | 'lockstep';
}

function run(name: string, { accel, ...others }: RunOptions, commandLine = ''): Outcome {
  let text = '';
  const write = (byte: number): void => {
    text += String.fromCharCode(byte);
  };
  const options = { memory: 64 << 20, serial: { write }, cpuid, ...others };
  const machine =
    accel === 'lockstep'
      ? new LockstepMachine(options)
      : new Machine({ ...options, ...(accel && { accel }) });
  machine.start(readBootImage(readFileSync(new URL(`${name}.elf`, folder))), { commandLine });
  const end = machine.run(limit);
  const lines = text.split('\n').filter((line) => line !== '');
  const failures = lines
    .filter((line) => line.startsWith('FAIL '))
    .map((line) => line.slice(5, line.lastIndexOf(' got=')));
  return {
    end: end.reason === 'problem' ? end.problem : end.reason,
    passed: lines.filter((line) => line.startsWith('PASS ')).length,
    failures,
    other: lines.filter((line) => !/^(PASS |FAIL |skip |\d+ passed, \d+ failed$)/.test(line)),
  };
}

function expectGood(outcome: Outcome): void {
  expect(outcome.failures).toEqual([]);
  expect(outcome.other).toEqual([]);
  expect(outcome.end).toBe('exit');
  expect(outcome.passed).toBeGreaterThan(20);
}

describe.each(names)('%s', (name) => {
  test.each(['interp', 'jit', 'lockstep'] as const)('%s', (accel) => {
    expectGood(run(name, { accel }));
  });
});

test('a model without protection keys for supervisor pages has neither CR4.PKS nor IA32_PKRS', () => {
  const { failures, other, end, passed } = run('pks', { cpuid: boardModel() });
  expect({ failures, other, end, passed }).toEqual({ failures: [], other: [], end: 'exit', passed: 3 });
});

describe('TLB backends', () => {
  // T-01: all backends pass what the architecture promises.
  describe.each(['exact', 'none', 'chaos'] as const)('%s', (tlb) => {
    test.each(['tlb', 'paging', 'pks', 'smc'])('%s', (name) => expectGood(run(name, { tlb, seed: 7 })));
  });

  test('exact keeps what was not invalidated (T-01, T-03, T-04)', () => {
    for (const accel of ['interp', 'jit'] as const) expectGood(run('tlb', { accel, tlb: 'exact' }, 'stale'));
  });
});
