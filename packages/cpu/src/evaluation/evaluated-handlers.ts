import { Evaluator, Op, ValueType, type Variable } from '@nest86/wasm';
import { type CoreFrame, coreDefinitions } from '../interpreter/core-handlers.ts';
import { type HandlerImports, HandlerOperation } from '../interpreter/handler-operation.ts';
import type { HandlerServices, Handlers } from '../interpreter/handlers.ts';
import { type Callees, libraryCalls } from '../library/evaluate-library.ts';
import type { CallLibrary } from '../library/function.ts';
import { record } from '../records/layout.ts';
import { definitions } from '../semantics/definitions.ts';
import { stateOffset } from '../state/layout.ts';

/** Thrown where a handler ends; what came of it is in `next`. */
const handlerEnd: unique symbol = Symbol('handler end');

/**
 * The third staging of definitions (design §3): what handlers are made from is computed at once, over the same linear memory and the same records, without
 * WebAssembly. Slow and simple; the oracle of encoder, expression builder and compiled regions.
 */
export class EvaluatedHandlers {
  /** Handlers that were evaluated, by row. */
  readonly counts: Map<number, number> = new Map();
  private readonly x: Evaluator;
  private readonly view: DataView;
  private readonly cells: { readonly state: Variable; readonly record: Variable; readonly budget: Variable };
  private readonly library: CallLibrary;
  /** The record to go on with, or 0 for TypeScript; and the budget that is left. */
  private next = 0;
  private left = 0;

  /** @param handlers whose rows the records name; they need not be built */
  constructor(
    memory: ArrayBufferLike,
    private readonly handlers: Handlers,
    services: HandlerServices,
  ) {
    const callees: Callees = {
      access: (state, rec, low, high, what) =>
        services.access(Number(state), Number(rec), Number(low), Number(high), Number(what)),
      commit: (state, slot) => {
        services.commit(Number(state), Number(slot));
        return undefined;
      },
    };
    this.view = new DataView(memory);
    // Repetitions end by the budget.
    this.x = new Evaluator(memory, callees, Number.POSITIVE_INFINITY);
    this.cells = {
      state: this.x.variable(ValueType.i32, 0),
      record: this.x.variable(ValueType.i32, 0),
      budget: this.x.variable(ValueType.i32, 0),
    };
    this.library = libraryCalls(this.x, callees, memory);
  }

  /** As `Handlers.run`. @throws Error for a region's record: evaluation goes with an engine that compiles nothing */
  run(state: number, blockRecord: number, budget: number): void {
    this.next = blockRecord;
    this.left = budget;
    while (this.next !== 0) this.step(state);
  }

  /** One record. */
  private step(state: number): void {
    const { x, cells, view } = this;
    const rec = this.next;
    const row = view.getUint16(rec + record.handler, true);
    x.recycle();
    x.write(cells.state, x.i32(state));
    x.write(cells.record, x.i32(rec));
    x.write(cells.budget, x.i32(this.left));
    this.next = 0;
    this.counts.set(row, (this.counts.get(row) ?? 0) + 1);
    try {
      const shape = this.handlers.shapeOf(row);
      if (shape === undefined) this.core(row);
      else {
        const operation = new HandlerOperation(x, shape, imports, this.library, cells, {
          dispatch: (_state, target, left) => this.end(x.scalar(target) as number, x.scalar(left) as number),
          leave: () => this.end(0, 0),
        });
        definitions[shape.mnemonic](operation);
        operation.finish();
      }
    } catch (error) {
      if (error !== handlerEnd) throw error;
      return;
    }
    throw new Error(`handler ${row} does not end`);
  }

  private core(row: number): void {
    const { x, cells } = this;
    const definition = coreDefinitions[row];
    if (definition === undefined) throw new Error(`row ${row} cannot be evaluated`);
    const [state, rec, budget] = [x.read(cells.state), x.read(cells.record), x.read(cells.budget)];
    const frame: CoreFrame = {
      x,
      state,
      rec,
      budget,
      dispatch: (target, left) => this.end(x.scalar(target) as number, x.scalar(left) as number),
      exit: (reason, left) => {
        x.store(Op.i32Store, state, x.i32(reason), stateOffset.exitReason);
        x.store(Op.i32Store, state, rec, stateOffset.exitRecord);
        x.store(Op.i32Store, state, left, stateOffset.budget);
        this.end(0, 0);
      },
    };
    definition(frame);
  }

  private end(next: number, left: number): never {
    this.next = next;
    this.left = left;
    throw handlerEnd;
  }
}

const { i32 } = ValueType;
/** Evaluated calls go by name. */
const imports: HandlerImports = {
  access: { name: 'access', type: { parameters: [i32, i32, i32, i32, i32], results: [i32] }, index: -1 },
  commit: { name: 'commit', type: { parameters: [i32, i32], results: [] }, index: -1 },
};
