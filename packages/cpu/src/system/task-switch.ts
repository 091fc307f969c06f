import { Fault, Translation } from '@nest86/mmu';
import { Exception } from '../semantics/operation.ts';
import { Segment } from '../state/layout.ts';
import { interceptTaskSwitch } from '../virtualization/questions.ts';
import {
  Descriptor,
  isNull,
  probeType,
  readDescriptor,
  SystemType,
  selectorError,
  setAccessed,
  setBusy,
  systemType32,
} from './descriptors.ts';
import { guestFault } from './fault.ts';
import { setPrivilege } from './gates.ts';
import { Flag } from './modes.ts';
import { writeFromDescriptor, writeNullSegment, writeVirtual8086Segment } from './segment-registers.ts';
import { checkDataSegment, checkStackSegment } from './segments.ts';
import type { SystemUnit } from './unit.ts';

/** What makes a task switch, by the numbers that VMX uses (SDM vol. 3, table 27-2). */
export const TaskSwitchSource = { call: 0, iret: 1, jump: 2, gate: 3 } as const;

const cr0Pg = 0x8000_0000 | 0;
const cr0Ts = 8;
/** L0 to L3 and LE of DR7, which are local to a task (SDM vol. 3, 17.2.4). */
const localBreakpoints = 0x155;
/** BT of DR6: the debug trap of a TSS. */
const debugTask = 1 << 15;

/** Offsets in a TSS (SDM vol. 3, figures 7-2 and 7-10). General registers, then segments, stand in the order of their numbers. */
interface TaskLayout {
  readonly bytes: 2 | 4;
  readonly least: number;
  readonly instructionPointer: number;
  readonly flags: number;
  readonly registers: number;
  readonly segments: number;
  readonly segmentCount: number;
  readonly ldt: number;
}

const task16: TaskLayout = {
  bytes: 2,
  least: 0x2b,
  instructionPointer: 0x0e,
  flags: 0x10,
  registers: 0x12,
  segments: 0x22,
  segmentCount: 4,
  ldt: 0x2a,
};

const task32: TaskLayout = {
  bytes: 4,
  least: 0x67,
  instructionPointer: 0x20,
  flags: 0x24,
  registers: 0x28,
  segments: 0x48,
  segmentCount: 6,
  ldt: 0x60,
};

const cr3Offset = 0x1c;
const trapOffset = 0x64;

/** The new task, read before anything changes. */
const registers = new Int32Array(8);
const selectors = new Int32Array(6);
const oldTask = new Descriptor();
const descriptor = new Descriptor();
const translation = new Translation();

/**
 * Reads and checks the descriptor of the task to switch to (SDM vol. 3, 7.3, steps 1 to 5, and table 7-1); privilege is the caller's. Where
 * task switches are intercepted the guest is left here.
 *
 * @throws GuestFault #GP with the selector, #TS if IRET asks; #NP; #TS for a limit too small
 */
export function readTaskState(
  unit: SystemUnit,
  selector: number,
  source: number,
  external: number,
  out: Descriptor,
): void {
  const error = selectorError(selector, external);
  const isReturn = source === TaskSwitchSource.iret;
  const vector = isReturn ? Exception.invalidTss : Exception.generalProtection;
  if ((selector & 4) !== 0 || isNull(selector) || !readDescriptor(unit, selector, out) || !out.isSystem)
    throw guestFault(vector, error);
  const { type } = out;
  // IRET goes back to a task that waits, and so is busy.
  const isRight = isReturn
    ? type === SystemType.busyTss || type === SystemType.busyTss16
    : type === SystemType.tss || type === SystemType.tss16;
  if (!isRight) throw guestFault(vector, error);
  if (!out.isPresent) throw guestFault(Exception.segmentNotPresent, error);
  if (out.limit >>> 0 < layoutOf(type).least) throw guestFault(Exception.invalidTss, error);
  interceptTaskSwitch(unit, selector, source);
}

function layoutOf(type: number): TaskLayout {
  return (type & systemType32) !== 0 ? task32 : task16;
}

/**
 * Switches tasks (SDM vol. 3, 7.3). Whatever can go wrong with the two TSSs is found before anything changes; what is wrong with the new
 * task's segments is an exception of the new task.
 *
 * @param tss the new task's, by `readTaskState`
 * @param resumeAt EIP that the old task will go on at
 * @param flags EFLAGS to save for it
 * @param external EXT of error codes
 * @returns whether the new task asks for a debug trap (T), which DR6 says already: #DB before its first instruction
 */
