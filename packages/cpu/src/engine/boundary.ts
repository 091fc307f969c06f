import { Exception } from '../semantics/operation.ts';
import { Activity, Segment, stateOffset } from '../state/layout.ts';
import type { VcpuState } from '../state/vcpu-state.ts';
import { DeliveryStage, EventType } from '../system/exceptions.ts';
import { GuestFault, Unwind } from '../system/fault.ts';
import { writeSegment } from '../system/segment-registers.ts';
import { enterSmm } from '../system/smm.ts';
import type { EventTarget } from '../virtualization/arbiter.ts';
import { type EventLatches, EventSource, ownSources } from '../virtualization/events.ts';
import type { Interception } from '../virtualization/interception.ts';
import type { ExceptionObserver, InterruptSource } from './parts.ts';
import type { Processor } from './processor.ts';

/** Cell of the state, as a word. */
const cr2Cell: number = stateOffset.cr2 >> 2;

/** Deliveries in a row behind which nothing retired: far more than what ends well has. */
const mostFruitless = 1000;
/** CR4.OSXMMEXCPT. */
const osxmmexcpt = 0x400;
/** Code segment as after INIT: present, readable, accessed. */
const startUpCode = 0x9b;

/** Ways into `EventDelivery`. */
const Way = { injected: 0, nonMaskable: 1, interrupt: 2, exception: 3 } as const;

/** What happens to a processor between two instructions: exceptions are raised, events delivered, guests left. */
export class Boundary implements EventTarget {
  readonly state: VcpuState;
  readonly events: EventLatches;
  readonly interrupts: InterruptSource;
  readonly interception: Interception | undefined;
  /** Something happened that must be looked at before the next instruction. */
  mustLook = false;
  /** The run ends with the delivery of an event; it did. */
  isStepping = false;
  isDelivered = false;
  /** The extension has shut the processor down while it left a guest. */
  isShutDown = false;
  /** Count at the last delivery, and how many deliveries there were at that count. */
  retiredAtDelivery = -1;
  fruitless = 0;

  constructor(
    private readonly processor: Processor,
    private readonly observer: ExceptionObserver | undefined,
    private readonly onInit: (() => void) | undefined,
  ) {
    this.state = processor.state;
    this.events = processor.events;
    this.interrupts = processor.interrupts;
    this.interception = processor.interception;
  }

  // Exceptions.

  /** An exception of the present instruction, or a debug trap behind the last. @param payloadLow what goes into CR2 or DR6 */
  raise(vector: number, errorCode: number, payloadLow: number, payloadHigh: number): void {
    const { state, interception, processor } = this;
    // SDM vol. 3, 2.5: without CR4.OSXMMEXCPT an unmasked SIMD exception is #UD.
    if (vector === Exception.simd && (processor.context.cr4 & osxmmexcpt) === 0)
      vector = Exception.invalidOpcode;
    const { hardwareException } = EventType;
    if (interception?.exception(vector, hardwareException, errorCode, payloadLow, payloadHigh, 0) === true) {
      if (interception.isLeaving) this.leaveGuest();
      return;
    }
    if (vector === Exception.page) {
      state.words[cr2Cell] = payloadLow;
      state.words[cr2Cell + 1] = payloadHigh;
    } else if (vector === Exception.debug)
      // Of what earlier ones left, B0 to B3 go (SDM vol. 3, 18.2.3).
      state.setPair('debug', (state.low('debug', 6) & ~15) | payloadLow, state.high('debug', 6), 6);
    if (this.observer?.exception(vector, errorCode) === true) return;
    this.deliver(Way.exception, vector, errorCode);
  }

  /** @param bits for DR6 */
  raiseDebug(bits: number): void {
    if (this.events.pending !== 0 || this.interception?.controls.monitorTrap === true) {
      // Something may go before it, and must see it wait.
      this.events.pending |= EventSource.debugTrap;
      this.events.debugBits |= bits;
    } else this.raise(Exception.debug, -1, bits, 0);
  }

