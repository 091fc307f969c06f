import { type Compiler, Op, ValueType, type Variable } from '@nest86/wasm';
import type { RegisterSet } from '../interpreter/register-use.ts';
import { stateOffset } from '../state/layout.ts';
import type { BlockSteps } from './region-steps.ts';

/** Where the guest's registers are at a place of the code. */
export interface KnownRegisters {
  /** In locals. */
  readonly general: number;
  readonly vectors: number;
  /** Of these, those that the state has not got yet. */
  readonly dirtyGeneral: number;
  readonly dirtyVectors: number;
}

const nowhere: KnownRegisters = { general: 0, vectors: 0, dirtyGeneral: 0, dirtyVectors: 0 };

/**
 * The guest's registers in a region. Their home is the state; a local takes one over when it is first used, and what was written goes home before ways meet
 * that know of different ones, and when the region is left. A local for each register everywhere would be simpler, but where ways meet the host's compiler
 * has to bring all of them into the same places: half of what it made for code with many branches were moves (measured).
 */
export class RegionRegisters {
  private readonly generalLocals: readonly (Variable | undefined)[];
  /** By 2 × register + lane. */
  private readonly vectorLocals: readonly (Variable | undefined)[];
  private general = 0;
  private vectors = 0;
  private dirtyGeneral = 0;
  private dirtyVectors = 0;

  /** @param used what the region uses at all */
  constructor(
    private readonly x: Compiler,
    private readonly state: Variable,
    used: RegisterSet,
  ) {
    const locals = (bits: number, count: number, type: ValueType): (Variable | undefined)[] =>
      Array.from({ length: count }, (_, i) => (((bits >> i) & 1) !== 0 ? x.variable(type) : undefined));
    this.generalLocals = locals(used.general, 16, ValueType.i64);
    this.vectorLocals = locals(used.vectors, 32, ValueType.v128);
  }

  get known(): KnownRegisters {
    const { general, vectors, dirtyGeneral, dirtyVectors } = this;
    return { general, vectors, dirtyGeneral, dirtyVectors };
  }

  /** At a place that is come to from where that was known; none: from several. */
  start(known: KnownRegisters = nowhere): void {
    this.general = known.general;
    this.vectors = known.vectors;
    this.dirtyGeneral = known.dirtyGeneral;
    this.dirtyVectors = known.dirtyVectors;
  }

  /** The local of a register that is going to be read. */
  register(number: number): Variable {
    const { x } = this;
    const local = this.generalLocal(number);
    if (((this.general >> number) & 1) === 0) {
      this.refuseIfNested();
      x.write(local, x.load(Op.i64Load, x.read(this.state), stateOffset.gpr + 8 * number));
      this.general |= 1 << number;
    }
    return local;
  }

  /** The local of a register that is going to be written, all of it. */
  writtenRegister(number: number): Variable {
    const bit = 1 << number;
    if ((this.general & this.dirtyGeneral & bit) === 0) this.refuseIfNested();
    this.general |= bit;
    this.dirtyGeneral |= bit;
    return this.generalLocal(number);
  }

  /** The same for a vector register. @param lane of 16 bytes */
  vector(number: number, lane: number): Variable {
    const { x } = this;
    const row = 2 * number + lane;
    const local = this.vectorLocal(row);
    if (((this.vectors >> row) & 1) === 0) {
      this.refuseIfNested();
      x.write(local, x.load(Op.v128Load, x.read(this.state), vectorOffset(row)));
      this.vectors |= 1 << row;
    }
    return local;
  }

  writtenVector(number: number, lane: number): Variable {
    const row = 2 * number + lane;
    const bit = 1 << row;
    if ((this.vectors & this.dirtyVectors & bit) === 0) this.refuseIfNested();
    this.vectors |= bit;
    this.dirtyVectors |= bit;
    return this.vectorLocal(row);
  }

  /** Takes registers over now, for code that touches them on some ways only; those that it may write count as written. */
  take(used: RegisterSet, written: RegisterSet): void {
    for (let number = 0; number < 16; number++)
      if (((used.general >> number) & 1) !== 0) this.register(number);
    for (let row = 0; row < 32; row++) if (((used.vectors >> row) & 1) !== 0) this.vector(row >> 1, row & 1);
    this.dirtyGeneral |= written.general;
    this.dirtyVectors |= written.vectors;
  }

  /** Brings home what was written, on a way out: on other ways it is still to be done. */
  store(): void {
    const { x, dirtyGeneral, dirtyVectors } = this;
    const state = x.read(this.state);
    for (let number = 0; dirtyGeneral >> number !== 0; number++)
      if (((dirtyGeneral >> number) & 1) !== 0)
        x.store(Op.i64Store, state, x.read(this.generalLocal(number)), stateOffset.gpr + 8 * number);
    for (let row = 0; dirtyVectors >>> row !== 0 && row < 32; row++)
      if (((dirtyVectors >> row) & 1) !== 0)
        x.store(Op.v128Store, state, x.read(this.vectorLocal(row)), vectorOffset(row));
  }

  /** Brings home what was written. */
  settle(): void {
    this.store();
    this.dirtyGeneral = 0;
    this.dirtyVectors = 0;
  }

  private generalLocal(number: number): Variable {
    const local = this.generalLocals[number];
    if (local === undefined) throw new Error(`register ${number} has no local in this region`);
    return local;
  }

  private vectorLocal(row: number): Variable {
    const local = this.vectorLocals[row];
    if (local === undefined) throw new Error(`vector register ${row >> 1} has no local in this region`);
    return local;
  }

  /** What is true on one way only cannot be noted. */
  private refuseIfNested(): void {
    if (this.x.isNested)
      throw new Error('a register is touched on one way only: see RegisterUse.isConditional');
  }
}

/** All registers that blocks use, and those that they write. */
export function registersOfBlocks(blocks: readonly BlockSteps[]): {
  readonly used: RegisterSet;
  readonly written: RegisterSet;
} {
  let [general, vectors, writtenGeneral, writtenVectors] = [0, 0, 0, 0];
  for (const { steps } of blocks) {
    for (const { registers } of steps) {
      if (registers === undefined) continue;
      general |= registers.used.general;
      vectors |= registers.used.vectors;
      writtenGeneral |= registers.written.general;
      writtenVectors |= registers.written.vectors;
    }
  }
  return { used: { general, vectors }, written: { general: writtenGeneral, vectors: writtenVectors } };
}

function vectorOffset(row: number): number {
  return stateOffset.vector + 64 * (row >> 1) + 16 * (row & 1);
}
