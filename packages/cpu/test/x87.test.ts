import { describe, expect, test } from 'vitest';
import { x87Families } from '../src/semantics/x87/index.ts';
import { BareProcessor } from './bare-processor.ts';
import { CaseGenerator } from './harness/cases.ts';
import { EngineProcessor } from './harness/engine-driver.ts';
import { compareCases, disagreementText } from './harness/run.ts';

const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
/** Of each mnemonic; 2,000 and more were compared before a release. */
const casesEach = Number(process.env.X87_CASES ?? 300);
const mnemonics = new Set(x87Families.flatMap(({ definitions }) => Object.keys(definitions)));

/*
 * Random and edge operands, control words (RC, PC, masks), tags (stack faults) and pending exceptions. The host is AMD's; where Intel's manual
 * says something else, or nothing, this is what the host does and the definitions follow:
 * - FCMOVcc, FCOMI and the like leave C1 as it is if there is no stack fault; the manual clears it.
 * - FPREM and FPREM1 without a quotient leave C0 and C3 as they are.
 * - FFREEP (DF C0+i) pops, and FSTPNCE (D9 D8+i) of an empty register pops without a stack fault; neither is in the manual.
 * - EMMS sets TOP to 0.
 * Transcendental instructions may differ in the last place: harness/last-place.ts.
 */
describe(`x87 instructions do what the host processor does (SEED=${seed})`, () => {
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
    // All but FEMMS, which the host lacks.
    expect(compared.size).toBe(mnemonics.size - 1);
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
