import type { Instruction } from '@nest86/decoder';
import { Exception } from '../semantics/operation.ts';
import { Segment, stateOffset } from '../state/layout.ts';
import { Intercept } from '../virtualization/intercept.ts';
import { isIntercepted } from '../virtualization/questions.ts';
import { Descriptor } from './descriptors.ts';
import { guestFault } from './fault.ts';
import { setPrivilege } from './gates.ts';
import { Flag, inLongMode, inRealMode, inVirtual8086Mode, ioPrivilegeLevel } from './modes.ts';
import { in64BitMode } from './operands.ts';
import { OuterReturn } from './outer-return.ts';
import { writeRealCode, writeVirtual8086Segment } from './segment-registers.ts';
import { Stack } from './stack.ts';
import { readTaskState, switchTask, TaskSwitchSource } from './task-switch.ts';
import type { Service, Services, SystemUnit } from './unit.ts';
import { returnUsual } from './usual-transfers.ts';

const cr4Vme = 1;
const cplCell: number = stateOffset.cpl >> 2;
const nmiBlockedCell: number = stateOffset.nmiBlocked >> 2;

/** CF PF AF ZF SF TF DF OF NT: what any IRET in protected mode loads. */
const flagsOfAll = 0x4dd5;
/** The same with IF and IOPL: 16 bits, as real-address mode loads them. */
const flagsOf16 = 0x7fd5;
/** RF AC ID, which the 32- and 64-bit forms load too. */
const flagsOf32 = 0x25_0000;
const allFlags = 0x3f_7fd5;

const stack = new Stack();
const outer = new OuterReturn();
const task = new Descriptor();

/** The frame's first three items. */
let poppedLow = 0;
let poppedHigh = 0;
let poppedSelector = 0;
let poppedFlags = 0;

function popFrame(unit: SystemUnit, bytes: number): void {
  stack.current(unit);
  stack.pop(unit, bytes);
  poppedLow = stack.valueLow;
  poppedHigh = stack.valueHigh;
  stack.pop(unit, bytes);
  poppedSelector = stack.valueLow & 0xffff;
  stack.pop(unit, bytes);
  poppedFlags = stack.valueLow;
}

/** Loads the flags of a mask from the frame; those of an image of 16 bits are all below bit 16. */
function loadFlags(unit: SystemUnit, mask: number): void {
  const { state } = unit;
  const before = state.flags;
  const flags = (before & ~mask) | (poppedFlags & mask);
  state.flags = flags;
  if (((flags ^ before) & Flag.alignment) !== 0) unit.contextChanged();
}

function checkLimit(limit: number): void {
  if (poppedLow >>> 0 > limit >>> 0) throw guestFault(Exception.generalProtection, 0);
}

/** IRET, IRETD, IRETQ (SDM vol. 2, IRET; APM vol. 3, IRET). */
const interruptReturn: Service = (unit, instruction) => {
  if (isIntercepted(unit, Intercept.interruptReturn, instruction)) return;
  // NMIs are unblocked even if what follows faults (SDM vol. 3, 6.7.1 and 27.2.3, "NMI unblocking due to IRET").
  unit.state.words[nmiBlockedCell] = 0;
  if (inRealMode(unit)) realReturn(unit, instruction);
  else if (inVirtual8086Mode(unit)) virtual8086Return(unit, instruction);
  else protectedReturn(unit, instruction);
};

/** REAL-ADDRESS-MODE. VM, VIF and VIP keep their values. */
function realReturn(unit: SystemUnit, instruction: Instruction): void {
  const is32 = instruction.operandSize === 32;
  popFrame(unit, is32 ? 4 : 2);
  checkLimit(unit.state.get('segmentLimit', Segment.cs));
  stack.commit(unit);
  writeRealCode(unit, poppedSelector);
  loadFlags(unit, is32 ? flagsOf16 | flagsOf32 : flagsOf16);
  unit.nextLow = poppedLow;
  unit.nextHigh = 0;
}

