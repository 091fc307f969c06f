/**
 * Sample bytes for a row of the instruction table, made from its opcode notation: every mode that allows it, register and memory forms,
 * prefixes, and EVEX's opmasks, broadcasts and roundings. Made without the decoder and its tables, so that it can test both.
 *
 * Samples aim at their row but need not hit it: another row may be more specific, or a rule may forbid the combination.
 */
import type { EncodingRecord } from '../../scripts/table/record.ts';
import { type DecoderFeature, DecoderOptions } from '../../src/index.ts';
import { type Notation, parseNotation } from './notation.ts';

export type Mode = 16 | 32 | 64;

export interface Sample {
  readonly mode: Mode;
  readonly bytes: Uint8Array;
  /** What is special about it, for messages. */
  readonly what: string;
}

export interface SampleOptions {
  /** Also REX2, EVEX forms with r16 to r31 as registers, bases and indexes. Default: only for rows of APX. */
  readonly apx?: boolean;
}

/** Options under which the row's samples mean the row. `enable` and `disable`: what is on or off besides. */
export function sampleDecoderOptions(
  record: EncodingRecord,
  mode: Mode,
  enable: DecoderFeature[] = [],
  disable: DecoderFeature[] = [],
): DecoderOptions {
  const { attributes } = record;
  const amd = attributes.has('amd') || (mode === 64 && attributes.has('amd-in-64'));
  const named = (prefix: string) =>
    [...attributes]
      .filter((word) => word.startsWith(prefix))
      .map((word) => word.slice(prefix.length) as DecoderFeature);
  if (record.features.some((feature) => feature.startsWith('D3NOW'))) enable = ['3dnow', ...enable];
  if (record.features.includes('MPX')) enable = ['mpx', ...enable];
  return new DecoderOptions({
    mode,
    vendor: amd ? 'amd' : 'intel',
    enable: [...enable, ...named('option:')],
    disable: [...disable, ...named('unless:')],
  });
}

/** What one sample wants besides its row. */
interface Choice {
  mode: Mode;
  reg: number;
  /** Register in ModRM.rm or the opcode, if there is no memory form. */
  rm: number;
  vvvv: number;
  is4: number;
  memory: MemoryForm | undefined;
  addressOverride: boolean;
  prefixes: number[];
  w: number;
  vectorLength: number;
  opmask: number;
  zeroing: boolean;
  b: boolean;
  /** -1: the row's lengths. */
  rounding: number;
  rex: boolean;
  longVex: boolean;
  noFlags: boolean;
  what: string;
}

interface MemoryForm {
  readonly addressSize: Mode;
  readonly mod: number;
  readonly rm: number;
  /** With the index's and base's low three bits; -1 none. */
  readonly sib: number;
  /** Extension bits: 1 and 2 of the base, 4 and 8 of the index (r8, r16 and so on). */
  readonly extension: number;
  readonly displacement: number;
}

const sib = (scale: number, index: number, base: number): number =>
  (scale << 6) | ((index & 7) << 3) | (base & 7);
const form = (
  addressSize: Mode,
  mod: number,
  rm: number,
  sibByte: number,
  extension: number,
  displacement: number,
): MemoryForm => ({
  addressSize,
  mod,
  rm,
  sib: sibByte,
  extension,
  displacement,
});

