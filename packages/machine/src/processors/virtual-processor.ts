import {
  ApicRegister,
  type ApicTarget,
  DeliveryMode,
  type ExternalInterrupts,
  type InterruptFabric,
  LocalApic,
} from '@nest86/apic';
import {
  Activity,
  capabilitiesOf,
  type Engine,
  EventSource,
  type IoPorts,
  initializeState,
  Processor,
  type RunEnd,
  resetState,
} from '@nest86/cpu';
import type { CpuidModel } from '@nest86/cpuid';
import { Mmu, PagingContext, type PagingModel, type TlbBackend } from '@nest86/mmu';
import { SvmExtension, svmFeatures } from '@nest86/svm/extension';
import { VmxCapabilities } from '@nest86/vmx';
import { VmxExtension } from '@nest86/vmx/extension';
import { MachineMsrs } from '../msr/machine-msrs.ts';
import type { MachineClock } from '../time/machine-clock.ts';
import { TimeStampCounter } from '../time/time-stamp-counter.ts';
import { ProcessorCpuid } from './processor-cpuid.ts';
import type { ScheduledProcessor } from './scheduler.ts';

export interface VirtualProcessorInit {
  readonly engine: Engine;
  /** From 0; the first is the bootstrap processor. */
  readonly index: number;
  readonly apicId: number;
  readonly cpuid: CpuidModel;
  readonly model: PagingModel;
  readonly tlb: TlbBackend;
  readonly clock: MachineClock;
  readonly ports: IoPorts;
  readonly fabric: InterruptFabric;
  /** The 8259 behind LINT0. */
  readonly external?: ExternalInterrupts;
  /** Ends of the RAM below 4 GiB and above; 0: there is none above. */
  readonly topOfLowMemory: number;
  readonly topOfMemory: number;
  random(): number;
  /** It sleeps, and something happened that it should look at. */
  wake(index: number): void;
  /** IA32_APIC_BASE was written. */
  apicMoved(): void;
}

/** SVR[8]. */
const apicEnabled = 0x100;
const spuriousVector = 0xff;

/** A processor with what belongs to it alone: translation, local APIC, time stamp counter, MSRs. */
export class VirtualProcessor implements ScheduledProcessor, ApicTarget {
  readonly context: PagingContext = new PagingContext();
  readonly mmu: Mmu;
  readonly tsc: TimeStampCounter;
  readonly apic: LocalApic;
  readonly processor: Processor;
  readonly msrs: MachineMsrs;
  /** VMX, if the model has it. */
  readonly vmx: VmxExtension | undefined;
  private alarm: ReturnType<MachineClock['timer']> | undefined;
  /** AMD's virtualization, where CPUID has it. */
  readonly svm: SvmExtension | undefined;

  constructor(private readonly parts: VirtualProcessorInit) {
    const { engine, index, apicId, cpuid, model, tlb, clock, ports, fabric, external } = parts;
    this.mmu = new Mmu({ memory: engine.physical, tlb, model });
    this.tsc = new TimeStampCounter(clock, () => this.apic.tscChanged());
    this.apic = new LocalApic({
      id: apicId,
      isBootstrap: index === 0,
      clock,
      bus: fabric,
      target: this,
      features: { x2apic: cpuid.has('x2apic'), physicalAddressBits: cpuid.physicalBits },
      ...(external === undefined ? {} : { external }),
      ...(cpuid.has('tsc-deadline') ? { tsc: this.tsc } : {}),
      baseChanged: () => parts.apicMoved(),
    });
    fabric.add(this.apic);
    const { topOfLowMemory, topOfMemory } = parts;
    const memoryEnds = { topOfLowMemory, ...(topOfMemory > 0 ? { topOfMemory } : {}) };
    this.msrs = new MachineMsrs({ cpuid, tsc: this.tsc, ...memoryEnds });
    const { msrs: own } = this;
    this.svm = cpuid.has('svm') ? new SvmExtension(svmFeatures((name) => cpuid.has(name))) : undefined;
    const svmMsrs = this.svm?.msrs;
    const { msrs: apicMsrs } = this.apic;
    const leaves = new ProcessorCpuid(cpuid, apicId);
    const capabilities = capabilitiesOf(leaves);
    const vmx = cpuid.has('vmx')
      ? new VmxExtension(new VmxCapabilities(cpuid, { cr4: capabilities.cr4 }))
      : undefined;
    this.vmx = vmx;
    // No model has both.
    const extension = vmx ?? this.svm;
    this.processor = new Processor(engine, index, {
      ...(extension && { extension }),
      capabilities,
      mmu: this.mmu,
      context: this.context,
      cpuid: leaves,
      io: ports,
      // What the APIC refuses, the others do not know.
      msrs: {
        read: (number, out) =>
          apicMsrs.read(number, out) ||
          vmx?.readMsr(number, out) === true ||
          svmMsrs?.read(number, out) === true ||
          own.read(number, out),
        write: (number, low, high) =>
          apicMsrs.write(number, low, high) ||
          svmMsrs?.write(number, low, high) === true ||
          own.write(number, low, high),
      },
      time: this.tsc,
      interrupts: this.apic,
      taskPriority: this.apic.taskPriority,
      random: () => parts.random(),
      initialize: () => this.initialize(),
    });
    leaves.processor = this.processor;
  }

