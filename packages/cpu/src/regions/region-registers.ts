import { type Compiler, Op, type Value, ValueType, type Variable } from '@nest86/wasm';
import { stateOffset } from '../state/layout.ts';
import { registerField } from './region-operation.ts';
import type { BlockSteps } from './region-steps.ts';

/** The guest's registers in a region: those it uses are locals, those it writes go back to the state when it is left. */
export class RegionRegisters {
  private readonly general: readonly (Variable | undefined)[];
  /** By 2 × register + lane. */
  private readonly vectors: readonly (Variable | undefined)[];
  private readonly isWritten = new Array<boolean>(16).fill(false);
  private readonly isVectorWritten = new Array<boolean>(32).fill(false);

  /** @param general which registers are used @param vectors which lanes of vector registers, by 2 × register + lane */
  constructor(
    private readonly x: Compiler,
    general: readonly boolean[],
    vectors: readonly boolean[],
  ) {
    this.general = general.map((isUsed) => (isUsed ? x.variable(ValueType.i64) : undefined));
    this.vectors = vectors.map((isUsed) => (isUsed ? x.variable(ValueType.v128) : undefined));
  }

  get hasVectors(): boolean {
    return this.vectors.some((variable) => variable !== undefined);
  }

  register(number: number): Variable {
    const variable = this.general[number];
    if (variable === undefined) throw new Error(`register ${number} has no local in this region`);
    return variable;
  }

  /** The same, since it is going to be written. */
  writtenRegister(number: number): Variable {
    this.isWritten[number] = true;
    return this.register(number);
  }

  /** @param lane of 16 bytes */
  vector(number: number, lane: number): Variable {
    const variable = this.vectors[2 * number + lane];
    if (variable === undefined) throw new Error(`vector register ${number} has no local in this region`);
    return variable;
  }

  writtenVector(number: number, lane: number): Variable {
    this.isVectorWritten[2 * number + lane] = true;
    return this.vector(number, lane);
  }

  load(state: Value): void {
    const { x } = this;
    for (const [number, variable] of this.general.entries()) {
      if (variable !== undefined) x.write(variable, x.load(Op.i64Load, state, stateOffset.gpr + 8 * number));
    }
    for (const [row, variable] of this.vectors.entries()) {
      if (variable !== undefined) x.write(variable, x.load(Op.v128Load, state, vectorOffset(row)));
    }
  }

  /** Stores what was written at any place of the region; to be called behind all of them. */
  store(state: Value): void {
    const { x } = this;
    for (const [number, variable] of this.general.entries()) {
      if (variable !== undefined && this.isWritten[number])
        x.store(Op.i64Store, state, x.read(variable), stateOffset.gpr + 8 * number);
    }
    for (const [row, variable] of this.vectors.entries()) {
      if (variable !== undefined && this.isVectorWritten[row])
        x.store(Op.v128Store, state, x.read(variable), vectorOffset(row));
    }
  }
}

/** General registers that blocks use. */
export function usedRegisters(blocks: readonly BlockSteps[]): boolean[] {
  let used = 0;
  for (const { steps } of blocks) {
    for (const { shape, fields, implicit } of steps) {
      if (shape === undefined) continue;
      used |= implicit;
      for (const operand of shape.operands)
        if (operand.kind === 'register') used |= 1 << (registerField(fields, operand.field) >> 3);
      const { memory } = shape;
      if (memory === undefined || memory.isAbsolute) continue;
      if (fields.base < 128) used |= 1 << (fields.base >> 3);
      if (memory.scale >= 0 && !memory.isVectorIndex) used |= 1 << (fields.index >> 3);
    }
  }
  return Array.from({ length: 16 }, (_, number) => ((used >> number) & 1) !== 0);
}

/** Lanes of vector registers that blocks use, by 2 × register + lane. */
export function usedVectors(blocks: readonly BlockSteps[]): boolean[] {
  let lower = 0;
  let upper = 0;
  for (const { steps } of blocks) {
    for (const { shape, fields, implicit } of steps) {
      if (shape === undefined) continue;
      let used = 0;
      for (const operand of shape.operands)
        if (operand.kind === 'vector') used |= 1 << registerField(fields, operand.field);
      const whole = (implicit >>> 16) | (shape.memory?.isVectorIndex ? 1 << fields.index : 0);
      lower |= used | whole;
      // VEX instructions clear what lies above their results.
      upper |= (shape.encoding !== 0 ? used : 0) | whole;
    }
  }
  return Array.from({ length: 32 }, (_, row) => (((row & 1 ? upper : lower) >> (row >> 1)) & 1) !== 0);
}

function vectorOffset(row: number): number {
  return stateOffset.vector + 64 * (row >> 1) + 16 * (row & 1);
}
