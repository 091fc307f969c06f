import { Op, type Value } from '@nest86/wasm';
import { zero } from '../../library/vector/constants.ts';
import type { Definition, Family, Operation } from '../operation.ts';
import { checkPending } from '../x87/stack.ts';
import { readMmx, readMmxPair, writeMmx } from './mmx.ts';
import { binary, lowHalf, withVex, writeLanes } from './packed.ts';

interface Shift {
  readonly bits: 16 | 32 | 64;
  readonly opcode: number;
  /** Arithmetic shifts by too much leave signs, others zeros. */
  readonly isArithmetic: boolean;
}

/** PSLL, PSRL, PSRA: all elements by the same count, an immediate or the low 64 bits of the last operand. */
const shift =
  ({ bits, opcode, isArithmetic }: Shift): Definition =>
  (op) => {
    const { x } = op;
    const isMmx = op.kind(0) === 'mmx';
    if (isMmx) checkPending(op);
    const { count, isTooMuch } = countOf(op, bits);
    const result = (value: Value): Value =>
      isArithmetic
        ? x.compute(opcode, value, x.select(isTooMuch, x.i32(bits - 1), count))
        : x.select(isTooMuch, zero(x), x.compute(opcode, value, count));
    if (isMmx) writeMmx(op, lowHalf(x, result(readMmxPair(op, 0))));
    else writeLanes(op, (lane) => result(op.readVector(op.isVex ? 1 : 0, lane)));
  };

/** The count as i32, of which wasm takes what is below `bits`, and whether it is `bits` or more. */
function countOf(op: Operation, bits: number): { count: Value; isTooMuch: Value } {
  const { x } = op;
  const last = op.operandCount - 1;
  if (op.kind(last) === 'immediate') {
    const count = op.read(last);
    return { count, isTooMuch: x.geU(count, x.i32(bits)) };
  }
  const wide = op.kind(0) === 'mmx' ? readMmx(op, last) : op.readElement(last, 64);
  return { count: x.wrap(wide), isTooMuch: x.geU(wide, x.i64(bits)) };
}

/** VPSLLV, VPSRLV, VPSRAV: each element by its own count. */
const shiftEach = (bits: 32 | 64, shiftOne: 'shl' | 'shrU' | 'shrS'): Definition =>
  binary((x, a, b) => {
    const [extract, replace] =
      bits === 64 ? [Op.i64x2ExtractLane, Op.i64x2ReplaceLane] : [Op.i32x4ExtractLane, Op.i32x4ReplaceLane];
    const constant = (value: number): Value => (bits === 64 ? x.i64(value) : x.i32(value));
    let result = a;
    for (let i = 0; i < 128 / bits; i++) {
      const [value, count] = [x.extractLane(extract, a, i), x.extractLane(extract, b, i)];
      const isTooMuch = x.geU(count, constant(bits));
      const shifted =
        shiftOne === 'shrS'
          ? x.shrS(value, x.select(isTooMuch, constant(bits - 1), count))
          : x.select(isTooMuch, constant(0), x[shiftOne](value, count));
      result = x.replaceLane(replace, result, shifted, i);
    }
    return result;
  });

const logical = (bits: 16 | 32 | 64, opcode: number): Definition =>
  shift({ bits, opcode, isArithmetic: false });
const arithmetic = (bits: 16 | 32, opcode: number): Definition => shift({ bits, opcode, isArithmetic: true });

export const shifts: Family = {
  definitions: {
    ...withVex({
      PSLLW: logical(16, Op.i16x8Shl),
      PSLLD: logical(32, Op.i32x4Shl),
      PSLLQ: logical(64, Op.i64x2Shl),
      PSRLW: logical(16, Op.i16x8ShrU),
      PSRLD: logical(32, Op.i32x4ShrU),
      PSRLQ: logical(64, Op.i64x2ShrU),
      PSRAW: arithmetic(16, Op.i16x8ShrS),
      PSRAD: arithmetic(32, Op.i32x4ShrS),
    }),
    VPSLLVD: shiftEach(32, 'shl'),
    VPSLLVQ: shiftEach(64, 'shl'),
    VPSRLVD: shiftEach(32, 'shrU'),
    VPSRLVQ: shiftEach(64, 'shrU'),
    VPSRAVD: shiftEach(32, 'shrS'),
  },
};
