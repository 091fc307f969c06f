/** A structure of little-endian fields at fixed offsets, filled with 0 first. */
export class Structure {
  readonly bytes: Uint8Array;
  private readonly view: DataView;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
    this.view = new DataView(this.bytes.buffer);
  }

  put8(at: number, value: number): void {
    this.view.setUint8(at, value);
  }

  put16(at: number, value: number): void {
    this.view.setUint16(at, value, true);
  }

  put32(at: number, value: number): void {
    this.view.setUint32(at, value, true);
  }

  /** @param value a whole number of at most 53 bits */
  put64(at: number, value: number): void {
    this.view.setUint32(at, value % 2 ** 32, true);
    this.view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
  }

  /** Letters of ASCII, without a 0 behind them. */
  putText(at: number, text: string): void {
    for (let i = 0; i < text.length; i++) this.bytes[at + i] = text.charCodeAt(i);
  }

  putBytes(at: number, bytes: Uint8Array): void {
    this.bytes.set(bytes, at);
  }
}
