import { type Expressions, Op, type Value, ValueType } from '@nest86/wasm';
import { carefulOf } from '../../library/float/careful.ts';
import { answer } from '../../library/float/format.ts';
import { type ArithmeticName, native } from '../../library/float/native.ts';
import type { LibraryFunction } from '../../library/function.ts';
import type { Definition, Family } from '../operation.ts';
import { shuffleElements, sources, withVex } from '../vector/packed.ts';
import { computeLanes } from './exceptions.ts';
import { arithmeticKernels, fastKernel } from './fast.ts';
import { type FormatName, formats, type Kernel, packed, scalar } from './operands.ts';

/** PS, PD, SS, SD. */
function all(mnemonic: string, name: ArithmeticName): Record<string, Definition> {
  const count = name === 'sqrt' ? 1 : 2;
  const kernel =
    (format: FormatName): (() => Kernel) =>
    () =>
      arithmeticKernels[format][name];
  return {
    [`${mnemonic}PS`]: packed(count, kernel('f32')),
    [`${mnemonic}PD`]: packed(count, kernel('f64')),
    [`${mnemonic}SS`]: scalar(count, 'f32', 32, kernel('f32')),
    [`${mnemonic}SD`]: scalar(count, 'f64', 64, kernel('f64')),
  };
}

/** Neighbours of both sources: HADD and HSUB. */
const horizontal =
  (name: 'add' | 'subtract', format: FormatName): Definition =>
  (op) => {
    const { x } = op;
    const [first, second] = sources(op);
    const { bits } = formats[format];
    const [even, odd] = [0, 1].map((from) => Array.from({ length: 128 / bits }, (_, i) => 2 * i + from));
    computeLanes(op, (context, lane) => {
      const [a, b] = [op.readVector(first, lane), op.readVector(second, lane)];
      const operands = [even, odd].map((elements) => shuffleElements(x, bits, a, b, elements));
      return arithmeticKernels[format][name](context, operands, false);
    });
  };

/** Negated in even elements. */
function negateEven(x: Expressions, format: FormatName, vector: Value): Value {
  const sign = 0x80000000 | 0;
  return x.compute(Op.v128Xor, vector, x.v128(format === 'f32' ? [sign, 0, sign, 0] : [0, sign, 0, 0]));
}

/** (state, a, b with its even elements negated, mxcsr) → v128: differences in even elements, sums in odd ones. */
function alternatingFunction(format: FormatName): LibraryFunction {
  const { extract, replace } = native[format].packed;
  return {
    name: `${format}.addsub`,
    parameters: [ValueType.i32, ValueType.v128, ValueType.v128, ValueType.i32],
    result: ValueType.v128,
    build: (x, [state, a, negated, mxcsr], call) => {
      const b = negateEven(x, format, negated);
      let result = a;
      for (let lane = 0; lane < native[format].lanes; lane++) {
        const operands = [a, b].map((vector) => x.extractLane(extract, vector, lane));
        const callee = carefulOf((lane & 1) === 0 ? 'subtract' : 'add', format);
        result = x.replaceLane(replace, result, answer(call, callee, [state, ...operands, mxcsr]), lane);
      }
      return result;
    },
  };
}

/** ADDSUB: an addition, but for the bits of NaNs. */
function alternating(format: FormatName): Definition {
  const callee = alternatingFunction(format);
  const sum = fastKernel('add', format, { packed: callee, scalar: callee });
  return packed(2, () => (context, [a, b], isScalar) => {
    return sum(context, [a, negateEven(context.x, format, b)], isScalar);
  });
}

export const arithmetic: Family = {
  definitions: withVex({
    ...all('ADD', 'add'),
    ...all('SUB', 'subtract'),
    ...all('MUL', 'multiply'),
    ...all('DIV', 'divide'),
    ...all('SQRT', 'sqrt'),
    HADDPS: horizontal('add', 'f32'),
    HADDPD: horizontal('add', 'f64'),
    HSUBPS: horizontal('subtract', 'f32'),
    HSUBPD: horizontal('subtract', 'f64'),
    ADDSUBPS: alternating('f32'),
    ADDSUBPD: alternating('f64'),
  }),
};
