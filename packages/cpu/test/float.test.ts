import { CodeWriter, Compiler, type MemoryShape, ModuleBuilder, ValueType } from '@nest86/wasm';
import { describe, expect, test } from 'vitest';
import { evaluateLibrary } from '../src/library/evaluate-library.ts';
import { settleFlags, unmaskedOf } from '../src/library/float/exceptions.ts';
import { answer } from '../src/library/float/format.ts';
import type { LibraryFunction } from '../src/library/function.ts';
import { LibraryBuilder } from '../src/library/library.ts';
import { randomCases, randomNumbers } from './float/cases.ts';
import { askHost, caseWords, resultWords } from './float/oracle.ts';
import { differences, runCompiled, runEvaluated, type Subject } from './float/run.ts';
import { approximations, fastSubjects, subjects } from './float/subjects.ts';
import { hasHost } from './harness/host-processor.ts';

const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
/** COUNT=1000000 for a long run. */
const count = Number(process.env.COUNT ?? 20_000);
const evaluated = 200;
/** Milliseconds; a long run needs more than the usual. */
const timeout = 60_000 + count;

describe.runIf(hasHost())(`library functions do what the host processor does (SEED=${seed})`, () => {
  test.each(subjects.map((subject) => [subject.name, subject] as const))(
    '%s',
    (_, subject) => {
      const cases = randomCases(subject.operands, count, seed);
      const ours = runCompiled(subject, cases);
      expect(differences(subject, cases, ours, askHost(subject.instruction, cases))).toEqual([]);
      const few = cases.subarray(0, evaluated * caseWords);
      expect(runEvaluated(subject, few)).toEqual(ours.slice(0, evaluated * resultWords));
    },
    timeout,
  );
});

describe.runIf(hasHost())(`fast paths do what the host processor does (SEED=${seed})`, () => {
  test.each(fastSubjects.map((subject) => [subject.name, subject] as const))(
    '%s',
    (_, subject) => {
      const random = randomCases(subject.operands, count / 2, seed);
      const limits = casesAtLimits(subject, count / 2, seed);
      for (const cases of [random, limits]) {
        const ours = runCompiled(subject, cases);
        expect(differences(subject, cases, ours, askHost(subject.instruction, cases))).toEqual([]);
      }
    },
    timeout,
  );
});

/**
 * Operands around which a fast path decides: neighbours of 0, of the smallest and largest normal numbers, of 1, and numbers of few bits, in
 * any combination with silent and loud MXCSR. Of three operands, every other case is a product around half a place of what is added.
 */
function casesAtLimits({ operands }: Subject, amount: number, start: number): Uint32Array {
  const random = randomNumbers(start);
  const words = new Uint32Array(amount * caseWords);
  const [fraction, exponent] = operands[0] === 'f32' ? [23n, 8n] : [52n, 11n];
  const [top, one] = [(1n << exponent) - 1n, (1n << (exponent - 1n)) - 1n];
  const exponents = [0n, 1n, 2n, one, one + 1n, one - 1n, top - 1n, top];
  for (let i = 0; i < amount; i++) {
    const isHalf = operands.length === 3 && (random() & 1) === 0;
    operands.forEach((_, n) => {
      const half = n < 2 ? one : one + fraction + BigInt(random() % 4);
      const chosen = (isHalf ? half : exponents[random() % exponents.length]) << fraction;
      const near = chosen + BigInt(random() % 5) - 2n;
      const few = chosen + (BigInt(random() % 64) << (fraction - 6n));
      const sign = BigInt(random() & 1) << (fraction + exponent);
      const magnitude = BigInt.asUintN(Number(fraction + exponent), random() % 3 > 0 ? near : few);
      words[i * caseWords + 2 * n] = Number((sign | magnitude) & 0xffffffffn);
      words[i * caseWords + 2 * n + 1] = Number((sign | magnitude) >> 32n);
    });
    words[i * caseWords + 6] = [0x1fa0, 0x1fa0, 0x1f80, 0x9fe0, 0x3fa0, 0x0fa0, 0x17a0, 0x1f82][random() & 7];
  }
  return words;
}

test('all half-precision numbers become single precision', () => {
  const subject = subjects.find(({ name }) => name === 'vcvtph2ps')!;
  const cases = new Uint32Array(65536 * caseWords);
  for (let i = 0; i < 65536; i++) {
    cases[i * caseWords] = i;
    cases[i * caseWords + 6] = 0x1f80;
  }
  expect(differences(subject, cases, runCompiled(subject, cases), askHost('vcvtph2ps', cases))).toEqual([]);
});

