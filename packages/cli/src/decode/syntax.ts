import type { Instruction } from '@nest86/decoder';
import { formatAtt, formatAttSpans } from '@nest86/decoder/att';
import { type FormatOptions, formatIntel, formatIntelSpans, type Span } from '@nest86/decoder/intel';
import { formatNasm, formatNasmSpans } from '@nest86/decoder/nasm';

type Address = number | bigint;

/** A way to write instructions. */
export interface Syntax {
  text(instruction: Instruction, address: Address, options?: FormatOptions): string;
  spans(instruction: Instruction, address: Address, options?: FormatOptions): readonly Span[];
}

/** By what --syntax takes. */
export const syntaxes: Readonly<Record<'intel' | 'att' | 'nasm', Syntax>> = {
  intel: { text: formatIntel, spans: formatIntelSpans },
  att: { text: formatAtt, spans: formatAttSpans },
  nasm: { text: formatNasm, spans: formatNasmSpans },
};

/** For bytes whose address nobody knows: memory relative to RIP stays relative. */
export const addressUnknown: FormatOptions = { ripRelative: true };
