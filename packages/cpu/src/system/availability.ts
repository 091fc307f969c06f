import { EncodingSpace, type Instruction } from '@nest86/decoder';
import { cpuidFeatures } from '@nest86/decoder/info';
import type { PagingContext } from '@nest86/mmu';
import { Exception } from '../semantics/operation.ts';
import { guestFault } from './fault.ts';
import type { Service, Services } from './unit.ts';

const cr0Mp = 0x2;
const cr0Em = 0x4;
const cr0Ts = 0x8;
/** ES of the x87 status word. */
const summary = 0x80;

/**
 * Why an instruction that the engine knows must not execute now: #UD or #NM by CR0, CR4 and XCR0 (SDM vol. 2A, 2.5; vol. 3, 2.5 and table
 * 2-2). It is asked only for instructions that were found to be unavailable.
 */
export function unavailable(instruction: Instruction, context: PagingContext): number {
  const { cr0 } = context;
  const taskSwitched = (cr0 & cr0Ts) !== 0 ? Exception.deviceNotAvailable : Exception.invalidOpcode;
  const features = cpuidFeatures(instruction.encoding);
  // WAIT and all x87 instructions: EM asks for emulation by #NM.
  if (features.some((feature) => feature.startsWith('FPU'))) return Exception.deviceNotAvailable;
  if (instruction.space === EncodingSpace.evex) return Exception.invalidOpcode;
  // VEX: OSXSAVE and XCR0 are the reason for all but TS.
  if (instruction.space !== EncodingSpace.legacy) {
    const isEnabled = (context.cr4 & 0x40000) !== 0;
    return isEnabled ? taskSwitched : Exception.invalidOpcode;
  }
  if ((cr0 & cr0Em) !== 0) return Exception.invalidOpcode;
  const needsOsfxsr = !features.includes('MMX');
  if (needsOsfxsr && (context.cr4 & 0x200) === 0) return Exception.invalidOpcode;
  return taskSwitched;
}

/** WAIT where TS or EM is set: #NM only by MP and TS together, and pending x87 exceptions as ever (SDM vol. 2, WAIT). */
const wait: Service = ({ context, state }) => {
  const both = cr0Mp | cr0Ts;
  if ((context.cr0 & both) === both) throw guestFault(Exception.deviceNotAvailable);
  if ((state.get('x87Status') & summary) !== 0) throw guestFault(Exception.x87);
};

export const waitService: Services = { WAIT: wait };
