import { createTlb, Mmu, PagingContext, PagingModel, type TlbName } from '@nest86/mmu';
import { Engine } from '../../src/engine/engine.ts';
import type { LockstepSide } from '../../src/engine/lockstep.ts';
import { Processor } from '../../src/engine/processor.ts';
import type { CodeMode } from '../../src/records/code-mode.ts';
import { Exception } from '../../src/semantics/operation.ts';
import { Activity, Segment } from '../../src/state/layout.ts';
import { capabilitiesOf } from '../../src/system/capabilities.ts';
import type { CpuidSource } from '../../src/system/unit.ts';
import { hostVendor } from '../../test/harness/host-processor.ts';
import { loadUserState } from '../../test/harness/user-state.ts';
import {
  aliasAddress,
  codeAddress,
  codePages,
  globalTable,
  interruptTable,
  interruptVector,
  pageSize,
  physicalOf,
  ramSize,
  selectors,
  stackAddress,
  stackPages,
  stackTop,
  systemAddress,
  tables,
  taskState,
  writeSystem,
  writeTables,
} from './address-space.ts';
import type { Image } from './program.ts';

export interface FuzzMachineOptions {
  readonly accel: 'interp' | 'jit';
  /** Executions before compiling. */
  readonly heat: number;
  readonly tlb: TlbName;
  /** Forgets all code and all that the fast TLB knows after each instruction: what is right without any invalidation. */
  readonly forgets?: boolean;
  /** Most instructions at a time, whatever `run` is asked for. */
  readonly piece?: number;
}

/** Faults after which a program is over. */
const mostFaults = 24;
const trapFlag = 0x100;
const alignmentFlag = 0x40000;

/** An engine for one fuzz program after the other. Exceptions are answered from outside: the program goes on at a later block. */
export class FuzzMachine implements LockstepSide {
  readonly processor: Processor;
  readonly memory: Uint8Array;
  readonly engine: Engine;
  private readonly context = new PagingContext();
  private readonly mmu: Mmu;
  private readonly forgets: boolean;
  private readonly piece: number;
  private interruptIsPending = false;
  /** Count at which the next interrupt comes. */
  private nextInterrupt = 0;
  private image: Image | undefined;
  private ram: Uint8Array = new Uint8Array(ramSize);
  /** The last exception: -1 for none in the last piece of a run; and its error code. */
  vector = -1;
  errorCode = 0;
  private faults = 0;
  events = '';
  /** The program ended: too many faults, HLT, shutdown. */
  isOver = false;

  constructor({ accel, heat, tlb, forgets = false, piece = 1e9 }: FuzzMachineOptions) {
    this.forgets = forgets;
    this.piece = forgets ? 1 : piece;
    const vendor = hostVendor();
    const engine = new Engine({ ramSize, vendor, recordBytes: 2 << 20, accel, heat });
    this.engine = engine;
    const { physical } = engine;
    physical.addRegion({ kind: 'ram', start: 0, size: ramSize, backing: 0 });
    this.memory = new Uint8Array(engine.memory.buffer, physical.base, ramSize);
    this.mmu = new Mmu({
      memory: physical,
      tlb: createTlb(tlb, { vendor }),
      model: new PagingModel({ vendor }),
    });
    // Every feature bit there is, and XCR0 components 0 to 2.
    const cpuid: CpuidSource = {
      read: (leaf, subleaf, out) => out.fill(leaf === 13 && subleaf === 0 ? 7 : -1),
    };
    const machine = this;
    const processor: Processor = new Processor(engine, 0, {
      mmu: this.mmu,
      context: this.context,
      io: { read: () => -1, write: () => {} },
      cpuid,
      msrs: { read: () => false, write: () => false },
      // Wrong counts show.
      time: { tsc: (out) => out.fill(processor.retired), writeTsc: () => {} },
      interrupts: {
        get isPending(): boolean {
          return machine.interruptIsPending;
        },
        acknowledge: () => {
          this.interruptIsPending = false;
          return interruptVector;
        },
      },
      random: () => processor.retired,
      capabilities: capabilitiesOf(cpuid),
      observer: {
        exception: (vector, errorCode) => {
          this.vector = vector;
          this.errorCode = errorCode;
          processor.stop();
          return true;
        },
      },
    });
    this.processor = processor;
  }

  /** What codeAt and reports want. */
  codeAt(rip: bigint): Uint8Array {
    const bytes = new Uint8Array(15);
    for (let i = 0; i < 15; i++) {
      const physical = physicalOf(Number(BigInt.asUintN(47, rip)) + i);
      if (physical >= 0) bytes[i] = this.memory[physical];
    }
    return bytes;
  }

  /** Takes a program and stands at its start. */
  load(image: Image): void {
    this.image = image;
    const { ram } = this;
    ram.fill(0);
    writeTables(ram);
    writeSystem(ram);
    for (const { address, bytes } of image.parts)
      for (let at = 0; at < bytes.length; ) {
        const size = Math.min(bytes.length - at, pageSize - ((address + at) % pageSize));
        ram.set(bytes.subarray(at, at + size), physicalOf(address + at));
        at += size;
      }
    this.restart();
  }

