import { ControlFlow, ElementKind, Kinds, Treatment } from '../../src/info/constants.ts';
import { type Attributes, readAttributes } from './attributes.ts';
import { header, json } from './emit.ts';
import { flagMasks } from './flags.ts';
import { implicitUse, operandAccess } from './implicit.ts';
import { MemoryTypes, memoryTypeSize, operandSpecs } from './operands.ts';
import type { EncodingRecord } from './record.ts';

/** Rows, each stored once, in the order of first use. */
class Rows {
  readonly numbers: number[] = [];
  private readonly known = new Map<string, number>();
  private count = 0;

  /** Number of the row. */
  row(row: readonly number[]): number {
    const key = row.join();
    let number = this.known.get(key);
    if (number === undefined) {
      number = this.count++;
      this.known.set(key, number);
      this.numbers.push(...row);
    }
    return number;
  }
}

/** Lists, each stored once as `length, item, item …`; numbers are offsets. Offset 0 is the empty list. */
class Lists {
  readonly numbers: number[] = [0];
  private readonly known = new Map([['', 0]]);

  offset(list: readonly number[]): number {
    const key = list.join();
    let offset = this.known.get(key);
    if (offset === undefined) {
      offset = this.numbers.length;
      this.known.set(key, offset);
      this.numbers.push(list.length, ...list);
    }
    return offset;
  }
}

/** Tables that src/info reads. Encoding 0 is "none". */
export function infoTables(records: readonly EncodingRecord[]): string {
  const types = new MemoryTypes();
  // Rows of the core's table come first and in its order; implicit operands add theirs behind.
  for (const record of records) operandSpecs(record, types);

  const flags = new Rows();
  const attributes = new Rows();
  const featureLists = new Lists();
  const programs = new Lists();
  const featureNames: string[] = [];
  const exceptionClasses = [''];
  flags.row([0, 0, 0, 0, 0]);
  // Bytes that are no instruction raise an exception.
  attributes.row([0, packKinds({ flow: ControlFlow.exception }), 0, 0, 0, 0]);
  const flagsOf = [0];
  const attributesOf = [0];
  const featuresOf = [0];
  const programOf = [0];

  for (const record of records) {
    const read = readAttributes(record);
    const implicit = implicitUse(record, types);
    const treatment =
      implicit.special |
      (implicit.narrowed << Treatment.narrowed) |
      (implicit.narrowClass << Treatment.narrowClass) |
      (vectorIndexBits(record) << Treatment.vectorIndex);
    flagsOf.push(flags.row(flagMasks(record)));
    attributesOf.push(
      attributes.row([
        read.traits,
        packKinds(read),
        treatment,
        implicit.countMask | (implicit.countModulus << 6),
        read.stackBytes,
        exceptionClassRows(exceptionClasses, read.exceptionClass),
      ]),
    );
    featuresOf.push(featureLists.offset(record.features.map((name) => indexOf(featureNames, name))));
    programOf.push(programs.offset(implicit.program));
  }

  return `${header}
/** Rows of five masks: read, written, cleared, set, undefined; and each encoding's row. */
export const flagMasks = '${json(flags.numbers)}';
export const flagsOf = '${json(flagsOf)}';
/** Rows of six, see src/info/tables.ts; and each encoding's row. */
export const attributes = '${json(attributes.numbers)}';
export const attributesOf = '${json(attributesOf)}';
export const exceptionClassNames = '${exceptionClasses.join(' ')}';
/** Lists of rows of the names; and each encoding's list. */
export const featureNames = '${featureNames.join(' ')}';
export const featureLists = '${json(featureLists.numbers)}';
export const featuresOf = '${json(featuresOf)}';
/** Programs of implicit uses, see src/info/implicit.ts; and each encoding's program. */
export const programs = '${json(programs.numbers)}';
export const programOf = '${json(programOf)}';
/** By access code of an operand. */
export const operandAccess = '${json(operandAccess)}';
/** By memory type: bytes, kind of element, bits of an element. */
export const memorySizes = '${json(types.names.map(memoryTypeSize))}';
export const memoryElements = '${json(types.names.flatMap((name) => elementOf(name)))}';
`;
}

/** Fields at the places that `Kinds` names. */
function packKinds(read: Partial<Attributes>): number {
  return (
    (read.flow ?? 0) |
    ((read.condition ?? 0) << Kinds.condition) |
    ((read.privilege ?? 0) << Kinds.privilege) |
    ((read.stack ?? 0) << Kinds.stack) |
    (((read.fpuIncrement ?? 0) + 1) << Kinds.fpuIncrement) |
    ((read.fpuWritesTop ? 1 : 0) << Kinds.fpuWritesTop) |
    ((read.fpuConditional ? 1 : 0) << Kinds.fpuConditional) |
    ((read.modes ?? 0) << Kinds.modes)
  );
}

function indexOf(names: string[], name: string): number {
  const index = names.indexOf(name);
  return index < 0 ? names.push(name) - 1 : index;
}

/** Row for the register form, and << 8 that for the memory form: the manuals write `E6NF/E6` where they differ. */
function exceptionClassRows(names: string[], text: string): number {
  const [registerForm, memoryForm = registerForm] = text.split('/');
  return indexOf(names, registerForm) | (indexOf(names, memoryForm) << 8);
}

/** 0 if the encoding has no vector of indexes, 1 if they have 32 bits, 2 if 64. */
function vectorIndexBits(record: EncodingRecord): number {
  for (const { text } of record.operandTokens) {
    const match = /^vm(32|64)[xyz]/.exec(text);
    if (match !== null) return Number(match[1]) / 32;
  }
  return 0;
}

const elementKinds: Record<string, number> = {
  u: ElementKind.unsigned,
  i: ElementKind.signed,
  f: ElementKind.float,
  bf: ElementKind.bfloat,
  hf: ElementKind.hfloat,
};

/** Kind and bits of the elements of a memory type. */
function elementOf(name: string): [number, number] {
  const match = /^(u|i|f|bf|hf)(\d+)(?:x\d+)?$/.exec(name);
  if (match === null) return [ElementKind.other, 8 * memoryTypeSize(name)];
  return [elementKinds[match[1]], Number(match[2])];
}
