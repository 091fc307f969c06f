import { answer } from '../../library/float/format.ts';
import { FmaSign } from '../../library/float/fused.ts';
import { fastFma, fastFmaPacked } from '../../library/float/fused-fast.ts';
import { native } from '../../library/float/native.ts';
import type { Definition, Family } from '../operation.ts';
import { collectExceptions, contextOf } from './exceptions.ts';
import { type FormatName, readBits } from './operands.ts';

/** Operands in the order a, b, c of a · b + c: the digits of the mnemonic, from 0. */
type Order = readonly [number, number, number];

const packed =
  (format: FormatName, signs: number, order: Order): Definition =>
  (op) => {
    const { x } = op;
    const lanes = Array.from({ length: op.lanes }, (_, lane) =>
      order.map((operand) => op.readVector(operand, lane)),
    );
    const { state, call, mxcsr } = contextOf(op);
    collectExceptions(op, () => {
      for (const [lane, operands] of lanes.entries())
        lanes[lane] = [answer(call, fastFmaPacked[format], [state, ...operands, x.i32(signs), mxcsr])];
    });
    op.writeVector(0, lanes.flat());
  };

const scalar =
  (format: FormatName, signs: number, order: Order): Definition =>
  (op) => {
    const { x } = op;
    const operands = order.map((operand) => readBits(op, operand, format));
    const { state, call, mxcsr } = contextOf(op);
    let result = operands[0];
    collectExceptions(op, () => {
      result = answer(call, fastFma[format], [state, ...operands, x.i32(signs), mxcsr]);
    });
    op.writeVector(0, [x.replaceLane(native[format].packed.replace, op.readVector(0), result, 0)]);
  };

const { negateProduct, negateAddend, flipOddAddends } = FmaSign;
const kinds = {
  MADD: 0,
  MSUB: negateAddend,
  NMADD: negateProduct,
  NMSUB: negateProduct | negateAddend,
} as const;
const alternatingKinds = {
  MADDSUB: negateAddend | flipOddAddends,
  MSUBADD: flipOddAddends,
} as const;

function define(): Record<string, Definition> {
  const definitions: Record<string, Definition> = {};
  for (const digits of ['132', '213', '231']) {
    const order = [...digits].map((digit) => Number(digit) - 1) as unknown as Order;
    for (const [name, signs] of Object.entries({ ...kinds, ...alternatingKinds })) {
      definitions[`VF${name}${digits}PS`] = packed('f32', signs, order);
      definitions[`VF${name}${digits}PD`] = packed('f64', signs, order);
    }
    for (const [name, signs] of Object.entries(kinds)) {
      definitions[`VF${name}${digits}SS`] = scalar('f32', signs, order);
      definitions[`VF${name}${digits}SD`] = scalar('f64', signs, order);
    }
  }
  return definitions;
}

/** FMA3. */
export const fused: Family = { definitions: define() };
