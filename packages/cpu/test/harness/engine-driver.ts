import { createTlb, Mmu, PagingContext, PagingModel } from '@nest86/mmu';
import { Engine } from '../../src/engine/engine.ts';
import { Processor } from '../../src/engine/processor.ts';
import type { CodeMode } from '../../src/records/code-mode.ts';
import { Segment } from '../../src/state/layout.ts';
import { capabilitiesOf } from '../../src/system/capabilities.ts';
import type { CpuidSource } from '../../src/system/unit.ts';
import {
  type Batch,
  type CodeSize,
  codeAddress,
  codeSize,
  type HostCase,
  type HostState,
  landingOffset,
  type Outcome,
  scratchAddress,
  scratchSize,
  stateAt,
  stateBytes,
  stateOf,
} from './host-state.ts';

/** A processor under test: runs one case after the other as the host did. */
export interface TestProcessor {
  /** Whether instructions run in compiled regions. */
  readonly compiled: boolean;
  /** Starts a batch. */
  setBatch(batch: Batch): void;
  runOne(one: HostCase): Outcome;
}

const ramSize = 4 << 20;
// Physical addresses: page tables, scratch page, code.
const tables = 0x1000;
const scratchPhysical = 0x10_0000;
const codePhysical = 0x20_0000;
const spare = 0x30_0000;
const user = 0x67;
/** UD2 stands behind the instruction and at its landing: it ends the case. */
const end = Uint8Array.of(0x0f, 0x0b);
const invalidOpcode = 6;
const pageFault = 14;
const batchesPerEngine = 2;
/** More than any case takes. */
const budget = 20_000;

/** The engine at CPL 3 in 64-bit or compatibility mode, with the scratch page and the code area where the harness has them and nothing else. */
export class EngineProcessor implements TestProcessor {
  private processor!: Processor;
  private engine!: Engine;
  private ram!: Uint8Array;
  private batches = 0;
  private page: Uint8Array = new Uint8Array(scratchSize);
  /** The scratch page if the instruction changes nothing. */
  private readonly expected: Uint8Array = new Uint8Array(scratchSize);
  private mode: CodeMode | undefined;
  /** Forms of instructions whose handlers were built, and those that failed. */
  private readonly tried = new Set<string>();
  private readonly broken = new Set<string>();
  private vector = -1;
  private errorCode = 0;

  constructor(
    readonly compiled: boolean,
    private readonly codeSize: CodeSize = 64,
  ) {
    this.start();
  }

