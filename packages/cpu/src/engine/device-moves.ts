import type { Instruction } from '@nest86/decoder';
import { nameOf } from '../records/recipe.ts';
import { readOperand, writeOperand } from '../system/operands.ts';
import type { SystemUnit } from '../system/unit.ts';

const value = new Int32Array(2);

/**
 * Executes a MOV between memory that a device serves and a general register, or of an immediate to it: what drivers reach devices by. Its access has just
 * been found to be allowed.
 *
 * @param addressLow lower half of the linear address
 * @returns false if it is another instruction, or may reach into another page: nothing has changed then
 */
export function moveDevice(unit: SystemUnit, instruction: Instruction, addressLow: number): boolean {
  if (nameOf(instruction) !== 'MOV' || (addressLow & 0xfff) > 0x1000 - 8) return false;
  readOperand(unit, instruction, 1, value);
  writeOperand(unit, instruction, 0, value[0], value[1]);
  return true;
}
