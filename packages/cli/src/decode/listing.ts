import { DecodeStatus, type Instruction } from '@nest86/decoder';
import type { FormatOptions } from '@nest86/decoder/intel';
import type { Palette } from './colour.ts';
import { hexText } from './hex.ts';
import type { DecodeJob } from './job.ts';
import type { Region } from './sweep.ts';
import type { Syntax } from './syntax.ts';

/** Bytes that the column has room for; few instructions are longer, and they push the text to the right. */
const bytesShown = 10;

/** Lines of disassembly of one region. */
export class Listing {
  readonly #syntax: Syntax;
  readonly #format: FormatOptions | undefined;
  readonly #palette: Palette;
  readonly #region: Region;
  readonly #addressWidth: number;
  /** Addresses are numbers where that is exact: much cheaper than BigInt. Kernels live beyond. */
  readonly #base: number | undefined;
  readonly #bits: number;

  constructor(region: Region, { input, syntax, format, palette }: DecodeJob) {
    this.#region = region;
    this.#syntax = syntax;
    this.#format = format;
    this.#palette = palette;
    this.#bits = input.mode === 64 ? 64 : 32;
    const end = region.address + BigInt(region.size);
    this.#base =
      end <= Number.MAX_SAFE_INTEGER && end <= 1n << BigInt(this.#bits) ? Number(region.address) : undefined;
    this.#addressWidth = Math.max(8, this.addressText(region.size - 1).length);
  }

  /** Address of the byte at `offset` in the region; wraps as the processor's would. */
  addressAt(offset: number): number | bigint {
    if (this.#base !== undefined) return this.#base + offset;
    return BigInt.asUintN(this.#bits, this.#region.address + BigInt(offset));
  }

  addressText(offset: number): string {
    return this.addressAt(offset).toString(16);
  }

  text(instruction: Instruction, offset: number): string {
    const address = this.addressAt(offset);
    if (!this.#palette.isColoured) return this.#syntax.text(instruction, address, this.#format);
    let text = '';
    for (const span of this.#syntax.spans(instruction, address, this.#format))
      text += this.#palette.paint(span.kind, span.text);
    return text;
  }

  /** Address, bytes and text; `(bad)` for what is no instruction. */
  row(instruction: Instruction, bytes: Uint8Array, position: number, length: number, offset: number): string {
    const { paint } = this.#palette;
    const address = this.addressText(offset).padStart(this.#addressWidth);
    const columns = hexText(bytes, position, position + length).padEnd(bytesShown * 3);
    const isOk = instruction.status === DecodeStatus.ok;
    const text = isOk ? this.text(instruction, offset) : paint('invalid', '(bad)');
    return `${paint('address', `${address}:`)}  ${paint('bytes', columns)}${text}\n`;
  }
}