const forms16 = [
  form(16, 0, 0, -1, 0, 0),
  form(16, 0, 6, -1, 0, 0xff80),
  form(16, 1, 6, -1, 0, 0xf0),
  form(16, 2, 7, -1, 0, 0x1234),
  form(16, 1, 2, -1, 0, 0),
  form(16, 2, 5, -1, 0, 0xfff6),
  form(16, 0, 3, -1, 0, 0),
  form(16, 0, 4, -1, 0, 0),
  form(16, 0, 1, -1, 0, 0),
];
const forms32 = [
  form(32, 0, 0, -1, 0, 0),
  form(32, 1, 5, -1, 0, 0xf8),
  form(32, 1, 4, sib(0, 4, 4), 0, 0x40),
  form(32, 2, 4, sib(1, 6, 3), 0, 0x12345678),
  form(32, 0, 5, -1, 0, 0xdeadbeef),
  form(32, 0, 4, sib(3, 1, 5), 0, 9),
  form(32, 0, 4, sib(0, 4, 5), 0, 0x1000),
  form(32, 2, 1, -1, 0, 0x80000000),
  form(32, 1, 7, -1, 0, 0),
  form(32, 2, 4, sib(2, 5, 4), 0, 0xfffffff6),
  form(32, 0, 4, sib(0, 2, 1), 0, 0),
];
const forms64 = [
  form(64, 0, 0, -1, 0, 0),
  form(64, 1, 5, -1, 0, 0xf8),
  form(64, 1, 4, sib(0, 4, 4), 0, 0x40),
  form(64, 2, 4, sib(1, 6, 3), 0, 0x12345678),
  form(64, 0, 5, -1, 0, 0x87654321),
  form(64, 0, 5, -1, 0, 0x10),
  form(64, 0, 4, sib(3, 1, 5), 0, 9),
  form(64, 0, 4, sib(0, 4, 5), 0, 0x80000000),
  form(64, 2, 4, sib(2, 4, 4), 5, 0x80000000),
  form(64, 1, 5, -1, 1, 0),
  form(64, 0, 4, sib(0, 0, 5), 5, 0xfffffff0),
  form(64, 2, 7, -1, 1, 0xff),
  form(64, 0, 4, sib(0, 4, 5), 0, 0x7fff0000),
  form(64, 0, 4, sib(2, 4, 5), 0, 0x1000),
];
const formsApx = [
  form(64, 0, 0, -1, 2, 0),
  form(64, 1, 5, -1, 3, 0x7f),
  form(64, 1, 4, sib(2, 4, 4), 10, 1),
  form(64, 0, 4, sib(0, 3, 5), 14, 0x44),
];
const vsibForms = (size: Mode): MemoryForm[] => [
  form(size, 0, 4, sib(0, 4, 0), 0, 0),
  form(size, 1, 4, sib(2, 1, 5), 0, 0xf8),
  form(size, 0, 4, sib(3, 7, 5), size === 64 ? 4 : 0, 0x1234),
  form(size, 2, 4, sib(1, 2, 4), size === 64 ? 1 : 0, 0x12345678),
];

/** Deterministic, different for each row. */
class Picker {
  private state = 0x9e3779b9;

  constructor(text: string) {
    for (let i = 0; i < text.length; i++)
      this.state = Math.imul(this.state ^ text.charCodeAt(i), 0x01000193) | 1;
  }

  below(limit: number): number {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x;
    return (x >>> 0) % limit;
  }

  of<T>(list: readonly T[]): T {
    return list[this.below(list.length)];
  }
}

