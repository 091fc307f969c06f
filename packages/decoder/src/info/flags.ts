import { flagColumns, flagMasks, flagsOf } from './tables.ts';

/*
 * Flags of an encoding, whatever its operands. What depends on them (a shift by 0, `xor eax, eax`, APX's NF) is in
 * `InstructionInfo`.
 */

/** `Flag` bits that an encoding reads. */
export function flagsRead(encoding: number): number {
  return flagMasks[flagsOf[encoding] * flagColumns];
}

/** `Flag` bits that take a value from the result. */
export function flagsWritten(encoding: number): number {
  return flagMasks[flagsOf[encoding] * flagColumns + 1];
}

/** `Flag` bits that always become 0. */
export function flagsCleared(encoding: number): number {
  return flagMasks[flagsOf[encoding] * flagColumns + 2];
}

/** `Flag` bits that always become 1. */
export function flagsSet(encoding: number): number {
  return flagMasks[flagsOf[encoding] * flagColumns + 3];
}

/** `Flag` bits whose value is undefined afterwards. */
export function flagsUndefined(encoding: number): number {
  return flagMasks[flagsOf[encoding] * flagColumns + 4];
}

/** `Flag` bits that may differ afterwards: written, cleared, set or undefined. */
export function flagsModified(encoding: number): number {
  const row = flagsOf[encoding] * flagColumns;
  return flagMasks[row + 1] | flagMasks[row + 2] | flagMasks[row + 3] | flagMasks[row + 4];
}
