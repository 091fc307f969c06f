import type { EncodingRecord } from '../../scripts/table/record.ts';

/** The opcode column, taken apart. */
export interface Notation {
  space: 'legacy' | 'vex' | 'xop' | 'evex';
  map: number;
  /** 0 none, 1 66, 2 F3, 3 F2; -1 not decided by a prefix. */
  prefix: number;
  /** -1: ignored. */
  w: number;
  vectorLengths: number[];
  operandSize: number;
  addressSize: number;
  rex2: boolean;
  nd: number;
  nf: number;
  scc: number;
  opcode: number;
  opcodeRegister: boolean;
  hasModrm: boolean;
  /** Whole ModRM byte, or -1. */
  fixedModrm: number;
  /** The low three bits of the fixed ModRM byte are a register. */
  fixedRegister: boolean;
  /** Digit of ModRM.reg, or -1. */
  digit: number;
  /** Digit of ModRM.rm, or -1. */
  rmDigit: number;
  vsib: boolean;
  memoryForm: boolean;
  registerForm: boolean;
  /** 3DNow!'s opcode, or -1. */
  suffix: number;
  immediates: string[];
}

const prefixNames = ['NP', '66', 'F3', 'F2'];

export function parseNotation(record: EncodingRecord): Notation {
  const notation: Notation = {
    space: 'legacy',
    map: 0,
    prefix: -1,
    w: -1,
    vectorLengths: [0],
    operandSize: 0,
    addressSize: 0,
    rex2: false,
    nd: -1,
    nf: -1,
    scc: -1,
    opcode: -1,
    opcodeRegister: false,
    hasModrm: false,
    fixedModrm: -1,
    fixedRegister: false,
    digit: -1,
    rmDigit: -1,
    vsib: false,
    memoryForm: true,
    registerForm: true,
    suffix: -1,
    immediates: [],
  };
  const words = record.opcode.split(/\s+/);
  const isByte = (word: string | undefined) => word !== undefined && /^[0-9A-F]{2}(\+\w+)?$/.test(word);
  words.forEach((word, i) => {
    let match: RegExpExecArray | null;
    if (/^(VEX|XOP|EVEX)\./.test(word)) parseVector(word, notation);
    else if (/^[oa](16|32|64)$/.test(word)) {
      if (word[0] === 'o') notation.operandSize = Number(word.slice(1));
      else notation.addressSize = Number(word.slice(1));
    } else if (word === 'NP') notation.prefix = 0;
    else if (word.startsWith('REX2')) {
      notation.rex2 = true;
      if (word.length > 4) notation.w = Number(word[6]);
    } else if (word.startsWith('ND=')) notation.nd = Number(word[3]);
    else if (word.startsWith('NF=')) notation.nf = Number(word[3]);
    else if (word.startsWith('SCC=')) notation.scc = Number(word.slice(4));
    else if (isByte(word) && notation.opcode < 0) {
      const next = words.slice(i + 1).find((later) => !/^[oa]\d\d$/.test(later));
      const number = Number.parseInt(word, 16);
      if (notation.space !== 'legacy') takeOpcode(word, notation);
      else if (notation.map === 0 && prefixNames.indexOf(word) > 0 && isByte(next))
        notation.prefix = prefixNames.indexOf(word);
      else if (notation.map === 0 && number === 0x0f) notation.map = 1;
      else if (notation.map === 1 && number === 0x38) notation.map = 2;
      else if (notation.map === 1 && number === 0x3a) notation.map = 3;
      else if (notation.map === 1 && number === 0x0f) {
        notation.map = 4;
        notation.opcode = 0;
      } else takeOpcode(word, notation);
    } else if (isByte(word)) {
      if (notation.map === 4) notation.suffix = Number.parseInt(word, 16);
      else {
        notation.hasModrm = true;
        notation.fixedModrm = Number.parseInt(word, 16);
        notation.fixedRegister = word.includes('+');
      }
    } else if ((match = /^\/([0-7])$/.exec(word)) !== null) {
      notation.hasModrm = true;
      notation.digit = Number(match[1]);
    } else if (word === '/r') notation.hasModrm = true;
    else if (word === '/vsib') notation.hasModrm = notation.vsib = true;
    else if ((match = /^(!\(11\)|11):(rrr|\d\d\d):(bbb|\d\d\d)$/.exec(word)) !== null) {
      notation.hasModrm = true;
      if (match[1] === '11') notation.memoryForm = false;
      else notation.registerForm = false;
      if (match[2] !== 'rrr') notation.digit = Number.parseInt(match[2], 2);
      if (match[3] !== 'bbb') notation.rmDigit = Number.parseInt(match[3], 2);
    } else notation.immediates.push(word);
  });
  const tokens = record.operandTokens.filter((token) => !token.listed);
  record.operands.forEach((operand, i) => {
    if (operand.place !== 'rm') return;
    const { text } = tokens[i];
    if (/^(m|vm|mib|mem|sibmem)/.test(text) && !/^mm/.test(text)) notation.registerForm = false;
    else if (!text.includes('/')) notation.memoryForm = false;
  });
  if (record.attributes.has('any-mod')) notation.memoryForm = notation.registerForm = true;
  return notation;
}

function takeOpcode(word: string, notation: Notation): void {
  notation.opcode = Number.parseInt(word, 16);
  // "D8 C0+i" has its register in ModRM.
  notation.opcodeRegister = word.includes('+');
}

function parseVector(word: string, notation: Notation): void {
  const [space, ...parts] = word.split('.');
  notation.space = space.toLowerCase() as Notation['space'];
  notation.prefix = 0;
  for (const part of parts) {
    if (/^L?IG$|^IGNORED$/.test(part) || part === 'LLIG')
      notation.vectorLengths = notation.space === 'evex' ? [0, 1, 2] : [0, 1];
    else if (/^(256|L1)$/.test(part)) notation.vectorLengths = [1];
    else if (part === '512') notation.vectorLengths = [2];
    else if (/^W[01]$/.test(part)) notation.w = Number(part[1]);
    else if (/^(NP|66|F3|F2)/.test(part)) notation.prefix = prefixNames.indexOf(part.split('/')[0]);
    else if (/^0F/.test(part)) notation.map = ['', '0F', '0F38', '0F3A'].indexOf(part);
    else if (/^X[89A]$/.test(part)) notation.map = Number.parseInt(part[1], 16);
    else if (/^(MAP|M)\d$/.test(part)) notation.map = Number(part.replace(/\D+/, ''));
  }
}
