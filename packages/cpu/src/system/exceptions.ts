import type { Instruction } from '@nest86/decoder';
import { operandImmediate } from '@nest86/decoder';
import { Exception } from '../semantics/operation.ts';
import { Activity, Segment, stateOffset } from '../state/layout.ts';
import { Intercept } from '../virtualization/intercept.ts';
import { isRegisterIntercepted } from '../virtualization/questions.ts';
import { Descriptor, SystemType, selectorError, setAccessed, systemType32 } from './descriptors.ts';
import { GuestFault, guestFault } from './fault.ts';
import {
  checkTarget,
  enterCode,
  InnerStack,
  readCodeSegment,
  requireGateCode,
  requirePresent,
} from './gates.ts';
import { Flag, inLongMode, inRealMode, inVirtual8086Mode, ioPrivilegeLevel } from './modes.ts';
import { addTo, in64BitMode } from './operands.ts';
import { writeNullSegment, writeRealCode, writeVirtual8086Segment } from './segment-registers.ts';
import { Stack } from './stack.ts';
import { readTaskState, switchTask, TaskSwitchSource } from './task-switch.ts';
import type { Service, Services, SystemUnit } from './unit.ts';
import { deliverUsual } from './usual-transfers.ts';

/** What an event is, by the numbers that VMX and SVM use (SDM vol. 3, table 24-14; APM vol. 2, 15.20). */
export const EventType = {
  external: 0,
  nonMaskable: 2,
  hardwareException: 3,
  /** INT n. */
  softwareInterrupt: 4,
  /** INT1. */
  privilegedSoftwareException: 5,
  /** INT3 and INTO. */
  softwareException: 6,
} as const;

/** An event to be delivered. */
export interface DeliveredEvent {
  readonly vector: number;
  /** One of {@link EventType}. */
  readonly type: number;
  /** -1: none. */
  readonly errorCode: number;
  /** Of the instruction that makes a software event, 1 to 15: the event returns behind it. */
  readonly instructionLength: number;
}

/** Told of each event whose delivery begins, for traces; an event that arises from a delivery is part of it. */
interface DeliveryObserver {
  begun(event: DeliveredEvent): void;
}

/** How far a delivery has come. */
export const DeliveryStage = {
  /** No event is being delivered. */
  none: 0,
  /** Through an interrupt vector or a gate. */
  gate: 1,
  /** Through a task gate: the task switch is under way. */
  taskSwitch: 2,
} as const;

const cr4Vme = 1;
const shadowCell: number = stateOffset.interruptShadow >> 2;
/** BT of DR6: the debug trap of a TSS. */
const debugTask = 1 << 15;
const nonMaskableVector = 2;
/** GD of DR7. */
const generalDetect = 1 << 13;
/** LBR and BTF of IA32_DEBUGCTL. */
const branchRecording = 3;
/** Flags that every gate clears. */
const clearedByGates: number = Flag.trap | Flag.nestedTask | Flag.resume | Flag.virtual8086;
const interruptMapOffset = 0x66;

const stack = new Stack();
const innerStack = new InnerStack();
const gate = new Descriptor();
const code = new Descriptor();
const task = new Descriptor();
const address = new Int32Array(2);
const half = new Int32Array(2);

/**
 * Delivery of events to the guest's handlers (SDM vol. 2, INT n; vol. 3, ch. 6 and 20; APM vol. 2, ch. 8), one per processor. Its fields
 * tell which event is being delivered, also when an access leaves the processor in the middle of it: what hypervisors call IDT vectoring
 * information.
 */
export class EventDelivery implements DeliveredEvent {
  vector = 0;
  type: number = EventType.external;
  errorCode = -1;
  instructionLength = 0;
  /** Events whose delivery was begun, since the start. */
  count = 0;
  observer: DeliveryObserver | undefined = undefined;
  /** One of {@link DeliveryStage}. */
  stage: number = DeliveryStage.none;
  /** RF of the image that is saved, if the fault sets it (SDM vol. 3, 18.3.1.1). */
  resumeFlag = 0;

