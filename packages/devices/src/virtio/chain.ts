import type { GuestMemory } from './guest-memory.ts';

/** A chain of descriptors as the device sees it: first what it may read, then what it may write. Reused from request to request. */
export class Chain {
  /** Index of the first descriptor: what goes into the used ring. */
  head = 0;
  /** Bytes. */
  readableLength = 0;
  writableLength = 0;
  private readonly addresses: Float64Array;
  private readonly lengths: Float64Array;
  private readable = 0;
  private count = 0;

  constructor(
    private readonly memory: GuestMemory,
    limit: number,
  ) {
    this.addresses = new Float64Array(limit);
    this.lengths = new Float64Array(limit);
  }

  /** Descriptors so far. */
  get size(): number {
    return this.count;
  }

  /** @internal */
  start(head: number): void {
    this.head = head;
    this.readableLength = this.writableLength = 0;
    this.readable = this.count = 0;
  }

  /** @internal @returns false for a readable descriptor behind a writable one (2.7.4.2), or one too many */
  append(address: number, length: number, isWritable: boolean): boolean {
    const { count } = this;
    if (count === this.addresses.length || (!isWritable && count > this.readable)) return false;
    this.addresses[count] = address;
    this.lengths[count] = length;
    this.count++;
    if (isWritable) this.writableLength += length;
    else {
      this.readable++;
      this.readableLength += length;
    }
    return true;
  }

  /** Reads from the readable part, which must have that much. @returns false if it is not RAM */
  read(offset: number, target: Uint8Array): boolean {
    let done = 0;
    for (let i = 0; i < this.readable && done < target.length; i++) {
      const length = this.lengths[i];
      if (offset >= length) {
        offset -= length;
        continue;
      }
      const part = Math.min(length - offset, target.length - done);
      const piece = part === target.length ? target : target.subarray(done, done + part);
      if (!this.memory.read(this.addresses[i] + offset, piece)) return false;
      done += part;
      offset = 0;
    }
    return done === target.length;
  }

  /** Writes to the writable part, which must have that much. @returns false if it is not RAM */
  write(offset: number, source: Uint8Array): boolean {
    let done = 0;
    for (let i = this.readable; i < this.count && done < source.length; i++) {
      const length = this.lengths[i];
      if (offset >= length) {
        offset -= length;
        continue;
      }
      const part = Math.min(length - offset, source.length - done);
      const piece = part === source.length ? source : source.subarray(done, done + part);
      if (!this.memory.write(this.addresses[i] + offset, piece)) return false;
      done += part;
      offset = 0;
    }
    return done === source.length;
  }
}
