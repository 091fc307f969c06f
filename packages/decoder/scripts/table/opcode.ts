import type { EncodingRecord } from './record.ts';

/**
 * What can decide between encodings that share map and opcode. The decoder computes the same numbers from the bytes
 * (`select` in decode.ts); the order here is the order in which the tree prefers to ask.
 */
export const axes = [
  // 0: 16 bits outside 64-bit mode, 1: 32 bits outside; 2, 3, 4: 16, 32, 64 bits in 64-bit mode
  { name: 'size', values: 5 },
  { name: 'mandatoryPrefix', values: 4 },
  { name: 'mod', values: 2 },
  { name: 'reg', values: 8 },
  { name: 'rm', values: 8 },
  { name: 'vectorLength', values: 4 },
  { name: 'w', values: 2 },
  { name: 'addressSize', values: 3 },
  { name: 'rexB', values: 2 },
  { name: 'vendor', values: 2 },
  { name: 'nd', values: 2 },
  { name: 'nf', values: 2 },
  { name: 'scc', values: 16 },
  { name: 'rex2', values: 2 },
] as const;

/** Decoder options, each an axis of its own behind the fixed ones: 0 off, 1 on. */
export const options = [
  'apx',
  'mpx',
  'lzcnt',
  'tzcnt',
  'wbnoinvd',
  'cet',
  'pause',
  'recent',
  '3dnow',
  'cyrix',
  'cyrix-dmi',
  'cyrix-smint-0f7e',
  'umov',
  'xbts',
  'jmpe',
  'oldfpu',
  'cmpxchg486a',
  'loadall286',
  'loadall386',
  'movtr',
  'udbg',
  'cl1invmb',
  'pcommit',
  'altinst',
] as const;

/** These processors gave the whole opcode another meaning, not only the forms that the table lists. */
export const replacingOptions: readonly string[] = ['cyrix', 'cyrix-dmi', 'cyrix-smint-0f7e', 'udbg', 'jmpe'];

export type Box = Record<string, number>;

/** Where an encoding lives, and when it is meant: allowed values by axis, as bit masks. Absent: any. */
export interface Placement {
  readonly space: 'legacy' | 'vex' | 'xop' | 'evex';
  readonly map: number;
  readonly opcodes: readonly number[];
  readonly boxes: readonly Box[];
  /** The same for a 32-bit encoding without a 64-bit sibling: it ignores REX.W. The sibling, if any, wins. */
  readonly fallback: Box | undefined;
  readonly hasModrm: boolean;
  /** Operand size that the opcode column names, or 0. */
  readonly operandSize: number;
  readonly immediate: ImmediateLayout;
}

export const immediateLayouts = [
  'none',
  'ib',
  'iw',
  'id',
  'io',
  'iw ib',
  'ib ib',
  'far16',
  'far32',
  'mo',
  'cb',
  'cw',
  'cd',
  'is4',
  'iw16',
  'id32',
] as const;
type ImmediateLayout = (typeof immediateLayouts)[number];

const prefixBit: Record<string, number> = { NP: 1, '66': 2, F3: 4, F2: 8 };
const legacyMaps: [RegExp, number][] = [
  // Historic processors had instructions on what are escapes today: 0F 38 alone is one.
  [/^0F 38 (?=[0-9A-F]{2})/, 2],
  [/^0F 3A (?=[0-9A-F]{2})/, 3],
  [/^0F 0F (?=\/r)/, 4],
  [/^0F /, 1],
];

