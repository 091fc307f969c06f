import { digits, header, json } from './emit.ts';
import type { EncodingRecord } from './record.ts';

/** The table's own text, for src/reference.ts. */
export function referenceText(records: readonly EncodingRecord[]): string {
  const operands = dictionary(records.map(operandText));
  const flags = dictionary(records.map((record) => record.flags));
  const features = dictionary(records.map((record) => record.features.join(' ')));
  const attributes = dictionary(records.map((record) => [...record.attributes].join(' ')));
  const implicit = dictionary(records.map((record) => record.implicit.join(' ')));
  return `${header}
/*
 * A column of texts: each is one character (how many characters it shares with the one before, as a base-64 digit) and the rest;
 * then a bar. Columns with few different texts: those, and a row of them for each encoding.
 */
export const instructions = ${quoted(elide(records.map((record) => record.instruction)))};
export const opcodes = ${quoted(elide(records.map((record) => record.opcode)))};
${[
  ['operand', operands] as const,
  ['flag', flags] as const,
  ['feature', features] as const,
  ['attribute', attributes] as const,
  ['implicit', implicit] as const,
]
  .map(
    ([name, { texts, rows }]) =>
      `export const ${name}Texts = ${quoted(elide(texts))};\nexport const ${name}Rows = '${json(rows)}';`,
  )
  .join('\n')}
`;
}

function operandText(record: EncodingRecord): string {
  return record.operands
    .map(
      ({ place, isAddress, access, type }) =>
        `${place}${isAddress ? '@' : ''}:${access}${type === '' ? '' : `:${type}`}`,
    )
    .join(' ');
}

function dictionary(column: readonly string[]): { texts: string[]; rows: number[] } {
  const texts = [...new Set(column)];
  const numbers = new Map(texts.map((text, row) => [text, row]));
  return { texts, rows: column.map((text) => numbers.get(text)!) };
}

function elide(texts: readonly string[]): string {
  return texts
    .map((text, i) => {
      const before = i === 0 ? '' : texts[i - 1];
      let shared = 0;
      while (shared < 63 && shared < text.length && text[shared] === before[shared]) shared++;
      return digits[shared] + text.slice(shared);
    })
    .join('|');
}

function quoted(text: string): string {
  if (/['\\\n]/.test(text)) throw new Error('a text of the table needs escapes');
  return `'${text}'`;
}
