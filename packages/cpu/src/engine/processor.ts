import { DecodeStatus, type Instruction } from '@nest86/decoder';
import type { Mmu, PagingContext } from '@nest86/mmu';
import { FastBanks } from '../memory/fast-banks.ts';
import { ProcessorMemory } from '../memory/processor-memory.ts';
import { ExitReason, record } from '../records/layout.ts';
import { Exception } from '../semantics/operation.ts';
import { Activity, stateOffset, stateSize } from '../state/layout.ts';
import { VcpuState } from '../state/vcpu-state.ts';
import { Breakpoints, isRepeated, singleStep } from '../system/breakpoints.ts';
import { type Capabilities, capabilitiesOf } from '../system/capabilities.ts';
import { EventDelivery, EventType } from '../system/exceptions.ts';
import { GuestFault, guestFault, Unwind } from '../system/fault.ts';
import { HostStops } from '../system/host-stops.ts';
import type {
  CpuidSource,
  IoPorts,
  MsrSource,
  SystemUnit,
  TaskPriority,
  TimeSource,
} from '../system/unit.ts';
import { EventArbiter } from '../virtualization/arbiter.ts';
import { EventLatches, EventSource } from '../virtualization/events.ts';
import type { VirtualizationUnit } from '../virtualization/extension.ts';
import { codeIntercepts } from '../virtualization/intercept.ts';
import { Interception } from '../virtualization/interception.ts';
import { absentInterrupts, absentMsrs, absentPorts, RetiredTime, seededRandom } from './absent-parts.ts';
import { Boundary } from './boundary.ts';
import { maximumBlock } from './code-cache.ts';
import { CodeFinder } from './code-finder.ts';
import { type DecodedService, DecodedServices } from './decoded-services.ts';
import { moveDevice } from './device-moves.ts';
import { banksPerProcessor, type Engine } from './engine.ts';
import { Linker } from './linker.ts';
import { ModeFinder } from './mode-of.ts';
import type { InterruptSource, ProcessorParts } from './parts.ts';
import { type ProcessorState, restoreProcessor, saveProcessor } from './processor-state.ts';
import { refused, undecodable } from './refusals.ts';
import { serviceOf } from './service-table.ts';
import { noteSiblings } from './sibling-banks.ts';
import { namedExits, type ProcessorStatistics } from './statistics.ts';
import { noteStay } from './stay-notes.ts';

/** Why a run came back. */
export type RunEnd = 'limit' | 'stopped' | 'problem';

/** Bits of RFLAGS that the run loop looks at. */
const flagTrap = 0x100;
const flagResume = 0x10000;
const flagAlignment = 0x40000;
/** Interrupt shadow of MOV and POP to SS. */
const shadowOfStack = 2;
/** CR4.TSD. */
const cr4Tsd = 4;
/** Instructions. */
const longestStay = 0x100_0000;

// Cells of the state, as words.
const shadowCell: number = stateOffset.interruptShadow >> 2;
const activityCell: number = stateOffset.activity >> 2;
const flagsCell: number = stateOffset.systemFlags >> 2;
const pageBaseCell: number = stateOffset.pageBase >> 2;
const instructionBaseCell: number = stateOffset.instructionBase >> 2;
const codeHostCell: number = stateOffset.codeHost >> 2;
const budgetCell: number = stateOffset.budget >> 2;
const exitRecordCell: number = stateOffset.exitRecord >> 2;
const exitReasonCell: number = stateOffset.exitReason >> 2;
const cplCell: number = stateOffset.cpl >> 2;
const bankCell: number = stateOffset.tlbBank >> 2;
const exitAddressCell: number = stateOffset.exitAddress >> 2;
const faultVectorCell: number = stateOffset.faultVector >> 2;
const faultErrorCell: number = stateOffset.faultError >> 2;
const faultAddressCell: number = stateOffset.faultAddress >> 2;
const tscIsStagedCell: number = stateOffset.tscIsStaged >> 2;

