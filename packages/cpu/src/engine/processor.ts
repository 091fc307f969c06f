import {
  DecodeStatus,
  decode,
  Instruction,
  operandCount,
  operandRegister,
  RegisterClass,
  registerClass,
} from '@nest86/decoder';
import { ControlFlow, controlFlow } from '@nest86/decoder/info';
import { Access, Fast, Fault, type Mmu, type PagingContext, Translation } from '@nest86/mmu';
import { FastBanks } from '../memory/fast-banks.ts';
import { ProcessorMemory } from '../memory/processor-memory.ts';
import type { CodeMode } from '../records/code-mode.ts';
import { ExitReason, Row, record } from '../records/layout.ts';
import { nameOf } from '../records/translate.ts';
import { Exception } from '../semantics/operation.ts';
import { Activity, Segment, stateOffset, stateSize } from '../state/layout.ts';
import { VcpuState } from '../state/vcpu-state.ts';
import { unavailable, waitService } from '../system/availability.ts';
import { Breakpoints } from '../system/breakpoints.ts';
import type { Capabilities } from '../system/capabilities.ts';
import { EventDelivery } from '../system/exceptions.ts';
import { GuestFault, guestFault } from '../system/fault.ts';
import { registerServices } from '../system/register-services.ts';
import { transferForm, transferServices } from '../system/transfer-services.ts';
import type {
  CpuidSource,
  IoPorts,
  MsrSource,
  Service,
  Services,
  SystemUnit,
  TaskPriority,
  TimeSource,
} from '../system/unit.ts';
import { type Block, fetchFault, limitFault, maximumBlock } from './code-cache.ts';
import { banksPerProcessor, type Engine } from './engine.ts';

/** Sees exceptions before they are delivered; for tests and debuggers. */
export interface ExceptionObserver {
  /** @returns true if it has dealt with the exception: nothing is delivered */
  exception(vector: number, errorCode: number): boolean;
}

/** Where maskable interrupts come from. */
export interface InterruptSource {
  /** Whether one waits; asked between instructions when the guest would take it. */
  readonly isPending: boolean;
  /** Takes the one that is delivered now: its vector. */
  acknowledge(): number;
}

export interface ProcessorParts {
  readonly mmu: Mmu;
  readonly context: PagingContext;
  readonly io: IoPorts;
  readonly cpuid: CpuidSource;
  readonly msrs: MsrSource;
  readonly time: TimeSource;
  readonly interrupts: InterruptSource;
  random(): number;
  readonly capabilities: Capabilities;
  readonly taskPriority?: TaskPriority;
  readonly observer?: ExceptionObserver;
  /** Shows or hides SMRAM. */
  smmChanged?(isInside: boolean): void;
}

/** Why a run came back. */
export type RunEnd = 'limit' | 'stopped' | 'problem';

/** Bits of RFLAGS that the run loop looks at. */
const flagTrap = 0x100;
const flagInterrupt = 0x200;
const flagResume = 0x10000;
const flagVm = 0x20000;
const flagAlignment = 0x40000;
const lma = 0x400;
/** CR4.OSXMMEXCPT. */
const osxmmexcpt = 0x400;
/** BS of DR6. */
const singleStep = 0x4000;
/** Interrupt shadow of MOV and POP to SS. */
const shadowOfStack = 2;
const services: Services = { ...transferServices, ...registerServices, ...waitService };
/** The services that were asked for, by encoding. */
const serviceOfEncoding: (Service | undefined)[] = [];
/** Services of MOV by the class of its special register. */
const moveServices: Readonly<Record<number, string>> = {
  [RegisterClass.control]: 'CONTROL',
  [RegisterClass.debug]: 'DEBUG',
};
/** Instructions. */
const longestStay = 0x100_0000;

