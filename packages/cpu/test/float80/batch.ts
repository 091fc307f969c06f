import {
  CodeWriter,
  Compiler,
  type Expressions,
  ModuleBuilder,
  Op,
  type Value,
  ValueType,
} from '@nest86/wasm';
import { evaluateLibrary } from '../../src/library/evaluate-library.ts';
import type { CallLibrary, LibraryFunction } from '../../src/library/function.ts';
import { LibraryBuilder } from '../../src/library/library.ts';
import { stateOffset, stateSize } from '../../src/state/layout.ts';
import { caseSize } from './oracle.ts';

/** Bytes of an answer: result (8), exponent, flags, second result (8), second exponent, nothing. */
export const answerSize = 32;

/** A library function, and which bytes of a case its arguments are. */
export interface Subject {
  readonly fn: LibraryFunction;
  /** Between state and control. */
  readonly args: readonly Argument[];
  /** FISTTP: RC is 3. */
  readonly truncates?: boolean;
}

type Argument = 'a' | 'b' | 'i16' | 'i32' | 'i64' | 'f32' | 'f64' | 'b32' | 'b64';

const casesPerBatch = 1 << 15;
const input = stateSize;
const output = input + casesPerBatch * caseSize;
const pages = Math.ceil((output + casesPerBatch * answerSize) / 65536);

/** Calls the function for the case at `at`. */
function callFor(x: Expressions, { fn, args, truncates }: Subject, at: Value, call: CallLibrary): Value {
  const values = args.flatMap((argument) => {
    switch (argument) {
      case 'a':
        return [x.load(Op.i64Load, at, 0), x.load(Op.i32Load16U, at, 8)];
      case 'b':
        return [x.load(Op.i64Load, at, 16), x.load(Op.i32Load16U, at, 24)];
      case 'i16':
        return [x.load(Op.i64Load16S, at, 0)];
      case 'i32':
        return [x.load(Op.i64Load32S, at, 0)];
      case 'f32':
        return [x.load(Op.i32Load, at, 0)];
      case 'b32':
        return [x.load(Op.i32Load, at, 16)];
      case 'b64':
        return [x.load(Op.i64Load, at, 16)];
      default:
        return [x.load(Op.i64Load, at, 0)];
    }
  });
  const control = x.load(Op.i32Load16U, at, 32);
  return call(fn, [x.i32(0), ...values, truncates ? x.or(control, x.i32(0xc00)) : control])!;
}

/** Answers of compiled code for all cases. */
export function runCompiled(subject: Subject, cases: Uint8Array): Uint8Array {
  const memory = { addressType: 'i32', shared: false, minimumPages: pages } as const;
  const module = new ModuleBuilder();
  const code = new CodeWriter(memory);
  const compiler = new Compiler(code);
  const library = new LibraryBuilder(module, code, compiler);
  const type = { parameters: [ValueType.i32], results: [] };
  module.defineMemory(memory, 'memory');
  const index = module.declareFunction(type);
  code.begin(type);
  compiler.begin();
  const x: Expressions = compiler;
  const count = compiler.variable(ValueType.i32, 0);
  const at = x.temporary(ValueType.i32);
  const to = x.temporary(ValueType.i32);
  x.write(at, x.i32(input));
  x.write(to, x.i32(output));
  x.loop((again) => {
    x.store(Op.i32Store, x.i32(0), x.i32(0), stateOffset.floatFlags);
    const result = callFor(x, subject, x.read(at), library.call);
    const address = x.read(to);
    x.store(subject.fn.result === ValueType.i32 ? Op.i32Store : Op.i64Store, address, result, 0);
    x.store(Op.i32Store, address, x.load(Op.i32Load, x.i32(0), stateOffset.floatExponent), 8);
    x.store(Op.i32Store, address, x.load(Op.i32Load, x.i32(0), stateOffset.floatFlags), 12);
    x.store(Op.i64Store, address, x.load(Op.i64Load, x.i32(0), stateOffset.floatSecond), 16);
    x.store(Op.i32Store, address, x.load(Op.i32Load, x.i32(0), stateOffset.floatSecondExponent), 24);
    x.write(at, x.add(x.read(at), x.i32(caseSize)));
    x.write(to, x.add(x.read(to), x.i32(answerSize)));
    x.write(count, x.sub(x.read(count), x.i32(1)));
    again(x.read(count));
  });
  code.finish();
  module.define(index, code);
  module.exportFunction(index, 'run');
  library.finish();
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module.finish()));
  const bytes = new Uint8Array((exports.memory as WebAssembly.Memory).buffer);
  const total = cases.length / caseSize;
  const answers = new Uint8Array(total * answerSize);
  for (let first = 0; first < total; first += casesPerBatch) {
    const now = Math.min(casesPerBatch, total - first);
    bytes.set(cases.subarray(first * caseSize, (first + now) * caseSize), input);
    (exports.run as (count: number) => void)(now);
    answers.set(bytes.subarray(output, output + now * answerSize), first * answerSize);
  }
  return answers;
}

/** The same by the evaluator. */
export function runEvaluated(subject: Subject, cases: Uint8Array): Uint8Array {
  const total = cases.length / caseSize;
  const answers = new Uint8Array(total * answerSize);
  const memory = new ArrayBuffer(stateSize + caseSize);
  const bytes = new Uint8Array(memory);
  const state = new DataView(memory);
  // The call itself as a library function: what the arguments are is written once.
  const caller: LibraryFunction = {
    name: 'test.caller',
    parameters: [],
    result: subject.fn.result,
    build: (x, _, call) => callFor(x, subject, x.i32(stateSize), call),
  };
  for (let i = 0; i < total; i++) {
    bytes.set(cases.subarray(i * caseSize, (i + 1) * caseSize), stateSize);
    state.setInt32(stateOffset.floatFlags, 0, true);
    const result = evaluateLibrary(caller, memory, []);
    const answer = new DataView(answers.buffer, i * answerSize);
    if (typeof result === 'bigint') answer.setBigInt64(0, result, true);
    else answer.setInt32(0, result as number, true);
    answer.setInt32(8, state.getInt32(stateOffset.floatExponent, true), true);
    answer.setInt32(12, state.getInt32(stateOffset.floatFlags, true), true);
    answer.setBigInt64(16, state.getBigInt64(stateOffset.floatSecond, true), true);
    answer.setInt32(24, state.getInt32(stateOffset.floatSecondExponent, true), true);
  }
  return answers;
}
