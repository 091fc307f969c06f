import { ValueType } from '@nest86/wasm';
import type { LibraryFunction } from '../function.ts';

const { i64 } = ValueType;

/** PDEP: the low bits of `source` go, in order, to where `mask` has ones. */
export const depositBits: LibraryFunction = {
  name: 'deposit_bits',
  parameters: [i64, i64],
  result: i64,
  build: (x, [source, mask]) => {
    const rest = x.temporary(i64);
    const bits = x.temporary(i64);
    const result = x.temporary(i64);
    x.write(rest, mask);
    x.write(bits, source);
    x.write(result, x.i64(0));
    x.block((leave) => {
      x.loop((again) => {
        const left = x.copy(x.read(rest));
        leave(x.eqz(left));
        const lowest = x.and(left, x.sub(x.i64(0), left));
        const isSet = x.sub(x.i64(0), x.and(x.read(bits), x.i64(1)));
        x.write(result, x.or(x.read(result), x.and(lowest, isSet)));
        x.write(bits, x.shrU(x.read(bits), x.i64(1)));
        x.write(rest, x.xor(left, lowest));
        again();
      });
    });
    return x.read(result);
  },
};

/** PEXT: the bits of `source` where `mask` has ones, packed. */
export const extractBits: LibraryFunction = {
  name: 'extract_bits',
  parameters: [i64, i64],
  result: i64,
  build: (x, [source, mask]) => {
    const rest = x.temporary(i64);
    const place = x.temporary(i64);
    const result = x.temporary(i64);
    const from = x.copy(source);
    x.write(rest, mask);
    x.write(place, x.i64(0));
    x.write(result, x.i64(0));
    x.block((leave) => {
      x.loop((again) => {
        const left = x.copy(x.read(rest));
        leave(x.eqz(left));
        const bit = x.and(x.shrU(from, x.ctz(left)), x.i64(1));
        x.write(result, x.or(x.read(result), x.shl(bit, x.read(place))));
        x.write(place, x.add(x.read(place), x.i64(1)));
        x.write(rest, x.and(left, x.sub(left, x.i64(1))));
        again();
      });
    });
    return x.read(result);
  },
};
