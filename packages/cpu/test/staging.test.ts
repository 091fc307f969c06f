import { describe, expect, test } from 'vitest';
import { definitions } from '../src/semantics/definitions.ts';
import { CaseGenerator } from './harness/cases.ts';
import { compareStagings } from './staging/stagings.ts';

// `pnpm conformance:staging` does the same for as long as one likes.
describe('definitions evaluated without WebAssembly, interpreted and compiled alike', () => {
  const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
  test.each([
    [64, 2_000],
    [32, 1_000],
  ] as const)(
    `%i-bit code (SEED=${seed})`,
    (mode, count) => {
      const generator = new CaseGenerator((name) => name in definitions, mode);
      const { differences, mnemonics } = compareStagings(generator, count, seed);
      expect(differences.slice(0, 20)).toEqual([]);
      expect(mnemonics.size).toBeGreaterThan(0.9 * generator.mnemonics.length);
    },
    120_000,
  );
});
