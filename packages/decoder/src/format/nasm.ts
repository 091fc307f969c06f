/**
 * NASM syntax: `mov dword [rbp-8], 0x10`.
 */
import { memoryTypeNames } from '../generated/decode-tables.ts';
import * as generated from '../generated/format-nasm.ts';
import { DecodeStatus, EncodingSpace, type Instruction } from '../instruction.ts';
import { Place } from '../operands.ts';
import { RegisterClass } from '../registers.ts';
import { memoryTypeSizes, operandListOf, operandLists, operandSpecs } from '../tables.ts';
import { Common, SizeMark, Slot, Style } from './bits.ts';
import { commons, styleColumn } from './columns.ts';
import { broadcastText, Decorations, elementShift, formText, maskText, roundingText } from './decorations.ts';
import {
  BracketWords,
  bracketContent,
  constantAddress,
  implicitSegment,
  isRelative,
  relativeAddress,
  shownSegment,
} from './memory.ts';
import { highHalf, lowHalf } from './numbers.ts';
import {
  absoluteTarget,
  farOffset,
  hiddenOperands,
  hideAll,
  immediateText,
  nopRegister,
  registerText,
  targetText,
  valueDependent,
} from './operands.ts';
import type { FormatOptions, Span } from './options.ts';
import { branchHint, PrefixWords, prefixText, spokenPrefixes } from './prefixes.ts';
import { splitSpans } from './spans.ts';
import { Theme, themes } from './theme.ts';

export type { FormatOptions, Span, SpanKind, SymbolReference } from './options.ts';

const column = styleColumn(generated);
const { styles, recipes, recipeOf } = column;
const sizeWords: Record<number, string> = {
  1: 'byte',
  2: 'word',
  4: 'dword',
  8: 'qword',
  10: 'tword',
  16: 'oword',
  32: 'yword',
  64: 'zword',
};
const segments = RegisterClass.segment << 5;
const counters: Record<number, number> = {
  16: RegisterClass.gpr16,
  32: RegisterClass.gpr32,
  64: RegisterClass.gpr64,
};

class NasmTheme extends Theme {
  readonly prefixes: PrefixWords;
  readonly decorations: Decorations;
  readonly brackets: BracketWords;
  readonly open: string;
  readonly close: string;
  readonly colon: string;
  readonly far: string;
  readonly short: string;
  readonly near: string;
  readonly to: string;
  readonly rel: string;
  readonly xchg: string;
  readonly bad: string;
  /** `dword ` by row of the memory type table. */
  readonly memorySizeWords: readonly string[];
  /** Operand size as a prefix, as a suffix and as a keyword: 16, 32, 64. */
  readonly operandPrefixes: readonly string[];
  readonly operandSuffixes: readonly string[];
  readonly operandWords: readonly string[];
  /** Address size as a prefix and as a keyword, by size. */
  readonly addressPrefixes: Readonly<Record<number, string>>;
  readonly addressWords: Readonly<Record<number, string>>;

  constructor(options: FormatOptions, marked: boolean) {
    const spell = (name: string) => (name === 'st' ? 'st0' : name.replace(/[()]/g, ''));
    super(
      { registerPrefix: '', plainDigits: true, spaceAfterComma: true, ripRelative: false, spell },
      column,
      options,
      marked,
    );
    const prefix = (text: string) => this.token('prefix', text) + this.space;
    const keyword = (text: string) => this.token('keyword', text) + this.space;
    this.prefixes = new PrefixWords(this);
    this.decorations = new Decorations(this, ['{rn-sae}', '{rd-sae}', '{ru-sae}', '{rz-sae}']);
    this.brackets = new BracketWords(this);
    this.open = this.token('punctuation', '[');
    this.close = this.token('punctuation', ']');
    this.colon = this.token('punctuation', ':');
    this.far = keyword('far');
    this.short = keyword('short');
    this.near = keyword('near');
    this.to = keyword('to');
    this.rel = keyword('rel');
    this.xchg = this.token('mnemonic', 'xchg') + this.space;
    this.bad = this.token('text', '(bad)', false);
    this.memorySizeWords = memoryTypeNames.split(' ').map((name, row) => {
      const word = name === 'handle384' ? 'mem384' : sizeWords[memoryTypeSizes[row]];
      return word === undefined ? '' : keyword(word);
    });
    this.operandPrefixes = ['o16', 'o32', 'o64'].map(prefix);
    this.operandSuffixes = ['w', 'd', 'q'].map((letter) => this.token('mnemonic', letter));
    this.operandWords = ['word', 'dword', 'qword'].map(keyword);
    this.addressPrefixes = { 16: prefix('a16'), 32: prefix('a32'), 64: prefix('a64') };
    this.addressWords = { 16: keyword('word'), 32: keyword('dword'), 64: keyword('qword') };
  }
}