/** RETURN-FROM-VIRTUAL-8086-MODE: IOPL must be 3, or virtual interrupts be on (SDM vol. 3, 20.2.7 and 20.3). */
function virtual8086Return(unit: SystemUnit, instruction: Instruction): void {
  const is32 = instruction.operandSize === 32;
  const isVirtual = ioPrivilegeLevel(unit) < 3;
  if (isVirtual && (is32 || (unit.context.cr4 & cr4Vme) === 0))
    throw guestFault(Exception.generalProtection, 0);
  popFrame(unit, is32 ? 4 : 2);
  checkLimit(unit.state.get('segmentLimit', Segment.cs));
  if (isVirtual) {
    const { trap, interrupt, virtualInterrupt, virtualInterruptPending } = Flag;
    const isPending = (unit.state.get('systemFlags') & virtualInterruptPending) !== 0;
    if ((poppedFlags & trap) !== 0 || ((poppedFlags & interrupt) !== 0 && isPending))
      throw guestFault(Exception.generalProtection, 0);
    poppedFlags |= (poppedFlags & interrupt) !== 0 ? virtualInterrupt : 0;
    loadFlags(unit, flagsOfAll | virtualInterrupt);
  } else loadFlags(unit, flagsOfAll | Flag.interrupt | (is32 ? flagsOf32 : 0));
  stack.commit(unit);
  writeVirtual8086Segment(unit, Segment.cs, poppedSelector);
  unit.nextLow = poppedLow;
  unit.nextHigh = 0;
}

/** PROTECTED-MODE and IA-32e-MODE. */
function protectedReturn(unit: SystemUnit, instruction: Instruction): void {
  const { state } = unit;
  const bytes = instruction.operandSize / 8;
  if (bytes === 8 && returnUsual(unit, returnMask(unit, state.words[cplCell], bytes))) return;
  const isLong = inLongMode(unit);
  if ((state.get('systemFlags') & Flag.nestedTask) !== 0) {
    if (isLong) throw guestFault(Exception.generalProtection, 0);
    taskReturn(unit);
    return;
  }
  const privilege = state.get('cpl');
  popFrame(unit, bytes);
  if (!isLong && bytes === 4 && (poppedFlags & Flag.virtual8086) !== 0 && privilege === 0) {
    returnToVirtual8086(unit);
    return;
  }
  outer.readCode(unit, poppedSelector);
  // 64-bit code always pops SS:RSP.
  const hasStack = outer.privilege !== privilege || in64BitMode(unit);
  if (hasStack) outer.readStack(unit, stack, bytes);
  outer.checkTarget(unit, poppedLow, poppedHigh);
  outer.touch(unit, hasStack);
  const mask = returnMask(unit, privilege, bytes);
  if (hasStack) outer.enter(unit, 0);
  else {
    stack.commit(unit);
    outer.enterCode(unit);
  }
  loadFlags(unit, mask);
}

/** Flags that a level may change. */
function returnMask(unit: SystemUnit, privilege: number, bytes: number): number {
  let mask = flagsOfAll;
  if (bytes !== 2) mask |= flagsOf32;
  if (privilege <= ioPrivilegeLevel(unit)) mask |= Flag.interrupt;
  if (privilege === 0) {
    mask |= Flag.ioPrivilege;
    if (bytes !== 2) mask |= Flag.virtualInterrupt | Flag.virtualInterruptPending;
  }
  return mask;
}

/** RETURN-TO-VIRTUAL-8086-MODE: six more items of 4 bytes. */
function returnToVirtual8086(unit: SystemUnit): void {
  stack.pop(unit, 4);
  const stackPointer = stack.valueLow;
  for (const segment of frameSegments) {
    stack.pop(unit, 4);
    selectors[segment] = stack.valueLow & 0xffff;
  }
  checkLimit(0xffff);
  unit.state.flags = poppedFlags & allFlags;
  setPrivilege(unit, 3);
  unit.contextChanged();
  selectors[Segment.cs] = poppedSelector;
  for (let segment = 0; segment < 6; segment++) writeVirtual8086Segment(unit, segment, selectors[segment]);
  unit.state.setPair('gpr', stackPointer, 0, 4);
  unit.nextLow = poppedLow;
  unit.nextHigh = 0;
}

const frameSegments = [Segment.ss, Segment.es, Segment.ds, Segment.fs, Segment.gs] as const;
const selectors = new Int32Array(6);

/** TASK-RETURN: to the task that the present one's TSS names. */
function taskReturn(unit: SystemUnit): void {
  const { state } = unit;
  const { iret } = TaskSwitchSource;
  const link = unit.memory.read(state.low('segmentBase', Segment.tr), 0, 2, true) & 0xffff;
  readTaskState(unit, link, iret, 0, task);
  if (switchTask(unit, task, iret, unit.nextLow, state.flags, 0)) throw guestFault(Exception.debug);
}

export const interruptReturnServices: Services = {
  IRET: interruptReturn,
  IRETD: interruptReturn,
  IRETQ: interruptReturn,
};
