import type { Instruction } from '@nest86/decoder';
import { Fault, PagingContext, type Translation } from '@nest86/mmu';
import { stateOffset } from '../../src/state/layout.ts';
import { type DeliveredEvent, DeliveryStage } from '../../src/system/exceptions.ts';
import { GuestControls, InterruptGate } from '../../src/virtualization/controls.ts';
import { EventSource } from '../../src/virtualization/events.ts';
import {
  Answer,
  type ApicAccess,
  InterruptAnswer,
  OwnInstruction,
  type RaisedException,
  type VirtualizationExtension,
  type VirtualizationUnit,
} from '../../src/virtualization/extension.ts';
import { Intercept } from '../../src/virtualization/intercept.ts';
import type { InterceptedInstruction } from '../../src/virtualization/intercepted-instruction.ts';

/** What a guest has to itself; general registers but RAX and RSP are shared, as under SVM. */
const swapped: readonly (readonly [offset: number, words: number])[] = [
  [stateOffset.gpr, 2],
  [stateOffset.gpr + 8 * 4, 2],
  [stateOffset.flagResult, 2],
  [stateOffset.flagAux, 1],
  [stateOffset.systemFlags, 1],
  [stateOffset.segmentBase, 16],
  [stateOffset.segmentFirst, 8],
  [stateOffset.segmentLast, 8],
  [stateOffset.segmentRights, 8],
  [stateOffset.segmentSelector, 8],
  [stateOffset.segmentLimit, 8],
  [stateOffset.segmentAttributes, 8],
  [stateOffset.tableBase, 4],
  [stateOffset.tableLimit, 2],
  [stateOffset.cpl, 1],
  [stateOffset.debug + 8 * 6, 4],
  [stateOffset.interruptShadow, 1],
  [stateOffset.nmiBlocked, 1],
  [stateOffset.activity, 1],
];
const cells: Int32Array = Int32Array.from(
  swapped.flatMap(([offset, words]) => Array.from({ length: words }, (_, i) => (offset >> 2) + i)),
);

/** The state of one side while the other runs. */
export class ToyState {
  readonly words: Int32Array = new Int32Array(cells.length);
  ripLow = 0;
  ripHigh = 0;

  constructor(readonly context: PagingContext) {}

  store(unit: VirtualizationUnit, ripLow: number, ripHigh: number): void {
    const { words } = unit.state;
    for (let i = 0; i < cells.length; i++) this.words[i] = words[cells[i]];
    this.ripLow = ripLow;
    this.ripHigh = ripHigh;
  }

  load(unit: VirtualizationUnit): void {
    const { words } = unit.state;
    for (let i = 0; i < cells.length; i++) words[cells[i]] = this.words[i];
    unit.nextLow = this.ripLow;
    unit.nextHigh = this.ripHigh;
  }

  /** Word of a field. */
  at(offset: number): number {
    return cells.indexOf(offset >> 2);
  }
}

/** What was noted at an exit. */
export interface ToyExit {
  readonly reason: string;
  readonly rip: number;
  readonly retired: number;
  /** Event whose delivery was cut short, as vector/type/error code. */
  readonly during: string;
  readonly bytes: string;
}

/** A guest's owner that is neither VMX nor SVM: VMRUN enters the one guest, VMMCALL leaves it, CLGI and STGI hold events back. */
export class ToyExtension implements VirtualizationExtension {
  readonly controls: GuestControls = new GuestControls();
  /** What holds while the guest runs; copied at entry. */
  readonly wanted: GuestControls = new GuestControls();
  readonly guest: ToyState = new ToyState(new PagingContext());
  host!: ToyState;
  readonly exits: ToyExit[] = [];
  exitCount = 0;
  keepsExits = true;
  isHeld = false;
  /** Called when the guest has been left. */
  onExit: (exit: ToyExit) => void = () => {};
  /** Answers that tests change. */
  onInstruction: (what: InterceptedInstruction) => number = () => Answer.exit;
  onInterrupt: () => number = () => InterruptAnswer.exit;
  onSecondStage: (out: Translation) => number = () => Answer.exit;
  onApic: (access: ApicAccess) => number = () => Answer.completed;
  readonly apic: Int32Array = new Int32Array(256);
  /** Offset whose write is followed by an exit. */
  trapsAt = -1;
  /** Sources that an exit consumes. */
  consumed = 0;
  virtualVector = -2;
  /** Bits of `EventSource` that are requested at the next entry. */
  requests = 0;
  /** Injected at the next entry. */
  injected: DeliveredEvent | undefined;
  reason = '';
  private unit!: VirtualizationUnit;
  private readonly fetched = new Uint8Array(15);

