import { DecoderOptions, type DecoderOptionsInit, DecodeStatus, decode, Instruction } from '@nest86/decoder';
import { hasWrongDigit, hasWrongModrm } from './modrm.ts';
import { hasWrongEvexOption, hasWrongPayload } from './payload.ts';
import { hasPrefixBeforeVector, hasWrongLock, hasWrongPrefix, isTooLong } from './prefixes.ts';
import { isOptional, isOtherModes, isOtherVendors } from './processor.ts';
import type { Question } from './suspect.ts';

/*
 * Why bytes are no instruction. The decoder only says that they are none, so we ask it again about bytes (or a
 * processor) that differ in one point: the first change that makes an instruction of them is what was wrong.
 */

/** One sentence without a full stop on why the bytes' beginning is no instruction. They must not be a valid one. */
export function explainInvalid(bytes: Uint8Array, init: DecoderOptionsInit = {}): string {
  // Variations are copies: of what an instruction and a few surplus prefixes take, not of a whole file.
  bytes = bytes.subarray(0, 32);
  const full = { mode: 64, vendor: 'intel', enable: [], disable: [], ...init } as const;
  const instruction = new Instruction();
  const status = decode(bytes, 0, new DecoderOptions(full), instruction);
  if (status === DecodeStatus.truncated) return 'truncated: more bytes are needed';
  const suspect = { bytes, init: full, instruction };
  for (const ask of questions) {
    const reason = ask(suspect);
    if (reason !== undefined) return reason;
  }
  return 'no instruction has this opcode';
}

const questions: readonly Question[] = [
  isTooLong,
  hasPrefixBeforeVector,
  hasWrongLock,
  isOtherVendors,
  isOptional,
  isOtherModes,
  hasWrongPrefix,
  hasWrongEvexOption,
  hasWrongModrm,
  hasWrongPayload,
  hasWrongDigit,
];