  // For the arbiter of events.

  deliverInjected(): void {
    this.deliver(Way.injected, 0, -1);
  }

  deliverNonMaskable(): void {
    this.deliver(Way.nonMaskable, 0, -1);
  }

  deliverInterrupt(vector: number): void {
    this.deliver(Way.interrupt, vector, -1);
  }

  raiseBetween(vector: number, debugBits: number): void {
    this.raise(vector, -1, debugBits, 0);
  }

  enterSystemManagement(): void {
    this.begin();
    enterSmm(this.processor);
    this.end();
  }

  initialize(): void {
    const { state, processor } = this;
    if (this.onInit === undefined) return;
    state.setPair('rip', processor.ripLow, processor.ripHigh);
    this.onInit();
    processor.ripLow = state.low('rip');
    processor.ripHigh = state.high('rip');
    processor.stateLoaded();
  }

  /** SDM vol. 3, 9.4.4.1: code at vector × 4 KiB. */
  startUp(vector: number): void {
    const { state, processor } = this;
    writeSegment(processor, Segment.cs, vector << 8, vector << 12, 0, 0xffff, startUpCode);
    processor.ripLow = 0;
    processor.ripHigh = 0;
    state.set('activity', Activity.running);
    this.mustLook = true;
  }

  /** The state stands between two instructions, and the extension knows why the guest is left. */
  leaveGuest(): void {
    const { interception, events, processor } = this;
    if (interception === undefined) return;
    interception.isLeaving = false;
    processor.nextLow = processor.ripLow;
    processor.nextHigh = processor.ripHigh;
    // Debug traps that wait, for the next instruction or behind the shadow of a stack switch, stay the guest's.
    events.debugBits |= processor.breakpoints.held;
    processor.breakpoints.held = 0;
    this.isShutDown = false;
    interception.extension.leave();
    processor.delivery.stage = DeliveryStage.none;
    events.pending &= ~(ownSources | EventSource.debugTrap);
    events.debugBits = 0;
    events.isInjecting = false;
    this.state.set('activity', this.isShutDown ? Activity.shutdown : Activity.running);
    processor.stateLoaded();
    this.goOn();
  }

  // Delivery.

  private deliver(way: number, vector: number, errorCode: number): void {
    const { processor } = this;
    const { delivery } = processor;
    // A handler that faults before its first instruction may do so for ever: the run ends now and then, as after MWAIT.
    if (processor.retired !== this.retiredAtDelivery) this.fruitless = 0;
    else if (++this.fruitless % mostFruitless === 0) processor.stop();
    this.retiredAtDelivery = processor.retired;
    this.begin();
    try {
      if (way === Way.exception) delivery.exception(processor, vector, errorCode);
      else if (way === Way.interrupt) delivery.interrupt(processor, vector);
      else if (way === Way.nonMaskable) delivery.nonMaskable(processor);
      else delivery.deliver(processor, this.events);
      this.end();
    } catch (fault) {
      // Negative vectors are no exceptions of the guest: the run ends, `problem` says why.
      if (!(fault instanceof GuestFault) || fault.vector >= 0) throw fault;
      if (fault.vector === Unwind.exit) this.leaveGuest();
      else processor.stop();
    }
  }

  private begin(): void {
    const { processor } = this;
    processor.nextLow = processor.ripLow;
    processor.nextHigh = processor.ripHigh;
    processor.finder.forgetPage();
  }

  private end(): void {
    const { interception } = this;
    if (this.isStepping) {
      this.isDelivered = true;
      this.processor.stop();
    }
    if (interception !== undefined) {
      // The event, or one that arose from it, is the owner's.
      if (interception.isLeaving) {
        this.leaveGuest();
        return;
      }
      if (interception.controls.monitorTrap) this.mustLook = true;
    }
    this.goOn();
  }

  private goOn(): void {
    const { processor } = this;
    processor.ripLow = processor.nextLow;
    processor.ripHigh = processor.nextHigh;
    processor.finder.isIndirect = true;
  }
}