/** One virtual processor: the run loop between generated code and TypeScript. */
export class Processor implements SystemUnit {
  readonly state: VcpuState;
  readonly memory: ProcessorMemory;
  readonly banks: FastBanks;
  private readonly breakpoints: Breakpoints;
  readonly mmu: Mmu;
  readonly context: PagingContext;
  readonly io: IoPorts;
  readonly cpuid: CpuidSource;
  readonly msrs: MsrSource;
  readonly time: TimeSource;
  readonly random: () => number;
  readonly capabilities: Capabilities;
  readonly taskPriority: TaskPriority | undefined;
  readonly delivery: EventDelivery = new EventDelivery();
  readonly interrupts: InterruptSource;

  nextLow = 0;
  nextHigh = 0;
  ripLow = 0;
  ripHigh = 0;

  /** Instructions retired since the start; exact between runs, and inside services up to the present instruction. */
  retired = 0;
  /** What the engine cannot do, when a run ended with `problem`. */
  problem = '';
  /** An NMI waits. */
  nmiPending = false;
  /** How often generated code came back, by `ExitReason`. */
  readonly exits: Float64Array = new Float64Array(8);
  /** Mnemonics of instructions that raised #UD because the engine does not know them. */
  readonly unknown: Set<string> = new Set();

  private readonly instruction: Instruction = new Instruction();
  private readonly codeBytes: Uint8Array = new Uint8Array(16);
  private readonly out: Translation = new Translation();
  private readonly observer: ExceptionObserver | undefined;
  private readonly onSmm: ((isInside: boolean) => void) | undefined;
  private mode!: CodeMode;
  /** Linear page that instructions are fetched from, and its host address, or -1: to be translated at the next block. */
  private pageLow = 0;
  private pageHigh = 0;
  private pageHost = -1;
  private isStopping = false;
  private contextIsStale = true;
  private modeIsStale = true;
  /** Count at which the present run ends. */
  private end = 0;

  constructor(
    readonly engine: Engine,
    index: number,
    parts: ProcessorParts,
  ) {
    const place = engine.place(this, index);
    const { buffer } = engine.memory;
    this.state = new VcpuState(buffer, place.state, stateSize);
    this.banks = new FastBanks(buffer, place.banks, banksPerProcessor);
    this.mmu = parts.mmu;
    this.context = parts.context;
    this.breakpoints = new Breakpoints(this.state);
    this.memory = new ProcessorMemory(
      this.state,
      parts.mmu,
      parts.context,
      this.banks,
      buffer,
      undefined,
      this.breakpoints,
    );
    this.io = parts.io;
    this.cpuid = parts.cpuid;
    this.msrs = parts.msrs;
    this.time = parts.time;
    this.random = parts.random;
    this.interrupts = parts.interrupts;
    this.capabilities = parts.capabilities;
    this.taskPriority = parts.taskPriority;
    this.observer = parts.observer;
    this.onSmm = parts.smmChanged?.bind(parts);
    parts.mmu.tlb.listener = this.banks;
  }

  // What others tell the processor.

  /** All records have gone. */
  codeFlushed(): void {
    this.banks.clear();
    this.forgetReturns();
  }

  /** The physical address map changed. */
  layoutChanged(): void {
    this.banks.clearTranslations();
    this.pageHost = -1;
  }

  contextChanged(): void {
    this.contextIsStale = true;
  }

  segmentsChanged(): void {
    this.modeIsStale = true;
  }

  breakpointsChanged(): void {
    this.breakpoints.update();
    // Pages with watched data must not be in the fast TLB.
    if (this.breakpoints.watchesData) this.banks.clearTranslations();
  }

  smmChanged(isInside: boolean): void {
    this.onSmm?.(isInside);
  }

  stop(): void {
    this.isStopping = true;
  }

  unimplemented(what: string): never {
    this.problem = what;
    this.isStopping = true;
    throw guestFault(-1);
  }

  /** To be called after the state was written from outside: reset, a loader, a restored snapshot. */
  stateChanged(): void {
    this.contextIsStale = true;
    this.modeIsStale = true;
    this.pageHost = -1;
    this.breakpoints.update();
    this.banks.clearTranslations();
  }

