import { ValueType } from '@nest86/wasm';
import type { LibraryFunction } from '../function.ts';
import { Body, isNan, isNotZero, isUnsupported, Status } from './body.ts';

/**
 * The result of an operation with a NaN or an unsupported encoding among its operands (SDM vol. 1, table 4-7 and 8.5.1.2): (state, a, b
 * as pairs). An operation with one operand passes zero as the other.
 */
export const propagate: LibraryFunction = {
  name: 'float80.propagate',
  parameters: [ValueType.i32, ValueType.i64, ValueType.i32, ValueType.i64, ValueType.i32],
  result: ValueType.i64,
  build: (x, parameters, call) => {
    const body = new Body(x, [...parameters, x.i32(0)], call);
    const [a, b] = body.operands;
    x.if(
      x.or(isUnsupported(x, a), isUnsupported(x, b)),
      () => body.giveInvalid(),
      () => {
        const quiet = x.i64(0, 0x40000000);
        const [isNanA, isNanB] = [isNan(x, a), isNan(x, b)];
        const isSignalingA = x.and(isNanA, x.eqz(x.and(a.significand, quiet)));
        const isSignalingB = x.and(isNanB, x.eqz(x.and(b.significand, quiet)));
        x.if(x.or(isSignalingA, isSignalingB), () => body.raiseConstant(Status.invalid));
        // The larger significand wins, and with it a quiet NaN over a signaling one; the positive one if they are equal.
        const isLarger = x.select(
          x.eq(a.significand, b.significand),
          x.leU(a.signExponent, b.signExponent),
          x.gtU(a.significand, b.significand),
        );
        const takesA = x.and(isNanA, x.or(isLarger, x.eqz(isNanB)));
        body.give(
          x.or(x.select(takesA, a.significand, b.significand), quiet),
          x.select(isNotZero(x, takesA), a.signExponent, b.signExponent),
        );
      },
    );
    return body.finish();
  },
};