describe('reciprocals', () => {
  const every = (): Uint32Array => {
    // Every row of the tables, with each parity of the exponent, at its ends.
    const cases = new Uint32Array(4 * 4096 * caseWords);
    for (let i = 0; i < 4 * 4096; i++) {
      cases[i * caseWords] = 0x3f800000 + (i >> 1) * 0x800 + (i & 1) * 0x7ff;
      cases[i * caseWords + 6] = 0x1f80;
    }
    return cases;
  };

  test.each(approximations.map((subject) => [subject.name, subject] as const))(
    '%s is within the error that the manual allows',
    (_, subject) => {
      const cases = every();
      const ours = runCompiled(subject, cases);
      const floats = new Float32Array(ours.buffer);
      const operands = new Float32Array(cases.buffer);
      let worst = 0;
      for (let i = 0; i * caseWords < cases.length; i++) {
        const operand = operands[i * caseWords];
        const exact = subject.instruction === 'rcpss' ? 1 / operand : 1 / Math.sqrt(operand);
        worst = Math.max(worst, Math.abs(floats[i * resultWords] / exact - 1));
      }
      expect(worst).toBeLessThan(1.5 * 2 ** -12);
    },
  );

  // The tables are those of an AMD Zen 5; other processors have others. One answer tells which it is.
  const probe = new Uint32Array(caseWords * 2);
  probe.set([0x3f801000, 0, 0, 0, 0, 0, 0x1f80], 0);
  probe.set([0x3f808000, 0, 0, 0, 0, 0, 0x1f80], caseWords);
  const answers = hasHost() ? askHost('rcpss', probe) : new Uint32Array(2 * resultWords);
  const isZen5 = answers[0] === 0x3f7fd800 && answers[resultWords] === 0x3f7ef000;
  test.runIf(isZen5).each(approximations.map((subject) => [subject.name, subject] as const))(
    '%s is what the processor answers',
    (_, subject) => {
      for (const cases of [every(), randomCases(subject.operands, count, seed)]) {
        const ours = runCompiled(subject, cases);
        expect(differences(subject, cases, ours, askHost(subject.instruction, cases))).toEqual([]);
      }
      const few = randomCases(subject.operands, 20, seed);
      expect(runEvaluated(subject, few)).toEqual(runCompiled(subject, few));
    },
  );
});

/** Runs a subject on one case. */
function one(name: string, operands: readonly number[], mxcsr: number): { value: number; flags: number } {
  const subject = subjects.find((candidate) => candidate.name === name)!;
  const cases = new Uint32Array(caseWords);
  operands.forEach((operand, n) => {
    cases[2 * n] = operand;
  });
  cases[6] = mxcsr;
  const [value, , flags] = runCompiled(subject, cases);
  return { value, flags };
}

const [IE, DE, ZE, OE, UE, PE] = [1, 2, 4, 8, 16, 32];
const masked = 0x1f80;
const flushing = masked | (1 << 15);
const noUnderflowMask = masked & ~(1 << 11);

/*
 * What the manual says least clearly, as measured on the host (AMD EPYC, Zen 5).
 */
test.each([
  [
    'just below the smallest normal number, rounded up to it: tiny',
    'mulss',
    [0x00ffffff, 0x3f000000],
    masked,
    0x00800000,
    UE | PE,
  ],
  ['FTZ flushes an exact denormal result, too', 'mulss', [0x00800000, 0x3f000000], flushing, 0, UE | PE],
  [
    'FTZ does not work with UM clear; exact in unbounded range: no PE',
    'mulss',
    [0x00800000, 0x3eaaaaab],
    flushing & ~(1 << 11),
    0,
    UE,
  ],
  ['tiny and exact, masked: no flag', 'mulss', [0x00800000, 0x3f000000], masked, 0x00400000, 0],
  ['a quiet NaN hides a denormal', 'addss', [0x7fc00123, 1], masked, 0x7fc00123, 0],
  ['an infinity does not', 'addss', [0x7f800000, 1], masked, 0x7f800000, DE],
  ['division by zero hides a denormal', 'divss', [1, 0], masked, 0x7f800000, ZE],
  ['the root of a negative denormal is invalid only', 'sqrtss', [0x80000001], masked, 0xffc00000, IE],
  [
    'the first NaN answers, even if the second is signalling',
    'addss',
    [0x7fc00123, 0x7f800001],
    masked,
    0x7fc00123,
    IE,
  ],
  ['∞ · 0 + quiet NaN is not invalid', 'vfmaddss', [0x7f800000, 0, 0xffc00456], masked, 0xffc00456, 0],
  [
    'a negated product leaves a NaN its sign',
    'vfnmaddss',
    [0x7fc00123, 0x3f800000, 0],
    masked,
    0x7fc00123,
    0,
  ],
  ['MIN answers a signalling NaN as it is', 'minss', [0x3f800000, 0x7f800001], masked, 0x7f800001, IE],
  [
    'MIN under DAZ answers zeros for denormals',
    'minss',
    [0x3f800000, 0x80000001],
    masked | 0x40,
    0x80000000,
    0,
  ],
  ['conversion to an integer has no denormal exception', 'cvtss2si', [1], masked, 0, PE],
  ['under DAZ not even that', 'cvtss2si', [1], masked | 0x40, 0, 0],
  ['FTZ does not concern half precision', 'vcvtps2ph0', [0x38000000], flushing, 0x200, 0],
  ['but an unmasked underflow does', 'vcvtps2ph0', [0x38000000], noUnderflowMask, 0, UE],
  ['overflow', 'mulss', [0x7f000000, 0x40000000], masked, 0x7f800000, OE | PE],
] as const)('%s', (_, name, operands, mxcsr, value, flags) => {
  const ours = one(name, operands, mxcsr);
  // An unmasked exception leaves no value.
  expect(ours).toEqual({ value: (flags & ~(mxcsr >>> 7)) !== 0 ? ours.value : value, flags });
});