  // Running.

  /** Runs until `count` more instructions have retired, or the processor stops. */
  run(count: number): RunEnd {
    const { state } = this;
    this.end = this.retired + count;
    this.isStopping = false;
    this.problem = '';
    this.ripLow = state.low('rip');
    this.ripHigh = state.high('rip');
    while (this.retired < this.end && !this.isStopping) {
      if (!this.beginStay()) break;
      const left = this.end - this.retired;
      const shadow = state.get('interruptShadow');
      const flags = state.get('systemFlags');
      if (shadow === 0 && (flags & (flagTrap | flagResume)) === 0 && !this.breakpoints.isArmed)
        this.stay(left);
      else this.oneInstruction(shadow, flags);
    }
    state.setPair('rip', this.ripLow, this.ripHigh);
    if (this.problem !== '') return 'problem';
    return this.retired >= this.end ? 'limit' : 'stopped';
  }

  /** Events between instructions; false if the processor does not run. */
  private beginStay(): boolean {
    const { state } = this;
    const isInterruptible =
      (state.get('systemFlags') & flagInterrupt) !== 0 && state.get('interruptShadow') === 0;
    if (this.nmiPending && state.get('nmiBlocked') === 0) {
      this.nmiPending = false;
      state.set('activity', Activity.running);
      this.deliver(() => this.delivery.nonMaskable(this));
    } else if (isInterruptible && this.interrupts.isPending) {
      state.set('activity', Activity.running);
      const vector = this.interrupts.acknowledge();
      this.deliver(() => this.delivery.interrupt(this, vector));
    }
    return state.get('activity') === Activity.running && !this.isStopping;
  }

  private deliver(event: () => void): void {
    this.nextLow = this.ripLow;
    this.nextHigh = this.ripHigh;
    this.pageHost = -1;
    try {
      event();
    } catch (fault) {
      // Negative vectors are no exceptions of the guest: the run ends, `problem` says why.
      if (!(fault instanceof GuestFault) || fault.vector >= 0) throw fault;
      this.isStopping = true;
      return;
    }
    this.ripLow = this.nextLow;
    this.ripHigh = this.nextHigh;
  }

  /** One instruction, with what comes before and after it: breakpoints, shadows, the single-step trap (SDM vol. 3, 18.3). */
  private oneInstruction(shadow: number, flags: number): void {
    const { state, breakpoints } = this;
    this.prepare();
    if (breakpoints.isArmed && (flags & flagResume) === 0) {
      const high = this.is64() ? this.ripHigh : 0;
      const bits = breakpoints.atInstruction((this.ripLow + this.codeBase()) | 0, high);
      if (bits !== 0) {
        this.debugException(bits);
        return;
      }
    }
    const before = this.retired;
    const deliveries = this.delivery.count;
    breakpoints.met = 0;
    this.stay(1);
    if (this.retired === before || this.delivery.count !== deliveries) return;
    // RF holds for one instruction; IRET and POPF may have set it anew, for the next.
    if ((flags & flagResume) !== 0) state.set('systemFlags', state.get('systemFlags') & ~flagResume);
    if (shadow !== 0 && state.get('interruptShadow') === shadow) state.set('interruptShadow', 0);
    const trap = breakpoints.met | ((flags & flagTrap) !== 0 ? singleStep : 0);
    // MOV and POP to SS hold the trap back until after the next instruction (SDM vol. 3, 6.8.3).
    if (trap !== 0 && state.get('interruptShadow') !== shadowOfStack) this.debugException(trap);
  }

  private debugException(bits: number): void {
    const { state } = this;
    state.setPair('debug', state.low('debug', 6) | bits, state.high('debug', 6), 6);
    this.raise(Exception.debug, -1);
  }

