import {
  type Instruction,
  OperandKind,
  operandCount,
  operandKind,
  operandMemorySize,
  operandRegister,
  RegisterClass,
  registerClass,
} from '@nest86/decoder';
import { softwareInterruptServices } from './exceptions.ts';
import { farTransferServices } from './far-transfer.ts';
import { interruptReturnServices } from './interrupt-return.ts';
import { segmentQueryServices } from './segment-queries.ts';
import { segmentServices } from './segments.ts';
import { stackFrameServices } from './stack-frames.ts';
import { systemCallServices } from './system-calls.ts';
import type { Services } from './unit.ts';

/**
 * Segments, transfers between them, tasks and privilege levels, and events that instructions make. Mnemonics that have other forms too carry
 * an ending, see {@link transferForm}.
 */
export const transferServices: Services = {
  ...segmentServices,
  ...segmentQueryServices,
  ...farTransferServices,
  ...interruptReturnServices,
  ...softwareInterruptServices,
  ...systemCallServices,
  ...stackFrameServices,
};

/**
 * Tells the forms of MOV, PUSH, POP, CALL and JMP that `transferServices` executes from the others.
 *
 * @returns the ending of the name: `.SEGMENT` for a segment register as an operand, `.FAR` for a far target, else empty
 */
export function transferForm(mnemonic: string, instruction: Instruction): '' | '.SEGMENT' | '.FAR' {
  switch (mnemonic) {
    case 'MOV':
    case 'PUSH':
    case 'POP':
      for (let i = 0; i < operandCount(instruction); i++)
        if (registerClass(operandRegister(instruction, i)) === RegisterClass.segment) return '.SEGMENT';
      return '';
    case 'CALL':
    case 'JMP': {
      const kind = operandKind(instruction, 0);
      if (kind === OperandKind.farPointer) return '.FAR';
      // m16:16, m16:32, m16:64: FF /3 and /5. A near target of 4 bytes is FF /2 or /4.
      const isFar =
        kind === OperandKind.memory &&
        (instruction.reg & 1) === 1 &&
        operandMemorySize(instruction, 0) * 8 > instruction.operandSize;
      return isFar ? '.FAR' : '';
    }
    default:
      return '';
  }
}
