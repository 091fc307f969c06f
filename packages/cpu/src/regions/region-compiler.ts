import { CodeWriter, Compiler, type MemoryShape, ModuleBuilder } from '@nest86/wasm';
import type { Block, CodeCache } from '../engine/code-cache.ts';
import { regionType } from '../interpreter/core-handlers.ts';
import type { Handlers } from '../interpreter/handlers.ts';
import type { CallLibrary, LibraryFunction } from '../library/function.ts';
import { typeOfLibrary } from '../library/library.ts';
import { Row, record, recordSize } from '../records/layout.ts';
import { materializeFlags } from './lazy-flags.ts';
import type { BlockSteps, Step } from './region-steps.ts';
import { RegionWriter } from './region-writer.ts';

/** Engine-decisions A: what V8 up to 12 compiles in reasonable time. */
const maximumBlocks = 16;
const maximumInstructions = 200;
const heatNever = 0x7fffffff;

/** A block to be looked at. */
interface Candidate {
  readonly record: number;
  readonly pageDelta: number;
}

/** Reads records that the interpreter made, and compiles them: blocks that are linked to each other become one function. */
export class RegionCompiler {
  /** Regions and the bytes of their modules, since the start. */
  compiled = 0;
  compiledBytes = 0;
  /** Why regions could not be compiled. */
  readonly failures: string[] = [];

  constructor(
    private readonly view: DataView,
    private readonly memoryShape: MemoryShape,
    private readonly handlers: Handlers,
  ) {}

  /** Compiles the region that begins at a block, and lets its blocks lead to it. */
  compile(entry: Block, code: CodeCache): void {
    const blocks = this.collect(entry, code);
    this.view.setInt32(entry.record + record.heat, heatNever, true);
    if (blocks.length === 0) return;
    try {
      this.compileBlocks(blocks);
    } catch (error) {
      // A definition that cannot be compiled is a defect, but not the guest's: its code stays interpreted.
      this.failures.push(String(error));
    }
  }

  private compileBlocks(blocks: readonly BlockSteps[]): void {
    const library = new Set([materializeFlags]);
    for (const { steps } of blocks) for (const step of steps) for (const fn of step.library) library.add(fn);
    for (const fn of library) this.handlers.libraryRow(fn);
    this.handlers.build();
    const module = this.build(blocks, [...library]);
    const slot = this.handlers.install(module, [...library]);
    if (slot < 0) return;
    this.compiled++;
    this.compiledBytes += module.length;
    const region = { slot, blocks: blocks.map(({ block }) => block) };
    for (const [i, block] of region.blocks.entries()) {
      this.view.setInt32(block.record + record.displacement, i, true);
      this.view.setInt32(block.record + record.slot, slot, true);
      this.view.setUint16(block.record + record.handler, Row.region, true);
      block.region = region;
    }
  }

  private build(blocks: readonly BlockSteps[], library: readonly LibraryFunction[]): Uint8Array<ArrayBuffer> {
    const module = new ModuleBuilder();
    module.importMemory('engine', 'memory', this.memoryShape);
    const callees = new Map(
      library.map((fn) => {
        const type = typeOfLibrary(fn);
        return [fn, { name: fn.name, type, index: module.importFunction('library', fn.name, type) }];
      }),
    );
    const index = module.declareFunction(regionType, `region_${blocks[0].block.record.toString(16)}`);
    const code = new CodeWriter(this.memoryShape);
    code.begin(regionType);
    const compiler = new Compiler(code);
    const call: CallLibrary = (fn, args) => compiler.call(callees.get(fn)!, args);
    new RegionWriter(code, compiler, blocks, this.view, call).write();
    code.finish();
    module.define(index, code);
    module.exportFunction(index, 'region');
    return module.finish();
  }

  /** Blocks that are linked to each other, with what falls through behind what it falls from. */
  private collect(entry: Block, code: CodeCache): BlockSteps[] {
    const blocks: BlockSteps[] = [];
    const seen = new Set<number>();
    const waiting: Candidate[] = [{ record: entry.record, pageDelta: 0 }];
    let instructions = 0;
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      const { record: start, pageDelta } = next;
      const block = code.blockOf(start);
      if (seen.has(start) || block === undefined || block.record !== start || !block.isValid) continue;
      seen.add(start);
      // A block may be in one region only, and what crosses into another page is interpreted.
      if (block.region !== undefined || block.secondPage >= 0) continue;
      if (blocks.length > 0 && instructions + block.count > maximumInstructions) continue;
      const steps = this.steps(block);
      instructions += block.count;
      blocks.push({ block, steps, pageDelta });
      if (blocks.length >= maximumBlocks) break;
      waiting.push(...this.successors(block, steps, pageDelta, code));
    }
    return blocks;
  }

  /** The likeliest last. */
  private successors(
    block: Block,
    steps: readonly Step[],
    pageDelta: number,
    code: CodeCache,
  ): readonly Candidate[] {
    const { fields, shape } = steps[steps.length - 1];
    if (shape === undefined) return this.linked(fields.immediate, pageDelta);
    if (shape.operands[0]?.kind !== 'relative') return [];
    const taken = this.linked(fields.immediate, pageDelta);
    if (shape.mnemonic !== 'CALL') return [...taken, ...this.linked(fields.displacement, pageDelta)];
    // Where the call will return to, if that has been executed already.
    const after = fields.next < 4096 ? code.find(block.page + fields.next, block.mode) : undefined;
    return after === undefined ? taken : [{ record: after.record, pageDelta }, ...taken];
  }

  /** The block behind a link, which may be an edge to another page. */
  private linked(link: number, pageDelta: number): readonly Candidate[] {
    const { view } = this;
    if (link === 0) return [];
    if (view.getUint16(link + record.handler, true) !== Row.page) return [{ record: link, pageDelta }];
    const delta = view.getInt32(link + record.displacement, true);
    return [{ record: view.getInt32(link + record.target, true), pageDelta: pageDelta + delta }];
  }

  private steps(block: Block): Step[] {
    const { view, handlers } = this;
    const steps: Step[] = [];
    for (let i = 0; i <= block.count; i++) {
      const at = block.record + recordSize * (i + 1);
      const row = view.getUint16(at + record.handler, true);
      // Behind the last instruction there is a record only if the block leads on.
      if (i === block.count && row !== Row.end) break;
      const position = view.getUint16(at + record.position, true);
      const shape = handlers.shapeOf(row);
      steps.push({
        record: at,
        shape,
        implicit: handlers.implicitRegisters(row),
        library: handlers.libraryOf(row),
        fields: {
          a: view.getUint8(at + record.a),
          b: view.getUint8(at + record.b),
          base: view.getUint8(at + record.base),
          index: view.getUint8(at + record.index),
          last: view.getUint8(at + record.last),
          displacement: view.getInt32(at + record.displacement, true),
          immediate: view.getInt32(at + record.immediate, true),
          start: position & 0xfff,
          next: (position & 0xfff) + (position >> 12),
        },
      });
    }
    return steps;
  }
}