  /** Stays in generated code and services until the budget is used up or something must be looked at between instructions. */
  private stay(budget: number): void {
    const stayEnd = this.retired + budget;
    this.prepare();
    while (this.retired < stayEnd && !this.isStopping) {
      // A stay in generated code ends now and then, so that the engine may replace it by better code.
      const left = Math.min(stayEnd - this.retired, longestStay);
      const block = this.blockAt(this.ripLow, this.ripHigh, left);
      if (block === undefined) {
        if (this.contextIsStale || this.modeIsStale) this.prepare();
        // An event was delivered instead.
        if (this.needsLook()) return;
        continue;
      }
      this.enter(block, left, this.retired + left);
      if (this.contextIsStale || this.modeIsStale) this.prepare();
      if (this.needsLook()) return;
    }
  }

  /** Whether the run loop must look between instructions before anything else retires. */
  private needsLook(): boolean {
    const { state } = this;
    if (state.get('interruptShadow') !== 0 || state.get('activity') !== Activity.running) return true;
    const flags = state.get('systemFlags');
    if ((flags & (flagTrap | flagResume)) !== 0 || this.breakpoints.isArmed) return true;
    return ((flags & flagInterrupt) !== 0 && this.interrupts.isPending) || this.nmiPending;
  }

  private enter(block: Block, left: number, stayEnd: number): void {
    const { state, engine } = this;
    const linearLow = (this.ripLow + this.codeBase()) | 0;
    const pageLow = linearLow & ~0xfff;
    const pageHigh = this.is64() ? this.ripHigh : 0;
    state.setPair('pageBase', pageLow, pageHigh);
    state.setPair('instructionBase', (pageLow - this.codeBase()) | 0, pageHigh);
    state.set('codeHost', block.page);
    engine.handlers.run(state.address, block.record, left);
    this.retired = stayEnd - state.get('budget');
    const rec = state.get('exitRecord') >>> 0;
    const reason = state.get('exitReason');
    this.exits[reason]++;
    // Generated code may have gone to other pages.
    this.pageLow = state.low('pageBase');
    this.pageHigh = state.high('pageBase');
    this.pageHost = state.get('codeHost') >>> 0;
    switch (reason) {
      case ExitReason.budget:
        this.setRip(rec);
        // In the middle of a block only REP instructions end so; what they did has been counted.
        if (!this.isHeader(rec)) this.retired -= engine.code.remaining(rec) - 1;
        break;
      case ExitReason.link:
        this.link(rec, state.low('exitAddress'), stayEnd);
        break;
      case ExitReason.jump: {
        const low = state.low('exitAddress');
        this.ripLow = (low - this.codeBase()) | 0;
        this.ripHigh = state.high('exitAddress');
        this.isIndirect = true;
        break;
      }
      case ExitReason.fault:
        this.retired -= engine.code.remaining(rec);
        this.setRip(rec);
        this.raiseFromState();
        break;
      case ExitReason.stale:
        // Of a block that was not begun nothing has been counted.
        if (!this.isHeader(rec)) this.retired -= engine.code.remaining(rec);
        this.setRip(rec);
        break;
      case ExitReason.service:
        this.setRip(rec);
        this.service(rec);
        break;
      default:
        this.setRip(rec);
        this.compile(rec);
    }
  }

  /** The way to the next block was an indirect branch: the jump cache may learn it. */
  private isIndirect = false;

