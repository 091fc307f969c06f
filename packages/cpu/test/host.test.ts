import { describe, expect, test } from 'vitest';
import { definitions } from '../src/semantics/definitions.ts';
import { CaseGenerator } from './harness/cases.ts';
import { EngineProcessor } from './harness/engine-driver.ts';
import { hasHost } from './harness/host-processor.ts';
import { compareCases, disagreementText } from './harness/run.ts';

describe.runIf(hasHost())('random instructions do what the host processor does', () => {
  const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
  test.each([
    ['64-bit code, interpreted', 64, false, 8_000],
    ['64-bit code, compiled', 64, true, 1_500],
    ['32-bit code, interpreted', 32, false, 5_000],
    ['32-bit code, compiled', 32, true, 1_000],
  ] as const)(
    `%s (SEED=${seed})`,
    (_, mode, compiled, count) => {
      const generator = new CaseGenerator((name) => name in definitions, mode);
      const { disagreements, compared } = compareCases(
        generator,
        new EngineProcessor(compiled, mode),
        count,
        seed,
        { examples: 1 },
      );
      expect(disagreements.slice(0, 20).map((one) => disagreementText(one, false))).toEqual([]);
      expect(compared.size).toBeGreaterThan(0.9 * generator.mnemonics.length);
    },
    120_000,
  );
});
