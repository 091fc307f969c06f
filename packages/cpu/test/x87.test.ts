import { describe, expect, test } from 'vitest';
import { x87Families } from '../src/semantics/x87/index.ts';
import { BareProcessor } from './bare-processor.ts';
import { CaseGenerator } from './harness/cases.ts';
import { caseText, difference } from './harness/compare.ts';
import { EngineProcessor } from './harness/engine-driver.ts';
import { runOnHost } from './harness/host.ts';
import { hasHost, hostHas } from './harness/host-processor.ts';
import { type HostState, stateAt } from './harness/host-state.ts';
import { pick, type Random, randomNumbers } from './harness/random.ts';
import { compareCases, disagreementText } from './harness/run.ts';

const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
/** Of each mnemonic; 2,000 and more were compared before a release. */
const casesEach = Number(process.env.X87_CASES ?? 300);
const mnemonics = new Set(x87Families.flatMap(({ definitions }) => Object.keys(definitions)));

/*
 * Random and edge operands, control words (RC, PC, masks), tags (stack faults) and pending exceptions. Where Intel's manual says something else,
 * or nothing, this is what both vendors' processors do (Zen 5, Xeon) and the definitions follow:
 * - FCMOVcc, FCOMI and the like leave C1 as it is if there is no stack fault; the manual clears it.
 * - FPREM and FPREM1 without a quotient leave C0 and C3 as they are.
 * - FFREEP (DF C0+i) pops, and FSTPNCE (D9 D8+i) of an empty register pops without a stack fault; neither is in the manual.
 * - EMMS sets TOP to 0.
 * Transcendental instructions may differ in the last place: harness/last-place.ts; what else may differ on Intel's processors: harness/allowances.ts.
 */
describe.runIf(hasHost())(`x87 instructions do what the host processor does (SEED=${seed})`, () => {
  const generator = new CaseGenerator((name) => mnemonics.has(name));
  test.each([
    ['interpreted', false, 1],
    ['compiled', true, 0.2],
  ] as const)('%s', { timeout: 600_000 }, (_, compiled, share) => {
    const count = Math.ceil(casesEach * share * generator.mnemonics.length);
    const { disagreements, compared } = compareCases(generator, new EngineProcessor(compiled), count, seed, {
      examples: 1,
    });
    expect(disagreements.slice(0, 20).map((one) => disagreementText(one, false))).toEqual([]);
    // All but FEMMS, where the host lacks it.
    expect(compared.size).toBe(mnemonics.size - (hostHas('3DNOW') ? 0 : 1));
  });
});

/*
 * Sums, products, comparisons and conversions of normal numbers have ways of their own beside the 80-bit library. These operands are made for
 * them: exponents that are near each other or at the formats' borders, significands with long runs of zeros or ones, equal ones.
 */
describe.runIf(hasHost())(`x87 operands near each other (SEED=${seed})`, () => {
  const names = /^F(ADD|SUB|SUBR|MUL)P?$|^FU?COMI?P?P?$|^FI?STP?$|^FISTTP$/;
  const controls = [0x37f, 0x27f, 0x37f, 0xf7f, 0x77f, 0x17f, 0x35f];
  const exponents = [0x3fff, 0x403d, 0x401d, 0x400d, 0x43fe, 0x3c01, 0x407e, 0x3f81, 0x7ffd, 2];
  const integerBit = 1n << 63n;

  function significand(random: Random): bigint {
    const bits = (BigInt(random()) << 32n) | BigInt(random());
    const place = BigInt(random() % 64);
    switch (random() % 6) {
      case 0:
        return integerBit | bits;
      case 1:
        return integerBit | (bits << place);
      case 2:
        return integerBit | (-1n << place);
      case 3:
        return integerBit | (1n << place);
      case 4:
        return integerBit | ((1n << place) - 1n);
      default:
        return integerBit | ((bits & 0xffn) << place);
    }
  }

  function prepare({ view }: HostState, random: Random): void {
    view.setUint16(stateAt.x87Control, pick(random, controls), true);
    // No exception is pending; 35Fh leaves PE unmasked.
    view.setUint16(stateAt.x87Status, random() & 0x7f00, true);
    view.setUint8(stateAt.x87Tags, 0xff);
    const base = pick(random, exponents);
    for (let at = stateAt.st; at < stateAt.st + 128; at += 16) {
      const distance = random() % 9 < 7 ? (random() % 5) - 2 : (random() % 140) - 70;
      const isZero = random() % 40 === 0;
      const isCopy = random() % 8 === 0;
      const value = isCopy ? view.getBigUint64(stateAt.st, true) : significand(random);
      view.setBigUint64(at, isZero ? 0n : value | integerBit, true);
      const exponent = Math.min(0x7ffe, Math.max(1, base + distance));
      view.setUint16(at + 8, (random() & 0x8000) | (isZero ? 0 : exponent), true);
    }
  }

  test('as on the host', { timeout: 120_000 }, () => {
    const generator = new CaseGenerator((name) => names.test(name));
    const processor = new EngineProcessor(false);
    const random = randomNumbers(seed);
    const found: string[] = [];
    for (let turn = 0; turn < 5; turn++) {
      const batch = generator.batch(4000, seed + turn);
      for (const { before } of batch.cases) prepare(before, random);
      const expected = runOnHost(batch);
      processor.setBatch(batch);
      for (const [i, one] of batch.cases.entries()) {
        const what = difference(one, processor.runOne(one), expected[i]);
        if (what !== '') found.push(`${caseText(one)}: ${what}`);
      }
    }
    expect(found.slice(0, 20)).toEqual([]);
  });
});

