import { expect, test } from 'vitest';
import {
  CodeWriter,
  Compiler,
  type FunctionType,
  type MemoryShape,
  ModuleBuilder,
  ValueType,
} from '../src/index.ts';

const { i32, i64 } = ValueType;
const memory: MemoryShape = { addressType: 'i32', shared: false, minimumPages: 1, maximumPages: 1 };
const unary: FunctionType = { parameters: [i32], results: [i32] };

/** A function of one i32. */
function compile(write: (x: Compiler, code: CodeWriter) => void): (value: number) => number {
  const module = new ModuleBuilder();
  const index = module.declareFunction(unary);
  const code = new CodeWriter(memory);
  const compiler = new Compiler(code);
  code.begin(unary);
  compiler.begin();
  write(compiler, code);
  code.finish();
  module.define(index, code);
  module.exportFunction(index, 'f');
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module.finish()));
  return exports.f as (value: number) => number;
}

test('the value of an unchanging variable is usable in a loop, as a copy is, without code', () => {
  let length = 0;
  const f = compile((x, code) => {
    const parameter = x.variable(i32, 0);
    const count = x.variable(i32);
    const sum = x.variable(i32);
    const value = x.unchanging(parameter);
    length = code.body.length;
    x.write(count, x.i32(3));
    x.loop((again) => {
      x.write(sum, x.add(x.read(sum), value));
      x.write(count, x.sub(x.read(count), x.i32(1)));
      again(x.read(count));
    });
    x.push(x.read(sum));
  });
  expect(length).toBe(0);
  expect(f(7)).toBe(21);
});

test('a distance that grows beyond what is kept track of makes a new root', () => {
  const x = new Compiler(new CodeWriter(memory));
  x.begin();
  const first = x.read(x.variable(i64));
  let value = first;
  for (let i = 0; i < 9; i++) value = x.add(value, x.i64(2 ** 29));
  expect(x.originOf(x.add(first, x.i64(8)))).toEqual({ root: x.originOf(first)?.root, distance: 8 });
  expect(x.originOf(value)?.root).not.toBe(x.originOf(first)?.root);
});

test('what an if may have written has a new root behind it, other variables keep theirs', () => {
  const x = new Compiler(new CodeWriter(memory));
  x.begin();
  const [condition, written, other] = [x.variable(i32), x.variable(i64), x.variable(i64)];
  const before = [written, other].map((variable) => x.originOf(x.read(variable))?.root);
  x.if(x.read(condition), () => x.write(written, x.i64(1)));
  expect(x.originOf(x.read(written))?.root).not.toBe(before[0]);
  expect(x.originOf(x.read(other))?.root).toBe(before[1]);
});

test('more runs of locals than one byte counts', () => {
  const f = compile((x) => {
    const parameter = x.variable(i32, 0);
    const variables = Array.from({ length: 400 }, (_, i) => x.variable(i % 2 === 0 ? i32 : i64));
    x.write(variables[398], x.read(parameter));
    x.push(x.read(variables[398]));
  });
  expect(f(5)).toBe(5);
});

test('equal function types share an index', () => {
  const module = new ModuleBuilder();
  expect(module.type(unary)).toBe(0);
  expect(module.type({ parameters: [i32], results: [i64] })).toBe(1);
  expect(module.type({ parameters: [i32], results: [i32] })).toBe(0);
});
