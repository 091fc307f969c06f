import { ValueType } from '@nest86/wasm';
import type { LibraryFunction } from '../function.ts';

const { i32 } = ValueType;
/** 11EDC6F41h, its bits mirrored (SDM vol. 2A, CRC32). */
const polynomial = 0x82f63b78 | 0;

/** The CRC after another byte: (crc, byte). */
export const crc32cByte: LibraryFunction = {
  name: 'crc32c_byte',
  parameters: [i32, i32],
  result: i32,
  build: (x, [crc, byte]) => {
    let rest = x.xor(crc, byte);
    for (let bit = 0; bit < 8; bit++) {
      const isSet = x.sub(x.i32(0), x.and(rest, x.i32(1)));
      rest = x.xor(x.shrU(rest, x.i32(1)), x.and(isSet, x.i32(polynomial)));
    }
    return rest;
  },
};
