import {
  CodeWriter,
  Compiler,
  type FunctionType,
  type MemoryShape,
  ModuleBuilder,
  Op,
  ValueType,
} from '@nest86/wasm';
import type { CallLibrary, LibraryFunction } from '../library/function.ts';
import { Row } from '../records/layout.ts';
import { definitions } from '../semantics/definitions.ts';
import type { Definition } from '../semantics/operation.ts';
import { privilegeChanges } from '../semantics/system/transitions.ts';
import { writeCoreHandlers } from './core-handlers.ts';
import { type HandlerImports, HandlerOperation } from './handler-operation.ts';
import type { RegisterUse } from './register-use.ts';
import { type HandlerShape, shapeName } from './shape.ts';

/** (state, record, budget): a handler calls the next one in tail position, so a run is one call. */
const handlerType: FunctionType = {
  parameters: [ValueType.i32, ValueType.i32, ValueType.i32],
  results: [],
};
const accessType: FunctionType = {
  parameters: [ValueType.i32, ValueType.i32, ValueType.i32, ValueType.i32, ValueType.i32],
  results: [ValueType.i32],
};
/** Live regions; browsers fail at tens of thousands of modules. */
const maximumRegions = 16384;
/** 64 instructions, and what they call. */
const rowsPerBlock = 512;
const commitType: FunctionType = { parameters: [ValueType.i32, ValueType.i32], results: [] };

/** What the engine gives to handlers: see {@link HandlerImports}. */
export interface HandlerServices {
  access(state: number, record: number, low: number, high: number, what: number): number;
  commit(state: number, slot: number): void;
}

/**
 * The interpreter's functions, in the table that handlers, regions and library functions share. A handler is built when the first instruction
 * of its shape is decoded; all that one block needs come in one module.
 */
export class Handlers {
  private readonly rows = new Map<string, number>();
  private readonly waiting: { readonly row: number; readonly shape: HandlerShape }[] = [];
  private readonly shapes: (HandlerShape | undefined)[] = [];
  private readonly uses: (RegisterUse | undefined)[] = [];
  private readonly regionDefinitions: (Definition | undefined)[] = [];
  private readonly called: (readonly LibraryFunction[] | undefined)[] = [];
  private readonly libraryRows = new Map<LibraryFunction, number>();
  private readonly waitingLibrary: { readonly row: number; readonly fn: LibraryFunction }[] = [];
  private table!: WebAssembly.Table;
  private nextRow: number = Row.firstInstruction;
  /** Slots of regions that were ever taken, and those of them that are free again. */
  private regions = 0;
  private readonly freeSlots: number[] = [];
  private regionTable!: WebAssembly.Table;
  private entry: ((state: number, record: number, budget: number) => void) | undefined;
  private imports!: WebAssembly.Imports;

  constructor(
    private readonly memory: WebAssembly.Memory,
    private readonly shape: MemoryShape,
    private readonly services: HandlerServices,
    private readonly capacity: number = 8192,
  ) {
    this.begin();
  }

  /** Tables with the core handlers alone. Tables keep every instance that imported them alive: with new ones, what was built before goes. */
  private begin(): void {
    const { services } = this;
    this.table = new WebAssembly.Table({ element: 'anyfunc', initial: this.capacity });
    this.regionTable = new WebAssembly.Table({ element: 'anyfunc', initial: 1024 });
    this.imports = {
      engine: {
        memory: this.memory,
        handlers: this.table,
        regions: this.regionTable,
        access: (state: number, rec: number, low: number, high: number, what: number) =>
          services.access(state, rec, low, high, what),
        commit: (state: number, slot: number) => services.commit(state, slot),
      },
    };
    this.buildCore();
  }

  /** Row of the handler for a shape; it can be called after {@link build}. */
  rowOf(shape: HandlerShape): number {
    const name = shapeName(shape);
    let row = this.rows.get(name);
    if (row === undefined) {
      row = this.nextRow++;
      this.rows.set(name, row);
      this.waiting.push({ row, shape });
      this.shapes[row] = shape;
      this.regionDefinitions[row] = definitionInRegions(shape);
    }
    return row;
  }

