import type { Block } from '../engine/code-cache.ts';
import type { HandlerShape } from '../interpreter/shape.ts';
import type { LibraryFunction } from '../library/function.ts';
import type { RecordFields } from './region-operation.ts';

/** A record of a block. */
export interface Step {
  readonly record: number;
  /** Undefined where a block only leads on. */
  readonly shape: HandlerShape | undefined;
  /** General registers that the definition names itself, as bits. */
  readonly implicit: number;
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
