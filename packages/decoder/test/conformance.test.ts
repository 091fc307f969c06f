import { describe, expect, test } from 'vitest';
import { listed } from './oracle/disagreements.ts';
import { featureSets } from './oracle/features.ts';
import { compareAll, type OraclePair, oracleOptions, unconnectedCodes } from './oracle/iced.ts';
import { randomStrings } from './oracle/random.ts';
import { walk } from './oracle/walk.ts';

const modes = [64, 32, 16] as const;

/** Disagreements with iced-x86 that are not on the list, as `bytes: what`; the first few. */
class Comparison {
  readonly unlisted: string[] = [];
  compared = 0;

  add(buffer: Uint8Array, stride: number, pair: OraclePair): void {
    this.compared += buffer.length / stride;
    compareAll(buffer, stride, pair, (offset, what) => {
      const bytes = buffer.subarray(offset, offset + 15);
      if (this.unlisted.length < 10 && !listed(bytes, pair.ours, what)) {
        this.unlisted.push(`${Buffer.from(bytes).toString('hex')}: ${what}`);
      }
    });
  }
}

// The whole walk is `pnpm conformance:decoder`. A prime step meets every opcode, prefix class and form somewhere.
describe('iced-x86 says the same, sampled walk over all opcodes', () => {
  test.each(modes)('%i-bit', (mode) => {
    const comparison = new Comparison();
    walk(mode, (buffer, stride) => comparison.add(buffer, stride, oracleOptions(mode)), 251);
    expect(comparison.unlisted).toEqual([]);
    expect(comparison.compared).toBeGreaterThan(100_000);
  });
});

describe('iced-x86 says the same, random bytes, every vendor and feature', () => {
  const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
  test.each(modes)(`%i-bit (SEED=${seed})`, (mode) => {
    const comparison = new Comparison();
    for (const [i, pair] of featureSets(mode).entries()) {
      randomStrings(mode, i === 0 ? 200_000 : 10_000, seed + i, (buffer, stride) =>
        comparison.add(buffer, stride, pair),
      );
    }
    expect(comparison.unlisted).toEqual([]);
  });
});

test('every encoding of iced-x86 has a row in the table', () => {
  expect(unconnectedCodes()).toEqual([]);
});
