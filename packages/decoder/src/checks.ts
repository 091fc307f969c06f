import { type Instruction, Prefix as importedPrefix } from './instruction.ts';
import { Check as importedCheck, Leaf as importedLeaf } from './leaf.ts';
import { apxFeature, type DecoderOptions } from './options.ts';
import { registerNumber } from './registers.ts';

// Constants of this module, which an engine folds into the code; imported bindings it loads every time (measured: 5 % on Node 26).
const Prefix = importedPrefix;
const Check = importedCheck;
const Leaf = importedLeaf;

/** Applies the rules that only some encodings have. Answers whether the instruction is wrong; `wrong` is what was known before. */
export function checkRules(
  rules: number,
  leaf: number,
  options: DecoderOptions,
  out: Instruction,
  wrong: boolean,
): boolean {
  const { reg, modrm } = out;
  const isMemory = modrm >= 0 && modrm < 0xc0;
  if (
    (rules & Check.lockIsRegisterBit) !== 0 &&
    (out.prefixes & Prefix.lock) !== 0 &&
    options.vendor === 'amd'
  ) {
    // LOCK MOV CR0 is MOV CR8 (APM vol. 3, "MOV CRn").
    out.reg |= 8;
    return out.reg !== 8 || (out.rex & 4) !== 0;
  }
  if (wrong) return true;
  if ((rules & Check.regBelow8) !== 0 && reg >= 8) return true;
  if ((rules & Check.rmBelow8) !== 0 && !isMemory && ((out.rm & 8) !== 0 || out.rmVector >= 16)) return true;
  if ((rules & Check.vvvvBelow8) !== 0 && out.vvvv >= 8) return true;
  if ((rules & Check.regGpr) !== 0 && reg >= 16 && (options.features & apxFeature) === 0) return true;
  if ((rules & Check.vvvvGpr) !== 0 && out.vvvv >= 16 && (options.features & apxFeature) === 0) return true;
  if ((rules & (Check.regSegment | Check.regSegmentWritten)) !== 0) {
    const number = reg & 7;
    if (number > 5 || (number === 1 && (rules & Check.regSegmentWritten) !== 0)) return true;
  }
  if ((rules & Check.regControl) !== 0 && ((1 << reg) & 0x11d) === 0) return true;
  if ((rules & Check.regDebug) !== 0 && reg > 7) return true;
  if ((rules & Check.regBound) !== 0 && (reg & 15) > 3) return true;
  if ((rules & Check.rmBound) !== 0 && !isMemory && (out.rm & 15) > 3) return true;
  if ((rules & Check.sibRequired) !== 0 && out.sib < 0) return true;
  if ((rules & Check.noRipRelative) !== 0 && isMemory && (modrm & 0xc7) === 5 && options.mode === 64)
    return true;
  if ((rules & Check.no16BitAddress) !== 0 && isMemory && out.addressSize === 16) return true;
  if ((rules & Check.no66) !== 0 && (out.prefixes & Prefix.operandSize) !== 0) return true;
  if ((rules & Check.address32Only) !== 0 && out.addressSize !== 32) return true;
  if ((rules & Check.distinct) !== 0) {
    const third = isMemory ? registerNumber(out.index) : out.rm;
    // POP2 has no operand in ModRM.reg.
    const hasReg = (rules & Check.noRsp) === 0;
    if (hasReg && reg === third) return true;
    if ((leaf & Leaf.vvvv) !== 0 && ((hasReg && reg === out.vvvv) || third === out.vvvv)) return true;
  }
  if ((rules & Check.noRsp) !== 0 && (out.rm === 4 || out.vvvv === 4)) return true;
  if ((rules & Check.no67) !== 0 && (out.prefixes & Prefix.addressSize) !== 0) return true;
  if ((rules & Check.noR) !== 0 && reg >= 8) return true;
  if ((rules & Check.noRex2) !== 0 && (out.prefixes & Prefix.rex2) !== 0) return true;
  if ((rules & Check.distinctDestination) !== 0) {
    if ((leaf & Leaf.vvvv) !== 0 && reg === out.vvvv) return true;
    if (!isMemory && reg === out.rmVector) return true;
  }
  return false;
}
