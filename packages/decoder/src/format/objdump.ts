import { EncodingSpace, type Instruction, Prefix } from '../instruction.ts';
import { Place } from '../operands.ts';
import { operandLists, operandSpecs } from '../tables.ts';
import { Common } from './bits.ts';
import { hex, hex8 } from './numbers.ts';
import { branchHint, isElision, isNotrack } from './prefixes.ts';
import { addressText } from './symbols.ts';
import type { Theme } from './theme.ts';

/*
 * What objdump writes in another way than AT&T syntax needs it. The order of prefix bytes is not kept in an instruction: several are
 * written in the order in which assemblers emit them.
 */

export class ObjdumpWords {
  readonly lock: string;
  readonly xacquire: string;
  readonly xrelease: string;
  readonly repz: string;
  readonly repnz: string;
  readonly rep: string;
  readonly bnd: string;
  readonly notrack: string;
  readonly data16: string;
  readonly rexW: string;
  /** By size. */
  readonly addressSizes: Readonly<Record<number, string>>;
  /** By `segmentOverride`. */
  readonly segments: readonly string[];
  readonly dx: string;
  /** Index register that means none, by address size. */
  readonly noIndex: Readonly<Record<number, string>>;
  readonly symbolStart: string;
  readonly symbolEnd: string;
  readonly spaces: readonly string[];

  constructor(theme: Theme) {
    const prefix = (text: string) => theme.token('prefix', text) + theme.space;
    this.lock = prefix('lock');
    this.xacquire = prefix('xacquire');
    this.xrelease = prefix('xrelease');
    this.repz = prefix('repz');
    this.repnz = prefix('repnz');
    this.rep = prefix('rep');
    this.bnd = prefix('bnd');
    this.notrack = prefix('notrack');
    this.data16 = prefix('data16');
    this.rexW = theme.token('prefix', 'rex.W', false) + theme.space;
    this.addressSizes = { 16: prefix('addr16'), 32: prefix('addr32'), 64: '' };
    this.segments = ['', 'es', 'cs', 'ss', 'ds', 'fs', 'gs'].map(prefix);
    this.dx =
      theme.token('punctuation', '(') + theme.token('register', '%dx') + theme.token('punctuation', ')');
    this.noIndex = { 32: theme.token('register', '%eiz'), 64: theme.token('register', '%riz') };
    this.symbolStart = theme.space + theme.token('punctuation', '<');
    this.symbolEnd = theme.token('punctuation', '>');
    this.spaces = Array.from({ length: 7 }, (_, count) => theme.token('text', ' '.repeat(count)));
  }
}

/** Prefixes in front of the mnemonic, those without effect as well. */
export function objdumpPrefixes(
  words: ObjdumpWords,
  instruction: Instruction,
  common: number,
  hasMemory: boolean,
): string {
  const { prefixes, repeat, rex, segmentOverride } = instruction;
  let text = '';
  let spare = repeatedPrefixes(instruction);
  if ((prefixes & Prefix.operandSize) !== 0) {
    const used =
      (common & Common.mandatory66) !== 0 ||
      ((common & Common.sized) !== 0 && instruction.operandSize !== 64);
    if (!used) spare++;
    for (; spare > 0; spare--) text += words.data16;
  }
  if (segmentOverride !== 0 && (!hasMemory || (segmentOverride < 5 && instruction.mode === 64))) {
    if (isNotrack(instruction, common)) text += words.notrack;
    else if (branchHint(instruction, common) === 0) text += words.segments[segmentOverride];
  }
  if (!hasMemory && instruction.addressSize !== instruction.mode && (prefixes & Prefix.addressSize) !== 0)
    text += words.addressSizes[instruction.addressSize];
  if (isElision(instruction, common)) text += repeat === 0xf2 ? words.xacquire : words.xrelease;
  else if (repeat !== 0 && (common & Common.usesRepeat) === 0) {
    if (repeat === 0xf2) text += (common & Common.bnd) !== 0 ? words.bnd : words.repnz;
    else
      text += (common & (Common.rep | Common.repne)) === (Common.rep | Common.repne) ? words.rep : words.repz;
  }
  if ((prefixes & Prefix.lock) !== 0) text += words.lock;
  if ((rex & 8) !== 0 && (common & Common.ignoresW) !== 0) text += words.rexW;
  return text;
}

const prefixBits = [
  Prefix.lock,
  Prefix.repne,
  Prefix.rep,
  Prefix.operandSize,
  Prefix.addressSize,
  Prefix.segment,
];
/** Bytes of 0F, 0F 38 and so on, by `opcodeMap`. */
const escapeBytes = [0, 1, 2, 2, 1];

/** How many prefix bytes are there more than once; padding repeats 66. */
function repeatedPrefixes(instruction: Instruction): number {
  const { prefixes } = instruction;
  if (instruction.space !== EncodingSpace.legacy) return 0;
  let count = instruction.opcodeOffset;
  if ((prefixes & Prefix.rex2) !== 0) count -= 2;
  else count -= escapeBytes[instruction.opcodeMap] + (instruction.rex !== 0 ? 1 : 0);
  for (const bit of prefixBits) {
    if ((prefixes & bit) !== 0) count--;
  }
  return count;
}

/** The 1 of a shift by one is not written. */
export function shiftsByOne(listIndex: number, count: number): boolean {
  return count === 2 && (operandSpecs[operandLists[listIndex + 2]] & 31) === Place.one;
}

/** Branch target: its bare digits with the symbol in angle brackets; with no symbol, a number like others. */
export function objdumpTarget(theme: Theme, words: ObjdumpWords, high: number, low: number): string {
  const symbol = theme.symbol === undefined ? undefined : addressText(theme, high, low);
  if (symbol === undefined) return theme.number64(high, low);
  const digits = theme.token('number', high === 0 ? hex(low) : hex(high) + hex8(low), false);
  return digits + words.symbolStart + symbol + words.symbolEnd;
}

/** Segment in front of memory: always for implied addresses, otherwise every override that has an effect. */
export function objdumpSegment(instruction: Instruction, place: number): number {
  const override =
    instruction.mode !== 64 || instruction.segmentOverride >= 5 ? instruction.segmentOverride : 0;
  if (place === Place.esDi) return 1;
  return place === Place.segSi || place === Place.segBxAl ? override || 4 : override;
}
