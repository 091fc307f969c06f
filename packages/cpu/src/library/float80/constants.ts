import { type Value, ValueType } from '@nest86/wasm';
import type { LibraryFunction } from '../function.ts';
import { Body, Rounding } from './body.ts';

/**
 * (state, control) to a constant of the processor, rounded by RC (SDM vol. 1, 8.3.8); PC does not matter, nothing is raised.
 * @param significand upper and lower half, cut
 * @param nearestIsUp whether the next bit is 1
 */
function constant(
  name: string,
  exponent: number,
  [high, low]: readonly [number, number],
  nearestIsUp: boolean,
): LibraryFunction {
  return {
    name: `float80.${name}`,
    parameters: [ValueType.i32, ValueType.i32],
    result: ValueType.i64,
    build: (x, [state, control], call) => {
      const body = new Body(x, [state, control], call);
      const rounding = body.rounding();
      const isUp = x.eq(rounding, x.i32(Rounding.up));
      const up: Value = nearestIsUp ? x.or(isUp, x.eqz(rounding)) : isUp;
      body.give(x.add(x.i64(low, high), x.extendU(up)), x.i32(exponent));
      return body.finish();
    },
  };
}

/** FLDL2T: log2(10). */
export const loadLog2Of10: LibraryFunction = constant(
  'loadLog2Of10',
  0x4000,
  [0xd49a784b, 0xcd1b8afe],
  false,
);
/** FLDL2E: log2(e). */
export const loadLog2OfE: LibraryFunction = constant('loadLog2OfE', 0x3fff, [0xb8aa3b29, 0x5c17f0bb], true);
/** FLDPI. */
export const loadPi: LibraryFunction = constant('loadPi', 0x4000, [0xc90fdaa2, 0x2168c234], true);
/** FLDLG2: log10(2). */
export const loadLog10Of2: LibraryFunction = constant('loadLog10Of2', 0x3ffd, [0x9a209a84, 0xfbcff798], true);
/** FLDLN2: ln(2). */
export const loadLnOf2: LibraryFunction = constant('loadLnOf2', 0x3ffe, [0xb17217f7, 0xd1cf79ab], true);
