import { canonicalOf, statusFlagsOf } from '../semantics/flags.ts';
import { type StateField, stateOffset } from './layout.ts';

/** The state block of a virtual processor, for TypeScript: 32-bit halves, no BigInt but at the edges. */
export class VcpuState {
  /** The block as 32-bit words, for code that knows its offsets beforehand. */
  readonly words: Int32Array;
  readonly bytes: Uint8Array;

  /** @param address of the block in the memory, a multiple of 4096 */
  constructor(
    buffer: ArrayBufferLike,
    readonly address: number,
    size: number,
  ) {
    this.words = new Int32Array(buffer, address, size / 4);
    this.bytes = new Uint8Array(buffer, address, size);
  }

  /** A 32-bit field, or the low half of a 64-bit one. @param index of the element: 4 or 8 bytes by `get`/`getLow` */
  get(field: StateField, index = 0): number {
    return this.words[(stateOffset[field] >> 2) + index];
  }

  set(field: StateField, value: number, index = 0): void {
    this.words[(stateOffset[field] >> 2) + index] = value;
  }

  /** Halves of element `index` of a field of 64-bit elements. */
  low(field: StateField, index = 0): number {
    return this.words[(stateOffset[field] >> 2) + 2 * index];
  }

  high(field: StateField, index = 0): number {
    return this.words[(stateOffset[field] >> 2) + 2 * index + 1];
  }

  setPair(field: StateField, low: number, high: number, index = 0): void {
    const at = (stateOffset[field] >> 2) + 2 * index;
    this.words[at] = low;
    this.words[at + 1] = high;
  }

  /** At the edge only. */
  getBig(field: StateField, index = 0): bigint {
    return (BigInt(this.high(field, index) >>> 0) << 32n) | BigInt(this.low(field, index) >>> 0);
  }

  setBig(field: StateField, value: bigint, index = 0): void {
    this.setPair(field, Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n)), index);
  }

  /** RFLAGS, bits 31:0; bit 1 is set. */
  get flags(): number {
    const at = stateOffset.flagResult >> 2;
    const { words } = this;
    const aux = words[auxCell];
    return statusFlagsOf({ low: words[at], high: words[at + 1], aux }) | words[systemFlagsCell] | 2;
  }

  set flags(value: number) {
    const { low, high, aux } = canonicalOf(value);
    const at = stateOffset.flagResult >> 2;
    const { words } = this;
    words[at] = low;
    words[at + 1] = high;
    words[auxCell] = aux;
    words[systemFlagsCell] = value & systemFlagsMask;
  }
}

const auxCell: number = stateOffset.flagAux >> 2;
const systemFlagsCell: number = stateOffset.systemFlags >> 2;
/** TF IF DF IOPL NT RF VM AC VIF VIP ID. */
const systemFlagsMask = 0x003f7700;
