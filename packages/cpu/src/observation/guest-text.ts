import { DecoderOptions, DecodeStatus, decode, Instruction } from '@nest86/decoder';
import { formatIntel } from '@nest86/decoder/intel';

/** An instruction of guest code, for people. */
export interface InstructionText {
  readonly address: bigint;
  readonly bytes: Uint8Array;
  readonly text: string;
}

const longest = 15;

/** The instructions of a piece of code, as Intel writes them. */
export function instructionTexts(code: Uint8Array, address: bigint, bits: 16 | 32 | 64): InstructionText[] {
  const options = new DecoderOptions({ mode: bits });
  const padded = new Uint8Array(code.length + longest);
  padded.set(code);
  const found: InstructionText[] = [];
  const instruction = new Instruction();
  for (let at = 0; at < code.length; ) {
    const isValid = decode(padded, at, options, instruction) === DecodeStatus.ok;
    const length = Math.max(1, instruction.length);
    const here = address + BigInt(at);
    const bytes = code.slice(at, at + length);
    found.push({ address: here, bytes, text: isValid ? formatIntel(instruction, here) : '(invalid)' });
    at += length;
  }
  return found;
}