  /** Library functions that the handler's definition calls. */
  libraryOf(row: number): readonly LibraryFunction[] {
    return this.called[row] ?? [];
  }

  /** What is known of a handler that was built. */
  registerUse(row: number): RegisterUse | undefined {
    return this.uses[row];
  }

  shapeOf(row: number): HandlerShape | undefined {
    return this.shapes[row];
  }

  /** See {@link definitionInRegions}. */
  regionDefinition(row: number): Definition | undefined {
    return this.regionDefinitions[row];
  }

  /** Row of a library function, built with the next {@link build}. */
  libraryRow(fn: LibraryFunction): number {
    let row = this.libraryRows.get(fn);
    if (row === undefined) {
      row = this.nextRow++;
      this.libraryRows.set(fn, row);
      this.waitingLibrary.push({ row, fn });
    }
    return row;
  }

  private libraryCaller(module: ModuleBuilder, compiler: Compiler): CallLibrary {
    return (fn, args) => {
      const type = module.type(functionType(fn));
      for (const arg of args) compiler.push(arg);
      compiler.code.i32Const(this.libraryRow(fn));
      compiler.code.callIndirect(type);
      return fn.result === undefined ? undefined : compiler.pop(fn.result);
    };
  }

  has(mnemonic: string): boolean {
    return Object.hasOwn(definitions, mnemonic);
  }

  /** Puts a compiled region into a slot and answers it, or -1 if all are taken. */
  install(module: Uint8Array<ArrayBuffer>, library: readonly LibraryFunction[]): number {
    const { regionTable } = this;
    if (this.freeSlots.length === 0 && this.regions === regionTable.length) {
      if (regionTable.length >= maximumRegions) return -1;
      regionTable.grow(1024);
    }
    const functions = Object.fromEntries(
      library.map((fn) => [fn.name, this.table.get(this.libraryRow(fn)) as () => void]),
    );
    const instance = new WebAssembly.Instance(new WebAssembly.Module(module), {
      engine: { memory: this.memory },
      library: functions,
    });
    const slot = this.freeSlots.pop() ?? this.regions++;
    regionTable.set(slot, instance.exports.region as () => void);
    return slot;
  }

  /** Regions that hold a slot. */
  get liveRegions(): number {
    return this.regions - this.freeSlots.length;
  }

  /** Frees the slot of a region that no record leads to any more. It may still be running. */
  removeRegion(slot: number): void {
    this.regionTable.set(slot, null);
    this.freeSlots.push(slot);
  }

  /** Frees the slots of all regions; nothing may lead to them any more. */
  removeRegions(): void {
    for (let slot = 0; slot < this.regions; slot++) this.regionTable.set(slot, null);
    this.regions = 0;
    this.freeSlots.length = 0;
  }

  /** Whether a block might need more rows than are left: everything must be forgotten first. */
  get isFull(): boolean {
    return this.nextRow + rowsPerBlock > this.capacity;
  }

  /** Forgets all handlers but the core, and all regions; nothing may lead to them any more. */
  reset(): void {
    this.rows.clear();
    this.libraryRows.clear();
    this.shapes.length = 0;
    this.uses.length = 0;
    this.regionDefinitions.length = 0;
    this.called.length = 0;
    this.waiting.length = 0;
    this.waitingLibrary.length = 0;
    this.nextRow = Row.firstInstruction;
    this.regions = 0;
    this.freeSlots.length = 0;
    this.begin();
  }

