import type { DeliveredEvent } from '../system/exceptions.ts';

/** What may happen between two instructions: bits. */
export const EventSource = {
  machineCheck: 1,
  /** An exit that waits for its instruction to complete: accesses to a virtual APIC. The extension's. */
  trapExit: 2,
  smi: 4,
  init: 8,
  /** Start-up IPI; `EventLatches.startVector` has its vector. */
  startup: 0x10,
  /** One instruction has been executed, or an event delivered (SDM vol. 3, 26.5.2). The extension's. */
  monitorTrap: 0x20,
  /** #DB that was held back; `EventLatches.debugBits` are for DR6. */
  debugTrap: 0x40,
  /** `GuestControls.deadline` has come. The extension's. */
  timer: 0x80,
  /** NMIs, external interrupts could be taken. The extension's; they wait until it takes them back. */
  nmiWindow: 0x100,
  interruptWindow: 0x400,
  nmi: 0x200,
  /** An interrupt of a virtual APIC or V_IRQ. The extension's; it stays until it takes it back. */
  virtualInterrupt: 0x800,
  /** Not latched: the interrupt source is asked. */
  externalInterrupt: 0x1000,
} as const;

/** Sources that only an extension latches: it is always asked. */
export const ownSources: number =
  EventSource.trapExit |
  EventSource.monitorTrap |
  EventSource.timer |
  EventSource.nmiWindow |
  EventSource.interruptWindow |
  EventSource.virtualInterrupt;

/** Requests rather than events: looking at them does not consume them. */
export const lastingSources: number =
  EventSource.nmiWindow | EventSource.interruptWindow | EventSource.virtualInterrupt;

/**
 * The order of events that are due at the same boundary, highest first (SDM vol. 3, 7.9 and 27.7; APM vol. 2, 8.5 and 15.21.4). They differ
 * in two places: INIT goes before SMI on AMD, and physical interrupts go before virtual ones there.
 */
export const eventOrder: Readonly<Record<'intel' | 'amd', readonly number[]>> = {
  intel: [
    EventSource.machineCheck,
    EventSource.trapExit,
    EventSource.smi,
    EventSource.init,
    EventSource.startup,
    EventSource.monitorTrap,
    EventSource.debugTrap,
    EventSource.timer,
    EventSource.nmiWindow,
    EventSource.nmi,
    EventSource.interruptWindow,
    EventSource.virtualInterrupt,
    EventSource.externalInterrupt,
  ],
  amd: [
    EventSource.machineCheck,
    EventSource.trapExit,
    EventSource.init,
    EventSource.startup,
    EventSource.smi,
    EventSource.monitorTrap,
    EventSource.debugTrap,
    EventSource.timer,
    EventSource.nmiWindow,
    EventSource.nmi,
    EventSource.interruptWindow,
    EventSource.externalInterrupt,
    EventSource.virtualInterrupt,
  ],
};

/** Events that wait. Plain data: a snapshot copies it. */
export class EventLatches {
  /** Bits of {@link EventSource}. Whoever brings an event sets its bit; the processor clears it when it is taken. */
  pending = 0;
  /** Vector of the start-up IPI that waits. */
  startVector = 0;
  /** Bits for DR6 of the debug trap that waits. */
  debugBits = 0;
  /** An event waits to be injected. */
  isInjecting = false;

  // The event to be injected, see `DeliveredEvent`.
  vector = 0;
  type = 0;
  errorCode = -1;
  instructionLength = 0;

  /** An event is to be delivered before the next instruction, and not to be asked about itself (SDM vol. 3, 27.6; APM vol. 2, 15.20). */
  inject({ vector, type, errorCode, instructionLength }: DeliveredEvent): void {
    this.isInjecting = true;
    this.vector = vector;
    this.type = type;
    this.errorCode = errorCode;
    this.instructionLength = instructionLength;
  }
}