const code = 0x4000;
const data = 0x8000;

/** What the harness cannot show: last instruction and pointers, and exceptions that wait for the next instruction. */
function machine(...instructions: readonly (readonly number[])[]): BareProcessor {
  const bare = new BareProcessor({ accel: 'interp' });
  bare.ram.set(instructions.flat(), code);
  bare.rip = code;
  bare.setRegister(3, BigInt(data));
  bare.processor.state.set('segmentSelector', 0x33, 1);
  bare.processor.state.set('segmentSelector', 0x2b, 3);
  return bare;
}

const fninit = [0xdb, 0xe3];
const fld1 = [0xd9, 0xe8];
const fldz = [0xd9, 0xee];
/** fld qword [rbx+8] */
const loadDouble = [0xdd, 0x43, 0x08];
/** fnstcw [rbx] */
const storeControl = [0xd9, 0x3b];
/** fldcw [rbx] */
const loadControl = [0xd9, 0x2b];
const fnclex = [0xdb, 0xe2];
const fnstswAx = [0xdf, 0xe0];
const wait = [0x9b];
/** fdivp st(1), st */
const divide = [0xde, 0xf9];
const mathFault = 16;

describe('x87 last instruction and data pointer', () => {
  test('non-control instructions set them, control instructions do not', () => {
    const { processor } = machine(fninit, [0x48, ...loadDouble], fld1, storeControl, loadControl, fnstswAx);
    const { state } = processor;
    processor.run(2);
    expect(state.getBig('x87InstructionPointer')).toBe(BigInt(code + 2));
    expect(state.get('x87InstructionSelector')).toBe(0x33);
    expect(state.getBig('x87DataPointer')).toBe(BigInt(data + 8));
    expect(state.get('x87DataSelector')).toBe(0x2b);
    processor.run(1);
    expect(state.getBig('x87InstructionPointer')).toBe(BigInt(code + 6));
    processor.run(3);
    expect(state.getBig('x87InstructionPointer')).toBe(BigInt(code + 6));
    expect(state.getBig('x87DataPointer')).toBe(BigInt(data + 8));
  });

  test('FNINIT clears them', () => {
    const { processor } = machine(loadDouble, fninit);
    processor.run(2);
    const { state } = processor;
    expect(state.getBig('x87InstructionPointer')).toBe(0n);
    expect(state.getBig('x87DataPointer')).toBe(0n);
    expect(state.get('x87InstructionSelector')).toBe(0);
    expect(state.get('x87DataSelector')).toBe(0);
  });
});

describe('unmasked x87 exceptions', () => {
  const before = [fninit, loadControl, fld1, fldz, divide] as const;
  const start = code + 2 + 2 + 2 + 2 + 2;
  const run = (next: readonly number[]): BareProcessor => {
    const bare = machine(...before, next);
    // ZE is not masked.
    new DataView(bare.ram.buffer, bare.ram.byteOffset).setUint16(data, 0x37b, true);
    bare.processor.run(6);
    return bare;
  };

  test.each([
    ['WAIT', wait],
    ['FLD1', fld1],
    ['FLDCW', loadControl],
    ['FNOP', [0xd9, 0xd0]],
    ['EMMS', [0x0f, 0x77]],
  ])('%s raises #MF for the one before it', (_, next) => {
    const bare = run(next);
    expect(bare.seen?.vector).toBe(mathFault);
    expect(bare.rip).toBe(BigInt(start));
    // Neither ST(1) was written nor the stack popped.
    expect(bare.processor.state.get('x87Status')).toBe(0xb084);
    expect(bare.processor.state.get('x87Tags')).toBe(0xc0);
  });

  test.each([
    ['FNSTSW', fnstswAx, 0xb084],
    ['FNSTCW', storeControl, 0xb084],
    ['FNCLEX', fnclex, 0x3000],
    ['FNINIT', fninit, 0],
  ])('%s does not', (_, next, status) => {
    const bare = run(next);
    expect(bare.seen).toBeUndefined();
    expect(bare.processor.state.get('x87Status')).toBe(status);
  });

  test('unmasking an exception that is set makes it pending', () => {
    const bare = machine(fninit, fld1, fldz, divide, loadControl, wait);
    new DataView(bare.ram.buffer, bare.ram.byteOffset).setUint16(data, 0x37b, true);
    bare.processor.run(6);
    expect(bare.seen?.vector).toBe(mathFault);
    expect(bare.processor.state.get('x87Status')).toBe(0xb884);
  });
});
