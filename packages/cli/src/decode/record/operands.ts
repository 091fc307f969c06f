import {
  type Instruction,
  memoryBase,
  memoryIndex,
  memorySegment,
  noRegister,
  OperandKind,
  operandCount,
  operandFollowing,
  operandImmediate,
  operandImmediateHigh,
  operandImmediateSize,
  operandIsAddress,
  operandKind,
  operandMemorySize,
  operandRegister,
  registerName,
  registerSize,
} from '@nest86/decoder';
import { ElementKind, type InstructionInfo, MemoryElement, memoryElement } from '@nest86/decoder/info';
import { operandAccesses } from './access.ts';
import { hex, join64, nameOrNull, signed64, word } from './words.ts';

/** What the operands are, in Intel's order. */
export function operandRecords(
  instruction: Instruction,
  info: InstructionInfo,
  address: number | bigint,
): object[] {
  const accesses = operandAccesses(instruction);
  return Array.from({ length: operandCount(instruction) }, (_, operand) => ({
    kind: word(OperandKind, operandKind(instruction, operand)),
    access: accesses[operand] ?? [],
    ...operandRecord(instruction, info, operand, address),
  }));
}

function operandRecord(
  instruction: Instruction,
  info: InstructionInfo,
  operand: number,
  address: number | bigint,
): object {
  switch (operandKind(instruction, operand)) {
    case OperandKind.register: {
      const register = operandRegister(instruction, operand);
      const following = operandFollowing(instruction, operand);
      return {
        register: registerName(register),
        size: registerSize(register) || null,
        ...(following === 0 ? {} : { followingRegisters: following }),
        ...(operandIsAddress(instruction, operand) ? { holdsAddress: true } : {}),
      };
    }
    case OperandKind.memory:
      return memoryOperand(instruction, info, operand);
    case OperandKind.relative:
      return { size: instruction.immediateSize, target: hex(targetOf(instruction, address)) };
    case OperandKind.farPointer:
      return { selector: hex(instruction.immediate2), offset: hex(instruction.immediate >>> 0) };
    default:
      return {
        size: operandImmediateSize(instruction, operand),
        value: hex(
          join64(
            operandImmediate(instruction, operand),
            operandImmediateHigh(instruction, operand),
            operandImmediateSize(instruction, operand),
          ),
        ),
      };
  }
}

function memoryOperand(instruction: Instruction, info: InstructionInfo, operand: number): object {
  const use = info.memoryOperand.subarray(0, info.memoryCount).indexOf(operand);
  const element = new MemoryElement();
  memoryElement(instruction, operand, element);
  const base = memoryBase(instruction, operand);
  const index = memoryIndex(instruction, operand);
  return {
    size: (use < 0 ? operandMemorySize(instruction, operand) : info.memorySize[use]) || null,
    segment: registerName(memorySegment(instruction, operand)),
    base: nameOrNull(base),
    index: nameOrNull(index),
    scale: index === noRegister ? 1 : 1 << instruction.scale,
    displacement: signed64(instruction.displacement, instruction.displacementHigh),
    element: {
      kind: word(ElementKind, element.kind),
      bits: element.elementBits || null,
      count: element.count || null,
    },
  };
}

/** XBEGIN, which a 16-bit operand size does not confine to 64 KiB. */
const xbeginOpcode = 0xc7;

/** Where a relative branch goes. */
function targetOf(
  { length, immediate, operandSize, opcode, mode }: Instruction,
  address: number | bigint,
): bigint {
  const bits = operandSize === 16 && opcode !== xbeginOpcode ? 16 : mode === 64 ? 64 : 32;
  return BigInt.asUintN(bits, BigInt(address) + BigInt(length) + BigInt(immediate));
}
