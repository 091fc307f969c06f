import { type Expressions, Op, type Value } from '@nest86/wasm';
import { wordsVector } from '../../library/vector/constants.ts';
import { joinFlags } from '../flags.ts';
import type { Definition, Family, Operation } from '../operation.ts';
import { binary, direct, withVex } from './packed.ts';

/** PANDN: the first source is inverted. */
const andNot = binary((x, a, b) => x.compute(Op.v128AndNot, b, a));

/** Some bit of some lane is set. */
function anyTrue(op: Operation, compute: (x: Expressions, a: Value, b: Value) => Value): Value {
  const { x } = op;
  const lanes = Array.from({ length: op.lanes }, (_, lane) =>
    compute(x, op.readVector(0, lane), op.readVector(1, lane)),
  );
  return x.compute(
    Op.v128AnyTrue,
    lanes.reduce((all, one) => x.compute(Op.v128Or, all, one)),
  );
}

/** PTEST, VTESTPS, VTESTPD: ZF if no bit of both is set, CF if no bit of the source alone is. @param mask of the bits that count */
const test =
  (mask?: (x: Expressions) => Value): Definition =>
  (op) => {
    const { x } = op;
    const counted = (value: Value): Value =>
      mask === undefined ? value : x.compute(Op.v128And, value, mask(x));
    const both = anyTrue(op, (_, a, b) => counted(x.compute(Op.v128And, a, b)));
    const sourceAlone = anyTrue(op, (_, a, b) => counted(x.compute(Op.v128AndNot, b, a)));
    const none = x.i32(0);
    op.writeFlags(
      joinFlags(x, {
        carry: x.eqz(sourceAlone),
        parity: none,
        auxiliary: none,
        zero: x.eqz(both),
        sign: none,
        overflow: none,
      }),
    );
  };

/** Bitwise logic: of "floating-point" vectors too. */
export const logic: Family = {
  definitions: {
    ...withVex({
      PAND: direct(Op.v128And),
      PANDN: andNot,
      POR: direct(Op.v128Or),
      PXOR: direct(Op.v128Xor),
      ANDPS: direct(Op.v128And),
      ANDPD: direct(Op.v128And),
      ANDNPS: andNot,
      ANDNPD: andNot,
      ORPS: direct(Op.v128Or),
      ORPD: direct(Op.v128Or),
      XORPS: direct(Op.v128Xor),
      XORPD: direct(Op.v128Xor),
      PTEST: test(),
    }),
    VTESTPS: test((x) => wordsVector(x, 0x80000000 | 0)),
    VTESTPD: test((x) => x.v128([0, 0x80000000 | 0, 0, 0x80000000 | 0])),
  },
};
