import { SizeMark, Slot, Style } from '../../src/format/bits.ts';
import { RegisterClass } from '../../src/registers.ts';
import {
  addressesMemory,
  alternateName,
  fixed,
  impliesAddress,
  impliesXmm0,
  isFar,
  isMaskmov,
  isMoffs,
  mark,
  memorySize,
  withRounding,
} from './format-rules.ts';
import { type FormatRow, modes, type RecordView, unusualModes } from './format-view.ts';

/** Row of each letter; the order is that of `suffixes` in src/format/att.ts. */
const suffixes = ['', 'b', 'w', 'l', 'q', 's', 't', 'x', 'y', 'z', 'll'];

/** Mnemonics that the GNU assembler spells in another way; with the opcode where only one of several is meant. */
const names: Record<string, string> = {
  CBW: 'cbtw',
  CWDE: 'cwtl',
  CDQE: 'cltq',
  CWD: 'cwtd',
  CDQ: 'cltd',
  CQO: 'cqto',
  WAIT: 'fwait',
  RETF: 'lret',
  IRETD: 'iret',
  IRETQ: 'iret',
  PUSHAD: 'pusha',
  POPAD: 'popa',
  PUSHFD: 'pushf',
  PUSHFQ: 'pushf',
  POPFD: 'popf',
  POPFQ: 'popf',
  SYSRETQ: 'sysretq',
  GETSECQ: 'getsec',
  XLATB: 'xlat',
  RESERVEDNOP: 'nop',
  FSTPNCE: 'fstp',
  PCMPESTRI64: 'pcmpestriq',
  PCMPESTRM64: 'pcmpestrmq',
  VPCMPESTRI64: 'vpcmpestriq',
  VPCMPESTRM64: 'vpcmpestrmq',
  '0F 05 LOADALL': 'loadall286',
  '0F 07 LOADALL': 'loadall386',
  // Unix assemblers swapped these two where the destination is not ST(0), and it has stayed so.
  'DC E0+i FSUBR': 'fsub',
  'DC E8+i FSUB': 'fsubr',
  'DC F0+i FDIVR': 'fdiv',
  'DC F8+i FDIV': 'fdivr',
  'DE E0+i FSUBRP': 'fsubp',
  'DE E8+i FSUBP': 'fsubrp',
  'DE F0+i FDIVRP': 'fdivp',
  'DE F8+i FDIVP': 'fdivrp',
};

/** These keep Intel's order of operands. */
const keepsOrder = new Set(['BOUND', 'ENTER']);

/** Instructions that take a selector from the low half of a wider register: the half is shown. */
const selectors = new Set(['ARPL', 'LLDT', 'LTR', 'VERR', 'VERW', 'LMSW', 'LKGS']);
/** Those that never use more than 32 bits of their register, and whose assembler syntax has no 64-bit form. */
const narrow = new Set(['TPAUSE', 'UMWAIT', 'VMOVW']);

export function attRow(view: RecordView): FormatRow {
  const { mnemonic, memory } = view;
  const slots = withRounding(view, operandSlots(view)).map((slot) =>
    slot < Slot.as16 ? slot | registerView(view, slot) : slot,
  );
  if (!keepsOrder.has(mnemonic)) slots.reverse();
  let style = sizeStyle(view);
  const isBranch = /^(CALL|JMPE?)$/.test(mnemonic);
  if (isBranch && memory >= 0) style |= Style.indirect;
  if (isMaskmov(view) || addressesMemory(view)) style |= Style.segmentPrefix;
  if (isMaskmov(view) || impliesAddress(view) || isMoffs(view)) style |= Style.addressPrefix;
  if (isMoffs(view)) style |= Style.movabs;
  const isStackOrBranch = /^(CALL|JMP|PUSH|POP)$/.test(mnemonic) && memory >= 0;
  if (isStackOrBranch || (/^(RETF|IRETD?)$/.test(mnemonic) && view.size !== 64))
    style |= Style.plainInObjdump;
  if (mnemonic.startsWith('LOOP')) style |= Style.loop;
  return { name: attName(view), slots, style };
}

