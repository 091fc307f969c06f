import { type Compiler, type Expressions, Op, type Value, ValueType, type Variable } from '@nest86/wasm';
import type { CallLibrary, LibraryFunction } from '../library/function.ts';
import {
  addFlags,
  condition,
  keepCarry,
  type StatusFlags,
  signExtend,
  subtractFlags,
} from '../semantics/flags.ts';
import { stateOffset } from '../state/layout.ts';

/** What the last flag-setting instruction did; kept as numbers in `kind`, since blocks may be reached from several. */
type Operation = 'add' | 'subtract' | 'increment' | 'decrement';
interface Pending {
  readonly operation: Operation;
  readonly bits: number;
}

const operations: readonly Operation[] = ['add', 'subtract', 'increment', 'decrement'];
const widths = [8, 16, 32, 64];

function kindOf(pending: Pending): number {
  return 1 + operations.indexOf(pending.operation) * 4 + widths.indexOf(pending.bits);
}

/**
 * Status flags of a region, in three locals: `kind` 0 is the canonical form (a: result, b: aux); else a and b are the operands of an operation
 * whose flags nobody has asked for yet (b of INC and DEC: the carry that stays). Writing three locals costs nothing once compiled
 * (engine-decisions H); what is asked for in the same block is computed from the operands directly.
 */
export class LazyFlags {
  private readonly kind: Variable;
  private readonly a: Variable;
  private readonly b: Variable;
  /** What is known about `kind` here: undefined at the start of a block. */
  private known: Pending | 'canonical' | undefined;

  constructor(
    private readonly x: Compiler,
    private readonly state: Variable,
    private readonly library: CallLibrary,
  ) {
    this.kind = x.variable(ValueType.i32);
    this.a = x.variable(ValueType.i64);
    this.b = x.variable(ValueType.i64);
  }

  load(state: Value): void {
    const { x } = this;
    x.write(this.kind, x.i32(0));
    x.write(this.a, x.load(Op.i64Load, state, stateOffset.flagResult));
    x.write(this.b, x.load(Op.i64Load32U, state, stateOffset.flagAux));
  }

  /** Stores the canonical form, whatever is pending. */
  store(state: Value): void {
    const { x } = this;
    this.known = undefined;
    this.materialize(state, [x.read(this.kind), x.read(this.a), x.read(this.b)]);
  }

  startBlock(): void {
    this.known = undefined;
  }

  set(operation: 'add' | 'subtract', bits: number, a: Value, b: Value): void {
    this.remember({ operation, bits }, this.wide(bits, a), this.wide(bits, b));
  }

  step(isIncrement: boolean, bits: number, a: Value): void {
    const carry = this.x.extendU(this.carry());
    this.remember({ operation: isIncrement ? 'increment' : 'decrement', bits }, this.wide(bits, a), carry);
  }

  setCanonical(flags: StatusFlags): void {
    const { x } = this;
    const aux = x.extendU(flags.aux);
    x.write(this.kind, x.i32(0));
    x.write(this.a, flags.result);
    x.write(this.b, aux);
    this.known = 'canonical';
  }

  /** The canonical form now. */
  read(): StatusFlags {
    return this.canonical();
  }

  carry(): Value {
    const { x, known } = this;
    if (known === undefined || known === 'canonical') return condition(x, this.canonical(), 2);
    const [a, b] = [x.read(this.a), x.read(this.b)];
    if (known.operation === 'subtract') return x.ltU(a, b);
    if (known.operation === 'add') return x.ltU(this.truncated(known.bits, x.add(a, b)), a);
    return x.wrap(b);
  }

  /** i32, 0 or 1. */
  condition(code: number): Value {
    const { x, known } = this;
    if (known !== undefined && known !== 'canonical') {
      const value = this.direct(known, code >> 1);
      if (value !== undefined) return (code & 1) !== 0 ? x.eqz(value) : value;
    }
    return condition(x, this.canonical(), code);
  }

