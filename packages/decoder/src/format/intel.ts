/**
 * Intel syntax as XED and Intel's manuals write it: `mov dword ptr [rbp-8], 0x10`.
 */
import { memoryTypeNames } from '../generated/decode-tables.ts';
import * as generated from '../generated/format-intel.ts';
import { DecodeStatus, EncodingSpace, type Instruction } from '../instruction.ts';
import { Place } from '../operands.ts';
import { RegisterClass } from '../registers.ts';
import { memoryTypeSizes, operandListOf, operandLists, operandSpecs } from '../tables.ts';
import { Common, Slot, Style } from './bits.ts';
import { commons, styleColumn } from './columns.ts';
import {
  broadcastText,
  Decorations,
  elementShift,
  formText,
  maskText,
  opmaskRegister,
  roundingText,
} from './decorations.ts';
import {
  BracketWords,
  bracketContent,
  constantAddress,
  implicitSegment,
  impliedBase,
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
  6: 'fword',
  8: 'qword',
  10: 'tbyte',
  16: 'xmmword',
  32: 'ymmword',
  64: 'zmmword',
};
/** XED's words for structures. */
const specialWords: Record<string, string> = { pseudo80: 'fword', handle384: 'mem384' };
const segments = RegisterClass.segment << 5;

class IntelTheme extends Theme {
  readonly prefixes: PrefixWords;
  readonly decorations: Decorations;
  readonly brackets: BracketWords;
  readonly open: string;
  readonly close: string;
  readonly colon: string;
  readonly far: string;
  readonly short: string;
  readonly xchg: string;
  readonly bad: string;
  /** `dword ptr ` by row of the memory type table. */
  readonly memorySizeWords: readonly string[];
  /** By the logarithm of the element's size. */
  readonly elementSizeWords: readonly string[];
  /** Prefix that tells the operand size: 16, 32, 64. */
  readonly operandSizes: readonly string[];
  /** Prefix that tells the address size, by size. */
  readonly addressSizes: Readonly<Record<number, string>>;
  /** By `branchHint`. */
  readonly hints: readonly string[];

  constructor(options: FormatOptions, marked: boolean) {
    super(
      { registerPrefix: '', plainDigits: true, spaceAfterComma: true, ripRelative: false },
      column,
      options,
      marked,
    );
    const prefix = (text: string) => this.token('prefix', text) + this.space;
    const sizeKeyword = (text: string) => this.token('keyword', `${text} ptr`) + this.space;
    this.prefixes = new PrefixWords(this);
    this.decorations = new Decorations(this, ['{rne-sae}', '{rd-sae}', '{ru-sae}', '{rz-sae}']);
    this.brackets = new BracketWords(this);
    this.open = this.token('punctuation', '[');
    this.close = this.token('punctuation', ']');
    this.colon = this.token('punctuation', ':');
    this.far = this.space + this.token('keyword', 'far');
    this.short = this.space + this.token('keyword', 'short');
    this.xchg = this.token('mnemonic', 'xchg') + this.space;
    this.bad = this.token('text', '(bad)', false);
    this.memorySizeWords = memoryTypeNames.split(' ').map((name, row) => {
      const word = specialWords[name] ?? (name.startsWith('fpu') ? name : sizeWords[memoryTypeSizes[row]]);
      return word === undefined ? '' : sizeKeyword(word);
    });
    this.elementSizeWords = ['byte', 'word', 'dword', 'qword'].map(sizeKeyword);
    this.operandSizes = ['data16', 'data32', 'data64'].map(prefix);
    this.addressSizes = { 16: prefix('addr16'), 32: prefix('addr32'), 64: prefix('addr64') };
    this.hints = ['', prefix('hint-not-taken'), prefix('hint-taken')];
  }
}

const themeOf = themes((options, marked) => new IntelTheme(options, marked), false);
const markedThemeOf = themes((options, marked) => new IntelTheme(options, marked), true);

/**
 * Text of an instruction in Intel syntax; `(bad)` if it is not a decoded one.
 *
 * @param address where the instruction stands: branch targets and RIP-relative addresses count from it. Default 0.
 */
export function formatIntel(
  instruction: Instruction,
  address: number | bigint = 0,
  options?: FormatOptions,
): string {
  return write(themeOf(options), instruction, highHalf(address), lowHalf(address));
}

/** The same text in pieces, each with its kind. */
export function formatIntelSpans(
  instruction: Instruction,
  address: number | bigint = 0,
  options?: FormatOptions,
): Span[] {
  return splitSpans(write(markedThemeOf(options), instruction, highHalf(address), lowHalf(address)));
}

/** XED writes the 10 of AAM and AAD. */
const values = valueDependent & ~Common.implies10;
const headBits = (7 << Style.markModesShift) | Style.addressPrefix | Style.loop;

