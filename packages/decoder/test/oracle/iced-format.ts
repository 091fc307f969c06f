/**
 * iced-x86's formatters, set up to write what ours write with the same options. The settings for no options are the documented
 * default styles; what is not set here is iced's default.
 */
import { Decoder, Formatter, FormatterSyntax, Instruction, MemorySizeOptions } from 'iced-x86';
import type { FormatOptions } from '../../src/format/options.ts';

export type Syntax = 'intel' | 'att' | 'nasm';
export const syntaxes = ['intel', 'att', 'nasm'] as const;

export function icedFormatter(syntax: Syntax, options: FormatOptions = {}): Formatter {
  const isAtt = syntax === 'att';
  const formatter = new Formatter(
    isAtt ? FormatterSyntax.Gas : syntax === 'nasm' ? FormatterSyntax.Nasm : FormatterSyntax.Intel,
  );
  const suffixed = options.hexStyle === '1fh';
  formatter.hexPrefix = suffixed ? '' : '0x';
  formatter.hexSuffix = suffixed ? 'h' : '';
  formatter.uppercaseHex = options.uppercaseHex ?? false;
  formatter.uppercaseAll = options.uppercase ?? false;
  formatter.branchLeadingZeros = false;
  formatter.smallHexNumbersInDecimal = options.plainDigits ?? !isAtt;
  formatter.signedImmediateOperands = options.signedImmediates ?? false;
  formatter.spaceAfterOperandSeparator = options.spaceAfterComma ?? !isAtt;
  formatter.ripRelativeAddresses = options.ripRelative ?? isAtt;
  formatter.usePseudoOps = options.pseudoOperations ?? true;
  if (options.memorySizes === true) formatter.memorySizeOptions = MemorySizeOptions.Always;
  // As GNU objdump does it: a displacement that is encoded is written.
  formatter.showZeroDisplacements = isAtt;
  return formatter;
}

const formatters = { intel: icedFormatter('intel'), att: icedFormatter('att'), nasm: icedFormatter('nasm') };

/** Decodes from one buffer and formats. */
export class IcedText {
  readonly instruction: Instruction = new Instruction();
  private readonly decoder: Decoder;
  private readonly mode: 16 | 32 | 64;

  constructor(mode: 16 | 32 | 64, bytes: Uint8Array, options: number) {
    this.decoder = new Decoder(mode, bytes, options);
    this.mode = mode;
  }

  /** Length in bytes, or 0 if iced calls the bytes invalid. */
  decode(offset: number, address: bigint): number {
    this.decoder.position = offset;
    this.decoder.ip = BigInt.asUintN(this.mode, address);
    this.decoder.decodeOut(this.instruction);
    return this.instruction.code === 0 ? 0 : this.instruction.length;
  }

  format(syntax: Syntax, formatter: Formatter = formatters[syntax]): string {
    return formatter.format(this.instruction);
  }

  free(): void {
    this.decoder.free();
    this.instruction.free();
  }
}

/**
 * Text as iced 1.21 compiled to WebAssembly writes it: a number beyond 32 bits whose lower 32 bits are below 10 loses its upper half
 * where small numbers are written without prefix (`mov rax, 0x100000001` becomes `mov rax, 1`).
 */
export function withIcedsCut(text: string): string {
  return text.replace(/\b(?:0x|0X)?[0-9a-fA-F]+0000000([0-9])h?\b/g, '$1');
}
