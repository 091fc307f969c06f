import { basename } from 'node:path';
import { describe, expect, test } from 'vitest';
import { EngineProcessor } from './harness/engine-driver.ts';
import type { Batch } from './harness/host-state.ts';
import { LockstepProcessor } from './harness/lockstep-processor.ts';
import { compareBatch, disagreementText, newComparison } from './harness/run.ts';
import { readBatch, type StoredBatch, VectorFile, vectorFiles, writeBatch } from './harness/vectors.ts';

/*
 * What a processor was seen to do, on hosts of any vendor and without gcc: `pnpm conformance:cpu --stored` replays all of it. Cases of a batch go through the
 * mnemonics in turn, so a batch has each a few times.
 */

const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);

/** The first cases of a batch: slots are as before. */
function some({ batch, outcomes }: StoredBatch, count: number): StoredBatch {
  const first: Batch = { ...batch, cases: batch.cases.slice(0, count) };
  return { batch: first, outcomes: outcomes.slice(0, count) };
}

describe.each(vectorFiles().map((path) => [basename(path), new VectorFile(path)] as const))(
  `stored vectors of %s (SEED=${seed})`,
  (_, file) => {
    const { vendor, mode } = file.header;

    test.each([
      ['interpreted', new EngineProcessor(false, mode, vendor), 1800],
      ['interpreted and compiled', new LockstepProcessor(mode, vendor), 900],
    ] as const)(
      '%s',
      (__, processor, count) => {
        const { batch, outcomes } = some(file.read(seed % file.count), count);
        const result = newComparison();
        compareBatch(result, processor, batch, outcomes, { examples: 1 });
        expect(result.disagreements.slice(0, 20).map((one) => disagreementText(one, true))).toEqual([]);
        expect(result.cases).toBe(count);
        expect(result.compared.size).toBeGreaterThan(800);
      },
      60_000,
    );

    test('what is read is what was written', () => {
      const stored = some(file.read(seed % file.count), 20);
      expect(readBatch(file.header, writeBatch(stored))).toEqual(stored);
    });
  },
);
