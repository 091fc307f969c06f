import type { Instruction } from '@nest86/decoder';
import type { PagingContext, Translation } from '@nest86/mmu';
import type { EventDelivery } from '../system/exceptions.ts';
import type { LinearMemory, SystemUnit } from '../system/unit.ts';
import type { GuestControls } from './controls.ts';
import type { EventLatches } from './events.ts';
import type { InterceptedInstruction } from './intercepted-instruction.ts';

/*
 * The port through which VMX and SVM plug into the processor (design §5; virtualization.md D1 to D6, D14). The processor knows that there is
 * a guest and somebody who owns it; what a VMCS or a VMCB is, and why a guest was left, only the extension knows.
 *
 * How a guest is left: the processor asks, the extension answers `exit` and notes the reason. The processor undoes or completes what it was
 * doing, so that its state stands between two instructions, and calls `leave`. Only there does the extension look at the state, store it,
 * load its own and switch the context. How a guest is entered: the extension's instruction (`execute`) loads the state and sets the unit's
 * `nextLow` and `nextHigh` to the guest's RIP.
 */

/** What the extension answers when it is asked. */
export const Answer = {
  /** Goes on as if nobody had asked. */
  continue: 0,
  /** The guest is left: see {@link VirtualizationExtension.leave}. */
  exit: 1,
  /** The extension has done it: nothing else happens. */
  completed: 2,
} as const;

/** What happens to an external interrupt before it is acknowledged (virtualization.md D5). */
export const InterruptAnswer = {
  /** The running code gets it. */
  take: 0,
  /** The guest is left; the interrupt stays pending. */
  exit: 1,
  /** It is acknowledged first: `acknowledged` decides what then. */
  acknowledge: 2,
  /** It stays pending and nothing happens. */
  hold: 3,
} as const;

/** Instructions that the extension owns. Without one they raise #UD. */
export const OwnInstruction = {
  vmcall: 0,
  vmlaunch: 1,
  vmresume: 2,
  vmxoff: 3,
  vmxon: 4,
  vmclear: 5,
  vmptrld: 6,
  vmptrst: 7,
  vmread: 8,
  vmwrite: 9,
  vmfunc: 10,
  invept: 11,
  invvpid: 12,
  vmmcall: 13,
  vmrun: 14,
  vmload: 15,
  vmsave: 16,
  stgi: 17,
  clgi: 18,
  invlpga: 19,
  skinit: 20,
  vmgexit: 21,
} as const;

/** An exception that is about to be delivered: nothing of it is in CR2 or DR6 yet. One object, filled anew for each question. */
export interface RaisedException {
  readonly vector: number;
  /** One of `EventType`. */
  readonly type: number;
  /** -1: none. */
  readonly errorCode: number;
  /** #PF: linear address. #DB: bits for DR6, in the low half. */
  readonly payloadLow: number;
  readonly payloadHigh: number;
  /** Of INT1, INT3 and INTO; else 0. */
  readonly instructionLength: number;
}

/** Where an access to the APIC-access page went. */
export interface ApicAccess {
  /** Offset in the page and bytes; an access that leaves the page is asked for in two pieces. */
  readonly offset: number;
  readonly bytes: number;
  /** Bits of the memory unit's `Access`. */
  readonly access: number;
  readonly low: number;
  readonly high: number;
}

/** What an extension sees of the processor. */
export interface VirtualizationUnit extends SystemUnit {
  readonly memory: LinearMemory;
  /** The event that is being delivered, if its stage is not `none`: the one source of what hypervisors call IDT vectoring information. */
  readonly delivery: EventDelivery;
  /** RIP of the instruction, or in between of the next one. */
  readonly ripLow: number;
  readonly ripHigh: number;
  /** RIP to go on with. */
  nextLow: number;
  nextHigh: number;
  readonly events: EventLatches;
  /** Instructions retired since the start: the clock of `GuestControls.deadline`. */
  readonly retired: number;

  /**
   * From now on addresses are translated in this context, which `Mmu.enter` has tagged. PKRU goes along, as no transition changes it. Costs
   * the choice of a bank of the fast TLB; nothing is flushed but what the tags ask for.
   */
  switchContext(to: PagingContext): void;
  /** To be called when all of an entry's or exit's state has been written: code mode, segments, breakpoints are derived anew. */
  stateLoaded(): void;
  /** To be called after `GuestControls` were changed in between. */
  controlsChanged(): void;
  /** In `leave`: the host does not go on but is shut down, as by a VMX abort. */
  shutDown(): void;
  /**
   * Bytes of the present instruction as they were fetched, for exits that hand them on; walks without a trace.
   * @param out 15 bytes or more
   * @returns how many can be read, up to 15
   */
  instructionBytes(out: Uint8Array): number;
}

/** Implemented by `@nest86/vmx` and `@nest86/svm`. Questions come from inside an instruction: only `leave` may change the guest's state. */
export interface VirtualizationExtension {
  readonly controls: GuestControls;
  attach(unit: VirtualizationUnit): void;

  /**
   * Executes an instruction of its own, in host or guest mode. Privilege and mode are not checked before. It may throw {@link GuestFault}.
   * @param which one of {@link OwnInstruction}
   * @returns {@link Answer}: `continue` raises #UD
   */
  execute(which: number, instruction: Instruction): number;
  /** An instruction of a class in `controls.intercepts`, after the checks that go before exits (SDM vol. 3, 26.1.1). It may throw {@link GuestFault}. */
  instruction(what: InterceptedInstruction): number;
  /** An exception with its bit in `controls.exceptions`. `unit.delivery.stage` tells whether it arose while another event was delivered. */
  exception(raised: RaisedException): number;
  /**
   * The second stage refuses an access, or a log is full: `out` says which and why. What the access was part of is undone if the guest is left.
   * @param access bits of the memory unit's `Access`
   * @param isLinear there is a linear address: none for PDPTEs that are loaded
   * @returns {@link Answer}: `continue` tries again; `completed` raises #VE
   */
  secondStageFault(out: Translation, access: number, low: number, high: number, isLinear: boolean): number;
  /**
   * An access to the page that `PagingContext.apicAccessPage` or `apicGuestPage` names. `continue` goes to memory, `completed` to `readApic`
   * and `writeApic`.
   */
  apicAccess(access: ApicAccess): number;
  /** @param bytes 1, 2 or 4 */
  readApic(offset: number, bytes: number): number;
  /** After it `trapExit` may be latched: it is due when the instruction has completed. */
  writeApic(offset: number, bytes: number, value: number): void;

  /** A source of `EventSource` is due: one in `controls.events`, or one of the extension's own. `completed` consumes it. */
  event(source: number): number;
  /** An external interrupt is due and has not been acknowledged. @returns {@link InterruptAnswer} */
  interrupt(): number;
  /** It was acknowledged. @returns {@link Answer}: `continue` delivers it, `completed` drops it */
  acknowledged(vector: number): number;
  /** The source `virtualInterrupt` is due. @returns the vector to deliver, -1 to leave the guest, -2 for nothing */
  virtualInterrupt(): number;
  /** A triple fault. `continue` shuts the processor down. */
  shutdown(): number;

  /**
   * Leaves the guest, for the reason that was noted. The unit's RIP is the instruction's for what is like a fault, the next one's for what
   * is like a trap or lies between instructions. `unit.delivery` tells of an event whose delivery was cut short, `unit.events.debugBits` of
   * debug traps that wait; both are the guest's and are forgotten when this returns, as are its requests. Sets the unit's `nextLow` and
   * `nextHigh` to where the host goes on; the processor is then running.
   */
  leave(): void;
}
