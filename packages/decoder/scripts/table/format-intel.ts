import { SizeMark, Slot, Style } from '../../src/format/bits.ts';
import { RegisterClass } from '../../src/registers.ts';
import {
  accumulator,
  addressesMemory,
  alternateName,
  fixed,
  impliesAddress,
  isFar,
  isMaskmov,
  isMoffs,
  isShort,
  mark,
  memorySize,
} from './format-rules.ts';
import { type FormatRow, modes, type RecordView } from './format-view.ts';

/** Mnemonics that XED, whose style this is, spells in another way; with the opcode where only one of several is meant. */
const names: Record<string, string> = {
  WAIT: 'fwait',
  SAL: 'shl',
  RETF: 'ret',
  XLATB: 'xlat',
  RESERVEDNOP: 'nop',
  '0F 05 LOADALL': 'loadall286',
  '0F 07 LOADALL': 'loadall386',
  '0F 0D /0 PREFETCH': 'prefetch_exclusive',
  '0F 0D /4 PREFETCH': 'prefetch_reserved',
  '0F 0D /5 PREFETCH': 'prefetch_reserved',
  '0F 0D /6 PREFETCH': 'prefetch_reserved',
  '0F 0D /7 PREFETCH': 'prefetch_reserved',
};

/** These show the size of memory although nothing else could be meant; or do not, although something could. */
const alwaysSized = new Set(['BOUND', 'FBLD', 'FBSTP']);
const neverSized = new Set(['NOP', 'SGDT', 'SIDT', 'LGDT', 'LIDT', 'BNDCL', 'BNDCU', 'BNDCN', 'BNDMK']);
/** And these do not even if all sizes are asked for: they access no memory, or a structure that follows the operand size. */
const unsized = new Set([
  'CLDEMOTE',
  'BNDCL',
  'BNDCU',
  'BNDCN',
  'BNDMK',
  'FLDENV',
  'FNSTENV',
  'FRSTOR',
  'FNSAVE',
]);

/** XED writes the register of the implied address as an operand. */
const writesAddress = new Set(['VMRUN', 'VMLOAD', 'VMSAVE', 'CLZERO', 'INVLPGB', 'PVALIDATE', 'INVLPGA']);

/** Several operand sizes, but not worth a word. */
const unmarked = new Set(['XBEGIN', 'NOP', 'JMPE']);

/** Instructions that take a selector from the low half of a wider register: XED shows the half. */
const selectors = new Set(['ARPL', 'LLDT', 'LTR', 'VERR', 'VERW', 'LMSW']);
/** Those that never use more than 32 bits of their register. */
const narrow = /^(V?MOVMSKP[SD]|V?PMOVMSKB|V?PINSR[BW]|V?PEXTR[BW]|V?EXTRACTPS|TPAUSE|UMWAIT|VMOVW)$/;

export function intelRow(view: RecordView): FormatRow {
  const { record, mnemonic, specs } = view;
  let slots = operandSlots(view).map((slot) => (slot < Slot.as16 ? slot | registerView(view, slot) : slot));
  let style = 0;
  if (view.memory >= 0) {
    if (unsized.has(mnemonic)) style |= Style.unsized;
    if (alwaysSized.has(mnemonic)) style |= modes.all << Style.memorySizeShift;
    else if (!neverSized.has(mnemonic)) style |= memorySize(view);
  } else if (view.sizeAmbiguous && !unmarked.has(mnemonic)) style |= mark(view, SizeMark.prefix);
  if (isFar(view)) style |= Style.far;
  if (isShort(view)) style |= Style.short;
  if (addressesMemory(view)) style |= Style.segmentPrefix;
  const isLoop = mnemonic.startsWith('LOOP');
  if (isLoop || isMaskmov(view) || isMoffs(view) || (impliesAddress(view) && !writesAddress.has(mnemonic)))
    style |= Style.addressPrefix;
  if (record.opcode.startsWith('EVEX') && specs.some((spec) => spec.vectorIndex > 0)) {
    style |= Style.opmaskOperand;
    slots = [...slots.slice(0, 1), Slot.opmask, ...slots.slice(1)];
  }
  return { name: alternateName(names, view), slots, style };
}

function operandSlots(view: RecordView): number[] {
  const { record, mnemonic, tokens, specs } = view;
  const all = specs.map((_, i) => i);
  // STOS, LODS and SCAS imply their register.
  if (view.isString) return all.filter((i) => !/^(AL|AX|EAX|RAX)$/.test(tokens[i].text));
  if (isMaskmov(view)) return [1, 2, Slot.segment];
  if (mnemonic === 'SKINIT') return [fixed('eax')];
  if (mnemonic === 'INVLPGA') return [accumulator(view.addressSize), fixed('ecx')];
  if (writesAddress.has(mnemonic)) return [accumulator(view.addressSize)];
  // XED names the stack top that an x87 instruction uses: behind what it stores to, before what it loads.
  if (mnemonic.startsWith('F') && all.length === 1) {
    if (/^F(I?ST(P|PNCE)?|ISTTP|BSTP)$/.test(mnemonic)) return [0, fixed('st')];
    const usesTop =
      record.attributes.has('fpu-push') || record.implicit.some((word) => /^(r|rw):ST0$/.test(word));
    if (usesTop) return [fixed('st'), 0];
  }
  return all;
}

function registerView({ mnemonic, tokens, specs }: RecordView, operand: number): number {
  const { registerClass } = specs[operand];
  if (registerClass !== RegisterClass.gpr32 && registerClass !== RegisterClass.gpr64) return 0;
  if (selectors.has(mnemonic) || (mnemonic === 'MOV' && tokens[0].text === 'Sreg')) return Slot.as16;
  return registerClass === RegisterClass.gpr64 && narrow.test(mnemonic) ? Slot.as32 : 0;
}
