import { Common } from '../../src/format/bits.ts';
import { impliesSegment } from './format-rules.ts';
import type { RecordView } from './format-view.ts';

/** Families of pseudo-operations; the order is that of `families` in src/format/pseudo.ts, from 1. */
const pseudoFamilies = [
  /^CMP[PS][SD]$/,
  /^VCMP[PS][SDH]$/,
  /^VPCMPU?[BWDQ]$/,
  /^VPCOMU?[BWDQ]$/,
  /^V?PCLMULQDQ$/,
];

/** x87 instructions that assemblers accept without operands if the register is ST(1). */
const impliesSt1 = new Set([
  'FCOM',
  'FCOMP',
  'FUCOM',
  'FUCOMP',
  'FXCH',
  'FADDP',
  'FMULP',
  'FSUBP',
  'FSUBRP',
  'FDIVP',
  'FDIVRP',
]);

export function commonBits(view: RecordView): number {
  const { record, mnemonic, tokens, memory } = view;
  const has = (name: string) => record.attributes.has(name);
  const decorated = (name: string) => record.operandTokens.some((token) => token.decorations.includes(name));
  let bits = 0;
  if (has('lock')) bits |= Common.lock;
  if (has('xacquire')) bits |= Common.xacquire;
  if (has('xrelease')) bits |= Common.xrelease;
  if (has('rep')) bits |= Common.rep | Common.repne;
  if (has('repe')) bits |= Common.repe;
  if (has('repne')) bits |= Common.repne;
  if (has('bnd')) bits |= Common.bnd;
  if (has('notrack')) bits |= Common.notrack;
  if (has('hint')) bits |= Common.hint;
  if (has('no-segment')) bits |= Common.noSegment;
  if (decorated('er') && !has('er-ignored')) bits |= Common.rounding;
  if (decorated('sae')) bits |= Common.sae;
  if (/(^| )66 /.test(record.opcode)) bits |= Common.mandatory66;
  if (/(^| )o\d\d /.test(record.opcode)) bits |= Common.sized;
  if (/(^| )(F2|F3) /.test(record.opcode) || record.opcode.includes('.')) bits |= Common.usesRepeat;
  if (has('d64') || has('f64') || has('f64-intel')) bits |= Common.ignoresW;
  if (view.promoted) bits |= Common.promoted;
  if (decorated('dfv')) bits |= Common.defaultFlags;
  // The legacy SSE2 CMPSD has an immediate, the string instruction has not.
  const immediate = tokens.at(-1)?.text === 'imm8';
  const family = immediate ? pseudoFamilies.findIndex((pattern) => pattern.test(mnemonic)) + 1 : 0;
  bits |= family << Common.pseudoShift;
  if (impliesSt1.has(mnemonic) && memory < 0) bits |= Common.impliesSt1;
  if (mnemonic === 'AAM' || mnemonic === 'AAD') bits |= Common.implies10;
  if (mnemonic === 'IMUL' && tokens.length === 3 && record.opcode.startsWith('o')) bits |= Common.imul;
  if (mnemonic === 'XCHG') bits |= Common.locksAlways;
  if (mnemonic === 'NOP' && tokens.length === 0) bits |= Common.nop;
  if (impliesSegment(view)) bits |= Common.implicitSegment;
  if (tokens.some(({ text }) => text === 'mib')) bits |= Common.noScale;
  // F3 C3 is an old remedy for a slow branch predictor; its prefix is shown though it has no effect.
  if (mnemonic === 'RET' && tokens.length === 0) bits |= Common.rep;
  // PadLock's mandatory F3 is a repeat prefix at the same time.
  if (record.features.some((feature) => feature.startsWith('PADLOCK')) && record.opcode.includes('F3 '))
    bits |= Common.rep;
  return bits >>> 0;
}
