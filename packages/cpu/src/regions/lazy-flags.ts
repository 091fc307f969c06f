import { type Compiler, type Expressions, Op, type Value, ValueType, type Variable } from '@nest86/wasm';
import type { CallLibrary, LibraryFunction } from '../library/function.ts';
import {
  addFlags,
  condition,
  keepCarry,
  logicFlags,
  type StatusFlags,
  signExtend,
  subtractFlags,
} from '../semantics/flags.ts';
import { stateOffset } from '../state/layout.ts';

/** What the last flag-setting instruction did; kept as numbers in `kind`, since blocks may be reached from several. */
type Operation = 'add' | 'subtract' | 'increment' | 'decrement' | 'logic';
interface Pending {
  readonly operation: Operation;
  readonly bits: number;
  /** From 1 on. */
  readonly kind: number;
}

const operations: readonly Operation[] = ['add', 'subtract', 'increment', 'decrement', 'logic'];
const allKinds: readonly Pending[] = operations.flatMap((operation, row) =>
  [8, 16, 32, 64].map((bits, column) => ({ operation, bits, kind: 1 + 4 * row + column })),
);
const byWidth = (operation: Operation): ReadonlyMap<number, Pending> =>
  new Map(allKinds.filter((kind) => kind.operation === operation).map((kind) => [kind.bits, kind]));
const kindsOf: Record<Operation, ReadonlyMap<number, Pending>> = {
  add: byWidth('add'),
  subtract: byWidth('subtract'),
  increment: byWidth('increment'),
  decrement: byWidth('decrement'),
  logic: byWidth('logic'),
};

/** `kind` of flags that are in the state already: on ways out only. */
const isStored = -1;

/** Operands in variables, and what makes flags of them if somebody asks. */
interface Deferred {
  readonly types: readonly ValueType[];
  readonly formula: (operands: readonly Value[]) => StatusFlags;
}

/** The same over what the flags were before. */
interface Layer {
  readonly types: readonly ValueType[];
  readonly kept: 'noncarry' | 'any';
  readonly formula: (old: StatusFlags, operands: readonly Value[]) => StatusFlags;
}

/** What is known about the flags at a place in a region's code; `undefined`: as `kind` says. */
export type KnownFlags = Pending | 'canonical' | undefined;

/**
 * Status flags of a region, in three locals: `kind` 0 is the canonical form (a: result, b: aux); else a and b are the operands of an operation
 * whose flags nobody has asked for yet (b of INC and DEC: the carry that stays). Writing locals costs nothing once compiled
 * (engine-decisions H); what is asked for in the same block is computed from the operands directly. Within a block, formulas of definitions may be
 * pending too: on its operands, which then are in a, b and c, or as a layer over something else. What a way out needs of them is computed there.
 */
export class LazyFlags {
  private readonly kind: Variable;
  /** a, b, c. */
  private readonly operands: readonly Variable[];
  private readonly layerOperands: readonly Variable[];
  /** What is known here: undefined at the start of a block that may be reached with several kinds. */
  private known: KnownFlags | Deferred;
  private layer: Layer | undefined;

  constructor(
    private readonly x: Compiler,
    private readonly state: Variable,
    private readonly library: CallLibrary,
  ) {
    const wide = (): Variable => x.variable(ValueType.i64);
    this.kind = x.variable(ValueType.i32);
    this.operands = [wide(), wide(), wide()];
    this.layerOperands = [wide(), wide(), wide()];
  }

  load(state: Value): void {
    const { x } = this;
    x.write(this.kind, x.i32(0));
    x.write(this.operands[0], x.load(Op.i64Load, state, stateOffset.flagResult));
    x.write(this.operands[1], x.load(Op.i64Load32U, state, stateOffset.flagAux));
  }

  /** Behind all ways out: stores the canonical form, whatever is pending. */
  store(state: Value): void {
    const { x } = this;
    const [a, b] = this.operands;
    x.if(x.ne(x.read(this.kind), x.i32(isStored)), () =>
      this.library(materializeFlags, [state, x.read(this.kind), x.read(a), x.read(b)]),
    );
  }

