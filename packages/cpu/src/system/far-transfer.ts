import { type Instruction, OperandKind, operandCount, operandImmediate, operandKind } from '@nest86/decoder';
import { Exception } from '../semantics/operation.ts';
import { Segment } from '../state/layout.ts';
import {
  Descriptor,
  isNull,
  readDescriptor,
  readUpperHalf,
  SystemType,
  selectorError,
  setAccessed,
  systemType32,
} from './descriptors.ts';
import { guestFault } from './fault.ts';
import {
  checkTarget,
  enterCode,
  InnerStack,
  is64BitCode,
  readCodeSegment,
  requireGateCode,
  requirePresent,
} from './gates.ts';
import { hasParagraphSelectors, inLongMode, inVirtual8086Mode } from './modes.ts';
import { in64BitMode } from './operands.ts';
import { OuterReturn } from './outer-return.ts';
import { writeRealCode, writeVirtual8086Segment } from './segment-registers.ts';
import { farSelector, readFarPointer } from './segments.ts';
import { Stack } from './stack.ts';
import { readTaskState, switchTask, TaskSwitchSource } from './task-switch.ts';
import type { Service, Services, SystemUnit } from './unit.ts';

const stack = new Stack();
const outerStack = new Stack();
const code = new Descriptor();
const gate = new Descriptor();
const innerStack = new InnerStack();
const outer = new OuterReturn();
const pointer = new Int32Array(2);
/** A call gate copies up to 31 parameters of up to 4 bytes. */
const parameters = new Int32Array(31);

/** Target selector of the present JMP or CALL; the offset is in `pointer`. */
function readTarget(unit: SystemUnit, instruction: Instruction): number {
  if (operandKind(instruction, 0) === OperandKind.farPointer) {
    pointer[0] = instruction.operandSize === 16 ? instruction.immediate & 0xffff : instruction.immediate;
    pointer[1] = 0;
    return instruction.immediate2;
  }
  readFarPointer(unit, instruction, 0, pointer);
  return farSelector;
}

// JMP and CALL far (SDM vol. 2, JMP and CALL; APM vol. 3, JMP (Far) and CALL (Far)).

const jump: Service = (unit, instruction) => {
  const selector = readTarget(unit, instruction);
  if (hasParagraphSelectors(unit)) paragraphTransfer(unit, selector, 0);
  else protectedTransfer(unit, selector, false, instruction.operandSize);
};

const call: Service = (unit, instruction) => {
  const selector = readTarget(unit, instruction);
  if (hasParagraphSelectors(unit)) paragraphTransfer(unit, selector, instruction.operandSize / 8);
  else protectedTransfer(unit, selector, true, instruction.operandSize);
};

/** Real-address and virtual-8086 mode. @param bytes of each item of the return address, 0 for JMP */
function paragraphTransfer(unit: SystemUnit, selector: number, bytes: number): void {
  const { state } = unit;
  if (bytes !== 0) stack.current(unit).reserve(unit, 2, bytes);
  if (pointer[0] >>> 0 > state.get('segmentLimit', Segment.cs) >>> 0)
    throw guestFault(Exception.generalProtection, 0);
  if (bytes !== 0) pushReturnAddress(unit, bytes);
  loadParagraphCode(unit, selector);
  unit.nextLow = pointer[0];
  unit.nextHigh = 0;
}

/** CS:RIP of the next instruction, onto `stack`, which becomes the processor's. */
function pushReturnAddress(unit: SystemUnit, bytes: number): void {
  stack.push(unit, bytes, unit.state.get('segmentSelector', Segment.cs), 0);
  stack.push(unit, bytes, unit.nextLow, unit.nextHigh);
  stack.commit(unit);
}

function loadParagraphCode(unit: SystemUnit, selector: number): void {
  if (inVirtual8086Mode(unit)) writeVirtual8086Segment(unit, Segment.cs, selector);
  else writeRealCode(unit, selector);
}

