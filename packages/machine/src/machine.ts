import { InterruptFabric } from '@nest86/apic';
import { Engine, RandomNumbers } from '@nest86/cpu';
import type { CpuidModel } from '@nest86/cpuid';
import type { ByteSink, VirtioDevice } from '@nest86/devices';
import { createTlb, PagingModel, type PhysicalMemory, type TlbBackend, type TlbName } from '@nest86/mmu';
import { boardModel } from './cpu-features.ts';
import { acpiTables } from './firmware/acpi.ts';
import { biosDataArea } from './firmware/bios-data.ts';
import { lowRamLimit, memoryMap, videoMemory } from './firmware/memory-map.ts';
import { addResetRom, resumes, shutdownByte } from './firmware/reset-rom.ts';
import type { BootImage } from './load/boot-image.ts';
import { type BootPlan, type BootRequest, planBoot } from './load/boot-plan.ts';
import { carryOut } from './load/carry-out.ts';
import type { MachineEnd } from './machine-end.ts';
import { attachObserver, type MachineObserver, observedPorts } from './observer.ts';
import { MachineOptionError } from './option-error.ts';
import { Pc } from './platform/pc.ts';
import { LocalApicPages } from './processors/local-apic-pages.ts';
import { type ScheduleEnd, Scheduler } from './processors/scheduler.ts';
import { VirtualProcessor } from './processors/virtual-processor.ts';
import { apply, type CapturedMachine, capture } from './snapshot/capture.ts';
import {
  cpuConfiguration,
  deviceConfiguration,
  type SnapshotConfiguration,
} from './snapshot/configuration.ts';
import { SnapshotError } from './snapshot/error.ts';
import { endUnit, machineUnits } from './snapshot/machine-units.ts';
import type { Snapshot } from './snapshot/snapshot.ts';
import { type SnapshotUnit, unit } from './snapshot/unit.ts';
import { HostTime, InstructionTime, MachineClock } from './time/machine-clock.ts';

export interface MachineOptions {
  /** Bytes of RAM: a multiple of 64 KiB, 2 MiB to 3,584 MiB. What is beyond 3 GiB lies above 4 GiB. */
  readonly memory: number;
  /** Where the serial port's bytes go. */
  readonly serial: ByteSink;
  /** 1 to 64. Default 1. */
  readonly processors?: number;
  /** Which instructions and registers there are. Default: {@link boardModel}. */
  readonly cpuid?: CpuidModel;
  /** `jit` compiles what is hot, `interp` nothing. Default `jit`. */
  readonly accel?: 'jit' | 'interp';
  /** A backend by name, or a function that makes the user's own, one for each processor. Default `set-associative`. */
  readonly tlb?: TlbName | ((processor: number) => TlbBackend);
  /** Of everything random, any whole number but 0. Default 1. */
  readonly seed?: number;
  /**
   * `deterministic`: each retired instruction takes a nanosecond of guest time, and while all processors wait time jumps to the next timer, so that each
   * run is the same. `realtime`: the host's time. Default `deterministic`.
   */
  readonly clock?: 'deterministic' | 'realtime';
  /** Of real time: milliseconds of a clock that never goes back. Default `performance.now`. */
  readonly hostTime?: () => number;
  /** What the real-time clock says at the start, milliseconds since 1970 (UTC). Default: 2026-01-01, with `realtime` the host's. */
  readonly startTime?: number;
  /** At PCI slots from 1 on. */
  readonly devices?: readonly VirtioDevice[];
  /** Adds QEMU's pc-testdev, which kvm-unit-tests use. Default false. */
  readonly testDevice?: boolean;
  /** Keeps what `profileText` and `regionText` tell; costs a few per cent. Default false. */
  readonly observes?: boolean;
  /** Told of what happens. It costs nothing to have none. */
  readonly observer?: MachineObserver;
}

/** What a kernel is started with. */
export type StartRequest = Pick<BootRequest, 'commandLine' | 'modules' | 'entry'>;

const mostMemory = 3584 * 2 ** 20;
const videoMemoryBytes = 0x20000;
/** 2026-01-01. */
const defaultStart = 1_767_225_600_000;

/** A PC: processors, RAM, the chips of `Pc`. */
export class Machine {
  readonly engine: Engine;
  readonly physical: PhysicalMemory;
  readonly clock: MachineClock;
  readonly processors: readonly VirtualProcessor[];
  readonly pc: Pc;
  readonly memory: number;
  /** @internal For debuggers. */
  readonly scheduler: Scheduler;
  private readonly random: RandomNumbers;
  private readonly configuration: SnapshotConfiguration;
  private isRunning = false;
  private plan: BootPlan | undefined;
  private end: MachineEnd | undefined;