export function switchTask(
  unit: SystemUnit,
  tss: Descriptor,
  source: number,
  resumeAt: number,
  flags: number,
  external: number,
): boolean {
  const { state, memory, context } = unit;
  const { call, iret, gate } = TaskSwitchSource;
  const isNested = source === call || source === gate;
  const old = layoutOf(state.get('segmentAttributes', Segment.tr));
  const oldBase = state.low('segmentBase', Segment.tr);
  const next = layoutOf(tss.type);
  const nextBase = tss.base;
  const bytes = next.bytes;

  // Steps 5 and 6: both TSSs and the descriptors can be read and written.
  const read = (offset: number, size: number): number => {
    const value = memory.read((nextBase + offset) | 0, 0, size, true);
    return size === 2 ? value & 0xffff : value;
  };
  const isPaged = next === task32 && (context.cr0 & cr0Pg) !== 0;
  const cr3 = isPaged ? read(cr3Offset, 4) : 0;
  const instructionPointer = read(next.instructionPointer, bytes);
  let nextFlags = read(next.flags, bytes);
  for (let i = 0; i < 8; i++) registers[i] = read(next.registers + i * bytes, bytes);
  selectors.fill(0);
  for (let i = 0; i < next.segmentCount; i++) selectors[i] = read(next.segments + i * bytes, 2);
  const ldt = read(next.ldt, 2);
  const isTrapped = next === task32 && (read(trapOffset, 2) & 1) !== 0;
  const savedBytes = old.segments + (old.segmentCount - 1) * old.bytes + 2 - old.instructionPointer;
  memory.probe((oldBase + old.instructionPointer) | 0, 0, savedBytes, true, true);
  if (isNested) memory.probe(nextBase, 0, 2, true, true);
  // Where TR was never loaded there is no descriptor to be marked.
  const oldSelector = state.get('segmentSelector', Segment.tr);
  const isReleased = !isNested && !isNull(oldSelector) && readDescriptor(unit, oldSelector, oldTask);
  if (isReleased) probeType(unit, oldTask);
  if (source !== iret) probeType(unit, tss);

  // Steps 6 to 8: the old task is no longer busy, unless it waits; its state is saved.
  if (isReleased) setBusy(unit, oldTask, false);
  const saved = source === iret ? flags & ~Flag.nestedTask : flags;
  const write = (offset: number, size: number, value: number): void =>
    memory.write((oldBase + offset) | 0, 0, size, value, true);
  write(old.instructionPointer, old.bytes, resumeAt);
  write(old.flags, old.bytes, saved);
  for (let i = 0; i < 8; i++) write(old.registers + i * old.bytes, old.bytes, state.low('gpr', i));
  for (let i = 0; i < old.segmentCount; i++)
    write(old.segments + i * old.bytes, 2, state.get('segmentSelector', i));

  // Steps 9 to 11: the new task is busy, and knows where to return.
  if (isNested) memory.write(nextBase, 0, 2, oldSelector, true);
  if (source !== iret) setBusy(unit, tss, true);
  writeFromDescriptor(unit, Segment.tr, tss.selector, tss);

  // Step 12: registers. From here on exceptions are those of the new task.
  context.cr0 |= cr0Ts;
  state.setPair('debug', state.low('debug', 7) & ~localBreakpoints, state.high('debug', 7), 7);
  unit.breakpointsChanged();
  state.set('interruptShadow', 0);
  for (let i = 0; i < 8; i++) state.setPair('gpr', registers[i], 0, i);
  if (isNested) nextFlags |= Flag.nestedTask;
  state.flags = nextFlags;
  unit.ripLow = instructionPointer;
  unit.ripHigh = 0;
  unit.nextLow = instructionPointer;
  unit.nextHigh = 0;
  const isVirtual8086 = (nextFlags & Flag.virtual8086) !== 0;
  setPrivilege(unit, isVirtual8086 ? 3 : selectors[Segment.cs] & 3);
  for (let i = 0; i < 6; i++) writeNullSegment(unit, i, selectors[i]);
  writeNullSegment(unit, Segment.ldtr, ldt);
  unit.contextChanged();
  if (isPaged && unit.mmu.writeCr3(context, cr3, 0, translation) !== Fault.none)
    throw guestFault(Exception.generalProtection, external);

  // Step 13: descriptors.
  loadLdt(unit, ldt, external);
  if (isVirtual8086) for (let i = 0; i < 6; i++) writeVirtual8086Segment(unit, i, selectors[i]);
  else loadSegments(unit, external);
  if (instructionPointer >>> 0 > state.get('segmentLimit', Segment.cs) >>> 0)
    throw guestFault(Exception.generalProtection, external);
  if (isTrapped) state.setPair('debug', state.low('debug', 6) | debugTask, state.high('debug', 6), 6);
  return isTrapped;
}

function loadLdt(unit: SystemUnit, selector: number, external: number): void {
  if (isNull(selector)) return;
  const isValid =
    (selector & 4) === 0 &&
    readDescriptor(unit, selector, descriptor) &&
    descriptor.isSystem &&
    descriptor.type === SystemType.ldt &&
    descriptor.isPresent;
  if (!isValid) throw guestFault(Exception.invalidTss, selectorError(selector, external));
  writeFromDescriptor(unit, Segment.ldtr, selector, descriptor);
}

/** CS, SS, then the others. The CPL is CS's RPL. */
function loadSegments(unit: SystemUnit, external: number): void {
  const { invalidTss, segmentNotPresent } = Exception;
  const selector = selectors[Segment.cs];
  const privilege = selector & 3;
  const error = selectorError(selector, external);
  if (isNull(selector) || !readDescriptor(unit, selector, descriptor) || !descriptor.isCode)
    throw guestFault(invalidTss, error);
  if (descriptor.isConformingCode ? descriptor.privilege > privilege : descriptor.privilege !== privilege)
    throw guestFault(invalidTss, error);
  if (!descriptor.isPresent) throw guestFault(segmentNotPresent, error);
  load(unit, Segment.cs);
  checkStackSegment(unit, selectors[Segment.ss], privilege, invalidTss, external, descriptor);
  load(unit, Segment.ss);
  for (const segment of dataSegments) {
    if (isNull(selectors[segment])) continue;
    checkDataSegment(unit, selectors[segment], privilege, invalidTss, external, descriptor);
    load(unit, segment);
  }
}

const dataSegments = [Segment.es, Segment.ds, Segment.fs, Segment.gs] as const;

function load(unit: SystemUnit, segment: number): void {
  setAccessed(unit, descriptor);
  writeFromDescriptor(unit, segment, selectors[segment], descriptor);
}