function attName(view: RecordView): string | undefined {
  const { mnemonic, tokens, size } = view;
  if (isFar(view) && mnemonic !== 'RETF') return mnemonic === 'CALL' ? 'lcall' : 'ljmp';
  // The sizes of both sides are in the name; from a word to a word is no extension.
  if (/^MOV[SZ]X$/.test(mnemonic)) {
    const from = tokens[1].text.endsWith('8') ? 'b' : 'w';
    const stem = size === 16 && from === 'w' ? mnemonic : mnemonic.slice(0, 4) + from;
    return `${stem}${letters[size]}`.toLowerCase();
  }
  if (mnemonic === 'MOVSXD') return size === 64 ? 'movslq' : undefined;
  if (mnemonic === 'MOV' && tokens[1].text === 'imm64') return 'movabs';
  if (view.isString) {
    // STOS, LODS and SCAS have their register to tell the size.
    const stem = mnemonic.slice(0, -1).toLowerCase();
    return /^(STOS|LODS|SCAS)/.test(mnemonic) ? stem : stem + letters[size];
  }
  return alternateName(names, view);
}

/** Suffix by operand size; 0: byte instructions have no operand size. */
const letters: Record<number, string> = { 0: 'b', 16: 'w', 32: 'l', 64: 'q' };

function sizeStyle(view: RecordView): number {
  const { record, mnemonic, memory, size } = view;
  switch (mnemonic) {
    case 'RETF':
    case 'IRET':
    case 'IRETD':
    case 'IRETQ':
      // In 64-bit code the usual size is 32 bits, but a 64-bit return could be expected.
      return mark(view, SizeMark.suffix, size === 32 ? modes.m16 | modes.m64 : unusualModes(view));
    case 'PUSHA':
    case 'POPA':
    case 'PUSHAD':
    case 'POPAD':
    case 'PUSHF':
    case 'POPF':
    case 'PUSHFD':
    case 'POPFD':
      return mark(view, SizeMark.suffix);
    case 'SYSRET':
    case 'SYSEXIT':
      return mark({ ...view, size: 32 }, SizeMark.suffix, modes.m64);
    case 'GETSECQ':
      return mark(view, SizeMark.prefix);
    case 'XBEGIN':
    case 'NOP':
      if (memory < 0) return 0;
  }
  if (isFar(view) && memory >= 0) {
    if (size === 64) return mark(view, SizeMark.prefix);
    return mark(view, SizeMark.suffix, size === 32 ? modes.m16 | modes.m64 : unusualModes(view));
  }
  if (view.memoryAmbiguous && !view.memoryType.startsWith('pseudo')) {
    const suffix = memorySuffix(view);
    return suffix < 0 ? 0 : memorySize(view) | (suffix << Style.suffixShift);
  }
  if (!view.sizeAmbiguous) return 0;
  if (/^LOOP|CXZ$/.test(mnemonic)) return mark(view, SizeMark.byte);
  if (/^J/.test(mnemonic) && record.operands[0].place !== 'far') return mark(view, SizeMark.prefix);
  return mark(view, SizeMark.suffix);
}

/** Row of the letter that tells the size of memory, or -1. */
function memorySuffix({ mnemonic, memorySize, memoryType }: RecordView): number {
  if (/^MOV[SZ]X$|^BND|^JMPE$/.test(mnemonic)) return -1;
  const isFloat = /^(f|bcd)\d/.test(memoryType);
  if (memoryType.startsWith('fpu'))
    return suffixes.indexOf(memorySize === 14 || memorySize === 94 ? 's' : 'l');
  if (mnemonic.startsWith('F')) {
    const letter = isFloat
      ? { 4: 's', 8: 'l', 10: 't' }[memorySize]
      : { 2: 's', 4: 'l', 8: 'll' }[memorySize];
    return suffixes.indexOf(letter ?? '?');
  }
  return suffixes.indexOf({ 1: 'b', 2: 'w', 4: 'l', 8: 'q', 16: 'x', 32: 'y', 64: 'z' }[memorySize] ?? '?');
}

function operandSlots(view: RecordView): number[] {
  const { record, tokens, specs } = view;
  const all = specs.map((_, i) => i);
  if (isMaskmov(view)) return [1, 2];
  // FCOM and its like compare with ST(0), which is not said.
  if (tokens.length === 2 && tokens[0].implied && tokens[0].text === 'ST(0)') return [1];
  return impliesXmm0(record) ? [...all, fixed('xmm0')] : all;
}

function registerView({ mnemonic, specs }: RecordView, operand: number): number {
  const { registerClass } = specs[operand];
  if (registerClass !== RegisterClass.gpr32 && registerClass !== RegisterClass.gpr64) return 0;
  if (selectors.has(mnemonic)) return Slot.as16;
  return registerClass === RegisterClass.gpr64 && narrow.has(mnemonic) ? Slot.as32 : 0;
}
