/**
 * `pnpm reference`: writes the reference of all encodings as a page that can be searched, packages/decoder/reference/index.html, and the
 * index of mnemonics, docs/reference/instructions.md. `--check` writes nothing and fails if the index differs.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type EncodingRecord, readTable } from './table/record.ts';

const folder = fileURLToPath(new URL('..', import.meta.url));
const page = `${folder}reference/index.html`;
const index = fileURLToPath(new URL('../../../docs/reference/instructions.md', import.meta.url));
const records = readTable(`${folder}isa`);

function dictionary(column: readonly string[]): { texts: string[]; rows: number[] } {
  const texts = [...new Set(column)];
  const numbers = new Map(texts.map((text, row) => [text, row]));
  return { texts, rows: column.map((text) => numbers.get(text)!) };
}

function pageText(): string {
  const column = (text: (record: EncodingRecord) => string) => records.map(text);
  const data = {
    instructions: column(({ instruction }) => instruction),
    opcodes: column(({ opcode }) => opcode),
    operands: dictionary(
      column(({ operands }) =>
        operands
          .map(
            ({ place, isAddress, access, type }) =>
              `${place}${isAddress ? '@' : ''}:${access}${type === '' ? '' : `:${type}`}`,
          )
          .join(' '),
      ),
    ),
    flags: dictionary(column(({ flags }) => flags.replace(/\s+/g, ' '))),
    features: dictionary(column(({ features }) => features.join(' '))),
    attributes: dictionary(column(({ attributes }) => [...attributes].join(' '))),
    implicit: dictionary(column(({ implicit }) => implicit.join(' '))),
  };
  const template = readFileSync(new URL('reference/page.html', import.meta.url), 'utf8');
  const json = JSON.stringify(data).replaceAll('<', '\\u003c');
  return template.replace('/*DATA*/null', () => json);
}

interface Entry {
  readonly mnemonic: string;
  readonly encodings: EncodingRecord[];
}

function indexText(): string {
  const byMnemonic = new Map<string, Entry>();
  for (const record of records) {
    const { mnemonic } = record;
    const entry = byMnemonic.get(mnemonic) ?? { mnemonic, encodings: [] };
    entry.encodings.push(record);
    byMnemonic.set(mnemonic, entry);
  }
  const letters = new Map<string, Entry[]>();
  for (const entry of [...byMnemonic.values()].sort((a, b) => (a.mnemonic < b.mnemonic ? -1 : 1))) {
    const letter = entry.mnemonic[0];
    letters.set(letter, [...(letters.get(letter) ?? []), entry]);
  }
  const sections = [...letters].map(
    ([letter, entries]) => `## ${letter}

| mnemonic | encodings | forms | features | modes |
|---|--:|---|---|---|
${entries.map(row).join('\n')}
`,
  );
  return `# Instructions

${byMnemonic.size} mnemonics in ${records.length} encodings: what \`@nest86/decoder\` knows. Generated from \`packages/decoder/isa\` by \`pnpm reference\`, which
also writes every encoding with its operands, flags and attributes into one page that can be searched, \`packages/decoder/reference/index.html\`.

${[...letters.keys()].map((letter) => `[${letter}](#${letter.toLowerCase()})`).join(' ')}

${sections.join('\n')}`;
}

function row({ mnemonic, encodings }: Entry): string {
  const forms = new Set(
    encodings.map(({ opcode, features }) =>
      features.includes('APX_F') ? 'APX' : (/^(VEX|EVEX|XOP)\./.exec(opcode)?.[1] ?? 'legacy'),
    ),
  );
  const features = new Set(encodings.flatMap((record) => record.features).filter((name) => name !== 'APX_F'));
  const all = (word: string) => encodings.every(({ attributes }) => attributes.has(word));
  const modes = [
    all('64') ? '64-bit' : all('no64') ? '16 and 32-bit' : '',
    all('cpl0') ? 'CPL 0' : '',
  ].filter((text) => text !== '');
  return `| ${mnemonic} | ${encodings.length} | ${[...forms].join(', ')} | ${[...features].join(', ')} | ${modes.join(', ')} |`;
}

const text = indexText();
if (process.argv.includes('--check')) {
  if (readFileSync(index, 'utf8') !== text) {
    console.error('docs/reference/instructions.md is not what isa/ says: run pnpm reference');
    process.exitCode = 1;
  }
} else {
  for (const [path, content] of [
    [index, text],
    [page, pageText()],
  ] as const) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
    console.log(`${path}: ${Math.round(content.length / 1024)} KiB`);
  }
}
