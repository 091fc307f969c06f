import { header } from './emit.ts';
import type { EncodingRecord } from './record.ts';

/** Upper-case mnemonics in alphabetical order; row 0 is "none". */
export function mnemonicNames(records: readonly EncodingRecord[]): string[] {
  return ['', ...[...new Set(records.map((record) => record.mnemonic))].sort()];
}

export function mnemonicModule(records: readonly EncodingRecord[]): string {
  const names = mnemonicNames(records);
  const lines = names.slice(1).map((name, i) => `  ${/^\d/.test(name) ? `'${name}'` : name}: ${i + 1},`);
  return `${header}
/** Lower case, separated by spaces, in the order of their numbers from 1. */
export const mnemonicText = '${names.slice(1).join(' ').toLowerCase()}';

/** Number of each mnemonic, as \`mnemonic(instruction)\` answers it. Numbers may change between versions. */
export const Mnemonic = {
${lines.join('\n')}
} as const;
`;
}