  /**
   * An exception that the instruction at the unit's RIP raised, or a debug trap after the one before. CR2 and DR6 are the raiser's.
   *
   * @param errorCode -1: none
   */
  exception(unit: SystemUnit, vector: number, errorCode: number): void {
    this.begin(vector, EventType.hardwareException, errorCode, 0);
    this.raise(unit);
    this.run(unit);
  }

  /** An interrupt that was acknowledged. */
  interrupt(unit: SystemUnit, vector: number): void {
    this.begin(vector, EventType.external, -1, 0);
    this.run(unit);
  }

  nonMaskable(unit: SystemUnit): void {
    this.begin(nonMaskableVector, EventType.nonMaskable, -1, 0);
    this.run(unit);
  }

  /** Delivers an event as it is: DR6, DR7, CR2 and RF stay as they are, as for one that a hypervisor injects (SDM vol. 3, 26.6.1). */
  deliver(unit: SystemUnit, { vector, type, errorCode, instructionLength }: DeliveredEvent): void {
    this.begin(vector, type, errorCode, instructionLength);
    this.run(unit);
  }

  /** A software event of the present instruction: RF is cleared as any instruction begins. */
  software(unit: SystemUnit, vector: number, type: number, instructionLength: number): void {
    const { state } = unit;
    // INT n is no exception, whatever its vector (SDM vol. 3, 26.2).
    const isException = type !== EventType.softwareInterrupt;
    if (isException && unit.interception?.exception(vector, type, -1, 0, 0, instructionLength) === true)
      return;
    state.set('systemFlags', state.get('systemFlags') & ~Flag.resume);
    this.begin(vector, type, -1, instructionLength);
    this.run(unit);
  }

  private begin(vector: number, type: number, errorCode: number, instructionLength: number): void {
    this.vector = vector;
    this.type = type;
    this.errorCode = errorCode;
    this.instructionLength = instructionLength;
    this.resumeFlag = 0;
    this.count++;
    this.observer?.begun(this);
  }

  /** What raising an exception changes besides the stack. */
  private raise(unit: SystemUnit): void {
    const { state } = unit;
    if (this.vector === Exception.debug) {
      state.setPair('debug', state.low('debug', 7) & ~generalDetect, state.high('debug', 7), 7);
      state.setPair('debugControl', state.low('debugControl') & ~branchRecording, state.high('debugControl'));
      unit.breakpointsChanged();
    } else if (isFault(this.vector)) this.resumeFlag = Flag.resume;
  }

  /** Delivers the present event and those that arise from it, until a handler has been reached or the processor shut down. */
  private run(unit: SystemUnit): void {
    if (this.type === EventType.nonMaskable) unit.state.set('nmiBlocked', 1);
    for (;;) {
      let isTrapped: boolean;
      this.stage = DeliveryStage.gate;
      try {
        isTrapped = this.attempt(unit);
      } catch (fault) {
        // Vectors below 0 are no exceptions of the guest.
        if (!(fault instanceof GuestFault) || fault.vector < 0) throw fault;
        if (!this.combine(unit, fault)) return;
        continue;
      }
      this.stage = DeliveryStage.none;
      unit.state.words[shadowCell] = 0;
      if (!isTrapped) return;
      const { hardwareException } = EventType;
      if (unit.interception?.exception(Exception.debug, hardwareException, -1, debugTask, 0, 0) === true)
        return;
      // T in the TSS of the handler's task: a debug trap before its first instruction, not a nested exception.
      this.begin(Exception.debug, EventType.hardwareException, -1, 0);
      this.raise(unit);
    }
  }