  attach(unit: VirtualizationUnit): void {
    this.unit = unit;
    this.host = new ToyState(unit.context);
  }

  private hold(isHeld: boolean): void {
    const { controls } = this;
    this.isHeld = isHeld;
    controls.blocked = isHeld ? EventSource.nmi | EventSource.smi | EventSource.init : 0;
    controls.interruptGate = isHeld ? InterruptGate.closed : InterruptGate.flag;
    this.unit.controlsChanged();
  }

  execute(which: number, instruction: Instruction): number {
    const { unit, controls } = this;
    switch (which) {
      case OwnInstruction.vmrun:
        if (controls.isGuest) return Answer.continue;
        this.enter();
        return Answer.completed;
      case OwnInstruction.vmmcall:
        if (!controls.isGuest) return Answer.continue;
        this.reason = `vmmcall length=${instruction.length}`;
        return Answer.exit;
      case OwnInstruction.stgi:
      case OwnInstruction.clgi:
        if (unit.state.get('cpl') !== 0) return Answer.continue;
        this.hold(which === OwnInstruction.clgi);
        return Answer.completed;
      default:
        return Answer.continue;
    }
  }

  private enter(): void {
    const { unit, controls, host, guest, wanted } = this;
    host.store(unit, unit.nextLow, unit.nextHigh);
    guest.load(unit);
    unit.switchContext(guest.context);
    controls.isGuest = true;
    controls.intercepts = wanted.intercepts;
    controls.exceptions = wanted.exceptions;
    controls.events = wanted.events;
    controls.blocked = wanted.blocked;
    controls.interruptGate = wanted.interruptGate;
    controls.monitorTrap = wanted.monitorTrap;
    controls.deadline = wanted.deadline;
    controls.tscMultiplierLow = wanted.tscMultiplierLow;
    controls.tscMultiplierHigh = wanted.tscMultiplierHigh;
    controls.tscOffsetLow = wanted.tscOffsetLow;
    controls.tscOffsetHigh = wanted.tscOffsetHigh;
    if (this.injected !== undefined) unit.events.inject(this.injected);
    this.injected = undefined;
    unit.events.pending |= this.requests;
    this.requests = 0;
    unit.stateLoaded();
  }

  leave(): void {
    const { unit, controls, host, guest } = this;
    const { delivery } = unit;
    this.exitCount++;
    let exit: ToyExit | undefined;
    if (this.keepsExits) {
      const isDelivering = delivery.stage !== DeliveryStage.none;
      const count = unit.instructionBytes(this.fetched);
      exit = {
        reason:
          unit.events.debugBits === 0
            ? this.reason
            : `${this.reason}, debug traps ${unit.events.debugBits.toString(16)}`,
        rip: unit.ripLow,
        retired: unit.retired,
        during: isDelivering ? `${delivery.vector}/${delivery.type}/${delivery.errorCode}` : '',
        bytes: Array.from(this.fetched.subarray(0, Math.min(count, 2)), (byte) => byte.toString(16)).join(
          ' ',
        ),
      };
      this.exits.push(exit);
    }
    guest.store(unit, unit.ripLow, unit.ripHigh);
    host.load(unit);
    unit.switchContext(host.context);
    controls.clear();
    if (this.isHeld) this.hold(true);
    if (exit !== undefined) this.onExit(exit);
  }

  instruction(what: InterceptedInstruction): number {
    const answer = this.onInstruction(what);
    if (answer === Answer.exit && this.keepsExits) this.reason = describe(what, this.unit);
    return answer;
  }

