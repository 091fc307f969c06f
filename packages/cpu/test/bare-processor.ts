import { createTlb, Mmu, PagingContext, PagingModel, type TlbName } from '@nest86/mmu';
import { Engine } from '../src/engine/engine.ts';
import type { EngineOptions } from '../src/engine/options.ts';
import type { ProcessorParts } from '../src/engine/parts.ts';
import { Processor } from '../src/engine/processor.ts';
import { Segment } from '../src/state/layout.ts';
import { capabilitiesOf } from '../src/system/capabilities.ts';
import type { CpuidSource } from '../src/system/unit.ts';

/** An exception that reached the test's event sink. */
export interface SeenException {
  readonly vector: number;
  readonly errorCode: number;
}

export interface BareOptions extends Partial<EngineOptions> {
  readonly tlb?: TlbName;
  readonly parts?: Partial<ProcessorParts>;
  /** A second processor of another's engine, with the same RAM and page tables. */
  readonly beside?: BareProcessor;
}

/** A processor in flat 64-bit mode at CPL 0 with RAM from 0 and no devices; exceptions stop it and are kept. */
export class BareProcessor {
  readonly engine: Engine;
  readonly processor: Processor;
  readonly ram: Uint8Array;
  readonly context: PagingContext = new PagingContext();
  seen: SeenException | undefined;

  constructor({ tlb = 'set-associative', parts = {}, beside, ...options }: BareOptions = {}) {
    const ramSize = options.ramSize ?? 16 << 20;
    this.engine = beside?.engine ?? new Engine({ recordBytes: 4 << 20, ...options, ramSize });
    const { physical } = this.engine;
    if (beside === undefined) physical.addRegion({ kind: 'ram', start: 0, size: ramSize, backing: 0 });
    this.ram = new Uint8Array(this.engine.memory.buffer, physical.base, ramSize);
    const mmu = new Mmu({ memory: physical, tlb: createTlb(tlb), model: new PagingModel() });
    // Every feature bit there is, and XCR0 components 0 to 2.
    const cpuid: CpuidSource = {
      read: (leaf, subleaf, out) => out.fill(leaf === 13 && subleaf === 0 ? 7 : -1),
    };
    this.processor = new Processor(this.engine, beside === undefined ? 0 : 1, {
      mmu,
      context: this.context,
      io: { read: () => -1, write: () => {} },
      cpuid,
      capabilities: capabilitiesOf(cpuid),
      msrs: { read: () => false, write: () => false },
      time: { tsc: (out) => out.fill(0), writeTsc: () => {} },
      interrupts: { isPending: false, acknowledge: () => 0 },
      random: () => 4,
      observer: {
        exception: (vector, errorCode) => {
          this.seen = { vector, errorCode };
          this.processor.stop();
          return true;
        },
      },
      ...parts,
    });
    this.flat64();
    mmu.enter(this.context);
  }

  /** Long mode, identity-mapped by 2 MiB pages from tables in the last pages of RAM. */
  private flat64(): void {
    const { state } = this.processor;
    const view = new DataView(this.engine.memory.buffer, this.engine.physical.base);
    const top = this.ram.length - 0x6000;
    view.setBigUint64(top, BigInt(top + 0x1000) | 7n, true);
    for (let i = 0; i < 4; i++) {
      view.setBigUint64(top + 0x1000 + 8 * i, BigInt(top + 0x2000 + 0x1000 * i) | 7n, true);
      for (let j = 0; j < 512; j++)
        view.setBigUint64(top + 0x2000 + 0x1000 * i + 8 * j, (BigInt(i * 512 + j) << 21n) | 0x87n, true);
    }
    this.context.set({ cr0: 0x80050033 | 0, cr3: top, cr4: 0x40620, efer: 0x500 | 0x800 });
    for (let segment = 0; segment < 6; segment++) {
      state.set('segmentLast', -1, segment);
      state.set('segmentLimit', -1, segment);
      state.set('segmentRights', 3, segment);
      state.set('segmentAttributes', segment === Segment.cs ? 0xa09b : 0xc093, segment);
    }
    state.setPair('xcr0', 7, 0);
    state.set('mxcsr', 0x1f80);
    state.set('x87Control', 0x37f);
    this.processor.stateChanged();
  }

  register(number: number): bigint {
    return this.processor.state.getBig('gpr', number);
  }

  setRegister(number: number, value: bigint): void {
    this.processor.state.setBig('gpr', value, number);
  }

  set rip(value: number) {
    this.processor.state.setBig('rip', BigInt(value));
  }

  get rip(): bigint {
    return this.processor.state.getBig('rip');
  }
}
