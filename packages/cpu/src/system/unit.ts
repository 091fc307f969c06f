import type { Instruction } from '@nest86/decoder';
import type { Mmu, PagingContext } from '@nest86/mmu';
import type { VcpuState } from '../state/vcpu-state.ts';
import type { EventLatches } from '../virtualization/events.ts';
import type { Interception } from '../virtualization/interception.ts';
import type { Breakpoints } from './breakpoints.ts';
import type { Capabilities } from './capabilities.ts';
import type { EventDelivery } from './exceptions.ts';

/** Linear memory for TypeScript: translated, with every effect of an access of the processor's. Accesses may cross pages. */
export interface LinearMemory {
  /**
   * Reads 1, 2 or 4 bytes at a linear address. @param system true: a supervisor access whatever the CPL (descriptor tables, TSS)
   * @throws GuestFault #PF
   */
  read(low: number, high: number, bytes: number, system?: boolean): number;
  write(low: number, high: number, bytes: number, value: number, system?: boolean): void;
  /** Reads 8 bytes into `out`, low half first; what faults is what faults first of two halves. */
  readPair(low: number, high: number, out: Int32Array, system?: boolean): void;
  /** Writes 8 bytes; a fault in the second half may leave the first one written. */
  writePair(low: number, high: number, valueLow: number, valueHigh: number, system?: boolean): void;
  /** Checks that all bytes can be written (or read), as a locked or multi-part access does before it changes anything. */
  probe(low: number, high: number, bytes: number, isWrite: boolean, system?: boolean): void;
  /** @internal The memory as 32-bit words. */
  readonly words: Int32Array;
  /**
   * Index in `words` of bytes at an address that the fast TLB has, where the access has no effect but the obvious one; -1 if it does not have
   * them, the address is no multiple of 4, or they cross a page.
   * @internal
   */
  wordsAt(low: number, high: number, bytes: number, isWrite: boolean, system: boolean): number;
}

/** I/O ports. Sizes are 1, 2 and 4 bytes. */
export interface IoPorts {
  read(port: number, bytes: number): number;
  write(port: number, bytes: number, value: number): void;
}

/** Leaves of CPUID, with what is dynamic in them (OSXSAVE, APIC id) filled in by the caller. Answers EAX EBX ECX EDX in `out`. */
export interface CpuidSource {
  read(leaf: number, subleaf: number, out: Int32Array): void;
}

/** MSRs that the processor core does not own: APIC, MTRR, MCA, performance, hypervisor. Indices are unsigned. */
export interface MsrSource {
  /** Whether it knows the register; the value is in `out`, low half first. */
  read(index: number, out: Int32Array): boolean;
  /** @returns whether the write is allowed; false raises #GP */
  write(index: number, low: number, high: number): boolean;
}

/** Time stamp counter, a function of retired instructions or of the host's clock; halves in `out`. */
export interface TimeSource {
  /** While the processor runs, it ticks once for each 2 to this power of instructions that retire, 0 to 8. Left out: generated code cannot know it. */
  readonly tickShift?: number;
  tsc(out: Int32Array): void;
  writeTsc(low: number, high: number): void;
}

/** The local APIC's task priority as CR8 shows it: bits 7:4 of TPR, 0 to 15. */
export interface TaskPriority {
  read(): number;
  write(value: number): void;
}

/** What TypeScript that executes instructions sees of the processor. */
export interface SystemUnit {
  readonly state: VcpuState;
  readonly memory: LinearMemory;
  readonly mmu: Mmu;
  /** CR0, CR3, CR4, EFER, PKRU, PKRS; change them through `mmu`, then call `contextChanged`. */
  readonly context: PagingContext;
  readonly io: IoPorts;
  readonly cpuid: CpuidSource;
  readonly msrs: MsrSource;
  readonly time: TimeSource;
  /** Left out, there is no local APIC: CR8 is 0. */
  readonly taskPriority?: TaskPriority | undefined;
  readonly capabilities: Capabilities;
  /** @internal Left out, nothing is watched. */
  readonly breakpoints?: Breakpoints;
  /** @internal Left out, nothing can wait for the next boundary between instructions. */
  readonly events?: EventLatches;
  /** @internal Left out, no virtualization extension is plugged in. */
  readonly interception?: Interception | undefined;
  /** VMCALL and VMMCALL outside guests, if a paravirtual interface is offered. @returns whether it took the call */
  readonly hypercall?: (() => boolean) | undefined;
  /** Seeded random numbers, 32 bits. */
  random(): number;

  /** RIP of the next instruction; services that branch set it. Written to the state's `rip` when the service returns. */
  nextLow: number;
  nextHigh: number;
  /** RIP of the present instruction, which faults save; a task switch makes it the new task's. */
  ripLow: number;
  ripHigh: number;
  /** Brings events to the guest's handlers. */
  readonly delivery: EventDelivery;

  /** To be called after CR0, CR3, CR4, EFER, CPL, EFLAGS.AC or PKRU changed: gives the processor its fast TLB bank. */
  contextChanged(): void;
  /** To be called after CS or SS (attributes, base, limit) or another data segment changed: decides how code is decoded and checked. */
  segmentsChanged(): void;
  /** To be called after DR0 to DR7 changed: decides which breakpoints are watched. */
  breakpointsChanged(): void;
  /** To be called on entry to system-management mode before its state is saved, and after RSM: shows or hides SMRAM. */
  smmChanged(isInside: boolean): void;
  /** Ends the stay: HLT, MWAIT, shutdown. The state's `activity` says why. */
  stop(): void;
  /** Ends the run with a message: something the engine cannot execute. */
  unimplemented(what: string): never;
}

/** Executes an instruction that has no staged definition. Throws {@link GuestFault}; before it does, nothing has changed. */
export type Service = (unit: SystemUnit, instruction: Instruction) => void;

/** By mnemonic, upper case. */
export type Services = Readonly<Record<string, Service>>;
