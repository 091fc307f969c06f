/** A buffer that grows, with the number formats of the binary format. One is made per module builder and reused. */
export class ByteWriter {
  bytes: Uint8Array<ArrayBuffer>;
  length = 0;

  /** @param capacity bytes to start with */
  constructor(capacity: number = 1 << 12) {
    this.bytes = new Uint8Array(capacity);
  }

  /** Room for `more` bytes, so that what follows can write without asking. */
  reserve(more: number): void {
    if (this.length + more > this.bytes.length) this.grow(more);
  }

  /** By itself, so that what asks for room is small enough to become part of its callers. */
  private grow(more: number): void {
    const larger = new Uint8Array(Math.max(this.bytes.length * 2, this.length + more));
    larger.set(this.bytes.subarray(0, this.length));
    this.bytes = larger;
  }

  byte(value: number): void {
    const { length } = this;
    if (length === this.bytes.length) this.grow(1);
    this.bytes[length] = value;
    this.length = length + 1;
  }

  /** A byte and an unsigned LEB128 behind it: an instruction with its index. */
  byteAndUnsigned(byte: number, value: number): void {
    const { length } = this;
    if (value >= 0 && value < 0x80 && length + 1 < this.bytes.length) {
      this.bytes[length] = byte;
      this.bytes[length + 1] = value;
      this.length = length + 2;
    } else {
      this.byte(byte);
      this.unsigned(value);
    }
  }

  /** Unsigned LEB128 of a 32-bit number. */
  unsigned(value: number): void {
    if (value >= 0 && value < 0x80) this.byte(value);
    else this.longUnsigned(value);
  }

  private longUnsigned(value: number): void {
    this.reserve(5);
    const { bytes } = this;
    let { length } = this;
    let rest = value >>> 0;
    while (rest >= 0x80) {
      bytes[length++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    bytes[length++] = rest;
    this.length = length;
  }

  /** Unsigned LEB128 of a safe integer: memory64 offsets and limits. */
  unsigned64(value: number): void {
    let rest = value;
    this.reserve(10);
    while (rest >= 0x80) {
      this.bytes[this.length++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.bytes[this.length++] = rest;
  }

  /** Signed LEB128 of a 32-bit number. */
  signed(value: number): void {
    if (value >= -0x40 && value < 0x40) this.byte(value & 0x7f);
    else this.longSigned(value);
  }

  private longSigned(value: number): void {
    this.reserve(5);
    const { bytes } = this;
    let { length } = this;
    let rest = value | 0;
    while (rest < -0x40 || rest >= 0x40) {
      bytes[length++] = (rest & 0x7f) | 0x80;
      rest >>= 7;
    }
    bytes[length++] = rest & 0x7f;
    this.length = length;
  }

  /** Signed LEB128 of a 64-bit number in two halves. */
  signed64(low: number, high: number): void {
    if ((low | 0) >> 31 === (high | 0)) {
      this.signed(low | 0);
      return;
    }
    let lowRest = low | 0;
    let highRest = high | 0;
    this.reserve(10);
    for (;;) {
      const bits = lowRest & 0x7f;
      lowRest = (lowRest >>> 7) | (highRest << 25);
      highRest >>= 7;
      const sign = (bits & 0x40) !== 0 ? -1 : 0;
      if (highRest === sign && lowRest === sign) {
        this.bytes[this.length++] = bits;
        return;
      }
      this.bytes[this.length++] = bits | 0x80;
    }
  }

  /** Leaves room for the size of what follows; answers where that begins, for {@link setSize}. */
  skipSize(): number {
    this.reserve(5);
    this.length += 5;
    return this.length;
  }

  /** Fills in the size of all since {@link skipSize}, as an unsigned LEB128 of five bytes. */
  setSize(start: number): void {
    const { bytes } = this;
    let rest = this.length - start;
    for (let at = start - 5; at < start - 1; at++) {
      bytes[at] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    bytes[start - 1] = rest;
  }

  /** Little-endian, for f32, f64 and v128 constants. */
  fixed32(value: number): void {
    this.reserve(4);
    this.bytes[this.length++] = value;
    this.bytes[this.length++] = value >>> 8;
    this.bytes[this.length++] = value >>> 16;
    this.bytes[this.length++] = value >>> 24;
  }

  /** UTF-8 with its length in front. Names in modules are ours; anything outside ASCII is a mistake. */
  name(text: string): void {
    this.unsigned(text.length);
    this.reserve(text.length);
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code > 0x7f) throw new RangeError(`name "${text}": only ASCII is allowed`);
      this.bytes[this.length++] = code;
    }
  }

  append(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  /** What another one holds. */
  appendFrom(other: ByteWriter): void {
    this.append(other.bytes.subarray(0, other.length));
  }

  /** A copy of what was written. */
  take(): Uint8Array<ArrayBuffer> {
    return this.bytes.slice(0, this.length);
  }
}
