import fc from 'fast-check';
import { expect, test } from 'vitest';
import { CodeWriter } from '../src/code.ts';
import { Compiler } from '../src/compiler.ts';
import { Evaluator } from '../src/evaluator.ts';
import type { Expressions, Value, Variable } from '../src/expressions.ts';
import { ModuleBuilder } from '../src/module.ts';
import { Op } from '../src/opcodes.ts';
import { type MemoryShape, ValueType } from '../src/types.ts';

const memory: MemoryShape = { addressType: 'i32', shared: false, minimumPages: 1 };

/** A random definition as data, so that fast-check can shrink it. Numbers choose among the values that exist. */
type Step =
  | { kind: 'constant'; low: number; high: number }
  | { kind: 'binary'; op: number; a: number; b: number }
  | { kind: 'unary'; op: number; a: number }
  | { kind: 'select'; condition: number; a: number; b: number }
  | { kind: 'read'; variable: number }
  | { kind: 'write'; variable: number; a: number }
  | { kind: 'memory'; a: number; address: number }
  | { kind: 'bulk'; isFill: boolean; target: number; from: number; length: number }
  | { kind: 'if'; condition: number; yes: Step[]; no: Step[] }
  | { kind: 'block'; condition: number; body: Step[] }
  | { kind: 'loop'; times: number; body: Step[] };

const binary = [
  Op.i64Add,
  Op.i64Sub,
  Op.i64Mul,
  Op.i64And,
  Op.i64Or,
  Op.i64Xor,
  Op.i64Shl,
  Op.i64ShrS,
  Op.i64ShrU,
  Op.i64Rotl,
  Op.i64Rotr,
];
const unary = [Op.i64Clz, Op.i64Ctz, Op.i64Popcnt, Op.i64Extend8S, Op.i64Extend32S];
const variables = 4;
const index = fc.nat(1000);

const { steps } = fc.letrec<{ step: Step; steps: Step[] }>((tie) => ({
  step: fc.oneof(
    { depthSize: 'small' },
    fc.record({
      kind: fc.constant('constant' as const),
      low: fc.integer(),
      high: fc.constantFrom(0, -1, 0x12345678),
    }),
    fc.record({ kind: fc.constant('binary' as const), op: fc.constantFrom(...binary), a: index, b: index }),
    fc.record({ kind: fc.constant('unary' as const), op: fc.constantFrom(...unary), a: index }),
    fc.record({ kind: fc.constant('select' as const), condition: index, a: index, b: index }),
    fc.record({ kind: fc.constant('read' as const), variable: index }),
    fc.record({ kind: fc.constant('write' as const), variable: index, a: index }),
    fc.record({ kind: fc.constant('memory' as const), a: index, address: index }),
    fc.record({
      kind: fc.constant('bulk' as const),
      isFill: fc.boolean(),
      target: index,
      from: index,
      length: index,
    }),
    fc.record({
      kind: fc.constant('if' as const),
      condition: index,
      yes: tie('steps'),
      no: tie('steps'),
    }),
    fc.record({ kind: fc.constant('block' as const), condition: index, body: tie('steps') }),
    fc.record({ kind: fc.constant('loop' as const), times: fc.nat(3), body: tie('steps') }),
  ),
  steps: fc.array(tie('step'), { maxLength: 8 }),
}));

/** Runs a definition on either staging. `values` are those in scope; what a branch makes stays in it. */
function define(
  x: Expressions,
  cells: readonly Variable[],
  program: readonly Step[],
  scope: readonly Value[],
): void {
  const values = [...scope];
  const value = (i: number): Value => values[i % values.length];
  const bit = (i: number): Value => x.wrap(x.and(value(i), x.i64(1)));
  for (const step of program) {
    switch (step.kind) {
      case 'constant':
        values.push(x.i64(step.low, step.high));
        break;
      case 'binary':
        values.push(x.compute(step.op, value(step.a), value(step.b)));
        break;
      case 'unary':
        values.push(x.compute(step.op, value(step.a)));
        break;
      case 'select':
        values.push(x.select(bit(step.condition), value(step.a), value(step.b)));
        break;
      case 'read':
        values.push(x.copy(x.read(cells[step.variable % variables])));
        break;
      case 'write':
        x.write(cells[step.variable % variables], value(step.a));
        break;
      case 'memory': {
        const address = x.and(x.wrap(value(step.address)), x.i32(0x0ff8));
        x.store(Op.i64Store, address, value(step.a), 0x100);
        values.push(x.load(Op.i64Load32S, address, 0x102));
        break;
      }
      case 'bulk': {
        // Ranges of up to 255 bytes within 4 KiB: they overlap often enough.
        const within = (i: number): Value => x.add(x.and(x.wrap(value(i)), x.i32(0x7ff)), x.i32(0x100));
        const length = x.and(x.wrap(value(step.length)), x.i32(0xff));
        const target = within(step.target);
        if (step.isFill) x.fillMemory(target, x.wrap(value(step.from)), length);
        else x.copyMemory(target, within(step.from), length);
        break;
      }
      case 'if':
        x.if(
          bit(step.condition),
          () => define(x, cells, step.yes, values),
          () => define(x, cells, step.no, values),
        );
        break;
      case 'block':
        x.block((leave) => {
          leave(bit(step.condition));
          define(x, cells, step.body, values);
        });
        break;
      case 'loop': {
        const counter = x.temporary(ValueType.i32);
        x.write(counter, x.i32(step.times));
        x.loop((again) => {
          define(x, cells, step.body, values);
          x.write(counter, x.sub(x.read(counter), x.i32(1)));
          again(x.compute(Op.i32GtS, x.read(counter), x.i32(0)));
        });
        break;
      }
    }
  }
}

