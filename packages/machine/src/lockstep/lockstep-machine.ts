import { divergenceText, EngineOptionError, Lockstep } from '@nest86/cpu';
import type { VirtioDevice } from '@nest86/devices';
import type { BootImage } from '../load/boot-image.ts';
import type { Machine, MachineOptions, StartRequest } from '../machine.ts';
import type { MachineEnd } from '../machine-end.ts';
import { MachineOptionError } from '../option-error.ts';
import { MachineSide } from './machine-side.ts';

/** As a machine's; time is deterministic. */
export interface LockstepOptions extends Omit<MachineOptions, 'accel' | 'hostTime' | 'devices'> {
  /** Called for each of the two machines: devices of the same kind, in the same state. */
  readonly devices?: () => readonly VirtioDevice[];
}

/**
 * Two whole machines that must not differ: one interprets, the other compiles what is hot. Both have devices of their own, which a deterministic clock keeps equal. They
 * are compared after each {@link run}: processors, all of RAM, every device, what was printed. Takes three times a machine's memory.
 */
export class LockstepMachine {
  /** The one that interprets; its output is what is seen. */
  readonly reference: Machine;
  /** The one that compiles. */
  readonly candidate: Machine;
  private readonly sides: readonly [reference: MachineSide, candidate: MachineSide];
  private readonly lockstep: Lockstep;

  /** @throws MachineOptionError, EngineOptionError */
  constructor(options: LockstepOptions) {
    const { serial, devices, clock = 'deterministic', ...others } = options;
    if (clock !== 'deterministic')
      throw new MachineOptionError('clock: two machines have the same time only if it is deterministic');
    const checkpoint = reserve(options.memory);
    const make = (accel: 'interp' | 'jit'): MachineSide =>
      new MachineSide(
        { ...others, clock, accel, ...(devices && { devices: devices() }) },
        checkpoint,
        accel === 'interp' ? serial : undefined,
      );
    this.sides = [make('interp'), make('jit')];
    const [reference, candidate] = this.sides;
    this.reference = reference.machine;
    this.candidate = candidate.machine;
    this.lockstep = new Lockstep(reference, candidate);
  }

  /** As {@link Machine.start}. */
  start(image: BootImage, request: StartRequest): void {
    for (const { machine } of this.sides) machine.start(image, request);
  }

  /** As {@link Machine.reset}. */
  reset(): void {
    for (const { machine } of this.sides) machine.reset();
  }

  /** A byte comes in on the serial port. Between runs. */
  receive(byte: number): void {
    for (const { machine } of this.sides) machine.pc.serial.receive(byte);
  }

  /**
   * Runs both up to a number of instructions. If they differ then, the end is a `problem` that tells the first instructions after which they do, and what differs; the
   * machines stand there.
   */
  run(count: number): MachineEnd {
    const { sides, lockstep } = this;
    const [reference] = sides;
    for (const side of sides) side.save(side === reference);
    lockstep.begin();
    const divergence = lockstep.run(count);
    if (divergence === undefined) return reference.end;
    return {
      reason: 'problem',
      problem: `compiled code does not do what the interpreter does: they ${divergenceText(divergence)}`,
    };
  }
}

function reserve(bytes: number): Uint8Array {
  try {
    return new Uint8Array(bytes);
  } catch {
    throw new EngineOptionError(`the host has no memory for two machines of ${bytes} bytes and a copy`);
  }
}
