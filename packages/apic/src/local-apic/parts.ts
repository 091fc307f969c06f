import type { Clock, TscTime } from '../clock.ts';

/** What a local APIC asks of its processor. Called at any time, also from within register writes of this or another processor. */
export interface ApicTarget {
  /** `isPending` became true. */
  wake(): void;
  nmi(): void;
  smi(): void;
  init(): void;
  /** SIPI: for the owner to ignore unless the processor waits for one. @param vector the processor starts at physical address `vector` × 4096 */
  startUp(vector: number): void;
}

/** The 8259 behind LINT0, or whatever answers an interrupt-acknowledge cycle. */
export interface ExternalInterrupts {
  /** @returns the vector, 0 to 255; a spurious one if nothing waits */
  acknowledge(): number;
}

/** Where a local APIC sends. */
export interface ApicBus {
  /**
   * @param source id of the sender
   * @param command low half of ICR
   * @param destination in x2APIC mode ICR's high half, else its bits 31:24
   * @param isWide x2APIC mode: destinations have 32 bits
   */
  sendIpi(source: number, command: number, destination: number, isWide: boolean): void;
  /** The end of a level-triggered interrupt. */
  endOfInterrupt(vector: number): void;
}

/** What CPUID and the version register say about a local APIC. */
export interface ApicFeatures {
  /** CPUID.1:ECX[21]. Default true. */
  readonly x2apic?: boolean;
  /** SVR[12] keeps ends of interrupts from the I/O APICs. Default true. */
  readonly suppressBroadcast?: boolean;
  /** The seventh LVT entry, MCG_CAP[10]. Default false. */
  readonly cmci?: boolean;
  /** Bits of a physical address, 36 to 52. Default 52. */
  readonly physicalAddressBits?: number;
}

export interface LocalApicParts {
  /** Initial APIC id: 0 to 254 for xAPIC mode, 32 bits for x2APIC mode. */
  readonly id: number;
  /** The bootstrap processor's, as IA32_APIC_BASE[8] shows it after reset. */
  readonly isBootstrap: boolean;
  readonly clock: Clock;
  readonly bus: ApicBus;
  readonly target: ApicTarget;
  /** Default: no 8259, so nothing should drive LINT0 in ExtINT mode. */
  readonly external?: ExternalInterrupts;
  /** Left out, there is no TSC-deadline mode: CPUID.1:ECX[24] = 0. */
  readonly tsc?: TscTime;
  readonly features?: ApicFeatures;
  /** IA32_APIC_BASE was written: the page may have moved, appeared or gone, and with `isEnabled` CPUID.1:EDX[9]. */
  baseChanged?(): void;
}
