import type { Block } from '../engine/code-cache.ts';
import type { StepRegisters } from '../interpreter/register-use.ts';
import type { HandlerShape } from '../interpreter/shape.ts';
import type { LibraryFunction } from '../library/function.ts';
import type { Definition } from '../semantics/operation.ts';
import type { RecordFields } from './region-operation.ts';

/** A record of a block. */
export interface Step {
  readonly record: number;
  /** Undefined where a block only leads on, and where TypeScript executes the instruction. */
  readonly shape: HandlerShape | undefined;
  /** It is no instruction: the block leads on. */
  readonly isEnd: boolean;
  /** Undefined without a shape. */
  readonly registers: StepRegisters | undefined;
  /** Undefined without a shape, and where the interpreter executes the instruction. */
  readonly definition: Definition | undefined;
  readonly library: readonly LibraryFunction[];
  readonly fields: RecordFields;
}

/** A block that becomes part of a region. */
export interface BlockSteps {
  readonly block: Block;
  readonly steps: readonly Step[];
  /** Linear address of its page less that of the first block's page. */
  readonly pageDelta: number;
}

/** Where a block's last step is linked to: if its branch is taken, or the block just leads on; and if not. 0: nowhere, or not by a link. */
export function linksOf({ shape, fields, isEnd }: Step): { taken: number; other: number } {
  if (isEnd) return { taken: fields.immediate, other: 0 };
  if (shape?.operands[0]?.kind !== 'relative') return { taken: 0, other: 0 };
  return { taken: fields.immediate, other: fields.displacement };
}
