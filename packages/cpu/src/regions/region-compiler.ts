import {
  CodeWriter,
  Compiler,
  type FunctionType,
  type Label,
  type MemoryShape,
  ModuleBuilder,
  Op,
  ValueType,
  type Variable,
} from '@nest86/wasm';
import type { HandlerShape } from '../interpreter/shape.ts';
import { record, recordSize } from '../records/layout.ts';
import { definitions } from '../semantics/definitions.ts';
import { stateOffset } from '../state/layout.ts';
import { LazyFlags } from './lazy-flags.ts';
import { type RecordFields, RegionOperation } from './region-operation.ts';

const handlerType: FunctionType = { parameters: [ValueType.i32, ValueType.i32, ValueType.i32], results: [] };
/** Engine-decisions A: what V8 up to 12 compiles in reasonable time. */
const maximumBlocks = 16;
const maximumInstructions = 200;

interface Step {
  readonly record: number;
  readonly shape: HandlerShape;
  readonly fields: RecordFields;
}

interface Block {
  readonly record: number;
  readonly steps: readonly Step[];
}

/** Reads records that the interpreter made, and compiles them: blocks that are linked to each other become one function. */
export class RegionCompiler {
  constructor(
    private readonly view: DataView,
    private readonly memoryShape: MemoryShape,
    /** Shape of the handler in a row of the table. */
    private readonly shapeOf: (row: number) => HandlerShape | undefined,
  ) {}

  /** The module of the region that begins at a block's record, and the blocks that it may be entered at, in the order of their numbers. */
  compile(entry: number): { module: Uint8Array<ArrayBuffer>; blocks: readonly number[] } {
    const blocks = this.collect(entry);
    const module = new ModuleBuilder();
    module.importMemory('engine', 'memory', this.memoryShape);
    module.importTable('engine', 'handlers', 1);
    const type = module.type(handlerType);
    const index = module.declareFunction(handlerType, `region_${entry.toString(16)}`);
    const code = new CodeWriter(this.memoryShape);
    code.begin(handlerType);
    new RegionWriter(code, type, blocks).write();
    code.finish();
    module.define(index, code);
    module.exportFunction(index, 'region');
    return { module: module.finish(), blocks: blocks.map((block) => block.record) };
  }

  private collect(entry: number): Block[] {
    const blocks: Block[] = [];
    const queue = [entry];
    let instructions = 0;
    for (const start of queue) {
      const steps = this.steps(start);
      instructions += steps.length;
      if (blocks.length > 0 && (blocks.length >= maximumBlocks || instructions > maximumInstructions)) break;
      blocks.push({ record: start, steps });
      const { fields, shape } = steps[steps.length - 1];
      if (shape.operands[0]?.kind !== 'relative') continue;
      for (const target of [fields.displacement, fields.immediate]) {
        if (target !== 0 && !queue.includes(target)) queue.push(target);
      }
    }
    return blocks;
  }

  private steps(block: number): Step[] {
    const { view } = this;
    const count = view.getInt32(block + record.immediate, true);
    return Array.from({ length: count }, (_, i) => {
      const at = block + recordSize * (i + 1);
      const shape = this.shapeOf(view.getUint16(at + record.handler, true));
      if (shape === undefined) throw new Error(`record ${at} has no shape`);
      const position = view.getUint16(at + record.position, true);
      return {
        record: at,
        shape,
        fields: {
          a: view.getUint8(at + record.a),
          b: view.getUint8(at + record.b),
          base: view.getUint8(at + record.base),
          index: view.getUint8(at + record.index),
          displacement: view.getInt32(at + record.displacement, true),
          immediate: view.getInt32(at + record.immediate, true),
          next: (position & 0xfff) + (position >> 12),
        },
      };
    });
  }
}

/** Writes one region's function: a loop around a `br_table` to the blocks, and one epilogue for every way out (engine-decision B). */
class RegionWriter {
  private readonly x: Compiler;
  private readonly state: Variable;
  private readonly budget: Variable;
  private readonly entry: Variable;
  private readonly exitRecord: Variable;
  private readonly exitHandler: Variable;
  private readonly bank: Variable;
  private readonly pageBase: Variable;
  private readonly registers: (Variable | undefined)[];
  private readonly flags: LazyFlags;
  private epilogue: Label = 0;
  private top: Label = 0;

