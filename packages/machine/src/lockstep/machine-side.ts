import type { LockstepSide, Processor, ProcessorState } from '@nest86/cpu';
import type { TlbSnapshot } from '@nest86/mmu';
import { BareMachine, type BareMachineOptions } from '../bare-machine.ts';
import type { MachineEnd } from '../machine-end.ts';
import { codeBytes } from '../processors/code-bytes.ts';
import { type InputLog, InputTap } from './input-log.ts';

interface Checkpoint {
  readonly processor: ProcessorState;
  readonly tlb: TlbSnapshot;
  readonly time: Int32Array;
  readonly end: MachineEnd | undefined;
}

/** One of the two machines of a lockstep run. It goes back to its checkpoint as often as is wanted. */
export class MachineSide implements LockstepSide {
  readonly machine: BareMachine;
  readonly memory: Uint8Array;
  /** Why it has ended for good. */
  end: MachineEnd | undefined;
  private readonly tap: InputTap;
  private checkpoint: Checkpoint | undefined;

  /**
   * @param checkpointMemory where both sides keep the RAM of the checkpoint, at which they agree
   * @param isReference it has the devices
   */
  constructor(
    options: BareMachineOptions,
    log: InputLog,
    private readonly checkpointMemory: Uint8Array,
    private readonly isReference: boolean,
  ) {
    this.tap = new InputTap(log);
    this.machine = new BareMachine({ ...options, accel: isReference ? 'interp' : 'jit' }, this.tap);
    const { machine } = this;
    this.tap.processor = {
      stop: () => machine.processor.stop(),
      get hasExited() {
        return machine.hasExited;
      },
    };
    const { physical } = machine;
    this.memory = physical.bytes.subarray(physical.base, physical.base + options.memory);
  }

  get processor(): Processor {
    return this.machine.processor;
  }

  get events(): string {
    return this.tap.mismatch;
  }

  /** What follows can be run again from here. Only one side needs to keep the RAM. */
  save(): void {
    const { processor, mmu } = this.machine;
    const time = new Int32Array(2);
    processor.time.tsc(time);
    this.checkpoint = { processor: processor.save(), tlb: mmu.tlb.save(), time, end: this.end };
    if (this.isReference) this.checkpointMemory.set(this.memory);
    this.tap.isRecording = this.isReference;
    this.tap.position = 0;
    this.tap.mismatch = '';
  }

  restart(): void {
    const { checkpoint, machine, tap } = this;
    if (checkpoint === undefined) throw new Error('no checkpoint');
    const { processor, mmu } = machine;
    this.memory.set(this.checkpointMemory);
    mmu.tlb.restore(checkpoint.tlb);
    processor.restore(checkpoint.processor);
    processor.time.writeTsc(checkpoint.time[0], checkpoint.time[1]);
    this.end = checkpoint.end;
    tap.isRecording = false;
    tap.position = 0;
    tap.mismatch = '';
  }

  run(count: number): void {
    if (this.end !== undefined) return;
    const end = this.machine.run(count);
    if (end.reason !== 'limit') this.end = end;
  }

  codeAt(): Uint8Array {
    return codeBytes(this.machine, 15);
  }
}
