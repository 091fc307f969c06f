import { difference } from './compare.ts';
import { EngineProcessor, type TestProcessor } from './engine-driver.ts';
import type { Vendor } from './host-processor.ts';
import type { Batch, CodeSize, HostCase, Outcome } from './host-state.ts';

/** Interpreter and compiled code side by side: they must end in the same state, in what manuals leave undefined too. */
export class LockstepProcessor implements TestProcessor {
  private readonly interpreting: EngineProcessor;
  private readonly compiling: EngineProcessor;

  constructor(mode: CodeSize, vendor: Vendor) {
    this.interpreting = new EngineProcessor(false, mode, vendor);
    this.compiling = new EngineProcessor(true, mode, vendor);
  }

  setBatch(batch: Batch): void {
    this.interpreting.setBatch(batch);
    this.compiling.setBatch(batch);
  }

  runOne(one: HostCase): Outcome {
    const interpreted = this.interpreting.runOne(one);
    const compiled = this.compiling.runOne(one);
    if (areEqual(interpreted, compiled)) return interpreted;
    // What differs, without what hosts are excused for.
    const what = difference({ ...one, mnemonic: '' }, interpreted, compiled, { undefinedFlags: true });
    return { ...interpreted, problem: `interpreted ${what} (compiled code is the host here)` };
  }
}

function areEqual(a: Outcome, b: Outcome): boolean {
  return (
    a.problem === b.problem &&
    a.vector === b.vector &&
    a.error === b.error &&
    a.address === b.address &&
    a.changedFrom === b.changedFrom &&
    Buffer.compare(a.changed, b.changed) === 0 &&
    Buffer.compare(a.state.bytes, b.state.bytes) === 0
  );
}
