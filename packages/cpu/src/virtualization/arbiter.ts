import { Exception } from '../semantics/operation.ts';
import { Activity, stateOffset } from '../state/layout.ts';
import type { VcpuState } from '../state/vcpu-state.ts';
import { type GuestControls, InterruptGate } from './controls.ts';
import { type EventLatches, EventSource, eventOrder, lastingSources, ownSources } from './events.ts';
import { Answer, InterruptAnswer } from './extension.ts';
import type { Interception } from './interception.ts';

/** What the arbiter wants of the processor. */
export interface EventTarget {
  readonly state: VcpuState;
  readonly events: EventLatches;
  readonly interrupts: { readonly isPending: boolean; acknowledge(): number };
  readonly interception: Interception | undefined;
  /** Delivers the event in `events`. */
  deliverInjected(): void;
  deliverNonMaskable(): void;
  deliverInterrupt(vector: number): void;
  /** Raises an exception between instructions. @param debugBits for DR6 */
  raiseBetween(vector: number, debugBits: number): void;
  enterSystemManagement(): void;
  /** INIT. */
  initialize(): void;
  /** Start-up IPI. */
  startUp(vector: number): void;
  leaveGuest(): void;
}

const flagInterrupt = 0x200;
const flagsCell: number = stateOffset.systemFlags >> 2;
const shadowCell: number = stateOffset.interruptShadow >> 2;
/** Interrupt shadow of MOV and POP to SS. */
const shadowOfStack = 2;
/** Events that are taken before an instruction gets its turn: whatever devices and guests do, the run goes on. */
const most = 8;
/** What reaches a processor that waits for its start-up IPI, or one that was shut down. INIT does not reach a guest that waits (SDM vol. 3, 27.2). */
const wakesFromStart: number =
  EventSource.init | EventSource.startup | EventSource.trapExit | EventSource.timer;
const wakesFromShutdown: number =
  EventSource.init | EventSource.smi | EventSource.nmi | EventSource.machineCheck | EventSource.nmiWindow;

/** Decides what happens between two instructions (virtualization.md D4). */
export class EventArbiter {
  private readonly order: readonly number[];

  constructor(
    private readonly target: EventTarget,
    vendor: 'intel' | 'amd',
  ) {
    this.order = eventOrder[vendor];
  }

  private get controls(): GuestControls | undefined {
    return this.target.interception?.controls;
  }

  /** Whether {@link look} would do something. */
  get isDue(): boolean {
    return this.target.events.isInjecting || this.due() !== 0;
  }

  /** Takes what is due, the highest first. */
  look(): void {
    for (let taken = 0; taken < most; taken++) if (!this.step()) return;
  }

  /** Bits of what could be taken now. */
  private due(): number {
    const { state, events } = this.target;
    const { controls } = this;
    let due = this.interruptWaits() ? events.pending | EventSource.externalInterrupt : events.pending;
    if (due === 0) return 0;
    if (controls !== undefined) due &= ~controls.blocked;
    if (controls?.isGuest !== true) due &= ~ownSources;
    const shadow = state.get('interruptShadow');
    if (shadow !== 0 || (state.get('systemFlags') & flagInterrupt) === 0) {
      due &= ~(EventSource.interruptWindow | EventSource.virtualInterrupt);
    }
    // MOV SS holds NMIs back, too (SDM vol. 3, 6.8.3); STI may ("STI" in vol. 2), and does on processors that are in use.
    if (shadow !== 0) due &= ~EventSource.nmi;
    // A load of SS holds debug traps until the next instruction has completed (SDM vol. 3, 6.8.3 and 27.7.3).
    if (shadow === shadowOfStack) due &= ~(EventSource.nmiWindow | EventSource.debugTrap);
    if (state.get('nmiBlocked') !== 0) {
      due &= ~EventSource.nmiWindow;
      if (controls?.nmiGate !== InterruptGate.open) due &= ~EventSource.nmi;
    }
    if (state.get('inSmm') !== 0) due &= ~(EventSource.smi | EventSource.init);
    switch (state.get('activity')) {
      case Activity.waitForSipi:
        return due & wakesFromStart & (controls?.isGuest === true ? ~EventSource.init : -1);
      case Activity.shutdown:
        return due & wakesFromShutdown;
      default:
        return due;
    }
  }

