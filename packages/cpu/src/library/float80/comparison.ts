import { Op, type Value, ValueType } from '@nest86/wasm';
import type { LibraryFunction } from '../function.ts';
import {
  Body,
  isDenormal,
  isNan,
  isNotZero,
  isSpecial,
  isSpecialNan,
  isUnsupported,
  isZero,
  type Operand,
  Status,
  topBit,
} from './body.ts';

const unordered = Status.c3 | Status.c2 | Status.c0;

/**
 * Compares a (ST(0)) with b: (state, a, b, control) to C3, C2, C0 in their places in the status word, i32. FCOMI's ZF, PF, CF are C3, C2,
 * C0.
 * @param isQuiet quiet NaNs are no invalid operands
 */
function comparison(name: string, isQuiet: boolean): LibraryFunction {
  return {
    name: `float80.${name}`,
    parameters: [ValueType.i32, ValueType.i64, ValueType.i32, ValueType.i64, ValueType.i32, ValueType.i32],
    result: ValueType.i32,
    build: (x, parameters, call) => {
      const body = new Body(x, parameters, call);
      const [a, b] = body.operands;
      const codes = x.temporary(ValueType.i32);
      x.if(
        x.or(isSpecialNan(x, a), isSpecialNan(x, b)),
        () => {
          x.write(codes, x.i32(unordered));
          const quietBit = x.i64(0, 0x40000000);
          const isInvalid = (operand: Operand): Value => {
            const isSignaling = x.eqz(x.and(operand.significand, quietBit));
            return x.or(isUnsupported(x, operand), x.and(isNan(x, operand), isSignaling));
          };
          if (isQuiet) {
            x.if(x.or(isInvalid(a), isInvalid(b)), () => body.raiseConstant(Status.invalid));
          } else body.raiseConstant(Status.invalid);
        },
        () => {
          x.if(x.or(isDenormal(x, a), isDenormal(x, b)), () => body.raiseConstant(Status.denormal));
          x.write(codes, order(body, a, b));
        },
      );
      return x.read(codes);
    },
  };
}

/** C3 if a = b, C0 if a < b; neither is a NaN. */
function order(body: Body, a: Operand, b: Operand): Value {
  const { x } = body;
  // A pseudo-denormal has the value of the normal number of exponent 1.
  const rank = ({ exponent, significand }: Operand): Value => {
    const isPseudo = x.and(x.eqz(exponent), x.compute(Op.i64LtS, significand, x.i64(0)));
    return x.or(exponent, isPseudo);
  };
  const [rankA, rankB] = [rank(a), rank(b)];
  const isSame = x.eq(rankA, rankB);
  const isSmaller = x.select(isSame, x.ltU(a.significand, b.significand), x.ltU(rankA, rankB));
  const isSameMagnitude = x.and(isSame, x.eq(a.significand, b.significand));
  const bothZero = x.and(x.and(isZero(x, a), isZero(x, b)), x.eqz(x.or(isSpecial(x, a), isSpecial(x, b))));
  const isSameSign = x.eq(a.sign, b.sign);
  const isEqual = x.or(bothZero, x.and(isSameSign, isSameMagnitude));
  const isSmallerSigned = x.select(a.sign, x.and(x.eqz(isSmaller), x.eqz(isSameMagnitude)), isSmaller);
  const isLess = x.select(isSameSign, isSmallerSigned, isNotZero(x, a.sign));
  const code = x.select(isLess, x.i32(Status.c0), x.i32(0));
  return x.select(isEqual, x.i32(Status.c3), code);
}

/** FCOM, FCOMI: any NaN is an invalid operand. */
export const compare: LibraryFunction = comparison('compare', false);

/** FUCOM, FUCOMI: quiet NaNs are not. */
export const compareUnordered: LibraryFunction = comparison('compareUnordered', true);

/** FXAM: (state, a, control) to C3 to C0 in their places in the status word, i32. The caller answers for an empty register. */
export const examine: LibraryFunction = {
  name: 'float80.examine',
  parameters: [ValueType.i32, ValueType.i64, ValueType.i32, ValueType.i32],
  result: ValueType.i32,
  build: (x, parameters, call) => {
    const body = new Body(x, parameters, call);
    const [a] = body.operands;
    const isInfinity = x.eq(a.significand, topBit(x));
    const special = x.select(isInfinity, x.i32(Status.c2 | Status.c0), x.i32(Status.c0));
    const denormal = x.i32(Status.c3 | Status.c2);
    const small = x.select(isZero(x, a), x.i32(Status.c3), denormal);
    const finite = x.select(x.eqz(a.exponent), small, x.i32(Status.c2));
    const supported = x.select(x.eq(a.exponent, x.i32(0x7fff)), special, finite);
    const kind = x.select(isUnsupported(x, a), x.i32(0), supported);
    return x.or(kind, x.shrU(a.sign, x.i32(6)));
  },
};
