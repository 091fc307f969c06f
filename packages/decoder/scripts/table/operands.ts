import { RegisterClass, register, registerByName } from '../../src/registers.ts';
import type { EncodingRecord, OperandToken } from './record.ts';

/** Where an operand's value is encoded. The decoder's `OperandPlace` is this list; order is part of the generated data. */
export const places = [
  'reg',
  'rm',
  'vvvv',
  'opcode',
  'is4',
  'fixed',
  'imm',
  'imm16',
  'imm32',
  'imm64',
  'imm4',
  '1',
  'rel',
  'disp',
  'far',
  'moffs',
  '[seg:rSI]',
  '[ES:rDI]',
  '[seg:rDI]',
  '[seg:rBX+AL]',
] as const;

export const accesses = ['n', 'r', 'w', 'rw', 'cr', 'cw', 'rcw', 'crcw', 'a', 'w/rw', 'cw+z'] as const;

export interface OperandSpec {
  readonly place: number;
  readonly registerClass: number;
  /** Register of a `fixed` place. */
  readonly fixed: number;
  readonly access: number;
  /** Row of the memory type table. */
  readonly memoryType: number;
  /** Registers that follow implicitly: 1 for k1+1, 3 for zmm2+3. */
  readonly following: number;
  /** 0 none, 1 xmm, 2 ymm, 3 zmm index. */
  readonly vectorIndex: number;
  readonly isAddress: boolean;
}

const classByToken: [RegExp, number][] = [
  [/^r8/, RegisterClass.gpr8],
  [/^r16/, RegisterClass.gpr16],
  [/^r32/, RegisterClass.gpr32],
  [/^r64/, RegisterClass.gpr64],
  [/^xmm/, RegisterClass.xmm],
  [/^ymm/, RegisterClass.ymm],
  [/^zmm/, RegisterClass.zmm],
  [/^mm\d?(\/|$)/, RegisterClass.mmx],
  [/^k\d?/, RegisterClass.mask],
  [/^bnd/, RegisterClass.bound],
  [/^tmm/, RegisterClass.tile],
  [/^bsr/, RegisterClass.blockScale],
  [/^Sreg$/, RegisterClass.segment],
  [/^cr$/, RegisterClass.control],
  [/^dr$/, RegisterClass.debug],
  [/^tr$/, RegisterClass.test],
  [/^ST/, RegisterClass.x87],
];

function classOf(text: string): number {
  const size = /^r\/m(\d+)/.exec(text);
  if (size !== null) return classOf(`r${size[1]}`);
  return classByToken.find(([pattern]) => pattern.test(text))?.[1] ?? RegisterClass.none;
}

/** Names of memory types in the order of first use; row 0 is "no memory". */
export class MemoryTypes {
  readonly names: string[] = [''];

  row(name: string): number {
    let row = this.names.indexOf(name);
    if (row < 0) row = this.names.push(name) - 1;
    return row;
  }
}

const specialSizes: Record<string, number> = {
  '': 0,
  any: 0,
  pseudo48: 6,
  pseudo80: 10,
  far16: 4,
  far32: 6,
  far64: 10,
  descriptor64: 10,
  xsave: 0,
  xsave64: 0,
  fxsave: 512,
  fxsave64: 512,
  fpuenv14: 14,
  fpuenv28: 28,
  fpustate94: 94,
  fpustate108: 108,
  bcd80: 10,
  handle384: 48,
  handle512: 64,
  tile: 0,
  tilecfg: 64,
  off16: 2,
  off32: 4,
  off64: 8,
  bnd64: 8,
  bnd128: 16,
};

/** Bytes in memory; 0 where the size is not fixed (XSAVE area, tile). */
export function memoryTypeSize(name: string): number {
  const match = /^(?:u|i|f|bf|hf)(\d+)(?:x(\d+))?$/.exec(name);
  if (match !== null) return (Number(match[1]) * Number(match[2] ?? 1)) / 8;
  if (name in specialSizes) return specialSizes[name];
  const bytes = /^b(\d+)$/.exec(name);
  if (bytes !== null) return Number(bytes[1]);
  throw new Error(`memory type "${name}" is not known`);
}

/** Tokens that stand for the places, in the same order. */
export function writtenTokens(record: EncodingRecord): OperandToken[] {
  return record.operandTokens.filter((token) => !token.listed);
}

export function operandSpecs(record: EncodingRecord, types: MemoryTypes): OperandSpec[] {
  const tokens = writtenTokens(record);
  return record.operands.map((operand, i): OperandSpec => {
    const { text } = tokens[i];
    const token = text.replace(/\{.*/, '').trim();
    let place = places.indexOf(operand.place as (typeof places)[number]);
    let fixed = 0;
    if (token === 'imm4') place = places.indexOf('imm4');
    if (place < 0) {
      place = places.indexOf('fixed');
      fixed =
        operand.place === 'ST0'
          ? register(RegisterClass.x87, 0)
          : registerByName(operand.place.toLowerCase());
      if (fixed === 0) throw new Error(`${record.where}: place "${operand.place}"`);
    }
    const access = accesses.indexOf(operand.access as (typeof accesses)[number]);
    if (access < 0) throw new Error(`${record.where}: access "${operand.access}"`);
    const vector = /^vm\d+([xyz])/.exec(token);
    const isMemory = /\/m\d?|^m(?!m)|^\[|^vm|^mib|^sibmem/.test(token) || place >= places.indexOf('moffs');
    return {
      place,
      registerClass: classOf(token),
      fixed,
      access,
      memoryType: isMemory ? types.row(operand.type === '' ? typeOfToken(token) : operand.type) : 0,
      following: Number(/\+(\d)$/.exec(token)?.[1] ?? 0),
      vectorIndex: vector === null ? 0 : 'xyz'.indexOf(vector[1]) + 1,
      isAddress: operand.isAddress,
    };
  });
}

/** `m128` says its size where the operand column does not say more. */
function typeOfToken(token: string): string {
  const match = /m(\d+)(?:byte)?$/.exec(token);
  return match === null ? 'any' : /byte$/.test(token) ? `b${match[1]}` : `u${match[1]}`;
}

/** Classes in which not every number is the register of that number: AH for SPL, eight registers instead of sixteen. */
const narrowClasses: ReadonlySet<number> = new Set([
  RegisterClass.gpr8,
  RegisterClass.segment,
  RegisterClass.mmx,
  RegisterClass.x87,
  RegisterClass.mask,
  RegisterClass.tile,
]);

export function packSpec(spec: OperandSpec): number {
  return (
    spec.place |
    (spec.registerClass << 5) |
    (spec.memoryType << 10) |
    (spec.access << 18) |
    (spec.vectorIndex << 22) |
    (spec.following << 24) |
    ((spec.isAddress ? 1 : 0) << 26) |
    ((narrowClasses.has(spec.registerClass) ? 1 : 0) << 27)
  );
}
