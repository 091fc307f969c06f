import { describe, expect, test } from 'vitest';
import { PageWalker, PhysicalMemory, Translation } from '../src/index.ts';
import {
  fillTables,
  guestPages,
  randomAccess,
  randomLinear,
  randomState,
  stagePages,
} from './oracle/generate.ts';
import { Random, seed } from './oracle/random.ts';
import {
  type Outcome,
  ReferenceMemory,
  type ReferenceState,
  referenceWalk,
} from './oracle/reference-walker.ts';
import { accessOf, contextOf, modelOf, outcomeOf } from './oracle/subject.ts';

const size = (guestPages + stagePages) * 4096;

/** Random tables × random accesses: outcome, error codes, rights, and each A and D bit in memory. */
function compare(stage: 'ept' | 'npt' | undefined, images: number, accesses: number): Map<string, number> {
  const outcomes = new Map<string, number>();
  for (let image = 0; image < images; image++) {
    const random = new Random(seed * 1000 + image);
    let state = randomState(random, stage);
    const buffer = new ArrayBuffer(size);
    fillTables(random, new Uint8Array(buffer), state);
    const reference = new ReferenceMemory(new Uint8Array(buffer.slice(0)));
    const memory = new PhysicalMemory({ buffer });
    memory.addRegion({ kind: 'ram', start: 0, size, backing: 0 });
    const out = new Translation();
    let walker = new PageWalker(memory, modelOf(state));
    let context = contextOf(state);
    for (let i = 0; i < accesses; i++) {
      // Other registers over the same tables, as long as entries are as wide.
      if (i % 25 === 0) {
        const old = state;
        do state = randomState(random, stage);
        while (widths(state) !== widths(old));
        walker = new PageWalker(memory, modelOf(state));
        context = contextOf(state);
      }
      const linear = randomLinear(random, state);
      const access = randomAccess(random);
      const expected = referenceWalk(reference, state, linear, access);
      const fault = walker.walk(
        context,
        Number(BigInt.asIntN(32, linear)),
        Number(BigInt.asIntN(32, linear >> 32n)),
        accessOf(access),
        false,
        false,
        out,
      );
      const actual = outcomeOf(out, fault, linear);
      if (expected.result === 'ok' && actual.result === 'ok') {
        // Without paging the reference reports no page size of the guest's.
        if (expected.size === 1n << 62n) expected.size = actual.size;
      }
      if (text(actual) !== text(expected))
        expect(
          actual,
          `image ${image}, access ${i}: ${linear.toString(16)} ${JSON.stringify(access)}`,
        ).toEqual(expected);
      outcomes.set(actual.result, (outcomes.get(actual.result) ?? 0) + 1);
    }
    expect(Buffer.compare(memory.bytes, reference.bytes), `image ${image}: memory differs`).toBe(0);
  }
  return outcomes;
}

const widths = ({ cr0, cr4, stage }: ReferenceState): string =>
  `${cr0 >= 0 || (cr4 & 0x20) !== 0} ${stage === undefined || (stage.cr4 & 0x20) !== 0}`;

/** Comparing text first is many times faster than `expect` for each access. */
function text(outcome: Outcome): string {
  return JSON.stringify(outcome, (_, value) => (typeof value === 'bigint' ? value.toString(16) : value));
}

describe(`the walker does what the manuals say (SEED=${seed})`, { timeout: 60_000 }, () => {
  test('all paging modes', () => {
    const outcomes = compare(undefined, 25, 1000);
    expect(outcomes.get('ok')).toBeGreaterThan(1000);
    expect(outcomes.get('#PF')).toBeGreaterThan(1000);
  });

  test('all paging modes over EPT', () => {
    const outcomes = compare('ept', 40, 800);
    for (const result of ['ok', '#PF', 'EPT violation', 'EPT misconfiguration'])
      expect(outcomes.get(result), result).toBeGreaterThan(100);
  });

  test('all paging modes over NPT', () => {
    const outcomes = compare('npt', 40, 800);
    for (const result of ['ok', '#PF', '#NPF']) expect(outcomes.get(result), result).toBeGreaterThan(100);
  });
});
