import type { Instruction } from '../instruction.ts';
import { OperandKind, operandKind } from '../operands.ts';
import { RegisterClass } from '../registers.ts';
import { operandListOf, operandLists, operandSpecs } from '../tables.ts';
import { Treatment } from './constants.ts';
import { explicitSize } from './read-info.ts';
import { attribute, Column, memoryElements } from './tables.ts';

/** What a memory operand holds. `memoryElement` fills an object that the caller owns. */
export class MemoryElement {
  /** A value of `ElementKind`. */
  kind = 0;
  /** Bits of one element; of `ElementKind.other` those of the whole, 0 if not fixed. */
  elementBits = 0;
  /** Elements in memory: 1 for scalars; of a broadcast those that are repeated; of a gather or scatter all that it addresses. 0 if not fixed. */
  count = 0;
}

function specOf(instruction: Instruction, operand: number): number {
  return operandSpecs[operandLists[operandListOf[instruction.encoding] + 1 + operand]];
}

/** Tells what the memory operand `operand` holds. Everything is 0 if that operand is not memory. */
export function memoryElement(instruction: Instruction, operand: number, out: MemoryElement): void {
  out.kind = out.elementBits = out.count = 0;
  if (operandKind(instruction, operand) !== OperandKind.memory) return;
  const spec = specOf(instruction, operand);
  const type = (spec >> 10) & 255;
  out.kind = memoryElements[type * 2];
  out.elementBits = memoryElements[type * 2 + 1];
  const vectorIndex = (attribute(instruction.encoding, Column.treatment) >> Treatment.vectorIndex) & 3;
  if (vectorIndex !== 0) out.count = vectorElements(instruction, out.elementBits, vectorIndex * 32);
  else if (out.elementBits !== 0) out.count = (explicitSize(instruction, spec) * 8) / out.elementBits;
}

/** As many as there are both indexes and places in the data register. */
function vectorElements(instruction: Instruction, elementBits: number, indexBits: number): number {
  const indexes = registerBits(instruction.index >> 5) / indexBits;
  let data = indexes;
  const list = operandListOf[instruction.encoding];
  for (let operand = 0; operand < operandLists[list]; operand++) {
    const spec = specOf(instruction, operand);
    if (((spec >> 10) & 255) === 0) data = registerBits((spec >> 5) & 31) / elementBits;
  }
  return Math.min(indexes, data);
}

function registerBits(registerClass: number): number {
  return 128 << (registerClass - RegisterClass.xmm);
}