  /** The block at an instruction pointer; undefined if an exception was delivered instead, or a run must end. */
  private blockAt(ripLow: number, ripHigh: number, left: number): Block | undefined {
    const { engine, mode, banks } = this;
    const base = this.codeBase();
    const low = (ripLow + base) | 0;
    const high = this.is64() ? ripHigh : 0;
    const isIndirect = this.isIndirect;
    this.isIndirect = false;
    const room = this.is64() ? 0x1000 : Math.min(0x1000, mode.codeLimit - (ripLow >>> 0) + 1);
    if (room <= 0) {
      this.raise(Exception.generalProtection, 0);
      return undefined;
    }
    if (this.pageHost < 0 || this.pageLow !== (low & ~0xfff) || this.pageHigh !== high) {
      const host = this.fetchPage(low, high);
      if (host < 0) return undefined;
      this.pageLow = low & ~0xfff;
      this.pageHigh = high;
      this.pageHost = host;
    }
    const host = this.pageHost;
    const offset = low & 0xfff;
    let block = engine.code.find(host + offset, mode);
    // What it crosses into may be another page by now.
    if (block !== undefined && block.secondPage >= 0 && this.nextPage(low, high) !== block.secondPage)
      block = undefined;
    block ??= this.translate(host, offset, low, high, maximumBlock, room);
    // Longer than the budget: a shorter one is made, for once.
    if (block !== undefined && block.count > left) return this.translate(host, offset, low, high, left, room);
    if (block === undefined) return undefined;
    if (isIndirect && block.secondPage < 0) banks.fillJump(low, high, block.record, host);
    return block;
  }

  /** Translates a block of up to `most` instructions; undefined if an exception was delivered, or all code was forgotten. */
  private translate(
    host: number,
    offset: number,
    low: number,
    high: number,
    most: number,
    room: number,
  ): Block | undefined {
    const made = this.engine.code.translate(
      host,
      offset,
      this.mode,
      () => this.nextPage(low, high),
      most,
      room,
    );
    if (typeof made === 'object') return made;
    if (made === limitFault) this.raise(Exception.generalProtection, 0);
    else if (made === fetchFault && this.pendingFetchFault) this.raiseFromState();
    return undefined;
  }

  private pendingFetchFault = false;

  /** Host address of the page behind the one of an address, or -1 with the fault in the state. */
  private nextPage(low: number, high: number): number {
    const next = ((low & ~0xfff) + 0x1000) | 0;
    const nextHigh = next === 0 && this.is64() ? (high + 1) | 0 : high;
    this.pendingFetchFault = false;
    const host = this.translateCode(next, nextHigh);
    this.pendingFetchFault = host < 0;
    return host;
  }

  /** Host address of a code page; -1 if the fetch faulted and an exception was delivered. */
  private fetchPage(low: number, high: number): number {
    const host = this.translateCode(low, high);
    if (host < 0) this.raiseFromState();
    return host;
  }

  private translateCode(low: number, high: number): number {
    const { banks, mmu, context, state, out } = this;
    const known = banks.codeHost(low, high);
    if (known >= 0 || known < -1) return known >>> 0;
    const user = state.get('cpl') === 3 ? Access.user : 0;
    const fault = mmu.translate(context, low, high, Access.execute | user, out);
    if (fault === Fault.none) {
      if (out.offset < 0) {
        this.problem = `code in a device at ${hex(high, low)}`;
        this.isStopping = true;
        state.set('faultVector', -1);
        return -1;
      }
      if ((out.fast & Fast.execute) !== 0) banks.fillCode(low, high, out.offset);
      return out.offset;
    }
    if (fault === Fault.page) {
      state.set('faultVector', Exception.page);
      state.set('faultError', out.errorCode);
      state.setPair('faultAddress', low, high);
    } else {
      state.set('faultVector', Exception.generalProtection);
      state.set('faultError', 0);
    }
    return -1;
  }

  // Exits.

  private isHeader(rec: number): boolean {
    return this.engine.code.isHeader(rec);
  }

  /** RIP of a record's instruction. */
  private setRip(rec: number): void {
    const { state, engine } = this;
    const offset = engine.view.getUint16(rec + record.position, true) & 0xfff;
    this.ripLow = (state.low('instructionBase') + offset) | 0;
    this.ripHigh = state.high('instructionBase');
  }