export function place(record: EncodingRecord): Placement {
  let rest = `${record.opcode} `;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    const match = pattern.exec(rest);
    if (match !== null) rest = rest.slice(match[0].length);
    return match;
  };
  const fail = (what: string): never => {
    throw new Error(`${record.where}: ${what} in opcode "${record.opcode}"`);
  };

  let space: Placement['space'] = 'legacy';
  let map = 0;
  let operandSize = 0;
  const box: Box = {};
  const vector = take(/^(VEX|XOP|EVEX)\.(\S+) /);
  if (vector !== null) {
    space = vector[1].toLowerCase() as Placement['space'];
    map = placeVector(vector[2].split('.'), box, fail);
  }
  for (;;) {
    const token = take(
      /^(a16|a32|a64|o16|o32|o64|NP|REX2\.W[01]|REX2|ND=[01]|NF=[01]|SCC=\d+|(?:66|F3|F2)(?= ([oa]\d\d )*[0-9A-F]{2}))\s+/,
    );
    if (token === null) break;
    const [word] = token[0].split(' ');
    if (word[0] === 'a') box.addressSize = 1 << ['a16', 'a32', 'a64'].indexOf(word);
    else if (word[0] === 'o') operandSize = Number(word.slice(1));
    else if (word.startsWith('ND=')) box.nd = 1 << Number(word[3]);
    else if (word.startsWith('NF=')) box.nf = 1 << Number(word[3]);
    else if (word.startsWith('SCC=')) box.scc = 1 << Number(word.slice(4));
    else if (word.startsWith('REX2')) {
      box.rex2 = 2;
      if (word.length > 4) box.w = 1 << Number(word[6]);
    } else if (space === 'legacy' && !isLastByte(rest)) box.mandatoryPrefix = prefixBit[word];
    else fail(`prefix ${word}`);
  }
  if (space === 'legacy') {
    for (const [pattern, number] of legacyMaps) {
      if (take(pattern) !== null) {
        map = number;
        break;
      }
    }
  }

  if (space === 'evex' && record.features.includes('APX_F') && box.scc === undefined) {
    // Bits that this encoding does not mention are 0, unless it says that NF may be either.
    box.nd ??= 1;
    if (!record.attributes.has('nf')) box.nf ??= 1;
  }

  let opcodes: number[];
  let hasModrm = false;
  if (map === 4 && space === 'legacy') {
    const suffix = take(/^\/r ([0-9A-F]{2}) /) ?? fail('3DNow! suffix');
    opcodes = [Number.parseInt(suffix[1], 16)];
    hasModrm = true;
  } else {
    const byte = take(/^([0-9A-F]{2})(\+\w+)? /) ?? fail('opcode byte');
    const first = Number.parseInt(byte[1], 16);
    // The x87 "D8 C0+i" has its register in ModRM, "50+rd" in the opcode.
    opcodes = byte[2] === undefined ? [first] : Array.from({ length: 8 }, (_, i) => first + i);
  }

  const fixed = take(/^([0-9A-F]{2})(\+i)? /);
  if (fixed !== null) {
    const modrm = Number.parseInt(fixed[1], 16);
    hasModrm = true;
    box.mod = 2;
    box.reg = 1 << ((modrm >> 3) & 7);
    if (fixed[2] === undefined && !record.attributes.has('any-rm')) box.rm = 1 << (modrm & 7);
  }
  for (;;) {
    const modrm = take(/^\/(r|vsib|[0-7]) /);
    if (modrm === null) break;
    hasModrm = true;
    if (/[0-7]/.test(modrm[1])) box.reg = 1 << Number(modrm[1]);
  }
  const form = take(/^(!\(11\)|11):(rrr|\d\d\d):(bbb|\d\d\d) /);
  if (form !== null) {
    hasModrm = true;
    box.mod = form[1] === '11' ? 2 : 1;
    if (form[2] !== 'rrr') box.reg = 1 << Number.parseInt(form[2], 2);
    if (form[3] !== 'bbb') box.rm = 1 << Number.parseInt(form[3], 2);
  }
  if (hasModrm && box.mod === undefined && !record.attributes.has('any-mod')) {
    const form = modrmForm(record);
    if (form !== 3) box.mod = form;
  }

  return {
    space,
    map,
    opcodes,
    boxes: expandSizes(record, box, operandSize),
    fallback:
      operandSize === 32 && space === 'legacy' && !record.attributes.has('no64')
        ? { ...box, size: 16 }
        : undefined,
    hasModrm,
    operandSize,
    immediate: immediateLayout(rest.trim(), record, fail),
  };
}

/** A mandatory prefix is followed by more bytes; the one-byte opcodes 66, F2, F3 do not occur in the table. */
function isLastByte(rest: string): boolean {
  return rest.trim() === '';
}

