import type { HandlerShape, RegisterField } from './shape.ts';

/** Which registers a definition touches, as found out while its handler was written; regions must know. */
export interface RegisterUse {
  /** Registers that it names itself, as bits: general ones 15:0, vector ones 31:16. */
  readonly implicit: number;
  readonly writtenImplicit: number;
  /** Fields of the record whose registers it writes, as bits: see {@link fieldBit}. */
  readonly writtenFields: number;
  /** It touches some only if something was decided before. */
  readonly isConditional: boolean;
}

const fields: readonly RegisterField[] = ['a', 'b', 'base', 'index', 'last'];

export function fieldBit(field: RegisterField): number {
  return 1 << fields.indexOf(field);
}

/** General registers as bits, and lanes of 16 bytes of vector registers as bits by 2 × register + lane. */
export interface RegisterSet {
  readonly general: number;
  readonly vectors: number;
}

/** Record fields that name registers: general ones by 8 × number. */
export type RegisterNames = Readonly<Record<RegisterField, number>>;

/** What an instruction touches. */
export interface StepRegisters {
  readonly used: RegisterSet;
  readonly written: RegisterSet;
  /** See `RegisterUse`. */
  readonly isConditional: boolean;
}

/** A field by its name: comparisons of names, where a property whose name is computed is searched in a table (measured: 5 % of building). */
export function registerField(names: RegisterNames, field: RegisterField): number {
  switch (field) {
    case 'a':
      return names.a;
    case 'b':
      return names.b;
    case 'base':
      return names.base;
    case 'index':
      return names.index;
    default:
      return names.last;
  }
}

export function registersOf(shape: HandlerShape, names: RegisterNames, use: RegisterUse): StepRegisters {
  // VEX instructions clear what lies above their results.
  const lanes = shape.encoding !== 0 ? 3 : 1;
  let used = use.implicit & 0xffff;
  let written = use.writtenImplicit & 0xffff;
  let usedVectors = wholeVectors(use.implicit >>> 16);
  let writtenVectors = wholeVectors(use.writtenImplicit >>> 16);
  for (const operand of shape.operands) {
    if (operand.kind !== 'register' && operand.kind !== 'vector') continue;
    const isWritten = (use.writtenFields & fieldBit(operand.field)) !== 0;
    const name = registerField(names, operand.field);
    if (operand.kind === 'register') {
      used |= 1 << (name >> 3);
      if (isWritten) written |= 1 << (name >> 3);
    } else {
      usedVectors |= lanes << (2 * name);
      if (isWritten) writtenVectors |= lanes << (2 * name);
    }
  }
  const { memory } = shape;
  if (memory !== undefined && !memory.isAbsolute) {
    // Beyond the registers: a cell that is 0, or the instruction base.
    if (names.base < 128) used |= 1 << (names.base >> 3);
    if (memory.isVectorIndex) usedVectors |= 3 << (2 * names.index);
    else if (memory.scale >= 0) used |= 1 << (names.index >> 3);
  }
  return {
    used: { general: used, vectors: usedVectors },
    written: { general: written, vectors: writtenVectors },
    isConditional: use.isConditional,
  };
}

/** Both lanes of each register. */
function wholeVectors(registers: number): number {
  let lanes = 0;
  for (let register = 0; register < 16; register++)
    if (((registers >> register) & 1) !== 0) lanes |= 3 << (2 * register);
  return lanes;
}