  /** A direct branch that is taken for the first time, or a block's end. */
  private link(rec: number, field: number, stayEnd: number): void {
    const { engine, state } = this;
    const { view } = engine;
    const position = view.getUint16(rec + record.position, true);
    const offset = position & 0xfff;
    const length = position >>> 12;
    const isEnd = view.getUint16(rec + record.handler, true) === Row.end;
    const baseLow = state.low('instructionBase');
    const baseHigh = state.high('instructionBase');
    // As a distance from 2^32 times the high half: exact, since both are far below 2^53.
    let target = (baseLow >>> 0) + offset + length;
    let bits = this.mode.bits as number;
    let isCall = false;
    if (!isEnd && field === record.immediate) {
      this.ripLow = (baseLow + offset) | 0;
      this.ripHigh = baseHigh;
      this.decodeAtRip();
      target += this.instruction.immediate;
      isCall = controlFlow(this.instruction.encoding) === ControlFlow.call;
      bits = this.instruction.operandSize;
    }
    this.ripLow = bits === 16 ? target & 0xffff : target | 0;
    this.ripHigh = bits === 64 ? (baseHigh + Math.floor(target / 2 ** 32)) | 0 : 0;
    const source = engine.code.blockOf(rec);
    if (source === undefined || !source.isValid || this.retired >= stayEnd) return;
    if (!this.is64() && this.ripLow >>> 0 > this.mode.codeLimit) return;
    if (this.is64() && !this.isCanonical(this.ripHigh)) return;
    if (isCall) this.linkReturn(rec, source, offset + length);
    const fromLow = this.pageLow;
    const fromHigh = this.pageHigh;
    const flushes = engine.code.flushes;
    const block = this.blockAt(this.ripLow, this.ripHigh, maximumBlock);
    if (block === undefined || !block.isValid || engine.code.flushes !== flushes) return;
    if (engine.code.blockOf(block.record) !== block || !source.isValid) return;
    let link = block.record;
    if (block.secondPage >= 0) {
      link = this.edge(source, Row.cross, block.start, link, 0, block.secondPage);
      if (link === 0) return;
    }
    if (this.pageLow !== fromLow || this.pageHigh !== fromHigh) {
      const delta = this.pageLow - fromLow + (this.pageHigh - fromHigh) * 2 ** 32;
      if (Math.abs(delta) >= 2 ** 31) return;
      link = this.edge(source, Row.page, block.start, link, delta, block.page);
    }
    if (link !== 0) view.setInt32(rec + field, link, true);
  }

  /** A record between two blocks; 0 if there is no room. */
  private edge(
    source: Block,
    row: number,
    start: number,
    target: number,
    delta: number,
    host: number,
  ): number {
    const { code, view } = this.engine;
    const edge = code.extraRecord(source);
    if (edge === 0) return 0;
    view.setUint16(edge + record.handler, row, true);
    view.setUint16(edge + record.position, start, true);
    view.setInt32(edge + record.target, target, true);
    view.setInt32(edge + record.displacement, delta, true);
    view.setInt32(edge + record.immediate, host, true);
    return edge;
  }

  /** The block behind a call is translated with it, so that the return finds it: nothing is fetched, the page is at hand. */
  private linkReturn(rec: number, source: Block, next: number): void {
    const { engine, mode } = this;
    if (next >= 4096 || this.pageHost < 0 || (!this.is64() && mode.codeLimit !== 0xffffffff)) return;
    const block =
      engine.code.find(source.page + next, mode) ??
      engine.code.translate(source.page, next, mode, () => -1, maximumBlock, 0x1000);
    if (typeof block !== 'object' || block.secondPage >= 0 || !source.isValid) return;
    engine.view.setInt32(rec + record.displacement, block.record, true);
  }

