import { SizeMark, Slot, Style } from '../../src/format/bits.ts';
import { RegisterClass } from '../../src/registers.ts';
import {
  accumulator,
  alternateName,
  fixed,
  impliesAddress,
  impliesSegment,
  impliesXmm0,
  isFar,
  isMaskmov,
  isMoffs,
  isShort,
  isStackTop,
  mark,
  memorySize,
  withRounding,
} from './format-rules.ts';
import { type FormatRow, modes, type RecordView, unusualModes } from './format-view.ts';

/** Mnemonics that NASM spells in another way; with the opcode where only one of several is meant. */
const names: Record<string, string> = {
  PUSHAD: 'pusha',
  POPAD: 'popa',
  PUSHFD: 'pushf',
  PUSHFQ: 'pushf',
  POPFD: 'popf',
  POPFQ: 'popf',
  IRETD: 'iret',
  IRETQ: 'iret',
  SYSRETQ: 'sysret',
  SYSEXITQ: 'sysexit',
  GETSECQ: 'getsec',
  RESERVEDNOP: 'nop',
  '0F 05 LOADALL': 'loadall286',
  '0F 0F /r B7 PMULHRW': 'pmulhrwa',
  '0F 59 /r PMULHRW': 'pmulhrwc',
  '0F 7E SMINT': 'smintold',
};

/** NASM takes no size for the memory of these. */
const neverSized = new Set([
  'BNDMOV',
  'BNDCL',
  'BNDCU',
  'BNDCN',
  'BNDMK',
  'SGDT',
  'SIDT',
  'LGDT',
  'LIDT',
  'FLDENV',
  'FNSTENV',
  'FRSTOR',
  'FNSAVE',
  'PREFETCH',
  'PREFETCHW',
  'CLFLUSH',
  'CLFLUSHOPT',
  'CLWB',
  'CLDEMOTE',
  'CMPXCHG8B',
  'CMPXCHG16B',
  'BOUND',
  'VMXON',
  'VMCLEAR',
  'VMPTRLD',
  'VMPTRST',
  'LDS',
  'LES',
  'LSS',
  'LFS',
  'LGS',
  'PBLENDVB',
  'BLENDVPS',
  'BLENDVPD',
]);
/** And these show it although nothing else could be meant. */
const alwaysSized = new Set(['FBLD', 'FBSTP']);

const selectors = new Set(['LLDT', 'LTR', 'VERR', 'VERW', 'LMSW', 'LKGS']);
const tables = new Set(['SGDT', 'SIDT', 'LGDT', 'LIDT']);
/** Those that never use more than 32 bits of their register; for each, NASM knows no 64-bit form. */
const narrow = /^(TPAUSE|UMWAIT|V?PINSRB|VPINSRW|PMOVMSKB|VMOVW)$/;

export function nasmRow(view: RecordView): FormatRow {
  const { mnemonic, memory, tokens } = view;
  const slots = withRounding(view, operandSlots(view)).map((slot) =>
    slot < Slot.as16 ? slot | registerView(view, slot) : slot,
  );
  let style = sizeStyle(view);
  if (memory >= 0) {
    if (alwaysSized.has(mnemonic)) style |= modes.all << Style.memorySizeShift;
    else if (neverSized.has(mnemonic) || isFar(view)) style |= Style.unsized;
    else style |= memorySize(view);
  }
  if (isFar(view) && memory >= 0) style |= Style.far;
  if (isShort(view)) style |= Style.short;
  if (/^J/.test(mnemonic) && mnemonic !== 'JMP' && /^rel(16|32)$/.test(tokens[0].text)) style |= Style.near;
  if (
    view.isString ||
    mnemonic === 'XLATB' ||
    isMaskmov(view) ||
    (impliesAddress(view) && mnemonic !== 'INVLPGA')
  )
    style |= Style.addressPrefix;
  if (impliesSegment(view)) style |= Style.segmentPrefix;
  if (isMoffs(view)) style |= Style.movabs;
  if (mnemonic.startsWith('LOOP')) style |= Style.loop;
  // As iced-x86, which treats these three unlike their siblings.
  if (/^VCVT(PD|U?QQ)2PH$/.test(mnemonic) && view.memorySize === 64) style |= Style.sizedBroadcast;
  if (/^F(ADD|MUL|SUBR?|DIVR?)$/.test(mnemonic) && tokens.length === 2 && isStackTop(view, 1))
    style |= Style.to;
  return { name: alternateName(names, view), slots, style };
}

