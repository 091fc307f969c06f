import { Op } from '@nest86/wasm';
import { floatReciprocal, floatReciprocalRoot } from '../../src/library/float/approximate.ts';
import {
  floatAdd,
  floatDivide,
  floatMultiply,
  floatSqrt,
  floatSubtract,
} from '../../src/library/float/arithmetic.ts';
import { carefulOf, carefulPackedOf } from '../../src/library/float/careful.ts';
import {
  floatCompareQuiet,
  floatCompareSignalling,
  floatMax,
  floatMin,
  Order,
} from '../../src/library/float/compare.ts';
import {
  f16ToF32,
  f32ToF16,
  f32ToF64,
  f64ToF32,
  floatFromI32,
  floatFromI64,
  floatToI32,
  floatToI64,
  floatToIntegral,
  floatTruncateI32,
  floatTruncateI64,
} from '../../src/library/float/convert.ts';
import { answer, type PerFormat } from '../../src/library/float/format.ts';
import { FmaSign, floatFma } from '../../src/library/float/fused.ts';
import { fastFma, fastFmaPacked } from '../../src/library/float/fused-fast.ts';
import { native } from '../../src/library/float/native.ts';
import type { LibraryFunction } from '../../src/library/function.ts';
import { hostVendor } from '../harness/host-processor.ts';
import type { OperandType } from './cases.ts';
import type { Subject } from './run.ts';

/** Calls (state, operands..., constants..., mxcsr). */
function plain(
  instruction: string,
  callee: LibraryFunction,
  operands: readonly OperandType[],
  result: 'i32' | 'i64',
  ...constants: number[]
): Subject {
  return {
    name: instruction,
    instruction,
    operands,
    result,
    apply: (x, call, state, values, mxcsr) =>
      answer(call, callee, [state, ...values, ...constants.map((constant) => x.i32(constant)), mxcsr]),
  };
}

/** ...SS and ...SD. */
function scalar(
  name: string,
  functions: PerFormat,
  count: number,
  suffix = '',
  ...constants: number[]
): Subject[] {
  const operands = <T>(type: T): T[] => Array.from({ length: count }, () => type);
  return [
    plain(`${name}ss${suffix}`, functions.f32, operands('f32'), 'i32', ...constants),
    plain(`${name}sd${suffix}`, functions.f64, operands('f64'), 'i64', ...constants),
  ];
}

function fma(name: string, signs: number): Subject[] {
  const operands = ['f32', 'f32', 'f32'] as const;
  return [
    ...scalar(name, floatFma, 3, '', signs),
    plain(`${name}132ss`, floatFma.f32, operands, 'i32', signs),
    plain(`${name}231ss`, floatFma.f32, operands, 'i32', signs),
  ];
}

/** The status flags that COMISS sets: ZF, PF, CF. */
function comparison(instruction: string, callee: LibraryFunction, type: OperandType): Subject {
  return {
    name: instruction,
    instruction,
    operands: [type, type],
    result: 'i32',
    apply: (x, call, state, values, mxcsr) => {
      const order = answer(call, callee, [state, ...values, mxcsr]);
      const of = (set: number, flag: number) => x.select(x.and(order, x.i32(set)), x.i32(flag), x.i32(0));
      const zero = of(Order.equal | Order.unordered, 0x40);
      return x.or(x.or(zero, of(Order.unordered, 4)), of(Order.less | Order.unordered, 1));
    },
  };
}

const arithmetic = { add: 'add', sub: 'subtract', mul: 'multiply', div: 'divide', sqrt: 'sqrt' } as const;