  /** An external interrupt that could be taken: the source is asked only then. */
  private interruptWaits(): boolean {
    const { state, interrupts } = this.target;
    const gate = this.controls?.interruptGate ?? InterruptGate.flag;
    if (gate === InterruptGate.closed) return false;
    if (gate === InterruptGate.flag) {
      if ((state.words[flagsCell] & flagInterrupt) === 0 || state.words[shadowCell] !== 0) return false;
    }
    return interrupts.isPending;
  }

  /** @returns whether something else may be due now, before the next instruction */
  private step(): boolean {
    const { target } = this;
    const { events, state } = target;
    // A start-up IPI that nobody waits for is lost; whoever is about to take an INIT waits behind it.
    if ((events.pending & EventSource.startup) !== 0 && state.get('activity') !== Activity.waitForSipi)
      if ((this.due() & EventSource.init) === 0 && ((this.controls?.events ?? 0) & EventSource.startup) === 0)
        events.pending &= ~EventSource.startup;
    if (events.isInjecting) {
      events.isInjecting = false;
      state.set('activity', Activity.running);
      target.deliverInjected();
      this.delivered();
      return true;
    }
    const due = this.due();
    if (due === 0) return false;
    for (const source of this.order) if ((due & source) !== 0 && this.take(source)) return true;
    return false;
  }

  /** @returns false if it changed nothing: what comes next in the order has its turn */
  private take(source: number): boolean {
    const { target, controls } = this;
    const { events } = target;
    if (source === EventSource.virtualInterrupt) return this.takeVirtual();
    if (source === EventSource.externalInterrupt) return this.takeExternal();
    if (controls !== undefined && ((controls.events | ownSources) & source) !== 0) {
      const answer = target.interception!.event(source);
      // What an exit consumes of NMI, INIT, SMI is the extension's to say: it clears the latch.
      if (answer === Answer.exit) {
        if ((source & ownSources & ~lastingSources) !== 0) events.pending &= ~source;
        target.leaveGuest();
        return true;
      }
      if (answer === Answer.completed || (source & ownSources) !== 0) {
        events.pending &= ~source;
        return answer === Answer.completed;
      }
    }
    events.pending &= ~source;
    this.takeAsEver(source);
    this.delivered();
    return true;
  }

  private takeAsEver(source: number): void {
    const { target } = this;
    const { events, state } = target;
    switch (source) {
      case EventSource.nmi:
        state.set('activity', Activity.running);
        target.deliverNonMaskable();
        return;
      case EventSource.smi:
        target.enterSystemManagement();
        return;
      case EventSource.init:
        target.initialize();
        return;
      case EventSource.startup:
        target.startUp(events.startVector);
        return;
      case EventSource.debugTrap: {
        const bits = events.debugBits;
        events.debugBits = 0;
        target.raiseBetween(Exception.debug, bits);
        return;
      }
      case EventSource.machineCheck:
        target.raiseBetween(Exception.machineCheck, 0);
        return;
      default:
    }
  }

  private takeVirtual(): boolean {
    const { target } = this;
    const vector = target.interception?.extension.virtualInterrupt() ?? -2;
    if (vector === -1) target.leaveGuest();
    else if (vector >= 0) this.deliverInterrupt(vector);
    return vector !== -2;
  }

  private takeExternal(): boolean {
    const { target, controls } = this;
    const isAsked = controls !== undefined && (controls.events & EventSource.externalInterrupt) !== 0;
    const answer = isAsked ? target.interception!.extension.interrupt() : InterruptAnswer.take;
    if (answer === InterruptAnswer.hold) return false;
    if (answer === InterruptAnswer.exit) {
      target.leaveGuest();
      return true;
    }
    const vector = target.interrupts.acknowledge();
    if (answer === InterruptAnswer.acknowledge) {
      const then = target.interception!.extension.acknowledged(vector);
      if (then === Answer.exit) target.leaveGuest();
      if (then !== Answer.continue) return true;
    }
    this.deliverInterrupt(vector);
    return true;
  }

  private deliverInterrupt(vector: number): void {
    const { target } = this;
    target.state.set('activity', Activity.running);
    target.deliverInterrupt(vector);
    this.delivered();
  }

  /** A delivery counts as an instruction for the monitor trap (SDM vol. 3, 26.5.2). */
  private delivered(): void {
    if (this.controls?.monitorTrap === true) this.target.events.pending |= EventSource.monitorTrap;
  }
}
