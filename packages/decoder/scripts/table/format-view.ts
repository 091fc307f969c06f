import {
  MemoryTypes,
  memoryTypeSize,
  type OperandSpec,
  operandSpecs,
  places,
  writtenTokens,
} from './operands.ts';
import type { EncodingRecord, OperandToken } from './record.ts';

/** What a syntax says of an encoding; scripts/table/emit-format.ts packs it. */
export interface FormatRow {
  /** The mnemonic if it is not the manual's in lower case. */
  readonly name?: string | undefined;
  /** What is written, in the order of the syntax: `Slot` codes. */
  readonly slots: readonly number[];
  /** `Style` bits besides the name. */
  readonly style: number;
}

/** A record as the formatters' rules look at it. */
export interface RecordView {
  readonly record: EncodingRecord;
  readonly mnemonic: string;
  readonly tokens: readonly OperandToken[];
  readonly specs: readonly OperandSpec[];
  /** Operand and address size that the opcode column names, or 0. */
  readonly size: number;
  readonly addressSize: number;
  /** Operand that may be in memory, or -1. */
  readonly memory: number;
  readonly memoryType: string;
  /** Bytes, 0 if not fixed. */
  readonly memorySize: number;
  /** Another encoding differs in nothing but the size of memory. */
  readonly memoryAmbiguous: boolean;
  /** Another encoding differs in nothing but the operand size, which no operand shows. */
  readonly sizeAmbiguous: boolean;
  /** EVEX form of an instruction that REX2 can encode as well, so that operands and registers do not tell them apart. */
  readonly promoted: boolean;
  /** MOVS, INS and the like. */
  readonly isString: boolean;
}

/** Bit per mode: 16, 32, 64. */
export const modes = { all: 7, m16: 1, m32: 2, m64: 4 } as const;

/** Modes in which the operand size is not the one that is meant without a word about it. */
export function unusualModes({ size, record }: RecordView): number {
  const byDefault = ['d64', 'f64', 'f64-intel'].some((word) => record.attributes.has(word));
  return size === 16
    ? modes.m32 | modes.m64
    : size === 32
      ? modes.m16
      : size === 64 && !byDefault
        ? modes.m64
        : 0;
}

export function viewRecords(records: readonly EncodingRecord[]): RecordView[] {
  const types = new MemoryTypes();
  const memoryKeys = new Map<string, Set<number>>();
  const sizeKeys = new Map<string, Set<number>>();
  // REX2 has the maps 0 and 1.
  const legacy = new Set(
    records
      .filter(({ opcode }) => !/EVEX|VEX|XOP|0F 3[8A]|0F 0F/.test(opcode))
      .map(({ mnemonic }) => mnemonic),
  );
  const drafts = records.map((record) => {
    const tokens = writtenTokens(record);
    const specs = operandSpecs(record, types);
    const memory = specs.findIndex((spec, i) => places[spec.place] === 'rm' && isMemoryToken(tokens[i].text));
    const type = memory < 0 ? '' : types.names[specs[memory].memoryType];
    const memorySize = memory < 0 ? 0 : memoryTypeSize(type);
    const size = Number(/(?:^| )o(16|32|64)/.exec(record.opcode)?.[1] ?? 0);
    const others = tokens.map(({ text }, i) => (i === memory ? 'M' : shape(text)));
    const memoryKey = `${record.mnemonic} ${others.join()}`;
    const sizeKey = `${record.mnemonic} ${tokens.map(({ text }, i) => (i === memory && hidesSize(type) ? 'M' : shape(text))).join()}`;
    if (memory >= 0) add(memoryKeys, memoryKey, memorySize);
    if (size > 0) add(sizeKeys, sizeKey, size);
    return { record, tokens, specs, memory, type, memorySize, size, memoryKey, sizeKey };
  });
  return drafts.map(({ record, tokens, specs, memory, type, memorySize, size, memoryKey, sizeKey }) => ({
    record,
    mnemonic: record.mnemonic,
    tokens,
    specs,
    size,
    addressSize: Number(/(?:^| )a(16|32|64)/.exec(record.opcode)?.[1] ?? 0),
    memory,
    memoryType: type,
    memorySize,
    memoryAmbiguous: memory >= 0 && memoryKeys.get(memoryKey)!.size > 1,
    sizeAmbiguous: size > 0 && sizeKeys.get(sizeKey)!.size > 1,
    promoted: /^EVEX.*\.MAP4\..* ND=0/.test(record.opcode) && legacy.has(record.mnemonic),
    isString:
      /^(INS|OUTS|MOVS|CMPS|STOS|LODS|SCAS)[BWDQ]$/.test(record.mnemonic) &&
      record.operands.some(({ place }) => place.startsWith('[')),
  }));
}

function add(map: Map<string, Set<number>>, key: string, value: number): void {
  const set = map.get(key) ?? new Set();
  map.set(key, set.add(value));
}

function isMemoryToken(text: string): boolean {
  return /\/m\d|^m(?!m)|^mib|^sibmem/.test(text);
}

/** Numbers and code offsets are written alike whatever their size; registers of two operands of a kind are told apart by a digit. */
function shape(text: string): string {
  if (/^imm\d/.test(text)) return 'imm';
  if (/^(rel|disp)\d/.test(text)) return 'rel';
  if (/^ptr16/.test(text)) return 'ptr';
  return text.replace(/^([xyz]?mm|k|tmm|bnd)\d/, '$1').replace(/^(r\d+)[ab]$/, '$1');
}

/** Structures whose layout follows the operand size. */
function hidesSize(type: string): boolean {
  return /^(fpu|pseudo)/.test(type);
}