function write(theme: IntelTheme, instruction: Instruction, addressHigh: number, addressLow: number): string {
  if (instruction.status !== DecodeStatus.ok) return theme.bad;
  const { encoding } = instruction;
  const style = styles[encoding];
  const common = commons[encoding];
  const list = operandListOf[encoding];

  let text = '';
  if ((style & headBits) !== 0 || (instruction.prefixes & spokenPrefixes) !== 0)
    text = headText(theme, instruction, style, common);
  let mnemonic = theme.mnemonics[encoding];
  let hidden = 0;
  if ((common & values) !== 0) {
    if ((common & Common.nop) !== 0) {
      const register = nopRegister(instruction);
      if (register !== 0)
        return text + theme.xchg + theme.registers[register] + theme.comma + theme.registers[register];
    }
    hidden = hiddenOperands(theme, instruction, common & values);
    const family = (common >> Common.pseudoShift) & 7;
    if (family !== 0) {
      const pseudo = theme.pseudo(family, encoding, instruction.immediate & 255);
      if (pseudo !== '') {
        mnemonic = pseudo;
        hidden = 1 << (operandLists[list] - 1);
      }
    }
  }
  if ((common & Common.promoted) !== 0 || instruction.noFlags !== 0)
    text += formText(theme.decorations, instruction, common);
  text += mnemonic;
  if ((style & (Style.far | Style.short)) !== 0) text += (style & Style.far) !== 0 ? theme.far : theme.short;
  if (hidden === hideAll) return text;

  let at = recipeOf[encoding];
  let separator = theme.space;
  if ((common & Common.defaultFlags) !== 0)
    separator += theme.decorations.defaultFlags[instruction.defaultFlags];
  for (let slot = recipes[at]; slot !== Slot.end; slot = recipes[++at]) {
    if (slot >= Slot.fixed) {
      const extra = extraOperand(theme, instruction, slot, common);
      if (extra === '') continue;
      text += separator + extra;
    } else {
      const operand = slot & Slot.operand;
      if ((hidden >> operand) & 1) continue;
      text +=
        separator +
        operandText(theme, instruction, slot, list + 1 + operand, style, common, addressHigh, addressLow);
      if (operand === 0 && instruction.space === EncodingSpace.evex) {
        if ((style & Style.opmaskOperand) === 0) text += maskText(theme.decorations, instruction);
        text += roundingText(theme.decorations, instruction, common);
      }
    }
    separator = theme.comma;
  }
  return text;
}

/** What stands in front of the mnemonic. */
function headText(theme: IntelTheme, instruction: Instruction, style: number, common: number): string {
  let text = '';
  if ((style >> (Style.markModesShift + (instruction.mode >> 5))) & 1)
    text = theme.operandSizes[(style >> Style.markSizeShift) & 3];
  if ((style & (Style.addressPrefix | Style.loop)) !== 0 && instruction.addressSize !== instruction.mode) {
    text += theme.addressSizes[instruction.addressSize];
  }
  const segment = (style & Style.segmentPrefix) !== 0 ? implicitSegment(instruction, common) : 0;
  if (segment !== 0) text += theme.registers[segments | (segment - 1)] + theme.space;
  return (
    text + theme.hints[branchHint(instruction, common)] + prefixText(theme.prefixes, instruction, common)
  );
}

/** Registers that are written though they are no operands in the table. */
function extraOperand(theme: IntelTheme, instruction: Instruction, slot: number, common: number): string {
  if (slot === Slot.opmask) return theme.registers[opmaskRegister(instruction)];
  if (slot !== Slot.segment) return theme.fixed[slot - Slot.fixed];
  const segment = shownSegment(instruction, Place.segDi, common);
  return segment === 0 ? '' : theme.registers[segments | (segment - 1)];
}

function operandText(
  theme: IntelTheme,
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
      return theme.number(farOffset(instruction)) + theme.comma + theme.number(instruction.immediate2);
    case Place.moffs:
    case Place.segSi:
    case Place.esDi:
    case Place.segDi:
    case Place.segBxAl:
      break;
    default:
      return place === Place.fixed && ((spec >> 5) & 31) === RegisterClass.x87
        ? theme.fixed[0]
        : registerText(theme, instruction, slot, row);
  }

  let text = '';
  const sized =
    (theme.memorySizes && (style & Style.unsized) === 0) ||
    ((style >> (Style.memorySizeShift + (instruction.mode >> 5))) & 1) !== 0;
  if (instruction.broadcast !== 0) {
    if (theme.memorySizes) text = theme.elementSizeWords[elementShift(instruction.encoding)];
  } else if (sized) text = theme.memorySizeWords[(spec >> 10) & 255];
  const segment = instruction.segmentOverride === 0 ? 0 : shownSegment(instruction, place, common);
  if (segment !== 0)
    text += theme.registers[segments | (place === Place.esDi ? 0 : segment - 1)] + theme.colon;
  text += theme.open;
  if (place === Place.rm)
    text +=
      (isRelative(instruction) ? relativeAddress(theme, instruction, addressHigh, addressLow) : undefined) ??
      bracketContent(theme, theme.brackets, instruction, common);
  else if (place === Place.moffs) text += constantAddress(theme, instruction);
  else text += theme.registers[impliedBase(instruction, place)];
  text += theme.close;
  return instruction.broadcast !== 0 ? text + broadcastText(theme.decorations, instruction, spec) : text;
}
