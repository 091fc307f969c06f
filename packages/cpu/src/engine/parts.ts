import type { Mmu, PagingContext } from '@nest86/mmu';
import type { Capabilities } from '../system/capabilities.ts';
import type { CpuidSource, IoPorts, MsrSource, TaskPriority, TimeSource } from '../system/unit.ts';
import type { VirtualizationExtension } from '../virtualization/extension.ts';

/** Sees exceptions before they are delivered; for tests and debuggers. */
export interface ExceptionObserver {
  /** @returns true if it has dealt with the exception: nothing is delivered */
  exception(vector: number, errorCode: number): boolean;
}

/** Where maskable interrupts come from. */
export interface InterruptSource {
  /** Whether one waits; asked between instructions when the guest would take it. */
  readonly isPending: boolean;
  /** Takes the one that is delivered now: its vector. */
  acknowledge(): number;
}

/** What a processor is wired to. */
export interface ProcessorParts {
  /** Translates for this processor alone. */
  readonly mmu: Mmu;
  /** Its control registers. */
  readonly context: PagingContext;
  readonly cpuid: CpuidSource;
  /** Default: what `cpuid` says. */
  readonly capabilities?: Capabilities;
  /** Default: no port answers. */
  readonly io?: IoPorts;
  /** MSRs beside the core's own. Default: none. */
  readonly msrs?: MsrSource;
  /** Default: one tick of the time stamp counter for each retired instruction. */
  readonly time?: TimeSource;
  /** Default: no interrupt ever. */
  readonly interrupts?: InterruptSource;
  /** 32 bits for RDRAND and RDSEED. Default: the same sequence in each run. */
  random?(): number;
  /** Default: there is no local APIC. */
  readonly taskPriority?: TaskPriority;
  readonly observer?: ExceptionObserver;
  /** Shows or hides SMRAM. */
  smmChanged?(isInside: boolean): void;
  /** VMX or SVM. Default: none; their instructions raise #UD. */
  readonly extension?: VirtualizationExtension;
  /** See `SystemUnit.hypercall`. */
  hypercall?(): boolean;
  /** Puts the processor into the state after INIT; called between instructions. Default: INIT does nothing. */
  initialize?(): void;
}
