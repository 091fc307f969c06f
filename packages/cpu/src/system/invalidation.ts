import { Fault } from '@nest86/mmu';
import { Exception } from '../semantics/operation.ts';
import { Answer } from '../virtualization/extension.ts';
import { Intercept } from '../virtualization/intercept.ts';
import { isIntercepted, questionOf } from '../virtualization/questions.ts';
import { guestFault } from './fault.ts';
import {
  addTo,
  effectiveAddress,
  in64BitMode,
  linearAddress,
  operandAddress,
  operandSegment,
  readOperand,
  Use,
} from './operands.ts';
import { requireLevel0 } from './privilege.ts';
import type { Service, Services } from './unit.ts';

// Cached translations and caches (SDM vol. 2, INVLPG, INVPCID, INVD, WBINVD, WBNOINVD; vol. 3, 4.10.4).

const address = new Int32Array(2);
const type = new Int32Array(2);
const descriptor = new Int32Array(4);

/** The operand is an address and nothing is accessed: no limit is checked, and one that is not canonical does nothing (S0-06). */
const invlpg: Service = (unit, instruction) => {
  requireLevel0(unit);
  effectiveAddress(unit, instruction, 0, address);
  linearAddress(unit, operandSegment(instruction, 0), address[0], address[1], 1, Use.address, address);
  const question = questionOf(unit, Intercept.invalidatePage);
  if (question !== undefined) {
    question.addressLow = address[0];
    question.addressHigh = address[1];
    if (unit.interception!.ask(Intercept.invalidatePage, instruction) !== Answer.continue) return;
  }
  unit.mmu.invlpg(unit.context, address[0], address[1]);
};

/** S0-09. */
const invpcid: Service = (unit, instruction) => {
  requireLevel0(unit);
  if (isIntercepted(unit, Intercept.invalidateContext, instruction)) return;
  readOperand(unit, instruction, 0, type);
  operandAddress(unit, instruction, 1, 16, Use.read, address);
  const is64Bit = in64BitMode(unit);
  for (let word = 0; word < 4; word++) {
    descriptor[word] = unit.memory.read(address[0], address[1], 4);
    addTo(address, 4, 0);
    if (!is64Bit) address[1] = 0;
  }
  // All 64 bits of the register count.
  if (type[1] !== 0 || unit.mmu.invpcid(unit.context, type[0], descriptor) !== Fault.none)
    throw guestFault(Exception.generalProtection, 0);
};

/** Memory is always up to date here: there is nothing to write back, and nothing that INVD could lose. */
function cacheControl(what: number): Service {
  return (unit, instruction) => {
    requireLevel0(unit);
    isIntercepted(unit, what, instruction);
  };
}

export const invalidationServices: Services = {
  INVLPG: invlpg,
  INVPCID: invpcid,
  INVD: cacheControl(Intercept.invalidateCaches),
  WBINVD: cacheControl(Intercept.writeBackCaches),
  WBNOINVD: cacheControl(Intercept.writeBackCaches),
};