const themeOf = themes((options, marked) => new NasmTheme(options, marked), false);
const markedThemeOf = themes((options, marked) => new NasmTheme(options, marked), true);

/**
 * Text of an instruction in NASM syntax; `(bad)` if it is not a decoded one.
 *
 * @param address where the instruction stands: branch targets and RIP-relative addresses count from it. Default 0.
 */
export function formatNasm(
  instruction: Instruction,
  address: number | bigint = 0,
  options?: FormatOptions,
): string {
  return write(themeOf(options), instruction, highHalf(address), lowHalf(address));
}

/** The same text in pieces, each with its kind. */
export function formatNasmSpans(
  instruction: Instruction,
  address: number | bigint = 0,
  options?: FormatOptions,
): Span[] {
  return splitSpans(write(markedThemeOf(options), instruction, highHalf(address), lowHalf(address)));
}

const headBits = (7 << Style.markModesShift) | Style.addressPrefix | Style.movabs;

function write(theme: NasmTheme, instruction: Instruction, addressHigh: number, addressLow: number): string {
  if (instruction.status !== DecodeStatus.ok) return theme.bad;
  const { encoding } = instruction;
  const style = styles[encoding];
  const common = commons[encoding];
  const list = operandListOf[encoding];

  let mnemonic = theme.mnemonics[encoding];
  let hidden = 0;
  if ((common & valueDependent) !== 0) {
    if ((common & Common.nop) !== 0) {
      const register = nopRegister(instruction);
      if (register !== 0)
        return (
          headText(theme, instruction, style, common, 0) +
          theme.xchg +
          theme.registers[register] +
          theme.comma +
          theme.registers[register]
        );
    }
    hidden = hiddenOperands(theme, instruction, common);
    const family = (common >> Common.pseudoShift) & 7;
    if (family !== 0) {
      const pseudo = theme.pseudo(family, encoding, instruction.immediate & 255);
      if (pseudo !== '') {
        mnemonic = pseudo;
        hidden = 1 << (operandLists[list] - 1);
      }
    }
  }
  let text = mnemonic;
  let lead = theme.space;
  if ((style & headBits) !== 0 || (instruction.prefixes & spokenPrefixes) !== 0) {
    const how = markOf(instruction, style);
    text = headText(theme, instruction, style, common, how) + mnemonic;
    if (how === SizeMark.suffix) text += theme.operandSuffixes[(style >> Style.markSizeShift) & 3];
    if ((style & Style.near) !== 0) lead += theme.near;
    if (how === SizeMark.keyword) lead += theme.operandWords[(style >> Style.markSizeShift) & 3];
  } else if ((style & Style.near) !== 0) lead += theme.near;
  if ((common & apxBits) !== 0 || instruction.noFlags !== 0) {
    text = formText(theme.decorations, instruction, common) + text;
    if ((common & Common.defaultFlags) !== 0)
      lead += theme.decorations.defaultFlags[instruction.defaultFlags];
  }
  if (hidden === hideAll) return text;
  if ((style & leadBits) !== 0)
    lead += (style & Style.far) !== 0 ? theme.far : (style & Style.short) !== 0 ? theme.short : theme.to;

  let at = recipeOf[encoding];
  for (let slot = recipes[at]; slot !== Slot.end; slot = recipes[++at]) {
    if (slot >= Slot.fixed) {
      const extra =
        slot === Slot.rounding
          ? roundingText(theme.decorations, instruction, common)
          : theme.fixed[slot - Slot.fixed];
      if (extra === '') continue;
      text += lead + extra;
    } else {
      const operand = slot & Slot.operand;
      if ((hidden >> operand) & 1) continue;
      text +=
        lead +
        operandText(theme, instruction, slot, list + 1 + operand, style, common, addressHigh, addressLow);
      if (operand === 0 && instruction.space === EncodingSpace.evex)
        text += maskText(theme.decorations, instruction);
    }
    lead = theme.comma;
  }
  if ((style & Style.loop) !== 0 && instruction.addressSize !== instruction.mode) {
    text += theme.comma + theme.registers[(counters[instruction.addressSize] << 5) | 1];
  }
  return text;
}

