import { describe, expect, test } from 'vitest';
import { floatingFamilies } from '../src/semantics/floating/index.ts';
import { stateOffset } from '../src/state/layout.ts';
import { BareProcessor } from './bare-processor.ts';
import { CaseGenerator } from './harness/cases.ts';
import { EngineProcessor } from './harness/engine-driver.ts';
import { hasHost } from './harness/host-processor.ts';
import { type Batch, stateAt } from './harness/host-state.ts';
import { randomNumbers } from './harness/random.ts';
import { compareCases, disagreementText } from './harness/run.ts';

const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
const names = new Set(floatingFamilies.flatMap((family) => Object.keys(family.definitions)));

/** Cases with any MXCSR: most have some exception unmasked, half flush to zero. */
class AnyControl extends CaseGenerator {
  override batch(count: number, batchSeed: number): Batch {
    const batch = super.batch(count, batchSeed);
    const random = randomNumbers(batchSeed);
    for (const { before } of batch.cases) before.view.setUint32(stateAt.mxcsr, random() & 0xffff, true);
    return batch;
  }
}

describe.runIf(hasHost())('floating-point instructions do what the host processor does', () => {
  test.each([
    ['interpreted', false, CaseGenerator, 12_000],
    ['compiled', true, CaseGenerator, 1500],
    ['interpreted, with any MXCSR', false, AnyControl, 12_000],
    ['compiled, with any MXCSR', true, AnyControl, 1500],
  ] as const)(
    `%s (SEED=${seed})`,
    (_, compiled, Generator, count) => {
      const generator = new Generator((name) => names.has(name));
      const { disagreements } = compareCases(generator, new EngineProcessor(compiled), count, seed, {
        examples: 1,
      });
      expect(disagreements.slice(0, 20).map((one) => disagreementText(one, true))).toEqual([]);
    },
    120_000,
  );
});

/** A loop of one instruction; XMM0 and XMM1 hold `values`. */
function loop(instruction: readonly number[], values: readonly (readonly number[])[]): BareProcessor {
  const bare = new BareProcessor({ heat: 10 });
  const code = [...instruction, 0xff, 0xc9, 0x75, 0x100 - instruction.length - 4, 0xeb, 0xfe];
  bare.ram.set(code, 0x4000);
  bare.rip = 0x4000;
  bare.setRegister(1, 1000n);
  const { state } = bare.processor;
  const view = new DataView(bare.engine.memory.buffer, state.address + stateOffset.vector);
  for (const [register, elements] of values.entries())
    for (const [i, value] of elements.entries()) view.setFloat64(64 * register + 8 * i, value, true);
  return bare;
}

describe('exceptions in compiled loops', () => {
  // addsd xmm0, xmm1
  const addsd = [0xf2, 0x0f, 0x58, 0xc1];

  test('PE is set by the first inexact result, and stays', () => {
    const bare = loop(addsd, [[0], [0.1]]);
    expect(bare.processor.run(3 * 1000)).toBe('limit');
    expect(bare.engine.regions.compiled).toBeGreaterThan(0);
    expect(bare.processor.state.get('mxcsr')).toBe(0x1fa0);
    const view = new DataView(bare.engine.memory.buffer, bare.processor.state.address + stateOffset.vector);
    let sum = 0;
    for (let i = 0; i < 1000; i++) sum += 0.1;
    expect(view.getFloat64(0, true)).toBe(sum);
  });

  test('an unmasked exception is raised where it happens, with its flag and no result', () => {
    const bare = loop(addsd, [[2 ** 52 - 600], [1.5]]);
    // PE unmasked: exact at first, up to 2^52 units of one half.
    const { state } = bare.processor;
    state.set('mxcsr', 0x0f80);
    bare.processor.run(3 * 1000);
    expect(bare.seen?.vector).toBe(19);
    expect(state.get('mxcsr')).toBe(0x0fa0);
    const view = new DataView(bare.engine.memory.buffer, state.address + stateOffset.vector);
    expect(view.getFloat64(0, true)).toBe(2 ** 52);
    expect(bare.rip).toBe(0x4000n);
    expect(bare.register(1)).toBe(600n);
  });

  test('both halves of 256 bits are judged together', () => {
    // vaddpd ymm0, ymm0, ymm1: the lower half overflows, the upper one is invalid before anything is computed.
    const bare = loop(
      [0xc5, 0xfd, 0x58, 0xc1],
      [
        [Number.MAX_VALUE, 1, Number.POSITIVE_INFINITY, 1],
        [Number.MAX_VALUE, 1, Number.NEGATIVE_INFINITY, 1],
      ],
    );
    const { state } = bare.processor;
    // IE and OE unmasked.
    state.set('mxcsr', 0x1f80 & ~0x480);
    bare.processor.run(1);
    expect(bare.seen?.vector).toBe(19);
    expect(state.get('mxcsr') & 0x3f).toBe(1);
  });
});
