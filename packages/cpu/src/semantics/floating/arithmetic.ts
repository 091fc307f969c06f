import { type Expressions, Op, type Value, ValueType } from '@nest86/wasm';
import { carefulOf } from '../../library/float/careful.ts';
import { fastPacked, fastScalar } from '../../library/float/fast.ts';
import { answer } from '../../library/float/format.ts';
import { type ArithmeticName, native } from '../../library/float/native.ts';
import type { LibraryFunction } from '../../library/function.ts';
import type { Definition, Family } from '../operation.ts';
import { shuffleElements, sources, withVex } from '../vector/packed.ts';
import { computeLanes } from './exceptions.ts';
import { type FormatName, formats, scalar } from './operands.ts';

const scalarArithmetic = (name: ArithmeticName, format: FormatName): Definition =>
  scalar(format, (context, a, b) => fastScalar(context, name, format, name === 'sqrt' ? [b] : [a, b]));

const packedArithmetic =
  (name: ArithmeticName, format: FormatName): Definition =>
  (op) => {
    const operands = name === 'sqrt' ? [1] : sources(op);
    computeLanes(op, (context, lane) =>
      fastPacked(
        context,
        name,
        format,
        operands.map((operand) => op.readVector(operand, lane)),
      ),
    );
  };

/** PS, PD, SS, SD. */
function all(mnemonic: string, name: ArithmeticName): Record<string, Definition> {
  return {
    [`${mnemonic}PS`]: packedArithmetic(name, 'f32'),
    [`${mnemonic}PD`]: packedArithmetic(name, 'f64'),
    [`${mnemonic}SS`]: scalarArithmetic(name, 'f32'),
    [`${mnemonic}SD`]: scalarArithmetic(name, 'f64'),
  };
}

/** Neighbours of both sources: HADD and HSUB. */
const horizontal =
  (name: 'add' | 'subtract', format: FormatName): Definition =>
  (op) => {
    const { x } = op;
    const [first, second] = sources(op);
    const [even, odd] =
      format === 'f32'
        ? [
            [0, 2, 4, 6],
            [1, 3, 5, 7],
          ]
        : [
            [0, 2],
            [1, 3],
          ];
    const { bits } = formats[format];
    computeLanes(op, (context, lane) => {
      const [a, b] = [op.readVector(first, lane), op.readVector(second, lane)];
      const operands = [even, odd].map((elements) => shuffleElements(x, bits, a, b, elements));
      return fastPacked(context, name, format, operands);
    });
  };

/** (state, a, b, mxcsr) → v128: differences in even elements, sums in odd ones. */
function alternatingFunction(format: FormatName): LibraryFunction {
  const { packed, lanes } = native[format];
  return {
    name: `${format}.addsub`,
    parameters: [ValueType.i32, ValueType.v128, ValueType.v128, ValueType.i32],
    result: ValueType.v128,
    build: (x, [state, a, b, mxcsr], call) => {
      let result = a;
      for (let lane = 0; lane < lanes; lane++) {
        const operands = [a, b].map((vector) => x.extractLane(packed.extract, vector, lane));
        const callee = carefulOf((lane & 1) === 0 ? 'subtract' : 'add', format);
        result = x.replaceLane(
          packed.replace,
          result,
          answer(call, callee, [state, ...operands, mxcsr]),
          lane,
        );
      }
      return result;
    },
  };
}

const alternatingFunctions = { f32: alternatingFunction('f32'), f64: alternatingFunction('f64') };

/** Negated in even elements. */
function negateEven(x: Expressions, format: FormatName, vector: Value): Value {
  const sign = 0x80000000 | 0;
  const signs = format === 'f32' ? [sign, 0, sign, 0] : [0, sign, 0, 0];
  return x.compute(Op.v128Xor, vector, x.v128(signs));
}

/** ADDSUB: an addition, unless it comes to the bits of a NaN. */
const alternating =
  (format: FormatName): Definition =>
  (op) => {
    const [first, second] = sources(op);
    computeLanes(op, (context, lane) => {
      const [a, b] = [op.readVector(first, lane), op.readVector(second, lane)];
      const { state, mxcsr } = context;
      const call: typeof context.call = () =>
        context.call(alternatingFunctions[format], [state, a, b, mxcsr]);
      return fastPacked({ ...context, call }, 'add', format, [a, negateEven(op.x, format, b)]);
    });
  };

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
