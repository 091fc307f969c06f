import {
  CodeWriter,
  Compiler,
  type FunctionType,
  type MemoryShape,
  ModuleBuilder,
  Op,
  ValueType,
} from '@nest86/wasm';
import { ExitReason, record, recordSize } from '../records/layout.ts';
import { definitions } from '../semantics/definitions.ts';
import { stateOffset } from '../state/layout.ts';
import { HandlerOperation } from './handler-operation.ts';
import { type HandlerShape, shapeName } from './shape.ts';

/** (state, record, budget): a handler calls the next one in tail position, so a run is one call. */
const handlerType: FunctionType = { parameters: [ValueType.i32, ValueType.i32, ValueType.i32], results: [] };
const accessType: FunctionType = {
  parameters: [ValueType.i32, ValueType.i32, ValueType.i32, ValueType.i32, ValueType.i32],
  results: [ValueType.i32],
};
const commitType: FunctionType = { parameters: [ValueType.i32, ValueType.i32], results: [] };

/** What the engine gives to handlers: see {@link HandlerOperation}. */
export interface HandlerServices {
  access(state: number, record: number, low: number, high: number, what: number): number;
  commit(state: number, record: number): void;
}

/** Handler 0: start of a block, takes its length from the budget or ends the run. */
export const blockHandler = 0;

/**
 * The interpreter's functions. A handler is built when the first instruction of its shape is decoded; all that one block needs come in one
 * module.
 */
export class Handlers {
  private readonly rows = new Map<string, number>();
  private readonly waiting: HandlerShape[] = [];
  private readonly shapes: (HandlerShape | undefined)[] = [undefined];
  private readonly table: WebAssembly.Table;
  private built = 0;
  private regions = 0;
  private entry: ((state: number, record: number, budget: number) => void) | undefined;

  constructor(
    private readonly memory: WebAssembly.Memory,
    private readonly shape: MemoryShape,
    private readonly services: HandlerServices,
    capacity = 8192,
  ) {
    this.table = new WebAssembly.Table({ element: 'anyfunc', initial: capacity });
    this.rows.set('', blockHandler);
  }

  /** Row of the handler for a shape; it can be called after {@link build}. */
  rowOf(shape: HandlerShape): number {
    const name = shapeName(shape);
    let row = this.rows.get(name);
    if (row === undefined) {
      row = this.rows.size;
      this.rows.set(name, row);
      this.waiting.push(shape);
      this.shapes[row] = shape;
    }
    return row;
  }

  shapeOf(row: number): HandlerShape | undefined {
    return this.shapes[row];
  }

  /** Puts a compiled region into the table, at the far end from the handlers; answers its row. */
  install(module: Uint8Array<ArrayBuffer>): number {
    const instance = new WebAssembly.Instance(new WebAssembly.Module(module), {
      engine: { memory: this.memory, handlers: this.table },
    });
    const row = this.table.length - 1 - this.regions++;
    this.table.set(row, instance.exports.region as () => void);
    return row;
  }

  has(mnemonic: string): boolean {
    return mnemonic in definitions;
  }

  /** Builds what is waiting. */
  build(): void {
    if (this.waiting.length === 0 && this.built > 0) return;
    const module = new ModuleBuilder();
    module.importMemory('engine', 'memory', this.shape);
    module.importTable('engine', 'handlers', 1);
    const imports = {
      access: {
        name: 'access',
        type: accessType,
        index: module.importFunction('engine', 'access', accessType),
      },
      commit: {
        name: 'commit',
        type: commitType,
        index: module.importFunction('engine', 'commit', commitType),
      },
    };
    const code = new CodeWriter(this.shape);
    const compiler = new Compiler(code);
    const typeIndex = module.type(handlerType);
    const functions: number[] = [];
    const first = this.built;
    if (first === 0) {
      functions.push(this.buildBlock(module, code, compiler, typeIndex));
      module.exportFunction(functions[0], 'run');
    }
    for (const shape of this.waiting) {
      const index = module.declareFunction(handlerType, shapeName(shape));
      code.begin(handlerType);
      compiler.begin();
      const cells = {
        state: compiler.variable(ValueType.i32, 0),
        record: compiler.variable(ValueType.i32, 1),
        budget: compiler.variable(ValueType.i32, 2),
      };
      const operation = new HandlerOperation(compiler, shape, imports, cells, typeIndex);
      definitions[shape.mnemonic](operation);
      operation.finish();
      code.finish();
      module.define(index, code);
      functions.push(index);
    }
    module.fillTable(first, functions);
    const instance = new WebAssembly.Instance(new WebAssembly.Module(module.finish()), {
      engine: {
        memory: this.memory,
        handlers: this.table,
        access: (state: number, rec: number, low: number, high: number, what: number) =>
          this.services.access(state, rec, low, high, what),
        commit: (state: number, rec: number) => this.services.commit(state, rec),
      },
    });
    this.entry ??= instance.exports.run as (state: number, record: number, budget: number) => void;
    this.built += functions.length;
    this.waiting.length = 0;
  }

  /** Runs from a block's record until something needs TypeScript; `exitReason` in the state tells what. */
  run(state: number, blockRecord: number, budget: number): void {
    this.entry?.(state, blockRecord, budget);
  }

  private buildBlock(module: ModuleBuilder, code: CodeWriter, x: Compiler, typeIndex: number): number {
    const index = module.declareFunction(handlerType, 'block');
    code.begin(handlerType);
    x.begin();
    const state = x.variable(ValueType.i32, 0);
    const rec = x.variable(ValueType.i32, 1);
    const budget = x.variable(ValueType.i32, 2);
    const length = x.load(Op.i32Load, x.read(rec), record.immediate);
    x.if(
      x.compute(Op.i32LtS, x.read(budget), length),
      () => {
        x.store(Op.i32Store, x.read(state), x.i32(ExitReason.budget), stateOffset.exitReason);
        x.store(Op.i32Store, x.read(state), x.read(rec), stateOffset.exitRecord);
        x.store(Op.i32Store, x.read(state), x.read(budget), stateOffset.budget);
        code.op(Op.return);
      },
      undefined,
      false,
    );
    x.write(budget, x.sub(x.read(budget), length));
    const next = x.add(x.read(rec), x.i32(recordSize));
    x.push(x.read(state));
    x.push(next);
    x.push(x.read(budget));
    x.push(x.load(Op.i32Load16U, next, record.handler));
    code.returnCallIndirect(typeIndex);
    code.finish();
    module.define(index, code);
    return index;
  }
}