function placeVector(parts: string[], box: Box, fail: (what: string) => never): number {
  let map = 0;
  box.mandatoryPrefix = prefixBit.NP;
  for (const part of parts) {
    if (/^(128|L0|LZ|LLZ|LZ|L\.0)$/.test(part)) box.vectorLength = 1;
    else if (/^(256|L1)$/.test(part)) box.vectorLength = 2;
    else if (part === '512') box.vectorLength = 4;
    else if (/^(NP|66|F3|F2)(\/(NP|66|F3|F2))*$/.test(part))
      box.mandatoryPrefix = part.split('/').reduce((bits, name) => bits | prefixBit[name], 0);
    else if (part === 'W0') box.w = 1;
    else if (part === 'W1') box.w = 2;
    else if (/^(0F|0F38|0F3A)$/.test(part)) map = ['', '0F', '0F38', '0F3A'].indexOf(part);
    else if (/^X[89A]$/.test(part)) map = Number.parseInt(part[1], 16);
    else if (/^(MAP|M)\d+$/.test(part)) map = Number(part.replace(/\D+/, ''));
    else if (!/^(LIG|WIG|NDS|NDD|DDS|IGNORED|LLIG)$/.test(part)) fail(part);
  }
  return map;
}

/** 1 memory, 2 register, 3 both: by the token of the operand in ModRM.rm. */
function modrmForm(record: EncodingRecord): number {
  let form = 3;
  const tokens = record.operandTokens.filter((token) => !token.listed);
  record.operands.forEach((operand, i) => {
    if (operand.place !== 'rm') return;
    const text = tokens[i].text;
    if (/^(m|vm|mib|mem|sibmem)/.test(text) && !/^mm/.test(text)) form = 1;
    else if (!text.includes('/')) form = 2;
  });
  return form;
}

function expandSizes(record: EncodingRecord, box: Box, operandSize: number): Box[] {
  const has = (name: string) => record.attributes.has(name);
  for (const attribute of record.attributes) {
    if (attribute.startsWith('option:')) box[attribute.slice(7)] = 2;
    if (attribute.startsWith('unless:')) box[attribute.slice(7)] = 1;
  }
  if (record.features.includes('APX_F')) box.apx = 2;
  if (record.where.startsWith('recent.isa')) box.recent = 2;
  if (has('nfx')) box.mandatoryPrefix = 3;
  if (has('rexb0')) box.rexB = 1;
  const result: Box[] = [];
  for (const vendor of [0, 1]) {
    if (vendor === 0 && has('amd')) continue;
    if (vendor === 1 && has('intel')) continue;
    let sizes = 0;
    for (let size = 0; size < 5; size++) {
      const is64 = size >= 2;
      if ((is64 && has('no64')) || (!is64 && has('64'))) continue;
      if (is64 && vendor === 0 && has('amd-in-64')) continue;
      const bits = [16, 32, 16, 32, 64][size];
      const forced = is64 && (has('f64') || (has('f64-intel') && vendor === 0));
      const byDefault = is64 && has('d64') && bits === 32;
      if (operandSize !== 0 && operandSize !== bits && !(operandSize === 64 && (forced || byDefault)))
        continue;
      sizes |= 1 << size;
    }
    if (sizes !== 0) result.push({ ...box, size: sizes, vendor: 1 << vendor });
  }
  if (result.length === 2 && result[0].size === result[1].size) {
    result.length = 1;
    delete result[0].vendor;
  }
  // Outside 64-bit mode these ignore W; inside, it selects.
  if (has('wig32') && box.w === 1) {
    return result
      .flatMap((one) => [
        { ...one, size: one.size & 0b11100 },
        { ...one, size: one.size & 0b00011, w: 3 },
      ])
      .filter((one) => one.size !== 0);
  }
  return result;
}

function immediateLayout(
  rest: string,
  record: EncodingRecord,
  fail: (what: string) => never,
): ImmediateLayout {
  const layouts: Record<string, ImmediateLayout> = {
    '': 'none',
    ib: 'ib',
    iw: 'iw',
    id: 'id',
    io: 'io',
    'iw ib': 'iw ib',
    'ib ib': 'ib ib',
    mo: 'mo',
    cb: 'cb',
    cw: 'cw',
    cd: 'cd',
    cp: 'far32',
    '/is4': 'is4',
    '/is5': 'is4',
    '/is4 ib': 'is4',
    '/ib': 'ib',
  };
  const layout = layouts[rest] ?? fail(`"${rest}"`);
  if (layout === 'cd' && record.operands[0]?.place === 'far') return 'far16';
  if (layout === 'cw' && record.operands[0]?.place === 'disp') return 'iw16';
  if (layout === 'cd' && record.operands[0]?.place === 'disp') return 'id32';
  return layout;
}
