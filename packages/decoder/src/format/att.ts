/**
 * AT&T syntax as the GNU assembler and objdump write it: `movl $0x10,-0x8(%rbp)`.
 */
import * as generated from '../generated/format-att.ts';
import { DecodeStatus, EncodingSpace, type Instruction } from '../instruction.ts';
import { Place, registerOfSpec } from '../operands.ts';
import { RegisterClass } from '../registers.ts';
import { operandListOf, operandLists, operandSpecs } from '../tables.ts';
import { Common, SizeMark, Slot, Style } from './bits.ts';
import { commons, styleColumn } from './columns.ts';
import { broadcastText, Decorations, formText, maskText, roundingText } from './decorations.ts';
import {
  constantAddress,
  implicitSegment,
  impliedBase,
  isRelative,
  relativeAddress,
  shownSegment,
} from './memory.ts';
import { highHalf, lowHalf } from './numbers.ts';
import { ObjdumpWords, objdumpPrefixes, objdumpSegment, objdumpTarget, shiftsByOne } from './objdump.ts';
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
import { marks, splitSpans } from './spans.ts';
import { Theme, themes } from './theme.ts';

export type { FormatOptions, Span, SpanKind, SymbolReference } from './options.ts';

export interface AttFormatOptions extends FormatOptions {
  /**
   * As `objdump -d` of binutils 2.40 prints what compilers emit: mnemonics padded to six characters, branch targets with their symbol
   * behind bare digits, segments of string instructions, prefixes without effect, and more. Without objdump's remark on the
   * address of memory relative to RIP, its text for bytes that are no instruction, the operands that it gives MONITOR and MWAIT, and
   * the order of several prefixes. Default false.
   */
  readonly objdump?: boolean;
}

const column = styleColumn(generated);
const { styles, recipes, recipeOf } = column;
const segments = RegisterClass.segment << 5;
const dx = (RegisterClass.gpr16 << 5) | 2;
/** The order is that of scripts/table/format-att.ts. */
const suffixes = ['', 'b', 'w', 'l', 'q', 's', 't', 'x', 'y', 'z', 'll'];

class AttTheme extends Theme {
  readonly prefixes: PrefixWords;
  readonly decorations: Decorations;
  readonly open: string;
  readonly close: string;
  readonly colon: string;
  readonly minus: string;
  readonly dollar: string;
  readonly star: string;
  /** Between base, index and factor. */
  readonly memoryComma: string;
  /** Comma and factor, by its logarithm; the factor 1 is not written. */
  readonly factors: readonly string[];
  readonly zero: string;
  readonly objdump: boolean;
  readonly objdumpWords: ObjdumpWords;
  readonly suffixes: readonly string[];
  readonly movabs: string;
  readonly xchg: string;
  readonly bad: string;
  /** Operand size as a prefix, as a suffix: 16, 32, 64. */
  readonly operandPrefixes: readonly string[];
  readonly operandSuffixes: readonly string[];
  readonly operandSizeByte: string;
  /** Address size as a prefix, as a suffix, by size. */
  readonly addressPrefixes: Readonly<Record<number, string>>;
  readonly addressSuffixes: Readonly<Record<number, string>>;
  /** By `segmentOverride`. */
  readonly segmentPrefixes: readonly string[];
  /** Behind the mnemonic, by `branchHint`. */
  readonly hints: readonly string[];

