import { OperandInformation, type VirtualizationUnit } from '@nest86/cpu/virtualization';
import type { Instruction } from '@nest86/decoder';
import type { ExitRecord } from './exit-record.ts';

const operands = new OperandInformation();

/** Address size, segment, index and base of the operand in memory: common to the formats of SDM vol. 3, 28.2.5. */
function memoryBits(): number {
  const { addressSize, segment, base, index, scale } = operands;
  let bits = scale | ((addressSize >>> 5) << 7) | (segment << 15);
  bits |= index < 0 ? 1 << 22 : index << 18;
  return bits | (base < 0 ? 1 << 27 : base << 23);
}

/** An instruction with an operand in memory, and perhaps a second one in the register of ModRM.reg: INVEPT, VMCLEAR, XSAVES … */
export function describeMemory(
  record: ExitRecord,
  unit: VirtualizationUnit,
  instruction: Instruction,
  hasRegister: boolean,
): void {
  operands.describe(unit, instruction);
  record.instructionInformation = memoryBits() | (hasRegister ? operands.register << 28 : 0);
  record.qualify(operands.displacementLow, operands.displacementHigh);
}

/** LGDT, LIDT, SGDT, SIDT: bit 11 is the operand size. @param identity 0 SGDT 1 SIDT 2 LGDT 3 LIDT */
export function describeTable(
  record: ExitRecord,
  unit: VirtualizationUnit,
  instruction: Instruction,
  identity: number,
): void {
  describeMemory(record, unit, instruction, false);
  const isWide = instruction.operandSize !== 16;
  record.instructionInformation |= (isWide ? 1 << 11 : 0) | (identity << 28);
}

/** An operand in a register or in memory: LLDT, LTR, SLDT, STR; VMREAD and VMWRITE, with a second one in ModRM.reg. */
export function describeEither(
  record: ExitRecord,
  unit: VirtualizationUnit,
  instruction: Instruction,
  upper: number,
): void {
  operands.describe(unit, instruction);
  if (operands.isRegister) {
    record.instructionInformation = (operands.rm << 3) | (1 << 10) | upper;
    return;
  }
  record.instructionInformation = memoryBits() | upper;
  record.qualify(operands.displacementLow, operands.displacementHigh);
}

/** RDRAND, RDSEED; TPAUSE and UMWAIT without the size. */
export function describeDestination(record: ExitRecord, instruction: Instruction, hasSize: boolean): void {
  const size = hasSize ? (instruction.operandSize === 16 ? 0 : instruction.operandSize === 32 ? 1 : 2) : 0;
  record.instructionInformation = ((instruction.rm & 15) << 3) | (size << 11);
}

/** INS and OUTS. @param segment of OUTS, else -1 */
export function describeString(record: ExitRecord, instruction: Instruction, segment: number): void {
  record.instructionInformation = ((instruction.addressSize >>> 5) << 7) | (segment >= 0 ? segment << 15 : 0);
}
