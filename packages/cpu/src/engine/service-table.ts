import {
  type Instruction,
  operandCount,
  operandRegister,
  RegisterClass,
  registerClass,
} from '@nest86/decoder';
import { nameOf } from '../records/recipe.ts';
import { waitService } from '../system/availability.ts';
import { registerServices } from '../system/register-services.ts';
import { transferForm, transferServices } from '../system/transfer-services.ts';
import type { Service, Services } from '../system/unit.ts';
import { extensionServices } from '../virtualization/instructions.ts';

const services: Services = {
  ...transferServices,
  ...registerServices,
  ...waitService,
  ...extensionServices,
};
/** Those that were asked for, by encoding; `null`: none. */
const byEncoding: (Service | null)[] = [];
/** Services of MOV by the class of its special register. */
const moveServices: Readonly<Record<number, string>> = {
  [RegisterClass.control]: 'CONTROL',
  [RegisterClass.debug]: 'DEBUG',
};

/** The service that executes an instruction, or null if there is none. */
export function serviceOf(instruction: Instruction): Service | null {
  const { encoding } = instruction;
  const known = byEncoding[encoding];
  if (known !== undefined) return known;
  const found = services[serviceName(instruction)] ?? null;
  byEncoding[encoding] = found;
  return found;
}

/** Name of the instruction's service: MOV, PUSH, POP, CALL and JMP mean several. */
function serviceName(instruction: Instruction): string {
  const name = nameOf(instruction);
  if (name === 'MOV') {
    for (let i = 0; i < operandCount(instruction); i++) {
      const suffix = moveServices[registerClass(operandRegister(instruction, i))];
      if (suffix !== undefined) return `MOV.${suffix}`;
    }
  }
  return name + transferForm(name, instruction);
}