  constructor(options: AttFormatOptions, marked: boolean) {
    const objdump = options.objdump ?? false;
    const mnemonics = objdump
      ? column.mnemonics.map((name) => (name === 'sal' ? 'shl' : name))
      : column.mnemonics;
    const spell = (name: string) => (objdump ? name.replace(/^dr(?=\d)/, 'db') : name);
    super(
      {
        registerPrefix: '%',
        plainDigits: false,
        spaceAfterComma: false,
        ripRelative: true,
        numbersForMemory: objdump,
        spell,
      },
      { mnemonics },
      options,
      marked,
    );
    const prefix = (text: string) => this.token('prefix', text) + this.space;
    const letter = (text: string) => (text === '' ? '' : this.token('mnemonic', text));
    this.prefixes = new PrefixWords(this);
    this.decorations = new Decorations(this, ['{rn-sae}', '{rd-sae}', '{ru-sae}', '{rz-sae}'], '%');
    this.open = this.token('punctuation', '(');
    this.close = this.token('punctuation', ')');
    this.colon = this.token('punctuation', ':');
    this.minus = this.token('punctuation', '-');
    this.dollar = this.token('punctuation', '$');
    this.star = this.token('punctuation', '*');
    this.memoryComma = this.token('punctuation', ',');
    this.objdump = objdump;
    this.objdumpWords = new ObjdumpWords(this);
    this.factors = ['1', '2', '4', '8'].map((factor) =>
      factor === '1' && !this.objdump ? '' : this.memoryComma + this.token('number', factor, false),
    );
    this.zero = this.number(0);
    this.suffixes = suffixes.map(letter);
    this.movabs = this.token('mnemonic', 'movabs');
    this.xchg = this.token('mnemonic', 'xchg') + this.space;
    this.bad = this.token('text', '(bad)', false);
    this.operandPrefixes = ['data16', 'data32', 'rex.w'].map(prefix);
    this.operandSuffixes = ['w', 'l', 'q'].map(letter);
    this.operandSizeByte =
      this.token('prefix', '.byte') +
      this.space +
      this.number(0x66) +
      this.token('punctuation', ';') +
      this.space;
    this.addressPrefixes = { 16: prefix('addr16'), 32: prefix('addr32'), 64: prefix('addr64') };
    this.addressSuffixes = { 16: letter('w'), 32: letter('l'), 64: letter('q') };
    this.segmentPrefixes = ['', 'es', 'cs', 'ss', 'ds', 'fs', 'gs'].map(prefix);
    this.hints = ['', ',pn', ',pt'].map(letter);
  }

  /** Characters that are seen. */
  width(text: string): number {
    return this.marked ? text.replace(marks, '').length : text.length;
  }

  override target(high: number, low: number): string {
    return this.objdump ? objdumpTarget(this, this.objdumpWords, high, low) : super.target(high, low);
  }
}

const themeOf = themes((options, marked) => new AttTheme(options, marked), false);
const markedThemeOf = themes((options, marked) => new AttTheme(options, marked), true);

/**
 * Text of an instruction in AT&T syntax; `(bad)` if it is not a decoded one.
 *
 * @param address where the instruction stands: branch targets and RIP-relative addresses count from it. Default 0.
 */
export function formatAtt(
  instruction: Instruction,
  address: number | bigint = 0,
  options?: AttFormatOptions,
): string {
  return write(themeOf(options), instruction, highHalf(address), lowHalf(address));
}

/** The same text in pieces, each with its kind. */
export function formatAttSpans(
  instruction: Instruction,
  address: number | bigint = 0,
  options?: AttFormatOptions,
): Span[] {
  return splitSpans(write(markedThemeOf(options), instruction, highHalf(address), lowHalf(address)));
}

const headBits = (7 << Style.markModesShift) | Style.addressPrefix | Style.segmentPrefix;
const suffixBits = (7 << Style.markModesShift) | (7 << Style.memorySizeShift) | Style.loop | Style.movabs;

