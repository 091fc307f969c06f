import { describe, expect, test } from 'vitest';
import { runCompiled, runEvaluated } from './float80/batch.ts';
import { differences } from './float80/compare.ts';
import { casesFor } from './float80/operands.ts';
import { runOnHost } from './float80/oracle.ts';
import { exact, transcendental } from './float80/subjects.ts';
import { hasHost } from './harness/host-processor.ts';

// A manual run: FLOAT80_CASES=1000000 SEED=1 npx vitest run packages/cpu/test/float80.test.ts
const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
const count = Number(process.env.FLOAT80_CASES ?? 20_000);
const evaluated = 200;

describe.runIf(hasHost())(`80-bit arithmetic does what the host processor does (SEED=${seed})`, () => {
  test.each(Object.keys(exact))('%s', { timeout: 600_000 }, (name) => {
    const cases = casesFor(name, count, seed);
    const { texts } = differences(
      exact[name],
      cases,
      runCompiled(exact[name], cases),
      runOnHost(name, cases),
    );
    expect(texts).toEqual([]);
  });
});

describe(`the evaluator does what compiled code does (SEED=${seed})`, () => {
  test.each(Object.keys(exact))('%s', (name) => {
    const cases = casesFor(name, evaluated, seed);
    const { texts } = differences(
      exact[name],
      cases,
      runEvaluated(exact[name], cases),
      runOnHost(name, cases),
    );
    expect(texts).toEqual([]);
  });
  test.each(Object.keys(transcendental))('%s', { timeout: 60_000 }, (name) => {
    const cases = casesFor(name, evaluated / 4, seed);
    const subject = transcendental[name];
    expect(runEvaluated(subject, cases)).toEqual(runCompiled(subject, cases));
  });
});