  exception({
    vector,
    type,
    errorCode,
    payloadLow,
    payloadHigh,
    instructionLength,
  }: RaisedException): number {
    if (!this.keepsExits) return Answer.exit;
    const payload = payloadLow === 0 && payloadHigh === 0 ? '' : ` ${(payloadLow >>> 0).toString(16)}`;
    this.reason = `exception ${vector}/${type}/${errorCode}${payload}${instructionLength === 0 ? '' : ` length=${instructionLength}`}`;
    return Answer.exit;
  }

  secondStageFault(out: Translation, access: number, low: number, _high: number, isLinear: boolean): number {
    if (!this.keepsExits) return this.onSecondStage(out);
    const kind = out.fault === Fault.eptViolation ? 'violation' : `fault ${out.fault}`;
    const address = (out.guestPage * 4096 + out.guestOffset).toString(16);
    const linear = isLinear ? ` linear=${(low >>> 0).toString(16)}` : '';
    const isFinal = (out.errorCode & 0x100) !== 0;
    this.reason = `${kind} access=${access} guest=${address}${linear}${isFinal ? '' : ' walk'}`;
    return this.onSecondStage(out);
  }

  apicAccess(access: ApicAccess): number {
    this.reason = `apic access ${access.offset.toString(16)} bytes=${access.bytes} access=${access.access}`;
    return this.onApic(access);
  }

  readApic(offset: number, bytes: number): number {
    return this.apic[offset >> 4] & (bytes === 4 ? -1 : (1 << (8 * bytes)) - 1);
  }

  writeApic(offset: number, _bytes: number, value: number): void {
    this.apic[offset >> 4] = value;
    if (offset !== this.trapsAt) return;
    this.trapReason = `apic write ${offset.toString(16)}=${value}`;
    this.unit.events.pending |= EventSource.trapExit;
  }

  private trapReason = '';

  event(source: number): number {
    this.reason = source === EventSource.trapExit ? this.trapReason : nameOf(source);
    this.unit.events.pending &= ~(source & this.consumed);
    return Answer.exit;
  }

  interrupt(): number {
    this.reason = 'interrupt, not acknowledged';
    return this.onInterrupt();
  }

  acknowledged(vector: number): number {
    this.reason = `interrupt ${vector}`;
    return Answer.exit;
  }

  virtualInterrupt(): number {
    this.reason = 'virtual interrupt';
    this.unit.events.pending &= ~EventSource.virtualInterrupt;
    return this.virtualVector;
  }

  shutdown(): number {
    this.reason = 'shutdown';
    return Answer.exit;
  }
}

function nameOf(source: number): string {
  return Object.entries(EventSource).find(([, bit]) => bit === source)?.[0] ?? String(source);
}

function describe(what: InterceptedInstruction, unit: VirtualizationUnit): string {
  const name = Object.entries(Intercept).find(([, bit]) => bit === what.what)?.[0] ?? '?';
  const hex = (value: number): string => (value >>> 0).toString(16);
  const direction = what.isWrite ? 'write' : 'read';
  switch (what.what) {
    case Intercept.port: {
      const string =
        what.segment < 0
          ? ''
          : ` segment=${what.segment} at=${hex(what.addressLow)} count=${unit.state.low('gpr', 1)}`;
      return `${name} ${direction} ${hex(what.number)} bytes=${what.bytes}${string}`;
    }
    case Intercept.msr:
    case Intercept.controlRead:
    case Intercept.controlWrite:
    case Intercept.pageTableRead:
    case Intercept.pageTableWrite:
    case Intercept.taskPriorityRead:
    case Intercept.taskPriorityWrite:
      return `${name} ${direction} ${hex(what.number)} kind=${what.kind} value=${hex(what.valueLow)}`;
    case Intercept.debugRegister:
    case Intercept.descriptorTable:
      return `${name} ${direction} ${hex(what.number)}`;
    case Intercept.softwareInterrupt:
      return `${name} ${hex(what.number)}`;
    case Intercept.invalidatePage:
      return `${name} ${hex(what.addressLow)}`;
    default:
      return name;
  }
}