  /**
   * An exception during delivery takes the event's place (SDM vol. 3, table 6-5). The guest's owner is asked about it before, and about the
   * double fault that it may become. @returns false after a triple fault, or if the guest is to be left
   */
  private combine(unit: SystemUnit, { vector, errorCode, addressLow, addressHigh }: GuestFault): boolean {
    const { state, interception } = unit;
    const { hardwareException } = EventType;
    if (interception?.exception(vector, hardwareException, errorCode, addressLow, addressHigh, 0) === true)
      return false;
    if (vector === Exception.page) state.setPair('cr2', addressLow, addressHigh);
    const first = this.type === EventType.hardwareException ? this.vector : -1;
    const combined = combinedVector(first, vector);
    if (combined < 0) {
      this.stage = DeliveryStage.none;
      if (interception?.shutdown() === true) return false;
      state.set('activity', Activity.shutdown);
      unit.stop();
      return false;
    }
    const isDouble = combined === Exception.doubleFault;
    if (isDouble && vector !== combined) {
      this.stage = DeliveryStage.none;
      if (interception?.exception(combined, hardwareException, 0, 0, 0, 0) === true) return false;
    }
    this.begin(combined, EventType.hardwareException, isDouble ? 0 : errorCode, 0);
    this.raise(unit);
    return true;
  }

  /** EXT: 1 but for INT n, INT3 and INTO (SDM vol. 3, 6.13). */
  private get external(): number {
    return this.type === EventType.softwareInterrupt || this.type === EventType.softwareException ? 0 : 1;
  }

  private get isSoftware(): boolean {
    return this.type >= EventType.softwareInterrupt;
  }

  /** Finds the handler by the mode. Nothing has changed when it throws, unless a task switch had been made. */
  private attempt(unit: SystemUnit): boolean {
    if (!this.isSoftware && deliverUsual(unit, this.vector, this.errorCode, this.resumeFlag)) return false;
    this.computeReturn(unit);
    if (inRealMode(unit)) {
      this.throughVector(unit, unit.state.low('tableBase', 1), true);
      return false;
    }
    if (inVirtual8086Mode(unit) && this.type === EventType.softwareInterrupt && this.isRedirected(unit)) {
      this.throughVector(unit, 0, false);
      return false;
    }
    return this.throughGate(unit);
  }

  // What the handler returns to.

  private returnLow = 0;
  private returnHigh = 0;

  private computeReturn(unit: SystemUnit): void {
    address[0] = unit.ripLow;
    address[1] = unit.ripHigh;
    if (this.isSoftware) addTo(address, this.instructionLength, 0);
    this.returnLow = address[0];
    this.returnHigh = in64BitMode(unit) ? address[1] : 0;
  }

  /** RFLAGS as they are saved. */
  private savedFlags(unit: SystemUnit): number {
    return unit.state.flags | this.resumeFlag;
  }

  // Real-address mode, and the virtual-8086 mode's way to a 16-bit handler.

  /**
   * INT n in virtual-8086 mode (SDM vol. 3, 20.3): by IOPL without CR4.VME; with it also by the redirection bit map below the I/O map.
   *
   * @returns whether the interrupt goes to the 8086 program's own handler
   */
  private isRedirected(unit: SystemUnit): boolean {
    const { state, memory, context } = unit;
    const isPrivileged = ioPrivilegeLevel(unit) === 3;
    let isRedirected = false;
    if ((context.cr4 & cr4Vme) !== 0) {
      const base = state.low('segmentBase', Segment.tr);
      const limit = state.get('segmentLimit', Segment.tr) >>> 0;
      if (interruptMapOffset + 1 > limit) throw guestFault(Exception.generalProtection, 0);
      const map = memory.read((base + interruptMapOffset) | 0, 0, 2, true) & 0xffff;
      const at = map - 32 + (this.vector >> 3);
      if (at < 0 || at > limit) throw guestFault(Exception.generalProtection, 0);
      isRedirected = ((memory.read((base + at) | 0, 0, 1, true) >> (this.vector & 7)) & 1) === 0;
    }
    if (!isRedirected && !isPrivileged) throw guestFault(Exception.generalProtection, 0);
    return isRedirected;
  }

