import type { Instruction } from '@nest86/decoder';
import { nameOf } from '../records/recipe.ts';
import { Exception } from '../semantics/operation.ts';
import { unavailable } from '../system/availability.ts';
import { type GuestFault, guestFault } from '../system/fault.ts';
import type { Processor } from './processor.ts';
import { isTooLong } from './too-long.ts';

const bytes: Uint8Array = new Uint8Array(15);

/** The exception of bytes that are no instruction. */
export function undecodable({ finder, ripLow, ripHigh }: Processor): GuestFault {
  const count = finder.instructionBytes(ripLow, ripHigh, bytes);
  return isTooLong(bytes, count, finder.mode.options)
    ? guestFault(Exception.generalProtection, 0)
    : guestFault(Exception.invalidOpcode);
}

/** The exception of an instruction that nothing executes, or that generated code executes and that is forbidden now. */
export function refused({ engine, context, unknown }: Processor, instruction: Instruction): GuestFault {
  const name = nameOf(instruction);
  if (engine.handlers.has(name)) return guestFault(unavailable(instruction, context));
  // Of a feature that is not there.
  unknown.add(name);
  return guestFault(Exception.invalidOpcode);
}
