import { type DecoderOptions, DecodeStatus, decode, Instruction } from '@nest86/decoder';
import type { ByteSource } from '../io.ts';

/** A run of bytes to disassemble. */
export interface Region {
  readonly name: string;
  /** Where in the source. */
  readonly offset: number;
  readonly size: number;
  /** Address of its first byte. */
  readonly address: bigint;
}

/** What is held of a file at any time. Larger ones are not faster. */
const windowSize = 1 << 18;
/** With this many bytes behind it `decode` needs no copy of its input; it is more than any instruction has. */
const lookahead = 64;

/**
 * Goes over a region instruction by instruction, holding no more than a window of it. What cannot be decoded is passed
 * over byte by byte.
 */
export class Sweep {
  /** The instruction at hand; see its status. */
  readonly instruction: Instruction = new Instruction();
  /** The bytes around it. */
  bytes: Uint8Array = new Uint8Array(0);
  /** Where in `bytes` it starts. */
  position = 0;
  /** How many bytes it takes; 1 if it is invalid or truncated. */
  length = 0;

  readonly #source: ByteSource;
  readonly #region: Region;
  readonly #options: DecoderOptions;
  readonly #buffer: Uint8Array;
  /** Offset in the region of bytes[0]. */
  #windowStart = 0;
  /** From this position on the window has to move. */
  #moveAt = 0;

  constructor(source: ByteSource, region: Region, options: DecoderOptions) {
    this.#source = source;
    this.#region = region;
    this.#options = options;
    this.#buffer = new Uint8Array(Math.min(windowSize, region.size));
  }

  /** Offset in the region of the instruction at hand. */
  get offset(): number {
    return this.#windowStart + this.position;
  }

  /** Goes to the next instruction; false at the end of the region. */
  next(): boolean {
    this.position += this.length;
    if (this.position >= this.#moveAt && !this.#moveWindow()) return false;
    const status = decode(this.bytes, this.position, this.#options, this.instruction);
    this.length = status === DecodeStatus.ok ? this.instruction.length : 1;
    return true;
  }

  /** Brings the window to the current position. False if no byte is left. */
  #moveWindow(): boolean {
    const start = this.offset;
    const left = this.#region.size - start;
    if (left <= 0) return false;
    const isLast = left <= this.#buffer.length;
    if (start !== this.#windowStart || this.bytes.length === 0) {
      const wanted = isLast ? left : this.#buffer.length;
      const target = this.#buffer.subarray(0, wanted);
      const count = this.#source.read(target, this.#region.offset + start);
      // Shorter than it was when it was opened: what is there is decoded.
      this.bytes = count === wanted ? target : target.subarray(0, count);
      this.#windowStart = start;
      this.position = 0;
      this.length = 0;
      if (count === 0) return false;
    }
    this.#moveAt = isLast ? this.bytes.length : this.bytes.length - lookahead;
    return true;
  }
}