  /** REAL-ADDRESS-MODE of INT n: a vector of IP and CS. Error codes are not pushed. */
  private throughVector(unit: SystemUnit, tableLow: number, isReal: boolean): void {
    const { state, memory } = unit;
    const at = this.vector * 4;
    if (isReal && at + 3 > state.get('tableLimit', 1) >>> 0) throw guestFault(Exception.generalProtection, 0);
    const vector = memory.read((tableLow + at) | 0, 0, 4, true);
    stack.current(unit).reserve(unit, 3, 2);
    let flags = this.savedFlags(unit);
    let cleared: number = Flag.trap | Flag.interrupt;
    if (isReal) cleared |= Flag.alignment | Flag.resume;
    else if (ioPrivilegeLevel(unit) < 3) {
      // VIF stands for IF, and IOPL looks like 3 (SDM vol. 3, 20.3.3.4).
      const isOpen = (flags & Flag.virtualInterrupt) !== 0;
      flags = (flags & ~Flag.interrupt) | Flag.ioPrivilege | (isOpen ? Flag.interrupt : 0);
      cleared = Flag.trap | Flag.virtualInterrupt;
    }
    stack.push(unit, 2, flags, 0);
    stack.push(unit, 2, state.get('segmentSelector', Segment.cs), 0);
    stack.push(unit, 2, this.returnLow, 0);
    stack.commit(unit);
    state.set('systemFlags', state.get('systemFlags') & ~cleared);
    if (isReal) writeRealCode(unit, vector >>> 16);
    else writeVirtual8086Segment(unit, Segment.cs, vector >>> 16);
    unit.nextLow = vector & 0xffff;
    unit.nextHigh = 0;
    unit.contextChanged();
  }

  // Protected mode and long mode.

  /** PROTECTED-MODE of INT n: the gate, its kind, privilege and presence. */
  private throughGate(unit: SystemUnit): boolean {
    const { state } = unit;
    const { generalProtection } = Exception;
    const isLong = inLongMode(unit);
    const bytes = isLong ? 16 : 8;
    const { external, vector } = this;
    const error = vector * 8 + 2 + external;
    if (vector * bytes + bytes - 1 > state.get('tableLimit', 1) >>> 0)
      throw guestFault(generalProtection, error);
    this.readGate(unit, vector * bytes, isLong);
    const { type } = gate;
    const isTaskGate = type === SystemType.taskGate;
    const isGate = (type & 6) === 6 && (!isLong || type >= systemType32);
    if (!gate.isSystem || !(isGate || (isTaskGate && !isLong))) throw guestFault(generalProtection, error);
    const checksPrivilege =
      this.type === EventType.softwareInterrupt || this.type === EventType.softwareException;
    if (checksPrivilege && gate.privilege < state.get('cpl')) throw guestFault(generalProtection, error);
    if (!gate.isPresent) throw guestFault(Exception.segmentNotPresent, error);
    if (isTaskGate) return this.throughTaskGate(unit);
    if (isLong) this.toLongHandler(unit);
    else this.toHandler(unit);
    return false;
  }

  private readGate(unit: SystemUnit, offset: number, isLong: boolean): void {
    const { state, memory } = unit;
    address[0] = state.low('tableBase', 1);
    address[1] = state.high('tableBase', 1);
    addTo(address, offset, 0);
    if (!isLong) address[1] = 0;
    memory.readPair(address[0], address[1], half, true);
    gate.low = half[0];
    gate.high = half[1];
    gate.upper = 0;
    if (!isLong) return;
    addTo(address, 8, 0);
    gate.upper = memory.read(address[0], address[1], 4, true);
  }

  /** TASK-GATE. @returns whether a debug trap follows */
  private throughTaskGate(unit: SystemUnit): boolean {
    const { external, errorCode } = this;
    const source = TaskSwitchSource.gate;
    readTaskState(unit, gate.targetSelector, source, external, task);
    this.stage = DeliveryStage.taskSwitch;
    const flags = this.savedFlags(unit);
    const isTrapped = switchTask(unit, task, source, this.returnLow, flags, external);
    if (errorCode >= 0) {
      const bytes = (task.type & systemType32) !== 0 ? 4 : 2;
      stack.current(unit, external).reserve(unit, 1, bytes);
      stack.push(unit, bytes, errorCode, 0);
      stack.commit(unit);
    }
    return isTrapped;
  }

