import { fixedRegisters, Slot, Style } from '../../src/format/bits.ts';
import { RegisterClass } from '../../src/registers.ts';
import { modes, type RecordView, unusualModes } from './format-view.ts';
import type { EncodingRecord } from './record.ts';

/*
 * Rules that the syntaxes share; each is a fact of the encoding, named for what it means to the text.
 */

export const fixed = (name: (typeof fixedRegisters)[number]): number =>
  Slot.fixed + fixedRegisters.indexOf(name);
/** The accumulator in an address size. */
export const accumulator = (size: number): number => fixed(size === 16 ? 'ax' : size === 32 ? 'eax' : 'rax');

/** By `opcode MNEMONIC` for one encoding, by `MNEMONIC` for all. */
export function alternateName(
  names: Record<string, string>,
  { record, mnemonic }: RecordView,
): string | undefined {
  // The first 80486 had CMPXCHG at 0F A6.
  if (record.attributes.has('option:cmpxchg486a')) return 'cmpxchg486';
  return names[`${record.opcode} ${mnemonic}`] ?? names[mnemonic] ?? conditionName({ record, mnemonic });
}

/** `cc:ae` tells a condition by its usual name; the manual's mnemonic may have another (CMPNBXADD). */
function conditionName({ record, mnemonic }: Pick<RecordView, 'record' | 'mnemonic'>): string | undefined {
  const condition = [...record.attributes].find((word) => word.startsWith('cc:'))?.slice(3);
  if (condition === undefined) return undefined;
  const match = /^(J|SET(?:ZU)?|CMOV|CFCMOV|CCMP|CTEST|CMP)(N?[A-Z]{1,2}?E?)(XADD)?$/.exec(mnemonic);
  if (match === null) return undefined;
  const name = `${match[1]}${condition}${match[3] ?? ''}`.toLowerCase();
  return name === mnemonic.toLowerCase() ? undefined : name;
}

/** Style bits for an operand size that no operand shows, in the modes where it is not the usual one. */
export function mark(view: RecordView, how: number, shown: number = unusualModes(view)): number {
  if (shown === 0) return 0;
  return (
    (how << Style.markShift) |
    (shown << Style.markModesShift) |
    ([16, 32, 64].indexOf(view.size) << Style.markSizeShift)
  );
}

/** Style bits for memory whose size nothing else tells. */
export function memorySize(view: RecordView): number {
  if (!view.memoryAmbiguous) return 0;
  // The layout of the x87 environment follows the operand size.
  return (/^fpu/.test(view.memoryType) ? unusualModes(view) : modes.all) << Style.memorySizeShift;
}

export function isFar({ mnemonic, tokens }: RecordView): boolean {
  return (
    mnemonic === 'RETF' ||
    ((mnemonic === 'CALL' || mnemonic === 'JMP') && /^(ptr16|m16):/.test(tokens[0].text))
  );
}

/** Conditional and unconditional jumps have a short form beside the near one; LOOP and JCXZ have nothing else. */
export function isShort({ mnemonic, tokens }: RecordView): boolean {
  return tokens[0]?.text === 'rel8' && /^J/.test(mnemonic) && !/CXZ$/.test(mnemonic);
}

export function isMaskmov({ mnemonic }: RecordView): boolean {
  return /^V?MASKMOV(Q|DQU)$/.test(mnemonic);
}

/** An address in rAX, rSI or the like, whose size nothing shows. */
export function impliesAddress(view: RecordView): boolean {
  return view.addressSize !== 0 && view.tokens.length === 0;
}

/** An address in a register, not written as memory, in a segment that can be overridden. */
export function addressesMemory({ mnemonic }: RecordView): boolean {
  return /^(U?MONITOR|MONITORX|CLZERO)$/.test(mnemonic);
}

/** The same, and the implied addresses of string instructions, XLATB and MASKMOVQ. */
export function impliesSegment(view: RecordView): boolean {
  return addressesMemory(view) || view.record.operands.some(({ place }) => place.startsWith('[seg:'));
}

export function isMoffs({ tokens }: RecordView): boolean {
  return tokens.some(({ text }) => text.startsWith('moffs'));
}

/** A register that is named ST(0) in the manual, not ST(i). */
export function isStackTop({ tokens }: RecordView, operand: number): boolean {
  return /^ST(\(0\))?$/.test(tokens[operand].text);
}

/** Instructions whose implicit XMM0 assemblers want to see (blends, SHA256RNDS2). */
export function impliesXmm0({ operandTokens }: EncodingRecord): boolean {
  const listed = operandTokens.filter((token) => token.listed);
  return listed.length === 1 && listed[0].text === 'XMM0';
}

/** Embedded rounding is an operand of its own: behind the last operand that is no immediate, but in front of a general register. */
export function withRounding({ record, specs, tokens }: RecordView, slots: readonly number[]): number[] {
  if (
    !record.operandTokens.some(({ decorations }) => decorations.includes('er') || decorations.includes('sae'))
  )
    return [...slots];
  let place = slots.length;
  while (place > 0 && tokens[slots[place - 1]].text.startsWith('imm')) place--;
  if (specs[slots[place - 1]].registerClass <= RegisterClass.gpr64) place--;
  return [...slots.slice(0, place), Slot.rounding, ...slots.slice(place)];
}
