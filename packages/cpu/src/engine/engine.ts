import { PhysicalMemory } from '@nest86/mmu';
import type { MemoryShape } from '@nest86/wasm';
import { Handlers } from '../interpreter/handlers.ts';
import { bankSize } from '../memory/fast-tlb.ts';
import { Observation } from '../observation/observation.ts';
import { CodeModes } from '../records/code-mode.ts';
import { RegionCompiler } from '../regions/region-compiler.ts';
import { stateSize } from '../state/layout.ts';
import { CodeCache } from './code-cache.ts';
import { checkEngineOptions, EngineOptionError, type EngineOptions } from './options.ts';
import type { Processor } from './processor.ts';
import type { EngineStatistics } from './statistics.ts';

/** Banks of the fast TLB for each processor. */
export const banksPerProcessor = 16;
const heatNever = 0x7fffffff;

/** What processors share: the linear memory with the guest's RAM, generated code, the code cache. */
export class Engine {
  /** Holds everything: processors' states, decoded operations, and at its end the guest's RAM. It never grows. */
  readonly memory: WebAssembly.Memory;
  /** The guest-physical address map, to which RAM and devices are added. */
  readonly physical: PhysicalMemory;
  readonly vendor: 'intel' | 'amd';
  /** @internal */
  readonly view: DataView;
  /** @internal */
  readonly handlers: Handlers;
  /** @internal */
  readonly code: CodeCache;
  /** @internal */
  readonly modes: CodeModes;
  /** @internal */
  readonly regions: RegionCompiler;
  /** By address of the state block. */
  private readonly processors = new Map<number, Processor>();
  private readonly places: number;

  /** @throws EngineOptionError also if the memory would be larger than 4 GiB, or cannot be had */
  constructor(options: EngineOptions) {
    checkEngineOptions(options);
    const { ramSize, vendor = 'intel', processors = 1, accel = 'jit', heat = 1500 } = options;
    const perProcessor = stateSize + banksPerProcessor * bankSize;
    const records = align(4096 + processors * perProcessor, 65536);
    const recordBytes = align(options.recordBytes ?? 24 << 20, 65536);
    const ram = records + recordBytes;
    const total = ram + align(ramSize, 65536);
    if (total > 2 ** 32)
      throw new EngineOptionError(
        `ramSize ${ramSize}: at most ${2 ** 32 - ram} fit the engine's memory of 4 GiB`,
      );
    this.places = processors;
    this.vendor = vendor;
    const pages = total / 65536;
    const shape: MemoryShape = {
      addressType: 'i32',
      shared: false,
      minimumPages: pages,
      maximumPages: pages,
    };
    this.memory = reserve(pages);
    this.view = new DataView(this.memory.buffer);
    this.physical = new PhysicalMemory({
      buffer: this.memory.buffer,
      offset: ram,
      size: align(ramSize, 65536),
    });
    this.modes = new CodeModes(vendor, options.cpuid);
    this.handlers = new Handlers(this.memory, shape, {
      access: (state, _record, low, high, what) => this.processorAt(state).memory.access(low, high, what),
      commit: (state, slot) => this.processorAt(state).memory.commit(slot),
    });
    this.code = new CodeCache(
      this.view,
      this.physical,
      records,
      ram,
      this.handlers,
      accel === 'interp' ? heatNever : heat,
      () => {
        for (const processor of this.processors.values()) processor.codeFlushed();
      },
    );
    this.regions = new RegionCompiler(this.view, shape, this.handlers);
    if (options.observes === true) {
      this.code.observation = new Observation(new Uint8Array(this.memory.buffer), this.code);
      this.regions.observation = this.code.observation;
    }
    this.physical.addListener({
      layoutChanged: () => {
        for (const processor of this.processors.values()) processor.layoutChanged();
      },
      pagesProtected: (first, count) => {
        for (const processor of this.processors.values()) processor.banks.protect(ram + first * 4096, count);
      },
    });
  }

  get statistics(): EngineStatistics {
    const { code, regions } = this;
    return {
      translated: code.translated,
      invalidated: code.invalidations,
      flushes: code.flushes,
      regions: regions.compiled,
      regionBytes: regions.compiledBytes,
      failures: regions.failures,
    };
  }

  /** @internal Gives a processor its place. @throws RangeError if there are as many as there may be */
  place(processor: Processor, index: number): { state: number; banks: number } {
    if (index >= this.places)
      throw new RangeError(`processor ${index}: the engine was made for ${this.places}`);
    const state = 4096 + index * (stateSize + banksPerProcessor * bankSize);
    this.processors.set(state, processor);
    return { state, banks: state + stateSize };
  }

  private processorAt(state: number): Processor {
    return this.processors.get(state)!;
  }
}

function reserve(pages: number): WebAssembly.Memory {
  try {
    return new WebAssembly.Memory({ initial: pages, maximum: pages });
  } catch {
    throw new EngineOptionError(`the host has no ${pages / 16} MiB of memory in one piece for the engine`);
  }
}

function align(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}