  /** @throws MachineOptionError, EngineOptionError */
  constructor(options: MachineOptions) {
    checkOptions(options);
    const {
      memory,
      processors = 1,
      cpuid = boardModel(options.processors),
      tlb = 'set-associative',
    } = options;
    const { accel = 'jit', seed = 1, clock = 'deterministic', observes = false, devices = [] } = options;
    this.memory = memory;
    this.configuration = {
      memory,
      processors,
      clock,
      cpu: cpuConfiguration(cpuid),
      devices: devices.map(deviceConfiguration),
      testDevice: options.testDevice ?? false,
    };
    const { lowRam, highRam } = memoryMap(memory);
    this.engine = new Engine({
      ramSize: memory,
      processors,
      accel,
      vendor: cpuid.vendor,
      cpuid: staticLeaves(cpuid),
      observes,
    });
    const { physical } = this.engine;
    this.physical = physical;
    physical.addRegion({ kind: 'ram', start: 0, size: lowRam, backing: 0, name: 'RAM' });
    if (highRam > 0)
      physical.addRegion({ kind: 'ram', start: 2 ** 32, size: highRam, backing: lowRam, name: 'RAM' });
    physical.addRegion({
      kind: 'reserved',
      start: videoMemory,
      size: videoMemoryBytes,
      priority: 1,
      name: 'video memory',
    });
    addResetRom(physical);

    const isReal = clock === 'realtime';
    const time = isReal ? new HostTime(options.hostTime ?? (() => performance.now())) : new InstructionTime();
    this.clock = new MachineClock(time, () => this.scheduler.cut());
    const fabric = new InterruptFabric();
    const startTime = options.startTime ?? (isReal ? Date.now() : defaultStart);
    this.pc = new Pc(
      {
        physical,
        clock: this.clock,
        fabric,
        owner: {
          powerOff: () => this.finish({ reason: 'poweroff' }),
          reset: () => this.finish({ reason: 'reset' }),
          exit: (exitCode) => this.finish({ reason: 'exit', exitCode }),
        },
        serial: options.serial,
        wallClock: () => startTime,
        memory,
        processors,
        devices,
        testDevice: options.testDevice ?? false,
      },
      { set: (level) => this.processors[0].apic.lint0.set(level) },
    );
    const model = new PagingModel({
      vendor: cpuid.vendor,
      physicalBits: cpuid.physicalBits,
      pages1G: cpuid.has('pdpe1gb'),
      pse36: cpuid.has('pse36'),
    });
    this.random = new RandomNumbers(seed);
    this.processors = Array.from(
      { length: processors },
      (_, index) =>
        new VirtualProcessor({
          engine: this.engine,
          index,
          apicId: cpuid.topology.apicId(index),
          cpuid,
          model,
          tlb: typeof tlb === 'string' ? createTlb(tlb, { vendor: cpuid.vendor }) : tlb(index),
          clock: this.clock,
          ports:
            options.observer === undefined
              ? this.pc.ports
              : observedPorts(this.pc.ports, index, this.clock, options.observer),
          fabric,
          ...(index === 0 ? { external: this.pc.pic } : {}),
          topOfLowMemory: lowRam,
          topOfMemory: highRam === 0 ? 0 : 2 ** 32 + highRam,
          random: () => this.random.next(),
          wake: (which) => this.scheduler.wake(which),
          apicMoved: () => pages.update(),
        }),
    );
    this.scheduler = new Scheduler(this.processors, this.clock, time);
    if (options.observer !== undefined) attachObserver(this, options.observer);
    const apics = this.processors.map(({ apic }) => apic);
    const pages: LocalApicPages = new LocalApicPages(physical, apics, () => this.scheduler.currentIndex);
    this.reset();
  }

  /**
   * Starts a kernel as firmware and boot loader would leave it: ACPI tables in memory, interrupts of the 8259s open. {@link reset} starts it again.
   * @throws ImageError if the kernel and its modules do not fit the memory
   */
  start(image: BootImage, request: StartRequest): void {
    const ids = this.processors.map(({ apic }) => apic.id);
    const tables = acpiTables(ids);
    const plan = planBoot(image, { ...request, map: memoryMap(this.memory), rsdp: tables.rsdp });
    this.pc.clock.store(shutdownByte, 0);
    this.plan = { entry: plan.entry, writes: [tables.block, biosDataArea(), ...plan.writes] };
    this.reset();
  }

  /**
   * RESET: chips and processors as after power-up, and the boot plan carried out again. What else is in RAM stays. Without a kernel, or where the CMOS
   * shutdown byte says that the guest wants to go on by itself, the reset vector's ROM comes first.
   */
  reset(): void {
    const { plan, processors, physical } = this;
    this.end = undefined;
    this.pc.reset(physical);
    for (const processor of processors) processor.reset();
    this.scheduler.reset();
    if (plan === undefined || resumes(this.pc.clock.stored(shutdownByte))) return;
    processors[0].wire8259();
    for (const { msrs } of processors) msrs.mtrrs.programAsFirmware(lowRamLimit);
    const [{ processor, context }] = processors;
    carryOut(plan, { physical, processor, context });
  }

