import { ValueError, type ValueParser } from '../options/values.ts';

/**
 * Bytes written as hexadecimal digits: `48 01 d8`, `4801d8`, `0x48, 0x01, 0xd8`, `\x48\x01\xd8`. Each group has whole
 * bytes, in the order in which they stand in memory.
 */
export const hexBytes: ValueParser<Uint8Array> = (text) => {
  const bytes: number[] = [];
  for (const group of text.split(/[\s,]+|(?=\\x)/)) {
    if (group === '') continue;
    const digits = group.replace(/^(?:0x|\\x)/i, '');
    const wrong = /[^\da-f]/i.exec(digits);
    if (wrong)
      throw new ValueError(`"${wrong[0]}" is no hexadecimal digit; bytes such as 48 01 d8 are allowed`);
    if (digits.length === 0 || digits.length % 2 !== 0)
      throw new ValueError(`"${group}" has ${digits.length} digits; each byte has two`);
    for (let i = 0; i < digits.length; i += 2) bytes.push(Number.parseInt(digits.slice(i, i + 2), 16));
  }
  if (bytes.length === 0) throw new ValueError('bytes such as 48 01 d8 are needed');
  return Uint8Array.from(bytes);
};

/** `48 01 d8` */
export function hexText(bytes: Uint8Array, start = 0, end: number = bytes.length): string {
  let text = '';
  for (let i = start; i < end; i++) text += text === '' ? twoDigits[bytes[i]] : ` ${twoDigits[bytes[i]]}`;
  return text;
}

const twoDigits = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));
