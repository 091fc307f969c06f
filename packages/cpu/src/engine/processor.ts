import { DecodeStatus, Instruction } from '@nest86/decoder';
import type { Mmu, PagingContext } from '@nest86/mmu';
import { FastBanks } from '../memory/fast-banks.ts';
import { ProcessorMemory } from '../memory/processor-memory.ts';
import { ExitReason, record } from '../records/layout.ts';
import { nameOf } from '../records/translate.ts';
import { Exception } from '../semantics/operation.ts';
import { Activity, stateOffset, stateSize } from '../state/layout.ts';
import { VcpuState } from '../state/vcpu-state.ts';
import { unavailable } from '../system/availability.ts';
import { Breakpoints } from '../system/breakpoints.ts';
import type { Capabilities } from '../system/capabilities.ts';
import { EventDelivery } from '../system/exceptions.ts';
import { GuestFault, guestFault } from '../system/fault.ts';
import type {
  CpuidSource,
  IoPorts,
  MsrSource,
  SystemUnit,
  TaskPriority,
  TimeSource,
} from '../system/unit.ts';
import type { Block } from './code-cache.ts';
import { CodeFinder } from './code-finder.ts';
import { banksPerProcessor, type Engine } from './engine.ts';
import { Linker } from './linker.ts';
import { codeModeOf } from './mode-of.ts';
import { serviceOf } from './service-table.ts';

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
const flagAlignment = 0x40000;
/** CR4.OSXMMEXCPT. */
const osxmmexcpt = 0x400;
/** BS of DR6. */
const singleStep = 0x4000;
/** Interrupt shadow of MOV and POP to SS. */
const shadowOfStack = 2;
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
  private readonly finder: CodeFinder;
  private readonly linker: Linker;
  private readonly observer: ExceptionObserver | undefined;
  private readonly onSmm: ((isInside: boolean) => void) | undefined;
  private isStopping = false;
  private contextIsStale = true;
  private modeIsStale = true;

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
    this.finder = new CodeFinder(engine, this.state, this.banks, parts.mmu, parts.context);
    this.linker = new Linker(engine, this.state, this.finder);
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
    this.finder.forgetPage();
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
    this.finder.forgetPage();
    this.breakpoints.update();
    this.banks.clearTranslations();
  }

  // Running.

  /** Runs until `count` more instructions have retired, or the processor stops. */
  run(count: number): RunEnd {
    const { state } = this;
    const end = this.retired + count;
    this.isStopping = false;
    this.problem = '';
    this.ripLow = state.low('rip');
    this.ripHigh = state.high('rip');
    while (this.retired < end && !this.isStopping) {
      if (!this.beginStay()) break;
      const left = end - this.retired;
      const shadow = state.get('interruptShadow');
      const flags = state.get('systemFlags');
      if (shadow === 0 && (flags & (flagTrap | flagResume)) === 0 && !this.breakpoints.isArmed)
        this.stay(left);
      else this.oneInstruction(shadow, flags);
    }
    state.setPair('rip', this.ripLow, this.ripHigh);
    if (this.problem !== '') return 'problem';
    return this.retired >= end ? 'limit' : 'stopped';
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
    this.finder.forgetPage();
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
      const { finder } = this;
      const bits = breakpoints.atInstruction(finder.linear(this.ripLow), finder.linearHigh(this.ripHigh));
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
      const block = this.finder.find(this.ripLow, this.ripHigh, left);
      if (block === undefined) {
        if (this.finder.hasFault) this.fetchFault();
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
    const { state, engine, finder } = this;
    const pageLow = finder.linear(this.ripLow) & ~0xfff;
    const pageHigh = finder.linearHigh(this.ripHigh);
    state.setPair('pageBase', pageLow, pageHigh);
    state.setPair('instructionBase', (pageLow - finder.base) | 0, pageHigh);
    state.set('codeHost', block.page);
    engine.handlers.run(state.address, block.record, left);
    this.retired = stayEnd - state.get('budget');
    const rec = state.get('exitRecord') >>> 0;
    const reason = state.get('exitReason');
    this.exits[reason]++;
    finder.takePage();
    switch (reason) {
      case ExitReason.budget:
        this.setRip(rec);
        // In the middle of a block only REP instructions end so; what they did has been counted.
        if (!engine.code.isHeader(rec)) this.retired -= engine.code.remaining(rec) - 1;
        break;
      case ExitReason.link:
        this.link(rec, state.low('exitAddress'), this.retired < stayEnd);
        break;
      case ExitReason.jump: {
        this.ripLow = (state.low('exitAddress') - finder.base) | 0;
        this.ripHigh = state.high('exitAddress');
        finder.isIndirect = true;
        break;
      }
      case ExitReason.fault:
        this.retired -= engine.code.remaining(rec);
        this.setRip(rec);
        this.raiseFromState();
        break;
      case ExitReason.stale:
        // Of a block that was not begun nothing has been counted.
        if (!engine.code.isHeader(rec)) this.retired -= engine.code.remaining(rec);
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

  // Exits.

  /** RIP of a record's instruction. */
  private setRip(rec: number): void {
    const { state, engine } = this;
    const offset = engine.view.getUint16(rec + record.position, true) & 0xfff;
    this.ripLow = (state.low('instructionBase') + offset) | 0;
    this.ripHigh = state.high('instructionBase');
  }

  /** A direct branch that is taken for the first time, or a block's end. @param goesOn whether what it leads to is fetched now */
  private link(rec: number, field: number, goesOn: boolean): void {
    const { linker, finder } = this;
    linker.follow(rec, field);
    this.ripLow = linker.ripLow;
    this.ripHigh = linker.ripHigh;
    if (!goesOn) return;
    linker.link(rec, field);
    if (finder.hasFault) this.fetchFault();
  }

  private service(rec: number): void {
    this.nextLow = this.ripLow;
    this.nextHigh = this.ripHigh;
    const { state, finder, instruction } = this;
    const status = finder.decode(this.ripLow, this.ripHigh, instruction);
    try {
      if (status !== DecodeStatus.ok) throw guestFault(Exception.invalidOpcode);
      const service = serviceOf(instruction) ?? this.refuse();
      const next = (this.ripLow >>> 0) + instruction.length;
      this.nextLow = finder.mode.bits === 16 ? next & 0xffff : next | 0;
      this.nextHigh = finder.is64 ? (this.ripHigh + Math.floor(next / 2 ** 32)) | 0 : 0;
      service(this, instruction);
      this.ripLow = this.nextLow;
      this.ripHigh = this.nextHigh;
      finder.forgetPage();
    } catch (fault) {
      if (!(fault instanceof GuestFault)) throw fault;
      this.retired -= this.engine.code.remaining(rec);
      if (this.problem !== '') return;
      if (fault.vector === Exception.page) state.setPair('cr2', fault.addressLow, fault.addressHigh);
      this.raise(fault.vector, fault.errorCode);
    }
  }

  /** @throws GuestFault of an instruction that nothing executes, or that generated code executes and that is forbidden now */
  private refuse(): never {
    const name = nameOf(this.instruction);
    if (this.engine.handlers.has(name)) throw guestFault(unavailable(this.instruction, this.context));
    // Of a feature that is not there.
    this.unknown.add(name);
    throw guestFault(Exception.invalidOpcode);
  }

  /** Code could not be fetched. */
  private fetchFault(): void {
    const { state } = this;
    if (state.get('faultVector') < 0) {
      this.problem = `code in a device at ${hex(state.high('faultAddress'), state.low('faultAddress'))}`;
      this.isStopping = true;
    } else this.raiseFromState();
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

  /** Takes over what changed: code mode, context, bank. */
  private prepare(): void {
    if (!this.contextIsStale && !this.modeIsStale) return;
    const { state, context } = this;
    const cpl = state.get('cpl');
    this.finder.enterMode(this.engine.modes.of(codeModeOf(state, context)));
    context.ac = (state.get('systemFlags') & flagAlignment) !== 0 && cpl !== 3;
    context.update();
    const privilege = cpl === 3 ? 2 : context.ac ? 1 : 0;
    const bank = this.banks.choose(
      context.tlbContext,
      privilege,
      this.finder.mode.id,
      context.judge,
      context.pkru,
      context.pkrs,
    );
    if (state.get('tlbBank') !== bank) this.forgetReturns();
    state.set('tlbBank', bank);
    this.contextIsStale = false;
    this.modeIsStale = false;
  }
}

function hex(high: number, low: number): string {
  return `${(high >>> 0).toString(16).padStart(8, '0')}${(low >>> 0).toString(16).padStart(8, '0')}`;
}