  startBlock(known: KnownFlags): void {
    this.known = known;
    this.layer = undefined;
  }

  /**
   * Before the code on a way out, which must not touch what is known on the other way.
   * @param isCold the way is seldom gone: what can be left to the library is
   */
  leave(isCold: boolean): void {
    if (this.layer === undefined && (this.known === undefined || (isCold && !isDeferred(this.known)))) return;
    const { x } = this;
    const { result, aux } = this.canonical();
    const state = x.read(this.state);
    x.store(Op.i64Store, state, result, stateOffset.flagResult);
    x.store(Op.i32Store, state, aux, stateOffset.flagAux);
    x.write(this.kind, x.i32(isStored));
  }

  /** Before other blocks: no formula is pending any more. Answers what is known. */
  settle(): KnownFlags {
    if (this.layer !== undefined || isDeferred(this.known)) this.setCanonical(this.canonical());
    return this.known as KnownFlags;
  }

  set(operation: 'add' | 'subtract' | 'logic', bits: number, a: Value, b?: Value): void {
    const kind = kindsOf[operation].get(bits)!;
    this.remember(kind, this.wide(a), b === undefined ? undefined : this.wide(b));
  }

  step(isIncrement: boolean, bits: number, a: Value): void {
    const carry = this.x.extendU(this.carry());
    const kind = kindsOf[isIncrement ? 'increment' : 'decrement'].get(bits)!;
    this.remember(kind, this.wide(a), carry);
  }

  setCanonical(flags: StatusFlags): void {
    const { x } = this;
    const [a, b] = this.operands;
    const aux = x.extendU(flags.aux);
    x.write(this.kind, x.i32(0));
    x.write(a, flags.result);
    x.write(b, aux);
    this.known = 'canonical';
    this.layer = undefined;
  }

  defer(operands: readonly Value[], formula: Deferred['formula']): void {
    this.known = { types: this.keep(this.operands, operands), formula };
    this.layer = undefined;
  }

  deferSome(operands: readonly Value[], kept: Layer['kept'], formula: Layer['formula']): void {
    const { layer } = this;
    // What an earlier layer changed is changed again.
    if (layer !== undefined && !(layer.kept === 'noncarry' && kept === 'noncarry')) this.settle();
    this.layer = { types: this.keep(this.layerOperands, operands), kept, formula };
  }

  /** The canonical form now. */
  read(): StatusFlags {
    return this.canonical();
  }

  carry(): Value {
    const { x, known, layer } = this;
    if (layer !== undefined || !isPending(known)) return condition(x, this.canonical(), 2);
    const a = x.read(this.operands[0]);
    const b = x.read(this.operands[1]);
    if (known.operation === 'subtract') return x.ltU(a, b);
    if (known.operation === 'add') return x.ltU(this.truncated(known.bits, x.add(a, b)), a);
    if (known.operation === 'logic') return x.i32(0);
    return x.wrap(b);
  }

  /** i32, 0 or 1. */
  condition(code: number): Value {
    const { x, known, layer } = this;
    if (layer === undefined && isPending(known)) {
      const value = this.direct(known, code >> 1);
      if (value !== undefined) return (code & 1) !== 0 ? x.eqz(value) : value;
    }
    return condition(x, this.canonical(), code);
  }

  /** Conditions that need no carry vector. */
  private direct(pending: Pending, pair: number): Value | undefined {
    const { x } = this;
    const { operation, bits } = pending;
    if (pair === 1) return this.carry();
    const a = x.read(this.operands[0]);
    const b = x.read(this.operands[1]);
    if (operation === 'subtract') {
      if (pair === 2) return x.eq(a, b);
      if (pair === 3) return x.leU(a, b);
      if (pair === 6) return x.ltS(this.signed(bits, a), this.signed(bits, b));
      if (pair === 7) return x.compute(Op.i64LeS, this.signed(bits, a), this.signed(bits, b));
      if (pair === 4) return x.ltS(this.signed(bits, x.sub(a, b)), x.i64(0));
      return undefined;
    }
    if (operation === 'logic') {
      // CF and OF are 0.
      if (pair === 2 || pair === 3) return x.eqz(a);
      if (pair === 4 || pair === 6) return x.ltS(this.signed(bits, a), x.i64(0));
      if (pair === 7) return x.compute(Op.i64LeS, this.signed(bits, a), x.i64(0));
      return undefined;
    }
    const result = operation === 'add' ? x.add(a, b) : x.add(a, x.i64(operation === 'increment' ? 1 : -1));
    if (pair === 2) return x.eqz(this.truncated(bits, result));
    if (pair === 4) return x.ltS(this.signed(bits, result), x.i64(0));
    return undefined;
  }