function compile(program: Step[]): WebAssembly.Instance {
  const module = new ModuleBuilder();
  module.defineMemory(memory, 'memory');
  const type = { parameters: [], results: [] };
  const function_ = module.declareFunction(type, 'run');
  const code = new CodeWriter(memory);
  const compiler = new Compiler(code);
  code.begin(type);
  compiler.begin();
  const cells = Array.from({ length: variables }, () => compiler.variable(ValueType.i64));
  for (const [i, cell] of cells.entries())
    compiler.write(cell, compiler.load(Op.i64Load, compiler.i32(0), i * 8));
  define(compiler, cells, program, [compiler.i64(0x1234)]);
  for (const [i, cell] of cells.entries())
    compiler.store(Op.i64Store, compiler.i32(0), compiler.read(cell), i * 8);
  code.finish();
  module.define(function_, code);
  module.exportFunction(function_, 'run');
  const bytes = module.finish();
  expect(WebAssembly.validate(bytes)).toBe(true);
  return new WebAssembly.Instance(new WebAssembly.Module(bytes));
}

test('a definition does the same compiled and evaluated', () => {
  fc.assert(
    fc.property(
      steps,
      fc.array(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), {
        minLength: variables,
        maxLength: variables,
      }),
      (program, initial) => {
        const instance = compile(program);
        const memoryOf = new BigInt64Array((instance.exports.memory as WebAssembly.Memory).buffer);
        memoryOf.set(initial);
        (instance.exports.run as () => void)();

        const buffer = new ArrayBuffer(1 << 16);
        const evaluator = new Evaluator(buffer);
        const cells = initial.map((value) => evaluator.variable(ValueType.i64, value));
        define(evaluator, cells, program, [evaluator.i64(0x1234)]);
        const expected = new BigInt64Array(buffer);
        cells.forEach((cell, i) => {
          expected[i] = evaluator.scalar(evaluator.read(cell)) as bigint;
        });
        expect(Buffer.compare(Buffer.from(memoryOf.buffer), Buffer.from(buffer))).toBe(0);
      },
    ),
    { numRuns: 1000 },
  );
});

function open(): { code: CodeWriter; compiler: Compiler } {
  const code = new CodeWriter(memory);
  const compiler = new Compiler(code);
  code.begin({ parameters: [ValueType.i32], results: [] });
  compiler.begin();
  return { code, compiler };
}

test('the compiler refuses a value whose variable was written since', () => {
  const { compiler } = open();
  const cell = compiler.variable(ValueType.i32);
  const old = compiler.read(cell);
  compiler.if(compiler.i32(1), () => compiler.write(cell, compiler.i32(1)));
  expect(() => compiler.add(old, compiler.i32(1))).toThrow(/written since/);
});

test('the compiler refuses to use in a loop a value that was read before it', () => {
  const { compiler } = open();
  const cell = compiler.variable(ValueType.i32);
  const old = compiler.read(cell);
  expect(() => compiler.loop(() => compiler.add(old, compiler.i32(1)))).toThrow(/read before a loop/);
});

test('a copy keeps what it was when its variable changes', () => {
  const code = new CodeWriter(memory);
  const compiler = new Compiler(code);
  code.begin({ parameters: [], results: [] });
  compiler.begin();
  const cell = compiler.variable(ValueType.i64);
  compiler.write(cell, compiler.i64(5));
  const old = compiler.copy(compiler.read(cell));
  compiler.write(cell, compiler.add(old, compiler.i64(1)));
  compiler.store(Op.i64Store, compiler.i32(0), old, 0);
  compiler.store(Op.i64Store, compiler.i32(8), compiler.read(cell), 0);
  code.finish();
  const module = new ModuleBuilder();
  module.defineMemory(memory, 'memory');
  const index_ = module.declareFunction({ parameters: [], results: [] });
  module.define(index_, code);
  module.exportFunction(index_, 'run');
  const instance = new WebAssembly.Instance(new WebAssembly.Module(module.finish()));
  (instance.exports.run as () => void)();
  expect([...new BigInt64Array((instance.exports.memory as WebAssembly.Memory).buffer, 0, 2)]).toEqual([
    5n,
    6n,
  ]);
});

test('constants are folded, neutral operations vanish, set and get become tee', () => {
  const { code, compiler } = open();
  const cell = compiler.variable(ValueType.i32, 0);
  const folded = compiler.add(compiler.i32(2), compiler.i32(3));
  const same = compiler.and(compiler.or(compiler.read(cell), compiler.i32(0)), compiler.i32(-1));
  compiler.write(cell, compiler.mul(compiler.add(same, folded), compiler.i32(3)));
  // local.get 0, i32.const 5, i32.add, local.tee 1, i32.const 3, i32.mul, local.tee 2, local.set 0
  const bytes = Buffer.from(code.body.bytes.subarray(0, code.body.length)).toString('hex');
  expect(bytes).toBe('200041056a220141036c22022100');
});
