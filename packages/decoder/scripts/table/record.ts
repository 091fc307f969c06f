import { readdirSync, readFileSync } from 'node:fs';

/** One line of the instruction table, split into its columns. The notation is explained in isa/README.md. */
export interface EncodingRecord {
  /** `file:line`, for messages. */
  readonly where: string;
  readonly instruction: string;
  readonly mnemonic: string;
  /** Operand tokens of the instruction column, implied ones included, without brackets. */
  readonly operandTokens: readonly OperandToken[];
  readonly opcode: string;
  readonly operands: readonly OperandPlace[];
  readonly flags: string;
  readonly features: readonly string[];
  readonly attributes: ReadonlySet<string>;
  readonly implicit: readonly string[];
}

export interface OperandToken {
  readonly text: string;
  /** In `[ ]`: the manual's mnemonic implies it. */
  readonly implied: boolean;
  /** In `< >`: an implicit register that the manual lists. */
  readonly listed: boolean;
  readonly decorations: readonly string[];
}

interface OperandPlace {
  readonly place: string;
  /** The register holds an address (`@`). */
  readonly isAddress: boolean;
  readonly access: string;
  readonly type: string;
}

export function readTable(folder: string): EncodingRecord[] {
  const records: EncodingRecord[] = [];
  for (const file of tableFiles(folder)) {
    const lines = readFileSync(`${folder}/${file}`, 'utf8').split('\n');
    lines.forEach((line, i) => {
      if (line.trim() !== '' && !line.startsWith('#')) records.push(parseLine(line, `${file}:${i + 1}`));
    });
  }
  return records;
}

/** In a fixed order, so that encoding numbers do not depend on the file system. */
function tableFiles(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.isa'))
    .sort();
}

export function parseLine(line: string, where: string): EncodingRecord {
  const columns = line.split('|').map((column) => column.trim());
  if (columns.length < 5 || columns.length > 7) {
    throw new Error(`${where}: ${columns.length} columns; a line has 5 to 7`);
  }
  const [instruction, opcode, operands, flags, features, attributes = '', implicit = ''] = columns;
  const space = instruction.search(/ |$/);
  const record: EncodingRecord = {
    where,
    instruction,
    mnemonic: instruction.slice(0, space),
    operandTokens: splitOperands(instruction.slice(space + 1)),
    opcode,
    operands: words(operands).map((text) => parsePlace(text, where)),
    flags: flags === '-' ? '' : flags,
    features: words(features),
    attributes: new Set(words(attributes)),
    implicit: words(implicit),
  };
  const written = record.operandTokens.filter((token) => !token.listed).length;
  if (written !== record.operands.length) {
    throw new Error(`${where}: ${written} operands in "${instruction}", ${record.operands.length} places`);
  }
  return record;
}

function words(text: string): string[] {
  return text === '' || text === '-' ? [] : text.split(/\s+/);
}

function splitOperands(text: string): OperandToken[] {
  if (text === '') return [];
  return text.split(',').map((part) => {
    let rest = part.trim();
    const implied = rest.startsWith('[');
    const listed = rest.startsWith('<');
    if (implied || listed) rest = rest.slice(1, -1);
    const decorations = [...rest.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
    return { text: rest.replace(/\s*\{\w+\}/g, '').trim(), implied, listed, decorations };
  });
}

function parsePlace(text: string, where: string): OperandPlace {
  // The colon inside [ES:rDI] belongs to the place.
  const match = /^(\[[^\]]*\]|[^:@]+)(@?):([^:]+)(?::(.+))?$/.exec(text);
  if (match === null) throw new Error(`${where}: operand place "${text}"; want place:access[:type]`);
  return { place: match[1], isAddress: match[2] === '@', access: match[3], type: match[4] ?? '' };
}