  /** The canonical form, whatever is pending. */
  private canonical(): StatusFlags {
    const { layer } = this;
    const base = this.canonicalBase();
    if (layer === undefined) return base;
    return layer.formula(base, this.kept(this.layerOperands, layer.types));
  }

  private canonicalBase(): StatusFlags {
    const { x, known } = this;
    const [a, b] = this.operands;
    if (known === 'canonical') return { result: x.read(a), aux: x.wrap(x.read(b)) };
    if (isPending(known)) return flagsOf(x, known, x.read(a), x.read(b));
    if (known !== undefined) return known.formula(this.kept(this.operands, known.types));
    // Whichever it was: through the state, by a function of the library, so that no region carries all the kinds.
    const state = x.read(this.state);
    this.library(materializeFlags, [state, x.read(this.kind), x.read(a), x.read(b)]);
    return {
      result: x.load(Op.i64Load, state, stateOffset.flagResult),
      aux: x.load(Op.i32Load, state, stateOffset.flagAux),
    };
  }

  private keep(variables: readonly Variable[], operands: readonly Value[]): ValueType[] {
    const types = operands.map((operand) => this.x.typeOf(operand));
    const wide = operands.map((operand) => this.wide(operand));
    for (let i = 0; i < wide.length; i++) this.x.write(variables[i], wide[i]);
    return types;
  }

  private kept(variables: readonly Variable[], types: readonly ValueType[]): Value[] {
    const { x } = this;
    return types.map((type, i) =>
      type === ValueType.i64 ? x.read(variables[i]) : x.wrap(x.read(variables[i])),
    );
  }

  private remember(pending: Pending, a: Value, b: Value | undefined): void {
    const { x } = this;
    x.write(this.kind, x.i32(pending.kind));
    x.write(this.operands[0], a);
    if (b !== undefined) x.write(this.operands[1], b);
    this.known = pending;
    this.layer = undefined;
  }

  private wide(value: Value): Value {
    return this.x.typeOf(value) === ValueType.i64 ? value : this.x.extendU(value);
  }

  private truncated(bits: number, value: Value): Value {
    return bits === 64 ? value : this.x.and(value, this.x.i64(bits === 32 ? -1 : (1 << bits) - 1, 0));
  }

  private signed(bits: number, value: Value): Value {
    return bits === 64 ? value : signExtend(this.x, bits, this.x.wrap(value));
  }
}

/** Whether what is known at two places is the same. */
export function isSameKind(one: KnownFlags, other: KnownFlags): boolean {
  return one === other;
}

function isDeferred(known: KnownFlags | Deferred): known is Deferred {
  return typeof known === 'object' && 'formula' in known;
}

function isPending(known: KnownFlags | Deferred): known is Pending {
  return typeof known === 'object' && 'operation' in known;
}

/** The canonical form of an operation's flags, from its operands as i64. */
function flagsOf(x: Expressions, { operation, bits }: Pending, wideA: Value, wideB: Value): StatusFlags {
  const narrow = (value: Value): Value => (bits === 64 ? value : x.wrap(value));
  const a = narrow(wideA);
  if (operation === 'logic') return logicFlags(x, bits, a);
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
          x.if(x.eq(kind, x.i32(pending.kind)), () => store(flagsOf(x, pending, a, b)));
      },
      () => store({ result: a, aux: x.wrap(b) }),
    );
    return undefined;
  },
};