  constructor(
    private readonly code: CodeWriter,
    private readonly type: number,
    private readonly blocks: readonly Block[],
  ) {
    const x = new Compiler(code);
    this.x = x;
    x.begin();
    this.state = x.variable(ValueType.i32, 0);
    this.exitRecord = x.variable(ValueType.i32, 1);
    this.budget = x.variable(ValueType.i32, 2);
    this.entry = x.variable(ValueType.i32);
    this.exitHandler = x.variable(ValueType.i32);
    this.bank = x.variable(ValueType.i32);
    this.pageBase = x.variable(ValueType.i64);
    const used = usedRegisters(blocks);
    this.registers = used.map((isUsed) => (isUsed ? x.variable(ValueType.i64) : undefined));
    this.flags = new LazyFlags(x);
  }

  write(): void {
    const { x, code } = this;
    this.prologue();
    this.epilogue = code.block();
    this.top = code.loop();
    const labels = this.blocks.map(() => code.block()).reverse();
    x.push(x.read(this.entry));
    x.recycle();
    code.brTable(labels, labels[0]);
    for (const [i, block] of this.blocks.entries()) {
      code.end();
      this.block(block, i);
    }
    code.op(Op.unreachable);
    code.end();
    code.end();
    this.leaveFunction();
  }

  private prologue(): void {
    const { x } = this;
    const state = x.read(this.state);
    x.write(this.entry, x.load(Op.i32Load, x.read(this.exitRecord), record.displacement));
    x.write(this.bank, x.load(Op.i32Load, state, stateOffset.tlbBank));
    x.write(this.pageBase, x.load(Op.i64Load, state, stateOffset.pageBase));
    for (const [number, variable] of this.registers.entries()) {
      if (variable !== undefined) x.write(variable, x.load(Op.i64Load, state, stateOffset.gpr + 8 * number));
    }
    this.flags.load(state);
    x.recycle();
  }

  private block(block: Block, index: number): void {
    const { x } = this;
    this.flags.startBlock();
    const count = x.i32(block.steps.length);
    x.if(
      x.compute(Op.i32LtS, x.read(this.budget), count),
      () => this.leaveTo(block.record, 0),
      undefined,
      false,
    );
    x.write(this.budget, x.sub(x.read(this.budget), count));
    x.recycle();
    for (const step of block.steps) this.step(step, index);
  }

  private step(step: Step, index: number): void {
    const { x } = this;
    const leave = (): void => this.leaveTo(step.record, -1);
    if (step.shape.mnemonic === 'RET') {
      leave();
      return;
    }
    const operation = new RegionOperation(x, step.shape, step.fields, {
      state: this.state,
      bank: this.bank,
      pageBase: this.pageBase,
      registers: this.registers,
      flags: this.flags,
      leave,
      goTo: (isTaken) => {
        const target = this.blocks.findIndex(
          (block) => block.record === (isTaken ? step.fields.immediate : step.fields.displacement),
        );
        if (target < 0) leave();
        else if (target === index + 1 && !isTaken) return;
        else {
          x.write(this.entry, x.i32(target));
          this.code.br(this.top);
        }
      },
    });
    definitions[step.shape.mnemonic](operation);
    x.recycle();
  }

  /** The interpreter goes on at a record; `handler` 0 is the start of a block, -1 the one that the record names. */
  private leaveTo(target: number, handler: number): void {
    const { x } = this;
    x.write(this.exitRecord, x.i32(target));
    x.write(this.exitHandler, x.i32(handler));
    this.code.br(this.epilogue);
  }

  private leaveFunction(): void {
    const { x, code } = this;
    const state = x.read(this.state);
    for (const [number, variable] of this.registers.entries()) {
      if (variable !== undefined) x.store(Op.i64Store, state, x.read(variable), stateOffset.gpr + 8 * number);
    }
    this.flags.store(state);
    x.push(state);
    x.push(x.read(this.exitRecord));
    x.push(x.read(this.budget));
    const named = x.load(Op.i32Load16U, x.read(this.exitRecord), record.handler);
    x.push(x.select(x.eqz(x.read(this.exitHandler)), x.i32(0), named));
    code.returnCallIndirect(this.type);
  }
}

function usedRegisters(blocks: readonly Block[]): boolean[] {
  const used = new Array<boolean>(16).fill(false);
  for (const { steps } of blocks) {
    for (const { shape, fields } of steps) {
      for (const operand of shape.operands)
        if (operand.kind === 'register') used[fields[operand.field] >> 3] = true;
      if (shape.memory !== undefined) {
        if (fields.base < 128) used[fields.base >> 3] = true;
        if (shape.memory.scale >= 0) used[fields.index >> 3] = true;
      }
      if (['PUSH', 'POP', 'CALL', 'RET'].includes(shape.mnemonic)) used[4] = true;
    }
  }
  return used;
}