  /** Builds what is waiting. */
  build(): void {
    while (this.waiting.length + this.waitingLibrary.length > 0) {
      const module = this.newModule();
      const imports = importServices(module);
      const code = new CodeWriter(this.shape);
      const compiler = new Compiler(code);
      const type = module.type(handlerType);
      const library = this.libraryCaller(module, compiler);
      const rows: number[] = [];
      const functions: number[] = [];
      for (const { row, shape } of this.waiting.splice(0)) {
        const index = module.declareFunction(handlerType, shapeName(shape));
        code.begin(handlerType);
        compiler.begin();
        const called = new Set<LibraryFunction>();
        const noting: CallLibrary = (fn, args) => {
          called.add(fn);
          return library(fn, args);
        };
        this.uses[row] = writeHandler(compiler, shape, imports, noting, type).registerUse;
        if (called.size > 0) this.called[row] = [...called];
        code.finish();
        module.define(index, code);
        rows.push(row);
        functions.push(index);
      }
      // Building one may ask for others.
      for (let next = this.waitingLibrary.pop(); next !== undefined; next = this.waitingLibrary.pop()) {
        const { row, fn } = next;
        const index = module.declareFunction(functionType(fn), fn.name);
        writeLibraryFunction(code, compiler, fn, library);
        module.define(index, code);
        rows.push(row);
        functions.push(index);
      }
      for (const [i, row] of rows.entries()) module.fillTable(row, [functions[i]]);
      new WebAssembly.Instance(new WebAssembly.Module(module.finish()), this.imports);
    }
  }

  /** Runs from a block's record until something needs TypeScript; `exitReason` in the state tells what. */
  run(state: number, blockRecord: number, budget: number): void {
    this.entry?.(state, blockRecord, budget);
  }

  private newModule(): ModuleBuilder {
    const module = new ModuleBuilder();
    module.importMemory('engine', 'memory', this.shape);
    module.importTable('engine', 'handlers', 1);
    return module;
  }

  private buildCore(): void {
    const module = this.newModule();
    module.importTable('engine', 'regions', 1);
    importServices(module);
    const code = new CodeWriter(this.shape);
    module.fillTable(0, writeCoreHandlers(module, code, new Compiler(code)));
    const instance = new WebAssembly.Instance(new WebAssembly.Module(module.finish()), this.imports);
    this.entry = instance.exports.run as (state: number, record: number, budget: number) => void;
  }
}

/** What regions write for instructions of a shape; undefined: they leave them to the interpreter. */
export function definitionInRegions({ repeat, mnemonic }: HandlerShape): Definition | undefined {
  return repeat !== 0 || privilegeChanges.has(mnemonic) ? undefined : definitions[mnemonic];
}

function functionType(fn: LibraryFunction): FunctionType {
  return { parameters: fn.parameters, results: fn.result === undefined ? [] : [fn.result] };
}

/** What handlers import, in the order in which a module lists it. */
export function importServices(module: ModuleBuilder): HandlerImports {
  const access = module.importFunction('engine', 'access', accessType);
  const commit = module.importFunction('engine', 'commit', commitType);
  return {
    access: { name: 'access', type: accessType, index: access },
    commit: { name: 'commit', type: commitType, index: commit },
  };
}

/** Writes one handler with `compiler`, whose function was begun. @param type index of the type of handlers */
export function writeHandler(
  compiler: Compiler,
  shape: HandlerShape,
  imports: HandlerImports,
  library: CallLibrary,
  type: number,
): HandlerOperation {
  const cells = {
    state: compiler.variable(ValueType.i32, 0),
    record: compiler.variable(ValueType.i32, 1),
    budget: compiler.variable(ValueType.i32, 2),
  };
  const operation = new HandlerOperation(compiler, shape, imports, library, cells, {
    dispatch: (state, target, budget) => {
      compiler.push(state);
      compiler.push(target);
      compiler.push(budget);
      compiler.push(compiler.load(Op.i32Load16U, target, 0));
      compiler.code.returnCallIndirect(type);
    },
    leave: () => compiler.code.op(Op.return),
  });
  definitions[shape.mnemonic](operation);
  operation.finish();
  return operation;
}

function writeLibraryFunction(
  code: CodeWriter,
  compiler: Compiler,
  fn: LibraryFunction,
  library: CallLibrary,
): void {
  code.begin(functionType(fn));
  compiler.begin();
  const parameters = fn.parameters.map((type, i) => compiler.variable(type, i));
  const result = fn.build(
    compiler,
    parameters.map((parameter) => compiler.read(parameter)),
    library,
  );
  if (result !== undefined) compiler.push(result);
  code.finish();
}
