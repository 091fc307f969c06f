import type { CaseGenerator } from './cases.ts';
import { type CompareOptions, caseText, difference, stateText } from './compare.ts';
import type { TestProcessor } from './engine-driver.ts';
import { runOnHost } from './host.ts';
import type { Batch, HostCase, Outcome } from './host-state.ts';

/** Cases that one start of the harness gets. */
export const batchSize = 4000;

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

export function newComparison(): Comparison {
  return { cases: 0, compared: new Map(), wrong: new Map(), disagreements: [] };
}

export interface BatchOptions extends CompareOptions {
  /** Disagreements that are kept of each mnemonic. Default 3. */
  readonly examples?: number;
}

/** Compares random cases with the host; batches have the seeds `seed`, `seed` + 1 and so on. */
export function compareCases(
  generator: CaseGenerator,
  processor: TestProcessor,
  count: number,
  seed: number,
  options: BatchOptions = {},
): Comparison {
  const result = newComparison();
  for (let batchSeed = seed; result.cases < count; batchSeed++) {
    const batch = generator.batch(Math.min(batchSize, count - result.cases), batchSeed);
    compareBatch(result, processor, batch, runOnHost(batch), options);
  }
  return result;
}

/** Adds a batch to a comparison. @param expected what a host made of each case */
export function compareBatch(
  result: Comparison,
  processor: TestProcessor,
  batch: Batch,
  expected: readonly Outcome[],
  { examples = 3, ...options }: BatchOptions = {},
): void {
  processor.setBatch(batch);
  for (const [index, one] of batch.cases.entries()) {
    result.compared.set(one.mnemonic, (result.compared.get(one.mnemonic) ?? 0) + 1);
    const what = attempt(processor, one, (ours) => difference(one, ours, expected[index], options));
    if (what === '') continue;
    const wrong = (result.wrong.get(one.mnemonic) ?? 0) + 1;
    result.wrong.set(one.mnemonic, wrong);
    if (wrong <= examples) result.disagreements.push({ one, what, seed: batch.seed, index });
  }
  result.cases += batch.cases.length;
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