const immediateBytes: Record<string, number> = {
  ib: 1,
  iw: 2,
  id: 4,
  io: 8,
  cb: 1,
  cw: 2,
  cd: 4,
  cp: 6,
  '/is4': 1,
  '/is5': 1,
  '/ib': 1,
};
const immediateValues: Record<number, number[][]> = {
  1: [[0], [1], [9], [10], [0x7f], [0x80], [0xff], [0xf6], [0xf7], [0x1e], [0x11]],
  2: [
    [0, 0],
    [9, 0],
    [0xff, 0xff],
    [0, 0x80],
    [0x34, 0x12],
    [0xf6, 0xff],
    [0xff, 0],
  ],
  4: [
    [0, 0, 0, 0],
    [10, 0, 0, 0],
    [0xff, 0xff, 0xff, 0xff],
    [0, 0, 0, 0x80],
    [0x78, 0x56, 0x34, 0x12],
    [0xf6, 0xff, 0xff, 0xff],
    [0xff, 0xff, 0xff, 0x7f],
    [0xff, 0xff, 0, 0],
  ],
  6: [
    [0x78, 0x56, 0x34, 0x12, 0x08, 0x00],
    [0, 0, 0, 0x80, 0xff, 0xff],
    [9, 0, 0, 0, 9, 0],
  ],
  8: [
    [0, 0, 0, 0, 0, 0, 0, 0],
    [0xf0, 0xde, 0xbc, 0x9a, 0x78, 0x56, 0x34, 0x12],
    [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    [0, 0, 0, 0x80, 0xff, 0xff, 0xff, 0xff],
    [0, 0, 0, 0x80, 0, 0, 0, 0],
    [7, 0, 0, 0, 0, 0, 0, 0],
    [1, 0, 0, 0, 1, 0, 0, 0],
  ],
};

/** All samples of a row, the plain ones first; none for modes that do not have it. */
export function samplesOf(
  record: EncodingRecord,
  { apx = record.features.includes('APX_F') }: SampleOptions = {},
): Sample[] {
  const notation = parseNotation(record);
  const picker = new Picker(`${record.opcode}|${record.instruction}`);
  const samples: Sample[] = [];
  for (const mode of [64, 32, 16] as const) {
    if (mode === 64 ? record.attributes.has('no64') : record.attributes.has('64')) continue;
    for (const choice of choices(record, notation, mode, apx, picker)) {
      const bytes = encode(record, notation, choice, picker);
      if (bytes !== undefined && bytes.length <= 15)
        samples.push({ mode, bytes: Uint8Array.from(bytes), what: choice.what });
    }
  }
  return samples;
}

/** Register numbers that the row's operands allow, by place. */
function registerLimits(record: EncodingRecord, mode: Mode): Record<'reg' | 'rm' | 'vvvv', number[]> {
  const limits = {
    reg: [0, 1, 2, 3, 4, 5, 6, 7],
    rm: [0, 1, 2, 3, 4, 5, 6, 7],
    vvvv: [0, 1, 2, 3, 4, 5, 6, 7],
  };
  const tokens = record.operandTokens.filter((token) => !token.listed);
  for (const place of ['reg', 'rm', 'vvvv'] as const) {
    const i = record.operands.findIndex((operand) => operand.place === place);
    const text = tokens[i]?.text ?? '';
    if (text === 'Sreg') limits[place] = i === 0 ? [0, 2, 3, 4, 5] : [0, 1, 2, 3, 4, 5];
    else if (text === 'cr') limits[place] = mode === 64 ? [0, 2, 3, 4, 8] : [0, 2, 3, 4];
    else if (text === 'tr') limits[place] = [3, 4, 5, 6, 7];
    else if (text.startsWith('bnd')) limits[place] = [0, 1, 2, 3];
    else if (/^([xyz]mm|r\d|r\/m\d)/.test(text) && mode === 64)
      limits[place] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
  }
  return limits;
}

function choices(
  record: EncodingRecord,
  notation: Notation,
  mode: Mode,
  apx: boolean,
  picker: Picker,
): Choice[] {
  const { attributes } = record;
  const limits = registerLimits(record, mode);
  const distinct = attributes.has('distinct') || attributes.has('distinct-dest');
  const usesVvvv = record.operands.some((operand) => operand.place === 'vvvv');
  const isEvex = notation.space === 'evex';
  const result: Choice[] = [];
  const token = (name: string) => record.operandTokens.find((one) => one.decorations.includes(name));
  const maskable = token('k1') ?? token('k2');
  const dfv = token('dfv') !== undefined;

  const add = (what: string, memory: MemoryForm | undefined, changes: Partial<Choice> = {}): void => {
    const reg = picker.of(limits.reg);
    let rm = picker.of(limits.rm);
    let vvvv = usesVvvv ? picker.of(limits.vvvv) : 0;
    while (distinct && rm === reg) rm = picker.of(limits.rm);
    while (distinct && usesVvvv && (vvvv === reg || vvvv === rm)) vvvv = picker.of(limits.vvvv);
    result.push({
      mode,
      reg,
      rm,
      vvvv: dfv ? picker.below(16) : vvvv,
      is4: picker.below(mode === 64 ? 16 : 8),
      memory,
      addressOverride: false,
      prefixes: [],
      w: notation.w >= 0 ? notation.w : picker.below(2),
      vectorLength: picker.of(notation.vectorLengths),
      opmask: attributes.has('k-required') ? 1 + picker.below(7) : 0,
      zeroing: false,
      b: false,
      rounding: -1,
      rex: false,
      longVex: false,
      noFlags: false,
      what,
      ...changes,
    });
  };

  const hasRegisterForm = notation.hasModrm && notation.fixedModrm < 0 && notation.registerForm;
  const hasMemoryForm = notation.hasModrm && notation.fixedModrm < 0 && notation.memoryForm;
  const own = mode === 64 ? forms64 : mode === 32 ? forms32 : forms16;
  const other = mode === 64 ? forms32 : mode === 32 ? forms16 : forms32;
  const vector = notation.vsib || /\bvm\d/.test(record.instruction);
  const needsSib = vector || notation.rmDigit === 4;
  let memoryForms = own;
  let otherForms = other;
  if (vector) {
    memoryForms = mode === 16 ? [] : vsibForms(mode);
    otherForms = mode === 32 ? [] : vsibForms(32);
  } else if (needsSib) {
    memoryForms = own.filter(({ sib: byte }) => byte >= 0);
    otherForms = other.filter(({ sib: byte }) => byte >= 0);
  }

  if (!hasRegisterForm && !hasMemoryForm) {
    for (
      let i = 0;
      i < (notation.immediates.length > 0 || notation.opcodeRegister || notation.fixedRegister ? 8 : 2);
      i++
    )
      add('plain', undefined);
    if (mode === 64) add('rex', undefined, { rex: true });
    add('address size', undefined, { addressOverride: true });
    for (const byte of [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65]) add('segment', undefined, { prefixes: [byte] });
    if (apx && mode === 64)
      for (let i = 0; i < 4; i++)
        add('high registers', undefined, {
          rm: 16 + picker.below(16),
          vvvv: usesVvvv ? 16 + picker.below(16) : 0,
        });
  }
  if (hasRegisterForm) {
    for (let i = 0; i < 4; i++) add('register', undefined);
    if (mode === 64) add('rex', undefined, { rex: true });
    add('register, 3-byte VEX', undefined, { longVex: true });
    add('register, address size', undefined, { addressOverride: true });
    if (isEvex && mode === 64 && !distinct)
      add('high vectors', undefined, {
        reg: 16 + picker.below(16),
        rm: 16 + picker.below(16),
        vvvv: usesVvvv ? 16 + picker.below(16) : 0,
      });
    if (apx && mode === 64)
      for (let i = 0; i < 3; i++)
        add('high registers', undefined, { reg: 16 + picker.below(16), rm: 16 + picker.below(16) });
  }
  if (hasMemoryForm) {
    for (const memory of memoryForms) add('memory', memory);
    for (const memory of otherForms) add('memory, address size', memory, { addressOverride: true });
    for (const byte of [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65])
      add('segment', picker.of(memoryForms.length > 0 ? memoryForms : [undefined]), { prefixes: [byte] });
    if (isEvex && mode === 64)
      add('high vectors', picker.of(memoryForms), {
        reg: 16 + picker.below(16),
        vvvv: usesVvvv ? 16 + picker.below(16) : 0,
      });
    if (apx && mode === 64 && !vector)
      for (const memory of formsApx) if (!needsSib || memory.sib >= 0) add('high base', memory);
  }

  const anyForm = (): MemoryForm | undefined => (hasMemoryForm ? picker.of(memoryForms) : undefined);
  const repeated: [string, number[][]][] = [
    ['lock', [[0xf0]]],
    ['xacquire', [[0xf2, 0xf0], [0xf2]]],
    ['xrelease', [[0xf3, 0xf0], [0xf3]]],
    ['rep', [[0xf3], [0xf2]]],
    ['repe', [[0xf3]]],
    ['repne', [[0xf2]]],
    ['bnd', [[0xf2]]],
    ['notrack', [[0x3e]]],
    ['hint', [[0x2e], [0x3e]]],
  ];
  for (const [name, prefixes] of repeated) {
    if (attributes.has(name)) {
      for (const prefix of prefixes) {
        add(name, anyForm(), { prefixes: prefix });
        if (hasRegisterForm) add(name, undefined, { prefixes: prefix });
      }
    }
  }
  if (notation.space === 'legacy') {
    for (const prefix of [[0xf2], [0xf3], [0xf0], [0x66], [0xf2, 0xf3, 0x66], [0x3e, 0xf2]])
      add('odd prefix', anyForm(), { prefixes: prefix });
    if (hasRegisterForm) {
      for (const prefix of [[0xf2], [0xf3], [0x66], [0x64], [0x2e]])
        add('odd prefix', undefined, { prefixes: prefix });
    }
  } else {
    add('segment', anyForm(), { prefixes: [0x64] });
    if (hasRegisterForm) add('segment', undefined, { prefixes: [0x65] });
  }

  if (isEvex && notation.map !== 4) {
    if (maskable !== undefined) {
      if (hasRegisterForm) add('opmask', undefined, { opmask: 1 + picker.below(7) });
      if (hasMemoryForm && memoryForms.length > 0)
        add('opmask', picker.of(memoryForms), { opmask: 1 + picker.below(7) });
      if (maskable.decorations.includes('z')) {
        if (hasRegisterForm) add('zeroing', undefined, { opmask: 1 + picker.below(7), zeroing: true });
        if (hasMemoryForm) add('zeroing', anyForm(), { opmask: 1 + picker.below(7), zeroing: true });
      }
    }
    if (record.operandTokens.some(({ text }) => text.includes('bcst')) && hasMemoryForm) {
      for (const memory of memoryForms) add('broadcast', memory, { b: true });
      if (maskable !== undefined)
        add('broadcast, opmask', anyForm(), { b: true, opmask: 1 + picker.below(7) });
    }
    if (hasRegisterForm) {
      if (token('er') !== undefined)
        for (let rounding = 0; rounding < 4; rounding++) add('rounding', undefined, { b: true, rounding });
      if (token('sae') !== undefined)
        for (let rounding = 0; rounding < 4; rounding++) add('sae', undefined, { b: true, rounding });
      if ((token('er') ?? token('sae')) !== undefined && maskable !== undefined) {
        add('sae, opmask', undefined, { b: true, rounding: picker.below(4), opmask: 1 + picker.below(7) });
      }
    }
  }
  if (attributes.has('nf')) {
    if (hasRegisterForm) add('no flags', undefined, { noFlags: true });
    if (hasMemoryForm) add('no flags', anyForm(), { noFlags: true });
  }
  return result;
}

function encode(
  record: EncodingRecord,
  notation: Notation,
  choice: Choice,
  picker: Picker,
): number[] | undefined {
  const { mode, memory } = choice;
  const legacy: number[] = [...choice.prefixes];
  let addressSize: number = memory?.addressSize ?? (choice.addressOverride ? (mode === 32 ? 16 : 32) : mode);
  if (memory === undefined && notation.addressSize !== 0) addressSize = notation.addressSize;
  if (notation.addressSize !== 0 && notation.addressSize !== addressSize) return undefined;
  if (addressSize !== mode) {
    if ((mode === 64 && addressSize === 16) || (mode !== 64 && addressSize === 64)) return undefined;
    legacy.push(0x67);
  }
  let w = choice.w;
  if (notation.space === 'legacy') {
    w = notation.rex2 && notation.w >= 0 ? notation.w : 0;
    const by66 = operandPrefix(record, notation, mode);
    if (by66 < 0) return undefined;
    if (by66 & 1) legacy.push(0x66);
    if (by66 & 2) w = 1;
    if (notation.prefix > 0) legacy.push([0, 0x66, 0xf3, 0xf2][notation.prefix]);
  }

  // ModRM, SIB, displacement
  const tail: number[] = [];
  let reg = choice.reg;
  let base = choice.rm;
  let index = 0;
  if (notation.fixedModrm >= 0) {
    base = notation.fixedRegister ? choice.rm & 7 : 0;
    tail.push(notation.fixedModrm | base);
    reg = 0;
    base = 0;
  } else if (notation.hasModrm) {
    if (notation.digit >= 0) reg = notation.digit;
    if (memory === undefined) {
      if (notation.rmDigit >= 0) base = notation.rmDigit;
      tail.push(0xc0 | ((reg & 7) << 3) | (base & 7));
    } else {
      tail.push((memory.mod << 6) | ((reg & 7) << 3) | memory.rm);
      if (memory.sib >= 0) tail.push(memory.sib);
      const size = displacementSize(memory);
      for (let i = 0; i < size; i++) tail.push((memory.displacement >>> (8 * i)) & 255);
      base = (memory.extension & 3) << 3;
      index = ((memory.extension >> 2) & 3) << 3;
    }
  } else if (!notation.opcodeRegister) base = reg = 0;
  else reg = 0;

  const opcode = notation.opcode | (notation.opcodeRegister ? base & 7 : 0);
  const immediates: number[] = [];
  for (const name of notation.immediates) {
    if (name === 'mo') {
      for (let i = 0; i < addressSize / 8; i++) immediates.push(picker.of([0, 0x12, 0x80, 0xff]));
    } else if (name === '/is4' || name === '/is5')
      immediates.push((choice.is4 << 4) | (name === '/is5' ? picker.below(4) : 0));
    else {
      const size = name === 'cd' && record.operands[0]?.place === 'far' ? 4 : immediateBytes[name];
      if (size === undefined) throw new Error(`${record.where}: immediate "${name}"`);
      // "/is5 imm4": one byte for both.
      immediates.push(...picker.of(immediateValues[size]));
    }
  }
  if (notation.suffix >= 0) immediates.push(notation.suffix);

  const head =
    notation.space === 'legacy'
      ? legacyHead(notation, choice, reg, base, index, w)
      : vectorHead(record, notation, choice, reg, base, index, w);
  if (head === undefined) return undefined;
  return [
    ...legacy,
    ...head,
    ...(notation.map === 4 && notation.space === 'legacy' ? [] : [opcode]),
    ...tail,
    ...immediates,
  ];
}

function displacementSize({ addressSize, mod, rm, sib: byte }: MemoryForm): number {
  if (mod === 1) return 1;
  const wide = addressSize === 16 ? 2 : 4;
  if (mod === 2) return wide;
  if (addressSize === 16) return rm === 6 ? 2 : 0;
  return rm === 5 || (rm === 4 && (byte & 7) === 5) ? 4 : 0;
}

/** Bit 0: 66 is needed, bit 1: REX.W is needed; -1: the mode does not have that operand size. */
function operandPrefix(record: EncodingRecord, { operandSize }: Notation, mode: Mode): number {
  if (operandSize === 0) return 0;
  if (mode !== 64) return operandSize === 64 ? -1 : operandSize === mode ? 0 : 1;
  const { attributes } = record;
  if (operandSize === 64)
    return attributes.has('d64') || attributes.has('f64') || attributes.has('f64-intel') ? 0 : 2;
  return operandSize === 16 ? 1 : 0;
}

function legacyHead(
  { map, rex2 }: Notation,
  choice: Choice,
  reg: number,
  base: number,
  index: number,
  w: number,
): number[] | undefined {
  const escapes = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a], [0x0f, 0x0f]][map];
  const bit = (number: number, position: number) => (number >> position) & 1;
  if (rex2 || ((reg | base | index) & 16) !== 0) {
    if (choice.mode !== 64 || map > 1) return undefined;
    const low = (w << 3) | (bit(reg, 3) << 2) | (bit(index, 3) << 1) | bit(base, 3);
    return [0xd5, (map << 7) | (bit(reg, 4) << 6) | (bit(index, 4) << 5) | (bit(base, 4) << 4) | low];
  }
  const rex = (w << 3) | (bit(reg, 3) << 2) | (bit(index, 3) << 1) | bit(base, 3);
  if (rex === 0 && !choice.rex) return escapes;
  return choice.mode === 64 ? [0x40 | rex, ...escapes] : undefined;
}

