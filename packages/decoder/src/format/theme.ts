import { RegisterClass, registerName } from '../registers.ts';
import { fixedRegisters } from './bits.ts';
import type { StyleColumn } from './columns.ts';
import { hex, hex8 } from './numbers.ts';
import type { FormatOptions, SpanKind } from './options.ts';
import { pseudoMnemonic } from './pseudo.ts';
import { markOf } from './spans.ts';
import { addressOrSymbol } from './symbols.ts';

export interface SyntaxDefaults {
  readonly registerPrefix: string;
  readonly plainDigits: boolean;
  readonly spaceAfterComma: boolean;
  readonly ripRelative: boolean;
  /** Addresses of memory are never given as symbols. */
  readonly numbersForMemory?: boolean;
  /** Registers that the syntax names in its own way. */
  readonly spell?: (name: string) => string;
}

/**
 * Options made ready: every piece of text that a formatter can write, with case and, for spans, mark. Formatters take all text
 * from here and only concatenate.
 */
export class Theme {
  readonly registers: readonly string[];
  /** By row of `fixedRegisters`. */
  readonly fixed: readonly string[];
  /** Mnemonic by encoding. */
  readonly mnemonics: readonly string[];
  readonly space: string;
  readonly comma: string;
  readonly symbol: FormatOptions['symbol'];
  /** Addresses of memory may be given as symbols. */
  readonly memorySymbols: boolean;
  readonly ripRelative: boolean;
  readonly pseudoOperations: boolean;
  readonly memorySizes: boolean;
  readonly signedImmediates: boolean;

  /** {@link pseudo} by encoding and immediate. */
  private readonly pseudoTexts: Map<number, string> = new Map();
  /** Numbers from 0 to 255. */
  private readonly small: readonly string[] = [];
  private readonly hexStart: string;
  private readonly hexEnd: string;
  /** Upper-case digits, or an `h` at the end, which needs a digit in front. */
  private readonly plainHex: boolean;
  private readonly uppercaseHex: boolean;

  constructor(
    defaults: SyntaxDefaults,
    private readonly column: Pick<StyleColumn, 'mnemonics'>,
    private readonly options: FormatOptions,
    protected readonly marked: boolean,
  ) {
    const {
      hexStyle = '0x1f',
      uppercaseHex = false,
      plainDigits = defaults.plainDigits,
      spaceAfterComma = defaults.spaceAfterComma,
    } = options;
    if (hexStyle !== '0x1f' && hexStyle !== '1fh')
      throw new RangeError(`hexStyle "${hexStyle}": 0x1f or 1fh is allowed`);
    const spell = defaults.spell ?? ((name: string) => name);
    const register = (name: string) => this.token('register', defaults.registerPrefix + spell(name));
    const registers: string[] = [];
    for (let number = 0; number < (RegisterClass.blockScale + 1) << 5; number++) {
      const name = registerName(number);
      if (name !== undefined && name !== '') registers[number] = register(name);
      else registers[number] = '';
    }
    this.registers = registers;
    this.fixed = fixedRegisters.map(register);
    this.mnemonics = column.mnemonics.map((name) => this.token('mnemonic', name));
    this.space = this.token('text', ' ');
    this.comma = this.token('punctuation', spaceAfterComma ? ', ' : ',');
    this.symbol = options.symbol;
    this.memorySymbols = options.symbol !== undefined && defaults.numbersForMemory !== true;
    this.ripRelative = options.ripRelative ?? defaults.ripRelative;
    this.pseudoOperations = options.pseudoOperations ?? true;
    this.memorySizes = options.memorySizes ?? false;
    this.signedImmediates = options.signedImmediates ?? false;

    const withPrefix = hexStyle === '0x1f';
    this.hexStart = this.token('number', withPrefix ? '0x' : '', false);
    this.hexEnd = withPrefix ? '' : 'h';
    this.uppercaseHex = uppercaseHex;
    this.plainHex = withPrefix && !uppercaseHex;
    this.small = Array.from({ length: 256 }, (_, value) =>
      plainDigits && value < 10 ? this.token('number', String(value), false) : this.styledHex(hex(value)),
    );
  }

  /** A piece of text: with its mark if spans are wanted, in upper case if that is. */
  token(kind: SpanKind, text: string, mayRaise = true): string {
    const cased = mayRaise && this.options.uppercase === true ? text.toUpperCase() : text;
    return this.marked ? markOf(kind) + cased : cased;
  }

  /** Mnemonic of a pseudo-operation of this family; empty if the immediate selects none. */
  pseudo(family: number, encoding: number, immediate: number): string {
    if (!this.pseudoOperations) return '';
    const key = (encoding << 8) | immediate;
    let text = this.pseudoTexts.get(key);
    if (text === undefined) {
      text = pseudoMnemonic(family, this.column.mnemonics[encoding], immediate);
      if (text !== '') text = this.token('mnemonic', text);
      this.pseudoTexts.set(key, text);
    }
    return text;
  }

  /** An unsigned 32-bit number. */
  number(value: number): string {
    if (value < 256) return this.small[value];
    return this.plainHex ? this.hexStart + hex(value) : this.styledHex(hex(value));
  }

  /** A 64-bit number from unsigned halves. */
  number64(high: number, low: number): string {
    if (high === 0) return this.number(low);
    const digits = hex(high) + hex8(low);
    return this.plainHex ? this.hexStart + digits : this.styledHex(digits);
  }

  /** Target of a branch, by unsigned halves. */
  target(high: number, low: number): string {
    return addressOrSymbol(this, high, low);
  }

  private styledHex(digits: string): string {
    const cased = this.uppercaseHex ? digits.toUpperCase() : digits;
    const lead = this.hexEnd !== '' && digits > '9~' ? '0' : '';
    return this.hexStart + lead + cased + this.hexEnd;
  }
}

/**
 * Makes a syntax's lookup of themes by options object. The last one is kept at hand, as callers nearly always pass the same.
 */
export function themes<O extends FormatOptions, T>(
  make: (options: O, marked: boolean) => T,
  marked: boolean,
): (options: O | undefined) => T {
  const known = new WeakMap<O, T>();
  const none = {} as O;
  let lastOptions: O | undefined;
  let last: T | undefined;
  return (options) => {
    if (last !== undefined && options === lastOptions) return last;
    const key = options ?? none;
    let theme = known.get(key);
    if (theme === undefined) {
      theme = make(key, marked);
      known.set(key, theme);
    }
    lastOptions = options;
    last = theme;
    return theme;
  };
}
