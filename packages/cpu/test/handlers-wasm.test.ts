import { CodeWriter, Op, ValueType } from '@nest86/wasm';
import { describe, expect, test } from 'vitest';
import { ExitReason } from '../src/records/layout.ts';
import { stateOffset } from '../src/state/layout.ts';
import { checkShapes } from './staging/check-shapes.ts';
import { goldenInstructions, goldenText } from './staging/golden.ts';
import { ShapeFinder } from './staging/shapes.ts';
import { WriteOrderCompiler } from './staging/write-order.ts';

// What the builder makes of a definition, byte by byte. After a change that is meant: `npx vitest run packages/cpu/test/handlers-wasm.test.ts -u`, and read the difference.
test.each(Object.entries(goldenInstructions))('the handler of %s is the golden one', async (name, code) => {
  await expect(goldenText(code)).toMatchFileSnapshot(`golden/${name}.txt`);
});

describe('every definition, as handler and as region', () => {
  // `pnpm conformance:wasm` looks at all opcodes in all modes.
  const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
  test(`is valid WebAssembly and writes nothing before a way out: one opcode of sixteen (SEED=${seed})`, () => {
    const shapes = new ShapeFinder().find({ bits: [64, 32], opcodes: (opcode) => opcode % 16 === seed % 16 });
    const { invalid, disorder, handlers } = checkShapes(shapes);
    expect(invalid.slice(0, 5)).toEqual([]);
    expect([...disorder.keys()].slice(0, 5)).toEqual([]);
    expect(handlers).toBe(shapes.length);
    expect(handlers).toBeGreaterThan(1000);
  }, 60_000);
});

describe('a write before a way out is found', () => {
  function violationsOf(write: (x: WriteOrderCompiler) => void): readonly string[] {
    const code = new CodeWriter({ addressType: 'i32', shared: false, minimumPages: 1 });
    const x = new WriteOrderCompiler(code);
    code.begin({ parameters: [ValueType.i32], results: [] });
    x.begin();
    write(x);
    return x.violations;
  }
  const writeRegister = (x: WriteOrderCompiler): void =>
    x.store(Op.i64Store, x.read(0), x.i64(1), stateOffset.gpr + 8);
  const fault = (x: WriteOrderCompiler): void => {
    x.store(Op.i32Store, x.read(0), x.i32(13), stateOffset.faultVector);
    x.store(Op.i32Store, x.read(0), x.i32(ExitReason.fault), stateOffset.exitReason);
    x.exit();
  };
  const prepared = (write: (x: WriteOrderCompiler) => void) => (x: WriteOrderCompiler) => {
    x.variable(ValueType.i32, 0);
    write(x);
  };

  test.each<readonly [string, number, (x: WriteOrderCompiler) => void]>([
    ['in a row', 1, (x) => [writeRegister(x), fault(x)]],
    ['behind the way out', 0, (x) => [x.if(x.read(0), () => fault(x)), writeRegister(x)]],
    [
      'on one path only',
      1,
      (x) => {
        x.if(x.read(0), () => writeRegister(x));
        x.if(x.read(0), () => fault(x));
      },
    ],
    [
      'on a path that has ended',
      0,
      (x) => {
        x.if(x.read(0), () => [writeRegister(x), x.leave()]);
        x.if(x.read(0), () => fault(x));
      },
    ],
    [
      'in an earlier turn of a loop',
      1,
      (x) =>
        x.loop((again) => {
          x.if(x.read(0), () => fault(x));
          writeRegister(x);
          again(x.read(0));
        }),
    ],
    [
      'out of a block',
      1,
      (x) => {
        x.block((leave) => {
          writeRegister(x);
          leave(x.read(0));
          x.leave();
        });
        fault(x);
      },
    ],
    [
      'what no program sees',
      0,
      (x) => [x.store(Op.i32Store, x.read(0), x.i32(0), stateOffset.floatFlags), fault(x)],
    ],
  ])('%s: %i', (_name, count, write) => {
    expect(violationsOf(prepared(write))).toHaveLength(count);
  });
});
