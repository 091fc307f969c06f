import {
  type CpuidSource,
  capabilitiesOf,
  Engine,
  type EngineOptions,
  Processor,
  resetState,
  Segment,
  setSegmentCache,
} from '@nest86/cpu';
import { CpuidModel } from '@nest86/cpuid';
import { type ByteSink, PortMap, Uart16550 } from '@nest86/devices';
import {
  Access,
  createTlb,
  Mmu,
  PagingContext,
  PagingModel,
  type PhysicalMemory,
  type TlbBackend,
  type TlbName,
  Translation,
} from '@nest86/mmu';
import { ImageError } from './load/elf.ts';
import { type BootImage, bootInformation } from './load/multiboot.ts';

export interface BareMachineOptions {
  /** Bytes of RAM from address 0, a multiple of 64 KiB. */
  readonly memory: number;
  /** Where the serial port's bytes go. */
  readonly output: ByteSink;
  /** Default: all that works. */
  readonly cpuid?: CpuidModel;
  readonly accel?: EngineOptions['accel'];
  /** A backend by name, or the user's own. */
  readonly tlb?: TlbName | TlbBackend;
  readonly seed?: number;
}

/** x86-64-v3, as far as instructions and registers are there. */
function defaultModel(): CpuidModel {
  return new CpuidModel({ features: defaultFeatures.split(' ') });
}

const defaultFeatures =
  'fpu vme de pse tsc msr pae cx8 sep pge cmov pat pse36 clflush mmx fxsr sse sse2 ' +
  'sse3 pclmulqdq ssse3 fma cx16 pcid sse4.1 sse4.2 movbe popcnt aes xsave avx f16c rdrand hypervisor ' +
  'fsgsbase bmi1 avx2 smep bmi2 erms invpcid rdseed adx smap clflushopt clwb sha-ni umip pku gfni vaes vpclmulqdq rdpid ' +
  'xsaveopt xsavec xgetbv1 xsaves syscall nx pdpe1gb rdtscp lm lahf-lm abm 3dnowprefetch';

/** Why a run ended. */
export type MachineEnd =
  /** The guest wrote to the exit port; `exitCode` is 2 × value + 1, as QEMU's isa-debug-exit has it. */
  | { readonly reason: 'exit'; readonly exitCode: number }
  /** All instructions of the run have retired. */
  | { readonly reason: 'limit' }
  /** Halted with nothing that could wake it, or shut down by a triple fault. */
  | { readonly reason: 'halted' | 'shutdown' }
  /** Something that the engine cannot do. */
  | { readonly reason: 'problem'; readonly problem: string };

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
  private readonly out: Translation = new Translation();
  private exitCode = -1;

  constructor(options: BareMachineOptions) {
    const { memory, cpuid = defaultModel(), tlb = 'set-associative', accel = 'jit' } = options;
    this.memorySize = memory;
    this.engine = new Engine({ ramSize: memory, accel, vendor: cpuid.vendor });
    this.physical = this.engine.physical;
    this.physical.addRegion({ kind: 'ram', start: 0, size: memory, backing: 0, name: 'RAM' });
    const backend = typeof tlb === 'string' ? createTlb(tlb) : tlb;
    const model = new PagingModel({ physicalBits: cpuid.physicalBits });
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
    let random = (options.seed ?? 1) | 0 || 1;
    const leaves: CpuidSource = {
      read: (leaf, subleaf, out) =>
        cpuid.read(
          leaf,
          subleaf,
          {
            osxsave: (this.context.cr4 & 0x40000) !== 0,
            ospke: (this.context.cr4 & 0x400000) !== 0,
            apicId: 0,
            xcr0: this.processor?.state.low('xcr0') ?? 1,
          },
          out,
        ),
    };
    this.processor = new Processor(this.engine, 0, {
      mmu: this.mmu,
      context: this.context,
      io: this.ports,
      cpuid: leaves,
      capabilities: capabilitiesOf(leaves),
      msrs: { read: () => false, write: () => false },
      time: {
        // One tick for each retired instruction.
        tsc: (out) => {
          const { retired } = this.processor;
          out[0] = retired | 0;
          out[1] = Math.floor(retired / 2 ** 32);
        },
        writeTsc: () => {},
      },
      interrupts: { isPending: false, acknowledge: () => 0 },
      random: () => {
        random ^= random << 13;
        random ^= random >>> 17;
        random ^= random << 5;
        return random;
      },
    });
    this.reset();
  }

  reset(): void {
    resetState(this.processor.state, this.context, 0x906ea);
    this.mmu.tlb.reset();
    this.mmu.enter(this.context);
    this.processor.stateChanged();
    this.exitCode = -1;
  }

  /** Loads a multiboot or PVH image and puts the processor at its entry. @throws ImageError if it does not fit the RAM */
  load(image: BootImage, commandLine: string): void {
    for (const { address, bytes, memorySize } of image.segments) {
      if (address + memorySize > this.memorySize)
        throw new ImageError(
          `the image needs memory up to ${address + memorySize}; the machine has ${this.memorySize} bytes`,
        );
      this.physical.writeBytes(address, bytes);
      this.physical.writeBytes(address + bytes.length, new Uint8Array(memorySize - bytes.length));
    }
    const information = bootInformation(image, { memory: this.memorySize, commandLine });
    this.physical.writeBytes(information.address, information.bytes);
    const { state } = this.processor;
    for (const segment of [Segment.es, Segment.ss, Segment.ds, Segment.fs, Segment.gs])
      setSegmentCache(state, segment, { selector: 0x18, base: 0, limit: -1, attributes: 0xc093 });
    setSegmentCache(state, Segment.cs, { selector: 0x10, base: 0, limit: -1, attributes: 0xc09b });
    state.setPair('gpr', information.eax, 0, 0);
    state.setPair('gpr', information.ebx, 0, 3);
    state.setPair('rip', image.entry | 0, 0);
    this.context.set({ cr0: 0x11 });
    this.processor.stateChanged();
  }

  /** Bytes at RIP, as far as they are mapped; nothing is changed by looking. */
  codeBytes(count: number): Uint8Array {
    const { state } = this.processor;
    const bytes: number[] = [];
    const is64 = (this.context.efer & 0x400) !== 0;
    const base = is64 ? 0 : state.low('segmentBase', Segment.cs);
    for (let i = 0; i < count; i++) {
      const low = (state.low('rip') + base + i) | 0;
      if (this.mmu.probe(this.context, low, is64 ? state.high('rip') : 0, Access.read, this.out) !== 0) break;
      if (this.out.offset < 0) break;
      bytes.push(this.physical.bytes[this.out.offset + (low & 0xfff)]);
    }
    return Uint8Array.from(bytes);
  }

  /** Runs up to a number of instructions. */
  run(count: number): MachineEnd {
    const end = this.processor.run(count);
    if (this.exitCode >= 0) return { reason: 'exit', exitCode: this.exitCode };
    if (end === 'problem') return { reason: 'problem', problem: this.processor.problem };
    if (end === 'limit') return { reason: 'limit' };
    return { reason: this.processor.state.get('activity') === 3 ? 'shutdown' : 'halted' };
  }
}
