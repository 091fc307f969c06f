import {
  CodeWriter,
  Compiler,
  Evaluator,
  type Expressions,
  type MemoryShape,
  ModuleBuilder,
  Op,
  type Value,
  ValueType,
} from '@nest86/wasm';
import { type Callees, libraryCalls } from '../../src/library/evaluate-library.ts';
import type { CallLibrary } from '../../src/library/function.ts';
import { LibraryBuilder } from '../../src/library/library.ts';
import { stateOffset, stateSize } from '../../src/state/layout.ts';
import type { OperandType } from './cases.ts';
import { caseWords, resultWords } from './oracle.ts';

/** One subject: how an instruction's answer comes from its operands. Operands and answer are bits: i64 for f64 and i64, else i32. */
export interface Subject {
  /** Unique. */
  readonly name: string;
  /** Row of oracle.c. */
  readonly instruction: string;
  readonly operands: readonly OperandType[];
  readonly result: 'i32' | 'i64';
  readonly apply: (
    x: Expressions,
    call: CallLibrary,
    state: Value,
    operands: readonly Value[],
    mxcsr: Value,
  ) => Value;
}

const statePlace = 0;
const casesPlace = Math.ceil(stateSize / 65536) * 65536;

/** One case: operands from memory, the answer and the flags to memory. */
function step(x: Expressions, call: CallLibrary, subject: Subject, from: Value, to: Value): void {
  const state = x.i32(statePlace);
  x.store(Op.i32Store, state, x.i32(0), stateOffset.floatFlags);
  const operands = subject.operands.map((type, i) =>
    x.load(type === 'f64' || type === 'i64' ? Op.i64Load : Op.i32Load, from, i * 8),
  );
  const mxcsr = x.load(Op.i32Load, from, 24);
  const result = subject.apply(x, call, state, operands, mxcsr);
  x.store(Op.i64Store, to, subject.result === 'i32' ? x.extendU(result) : result, 0);
  const flags = x.load(Op.i32Load, state, stateOffset.floatFlags);
  x.store(Op.i64Store, to, x.extendU(flags), 8);
}

/** The module's bytes: `run(count)` takes cases behind the state, and puts results behind the cases. */
function buildSubject(subject: Subject, shape: MemoryShape): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  module.defineMemory(shape, 'memory');
  const type = { parameters: [ValueType.i32, ValueType.i32], results: [] };
  const index = module.declareFunction(type, 'run');
  const code = new CodeWriter(shape);
  const x = new Compiler(code);
  const library = new LibraryBuilder(module, code, x);
  code.begin(type);
  x.begin();
  const [count, resultsPlace] = [x.variable(ValueType.i32, 0), x.variable(ValueType.i32, 1)];
  const place = x.variable(ValueType.i32);
  x.write(place, x.i32(0));
  x.loop((again) => {
    const from = x.add(x.shl(x.read(place), x.i32(5)), x.i32(casesPlace));
    const to = x.add(x.shl(x.read(place), x.i32(4)), x.read(resultsPlace));
    step(x, library.call, subject, from, to);
    x.write(place, x.add(x.read(place), x.i32(1)));
    again(x.ltU(x.read(place), x.read(count)));
  });
  code.finish();
  module.define(index, code);
  module.exportFunction(index, 'run');
  library.finish();
  return module.finish();
}

/** Runs a subject as WebAssembly; results as the oracle gives them, without faults. */
export function runCompiled(subject: Subject, cases: Uint32Array): Uint32Array {
  const count = cases.length / caseWords;
  const resultsPlace = casesPlace + count * caseWords * 4;
  const pages = Math.ceil((resultsPlace + count * resultWords * 4) / 65536);
  const bytes = buildSubject(subject, { addressType: 'i32', shared: false, minimumPages: pages });
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes));
  const { buffer } = exports.memory as WebAssembly.Memory;
  new Uint32Array(buffer).set(cases, casesPlace / 4);
  (exports.run as (count: number, place: number) => void)(count, resultsPlace);
  return new Uint32Array(buffer, resultsPlace, count * resultWords).slice();
}

/** The same by the evaluator. */
export function runEvaluated(subject: Subject, cases: Uint32Array): Uint32Array {
  const count = cases.length / caseWords;
  const resultsPlace = casesPlace + cases.byteLength;
  const memory = new ArrayBuffer(resultsPlace + count * resultWords * 4);
  new Uint32Array(memory).set(cases, casesPlace / 4);
  for (let i = 0; i < count; i++) {
    const callees: Callees = {};
    const x = new Evaluator(memory, callees);
    const from = x.i32(casesPlace + i * caseWords * 4);
    step(x, libraryCalls(x, callees, memory), subject, from, x.i32(resultsPlace + i * resultWords * 4));
  }
  return new Uint32Array(memory, resultsPlace).slice();
}

const before = 7;

/**
 * Where ours and the host's results differ, as text, ten at most. Ours have yet to become what one instruction shows: an unmasked exception
 * found before the computation hides those found behind it, and any unmasked one leaves no value.
 */
export function differences(
  subject: Subject,
  cases: Uint32Array,
  ours: Uint32Array,
  host: Uint32Array,
): string[] {
  const wrong: string[] = [];
  const hex = (low: number, high: number): string => ((BigInt(high) << 32n) | BigInt(low)).toString(16);
  for (let i = 0; i * caseWords < cases.length && wrong.length < 10; i++) {
    const at = i * resultWords;
    const mxcsr = cases[i * caseWords + 6];
    const unmasked = ~(mxcsr >>> 7) & 0x3f;
    const found = ours[at + 2];
    const raised = (found & unmasked & before) !== 0 ? found & before : found;
    const fault = (raised & unmasked) !== 0 ? 1 : 0;
    // Flags are sticky.
    const flags = raised | (mxcsr & 0x3f);
    const isSame =
      flags === host[at + 2] &&
      fault === host[at + 3] &&
      (fault !== 0 || (ours[at] === host[at] && (subject.result === 'i32' || ours[at + 1] === host[at + 1])));
    if (isSame) continue;
    const operands = subject.operands.map((_, n) =>
      hex(cases[i * caseWords + 2 * n], cases[i * caseWords + 2 * n + 1]),
    );
    wrong.push(
      `${subject.name} ${operands.join(' ')} MXCSR ${mxcsr.toString(16)}: ${hex(ours[at], ours[at + 1])} flags ` +
        `${flags.toString(2)}, on the host ${hex(host[at], host[at + 1])} flags ${host[at + 2].toString(2)}`,
    );
  }
  return wrong;
}
