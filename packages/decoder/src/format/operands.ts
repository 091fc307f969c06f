import type { Instruction } from '../instruction.ts';
import { Place, registerOfSpec } from '../operands.ts';
import { RegisterClass } from '../registers.ts';
import { operandSpecs } from '../tables.ts';
import { Common, Slot } from './bits.ts';
import type { Theme } from './theme.ts';

/** Name of the register in a slot. */
export function registerText(theme: Theme, instruction: Instruction, slot: number, row: number): string {
  let register = registerOfSpec(instruction, row);
  if (slot >= Slot.as16 && (register >> 5 === RegisterClass.gpr32 || register >> 5 === RegisterClass.gpr64)) {
    register = ((slot & Slot.as16 ? RegisterClass.gpr16 : RegisterClass.gpr32) << 5) | (register & 31);
  }
  return theme.registers[register];
}

/** The number of an immediate, without what a syntax puts in front. `previous`: row of the spec of the operand before, or -1. */
export function immediateText(
  theme: Theme,
  instruction: Instruction,
  place: number,
  previous: number,
): string {
  let low = instruction.immediate;
  let size = instruction.immediateSize;
  let high = 0;
  switch (place) {
    case Place.one:
      low = 1;
      size = 1;
      break;
    case Place.imm4:
      low &= 15;
      size = 1;
      break;
    case Place.imm16:
      size = 2;
      break;
    case Place.imm32:
      size = 4;
      break;
    case Place.imm64:
      size = 8;
      break;
    default:
      if (instruction.immediate2Size !== 0 && previous >= 0 && (operandSpecs[previous] & 31) === Place.imm) {
        low = instruction.immediate2;
        size = instruction.immediate2Size;
      }
  }
  if (theme.signedImmediates) {
    const signed = size === 1 ? (low << 24) >> 24 : size === 2 ? (low << 16) >> 16 : low;
    const isNegative = size === 8 ? instruction.immediateHigh < 0 : signed < 0;
    if (isNegative) {
      const minus = theme.token('punctuation', '-');
      if (size < 8) return minus + theme.number(-signed >>> 0);
      return minus + theme.number64((~instruction.immediateHigh + (low === 0 ? 1 : 0)) >>> 0, -low >>> 0);
    }
  }
  if (size === 1) low &= 0xff;
  else if (size === 2) low &= 0xffff;
  else if (size === 8) high = instruction.immediateHigh >>> 0;
  return theme.number64(high, low >>> 0);
}

/** XBEGIN with an offset of 16 bits does not cut its target to 16 bits, unlike jumps. */
const xbeginOpcode = 0xc7;

/** Where a relative branch goes. */
export function targetText(
  theme: Theme,
  instruction: Instruction,
  addressHigh: number,
  addressLow: number,
): string {
  const sum = addressLow + instruction.length + instruction.immediate;
  if (instruction.operandSize === 16 && instruction.opcode !== xbeginOpcode)
    return theme.target(0, sum & 0xffff);
  const high = instruction.mode === 64 ? (addressHigh + Math.floor(sum / 0x100000000)) >>> 0 : 0;
  return theme.target(high, sum >>> 0);
}

/** Selector and offset of a far pointer are separate numbers. */
export function farOffset(instruction: Instruction): number {
  return instruction.operandSize === 16 ? instruction.immediate & 0xffff : instruction.immediate >>> 0;
}

/** Target that is not relative (JMPABS, JMPE). */
export function absoluteTarget(theme: Theme, instruction: Instruction): string {
  return theme.target(
    instruction.immediateSize === 8 ? instruction.immediateHigh >>> 0 : 0,
    farOffset(instruction),
  );
}

/** `Common` bits of instructions that may be written in a way that depends on their operands' values. */
export const valueDependent: number =
  Common.impliesSt1 | Common.implies10 | Common.imul | Common.nop | (7 << Common.pseudoShift);

/** {@link hiddenOperands}: all of them. */
export const hideAll = 255;

/** Bit for each operand that is left away because of its value. */
export function hiddenOperands(theme: Theme, instruction: Instruction, common: number): number {
  if ((common & Common.implies10) !== 0) return (instruction.immediate & 255) === 10 ? hideAll : 0;
  if (!theme.pseudoOperations) return 0;
  if ((common & Common.impliesSt1) !== 0) return (instruction.rm & 7) === 1 ? hideAll : 0;
  return (common & Common.imul) !== 0 && instruction.modrm >= 0xc0 && instruction.reg === instruction.rm
    ? 2
    : 0;
}

/** NOP is XCHG of the accumulator with itself; with an operand size that is not the mode's it is written as that. */
export function nopRegister(instruction: Instruction): number {
  const { operandSize } = instruction;
  if (operandSize === (instruction.mode === 16 ? 16 : 32)) return 0;
  return (
    (operandSize === 16
      ? RegisterClass.gpr16
      : operandSize === 32
        ? RegisterClass.gpr32
        : RegisterClass.gpr64) << 5
  );
}