function write(theme: AttTheme, instruction: Instruction, addressHigh: number, addressLow: number): string {
  if (instruction.status !== DecodeStatus.ok) return theme.bad;
  const { encoding } = instruction;
  const style = styles[encoding];
  const common = commons[encoding];
  const list = operandListOf[encoding];

  let text = '';
  const spoken = (instruction.prefixes & spokenPrefixes) !== 0;
  if (theme.objdump || (style & headBits) !== 0 || spoken) text = headText(theme, instruction, style, common);
  let mnemonic = theme.mnemonics[encoding];
  let hidden = 0;
  if ((common & valueDependent) !== 0) {
    if ((common & Common.nop) !== 0) {
      const register = nopRegister(instruction);
      if (register !== 0)
        return (
          text +
          theme.xchg +
          (theme.objdump ? theme.objdumpWords.spaces[2] : '') +
          theme.registers[register] +
          theme.comma +
          theme.registers[register]
        );
    }
    if (!theme.objdump) hidden = hiddenOperands(theme, instruction, common);
    const family = (common >> Common.pseudoShift) & 7;
    if (family !== 0) {
      const pseudo = theme.pseudo(family, encoding, instruction.immediate & 255);
      if (pseudo !== '') {
        mnemonic = pseudo;
        hidden = 1 << (operandLists[list] - 1);
      }
    }
  }
  if (theme.objdump && shiftsByOne(list, operandLists[list])) hidden = 2;
  if ((style & Style.movabs) !== 0 && instruction.addressSize === 64) mnemonic = theme.movabs;
  if ((common & Common.promoted) !== 0 || instruction.noFlags !== 0)
    text += formText(theme.decorations, instruction, common);
  text += mnemonic;
  if ((style & suffixBits) !== 0) text += suffixText(theme, instruction, style);
  if (spoken) text += theme.hints[branchHint(instruction, common)];
  if (hidden === hideAll) return text;

  let at = recipeOf[encoding];
  let lead = theme.objdump ? theme.objdumpWords.spaces[Math.max(1, 7 - theme.width(text))] : theme.space;
  if ((style & Style.indirect) !== 0) lead += theme.star;
  else if ((common & Common.defaultFlags) !== 0)
    lead += theme.decorations.defaultFlags[instruction.defaultFlags];
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
        lead + operandText(theme, instruction, slot, list + 1 + operand, common, addressHigh, addressLow);
      if (operand === 0 && instruction.space === EncodingSpace.evex)
        text += maskText(theme.decorations, instruction);
    }
    lead = theme.comma;
  }
  return text;
}

/** What stands in front of the mnemonic. */
function headText(theme: AttTheme, instruction: Instruction, style: number, common: number): string {
  let text = '';
  if ((style >> (Style.markModesShift + (instruction.mode >> 5))) & 1) {
    const how = (style >> Style.markShift) & Style.markMask;
    if (how === SizeMark.prefix) text = theme.operandPrefixes[(style >> Style.markSizeShift) & 3];
    else if (how === SizeMark.byte) text = theme.operandSizeByte;
  }
  if ((style & Style.addressPrefix) !== 0 && instruction.addressSize !== instruction.mode)
    text += theme.addressPrefixes[instruction.addressSize];
  const segment = (style & Style.segmentPrefix) !== 0 ? implicitSegment(instruction, common) : 0;
  if (segment !== 0) text += theme.segmentPrefixes[segment];
  if (!theme.objdump) return text + prefixText(theme.prefixes, instruction, common);
  const impliesMemory =
    (common & Common.implicitSegment) !== 0 ||
    (style & (Style.movabs | Style.addressPrefix | Style.loop)) !== 0;
  const hasMemory = impliesMemory || (instruction.modrm >= 0 && instruction.modrm < 0xc0);
  return text + objdumpPrefixes(theme.objdumpWords, instruction, common, hasMemory);
}

/** Letters behind the mnemonic. */
function suffixText(theme: AttTheme, instruction: Instruction, style: number): string {
  const mode = instruction.mode >> 5;
  if (theme.objdump && (style & Style.plainInObjdump) !== 0) {
    // Usual: the mode's size, in 64-bit code also 32 bits where there are no 64.
    if (instruction.operandSize === 16 ? mode === 0 : mode !== 0) return '';
  }
  if (
    (style >> (Style.markModesShift + mode)) & 1 &&
    ((style >> Style.markShift) & Style.markMask) === SizeMark.suffix
  ) {
    return theme.operandSuffixes[(style >> Style.markSizeShift) & 3];
  }
  if (
    (style >> (Style.memorySizeShift + mode)) & 1 &&
    instruction.modrm < 0xc0 &&
    instruction.broadcast === 0
  )
    return theme.suffixes[(style >> Style.suffixShift) & 15];
  if ((style & Style.loop) !== 0 && instruction.addressSize !== instruction.mode)
    return theme.addressSuffixes[instruction.addressSize];
  return '';
}

