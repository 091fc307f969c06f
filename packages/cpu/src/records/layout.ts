/**
 * A decoded operation: 16 bytes in linear memory, from which the interpreter's handlers read their operands. Byte fields that name registers
 * are byte offsets into the state block, so that AH is RAX's offset + 1. What a handler must know earlier (widths, forms, scale) is in the
 * choice of the handler.
 */
export const record = {
  /** u16: row of the handler table. */
  handler: 0,
  /** u16: offset in the page, 12 bits; length, 4 bits. */
  position: 2,
  /** u8: register operands in the order of the instruction. */
  a: 4,
  b: 5,
  /** u8: registers of the memory operand. */
  base: 6,
  index: 7,
  /** i32: displacement; of branches: linked record if not taken, or 0. */
  displacement: 8,
  /** i32: immediate; of branches: linked record if taken, or 0. */
  immediate: 12,
} as const;

export const recordSize = 16;

/** Why generated code returned to TypeScript; in the state's `exitReason`. */
export const ExitReason = {
  /** The budget is too small for the next block. */
  budget: 0,
  /** A direct branch that is not linked yet; which of the record's two links is in `exitAddress`. */
  link: 1,
  /** An indirect branch to the linear address `exitAddress` that the jump cache does not know. */
  jump: 3,
  /** A fault of the instruction at `exitRecord`. */
  fault: 2,
} as const;