  /** Runs up to so many instructions of all processors together. What a guest does never throws. */
  run(count: number): MachineEnd {
    if (this.end !== undefined) return this.end;
    this.isRunning = true;
    let why: ScheduleEnd;
    try {
      why = this.scheduler.run(count);
    } finally {
      this.isRunning = false;
    }
    if (this.end !== undefined) return this.end;
    switch (why) {
      case 'limit':
      case 'stopped':
        return { reason: 'limit' };
      case 'idle':
        return { reason: 'idle', until: this.clock.nextDue };
      case 'problem':
        return { reason: 'problem', problem: this.current.processor.problem };
      default:
        return { reason: why };
    }
  }

  /**
   * All of the machine between two runs; it goes on as if nobody had looked.
   *
   * @param saveTlb keeps what TLBs hold, without which a run goes on legally, but not as the one that was saved. Default: in deterministic mode
   * @throws SnapshotError while the machine runs, or of a TLB of the user's that cannot be saved
   */
  save({
    saveTlb = this.configuration.clock === 'deterministic',
  }: {
    readonly saveTlb?: boolean;
  } = {}): Snapshot {
    this.refuseSnapshots();
    if (this.end?.reason === 'problem')
      throw new SnapshotError('running', `it cannot be saved: ${this.end.problem}`);
    return capture(this.captured(), (name) => !saveTlb && name.startsWith('tlb/'));
  }

  /**
   * Goes on from a snapshot of a machine with the same options; `accel`, `seed` and `startTime` may be others. What the guest was started with comes from it,
   * too: {@link start} is not needed. Disks without overlay must be as they were.
   *
   * @throws SnapshotError: unless it says `needsReset`, nothing has changed
   */
  restore(snapshot: Snapshot): void {
    this.refuseSnapshots();
    apply(this.captured(), snapshot, () => {
      this.end = { reason: 'problem', problem: 'a snapshot was restored in part: the machine must be reset' };
    });
  }

  private refuseSnapshots(): void {
    if (this.isRunning)
      throw new SnapshotError('running', 'the machine runs: it is saved and restored between runs');
  }

  private captured(): CapturedMachine {
    const { configuration, physical, clock, processors } = this;
    const retired = processors.map((one) => one.retired);
    return { about: { configuration, retired, guestTime: clock.now }, physical, units: this.units() };
  }

  /** @internal All but the RAM, in the order in which it is restored. */
  units(): SnapshotUnit[] {
    const { physical, clock, processors, pc, scheduler, random } = this;
    const boot = {
      save: () => ({ version: 1, plan: this.plan ?? null }),
      restore: ({ plan }: { plan: BootPlan | null }) => {
        this.plan = plan ?? undefined;
      },
    };
    const setEnd = (end: MachineEnd | undefined): void => {
      this.end = end;
    };
    // The end comes last: until then the machine is half restored.
    return [
      ...machineUnits({ physical, clock, processors, pc, scheduler, random }),
      unit('boot', boot),
      endUnit(() => this.end, setEnd),
    ];
  }

  /** The processor that runs, or ran last. */
  get current(): VirtualProcessor {
    return this.processors[this.scheduler.currentIndex];
  }

  /** Ends a run that goes on, behind the present instruction. */
  stop(): void {
    this.scheduler.stop();
  }

  private finish(end: MachineEnd): void {
    this.end = end;
    this.scheduler.stop();
  }
}

/** What CPUID says of features, whatever state a processor is in. */
function staticLeaves(cpuid: CpuidModel): { read(leaf: number, subleaf: number, out: Int32Array): void } {
  const dynamic = { osxsave: true, ospke: true, apicId: 0, xcr0: 1 };
  return { read: (leaf, subleaf, out) => cpuid.read(leaf, subleaf, dynamic, out) };
}

function checkOptions({ memory, processors = 1, seed = 1 }: MachineOptions): void {
  if (memory % 65536 !== 0 || !(memory >= 2 << 20 && memory <= mostMemory))
    throw new MachineOptionError(`memory ${memory}: multiples of 65536 from 2 MiB to 3584 MiB are allowed`);
  if (!Number.isInteger(processors) || processors < 1 || processors > 64)
    throw new MachineOptionError(`processors ${processors}: 1 to 64 are allowed`);
  if (!Number.isInteger(seed) || (seed | 0) === 0)
    throw new MachineOptionError(`seed ${seed}: a whole number other than 0 is allowed`);
}