  private service(rec: number): void {
    this.nextLow = this.ripLow;
    this.nextHigh = this.ripHigh;
    const { state } = this;
    const status = this.decodeAtRip();
    try {
      if (status !== DecodeStatus.ok) throw guestFault(Exception.invalidOpcode);
      const { encoding } = this.instruction;
      const service = serviceOfEncoding[encoding] ?? (serviceOfEncoding[encoding] = this.findService());
      const next = (this.ripLow >>> 0) + this.instruction.length;
      this.nextLow = this.is64() || this.mode.bits === 32 ? next | 0 : next & 0xffff;
      this.nextHigh = this.is64() ? (this.ripHigh + Math.floor(next / 2 ** 32)) | 0 : 0;
      // Where the count stands if the instruction asks for the time.
      service(this, this.instruction);
      this.ripLow = this.nextLow;
      this.ripHigh = this.nextHigh;
      this.pageHost = -1;
    } catch (fault) {
      if (!(fault instanceof GuestFault)) throw fault;
      this.retired -= this.engine.code.remaining(rec);
      if (this.problem !== '') return;
      if (fault.vector === Exception.page) state.setPair('cr2', fault.addressLow, fault.addressHigh);
      this.raise(fault.vector, fault.errorCode);
    }
  }

  /** The instruction's service. @throws GuestFault if it is one that generated code executes, which is forbidden now */
  private findService(): Service {
    const name = this.serviceName();
    const service = services[name];
    if (service !== undefined) return service;
    if (this.engine.handlers.has(name)) throw guestFault(unavailable(this.instruction, this.context));
    // Of a feature that is not there.
    this.unknown.add(name);
    throw guestFault(Exception.invalidOpcode);
  }

  /** Name of the instruction's service: MOV, PUSH, POP, CALL and JMP mean several. */
  private serviceName(): string {
    const { instruction } = this;
    const name = nameOf(instruction);
    if (name === 'MOV') {
      for (let i = 0; i < operandCount(instruction); i++) {
        const suffix = moveServices[registerClass(operandRegister(instruction, i))];
        if (suffix !== undefined) return `MOV.${suffix}`;
      }
    }
    return name + transferForm(name, instruction);
  }

  /** The instruction at RIP, which was decoded before: it cannot fault. */
  private decodeAtRip(): number {
    const { codeBytes, engine, instruction } = this;
    const low = (this.ripLow + this.codeBase()) | 0;
    const offset = low & 0xfff;
    const bytes = engine.physical.bytes;
    // Nothing of the next page is looked at where the page holds the longest instruction.
    if (offset <= 0x1000 - 15) return decode(bytes, this.pageHost + offset, this.mode.options, instruction);
    const first = 0x1000 - offset;
    codeBytes.set(bytes.subarray(this.pageHost + offset, this.pageHost + offset + first));
    const status = decode(codeBytes.subarray(0, first), 0, this.mode.options, instruction);
    // The next page is fetched from only if the instruction goes on there.
    if (status !== DecodeStatus.truncated) return status;
    const next = this.nextPage(low, this.is64() ? this.ripHigh : 0);
    if (next < 0) return status;
    codeBytes.set(bytes.subarray(next, next + 15 - first), first);
    return decode(codeBytes.subarray(0, 15), 0, this.mode.options, instruction);
  }

  private raiseFromState(): void {
    const { state } = this;
    const vector = state.get('faultVector');
    if (vector < 0) return;
    if (vector === Exception.page)
      state.setPair('cr2', state.low('faultAddress'), state.high('faultAddress'));
    this.raise(vector, state.get('faultError'));
  }

  private raise(vector: number, errorCode: number): void {
    // SDM vol. 3, 2.5: without CR4.OSXMMEXCPT an unmasked SIMD exception is #UD.
    if (vector === Exception.simd && (this.context.cr4 & osxmmexcpt) === 0) vector = Exception.invalidOpcode;
    if (this.observer?.exception(vector, errorCode) === true) return;
    this.deliver(() => this.delivery.exception(this, vector, errorCode));
  }

  /** A block is hot. */
  private compile(rec: number): void {
    const { engine } = this;
    const block = engine.code.blockOf(rec);
    if (block === undefined) return;
    engine.regions.compile(block, engine.code);
  }

