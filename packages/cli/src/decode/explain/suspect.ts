import { DecoderOptions, type DecoderOptionsInit, DecodeStatus, decode, Instruction } from '@nest86/decoder';

export interface Suspect {
  readonly bytes: Uint8Array;
  readonly init: Required<DecoderOptionsInit>;
  /** As decoding left it: prefixes and opcode are known. */
  readonly instruction: Instruction;
}

/** A reason, if this was it. */
export type Question = (suspect: Suspect) => string | undefined;

/** What `isInstruction` found last. */
export const scratch: Instruction = new Instruction();

export function isInstruction(bytes: Uint8Array, init: DecoderOptionsInit): boolean {
  return decode(bytes, 0, new DecoderOptions(init), scratch) === DecodeStatus.ok;
}

/** Bytes in front of the opcode or of a VEX, EVEX, XOP or REX2 prefix. */
export function prefixCount({ bytes, init }: Suspect): number {
  let count = 0;
  while (count < bytes.length && isPrefix(bytes[count], init.mode === 64)) count++;
  return count;
}

function isPrefix(byte: number, is64: boolean): boolean {
  return isLegacyPrefix(byte) || (is64 && byte >> 4 === 4);
}

function isLegacyPrefix(byte: number): boolean {
  return [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3].includes(byte);
}

/** The bytes without those prefixes that `isUnwanted` names. */
export function withoutPrefixes(
  suspect: Suspect,
  isUnwanted: (byte: number, index: number) => boolean,
): Uint8Array {
  const count = prefixCount(suspect);
  return suspect.bytes.filter((byte, index) => index >= count || !isUnwanted(byte, index));
}

export function withByte(bytes: Uint8Array, index: number, value: number): Uint8Array {
  const changed = bytes.slice();
  changed[index] = value;
  return changed;
}

export const segments: readonly number[] = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65];

export const spaceNames: readonly string[] = ['', 'VEX', 'XOP', 'EVEX'];

export const hex = (byte: number): string => byte.toString(16).padStart(2, '0').toUpperCase();
