import { lowHalf } from './numbers.ts';
import type { Theme } from './theme.ts';

/** The symbol at an address, given by unsigned halves; undefined if it has none. */
export function addressText(theme: Theme, high: number, low: number): string | undefined {
  const found = theme.symbol?.((BigInt(high) << 32n) | BigInt(low));
  if (found === undefined) return undefined;
  if (typeof found === 'string') return theme.token('symbol', found, false);
  const { name, offset } = found;
  const text = theme.token('symbol', name, false);
  if (offset === 0) return text;
  return text + theme.token('punctuation', offset < 0 ? '-' : '+') + theme.number(lowHalf(Math.abs(offset)));
}

/** A code or data address: its symbol or the number. */
export function addressOrSymbol(theme: Theme, high: number, low: number): string {
  return (
    (theme.symbol === undefined ? undefined : addressText(theme, high, low)) ?? theme.number64(high, low)
  );
}
