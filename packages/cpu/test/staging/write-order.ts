import { type Callee, type CodeWriter, Compiler, type Value, type Variable } from '@nest86/wasm';
import { ExitReason } from '../../src/records/layout.ts';
import { type StateField, stateOffset } from '../../src/state/layout.ts';

/** What is known at one place of a function. */
interface Flow {
  /** False behind a way out. */
  readonly isReached: boolean;
  /** What some path to here has written that a program can see, or ''. */
  readonly written: string;
}

interface Loop {
  /** Ways out with a fault that stand in the loop. */
  readonly exits: string[];
  /** What a jump back has written. */
  back: string;
}

/** Cells of the state that no program sees, or that another try writes again. */
const invisible: ReadonlySet<StateField> = new Set<StateField>([
  'pageBase',
  'instructionBase',
  'codeHost',
  'budget',
  'exitReason',
  'exitRecord',
  'exitAddress',
  'faultVector',
  'faultError',
  'faultAddress',
  'floatFlags',
  'floatExponent',
  'floatSecondExponent',
  'floatSecond',
  'returnTop',
  'returns',
  'scratch',
]);

const fields = (Object.keys(stateOffset) as StateField[]).sort((a, b) => stateOffset[a] - stateOffset[b]);

/** The field that an offset lies in. */
function fieldAt(offset: number): StateField {
  let found = fields[0];
  for (const field of fields) if (stateOffset[field] <= offset) found = field;
  return found;
}

/**
 * Compiles as {@link Compiler} does, and watches the order of what it writes: engine-decision B wants that nothing a program can see is written before a way out by
 * which the instruction is tried again or faults. Follows the flow of control: each place knows what paths to it may have written. A loop's ways out are looked at
 * once more with what its jumps back have written.
 */
export class WriteOrderCompiler extends Compiler {
  /** What was written before which way out. */
  readonly violations: string[] = [];
  private flow: Flow = { isReached: true, written: '' };
  private readonly openLoops: Loop[] = [];
  private readonly knownValues = new Map<Value, number>();
  private reason = -1;
  private vector = -1;
  /** Variables that hold what a program sees: registers of a region. */
  private readonly visible = new Map<Variable, string>();

  /** @param hidden more cells that no program sees: those that a region keeps in locals */
  constructor(
    code: CodeWriter,
    private readonly hidden: ReadonlySet<StateField> = new Set(),
  ) {
    super(code);
  }

  override begin(): void {
    super.begin();
    this.flow = { isReached: true, written: '' };
    this.violations.length = 0;
    this.visible.clear();
  }

  /** What some path to here has written. */
  get written(): string {
    return this.flow.written;
  }

  /** A variable that stands for something a program sees. */
  watch(variable: Variable, name: string): void {
    this.visible.set(variable, name);
  }

  /** A way out that gives up the instruction: it faults, or the interpreter tries again. */
  giveUp(why: string): void {
    const { flow, openLoops, violations } = this;
    if (flow.isReached) {
      if (flow.written !== '') violations.push(`${flow.written} is written before ${why}`);
      for (const { exits } of openLoops) exits.push(why);
    }
    this.leave();
  }

  /** A handler's way back to TypeScript, whose reason was stored. */
  exit(): void {
    if (this.reason === ExitReason.fault) {
      this.giveUp(this.vector < 0 ? 'a fault of memory' : `exception ${this.vector}`);
    } else this.leave();
    this.vector = -1;
  }

  /** The instruction is done on this path. */
  leave(): void {
    this.flow = { isReached: false, written: '' };
  }

  override i32(value: number): Value {
    const made = super.i32(value);
    this.knownValues.set(made, value);
    return made;
  }

  override recycle(): void {
    super.recycle();
    this.knownValues.clear();
  }

  override store(op: number, address: Value, value: Value, offset: number): void {
    super.store(op, address, value, offset);
    const field = fieldAt(offset);
    if (field === 'exitReason') this.reason = this.knownValues.get(value) ?? -1;
    else if (field === 'faultVector') this.vector = this.knownValues.get(value) ?? -1;
    if (!invisible.has(field) && !this.hidden.has(field))
      this.note(offset < 64 ? 'memory or register' : field);
  }

  override copyMemory(target: Value, source: Value, length: Value): void {
    super.copyMemory(target, source, length);
    this.note('memory');
  }

  override fillMemory(target: Value, byte: Value, length: Value): void {
    super.fillMemory(target, byte, length);
    this.note('memory');
  }

  override call(callee: Callee, args: readonly Value[]): Value | undefined {
    if (callee.name === 'commit') this.note('memory');
    return super.call(callee, args);
  }

  /** A function was called that writes this, or ''. */
  called(written: string): void {
    if (written !== '') this.note(written);
  }

  override write(variable: Variable, value: Value): void {
    super.write(variable, value);
    const name = this.visible.get(variable);
    if (name !== undefined) this.note(name);
  }

  override if(condition: Value, then: () => void, otherwise?: () => void, likely?: boolean): void {
    const before = this.flow;
    const ends: Flow[] = [];
    const branch = (body: (() => void) | undefined) => (): void => {
      this.flow = before;
      body?.();
      ends.push(this.flow);
    };
    super.if(condition, branch(then), branch(otherwise), likely);
    this.flow = ends.reduce(join);
  }

  override block(body: (leave: (condition?: Value) => void) => void): void {
    const ends: Flow[] = [];
    super.block((leave) =>
      body((condition) => {
        leave(condition);
        ends.push(this.flow);
        if (condition === undefined) this.leave();
      }),
    );
    this.flow = ends.reduce(join, this.flow);
  }

  override loop(body: (again: (condition?: Value) => void) => void): void {
    const loop: Loop = { exits: [], back: '' };
    this.openLoops.push(loop);
    super.loop((again) =>
      body((condition) => {
        again(condition);
        if (this.flow.isReached) loop.back ||= this.flow.written;
        if (condition === undefined) this.leave();
      }),
    );
    this.openLoops.pop();
    if (loop.back !== '')
      for (const why of loop.exits)
        this.violations.push(`${loop.back} is written in a loop before ${why} of a later turn`);
  }

  private note(what: string): void {
    if (this.flow.isReached && this.flow.written === '') this.flow = { isReached: true, written: what };
  }
}

function join(a: Flow, b: Flow): Flow {
  if (!a.isReached) return b;
  if (!b.isReached) return a;
  return a.written === '' ? b : a;
}
