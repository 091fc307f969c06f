import type { Formatter } from 'iced-x86';
import { formatAtt } from '../../src/format/att.ts';
import { formatIntel } from '../../src/format/intel.ts';
import { formatNasm } from '../../src/format/nasm.ts';
import type { FormatOptions } from '../../src/format/options.ts';
import { DecodeStatus, decode, Instruction } from '../../src/index.ts';
import type { OraclePair } from './iced.ts';
import { IcedText, icedFormatter, type Syntax, syntaxes, withIcedsCut } from './iced-format.ts';

const formatters: Record<
  Syntax,
  (instruction: Instruction, address: number | bigint, options?: FormatOptions) => string
> = {
  intel: formatIntel,
  att: formatAtt,
  nasm: formatNasm,
};

/** Counts instructions whose text was compared with iced's, and keeps the first differences. */
export class TextComparison {
  readonly differences: string[] = [];
  compared = 0;
  differing = 0;
  private readonly instruction = new Instruction();
  private readonly icedFormatters: Record<Syntax, Formatter>;

  constructor(
    private readonly options: FormatOptions = {},
    private readonly limit = 20,
  ) {
    this.icedFormatters = {
      intel: icedFormatter('intel', options),
      att: icedFormatter('att', options),
      nasm: icedFormatter('nasm', options),
    };
  }

  /**
   * Compares the instructions at multiples of `stride`, or one after the other if `stride` is 0. Instructions on whose length the
   * decoders do not agree are the decoder tests' concern.
   */
  add(bytes: Uint8Array, stride: number, pair: OraclePair, address: bigint, start = 0): void {
    const { mode } = pair.ours;
    const iced = new IcedText(mode, bytes, pair.iced);
    const { instruction } = this;
    let offset = start;
    while (offset < bytes.length) {
      const ok = decode(bytes, offset, pair.ours, instruction) === DecodeStatus.ok;
      const at = BigInt.asUintN(mode, address + BigInt(offset));
      if (ok && iced.decode(offset, at) === instruction.length) {
        this.compared++;
        for (const syntax of syntaxes) {
          const ours = formatters[syntax](instruction, at, this.options);
          const theirs = iced.format(syntax, this.icedFormatters[syntax]);
          if (ours !== theirs && withIcedsCut(ours) !== theirs)
            this.report(
              `${mode} ${hex(bytes.subarray(offset, offset + instruction.length))} ${syntax}: ${ours}, iced: ${theirs}`,
            );
        }
      }
      offset += stride > 0 ? stride : ok ? instruction.length : 1;
    }
    iced.free();
  }

  private report(what: string): void {
    this.differing++;
    if (this.differences.length < this.limit) this.differences.push(what);
  }
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
