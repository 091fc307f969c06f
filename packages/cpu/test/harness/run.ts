import type { CaseGenerator } from './cases.ts';
import { type CompareOptions, caseText, difference, stateText } from './compare.ts';
import type { TestProcessor } from './engine-driver.ts';
import { runOnHost } from './host.ts';
import type { HostCase } from './host-state.ts';

/** Cases that one start of the harness gets. */
const batchSize = 4000;

export interface Disagreement {
  readonly one: HostCase;
  readonly what: string;
  /** Seed of the batch, and the case's place in it. */
  readonly seed: number;
  readonly index: number;
}

export interface Comparison {
  cases: number;
  /** Cases by mnemonic, and how many of them differ. */
  readonly compared: Map<string, number>;
  readonly wrong: Map<string, number>;
  /** The first few of each mnemonic. */
  readonly disagreements: Disagreement[];
}

/** Compares random cases; batches have the seeds `seed`, `seed` + 1 and so on. */
export function compareCases(
  generator: CaseGenerator,
  processor: TestProcessor,
  count: number,
  seed: number,
  { examples = 3, ...options }: CompareOptions & { examples?: number } = {},
): Comparison {
  const result: Comparison = { cases: 0, compared: new Map(), wrong: new Map(), disagreements: [] };
  for (let batchSeed = seed; result.cases < count; batchSeed++) {
    const batch = generator.batch(Math.min(batchSize, count - result.cases), batchSeed);
    const expected = runOnHost(batch);
    processor.setBatch(batch);
    for (const [index, one] of batch.cases.entries()) {
      result.compared.set(one.mnemonic, (result.compared.get(one.mnemonic) ?? 0) + 1);
      const what = attempt(processor, one, (ours) => difference(one, ours, expected[index], options));
      if (what === '') continue;
      const wrong = (result.wrong.get(one.mnemonic) ?? 0) + 1;
      result.wrong.set(one.mnemonic, wrong);
      if (wrong <= examples) result.disagreements.push({ one, what, seed: batchSeed, index });
    }
    result.cases += batch.cases.length;
  }
  return result;
}

/** A definition that cannot be built is a disagreement, too. */
function attempt(
  processor: TestProcessor,
  one: HostCase,
  judge: (ours: ReturnType<TestProcessor['runOne']>) => string,
): string {
  try {
    return judge(processor.runOne(one));
  } catch (error) {
    return `throws ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** @param withState also what the instruction found */
export function disagreementText({ one, what, seed, index }: Disagreement, withState: boolean): string {
  const text = `${caseText(one)}: ${what}`;
  return withState ? `${text}\n    ${stateText(one)} (batch ${seed}, case ${index})` : text;
}