  restart(): void {
    const { processor, engine, mmu, context, memory, image } = this;
    const { state } = processor;
    engine.code.flush();
    memory.set(this.ram);
    state.bytes.fill(0);
    context.set({ cr0: 0x80050033 | 0, cr3: tables, cr4: 0x40620, efer: 0xd01, pkru: 0 });
    const isUser = image?.isUser !== false;
    for (let segment = 0; segment < 6; segment++) {
      state.set('segmentLast', -1, segment);
      state.set('segmentLimit', -1, segment);
      state.set('segmentRights', 3, segment);
      const attributes = segment === Segment.cs ? 0xa09b : 0xc093;
      state.set('segmentAttributes', attributes | (isUser ? 0x60 : 0), segment);
    }
    state.set('cpl', isUser ? 3 : 0);
    state.set('segmentSelector', isUser ? selectors.code3 : selectors.code0, Segment.cs);
    for (const segment of [Segment.es, Segment.ss, Segment.ds])
      state.set('segmentSelector', isUser ? selectors.data3 : selectors.data0, segment);
    state.setPair('segmentBase', systemAddress + taskState, 0, Segment.tr);
    state.set('segmentLimit', 0x67, Segment.tr);
    state.set('segmentAttributes', 0x8b, Segment.tr);
    state.setPair('tableBase', systemAddress + globalTable, 0, 0);
    state.set('tableLimit', 0x27, 0);
    state.setPair('tableBase', systemAddress + interruptTable, 0, 1);
    state.set('tableLimit', 16 * (interruptVector + 1) - 1, 1);
    state.setPair('xcr0', 7, 0);
    if (image !== undefined) loadUserState(state, image.state);
    mmu.tlb.restore();
    context.tlbContext = -1;
    mmu.enter(context);
    processor.nmiPending = false;
    processor.retired = 0;
    processor.problem = '';
    processor.stateChanged();
    // Else the breakpoints of the program before stay armed.
    processor.breakpointsChanged();
    this.nextInterrupt = image?.interrupts ?? Number.POSITIVE_INFINITY;
    this.interruptIsPending = false;
    this.events = '';
    this.faults = 0;
    this.isOver = false;
  }

  run(count: number): void {
    const { processor, image } = this;
    const end = processor.retired + count;
    while (!this.isOver && processor.retired < end) {
      this.vector = -1;
      if (processor.retired >= this.nextInterrupt) {
        this.interruptIsPending = true;
        this.nextInterrupt += image?.interrupts ?? 0;
      }
      const stop = Math.min(end, this.nextInterrupt);
      const how = processor.run(Math.min(this.piece, stop - processor.retired));
      if (this.forgets) this.engine.code.flush();
      if (this.vector >= 0) this.answer();
      // UMWAIT and the like end a run, and go on in the next.
      else if (how === 'problem' || processor.state.get('activity') !== Activity.running) this.isOver = true;
    }
  }

  /** An exception: notes it, and goes on elsewhere. */
  private answer(): void {
    const { processor, vector, image } = this;
    const { state } = processor;
    const rip = state.getBig('rip');
    this.faults++;
    this.events += `${vector}(${this.errorCode}) at ${rip.toString(16)} after ${processor.retired}; `;
    if (image === undefined || image.endsAtFault || this.faults >= mostFaults) {
      this.isOver = true;
      return;
    }
    state.setBig('rip', BigInt(this.next(Number(rip), image.resume)));
    const stack = Number(state.getBig('gpr', 4));
    if (stack < stackAddress || stack > stackAddress + stackPages * pageSize)
      state.setPair('gpr', stackTop, 0, 4);
    if (vector === Exception.x87) state.set('x87Status', 0);
    if (vector === Exception.simd) state.set('mxcsr', 0x1f80);
    const flags = state.get('systemFlags');
    if (vector === Exception.debug && this.faults % 3 === 0) state.set('systemFlags', flags & ~trapFlag);
    if (vector === Exception.alignment) state.set('systemFlags', flags & ~alignmentFlag);
    processor.contextChanged();
    processor.segmentsChanged();
  }

  /** Start of the block behind an address, or of any if it is not in the code. */
  private next(rip: number, resume: readonly number[]): number {
    const alias = rip >= aliasAddress && rip < aliasAddress + codePages * pageSize;
    const inCode = alias ? rip - aliasAddress + codeAddress : rip;
    const found = resume.find((address) => address > inCode);
    if (inCode < codeAddress || found === undefined) return resume[(7 * this.faults) % resume.length];
    return alias ? found - codeAddress + aliasAddress : found;
  }

  /** Builds the handlers of instructions in one module: for each alone it takes longer, on Node 20 much longer. */
  prepare(instructions: readonly Uint8Array[]): void {
    const { engine, processor, memory } = this;
    // A block that ends in itself tells the mode: JMP $.
    this.restart();
    const start = BigInt(codeAddress);
    writeTables(memory);
    memory.set([0xeb, 0xfe], physicalOf(codeAddress));
    processor.state.setBig('rip', start);
    processor.run(8);
    const mode = engine.code.blockOf(processor.state.get('exitRecord'))?.mode;
    if (mode === undefined) throw new Error('the block was not kept');
    engine.code.flush();
    for (const code of instructions) this.translate(code, mode);
    engine.handlers.build();
  }

  private translate(code: Uint8Array, mode: CodeMode): void {
    const bytes = new Uint8Array(15).fill(0x90);
    bytes.set(code);
    // At the end of the records nothing is yet.
    this.engine.code.translator.write(this.engine.physical.base - 64, bytes, 0, 0, mode);
  }
}
