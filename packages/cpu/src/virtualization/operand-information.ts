import {
  type Instruction,
  memorySegment,
  OperandKind,
  operandCount,
  operandKind,
  RegisterClass,
  registerClass,
  registerNumber,
} from '@nest86/decoder';
import { addTo } from '../system/operands.ts';
import type { SystemUnit } from '../system/unit.ts';

const displacement = new Int32Array(2);

/**
 * Operands of an instruction with a ModRM byte as exits describe them: the parts of the VM-exit instruction-information and qualification
 * fields (SDM vol. 3, 28.2.5), and of AMD's decode assists (APM vol. 2, 15.10 and 15.12). One object is filled again and again.
 */
export class OperandInformation {
  /** Bits: 16, 32 or 64. */
  addressSize = 0;
  operandSize = 0;
  /** The operand that may lie in memory is a register: {@link rm}. */
  isRegister = false;
  /** General register of ModRM.reg, 0 to 15. */
  register = 0;
  /** General register of ModRM.rm, if {@link isRegister}. */
  rm = 0;
  /** Number of the segment of the operand in memory. */
  segment = 0;
  /** General registers of the address, or -1. */
  base = -1;
  index = -1;
  /** log2 of the index's factor, 0 to 3. */
  scale = 0;
  /** Displacement, sign-extended; of RIP-relative operands the sum with RIP. */
  displacementLow = 0;
  displacementHigh = 0;

  /** Reads a decoded instruction at the unit's RIP. */
  describe(unit: SystemUnit, instruction: Instruction): this {
    this.addressSize = instruction.addressSize;
    this.operandSize = instruction.operandSize;
    this.isRegister = instruction.modrm >= 0xc0;
    this.register = instruction.reg & 15;
    this.rm = instruction.rm & 15;
    this.base = -1;
    this.index = -1;
    this.scale = 0;
    this.displacementLow = 0;
    this.displacementHigh = 0;
    if (this.isRegister || instruction.modrm < 0) return this;
    const { base, index } = instruction;
    displacement[0] = instruction.displacement;
    displacement[1] = instruction.displacementHigh;
    if (registerClass(base) === RegisterClass.instructionPointer) {
      addTo(displacement, unit.ripLow, unit.ripHigh);
      addTo(displacement, instruction.length, 0);
    } else if (base !== 0) this.base = registerNumber(base);
    if (index !== 0) {
      this.index = registerNumber(index);
      this.scale = instruction.scale;
    }
    this.displacementLow = displacement[0];
    this.displacementHigh = displacement[1];
    for (let i = 0; i < operandCount(instruction); i++)
      if (operandKind(instruction, i) === OperandKind.memory)
        this.segment = registerNumber(memorySegment(instruction, i));
    return this;
  }
}
