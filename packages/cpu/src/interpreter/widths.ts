import { Op } from '@nest86/wasm';

/** Load of so many bits, zero-extended: i32 up to 32, i64, v128. */
export function loadOf(bits: number): number {
  switch (bits) {
    case 8:
      return Op.i32Load8U;
    case 16:
      return Op.i32Load16U;
    case 32:
      return Op.i32Load;
    case 64:
      return Op.i64Load;
    default:
      return Op.v128Load;
  }
}

export function storeOf(bits: number): number {
  switch (bits) {
    case 8:
      return Op.i32Store8;
    case 16:
      return Op.i32Store16;
    case 32:
      return Op.i32Store;
    case 64:
      return Op.i64Store;
    default:
      return Op.v128Store;
  }
}