  /** No return is expected: records have gone, or belong to another mode. */
  private forgetReturns(): void {
    const start = stateOffset.returns;
    this.state.bytes.fill(0xff, start, start + 256);
  }

  // Mode and context.

  private is64(): boolean {
    return this.mode.bits === 64;
  }

  /** Base of CS, which 64-bit code ignores. */
  private codeBase(): number {
    return this.is64() ? 0 : this.mode.codeBase | 0;
  }

  private isCanonical(high: number): boolean {
    const top = high >> (this.mode.linearBits - 33);
    return top === 0 || top === -1;
  }

  /** Takes over what changed: code mode, context, bank. */
  private prepare(): void {
    if (!this.contextIsStale && !this.modeIsStale) return;
    const { state, context } = this;
    const flags = state.get('systemFlags');
    const cpl = state.get('cpl');
    this.mode = this.engine.modes.of(this.modeNow(flags, cpl));
    context.ac = (flags & flagAlignment) !== 0 && cpl !== 3;
    context.update();
    const privilege = cpl === 3 ? 2 : context.ac ? 1 : 0;
    const bank = this.banks.choose(
      context.tlbContext,
      privilege,
      this.mode.id,
      context.judge,
      context.pkru,
      context.pkrs,
    );
    if (state.get('tlbBank') !== bank) this.forgetReturns();
    state.set('tlbBank', bank);
    this.contextIsStale = false;
    this.modeIsStale = false;
    this.pageHost = -1;
  }

  private modeNow(flags: number, cpl: number): Omit<CodeMode, 'id' | 'options'> {
    const { state, context } = this;
    const isLong = (context.efer & lma) !== 0;
    const codeAttributes = state.get('segmentAttributes', Segment.cs);
    const is64 = isLong && (codeAttributes & 0x2000) !== 0;
    const isProtected = (context.cr0 & 1) !== 0 && (flags & flagVm) === 0;
    const bits = is64
      ? 64
      : isProtected && (codeAttributes & 0x4000) !== 0
        ? 32
        : (codeAttributes & 0x4000) !== 0
          ? 32
          : 16;
    const stackIs32 = (state.get('segmentAttributes', Segment.ss) & 0x4000) !== 0;
    const isFlat = is64 || (this.isFlat(Segment.es) && this.isFlat(Segment.ss) && this.isFlat(Segment.ds));
    const cr0 = context.cr0;
    const cr4 = context.cr4;
    const taskSwitched = (cr0 & 8) !== 0;
    const emulated = (cr0 & 4) !== 0;
    const xcr0 = state.low('xcr0');
    return {
      bits,
      stackAddressBits: is64 ? 64 : stackIs32 ? 32 : 16,
      isFlat,
      linearBits: (cr4 & 0x1000) !== 0 ? 57 : 48,
      checksAlignment: cpl === 3 && (cr0 & 0x40000) !== 0 && (flags & flagAlignment) !== 0,
      codeLimit: is64 ? 0xffffffff : state.get('segmentLimit', Segment.cs) >>> 0,
      codeBase: is64 ? 0 : state.low('segmentBase', Segment.cs) >>> 0,
      hasX87: !taskSwitched && !emulated,
      hasSse: !taskSwitched && !emulated && (cr4 & 0x200) !== 0,
      hasAvx: !taskSwitched && isProtected && (cr4 & 0x40000) !== 0 && (xcr0 & 6) === 6,
    };
  }

  private isFlat(segment: number): boolean {
    const { state } = this;
    return (
      state.low('segmentBase', segment) === 0 &&
      state.get('segmentFirst', segment) === 0 &&
      state.get('segmentLast', segment) === -1 &&
      (state.get('segmentRights', segment) & 3) === 3
    );
  }
}

function hex(high: number, low: number): string {
  return `${(high >>> 0).toString(16).padStart(8, '0')}${(low >>> 0).toString(16).padStart(8, '0')}`;
}
