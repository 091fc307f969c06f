/** How an operand of a handler is encoded in its record; with the mnemonic it decides which handler. */
export type OperandShape =
  | { readonly kind: 'register'; readonly bits: number; readonly field: 'a' | 'b' }
  | { readonly kind: 'memory'; readonly bits: number }
  /** Sign-extended from the record's 32 bits to `bits`. */
  | { readonly kind: 'immediate'; readonly bits: number }
  | { readonly kind: 'relative' };

export interface MemoryShape {
  /** 32 or 64. */
  readonly addressBits: number;
  /** log2 of the scale, or -1 without index. */
  readonly scale: number;
  /** Number of the segment whose base is added, or -1 where it is 0. */
  readonly segment: number;
}

export interface HandlerShape {
  readonly mnemonic: string;
  readonly operands: readonly OperandShape[];
  readonly memory: MemoryShape | undefined;
  /** Width of stack operations and of branch targets. */
  readonly stackBits: number;
}

/** A name for tables and dumps: `ADD r64,m64 [64+2]`. */
export function shapeName(shape: HandlerShape): string {
  const operands = shape.operands.map((operand) => {
    if (operand.kind === 'register') return `r${operand.bits}${operand.field}`;
    if (operand.kind === 'memory') return `m${operand.bits}`;
    return operand.kind === 'immediate' ? `i${operand.bits}` : 'rel';
  });
  const { memory } = shape;
  const address =
    memory === undefined
      ? ''
      : ` [${memory.addressBits}${memory.scale < 0 ? '' : `*${1 << memory.scale}`}${memory.segment < 0 ? '' : `s${memory.segment}`}]`;
  return `${shape.mnemonic} ${operands.join()}${address} ${shape.stackBits}`;
}
