/** A name for an address, as a resolver gives it: `name` stands for the address minus `offset`. */
export interface SymbolReference {
  readonly name: string;
  /** Bytes behind the symbol; written `name+0x10`. */
  readonly offset: number;
}

/**
 * How instructions are written. Every field has a default, which may differ between syntaxes; the formatters prepare what they need
 * when they first see an options object, so make one, keep it, and do not change it.
 */
export interface FormatOptions {
  /**
   * Names addresses: of branch targets, of memory relative to RIP, of memory at a constant address. Answers undefined for addresses
   * without a name; these are written as numbers.
   */
  readonly symbol?: (address: bigint) => string | SymbolReference | undefined;
  /** Upper case, except for numbers and symbols. Default false. */
  readonly uppercase?: boolean;
  /** `0x1f` or `1fh`. Default `0x1f`. */
  readonly hexStyle?: '0x1f' | '1fh';
  /** Upper-case hexadecimal digits. Default false. */
  readonly uppercaseHex?: boolean;
  /** Numbers below 10 without hexadecimal prefix: `9`, not `0x9`. Default true; AT&T: false. */
  readonly plainDigits?: boolean;
  /** Immediates with the sign bit as negative numbers: `-1`, not `0xffffffff`. Default false. */
  readonly signedImmediates?: boolean;
  /** A space behind the comma between operands. Default true; AT&T: false. */
  readonly spaceAfterComma?: boolean;
  /** Memory relative to the instruction pointer as `[rip+0x10]`, not as the address it comes to. Default false; AT&T: true. */
  readonly ripRelative?: boolean;
  /**
   * Short forms that assemblers know: `cmpeqps xmm0, xmm1` for `cmpps xmm0, xmm1, 0`, `imul eax, 3` for `imul eax, eax, 3`, `faddp` for
   * `faddp st(1), st`. Default true.
   */
  readonly pseudoOperations?: boolean;
  /** The size of every memory operand (`dword ptr`), not only where nothing else tells it. Default false; nothing in AT&T. */
  readonly memorySizes?: boolean;
}

/** What a span of text is, for colouring. */
export type SpanKind =
  | 'prefix'
  | 'mnemonic'
  | 'register'
  | 'number'
  | 'punctuation'
  | 'keyword'
  | 'symbol'
  | 'decorator'
  | 'text';

export interface Span {
  readonly kind: SpanKind;
  readonly text: string;
}