function protectedTransfer(unit: SystemUnit, selector: number, isCall: boolean, operandSize: number): void {
  if (isNull(selector)) throw guestFault(Exception.generalProtection, 0);
  if (!readDescriptor(unit, selector, code)) refuse(selector);
  if (code.isCode) {
    toCodeSegment(unit, isCall, operandSize);
    return;
  }
  if (!code.isSystem) refuse(selector);
  const isLong = inLongMode(unit);
  switch (code.type) {
    case SystemType.callGate16:
      if (isLong) refuse(selector);
      throughCallGate(unit, isCall);
      return;
    case SystemType.callGate:
      throughCallGate(unit, isCall);
      return;
    case SystemType.taskGate:
      if (isLong) refuse(selector);
      throughTaskGate(unit, isCall);
      return;
    case SystemType.tss:
    case SystemType.tss16:
      if (isLong || !isReachable(unit, code)) refuse(selector);
      toTask(unit, selector, isCall);
      return;
    default:
      // A busy TSS among them.
      refuse(selector);
  }
}

function refuse(selector: number): never {
  throw guestFault(Exception.generalProtection, selectorError(selector));
}

/** DPL of a gate or TSS is at least CPL and RPL. */
function isReachable(unit: SystemUnit, descriptor: Descriptor): boolean {
  const { privilege, selector } = descriptor;
  return privilege >= unit.state.get('cpl') && privilege >= (selector & 3);
}

/** CONFORMING-CODE-SEGMENT and NONCONFORMING-CODE-SEGMENT: the CPL stays. */
function toCodeSegment(unit: SystemUnit, isCall: boolean, operandSize: number): void {
  const { selector } = code;
  const privilege = unit.state.get('cpl');
  if (inLongMode(unit) && code.isLong && code.isBig) refuse(selector);
  if (code.isConformingCode) {
    if (code.privilege > privilege) refuse(selector);
  } else if ((selector & 3) > privilege || code.privilege !== privilege) refuse(selector);
  requirePresent(code);
  const isLong = is64BitCode(unit, code);
  if (isCall) reservePresentStack(unit, isLong, operandSize / 8);
  if (!isLong) pointer[1] = 0;
  checkTarget(unit, code, pointer[0], pointer[1]);
  setAccessed(unit, code);
  if (isCall) pushReturnAddress(unit, operandSize / 8);
  enterCode(unit, code, privilege, pointer[0], pointer[1]);
}

/** CALL-GATE of JMP and CALL. The offset of the instruction's operand means nothing. */
function throughCallGate(unit: SystemUnit, isCall: boolean): void {
  const { selector } = code;
  if (!isReachable(unit, code)) refuse(selector);
  requirePresent(code);
  const isLong = inLongMode(unit);
  if (isLong && !readUpperHalf(unit, code)) refuse(selector);
  const { targetSelector, parameterCount, upper } = code;
  const is32 = (code.type & systemType32) !== 0;
  const low = is32 ? code.targetOffset : code.targetOffset & 0xffff;
  const bytes = isLong ? 8 : is32 ? 4 : 2;

  const privilege = unit.state.get('cpl');
  readCodeSegment(unit, targetSelector, 0, code);
  if (code.privilege > privilege) refuse(targetSelector);
  if (!isCall && !code.isConformingCode && code.privilege !== privilege) refuse(targetSelector);
  requireGateCode(unit, code, 0);
  requirePresent(code);
  if (isCall && !code.isConformingCode && code.privilege < privilege) {
    toMorePrivilege(unit, low, upper, bytes, isLong ? 0 : parameterCount);
    return;
  }
  if (isCall) reservePresentStack(unit, isLong, bytes);
  checkTarget(unit, code, low, upper);
  setAccessed(unit, code);
  if (isCall) pushReturnAddress(unit, bytes);
  enterCode(unit, code, privilege, low, upper);
}

/** Room for CS:RIP. To 64-bit code they are pushed as it does it, without the base of SS; the host, an EPYC, showed that. */
function reservePresentStack(unit: SystemUnit, isLong: boolean, bytes: number): void {
  if (isLong) stack.long(unit.state.low('gpr', 4), stackHigh(unit), 0, false);
  else stack.current(unit);
  stack.reserve(unit, 2, bytes);
}

