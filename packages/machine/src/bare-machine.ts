import {
  Activity,
  Engine,
  Processor,
  type RunEnd,
  resetState,
  Segment,
  seededRandom,
  setSegmentCache,
} from '@nest86/cpu';
import type { CpuidModel } from '@nest86/cpuid';
import { type ByteSink, PortMap, Uart16550 } from '@nest86/devices';
import {
  createTlb,
  Mmu,
  PagingContext,
  PagingModel,
  type PhysicalMemory,
  type TlbBackend,
  type TlbName,
} from '@nest86/mmu';
import { defaultModel } from './default-model.ts';
import { lowRamLimit, memoryMap } from './firmware/memory-map.ts';
import type { BootImage } from './load/boot-image.ts';
import { planBoot } from './load/boot-plan.ts';
import { carryOut } from './load/carry-out.ts';
import { ImageError } from './load/elf.ts';
import type { MachineEnd } from './machine-end.ts';
import { MachineOptionError } from './option-error.ts';
import { ProcessorCpuid } from './processors/processor-cpuid.ts';

export interface BareMachineOptions {
  /** Bytes of RAM from address 0: a multiple of 64 KiB, 1 MiB to 3,584 MiB. */
  readonly memory: number;
  /** Where the serial port's bytes go. */
  readonly output: ByteSink;
  /** Which instructions and registers there are. Default: {@link defaultModel}. */
  readonly cpuid?: CpuidModel;
  /** `jit` compiles what is hot, `interp` nothing. Default `jit`. */
  readonly accel?: 'jit' | 'interp';
  /** A backend by name, or the user's own. Default `set-associative`. */
  readonly tlb?: TlbName | TlbBackend;
  /** Of RDRAND and RDSEED, any whole number but 0. Default 1. */
  readonly seed?: number;
  /** Keeps what `profileText` and `regionText` tell; costs a few per cent. Default false. */
  readonly observes?: boolean;
}

/** Beyond it, RAM does not fit the engine's memory beside its tables. */
const mostMemory = 3584 * 2 ** 20;

/** One processor, RAM, a serial port at 3F8h and an exit port at F4h: what a bare-metal program needs. */
export class BareMachine {
  readonly engine: Engine;
  readonly processor: Processor;
  readonly physical: PhysicalMemory;
  readonly mmu: Mmu;
  readonly context: PagingContext = new PagingContext();
  readonly ports: PortMap = new PortMap();
  readonly uart: Uart16550;
  private readonly memorySize: number;
  private readonly signature: number;
  private exitCode = -1;

  constructor(options: BareMachineOptions) {
    const { memory, cpuid = defaultModel(), tlb = 'set-associative', accel = 'jit', seed = 1 } = options;
    if (memory % 65536 !== 0 || !(memory >= 1 << 20 && memory <= mostMemory))
      throw new MachineOptionError(`memory ${memory}: multiples of 65536 from 1 MiB to 3584 MiB are allowed`);
    if (!Number.isInteger(seed) || (seed | 0) === 0)
      throw new MachineOptionError(`seed ${seed}: a whole number other than 0 is allowed`);
    this.memorySize = memory;
    this.signature = cpuid.signature;
    const leaves = new ProcessorCpuid(cpuid, 0);
    const { observes = false } = options;
    this.engine = new Engine({ ramSize: memory, accel, vendor: cpuid.vendor, cpuid: leaves, observes });
    this.physical = this.engine.physical;
    this.physical.addRegion({ kind: 'ram', start: 0, size: memory, backing: 0, name: 'RAM' });
    const model = new PagingModel({
      vendor: cpuid.vendor,
      physicalBits: cpuid.physicalBits,
      pages1G: cpuid.has('pdpe1gb'),
      pse36: cpuid.has('pse36'),
    });
    const backend = typeof tlb === 'string' ? createTlb(tlb, { vendor: cpuid.vendor }) : tlb;
    this.mmu = new Mmu({ memory: this.physical, tlb: backend, model });
    this.uart = new Uart16550({ output: options.output, interrupt: { set: () => {} } });
    this.ports.add(0x3f8, 8, {
      read: (offset) => this.uart.read(offset),
      write: (offset, _bytes, value) => this.uart.write(offset, value),
    });
    this.ports.add(0xf4, 4, {
      read: () => 0,
      write: (_offset, _bytes, value) => {
        this.exitCode = ((value << 1) | 1) & 0xff;
        this.processor.stop();
      },
    });
    this.processor = new Processor(this.engine, 0, {
      mmu: this.mmu,
      context: this.context,
      io: this.ports,
      cpuid: leaves,
      random: seededRandom(seed),
    });
    leaves.processor = this.processor;
    this.reset();
  }

  /** As after RESET: real mode, at FFFF_FFF0h. RAM and ports stay as they are. */
  reset(): void {
    resetState(this.processor.state, this.context, this.signature);
    this.mmu.tlb.reset();
    this.mmu.enter(this.context);
    this.processor.stateChanged();
    this.exitCode = -1;
  }

  /** Lets the processor go on in real mode, at a linear address below 64 KiB; as after {@link reset} otherwise. */
  startReal(address: number): void {
    if (!Number.isInteger(address) || address < 0 || address > 0xffff)
      throw new MachineOptionError(`address ${address}: 0 to 65535 is allowed`);
    this.reset();
    const { state } = this.processor;
    setSegmentCache(state, Segment.cs, { selector: 0, base: 0, limit: 0xffff, attributes: 0x93 });
    state.setPair('rip', address, 0);
    this.processor.stateChanged();
  }

  /** Loads a multiboot or PVH image and puts the processor at its entry. @throws ImageError if it does not fit the RAM */
  load(image: BootImage, commandLine: string): void {
    if (image.protocol === 'linux') throw new ImageError('a Linux kernel needs more than a bare machine');
    const map = memoryMap(Math.min(this.memorySize, lowRamLimit));
    carryOut(planBoot(image, { map, commandLine }), this);
  }

  /** One instruction, or the delivery of one event. */
  step(): MachineEnd {
    return this.endOf(this.processor.step());
  }

  /** Runs up to a number of instructions. What a guest does never throws. */
  run(count: number): MachineEnd {
    return this.endOf(this.processor.run(count));
  }

  private endOf(end: RunEnd): MachineEnd {
    if (this.exitCode >= 0) return { reason: 'exit', exitCode: this.exitCode };
    if (end === 'problem') return { reason: 'problem', problem: this.processor.problem };
    if (end === 'limit') return { reason: 'limit' };
    const activity = this.processor.state.get('activity');
    // MWAIT and the like only give others their turn; a processor that delivers one fault after the other does, too.
    if (activity === Activity.running) return { reason: 'limit' };
    return { reason: activity === Activity.shutdown ? 'shutdown' : 'halted' };
  }
}
