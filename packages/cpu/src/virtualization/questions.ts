import type { Instruction } from '@nest86/decoder';
import type { SystemUnit } from '../system/unit.ts';
import { Answer } from './extension.ts';
import { Intercept } from './intercept.ts';
import type { InterceptedInstruction } from './intercepted-instruction.ts';

/*
 * How services ask whether their instruction is intercepted: one line behind the checks that go before an exit. Without an extension, or
 * without the class in its mask, that is a comparison.
 */

/**
 * Asks about an instruction of which nothing but its class is told.
 * @returns whether the service is over: the guest is left, or the extension has executed the instruction
 */
export function isIntercepted(unit: SystemUnit, what: number, instruction: Instruction): boolean {
  const question = questionOf(unit, what);
  return question !== undefined && unit.interception!.ask(what, instruction) !== Answer.continue;
}

/** The question to be filled, or undefined if nobody wants it. */
export function questionOf(unit: SystemUnit, what: number): InterceptedInstruction | undefined {
  const { interception } = unit;
  return interception !== undefined && (interception.controls.intercepts & what) !== 0
    ? interception.question
    : undefined;
}

/** As {@link isIntercepted}, for one register, port or table of a class. */
export function isRegisterIntercepted(
  unit: SystemUnit,
  what: number,
  instruction: Instruction,
  number: number,
  isWrite: boolean,
): boolean {
  const question = questionOf(unit, what);
  if (question === undefined) return false;
  question.number = number;
  question.isWrite = isWrite;
  return unit.interception!.ask(what, instruction) !== Answer.continue;
}

/**
 * Asks about a value that is read or written, which the extension may change: it is taken from `value` and put back there.
 * @param kind `ControlAccess` of control registers
 * @returns {@link Answer}
 */
export function askAboutValue(
  unit: SystemUnit,
  what: number,
  instruction: Instruction,
  number: number,
  isWrite: boolean,
  kind: number,
  value: Int32Array,
): number {
  const question = questionOf(unit, what);
  if (question === undefined) return Answer.continue;
  question.number = number;
  question.isWrite = isWrite;
  question.kind = kind;
  question.valueLow = value[0];
  question.valueHigh = value[1];
  const answer = unit.interception!.ask(what, instruction);
  value[0] = question.valueLow;
  value[1] = question.valueHigh;
  return answer;
}

/** Asks about a port. @param segment of the operand of INS and OUTS, else -1 @param address its linear address, not checked */
export function isPortIntercepted(
  unit: SystemUnit,
  instruction: Instruction,
  port: number,
  bytes: number,
  isWrite: boolean,
  segment: number,
  address: Int32Array,
): boolean {
  const question = questionOf(unit, Intercept.port);
  if (question === undefined) return false;
  question.number = port;
  question.bytes = bytes;
  question.isWrite = isWrite;
  question.segment = segment;
  question.addressLow = address[0];
  question.addressHigh = address[1];
  return unit.interception!.ask(Intercept.port, instruction) !== Answer.continue;
}

/** Before a task switch, when all that is wrong with the new task has been found. @param source `TaskSwitchSource` */
export function interceptTaskSwitch(unit: SystemUnit, selector: number, source: number): void {
  const question = questionOf(unit, Intercept.taskSwitch);
  if (question === undefined) return;
  question.number = selector;
  question.kind = source;
  if (unit.interception!.ask(Intercept.taskSwitch, question.instruction) === Answer.exit)
    unit.interception!.leaveNow();
}