/** As MULPS on the host: lanes of ∞·0, overflow, a denormal, 1/3 of the smallest normal number, and an inexact product. */
test.each([
  ['DM', DE | UE | PE, masked & ~(1 << 8), DE, DE],
  ['IM', IE | OE | DE | PE, masked & ~(1 << 7), IE | DE, IE],
  ['OM', IE | OE | DE | PE, masked & ~(1 << 10), IE | DE | OE | PE, OE],
  ['no mask', IE | OE | DE | PE, masked, IE | DE | OE | PE, 0],
] as const)('flags of a packed instruction with %s clear', (_, found, mxcsr, shown, unmasked) => {
  const settle = (what: typeof settleFlags): LibraryFunction => ({
    name: 'settle',
    parameters: [ValueType.i32, ValueType.i32],
    result: ValueType.i32,
    build: (x, [flags, control]) => what(x, flags, control),
  });
  const memory = new ArrayBuffer(16);
  expect(evaluateLibrary(settle(settleFlags), memory, [found, mxcsr])).toBe(shown);
  expect(evaluateLibrary(settle(unmaskedOf), memory, [shown, mxcsr])).toBe(unmasked);
});

describe('library builder', () => {
  const shape: MemoryShape = { addressType: 'i32', shared: false, minimumPages: 1 };
  const type = { parameters: [ValueType.i32], results: [ValueType.i32] };
  const increment: LibraryFunction = {
    name: 'increment',
    parameters: [ValueType.i32],
    result: ValueType.i32,
    build: (x, [value]) => x.add(value, x.i32(1)),
  };
  const twice: LibraryFunction = {
    name: 'twice',
    parameters: [ValueType.i32],
    result: ValueType.i32,
    build: (_x, [value], call) => answer(call, increment, [answer(call, increment, [value])]),
  };

  function open() {
    const module = new ModuleBuilder();
    const code = new CodeWriter(shape);
    const compiler = new Compiler(code);
    return { module, code, compiler, library: new LibraryBuilder(module, code, compiler) };
  }

  test('functions that callers need follow them, each once', () => {
    const { module, code, compiler, library } = open();
    for (const [name, callee] of [
      ['first', twice],
      ['second', increment],
      ['third', twice],
    ] as const) {
      const index = module.declareFunction(type);
      code.begin(type);
      compiler.begin();
      compiler.push(answer(library.call, callee, [compiler.read(compiler.variable(ValueType.i32, 0))]));
      code.finish();
      module.define(index, code);
      module.exportFunction(index, name);
      library.finish();
    }
    const bytes = module.finish();
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes));
    const results = ['first', 'second', 'third'].map((name) => (exports[name] as (a: number) => number)(5));
    expect(results).toEqual([7, 6, 7]);
    expect(evaluateLibrary(twice, new ArrayBuffer(16), [5])).toBe(7);
  });

  test('two functions of one name, and one without its result, are refused', () => {
    const { library } = open();
    library.callee(increment);
    expect(() => library.callee({ ...increment })).toThrow(/two library functions/);
    library.callee({ ...increment, name: 'silent', build: () => undefined });
    expect(() => library.finish()).toThrow(/does not answer/);
  });
});