  private start(): void {
    const { compiled } = this;
    const engine = new Engine({
      ramSize,
      vendor: 'amd',
      recordBytes: 8 << 20,
      accel: compiled ? 'jit' : 'interp',
      heat: 1,
    });
    this.engine = engine;
    const { physical } = engine;
    physical.addRegion({ kind: 'ram', start: 0, size: ramSize, backing: 0 });
    this.ram = new Uint8Array(engine.memory.buffer, physical.base, ramSize);
    const context = new PagingContext();
    const model = new PagingModel({ vendor: 'amd' });
    const mmu = new Mmu({
      memory: physical,
      tlb: createTlb('set-associative', { vendor: 'amd' }),
      model,
    });
    // Every feature bit there is, and XCR0 components 0 to 2.
    const cpuid: CpuidSource = {
      read: (leaf, subleaf, out) => out.fill(leaf === 13 && subleaf === 0 ? 7 : -1),
    };
    const processor: Processor = new Processor(engine, 0, {
      mmu,
      context,
      io: { read: () => -1, write: () => {} },
      cpuid,
      msrs: { read: () => false, write: () => false },
      time: { tsc: (out) => out.fill(0), writeTsc: () => {} },
      interrupts: { isPending: false, acknowledge: () => 0 },
      random: () => 4,
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
    this.mapPages();
    context.set({ cr0: 0x80050033 | 0, cr3: tables, cr4: 0x40620, efer: 0xd01 });
    const { state } = processor;
    const code = this.codeSize === 64 ? 0xa0fb : 0xc0fb;
    for (let segment = 0; segment < 6; segment++) {
      state.set('segmentLast', -1, segment);
      state.set('segmentLimit', -1, segment);
      // Code cannot be written.
      state.set('segmentRights', segment === Segment.cs ? 1 : 3, segment);
      state.set('segmentAttributes', segment === Segment.cs ? code : 0xc0f3, segment);
    }
    state.set('cpl', 3);
    state.setPair('xcr0', 7, 0);
    processor.stateChanged();
    mmu.enter(context);
  }

  private mapPages(): void {
    const view = new DataView(this.engine.memory.buffer, this.engine.physical.base);
    const entry = (at: number, value: number): void => view.setUint32(at, value, true);
    const [level4, level3, level2, scratchTable, codeTable] = [0, 1, 2, 3, 4].map((i) => tables + i * 0x1000);
    entry(level4, level3 | user);
    entry(level3, level2 | user);
    entry(level2 + 8 * (scratchAddress >>> 21), scratchTable | user);
    entry(level2 + 8 * (codeAddress >>> 21), codeTable | user);
    entry(scratchTable + 8 * ((scratchAddress >>> 12) & 511), scratchPhysical | user);
    for (let page = 0; page < codeSize / 4096; page++)
      entry(codeTable + 8 * page, (codePhysical + page * 4096) | user);
  }

  setBatch({ page, cases }: Batch): void {
    // A new engine now and then: handlers of all shapes that random cases have do not fit one table.
    if (++this.batches % batchesPerEngine === 0) this.start();
    this.page = page.slice();
    // Slots are used again.
    this.engine.code.flush();
    this.ram.fill(0, codePhysical, codePhysical + codeSize);
    this.buildHandlers(cases);
  }

  /** Builds all the handlers that a batch needs in one module: on Node 20 each module copies the table, which takes longer than its cases. */
  private buildHandlers(cases: readonly HostCase[]): void {
    const { engine, processor } = this;
    if (cases.length === 0) return;
    this.runOne(cases[0]);
    this.mode = engine.code.blockOf(processor.state.get('exitRecord'))?.mode;
    engine.code.flush();
    if (this.mode === undefined) return;
    // First one of each new form: what cannot be built must not take others with it.
    for (const one of cases) {
      const form = formOf(one);
      if (this.tried.has(form)) continue;
      this.tried.add(form);
      try {
        this.translate(one);
        engine.handlers.build();
      } catch {
        this.broken.add(form);
      }
    }
    for (const one of cases) if (!this.broken.has(formOf(one))) this.translate(one);
    engine.handlers.build();
  }

  /** Asks for the handler of an instruction. */
  private translate({ code, address }: HostCase): void {
    const { engine, mode } = this;
    const bytes = new Uint8Array(15).fill(0x90);
    bytes.set(code);
    engine.code.translator.write(engine.physical.base + spare, bytes, 0, address & 0xfff, mode!);
  }

  runOne({ code, address, before, patch, patchOffset }: HostCase): Outcome {
    const { processor, ram, expected: page } = this;
    const slot = codePhysical + address - codeAddress;
    ram.set(code, slot);
    ram.set(end, slot + code.length);
    ram.set(end, slot + landingOffset);
    page.set(this.page);
    page.set(patch, patchOffset);
    ram.set(page, scratchPhysical);
    this.setState(before);
    this.vector = -1;
    const how = processor.run(budget);
    const after = this.getState();
    const rip = after.view.getBigUint64(stateAt.rip, true);
    const start = BigInt(address);
    const isEnd =
      this.vector === invalidOpcode &&
      (rip === start + BigInt(code.length) || rip === start + BigInt(landingOffset));
    const isFault = !isEnd && this.vector >= 0;
    const [changedFrom, changed] = this.changes();
    const outcome: Outcome = {
      vector: isEnd ? -1 : isFault ? this.vector : -2,
      error: isFault && this.vector === pageFault ? this.errorCode : 0,
      address: processor.state.getBig('cr2'),
      state: after,
      changedFrom,
      changed,
      problem: how === 'problem' ? processor.problem : undefined,
    };
    return outcome;
  }

  /** Bytes of the scratch page from the first to the last that changed. */
  private changes(): [number, Uint8Array] {
    const { expected: page } = this;
    const now = this.ram.subarray(scratchPhysical, scratchPhysical + scratchSize);
    if (Buffer.compare(page, now) === 0) return [0, new Uint8Array(0)];
    let first = 0;
    let last = scratchSize;
    while (page[first] === now[first]) first++;
    while (page[last - 1] === now[last - 1]) last--;
    return [first, now.slice(first, last)];
  }

  private setState({ view }: HostState): void {
    const { state } = this.processor;
    for (let number = 0; number < 16; number++)
      state.setPair('gpr', view.getInt32(8 * number, true), view.getInt32(8 * number + 4, true), number);
    state.flags = view.getInt32(stateAt.rflags, true);
    state.setPair('rip', view.getInt32(stateAt.rip, true), view.getInt32(stateAt.rip + 4, true));
    state.set('mxcsr', view.getInt32(stateAt.mxcsr, true));
    for (let number = 0; number < 16; number++) {
      for (let word = 0; word < 4; word++) {
        state.set('vector', view.getInt32(stateAt.xmm + 16 * number + 4 * word, true), 16 * number + word);
        state.set(
          'vector',
          view.getInt32(stateAt.upper + 16 * number + 4 * word, true),
          16 * number + 4 + word,
        );
      }
    }
    const status = view.getUint16(stateAt.x87Status, true);
    state.set('x87Control', view.getUint16(stateAt.x87Control, true));
    state.set('x87Status', status);
    state.set('x87Tags', view.getUint8(stateAt.x87Tags));
    const top = (status >>> 11) & 7;
    for (let i = 0; i < 8; i++) {
      const physical = (top + i) & 7;
      const at = stateAt.st + 16 * i;
      state.setPair('x87', view.getInt32(at, true), view.getInt32(at + 4, true), 2 * physical);
      state.setPair('x87', view.getUint16(at + 8, true), 0, 2 * physical + 1);
    }
  }

  private getState(): HostState {
    const { state } = this.processor;
    const after = stateOf(new Uint8Array(stateBytes));
    const { view } = after;
    for (let number = 0; number < 16; number++) {
      view.setInt32(8 * number, state.low('gpr', number), true);
      view.setInt32(8 * number + 4, state.high('gpr', number), true);
    }
    view.setInt32(stateAt.rflags, state.flags, true);
    view.setInt32(stateAt.rip, state.low('rip'), true);
    view.setInt32(stateAt.rip + 4, state.high('rip'), true);
    view.setInt32(stateAt.mxcsr, state.get('mxcsr'), true);
    for (let number = 0; number < 16; number++) {
      for (let word = 0; word < 4; word++) {
        view.setInt32(stateAt.xmm + 16 * number + 4 * word, state.get('vector', 16 * number + word), true);
        view.setInt32(
          stateAt.upper + 16 * number + 4 * word,
          state.get('vector', 16 * number + 4 + word),
          true,
        );
      }
    }
    const status = state.get('x87Status');
    view.setUint16(stateAt.x87Control, state.get('x87Control'), true);
    view.setUint16(stateAt.x87Status, status, true);
    view.setUint8(stateAt.x87Tags, state.get('x87Tags'));
    const top = (status >>> 11) & 7;
    for (let i = 0; i < 8; i++) {
      const physical = (top + i) & 7;
      const at = stateAt.st + 16 * i;
      view.setInt32(at, state.low('x87', 2 * physical), true);
      view.setInt32(at + 4, state.high('x87', 2 * physical), true);
      view.setUint16(at + 8, state.low('x87', 2 * physical + 1), true);
    }
    return after;
  }
}

/** Instructions of one form have handlers that are built alike. */
function formOf({ encoding, isMemory }: HostCase): string {
  return `${encoding}${isMemory ? 'm' : 'r'}`;
}
