import { type DecoderOptions, DecodeStatus, decode, Instruction } from '@nest86/decoder';

/** Legacy prefixes that change neither an instruction's length nor what it is: segments and LOCK. */
const plain = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0xf0];
/** Those that may. One of each kind is enough. */
const others = [0x66, 0x67, 0xf2, 0xf3];

const scratch = new Instruction();

/**
 * Whether bytes that are no instruction begin one of more than 15 bytes: #GP(0) rather than #UD (SDM vol. 2, 2.3.11; vol. 3, 6.15). Prefixes that
 * can go are left out; if 15 bytes do not hold the rest together with them, it is too long. Without such prefixes nothing is.
 */
export function isTooLong(bytes: Uint8Array, count: number, options: DecoderOptions): boolean {
  let skipped = 0;
  while (skipped < count && canGo(bytes, skipped, count)) skipped++;
  if (skipped === 0 || count < 15) return false;
  return decode(bytes.subarray(skipped, 15), 0, options, scratch) === DecodeStatus.truncated;
}

/** Whether the prefix at a place means nothing, or comes again. */
function canGo(bytes: Uint8Array, at: number, count: number): boolean {
  const byte = bytes[at];
  if (plain.includes(byte)) return true;
  if (!others.includes(byte)) return false;
  for (let i = at + 1; i < count; i++) {
    if (bytes[i] === byte) return true;
    if (!plain.includes(bytes[i]) && !others.includes(bytes[i])) return false;
  }
  // Fifteen prefixes: whatever comes behind is out of reach.
  return true;
}