  /** TRAP-OR-INTERRUPT-GATE: the handler's code segment. @returns its CPL */
  private readHandler(unit: SystemUnit): number {
    const { external } = this;
    const privilege = unit.state.get('cpl');
    const error = selectorError(gate.targetSelector, external);
    readCodeSegment(unit, gate.targetSelector, external, code);
    if (code.privilege > privilege) throw guestFault(Exception.generalProtection, error);
    requireGateCode(unit, code, external);
    requirePresent(code, external);
    const isInner = !code.isConformingCode && code.privilege < privilege;
    // From virtual-8086 mode handlers are of level 0.
    if (inVirtual8086Mode(unit) && (!isInner || code.privilege !== 0))
      throw guestFault(Exception.generalProtection, error);
    return isInner ? code.privilege : privilege;
  }

  /** Gates of 16 and 32 bits: INTER-PRIVILEGE, INTRA-PRIVILEGE, FROM-VIRTUAL-8086-MODE. */
  private toHandler(unit: SystemUnit): void {
    const { state } = unit;
    const { external, errorCode } = this;
    const privilege = this.readHandler(unit);
    const isInner = privilege !== state.get('cpl');
    const isVirtual8086 = inVirtual8086Mode(unit);
    const is32 = (gate.type & systemType32) !== 0;
    const bytes = is32 ? 4 : 2;
    const low = is32 ? gate.targetOffset : gate.targetOffset & 0xffff;
    if (isInner) innerStack.read(unit, privilege, external, stack);
    else stack.current(unit, external);
    const count = 3 + (isInner ? 2 : 0) + (isVirtual8086 ? 4 : 0) + (errorCode >= 0 ? 1 : 0);
    stack.reserve(unit, count, bytes);
    checkTarget(unit, code, low, 0, external);
    if (isInner) innerStack.touch(unit);
    setAccessed(unit, code);

    if (isVirtual8086)
      for (const segment of dataSegments) stack.push(unit, bytes, state.get('segmentSelector', segment), 0);
    if (isInner) {
      stack.push(unit, bytes, state.get('segmentSelector', Segment.ss), 0);
      stack.push(unit, bytes, state.low('gpr', 4), 0);
    }
    this.pushReturn(unit, bytes);
    if (isVirtual8086) for (const segment of dataSegments) writeNullSegment(unit, segment, 0);
    if (isInner) innerStack.enter(unit, false, privilege);
    this.enterHandler(unit, privilege, low, 0);
  }

  /** Gates of 64 bits (SDM vol. 3, 6.14): an aligned stack, which always gets SS:RSP. */
  private toLongHandler(unit: SystemUnit): void {
    const { state } = unit;
    const { external, errorCode } = this;
    const privilege = this.readHandler(unit);
    const isInner = privilege !== state.get('cpl');
    const oldLow = state.low('gpr', 4);
    const oldHigh = in64BitMode(unit) ? state.high('gpr', 4) : 0;
    // IST of the gate.
    const interruptStack = gate.high & 7;
    if (interruptStack !== 0) innerStack.readLong(unit, interruptStack + 3, privilege, external, stack);
    else if (isInner) innerStack.readLong(unit, privilege, privilege, external, stack);
    else stack.long(oldLow, oldHigh, external, false);
    stack.setPointer(stack.low & ~15, stack.high);
    stack.reserve(unit, errorCode >= 0 ? 6 : 5, 8);
    checkTarget(unit, code, gate.targetOffset, gate.upper, external);
    setAccessed(unit, code);

    stack.push(unit, 8, state.get('segmentSelector', Segment.ss), 0);
    stack.push(unit, 8, oldLow, oldHigh);
    this.pushReturn(unit, 8);
    if (isInner) innerStack.enter(unit, true, privilege);
    this.enterHandler(unit, privilege, gate.targetOffset, gate.upper);
  }

