import { type LockstepSide, memoryHash, type Processor } from '@nest86/cpu';
import type { ByteSink } from '@nest86/devices';
import { Machine, type MachineOptions } from '../machine.ts';
import type { MachineEnd } from '../machine-end.ts';
import { codeBytes } from '../processors/code-bytes.ts';
import { decodeValue, encodeValue } from '../snapshot/value.ts';

const pageSize = 4096;
/** Bytes of output that a difference shows. */
const shownOutput = 32;
/** The units whose content `Lockstep` compares by itself, word by word, or that come and go with it. */
const comparedElsewhere = /^(tlb|processor)\//;

/** One of the two machines of a lockstep run, with devices of its own. It goes back to its checkpoint as often as is wanted. */
export class MachineSide implements LockstepSide {
  readonly machine: Machine;
  readonly memory: Uint8Array;
  /** How the last run ended. */
  end: MachineEnd = { reason: 'limit' };
  /** State of each unit at the checkpoint. */
  private checkpoint: readonly Uint8Array[] = [];
  private output: number[] = [];
  private isRepeating = false;

  /**
   * @param checkpointMemory where both sides keep the RAM of the checkpoint, at which they agree
   * @param serial where the output goes, once
   */
  constructor(
    options: Omit<MachineOptions, 'serial'>,
    private readonly checkpointMemory: Uint8Array,
    private readonly serial: ByteSink | undefined,
  ) {
    this.machine = new Machine({ ...options, serial: { write: (byte) => this.write(byte) } });
    const { physical } = this.machine;
    this.memory = physical.bytes.subarray(physical.base, physical.base + options.memory);
  }

  /** The one that runs, or ran last. */
  get processor(): Processor {
    return this.machine.current.processor;
  }

  get retired(): number {
    return this.machine.processors.reduce((sum, { retired }) => sum + retired, 0);
  }

  /** Everything but the current processor and RAM, a line each. */
  get events(): string {
    const { machine, end, output } = this;
    const { scheduler, processors } = machine;
    const lines = machine
      .units()
      .filter(({ name }) => !comparedElsewhere.test(name))
      .map(({ name, save }) => `${name} ${hashOf(encodeValue(save()))}`);
    for (const [i, { processor }] of processors.entries())
      if (i !== scheduler.currentIndex) lines.push(`processor/${i} ${hashOf(encodeValue(processor.save()))}`);
    const text = JSON.stringify(String.fromCharCode(...output.slice(-shownOutput)));
    lines.push(`end ${JSON.stringify(end)}`);
    lines.push(`output ${output.length} ${hashOf(Uint8Array.from(output))} ... ${text}`);
    return lines.join('\n');
  }

  /** What follows can be run again from here. @param keepsMemory one side's RAM is enough */
  save(keepsMemory: boolean): void {
    this.checkpoint = this.machine.units().map(({ save }) => encodeValue(save()));
    if (keepsMemory) this.checkpointMemory.set(this.memory);
    this.begin(false);
  }

  restart(): void {
    const { checkpoint, machine } = this;
    for (const [i, { restore }] of machine.units().entries()) {
      restore(decodeValue(checkpoint[i]));
      // Time is what all depends on, and devices look at RAM when they are restored.
      if (i === 0) this.restoreMemory();
    }
    this.begin(true);
  }

  run(count: number): void {
    this.end = this.machine.run(count);
  }

  codeAt(): Uint8Array {
    return codeBytes(this.machine.current, 15);
  }

  private begin(isRepeating: boolean): void {
    this.isRepeating = isRepeating;
    this.output = [];
    this.end = { reason: 'limit' };
  }

  /** Only what differs: code of pages that are written is forgotten. */
  private restoreMemory(): void {
    const { memory, checkpointMemory } = this;
    const { physical } = this.machine;
    const [own, kept] = [memory, checkpointMemory].map(
      ({ buffer, byteOffset, length }) => new Int32Array(buffer, byteOffset, length >> 2),
    );
    for (let at = 0; at < own.length; at += pageSize / 4) {
      let i = at;
      while (i < at + pageSize / 4 && own[i] === kept[i]) i++;
      if (i === at + pageSize / 4) continue;
      own.set(kept.subarray(at, at + pageSize / 4), at);
      physical.written(physical.base + 4 * at, pageSize);
    }
  }

  private write(byte: number): void {
    this.output.push(byte);
    if (!this.isRepeating) this.serial?.write(byte);
  }
}

function hashOf(bytes: Uint8Array): string {
  const padded = new Uint8Array((bytes.length + 3) & ~3);
  padded.set(bytes);
  return memoryHash(padded);
}
