import { CodeWriter, Compiler, detectFeatures, type MemoryShape, ModuleBuilder } from '@nest86/wasm';
import type { Block, CodeCache, Region } from '../engine/code-cache.ts';
import { regionType } from '../interpreter/core-handlers.ts';
import type { Handlers } from '../interpreter/handlers.ts';
import type { CallLibrary, LibraryFunction } from '../library/function.ts';
import { typeOfLibrary } from '../library/library.ts';
import type { Observation } from '../observation/observation.ts';
import { Row, record } from '../records/layout.ts';
import { materializeFlags } from './lazy-flags.ts';
import { RegionCollector, type RegionLimits } from './region-collector.ts';
import { packEntry, type RegionEntry } from './region-entry.ts';
import { findPages, PageList } from './region-pages.ts';
import type { BlockSteps } from './region-steps.ts';
import { RegionWriter } from './region-writer.ts';

/** What V8 compiles in reasonable time up to its version 12, and from 13 on (engine-decision A). */
const smallRegions: RegionLimits = { blocks: 16, instructions: 200 };
const largeRegions: RegionLimits = { blocks: 64, instructions: 800 };
/** Kept texts of failures. */
const mostFailures = 64;
const heatNever = 0x7fffffff;
/** Instructions below which a region waits for another that holds it, and for how many times the heat. */
const smallRegion = 32;
const patience = 8;
/** Who runs less often than one in so many of a block's runs needs no entry to come to it. */
const rareComer = 32;

/** Told of each region that was compiled, for traces. */
interface RegionObserver {
  /** @param bytes of WebAssembly */
  compiled(blocks: number, instructions: number, bytes: number): void;
}

interface Built {
  readonly module: Uint8Array<ArrayBuffer>;
  readonly entries: readonly RegionEntry[];
}

/** Reads records that the interpreter made, and compiles them: blocks that are linked to each other become one function. */
export class RegionCompiler {
  /** Regions and the bytes of their modules, since the start. */
  compiled = 0;
  compiledBytes = 0;
  /** Why regions could not be compiled. */
  readonly failures: string[] = [];
  private readonly collector: RegionCollector;
  /** Who keeps what is compiled; undefined: nobody. */
  observation: Observation | undefined;
  observer: RegionObserver | undefined = undefined;
  private readonly code: CodeWriter;
  private readonly compiler: Compiler;

  constructor(
    private readonly view: DataView,
    private readonly memoryShape: MemoryShape,
    private readonly handlers: Handlers,
  ) {
    // Engines that have 64-bit memories compile large functions well.
    const limits = detectFeatures(WebAssembly).memory64 ? largeRegions : smallRegions;
    this.collector = new RegionCollector(view, handlers, limits);
    this.code = new CodeWriter(memoryShape);
    this.compiler = new Compiler(this.code);
  }

  /** Compiles the region that begins at a block, and lets its blocks lead to it. */
  compile(entry: Block, code: CodeCache): void {
    this.observation?.ranOut(entry);
    try {
      this.decide(entry, code);
    } catch (error) {
      // What cannot be compiled is a defect, but not the guest's: its code stays interpreted.
      this.view.setInt32(entry.record + record.heat, heatNever, true);
      if (this.failures.length < mostFailures) this.failures.push(String(error));
    }
    this.observation?.decided(entry);
  }

  private decide(entry: Block, code: CodeCache): void {
    const [holder] = entry.regions;
    if (holder !== undefined && !entry.isCompiled) {
      this.addEntries(entry, holder, code);
      return;
    }
    const blocks = this.collector.collect(entry, code);
    const isSmall = blocks.reduce((sum, { block }) => sum + block.count, 0) < smallRegion;
    if (isSmall && entry.executions === 0) {
      // A function of a few instructions, as it seems: it becomes part of its callers' regions, or is hot once more.
      entry.executions = code.executions(entry.record);
      this.view.setInt32(entry.record + record.heat, Math.min(heatNever, entry.heat * patience), true);
      return;
    }
    this.view.setInt32(entry.record + record.heat, heatNever, true);
    if (blocks.length > 0) this.compileBlocks(blocks, code);
  }