/** Upper half of RSP; code outside 64-bit mode sees 32 bits of it. */
function stackHigh(unit: SystemUnit): number {
  return in64BitMode(unit) ? unit.state.high('gpr', 4) : 0;
}

/** MORE-PRIVILEGE: the stack of the new level, with a copy of the parameters (SDM vol. 3, 5.8.5). */
function toMorePrivilege(
  unit: SystemUnit,
  low: number,
  high: number,
  bytes: number,
  parameterCount: number,
): void {
  const { state } = unit;
  const isLong = bytes === 8;
  const { privilege } = code;
  if (isLong) innerStack.readLong(unit, privilege, privilege, 0, stack);
  else innerStack.read(unit, privilege, 0, stack);
  stack.reserve(unit, 4 + parameterCount, bytes);
  checkTarget(unit, code, low, high);

  outerStack.current(unit);
  const oldLow = state.low('gpr', 4);
  const oldHigh = stackHigh(unit);
  for (let i = 0; i < parameterCount; i++) {
    outerStack.pop(unit, bytes);
    parameters[i] = outerStack.valueLow;
  }
  if (!isLong) innerStack.touch(unit);
  setAccessed(unit, code);

  stack.push(unit, bytes, state.get('segmentSelector', Segment.ss), 0);
  stack.push(unit, bytes, oldLow, oldHigh);
  for (let i = parameterCount - 1; i >= 0; i--) stack.push(unit, bytes, parameters[i], 0);
  stack.push(unit, bytes, state.get('segmentSelector', Segment.cs), 0);
  stack.push(unit, bytes, unit.nextLow, unit.nextHigh);
  innerStack.enter(unit, isLong, privilege);
  stack.commit(unit);
  enterCode(unit, code, privilege, low, high);
}

/** TASK-GATE. */
function throughTaskGate(unit: SystemUnit, isCall: boolean): void {
  if (!isReachable(unit, code)) refuse(code.selector);
  requirePresent(code);
  toTask(unit, code.targetSelector, isCall);
}

/** TASK-STATE-SEGMENT. */
function toTask(unit: SystemUnit, selector: number, isCall: boolean): void {
  const source = isCall ? TaskSwitchSource.call : TaskSwitchSource.jump;
  readTaskState(unit, selector, source, 0, gate);
  if (switchTask(unit, gate, source, unit.nextLow, unit.state.flags, 0)) throw guestFault(Exception.debug);
}

// RET far (SDM vol. 2, RET).

const returnFar: Service = (unit, instruction) => {
  const bytes = instruction.operandSize / 8;
  const released = operandCount(instruction) > 0 ? operandImmediate(instruction, 0) : 0;
  stack.current(unit);
  stack.pop(unit, bytes);
  const low = stack.valueLow;
  const high = stack.valueHigh;
  stack.pop(unit, bytes);
  const selector = stack.valueLow & 0xffff;
  stack.move(released);
  if (hasParagraphSelectors(unit)) {
    if (low >>> 0 > unit.state.get('segmentLimit', Segment.cs) >>> 0)
      throw guestFault(Exception.generalProtection, 0);
    loadParagraphCode(unit, selector);
    stack.commit(unit);
    unit.nextLow = low;
    unit.nextHigh = 0;
    return;
  }
  outer.readCode(unit, selector);
  if (outer.privilege === unit.state.get('cpl')) {
    outer.checkTarget(unit, low, high);
    outer.touch(unit, false);
    stack.commit(unit);
    outer.enterCode(unit);
    return;
  }
  outer.readStack(unit, stack, bytes);
  outer.checkTarget(unit, low, high);
  outer.touch(unit, true);
  // Parameters are released on both stacks.
  outer.enter(unit, released);
};

export const farTransferServices: Services = {
  'JMP.FAR': jump,
  'CALL.FAR': call,
  RETF: returnFar,
};