  /** Conditions that need no carry vector. */
  private direct(pending: Pending, pair: number): Value | undefined {
    const { x } = this;
    const { operation, bits } = pending;
    const [a, b] = [x.read(this.a), x.read(this.b)];
    if (pair === 1) return this.carry();
    if (operation === 'subtract') {
      if (pair === 2) return x.eq(a, b);
      if (pair === 3) return x.leU(a, b);
      if (pair === 6) return x.ltS(this.signed(bits, a), this.signed(bits, b));
      if (pair === 7) return x.compute(Op.i64LeS, this.signed(bits, a), this.signed(bits, b));
      if (pair === 4) return x.ltS(this.signed(bits, x.sub(a, b)), x.i64(0));
      return undefined;
    }
    const result = operation === 'add' ? x.add(a, b) : x.add(a, x.i64(operation === 'increment' ? 1 : -1));
    if (pair === 2) return x.eqz(this.truncated(bits, result));
    if (pair === 4) return x.ltS(this.signed(bits, result), x.i64(0));
    return undefined;
  }

  /** The canonical form, whatever is pending. */
  private canonical(): StatusFlags {
    const { x, known } = this;
    if (known === 'canonical') return { result: x.read(this.a), aux: x.wrap(x.read(this.b)) };
    if (known !== undefined) return this.compute(known);
    // Whichever it was: through the state, by a function of the library, so that no region carries all the kinds.
    const state = x.read(this.state);
    this.materialize(state, [x.read(this.kind), x.read(this.a), x.read(this.b)]);
    return {
      result: x.load(Op.i64Load, state, stateOffset.flagResult),
      aux: x.load(Op.i32Load, state, stateOffset.flagAux),
    };
  }

  private materialize(state: Value, [kind, a, b]: readonly [Value, Value, Value]): void {
    this.library(materializeFlags, [state, kind, a, b]);
  }

  private compute(pending: Pending): StatusFlags {
    return flagsOf(this.x, pending, this.x.read(this.a), this.x.read(this.b));
  }

  private remember(pending: Pending, a: Value, b: Value): void {
    const { x } = this;
    x.write(this.kind, x.i32(kindOf(pending)));
    x.write(this.a, a);
    x.write(this.b, b);
    this.known = pending;
  }

  private wide(bits: number, value: Value): Value {
    return bits === 64 ? value : this.x.extendU(value);
  }

  private truncated(bits: number, value: Value): Value {
    return bits === 64 ? value : this.x.and(value, this.x.i64(bits === 32 ? -1 : (1 << bits) - 1, 0));
  }

  private signed(bits: number, value: Value): Value {
    return bits === 64 ? value : signExtend(this.x, bits, this.x.wrap(value));
  }
}

const allKinds: readonly Pending[] = operations.flatMap((operation) =>
  widths.map((bits) => ({ operation, bits })),
);

/** The canonical form of an operation's flags, from its operands as i64. */
function flagsOf(x: Expressions, { operation, bits }: Pending, wideA: Value, wideB: Value): StatusFlags {
  const narrow = (value: Value): Value => (bits === 64 ? value : x.wrap(value));
  const a = narrow(wideA);
  if (operation === 'add' || operation === 'subtract') {
    const b = narrow(wideB);
    return operation === 'add'
      ? addFlags(x, bits, a, b, x.add(a, b))
      : subtractFlags(x, bits, a, b, x.sub(a, b));
  }
  const one = bits === 64 ? x.i64(1) : x.i32(1);
  const flags =
    operation === 'increment'
      ? addFlags(x, bits, a, one, x.add(a, one))
      : subtractFlags(x, bits, a, one, x.sub(a, one));
  return keepCarry(x, flags, x.wrap(wideB));
}

/** (state, kind, a, b): stores the canonical form of whatever is pending into the state. */
export const materializeFlags: LibraryFunction = {
  name: 'materialize_flags',
  parameters: [ValueType.i32, ValueType.i32, ValueType.i64, ValueType.i64],
  result: undefined,
  build: (x, [state, kind, a, b]) => {
    const store = ({ result, aux }: StatusFlags): void => {
      x.store(Op.i64Store, state, result, stateOffset.flagResult);
      x.store(Op.i32Store, state, aux, stateOffset.flagAux);
    };
    x.if(
      kind,
      () => {
        for (const pending of allKinds)
          x.if(x.eq(kind, x.i32(kindOf(pending))), () => store(flagsOf(x, pending, a, b)));
      },
      () => store({ result: a, aux: x.wrap(b) }),
    );
    return undefined;
  },
};
