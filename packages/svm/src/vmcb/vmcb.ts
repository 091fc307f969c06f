import { type VmcbFieldName, vmcbFields, vmcbOffset, vmcbSize } from './layout.ts';

/**
 * A VMCB in memory, as 32-bit halves: no BigInt, nothing allocated. Offsets come from `vmcbOffset`; `low` and `high` are for fields of 4 and 8
 * bytes.
 */
export class Vmcb {
  private first = 0;

  /** @param words memory as 32-bit words @param byteOffset of the VMCB in it, a multiple of 4 */
  constructor(
    private words: Int32Array = new Int32Array(0),
    byteOffset = 0,
  ) {
    this.place(words, byteOffset);
  }

  /** Lets the view look at another VMCB. */
  place(words: Int32Array, byteOffset: number): this {
    this.words = words;
    this.first = Math.floor(byteOffset / 4);
    return this;
  }

  /** The aligned word that holds the byte at an offset. */
  low(offset: number): number {
    return this.words[this.first + (offset >> 2)];
  }

  high(offset: number): number {
    return this.words[this.first + (offset >> 2) + 1];
  }

  setWord(offset: number, value: number): void {
    this.words[this.first + (offset >> 2)] = value;
  }

  setPair(offset: number, low: number, high: number): void {
    const at = this.first + (offset >> 2);
    this.words[at] = low;
    this.words[at + 1] = high;
  }

  /** A byte, for the few fields of that size. */
  byte(offset: number): number {
    return (this.low(offset) >>> (8 * (offset & 3))) & 0xff;
  }

  setByte(offset: number, value: number): void {
    const shift = 8 * (offset & 3);
    this.setWord(offset, (this.low(offset) & ~(0xff << shift)) | ((value & 0xff) << shift));
  }
}

/** Values by field; all that is left out is 0. */
export type VmcbValues = Partial<Record<VmcbFieldName, number | bigint>>;

/** A VMCB of 4,096 bytes with these values, each cut off to its field. */
export function buildVmcb(values: VmcbValues): Uint8Array<ArrayBuffer> {
  const image = new Uint8Array(vmcbSize);
  for (const { name, offset, bytes } of vmcbFields) {
    let rest = BigInt.asUintN(8 * bytes, BigInt(values[name] ?? 0));
    for (let i = 0; i < bytes; i++, rest >>= 8n) image[offset + i] = Number(rest & 0xffn);
  }
  return image;
}

/** All fields of an image, unsigned. @throws RangeError if it is too short */
export function parseVmcb(image: Uint8Array): Record<VmcbFieldName, bigint> {
  const bytes = wholeVmcb(image);
  const values: Partial<Record<VmcbFieldName, bigint>> = {};
  for (const field of vmcbFields) {
    let value = 0n;
    for (let i = field.bytes - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[field.offset + i]);
    values[field.name] = value;
  }
  return values as Record<VmcbFieldName, bigint>;
}

/** View of a copy of an image. @throws RangeError if it is too short */
export function vmcbOf(image: Uint8Array): Vmcb {
  return new Vmcb(new Int32Array(wholeVmcb(image).slice(0, vmcbSize).buffer));
}

function wholeVmcb(image: Uint8Array): Uint8Array {
  // What lies behind the last field is reserved; a file may end there.
  const least = vmcbOffset.lastInterruptTo + 8;
  if (image.length < least)
    throw new RangeError(`VMCB of ${image.length} bytes: ${least} to ${vmcbSize} are allowed`);
  if (image.length >= vmcbSize) return image;
  const whole = new Uint8Array(vmcbSize);
  whole.set(image);
  return whole;
}