/** What stands behind the fast paths of one operation: scalar, packed with equal lanes, and packed with 1.0 in all lanes but one. */
function careful(mnemonic: keyof typeof arithmetic, format: 'f32' | 'f64'): Subject[] {
  const name = arithmetic[mnemonic];
  const { packed, lanes } = native[format];
  const instruction = `${mnemonic}${format === 'f32' ? 'ss' : 'sd'}`;
  const operands = Array.from({ length: mnemonic === 'sqrt' ? 1 : 2 }, () => format);
  const result = format === 'f32' ? 'i32' : 'i64';
  const shared = { instruction, operands, result } as const;
  const splat = format === 'f32' ? Op.i32x4Splat : Op.i64x2Splat;
  return [
    {
      ...shared,
      name: `${instruction} careful`,
      apply: (_, call, state, bits, mxcsr) => answer(call, carefulOf(name, format), [state, ...bits, mxcsr]),
    },
    {
      ...shared,
      name: `${instruction} packed`,
      apply: (x, call, state, bits, mxcsr) => {
        const vectors = bits.map((one) => x.compute(splat, one));
        const vector = answer(call, carefulPackedOf(name, format), [state, ...vectors, mxcsr]);
        return x.extractLane(packed.extract, vector, lanes - 1);
      },
    },
    ...Array.from(
      { length: lanes },
      (_, lane): Subject => ({
        ...shared,
        name: `${instruction} lane ${lane}`,
        apply: (x, call, state, bits, mxcsr) => {
          const one = format === 'f32' ? x.i32(0x3f800000) : x.i64(0, 0x3ff00000);
          const ones = x.compute(splat, one);
          const vectors = bits.map((bit) => x.replaceLane(packed.replace, ones, bit, lane));
          const vector = answer(call, carefulPackedOf(name, format), [state, ...vectors, mxcsr]);
          return x.extractLane(packed.extract, vector, lane);
        },
      }),
    ),
  ];
}

/** The same for one kind of fused multiply-add. @param parity only odd (1) or even (0) lanes of a packed one */
function fastFused(mnemonic: string, format: 'f32' | 'f64', signs: number, parity?: 0 | 1): Subject[] {
  const { packed, lanes } = native[format];
  const instruction = `${mnemonic}${format === 'f32' ? 'ss' : 'sd'}`;
  const result = format === 'f32' ? 'i32' : 'i64';
  const shared = { instruction, operands: [format, format, format], result } as const;
  const splat = format === 'f32' ? Op.i32x4Splat : Op.i64x2Splat;
  const scalar: Subject = {
    ...shared,
    name: `${instruction} fast`,
    apply: (x, call, state, bits, mxcsr) =>
      answer(call, fastFma[format], [state, ...bits, x.i32(signs), mxcsr]),
  };
  const inLane = (lane: number): Subject => ({
    ...shared,
    name: `${instruction} lane ${lane}, signs ${signs}`,
    apply: (x, call, state, bits, mxcsr) => {
      // The other lanes compute ±1 ± 1, which raises nothing.
      const one = format === 'f32' ? x.i32(0x3f800000) : x.i64(0, 0x3ff00000);
      const ones = x.compute(splat, one);
      const vectors = bits.map((bit) => x.replaceLane(packed.replace, ones, bit, lane));
      const vector = answer(call, fastFmaPacked[format], [state, ...vectors, x.i32(signs), mxcsr]);
      return x.extractLane(packed.extract, vector, lane);
    },
  });
  const all = Array.from({ length: lanes }, (_, lane) => inLane(lane));
  return parity === undefined ? [scalar, ...all] : all.filter((_, lane) => (lane & 1) === parity);
}

/** How fast paths stand to the host processor; the same rows of the oracle as the functions behind them. */
export const fastSubjects: readonly Subject[] = [
  ...(['add', 'sub', 'mul', 'div', 'sqrt'] as const).flatMap((mnemonic) => [
    ...careful(mnemonic, 'f32'),
    ...careful(mnemonic, 'f64'),
  ]),
  ...(['f32', 'f64'] as const).flatMap((format) => [
    ...fastFused('vfmadd', format, 0),
    ...fastFused('vfnmsub', format, FmaSign.negateProduct | FmaSign.negateAddend),
    // VFMADDSUB: odd lanes add, even ones subtract. VFMSUBADD: the other way round.
    ...fastFused('vfmadd', format, FmaSign.negateAddend | FmaSign.flipOddAddends, 1),
    ...fastFused('vfmsub', format, FmaSign.negateAddend | FmaSign.flipOddAddends, 0),
    ...fastFused('vfmsub', format, FmaSign.flipOddAddends, 1),
  ]),
];