  get retired(): number {
    return this.processor.retired;
  }

  get isRunning(): boolean {
    return this.processor.state.get('activity') === Activity.running;
  }

  get isShutDown(): boolean {
    return this.processor.state.get('activity') === Activity.shutdown;
  }

  run(count: number): RunEnd {
    const end = this.processor.run(count);
    this.setAlarm();
    return end;
  }

  /** A guest that waits does not retire what the VMX-preemption timer counts by: time wakes it. */
  setAlarm(): void {
    const end = this.vmx?.timerEnd;
    if (end === undefined || this.isRunning) return;
    this.alarm ??= this.parts.clock.timer(() => this.latch(EventSource.timer));
    this.alarm.set(this.tsc.timeOf(end | 0, Math.floor(end / 2 ** 32)));
  }

  step(): RunEnd {
    return this.processor.step();
  }

  stop(): void {
    this.processor.stop();
  }

  /** As after RESET (SDM vol. 3, table 10-1): the first one runs, the others wait for their start-up IPI. */
  reset(): void {
    const { processor, context, mmu, apic, parts } = this;
    this.vmx?.reset();
    this.svm?.reset();
    resetState(processor.state, context, parts.cpuid.signature);
    processor.events.pending = 0;
    processor.events.isInjecting = false;
    mmu.tlb.reset();
    mmu.enter(context);
    apic.reset();
    this.msrs.reset();
    this.tsc.adjustment = 0n;
    if (parts.index > 0) processor.state.set('activity', Activity.waitForSipi);
    processor.stateChanged();
  }

  /** Virtual wire mode, in which firmware hands over: the 8259s' interrupts pass through LINT0, NMIs through LINT1 (MultiProcessor Specification 1.4, 3.6.2.2). */
  wire8259(): void {
    const { mmio } = this.apic;
    mmio.write(ApicRegister.spuriousVector, 4, apicEnabled | spuriousVector);
    mmio.write(ApicRegister.lvtLint0, 4, DeliveryMode.extInt << 8);
    mmio.write(ApicRegister.lvtLint1, 4, DeliveryMode.nmi << 8);
  }

  /** INIT (S2-14 to S2-16): the processor core asks for it between instructions. */
  private initialize(): void {
    const { processor, context, mmu, apic, parts } = this;
    this.vmx?.reset();
    this.svm?.initialize();
    initializeState(processor.state, context, parts.cpuid.signature);
    mmu.tlb.reset();
    mmu.enter(context);
    apic.initialize();
    if (parts.index > 0) processor.state.set('activity', Activity.waitForSipi);
  }

  // For the local APIC.

  wake(): void {
    this.parts.wake(this.parts.index);
  }

  nmi(): void {
    this.latch(EventSource.nmi);
  }

  smi(): void {
    this.latch(EventSource.smi);
  }

  init(): void {
    // One that came before belongs to the start that ends here.
    this.processor.events.pending &= ~EventSource.startup;
    this.latch(EventSource.init);
  }

  startUp(vector: number): void {
    this.processor.events.startVector = vector;
    this.latch(EventSource.startup);
  }

  private latch(source: number): void {
    this.processor.events.pending |= source;
    this.wake();
  }
}
