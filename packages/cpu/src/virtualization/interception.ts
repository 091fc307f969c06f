import type { Instruction } from '@nest86/decoder';
import type { Translation } from '@nest86/mmu';
import type { SecondStageFaults } from '../memory/processor-memory.ts';
import { Exception } from '../semantics/operation.ts';
import { guestFault, Unwind } from '../system/fault.ts';
import type { GuestControls } from './controls.ts';
import { Answer, type RaisedException, type VirtualizationExtension } from './extension.ts';
import { InterceptedInstruction } from './intercepted-instruction.ts';

/** The exception in question; see {@link RaisedException}. */
class Raised implements RaisedException {
  vector = 0;
  type = 0;
  errorCode = -1;
  payloadLow = 0;
  payloadHigh = 0;
  instructionLength = 0;
}

/**
 * The processor's side of the port: asks the extension, and keeps that the guest is to be left until the processor has come to a place
 * where it can be. Allocates nothing.
 */
export class Interception implements SecondStageFaults {
  /** The extension answered `exit`: what is under way must end. */
  isLeaving = false;
  readonly controls: GuestControls;
  /** To be filled before {@link ask}. */
  readonly question: InterceptedInstruction = new InterceptedInstruction();
  private readonly raised: Raised = new Raised();
  private readonly access = { offset: 0, bytes: 0, access: 0, low: 0, high: 0 };

  constructor(readonly extension: VirtualizationExtension) {
    this.controls = extension.controls;
  }

  /** Asks about the instruction in {@link question}. @returns {@link Answer} */
  ask(what: number, instruction: Instruction): number {
    const { question } = this;
    question.what = what;
    question.instruction = instruction;
    return this.noted(this.extension.instruction(question));
  }

  /** @returns whether the guest is left instead of the exception being delivered */
  exception(
    vector: number,
    type: number,
    errorCode: number,
    payloadLow: number,
    payloadHigh: number,
    instructionLength: number,
  ): boolean {
    if ((this.controls.exceptions & (1 << vector)) === 0) return false;
    const { raised } = this;
    raised.vector = vector;
    raised.type = type;
    raised.errorCode = errorCode;
    raised.payloadLow = payloadLow;
    raised.payloadHigh = payloadHigh;
    raised.instructionLength = instructionLength;
    return this.noted(this.extension.exception(raised)) !== Answer.continue;
  }

  /** @returns whether the guest is left instead of the processor being shut down */
  shutdown(): boolean {
    return this.controls.isGuest && this.noted(this.extension.shutdown()) !== Answer.continue;
  }

  /** @returns {@link Answer} */
  event(source: number): number {
    return this.noted(this.extension.event(source));
  }

  execute(which: number, instruction: Instruction): number {
    return this.noted(this.extension.execute(which, instruction));
  }

  /** Leaving in the middle of a helper: unwinds to the processor. */
  leaveNow(): never {
    this.isLeaving = true;
    throw guestFault(Unwind.exit);
  }

  noted(answer: number): number {
    if (answer === Answer.exit) this.isLeaving = true;
    return answer;
  }

  // For memory.

  /** @returns 0 to try again, else the vector to unwind with */
  secondStageFault(out: Translation, access: number, low: number, high: number, isLinear: boolean): number {
    const answer = this.noted(this.extension.secondStageFault(out, access, low, high, isLinear));
    if (answer === Answer.continue) return 0;
    return answer === Answer.exit ? Unwind.exit : Exception.virtualization;
  }

  /** @returns {@link Answer} */
  apicAccess(offset: number, bytes: number, access: number, low: number, high: number): number {
    const place = this.access;
    place.offset = offset;
    place.bytes = bytes;
    place.access = access;
    place.low = low;
    place.high = high;
    return this.noted(this.extension.apicAccess(place));
  }

  readApic(offset: number, bytes: number): number {
    return this.extension.readApic(offset, bytes);
  }

  writeApic(offset: number, bytes: number, value: number): void {
    this.extension.writeApic(offset, bytes, value);
  }
}