/** One virtual processor: the run loop between generated code and TypeScript. */
export class Processor implements SystemUnit, VirtualizationUnit {
  readonly state: VcpuState;
  readonly memory: ProcessorMemory;
  /** @internal */
  readonly banks: FastBanks;
  /** @internal */
  readonly breakpoints: Breakpoints;
  /** Where a debugger stops the processor: {@link stopsChanged} is to be called after a change. */
  readonly stops: HostStops = new HostStops();
  readonly mmu: Mmu;
  /** Control registers of the code that runs: those of `ProcessorParts.context`, or a guest's. */
  context: PagingContext;
  /** @internal */
  readonly interception: Interception | undefined;
  /** Events that wait. */
  readonly events: EventLatches = new EventLatches();
  readonly hypercall: (() => boolean) | undefined;
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
  /** How often a guest was entered or left. */
  transitions = 0;
  /** @internal How often generated code came back, by `ExitReason`. */
  readonly exits: Float64Array = new Float64Array(8);
  /** Mnemonics of instructions that raised #UD because the engine does not know them. */
  readonly unknown: Set<string> = new Set();

  /** Of the present instruction, where somebody asks. */
  private readonly bytes = new Uint8Array(15);
  private readonly services = new DecodedServices();
  /** @internal */
  readonly finder: CodeFinder;
  private readonly linker: Linker;
  private readonly modes: ModeFinder;
  private readonly onSmm: ((isInside: boolean) => void) | undefined;
  /** @internal */
  readonly boundary: Boundary;
  private readonly arbiter: EventArbiter;
  /** The run ends before the next instruction. */
  private isStopping = false;
  /** First record of the stale block that was come to last, or 0. */
  private staleHeader = 0;
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
    this.banks = new FastBanks(buffer, place.banks, banksPerProcessor, this.stops);
    this.mmu = parts.mmu;
    this.context = parts.context;
    this.breakpoints = new Breakpoints(this.state);
    this.interception = parts.extension && new Interception(parts.extension);
    this.memory = new ProcessorMemory(
      this.state,
      parts.mmu,
      parts.context,
      this.banks,
      buffer,
      this.interception,
      this.breakpoints,
      this.stops,
    );
    this.finder = new CodeFinder(engine, this.state, this.banks, parts.mmu, parts.context, this.interception);
    this.linker = new Linker(engine, this.state, this.finder);
    this.modes = new ModeFinder(engine.modes);
    this.io = parts.io ?? absentPorts;
    this.cpuid = parts.cpuid;
    this.msrs = parts.msrs ?? absentMsrs;
    this.time = parts.time ?? new RetiredTime(this);
    this.random = parts.random ?? seededRandom(1);
    this.interrupts = parts.interrupts ?? absentInterrupts;
    this.capabilities = parts.capabilities ?? capabilitiesOf(parts.cpuid);
    this.taskPriority = parts.taskPriority;
    this.onSmm = parts.smmChanged?.bind(parts);
    this.hypercall = parts.hypercall?.bind(parts);
    this.boundary = new Boundary(this, parts.observer, parts.initialize?.bind(parts));
    this.arbiter = new EventArbiter(this.boundary, parts.mmu.model.vendor);
    parts.mmu.tlb.listener = this.banks;
    parts.extension?.attach(this);
  }

  // What others tell the processor.

  /** All records have gone. */
  codeFlushed(): void {
    this.banks.clear();
    this.services.clear();
    this.forgetReturns();
  }

  /** The physical address map changed. */
  layoutChanged(): void {
    this.banks.clearTranslations();
    this.finder.forgetPage();
  }

  contextChanged(): void {
    this.contextIsStale = true;
    this.memory.quick.forget();
  }

  segmentsChanged(): void {
    this.modeIsStale = true;
  }

  breakpointsChanged(): void {
    this.breakpoints.update();
    // Pages with watched data must not be in the fast TLB.
    if (this.breakpoints.watchesData) this.banks.clearTranslations();
  }

  /** Pages with stops must not be in the fast TLB. */
  stopsChanged(): void {
    this.banks.clearTranslations();
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
    this.contextChanged();
    this.modeIsStale = true;
    this.finder.forgetPage();
    this.breakpoints.update();
    this.banks.clearTranslations();
    this.forgetReturns();
  }

  /** Between runs: all that the rest of a run depends on, but for memory and what the parts hold that the processor was given. */
  save(): ProcessorState {
    return saveProcessor(this, !this.contextIsStale && !this.modeIsStale);
  }

  /** Memory and parts must be as they were then. @throws ProcessorStateError if it is not of this version; nothing has changed then */
  restore(state: ProcessorState): void {
    restoreProcessor(this, state, () => this.prepare());
  }

  get statistics(): ProcessorStatistics {
    return {
      retired: this.retired,
      slowAccesses: this.memory.slowAccesses,
      tlbFills: [...this.banks.fills],
      exits: namedExits(this.exits),
    };
  }

  /** An NMI waits. */
  get nmiPending(): boolean {
    return (this.events.pending & EventSource.nmi) !== 0;
  }

  set nmiPending(waits: boolean) {
    if (waits) this.events.pending |= EventSource.nmi;
    else this.events.pending &= ~EventSource.nmi;
  }

  /** Count of retired instructions at which something of the guest's owner is due, or infinity. */
  get deadline(): number {
    return this.interception?.controls.deadline ?? Number.POSITIVE_INFINITY;
  }

  // Running.

  /** Runs until `count` more instructions have retired, or the processor stops. */
  run(count: number): RunEnd {
    const { state } = this;
    const end = this.retired + count;
    this.isStopping = false;
    this.boundary.isDelivered = false;
    this.problem = '';
    this.ripLow = state.low('rip');
    this.ripHigh = state.high('rip');
    while (this.retired < end && !this.isStopping) {
      if (!this.beginStay() || (this.stops.watchesCode && this.meetsStop())) break;
      const { deadline } = this;
      const left = (deadline > this.retired ? Math.min(end, deadline) : end) - this.retired;
      const isTrapped = this.interception?.controls.monitorTrap === true;
      const shadow = state.get('interruptShadow');
      const flags = state.get('systemFlags');
      const isAlone = isTrapped || this.memory.isAlone;
      if (shadow === 0 && (flags & flagTrap) === 0 && !this.breakpoints.isArmed && !isAlone) {
        // RF holds for one instruction, which nothing looks at it in: faults set it in their image anyway.
        if ((flags & flagResume) !== 0) state.set('systemFlags', flags & ~flagResume);
        this.stay(left);
      } else {
        const { transitions } = this;
        this.oneInstruction(shadow, flags);
        if (isTrapped && transitions === this.transitions) this.events.pending |= EventSource.monitorTrap;
      }
    }
    state.setPair('rip', this.ripLow, this.ripHigh);
    if (this.problem !== '') return 'problem';
    // A processor that waits, or gives up its turn, says so also where the run would have ended anyway.
    return this.isStopping || this.retired < end ? 'stopped' : 'limit';
  }

  /** One instruction, or the delivery of one event: an exception's handler has not begun then. What a debugger calls a step. */
  step(): RunEnd {
    this.stops.pass(this.state.low('rip'), this.state.high('rip'), this.retired);
    this.boundary.isStepping = true;
    const end = this.run(1);
    this.boundary.isStepping = false;
    return this.boundary.isDelivered ? 'limit' : end;
  }

  /** Events between instructions; false if the processor does not run. */
  private beginStay(): boolean {
    this.boundary.mustLook = false;
    if (this.retired >= this.deadline) this.events.pending |= EventSource.timer;
    this.arbiter.look();
    return this.state.get('activity') === Activity.running && !this.isStopping;
  }

  // For the virtualization extension.

  switchContext(to: PagingContext): void {
    const { context } = this;
    to.pkru = context.pkru;
    this.mmu.transition(context, to);
    this.context = to;
    this.memory.context = to;
    this.finder.context = to;
    this.contextChanged();
  }

  stateLoaded(): void {
    this.transitions++;
    this.boundary.mustLook = true;
    this.contextChanged();
    this.modeIsStale = true;
    this.finder.forgetPage();
    this.breakpointsChanged();
  }

  controlsChanged(): void {
    this.boundary.mustLook = true;
    this.modeIsStale = true;
  }

  shutDown(): void {
    this.boundary.isShutDown = true;
    this.state.words[activityCell] = Activity.shutdown;
    this.stop();
  }

  instructionBytes(out: Uint8Array): number {
    return this.finder.instructionBytes(this.ripLow, this.ripHigh, out);
  }

  /** One instruction, with what comes before and after it: breakpoints, shadows, the single-step trap (SDM vol. 3, 18.3). */
  private oneInstruction(shadow: number, flags: number): void {
    const { state, breakpoints } = this;
    this.prepare();
    const { finder, ripLow, ripHigh } = this;
    const isShadowed = shadow === shadowOfStack;
    if (breakpoints.isArmed && (flags & flagResume) === 0 && !isShadowed) {
      const bits = breakpoints.atInstruction(finder.linear(this.ripLow), finder.linearHigh(this.ripHigh));
      if (bits !== 0) {
        this.boundary.raiseDebug(bits);
        return;
      }
    }
    const before = this.retired;
    const deliveries = this.delivery.count;
    breakpoints.met = (isShadowed ? this.takeHeldTraps() : 0) | ((flags & flagTrap) !== 0 ? singleStep : 0);
    breakpoints.held = 0;
    const { memory, transitions } = this;
    memory.isAlone = true;
    this.stay(1);
    memory.isAlone = false;
    const trap = breakpoints.met;
    breakpoints.met = 0;
    if (this.retired === before || this.transitions !== transitions) return;
    if (this.delivery.count !== deliveries) {
      // What a load of SS has met stays due when INT n has come to its handler; INT1's own #DB takes it along.
      const met = trap & ~singleStep;
      if (met === 0) return;
      if (this.delivery.vector !== Exception.debug || this.delivery.type === EventType.softwareInterrupt)
        this.boundary.raiseDebug(met);
      else state.setPair('debug', state.low('debug', 6) | met, state.high('debug', 6), 6);
      return;
    }
    // RF holds for one instruction; IRET and POPF may have set it anew, for the next. It lasts through all iterations of REP.
    if ((flags & flagResume) !== 0 && !this.isRepeating(ripLow, ripHigh))
      state.set('systemFlags', state.get('systemFlags') & ~flagResume);
    if (shadow !== 0 && state.get('interruptShadow') === shadow) state.set('interruptShadow', 0);
    if (trap === 0) return;
    // MOV and POP to SS hold the trap back until after the next instruction (SDM vol. 3, 6.8.3).
    if (state.get('interruptShadow') === shadowOfStack) {
      breakpoints.held = trap & ~singleStep;
      return;
    }
    // A debug exception ends the wait of HLT and MWAIT (SDM vol. 2, HLT).
    if (state.get('activity') === Activity.halted) {
      state.set('activity', Activity.running);
      this.isStopping = false;
    }
    this.boundary.raiseDebug(trap);
  }

  /** Debug traps that a load of SS held back: its own, and those that a guest was entered with. */
  private takeHeldTraps(): number {
    const { breakpoints, events } = this;
    if ((events.pending & EventSource.debugTrap) === 0) return breakpoints.held;
    const bits = breakpoints.held | events.debugBits;
    events.pending &= ~EventSource.debugTrap;
    events.debugBits = 0;
    return bits;
  }

  /** Whether the instruction that was just executed goes on with another iteration. @param ripLow where it stands */
  private isRepeating(ripLow: number, ripHigh: number): boolean {
    if (this.ripLow !== ripLow || this.ripHigh !== ripHigh) return false;
    const { bytes } = this;
    return isRepeated(bytes, this.finder.instructionBytes(ripLow, ripHigh, bytes));
  }

  /** Stays in generated code and services until the budget is used up or something must be looked at between instructions. */
  private stay(budget: number): void {
    const stayEnd = this.retired + budget;
    this.prepare();
    while (this.retired < stayEnd && !this.isStopping) {
      // A stay in generated code ends now and then, so that the engine may replace it by better code.
      const left = Math.min(stayEnd - this.retired, longestStay);
      const { finder, ripLow, ripHigh } = this;
      // In a page with breakpoints of a debugger each block is gone to from here alone.
      const isWatched = this.stops.hasCode(finder.linear(ripLow), finder.linearHigh(ripHigh));
      if (isWatched && this.meetsStop()) return;
      const known = left >= maximumBlock && !isWatched ? finder.known(ripLow, ripHigh) : 0;
      if (known !== 0) this.enter(known, finder.pageHost, left);
      else {
        const most = isWatched ? finder.countToStop(ripLow, ripHigh, left, this.stops) : left;
        const block = finder.find(ripLow, ripHigh, most);
        if (block !== undefined) this.enter(block.record, block.page, isWatched ? block.count : left);
        else if (finder.hasFault) this.fetchFault();
      }
      if (this.contextIsStale || this.modeIsStale) this.prepare();
      if (this.needsLook()) return;
    }
  }

  /** Whether the run ends ahead of the next instruction, for a debugger, which knows then. */
  private meetsStop(): boolean {
    this.prepare();
    const { stops, finder, ripLow, ripHigh, retired } = this;
    const [low, high] = [finder.linear(ripLow), finder.linearHigh(ripHigh)];
    if (!stops.isAt(low, high) || stops.passes(ripLow, ripHigh, retired)) return false;
    stops.pass(ripLow, ripHigh, retired);
    this.isStopping = true;
    stops.onMet({ kind: 'execute', low, high, bytes: 1 });
    return true;
  }

  /** Whether the run loop must look between instructions before anything else retires. */
  private needsLook(): boolean {
    const { words } = this.state;
    if (words[shadowCell] !== 0 || words[activityCell] !== Activity.running) return true;
    const flags = words[flagsCell];
    if ((flags & (flagTrap | flagResume)) !== 0 || this.breakpoints.isArmed) return true;
    return this.boundary.mustLook || this.arbiter.isDue;
  }

  /** @param start record to begin with @param page host address of its page */
  private enter(start: number, page: number, left: number): void {
    const { state, engine, finder } = this;
    if (this.staleHeader !== 0) engine.code.forward(this.staleHeader, start);
    this.staleHeader = 0;
    const stayEnd = this.retired + left;
    const { words } = state;
    const pageLow = finder.linear(this.ripLow) & ~0xfff;
    const pageHigh = finder.linearHigh(this.ripHigh);
    words[pageBaseCell] = pageLow;
    words[pageBaseCell + 1] = pageHigh;
    words[instructionBaseCell] = (pageLow - finder.base) | 0;
    words[instructionBaseCell + 1] = pageHigh;
    words[codeHostCell] = page;
    noteStay(this, left);
    engine.handlers.run(state.address, start, left);
    // SYSCALL and SYSRET that were executed there changed the bank, and nothing else that is kept here.
    this.banks.current = words[bankCell];
    this.retired = stayEnd - words[budgetCell];
    const rec = words[exitRecordCell] >>> 0;
    const reason = words[exitReasonCell];
    this.exits[reason]++;
    finder.takePage();
    switch (reason) {
      case ExitReason.budget:
        this.setRip(rec);
        // In the middle of a block only REP instructions end so; what they did has been counted.
        if (!engine.code.isHeader(rec)) this.retired -= engine.code.remaining(rec) - 1;
        break;
      case ExitReason.link:
        this.link(rec, words[exitAddressCell], this.retired < stayEnd);
        break;
      case ExitReason.jump: {
        this.ripLow = (words[exitAddressCell] - finder.base) | 0;
        this.ripHigh = finder.linearHigh(words[exitAddressCell + 1]);
        finder.isIndirect = true;
        break;
      }
      case ExitReason.fault:
        this.retired -= engine.code.remaining(rec);
        this.setRip(rec);
        if (words[faultVectorCell] !== Unwind.alone || !this.moveDevice(rec)) this.raiseFromState();
        break;
      case ExitReason.stale:
        // Of a block that was not begun nothing has been counted.
        if (engine.code.isHeader(rec)) this.staleHeader = rec;
        else this.retired -= engine.code.remaining(rec);
        this.setRip(rec);
        finder.isIndirect = true;
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
    const { words } = this.state;
    const offset = this.engine.view.getUint16(rec + record.position, true) & 0xfff;
    this.ripLow = (words[instructionBaseCell] + offset) | 0;
    // Edges add to the base without cutting it off to 32 bits.
    this.ripHigh = this.finder.linearHigh(words[instructionBaseCell + 1]);
  }

  /** A direct branch that is taken for the first time, or a block's end. @param goesOn whether what it leads to is fetched now */
  private link(rec: number, field: number, goesOn: boolean): void {
    const { linker, finder } = this;
    linker.follow(rec, field);
    if (linker.isForbidden) {
      // #GP is the branch's own, not that of a fetch at its target (SDM vol. 2, JMP, CALL, Jcc, LOOP).
      linker.undo();
      this.retired -= this.engine.code.remaining(rec);
      this.setRip(rec);
      this.boundary.raise(Exception.generalProtection, 0, 0, 0);
      return;
    }
    this.ripLow = linker.ripLow;
    this.ripHigh = linker.ripHigh;
    if (!goesOn) return;
    linker.link(rec, field);
    if (finder.hasFault) this.fetchFault();
  }

  private service(rec: number): void {
    this.nextLow = this.ripLow;
    this.nextHigh = this.ripHigh;
    const { finder, engine } = this;
    // An instruction that also generated code executes may stand in the middle of a block.
    this.retired -= engine.code.remaining(rec) - 1;
    const { instruction, isValid, service: known } = this.services.find(rec) ?? this.decode(rec);
    try {
      if (!isValid) throw undecodable(this);
      if (known === null) throw refused(this, instruction);
      this.passBy(instruction);
      known(this, instruction);
      if (this.interception?.isLeaving === true) {
        this.retired--;
        this.boundary.leaveGuest();
        return;
      }
      finder.forgetPage();
      this.goOn();
    } catch (fault) {
      if (!(fault instanceof GuestFault)) throw fault;
      this.retired--;
      if (this.problem !== '') return;
      if (fault.vector === Unwind.exit) this.boundary.leaveGuest();
      else this.boundary.raise(fault.vector, fault.errorCode, fault.addressLow, fault.addressHigh);
    }
  }

  /** Decodes the instruction of a record, and keeps that if the record is kept. */
  private decode(rec: number): DecodedService {
    const { finder } = this;
    const entry = this.services.take(rec);
    const status = finder.decode(this.ripLow, this.ripHigh, entry.instruction);
    entry.isValid = status === DecodeStatus.ok && finder.mode.instructions.has(entry.instruction);
    entry.service = entry.isValid ? serviceOf(entry.instruction) : null;
    if (this.engine.code.blockOf(rec) !== undefined) entry.record = rec;
    return entry;
  }

  /** Code could not be fetched. */
  private fetchFault(): void {
    const { state } = this;
    if (state.get('faultVector') === Unwind.problem) {
      this.problem = `code in a device at ${hex(state.high('faultAddress'), state.low('faultAddress'))}`;
      this.isStopping = true;
    } else this.raiseFromState();
  }

  /** An instruction that must be executed alone is, if it is a usual access to a device. */
  private moveDevice(rec: number): boolean {
    const isWatched = this.stops.watchesData || this.breakpoints.watchesData;
    if (isWatched || this.interception?.controls.isGuest === true) return false;
    const { instruction } = this.services.find(rec) ?? this.decode(rec);
    if (!moveDevice(this, instruction, this.state.words[faultAddressCell])) return false;
    this.retired++;
    this.passBy(instruction);
    this.goOn();
    return true;
  }

  /** To what comes next, by a way that is not linked. */
  private goOn(): void {
    this.ripLow = this.nextLow;
    this.ripHigh = this.nextHigh;
    this.finder.isIndirect = true;
  }

  /** What comes next is what follows an instruction. */
  private passBy({ length }: Instruction): void {
    const next = (this.ripLow >>> 0) + length;
    this.nextLow = next | 0;
    this.nextHigh = this.finder.is64 ? (this.ripHigh + Math.floor(next / 2 ** 32)) | 0 : 0;
  }

  private raiseFromState(): void {
    const { words } = this.state;
    const vector = words[faultVectorCell];
    if (vector === Unwind.exit) this.boundary.leaveGuest();
    else if (vector === Unwind.alone) {
      this.memory.isAlone = true;
      this.boundary.mustLook = true;
    } else if (vector === Unwind.problem) {
      this.problem = 'a fault of the second stage that nobody deals with';
      this.isStopping = true;
    } else {
      const isPage = vector === Exception.page;
      const low = isPage ? words[faultAddressCell] : 0;
      this.boundary.raise(vector, words[faultErrorCell], low, isPage ? words[faultAddressCell + 1] : 0);
    }
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
    const { state, context, finder } = this;
    const { words } = state;
    const cpl = words[cplCell];
    const intercepts = (this.interception?.controls.intercepts ?? 0) & codeIntercepts;
    const mode = this.modes.of(state, context, intercepts);
    if (mode !== finder.mode) this.forgetReturns();
    finder.enterMode(mode);
    context.ac = (words[flagsCell] & flagAlignment) !== 0 && cpl !== 3;
    context.update();
    const privilege = cpl === 3 ? 2 : context.ac ? 1 : 0;
    const bank = this.banks.choose(
      context.tlbContext,
      privilege,
      mode.id,
      context.judge,
      context.pkru,
      context.pkrs,
    );
    words[bankCell] = bank;
    const isPlain = (context.cr4 & cr4Tsd) === 0 && this.interception?.controls.isGuest !== true;
    words[tscIsStagedCell] = isPlain && this.time.tickShift !== undefined ? 1 : 0;
    noteSiblings(state, context, this.banks, this.memory.quick, cpl, mode);
    this.contextIsStale = false;
    this.modeIsStale = false;
  }
}

function hex(high: number, low: number): string {
  return `${(high >>> 0).toString(16).padStart(8, '0')}${(low >>> 0).toString(16).padStart(8, '0')}`;
}