const apxBits = Common.promoted | Common.defaultFlags;
const leadBits = Style.far | Style.short | Style.to;

/** How the operand size is to be told in this mode. */
function markOf(instruction: Instruction, style: number): number {
  if (((style >> (Style.markModesShift + (instruction.mode >> 5))) & 1) === 0) return SizeMark.none;
  if ((style & Style.markOnlyMemory) !== 0 && instruction.modrm >= 0xc0) return SizeMark.none;
  return (style >> Style.markShift) & Style.markMask;
}

/** What stands in front of the mnemonic. */
function headText(
  theme: NasmTheme,
  instruction: Instruction,
  style: number,
  common: number,
  how: number,
): string {
  let text = how === SizeMark.prefix ? theme.operandPrefixes[(style >> Style.markSizeShift) & 3] : '';
  // In 64-bit code moffs with 32 bits is an address of which NASM cannot be told the size in another way.
  const prefixed =
    (style & Style.addressPrefix) !== 0 || ((style & Style.movabs) !== 0 && instruction.mode === 64);
  if (prefixed && instruction.addressSize !== instruction.mode)
    text += theme.addressPrefixes[instruction.addressSize];
  // NASM has the segments as branch hints, and as prefixes of what has no memory operand.
  const segment =
    branchHint(instruction, common) !== 0
      ? instruction.segmentOverride
      : (style & Style.segmentPrefix) !== 0
        ? implicitSegment(instruction, common)
        : 0;
  if (segment !== 0) text += theme.registers[segments | (segment - 1)] + theme.space;
  return text + prefixText(theme.prefixes, instruction, common);
}

function operandText(
  theme: NasmTheme,
  instruction: Instruction,
  slot: number,
  listIndex: number,
  style: number,
  common: number,
  addressHigh: number,
  addressLow: number,
): string {
  const row = operandLists[listIndex];
  const spec = operandSpecs[row];
  const place = spec & 31;
  switch (place) {
    case Place.rm:
      if (instruction.modrm >= 0xc0 || ((spec >> 10) & 255) === 0)
        return registerText(theme, instruction, slot, row);
      break;
    case Place.imm:
    case Place.imm16:
    case Place.imm32:
    case Place.imm64:
    case Place.imm4:
    case Place.one:
      return immediateText(
        theme,
        instruction,
        place,
        (slot & Slot.operand) > 0 ? operandLists[listIndex - 1] : -1,
      );
    case Place.rel:
      return targetText(theme, instruction, addressHigh, addressLow);
    case Place.disp:
      return absoluteTarget(theme, instruction);
    case Place.far:
      return theme.number(instruction.immediate2) + theme.colon + theme.number(farOffset(instruction));
    case Place.moffs:
      break;
    default:
      return registerText(theme, instruction, slot, row);
  }

  let text = '';
  const sized =
    (theme.memorySizes && (style & Style.unsized) === 0) ||
    ((style >> (Style.memorySizeShift + (instruction.mode >> 5))) & 1) !== 0;
  if (instruction.broadcast !== 0) {
    if ((style & Style.sizedBroadcast) !== 0 || theme.memorySizes)
      text = theme.operandWords[elementShift(instruction.encoding) - 1];
  } else if (sized) text = theme.memorySizeWords[(spec >> 10) & 255];
  text += theme.open;
  if (place === Place.moffs) {
    if (
      instruction.mode === 64 ? instruction.addressSize === 64 : instruction.addressSize !== instruction.mode
    )
      text += theme.addressWords[instruction.addressSize];
    text += segmentText(theme, instruction, place, common) + constantAddress(theme, instruction);
  } else {
    const address = isRelative(instruction)
      ? relativeAddress(theme, instruction, addressHigh, addressLow)
      : undefined;
    if (address !== undefined) {
      text += instruction.addressSize === 64 ? theme.rel : theme.addressWords[32] + theme.rel;
    }
    text += segmentText(theme, instruction, place, common);
    text += address ?? bracketContent(theme, theme.brackets, instruction, common);
  }
  text += theme.close;
  return instruction.broadcast !== 0 ? text + broadcastText(theme.decorations, instruction, spec) : text;
}

function segmentText(theme: NasmTheme, instruction: Instruction, place: number, common: number): string {
  const segment = instruction.segmentOverride === 0 ? 0 : shownSegment(instruction, place, common);
  return segment === 0 ? '' : theme.registers[segments | (segment - 1)] + theme.colon;
}