  /** A region is compiled anew, with entries where it has been left out of account that it is come to. */
  private addEntries(entry: Block, region: Region, code: CodeCache): void {
    const { view } = this;
    for (const block of region.blocks) {
      const isWaiting = !block.isCompiled && block.isValid;
      const heat = view.getInt32(block.record + record.heat, true);
      if (isWaiting && (block === entry || block.heat * patience - heat > block.heat)) block.isMissed = true;
    }
    const blocks = region.blocks.map((block, i) => this.collector.read(block, region.pageDeltas[i]));
    code.dissolve(region);
    view.setInt32(entry.record + record.heat, heatNever, true);
    this.compileBlocks(blocks, code);
  }

  private compileBlocks(blocks: readonly BlockSteps[], code: CodeCache): void {
    const pages = new PageList(blocks);
    let cells = 0;
    if (pages.records > 0) {
      cells = code.extraRecord(blocks[0].block, pages.records);
      if (cells === 0) return;
      pages.writeCells(this.view, cells);
    }
    const library = new Set(cells === 0 ? [materializeFlags] : [materializeFlags, findPages]);
    for (const { steps } of blocks) for (const step of steps) for (const fn of step.library) library.add(fn);
    for (const fn of library) this.handlers.libraryRow(fn);
    this.handlers.build();
    const { module, entries } = this.build(blocks, pages, cells, linkedBlocks(blocks, code), [...library]);
    const slot = this.handlers.install(module, [...library]);
    if (slot < 0) return;
    this.compiled++;
    this.compiledBytes += module.length;
    this.observer?.compiled(
      blocks.length,
      blocks.reduce((sum, { block }) => sum + block.count, 0),
      module.length,
    );
    const region = {
      slot,
      blocks: blocks.map(({ block }) => block),
      pageDeltas: blocks.map(({ pageDelta }) => pageDelta),
    };
    for (const [i, block] of region.blocks.entries()) {
      block.regions = [...block.regions, region];
      if (block.isCompiled) continue;
      block.executions = code.executions(block.record);
      const entry = entries.find((one) => one.block === i);
      if (entry === undefined) {
        // If it is come to all the same, and often, it gets a region of its own.
        this.view.setInt32(block.record + record.heat, Math.min(heatNever, block.heat * patience), true);
        this.observation?.decided(block);
        continue;
      }
      block.isCompiled = true;
      this.view.setInt32(block.record + record.displacement, packEntry(entry), true);
      this.view.setInt32(block.record + record.slot, slot, true);
      this.view.setUint16(block.record + record.handler, Row.region, true);
    }
  }

  private build(
    blocks: readonly BlockSteps[],
    pages: PageList,
    cells: number,
    linked: ReadonlySet<number>,
    library: readonly LibraryFunction[],
  ): Built {
    const module = new ModuleBuilder();
    module.importMemory('engine', 'memory', this.memoryShape);
    const callees = new Map(
      library.map((fn) => {
        const type = typeOfLibrary(fn);
        return [fn, { name: fn.name, type, index: module.importFunction('library', fn.name, type) }];
      }),
    );
    const index = module.declareFunction(regionType, `region_${blocks[0].block.record.toString(16)}`);
    const { code, compiler } = this;
    code.begin(regionType);
    const call: CallLibrary = (fn, args) => compiler.call(callees.get(fn)!, args);
    const writer = new RegionWriter(code, compiler, blocks, this.view, call, pages, cells, linked);
    if (this.observation !== undefined) writer.marks = [];
    writer.write();
    code.finish();
    if (writer.marks !== undefined) this.observation?.compiled(blocks, code.body.take(), writer.marks);
    module.define(index, code);
    module.exportFunction(index, 'region');
    return { module: module.finish(), entries: writer.entries };
  }
}

/** Numbers of the blocks that others lead to which are not of the region, and not rare. */
function linkedBlocks(blocks: readonly BlockSteps[], code: CodeCache): Set<number> {
  const inside = new Set(blocks.map(({ block }) => block));
  const linked = new Set<number>();
  for (const [index, { block }] of blocks.entries()) {
    const least = code.executions(block.record) / rareComer;
    const isLinked = block.comers.some(
      (other) => other.isValid && !inside.has(other) && code.executions(other.record) >= least,
    );
    if (isLinked) linked.add(index);
  }
  return linked;
}