/** RCPSS, RSQRTSS: tables of the processor's own. */
export const approximations: readonly Subject[] = (
  [
    ['rcpss', floatReciprocal],
    ['rsqrtss', floatReciprocalRoot],
  ] as const
).flatMap(([instruction, callee]) =>
  [0, 3].map((lane) => ({
    name: `${instruction} lane ${lane}`,
    instruction,
    operands: ['f32'] as const,
    result: 'i32' as const,
    apply: (x, call, _state, [bits]) => {
      const vector = x.replaceLane(Op.i32x4ReplaceLane, x.v128([0, 1 << 30, -1, 5]), bits, lane);
      return x.extractLane(Op.i32x4ExtractLane, answer(call, callee, [vector]), lane);
    },
  })),
);

export const subjects: readonly Subject[] = [
  ...scalar('add', floatAdd, 2),
  ...scalar('sub', floatSubtract, 2),
  ...scalar('mul', floatMultiply, 2),
  ...scalar('div', floatDivide, 2),
  ...scalar('sqrt', floatSqrt, 1),
  ...fma('vfmadd', 0),
  ...fma('vfmsub', FmaSign.negateAddend),
  ...fma('vfnmadd', FmaSign.negateProduct),
  ...fma('vfnmsub', FmaSign.negateProduct | FmaSign.negateAddend),
  ...scalar('min', floatMin, 2),
  ...scalar('max', floatMax, 2),
  comparison('comiss', floatCompareSignalling.f32, 'f32'),
  comparison('comisd', floatCompareSignalling.f64, 'f64'),
  comparison('ucomiss', floatCompareQuiet.f32, 'f32'),
  comparison('ucomisd', floatCompareQuiet.f64, 'f64'),
  plain('cvtss2sd', f32ToF64, ['f32'], 'i64'),
  plain('cvtsd2ss', f64ToF32, ['f64'], 'i32'),
  plain('cvtsi2ss', floatFromI32.f32, ['i32'], 'i32'),
  plain('cvtsi2ssq', floatFromI64.f32, ['i64'], 'i32'),
  plain('cvtsi2sd', floatFromI32.f64, ['i32'], 'i64'),
  plain('cvtsi2sdq', floatFromI64.f64, ['i64'], 'i64'),
  plain('cvtss2si', floatToI32.f32, ['f32'], 'i32'),
  plain('cvtss2siq', floatToI64.f32, ['f32'], 'i64'),
  plain('cvtsd2si', floatToI32.f64, ['f64'], 'i32'),
  plain('cvtsd2siq', floatToI64.f64, ['f64'], 'i64'),
  plain('cvttss2si', floatTruncateI32.f32, ['f32'], 'i32'),
  plain('cvttss2siq', floatTruncateI64.f32, ['f32'], 'i64'),
  plain('cvttsd2si', floatTruncateI32.f64, ['f64'], 'i32'),
  plain('cvttsd2siq', floatTruncateI64.f64, ['f64'], 'i64'),
  ...[0, 1, 2, 3, 4, 8, 9, 10, 11, 12].flatMap((mode) =>
    scalar('round', floatToIntegral, 1, String(mode), mode),
  ),
  {
    name: 'vcvtph2ps',
    instruction: 'vcvtph2ps',
    operands: ['f16'],
    result: 'i32',
    apply: (_x, call, state, [half]) => answer(call, f16ToF32, [state, half]),
  },
  ...[0, 1, 2, 3, 4].map((mode) => plain(`vcvtps2ph${mode}`, f32ToF16[hostVendor()], ['f32'], 'i32', mode)),
];