  /** RFLAGS, CS, RIP, and the error code. */
  private pushReturn(unit: SystemUnit, bytes: number): void {
    const { errorCode } = this;
    stack.push(unit, bytes, this.savedFlags(unit), 0);
    stack.push(unit, bytes, unit.state.get('segmentSelector', Segment.cs), 0);
    stack.push(unit, bytes, this.returnLow, this.returnHigh);
    if (errorCode >= 0) stack.push(unit, bytes, errorCode, 0);
    stack.commit(unit);
  }

  private enterHandler(unit: SystemUnit, privilege: number, low: number, high: number): void {
    const { state } = unit;
    // Bit 0 of the type: a trap gate, which leaves IF.
    const cleared = clearedByGates | ((gate.type & 1) === 0 ? Flag.interrupt : 0);
    state.set('systemFlags', state.get('systemFlags') & ~cleared);
    enterCode(unit, code, privilege, low, high);
  }
}

/** In the order in which virtual-8086 mode's frame is pushed. */
const dataSegments = [Segment.gs, Segment.fs, Segment.ds, Segment.es] as const;

/** Exceptions that are faults: their handlers return to the instruction, with RF set (SDM vol. 3, table 6-1). */
function isFault(vector: number): boolean {
  switch (vector) {
    case Exception.debug:
    case nonMaskableVector:
    case Exception.breakpoint:
    case Exception.overflow:
    case Exception.doubleFault:
    case Exception.machineCheck:
      return false;
    default:
      return true;
  }
}

/**
 * The exception that is delivered when a second one arises from the delivery of a first (SDM vol. 3, tables 6-4 and 6-5; APM vol. 2, 8.2.9).
 *
 * @param first -1 for what is no exception: interrupts and software events
 * @returns -1: shutdown
 */
export function combinedVector(first: number, second: number): number {
  const isSerious = isContributory(second) || isPageFault(second);
  if (first === Exception.doubleFault) return isSerious ? -1 : second;
  if (isContributory(first) && isContributory(second)) return Exception.doubleFault;
  if (isPageFault(first) && isSerious) return Exception.doubleFault;
  return second;
}

function isContributory(vector: number): boolean {
  switch (vector) {
    case Exception.divide:
    case Exception.invalidTss:
    case Exception.segmentNotPresent:
    case Exception.stack:
    case Exception.generalProtection:
    case Exception.control:
      return true;
    default:
      return false;
  }
}

/** #PF, and #VE, which counts as one (SDM vol. 3, 26.5.7.3). */
function isPageFault(vector: number): boolean {
  return vector === Exception.page || vector === Exception.virtualization;
}

// INT n, INT3, INTO, INT1 (SDM vol. 2, INT n).

const interrupt: Service = (unit, instruction) => {
  const vector = operandImmediate(instruction, 0);
  if (isRegisterIntercepted(unit, Intercept.softwareInterrupt, instruction, vector, false)) return;
  unit.delivery.software(unit, vector, EventType.softwareInterrupt, instruction.length);
};

const breakpoint: Service = (unit, instruction) =>
  unit.delivery.software(unit, Exception.breakpoint, EventType.softwareException, instruction.length);

const overflow: Service = (unit, instruction: Instruction) => {
  if ((unit.state.flags & (1 << 11)) === 0) return;
  unit.delivery.software(unit, Exception.overflow, EventType.softwareException, instruction.length);
};

/** INT1, also called ICEBP: #DB that leaves DR6 alone and asks no gate's DPL. */
const debugBreakpoint: Service = (unit, instruction) =>
  unit.delivery.software(unit, Exception.debug, EventType.privilegedSoftwareException, instruction.length);

export const softwareInterruptServices: Services = {
  INT: interrupt,
  INT3: breakpoint,
  INTO: overflow,
  INT1: debugBreakpoint,
};