function operandText(
  theme: AttTheme,
  instruction: Instruction,
  slot: number,
  listIndex: number,
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
      return (
        theme.dollar +
        immediateText(theme, instruction, place, (slot & Slot.operand) > 0 ? operandLists[listIndex - 1] : -1)
      );
    case Place.rel:
      return targetText(theme, instruction, addressHigh, addressLow);
    case Place.disp:
      // JMPABS has an immediate, JMPE an address.
      return (instruction.immediateSize === 8 ? theme.dollar : '') + absoluteTarget(theme, instruction);
    case Place.far:
      return (
        theme.dollar +
        theme.number(instruction.immediate2) +
        theme.comma +
        theme.dollar +
        theme.number(farOffset(instruction))
      );
    case Place.moffs:
    case Place.segSi:
    case Place.esDi:
    case Place.segDi:
    case Place.segBxAl:
      break;
    default:
      if (theme.objdump && place === Place.fixed && registerOfSpec(instruction, row) === dx)
        return theme.objdumpWords.dx;
      return place === Place.fixed && ((spec >> 5) & 31) === RegisterClass.x87
        ? theme.fixed[0]
        : registerText(theme, instruction, slot, row);
  }

  const segment = theme.objdump
    ? objdumpSegment(instruction, place)
    : instruction.segmentOverride === 0
      ? 0
      : shownSegment(instruction, place, common);
  let text =
    segment === 0 ? '' : theme.registers[segments | (place === Place.esDi ? 0 : segment - 1)] + theme.colon;
  if (place === Place.rm) text += modrmText(theme, instruction, common, addressHigh, addressLow);
  else if (place === Place.moffs) text += constantAddress(theme, instruction);
  else text += theme.open + theme.registers[impliedBase(instruction, place)] + theme.close;
  return instruction.broadcast !== 0 ? text + broadcastText(theme.decorations, instruction, spec) : text;
}

/** `displacement(base,index,factor)`. */
function modrmText(
  theme: AttTheme,
  instruction: Instruction,
  common: number,
  addressHigh: number,
  addressLow: number,
): string {
  const { base, index, displacement } = instruction;
  if (index === 0) {
    if (base === 0 && !(theme.objdump && instruction.scale !== 0)) return constantAddress(theme, instruction);
    if (isRelative(instruction)) {
      const named = relativeAddress(theme, instruction, addressHigh, addressLow);
      // A symbol stands for the displacement, a plain address for all of it.
      if (named !== undefined)
        return theme.ripRelative ? named + theme.open + theme.registers[base] + theme.close : named;
    }
  }
  let text = '';
  if (displacement > 0) text = theme.number(displacement);
  else if (displacement < 0) text = theme.minus + theme.number(-displacement >>> 0);
  else if (instruction.displacementSize !== 0) text = theme.zero;
  text += theme.open;
  if (base !== 0) text += theme.registers[base];
  if (index !== 0) {
    text += theme.memoryComma + theme.registers[index];
    if ((common & Common.noScale) === 0) text += theme.factors[instruction.scale];
  } else if (theme.objdump) {
    // A SIB byte is shown as such if it says more than RSP needs.
    if (instruction.sib >= 0 && (instruction.scale !== 0 || (instruction.sib & 7) !== 4)) {
      text +=
        theme.memoryComma +
        theme.objdumpWords.noIndex[instruction.addressSize] +
        theme.factors[instruction.scale];
    }
  } else if (instruction.scale !== 0 && (common & Common.noScale) === 0) {
    // A factor without an index, as iced-x86 shows it.
    text += theme.memoryComma;
  }
  return text + theme.close;
}
