import { divergenceText, EngineOptionError, Lockstep } from '@nest86/cpu';
import type { BareMachine, BareMachineOptions } from '../bare-machine.ts';
import type { BootImage } from '../load/boot-image.ts';
import type { MachineEnd } from '../machine-end.ts';
import { MachineOptionError } from '../option-error.ts';
import { InputLog } from './input-log.ts';
import { MachineSide } from './machine-side.ts';

/**
 * Two machines that must not differ: one interprets and has the devices, the other compiles what is hot and is given the same input. Both are compared after each
 * {@link run}: registers, flags, control registers, all of RAM, and what was sent to devices. Takes three times a machine's memory.
 */
export class LockstepMachine {
  /** The one that interprets, to which the devices belong. */
  readonly reference: BareMachine;
  /** The one that compiles. */
  readonly candidate: BareMachine;
  private readonly log = new InputLog();
  private readonly sides: readonly [reference: MachineSide, candidate: MachineSide];
  private readonly lockstep: Lockstep;

  /** @param options `accel` does not matter */
  constructor(options: BareMachineOptions) {
    if (typeof options.tlb === 'object')
      throw new MachineOptionError(
        'tlb: a backend of your own cannot serve two machines; its name is wanted',
      );
    const checkpoint = reserve(options.memory);
    const reference = new MachineSide(options, this.log, checkpoint, true);
    const candidate = new MachineSide(options, this.log, checkpoint, false);
    this.sides = [reference, candidate];
    this.reference = reference.machine;
    this.candidate = candidate.machine;
    this.lockstep = new Lockstep(reference, candidate);
  }

  /** As `BareMachine.load`. */
  load(image: BootImage, commandLine: string): void {
    this.reference.load(image, commandLine);
    this.candidate.load(image, commandLine);
  }

  /**
   * Runs both up to a number of instructions. If they differ then, the end is a `problem` that tells the first instructions after which they do, and what differs; the
   * machines stand there.
   */
  run(count: number): MachineEnd {
    const { log, sides, lockstep } = this;
    log.clear();
    for (const side of sides) side.save();
    lockstep.begin();
    const divergence = lockstep.run(count);
    if (divergence !== undefined)
      return {
        reason: 'problem',
        problem: `compiled code does not do what the interpreter does: they ${divergenceText(divergence)}`,
      };
    return sides[0].end ?? { reason: 'limit' };
  }
}

function reserve(bytes: number): Uint8Array {
  try {
    return new Uint8Array(bytes);
  } catch {
    throw new EngineOptionError(`the host has no memory for two machines of ${bytes} bytes and a copy`);
  }
}
