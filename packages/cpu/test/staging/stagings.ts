import type { Engine } from '../../src/engine/engine.ts';
import type { Processor } from '../../src/engine/processor.ts';
import { EvaluatedHandlers } from '../../src/evaluation/evaluated-handlers.ts';
import { type StateField, stateOffset } from '../../src/state/layout.ts';
import type { CaseGenerator } from '../harness/cases.ts';
import { caseText } from '../harness/compare.ts';
import { EngineProcessor } from '../harness/engine-driver.ts';
import type { CodeSize, HostCase, Outcome } from '../harness/host-state.ts';

export type Staging = 'interpreted' | 'compiled' | 'evaluated';

/** What the outcome of a case leaves out. */
const pointers: readonly (readonly [field: StateField, words: number])[] = [
  ['x87Opcode', 1],
  ['x87InstructionPointer', 2],
  ['x87DataPointer', 2],
  ['x87InstructionSelector', 1],
  ['x87DataSelector', 1],
  ['opmask', 16],
];

/** Runs cases by one of the ways in which definitions are staged. */
class StagedProcessor extends EngineProcessor {
  // Set by the constructor of the class above.
  declare private state: Processor['state'];
  declare private engineNow: Engine;
  declare private evaluatedNow: EvaluatedHandlers | undefined;

  constructor(
    readonly staging: Staging,
    mode: CodeSize,
  ) {
    super(staging === 'compiled', mode);
    this.install();
  }

  protected override made(engine: Engine, processor: Processor): void {
    this.state = processor.state;
    this.engineNow = engine;
    this.evaluatedNow = new EvaluatedHandlers(engine.memory.buffer, engine.handlers, {
      access: (_state, _record, low, high, what) => processor.memory.access(low, high, what),
      commit: (_state, slot) => processor.memory.commit(slot),
    });
    // The first time, the staging is not known yet.
    if (this.staging !== undefined) this.install();
  }

  private install(): void {
    const { engineNow: engine, evaluatedNow: evaluated } = this;
    if (this.staging !== 'evaluated' || evaluated === undefined) return;
    engine.handlers.run = (state, rec, budget) => evaluated.run(state, rec, budget);
  }

  /** Mnemonics whose definitions were evaluated by the present engine. */
  evaluatedMnemonics(): string[] {
    const names = new Set<string>();
    for (const row of this.evaluatedNow?.counts.keys() ?? []) {
      const shape = this.engineNow.handlers.shapeOf(row);
      if (shape !== undefined) names.add(shape.mnemonic);
    }
    return [...names];
  }

  /** Pointers of the x87 unit and other cells, as text. */
  pointerText(): string {
    const words = new Int32Array(this.state.bytes.buffer, this.state.bytes.byteOffset);
    return pointers
      .map(([field, count]) => {
        const at = stateOffset[field] >> 2;
        return `${field} ${Array.from(words.subarray(at, at + count), (word) => (word >>> 0).toString(16)).join()}`;
      })
      .join('; ');
  }
}

export interface StagingComparison {
  cases: number;
  readonly mnemonics: Set<string>;
  /** What differs from the interpreter's result. */
  readonly differences: string[];
}

/** Cases that share an engine. */
const batchSize = 1000;

/** Runs random cases in each staging: all end states must be equal, in every bit, undefined flags included. */
export function compareStagings(
  generator: CaseGenerator,
  count: number,
  seed: number,
  others: readonly Staging[] = ['evaluated', 'compiled'],
): StagingComparison {
  const reference = new StagedProcessor('interpreted', generator.mode);
  const candidates = others.map((staging) => new StagedProcessor(staging, generator.mode));
  const found: StagingComparison = { cases: 0, mnemonics: new Set(), differences: [] };
  for (let batchSeed = seed; found.cases < count; batchSeed++) {
    const batch = generator.batch(Math.min(batchSize, count - found.cases), batchSeed);
    for (const processor of [reference, ...candidates]) processor.setBatch(batch);
    for (const one of batch.cases) {
      const expected = resultText(reference, one);
      for (const candidate of candidates) {
        const result = resultText(candidate, one);
        if (result !== expected)
          found.differences.push(
            `${candidate.staging}: ${caseText(one)}: ${firstDifference(result, expected)} (batch ${batchSeed})`,
          );
      }
    }
    found.cases += batch.cases.length;
    for (const candidate of candidates)
      if (candidate.staging === 'evaluated')
        for (const name of candidate.evaluatedMnemonics()) found.mnemonics.add(name);
  }
  return found;
}

/** All that a case changed, as lines. */
function resultText(processor: StagedProcessor, one: HostCase): string {
  let outcome: Outcome;
  try {
    outcome = processor.runOne(one);
  } catch (error) {
    return `throws ${error instanceof Error ? error.message : String(error)}`;
  }
  const { vector, error, address, state, changedFrom, changed, problem } = outcome;
  const words = new Int32Array(state.bytes.buffer, state.bytes.byteOffset, state.bytes.length >> 2);
  return [
    `vector ${vector} error ${error} address ${vector === 14 ? address : 0} problem ${problem}`,
    `memory ${changedFrom}: ${Buffer.from(changed).toString('hex')}`,
    processor.pointerText(),
    ...Array.from(words, (word, i) => `state+${4 * i} ${(word >>> 0).toString(16)}`),
  ].join('\n');
}

function firstDifference(result: string, expected: string): string {
  const lines = result.split('\n');
  const others = expected.split('\n');
  const at = lines.findIndex((line, i) => line !== others[i]);
  return `${lines[at]}, interpreted ${others[at]}`;
}
