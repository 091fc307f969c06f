import * as generated from './generated/reference-text.ts';
import { unpack } from './unpack.ts';

/** One row of the instruction table, in the notation that isa/README.md explains. */
export interface EncodingReference {
  /** Number of the row: `Instruction.encoding` of what it decodes to. Numbers may change between versions. */
  readonly encoding: number;
  /** The manual's notation: `ADD r/m32, r32`. */
  readonly instruction: string;
  /** The manual's notation: `o32 01 /r`. */
  readonly opcode: string;
  /** `place:access:type` of each operand: `rm:rw:u32 reg:r`. */
  readonly operands: string;
  /** `w:oszacp`; empty if flags play no part. */
  readonly flags: string;
  /** All that are needed. */
  readonly features: string;
  readonly attributes: string;
  /** What is used besides the operands. */
  readonly implicit: string;
}

interface Columns {
  readonly instruction: readonly string[];
  readonly opcode: readonly string[];
  readonly operands: readonly string[];
  readonly flags: readonly string[];
  readonly features: readonly string[];
  readonly attributes: readonly string[];
  readonly implicit: readonly string[];
}

let known: Columns | undefined;
let encodingOfKey: Map<string, number> | undefined;

/** Takes a few milliseconds, the first time that anything is asked for; loading the module takes none. */
function columns(): Columns {
  known ??= {
    instruction: texts(generated.instructions),
    opcode: texts(generated.opcodes),
    operands: column(generated.operandTexts, generated.operandRows),
    flags: column(generated.flagTexts, generated.flagRows),
    features: column(generated.featureTexts, generated.featureRows),
    attributes: column(generated.attributeTexts, generated.attributeRows),
    implicit: column(generated.implicitTexts, generated.implicitRows),
  };
  return known;
}

const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/** Undoes `elide` of scripts/table/emit-reference.ts. */
function texts(packed: string): string[] {
  let before = '';
  return packed.split('|').map((text) => {
    before = before.slice(0, digits.indexOf(text[0])) + text.slice(1);
    return before;
  });
}

function column(packedTexts: string, packedRows: string): string[] {
  const all = texts(packedTexts);
  return Array.from(unpack(packedRows), (row) => all[row]);
}

/** Number of encodings; they are numbered from 1. */
export function encodings(): number {
  return columns().instruction.length;
}

/** Row of the table for an `Instruction.encoding`; undefined for 0 and for numbers beyond the table. */
export function reference(encoding: number): EncodingReference | undefined {
  const { instruction, opcode, operands, flags, features, attributes, implicit } = columns();
  const row = encoding - 1;
  if (!Number.isInteger(encoding) || row < 0 || row >= instruction.length) return undefined;
  return {
    encoding,
    instruction: instruction[row],
    opcode: opcode[row],
    operands: operands[row],
    flags: flags[row],
    features: features[row],
    attributes: attributes[row],
    implicit: implicit[row],
  };
}

/**
 * The encoding of `instruction|opcode`, as the two stand in the table: `ADD r/m32, r32|o32 01 /r`. This is how to name an encoding in a
 * way that lasts. 0 if there is none.
 */
export function encodingOf(key: string): number {
  if (encodingOfKey === undefined) {
    const { instruction, opcode } = columns();
    encodingOfKey = new Map(instruction.map((text, row) => [`${text}|${opcode[row]}`, row + 1]));
  }
  return encodingOfKey.get(key) ?? 0;
}
