import { createTlb, Mmu, PagingContext, PagingModel } from '@nest86/mmu';
import { Engine } from '../../src/engine/engine.ts';
import { Processor } from '../../src/engine/processor.ts';
import type { CodeMode } from '../../src/records/code-mode.ts';
import { Segment } from '../../src/state/layout.ts';
import { capabilitiesOf } from '../../src/system/capabilities.ts';
import type { CpuidSource } from '../../src/system/unit.ts';
import { hostVendor, type Vendor } from './host-processor.ts';
import {
  type Batch,
  type CodeSize,
  codeAddress,
  codeSize,
  type HostCase,
  landingOffset,
  type Outcome,
  scratchAddress,
  scratchSize,
  stateAt,
  stateBytes,
  stateOf,
} from './host-state.ts';
import { loadUserState, saveUserState } from './user-state.ts';

/** A processor under test: runs one case after the other as the host did. */
export interface TestProcessor {
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
    private readonly compiled: boolean,
    private readonly codeSize: CodeSize = 64,
    private readonly vendor: Vendor = hostVendor(),
  ) {
    this.start();
  }

  private start(): void {
    const { compiled, vendor } = this;
    const engine = new Engine({
      ramSize,
      vendor,
      recordBytes: 8 << 20,
      accel: compiled ? 'jit' : 'interp',
      heat: 1,
    });
    this.engine = engine;
    const { physical } = engine;
    physical.addRegion({ kind: 'ram', start: 0, size: ramSize, backing: 0 });
    this.ram = new Uint8Array(engine.memory.buffer, physical.base, ramSize);
    const context = new PagingContext();
    const model = new PagingModel({ vendor });
    const mmu = new Mmu({
      memory: physical,
      tlb: createTlb('set-associative', { vendor }),
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
    this.made(engine, processor);
  }

  /** For other ways to run records: an engine was made. The constructor calls it, too. */
  protected made(_engine: Engine, _processor: Processor): void {}

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
    loadUserState(processor.state, before);
    this.vector = -1;
    const how = processor.run(budget);
    const after = stateOf(new Uint8Array(stateBytes));
    saveUserState(processor.state, after);
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
}

/** Instructions of one form have handlers that are built alike. */
function formOf({ encoding, isMemory }: HostCase): string {
  return `${encoding}${isMemory ? 'm' : 'r'}`;
}
