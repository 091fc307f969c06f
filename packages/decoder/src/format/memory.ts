import type { Instruction } from '../instruction.ts';
import { Place } from '../operands.ts';
import { RegisterClass } from '../registers.ts';
import { Common } from './bits.ts';
import { addressText } from './symbols.ts';
import type { Theme } from './theme.ts';

/** What stands between brackets, for the syntaxes that have them. */
export class BracketWords {
  readonly plus: string;
  readonly minus: string;
  readonly times: readonly string[];

  constructor(theme: Theme) {
    this.plus = theme.token('punctuation', '+');
    this.minus = theme.token('punctuation', '-');
    this.times = ['1', '2', '4', '8'].map(
      (factor) => theme.token('punctuation', '*') + theme.token('number', factor, false),
    );
  }
}

export function isRelative(instruction: Instruction): boolean {
  return instruction.base >> 5 === RegisterClass.instructionPointer;
}

/**
 * Segment override worth mention, as `segmentOverride` counts: one that has an effect and changes the segment; 0 if there is none.
 */
export function shownSegment(instruction: Instruction, place: number, common: number): number {
  const override = instruction.segmentOverride;
  if (override === 0 || (common & Common.noSegment) !== 0) return 0;
  if (instruction.mode === 64) return override >= 5 ? override : 0;
  const number = instruction.base & 31;
  const isStack = place === Place.rm && instruction.base !== 0 && (number === 4 || number === 5);
  return override === (isStack ? 3 : 4) ? 0 : override;
}

/** `base+index*scale+displacement` of the ModRM operand, or its constant address. */
export function bracketContent(
  theme: Theme,
  words: BracketWords,
  instruction: Instruction,
  common: number,
): string {
  const { base, index, displacement } = instruction;
  let text = base === 0 ? '' : theme.registers[base];
  if (index !== 0) {
    if (base !== 0) text += words.plus;
    text += theme.registers[index];
    if ((instruction.scale !== 0 || base === 0) && (common & Common.noScale) === 0)
      text += words.times[instruction.scale];
  } else if (base === 0) return constantAddress(theme, instruction);
  if (displacement > 0) text += words.plus + theme.number(displacement);
  else if (displacement < 0) text += words.minus + theme.number(-displacement >>> 0);
  return text;
}

/** Segment override of an address that is no operand, 0 if there is none worth mention. */
export function implicitSegment(instruction: Instruction, common: number): number {
  return (common & Common.implicitSegment) === 0 ? 0 : shownSegment(instruction, Place.segDi, common);
}

/**
 * Memory relative to RIP or EIP as one address: its symbol or the number. Undefined if it is to be written as a sum.
 * `addressHigh` and `addressLow`: of the instruction.
 */
export function relativeAddress(
  theme: Theme,
  instruction: Instruction,
  addressHigh: number,
  addressLow: number,
): string | undefined {
  if (theme.ripRelative && !theme.memorySymbols) return undefined;
  const sum = addressLow + instruction.length + instruction.displacement;
  const high = instruction.addressSize === 64 ? (addressHigh + Math.floor(sum / 0x100000000)) >>> 0 : 0;
  return (
    memorySymbol(theme, instruction, high, sum >>> 0) ??
    (theme.ripRelative ? undefined : theme.number64(high, sum >>> 0))
  );
}

/** ModRM memory without registers, and moffs. */
export function constantAddress(theme: Theme, instruction: Instruction): string {
  const low =
    instruction.addressSize === 16 ? instruction.displacement & 0xffff : instruction.displacement >>> 0;
  const high = instruction.addressSize === 64 ? instruction.displacementHigh >>> 0 : 0;
  return memorySymbol(theme, instruction, high, low) ?? theme.number64(high, low);
}

/** FS and GS have bases of their own: what is behind them is no address that a symbol could name. */
function memorySymbol(theme: Theme, instruction: Instruction, high: number, low: number): string | undefined {
  return theme.memorySymbols && instruction.segmentOverride < 5 ? addressText(theme, high, low) : undefined;
}

const sizes = { 16: RegisterClass.gpr16, 32: RegisterClass.gpr32, 64: RegisterClass.gpr64 } as Record<
  number,
  number
>;

/** Register of an implied address: rSI, rDI, rBX. */
export function impliedBase(instruction: Instruction, place: number): number {
  return (
    (sizes[instruction.addressSize] << 5) | (place === Place.segSi ? 6 : place === Place.segBxAl ? 3 : 7)
  );
}