function sizeStyle(view: RecordView): number {
  const { record, mnemonic, memory, size, tokens } = view;
  switch (mnemonic) {
    case 'IRET':
    case 'IRETD':
    case 'IRETQ':
    case 'PUSHA':
    case 'POPA':
    case 'PUSHAD':
    case 'POPAD':
    case 'PUSHF':
    case 'POPF':
    case 'PUSHFD':
    case 'POPFD':
      return mark(view, SizeMark.suffix);
    case 'SYSRETQ':
    case 'SYSEXITQ':
    case 'GETSECQ':
      return mark(view, SizeMark.prefix);
    case 'XBEGIN':
    case 'NOP':
      return 0;
    case 'SLDT':
    case 'STR':
    case 'SMSW':
      return mark(view, SizeMark.prefix) | Style.markOnlyMemory;
    case 'MOV':
      return tokens.some(({ text }) => text === 'Sreg')
        ? mark(view, SizeMark.prefix) | Style.markOnlyMemory
        : 0;
    case 'PUSH':
      // NASM chooses the operand size of PUSH imm16 and imm32 by the immediate.
      if (tokens[0].text === 'imm16') return mark(view, SizeMark.prefix, modes.m64);
      if (tokens[0].text === 'imm32') return 0;
      break;
  }
  if (selectors.has(mnemonic) || tables.has(mnemonic) || view.memoryType.startsWith('fpu'))
    return mark(view, SizeMark.prefix);
  if (isFar(view) && memory >= 0) {
    return size === 64
      ? 0
      : mark(view, SizeMark.keyword, size === 32 ? modes.m16 | modes.m64 : unusualModes(view));
  }
  if (!view.sizeAmbiguous) return 0;
  if (/^RETF?$/.test(mnemonic)) return mark(view, SizeMark.suffix);
  const isOffset =
    ['far', 'disp'].includes(record.operands[0]?.place ?? '') || /^rel(16|32)$/.test(tokens[0]?.text ?? '');
  return mark(view, isOffset ? SizeMark.keyword : SizeMark.prefix);
}

function operandSlots(view: RecordView): number[] {
  const { record, mnemonic, tokens, specs } = view;
  const all = specs.map((_, i) => i);
  if (view.isString || mnemonic === 'XLATB') return [];
  if (isMaskmov(view)) return [1, 2];
  if (mnemonic === 'INVLPGA') return [accumulator(view.addressSize), fixed('ecx')];
  // One x87 register is enough; the other is ST(0).
  if (tokens.length === 2 && tokens.some(({ text }) => text === 'ST(i)'))
    return [tokens[0].text === 'ST(i)' ? 0 : 1];
  if (mnemonic === 'XCHG' && tokens[1].text.startsWith('r') && view.memory === 0) return [1, 0];
  return impliesXmm0(record) ? [...all, fixed('xmm0')] : all;
}

function registerView({ record, mnemonic, specs }: RecordView, operand: number): number {
  const { registerClass } = specs[operand];
  if (registerClass !== RegisterClass.gpr32 && registerClass !== RegisterClass.gpr64) return 0;
  if (selectors.has(mnemonic) || mnemonic === 'ARPL') return Slot.as16;
  const isMmx = record.opcode.startsWith('NP');
  const isNarrow = narrow.test(mnemonic) || (isMmx && (mnemonic === 'PEXTRW' || mnemonic === 'PINSRW'));
  return registerClass === RegisterClass.gpr64 && isNarrow ? Slot.as32 : 0;
}