function vectorHead(
  record: EncodingRecord,
  notation: Notation,
  choice: Choice,
  reg: number,
  base: number,
  index: number,
  w: number,
): number[] | undefined {
  const { space, map, prefix } = notation;
  const bit = (number: number, position: number) => (number >> position) & 1;
  const dfv = record.operandTokens.some((token) => token.decorations.includes('dfv'));
  const isRegisterForm = choice.memory === undefined;
  if (choice.mode !== 64 && ((reg | base | index | choice.vvvv) & 24) !== 0) return undefined;
  const vvvv = dfv ? choice.vvvv : ~choice.vvvv & 15;
  if (space !== 'evex') {
    if (((reg | base | index | choice.vvvv) & 16) !== 0) return undefined;
    const last = (vvvv << 3) | (choice.vectorLength << 2) | prefix;
    const notR = (bit(reg, 3) ^ 1) << 7;
    if (space === 'vex' && map === 1 && w === 0 && ((base | index) & 8) === 0 && !choice.longVex)
      return [0xc5, notR | last];
    return [
      space === 'vex' ? 0xc4 : 0x8f,
      notR | ((bit(index, 3) ^ 1) << 6) | ((bit(base, 3) ^ 1) << 5) | map,
      (w << 7) | last,
    ];
  }
  // In the register form X is bit 4 of a vector register, B4 that of a general one.
  const token = record.operandTokens.filter((one) => !one.listed)[
    record.operands.findIndex((operand) => operand.place === 'rm')
  ];
  const vectorRm = isRegisterForm && /^[xyz]mm/.test(token?.text ?? '');
  const x = vectorRm ? bit(base, 4) : bit(index, 3);
  const b4 = vectorRm ? 0 : bit(base, 4);
  const x4 = isRegisterForm ? 0 : bit(index, 4);
  const first =
    ((bit(reg, 3) ^ 1) << 7) |
    ((x ^ 1) << 6) |
    ((bit(base, 3) ^ 1) << 5) |
    ((bit(reg, 4) ^ 1) << 4) |
    (b4 << 3) |
    map;
  const second = (w << 7) | (vvvv << 3) | ((x4 ^ 1) << 2) | prefix;
  if (map === 4 || notation.scc >= 0) {
    const conditions =
      notation.scc >= 0
        ? notation.scc
        : ((bit(choice.vvvv, 4) ^ 1) << 3) | ((choice.noFlags || notation.nf === 1 ? 1 : 0) << 2);
    return [0x62, first, second, ((notation.nd === 1 ? 1 : 0) << 4) | conditions];
  }
  const length = choice.rounding >= 0 ? choice.rounding : choice.vectorLength;
  const noFlags = choice.noFlags || notation.nf === 1 ? 4 : 0;
  const third =
    ((choice.zeroing ? 1 : 0) << 7) |
    (length << 5) |
    ((choice.b || notation.nd === 1 ? 1 : 0) << 4) |
    ((bit(choice.vvvv, 4) ^ 1) << 3) |
    choice.opmask |
    noFlags;
  return [0x62, first, second, third];
}
