/*
 * Parsers of option values. They know neither the command line nor Node: a web page uses them on its URL. A parser
 * throws ValueError with what *is* allowed; who calls it knows the option's name and the text, and adds both.
 */

import { nearest } from './nearest.ts';

/** The message completes the sentence "--option text: …". */
export class ValueError extends Error {}

export type ValueParser<T> = (text: string) => T;

/** `a`, `a or b`, `a, b or c` */
export function alternatives(names: readonly string[]): string {
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`;
}

/** One of the keys of `table`, meaning its value. */
export function choice<T>(table: Readonly<Record<string, T>>): ValueParser<T> {
  return (text) => {
    if (Object.hasOwn(table, text)) return table[text];
    throw new ValueError(`${alternatives(Object.keys(table))} is allowed`);
  };
}

/** Any text but the empty one. */
export function text(what: string): ValueParser<string> {
  return (text) => {
    if (text === '') throw new ValueError(`${what} is needed`);
    return text;
  };
}

/** A whole number from 0, decimal or with 0x hexadecimal; undefined for anything else. */
function wholeNumber(text: string): bigint | undefined {
  return /^(?:\d{1,30}|0x[\da-f]{1,30})$/i.test(text) ? BigInt(text) : undefined;
}

/** A whole number from `minimum` to `maximum`. */
export function integer(minimum: number, maximum: number = Number.MAX_SAFE_INTEGER): ValueParser<number> {
  return (text) => {
    const value = wholeNumber(text);
    if (value !== undefined && value >= minimum && value <= maximum) return Number(value);
    const range = maximum === Number.MAX_SAFE_INTEGER ? `from ${minimum}` : `from ${minimum} to ${maximum}`;
    throw new ValueError(`a whole number ${range} is allowed`);
  };
}

/** A 64-bit address. */
export const address: ValueParser<bigint> = (text) => {
  const value = wholeNumber(text);
  if (value !== undefined && value < 1n << 64n) return value;
  throw new ValueError('a number such as 4096 or 0x1000 is allowed, below 2 to the power of 64');
};

const unitShift: Readonly<Record<string, bigint>> = { '': 0n, k: 10n, m: 20n, g: 30n, t: 40n };

/** A number of bytes: `4096`, `0x1000`, `4K`, `2G` (powers of 1024). */
export const byteCount: ValueParser<number> = (text) => {
  const match = /^(\w*?)([kmgt]?)$/i.exec(text);
  const value = match ? wholeNumber(match[1]) : undefined;
  if (match && value !== undefined) {
    const bytes = value << unitShift[match[2].toLowerCase()];
    if (bytes <= Number.MAX_SAFE_INTEGER) return Number(bytes);
  }
  throw new ValueError('a number of bytes such as 4096, 0x1000, 64K or 2G is allowed');
};

/** `a,b,c`, each one of `allowed`. */
export function names<T extends string>(allowed: readonly T[]): ValueParser<T[]> {
  return (text) =>
    text.split(',').map((item) => {
      const name = item.trim();
      if ((allowed as readonly string[]).includes(name)) return name as T;
      const near = nearest(name, allowed);
      const hint = near === undefined ? '' : `did you mean ${near}? `;
      throw new ValueError(`there is no "${name}": ${hint}${allowed.join(', ')} are allowed`);
    });
}
