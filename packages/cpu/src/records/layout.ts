/**
 * A decoded operation: 16 bytes in linear memory, from which the interpreter's handlers read their operands. Byte fields that name general
 * registers are byte offsets into the state block, so that AH is RAX's offset + 1; those of other registers are numbers. What a handler must
 * know earlier (widths, forms, scale) is in the choice of the handler.
 */
export const record = {
  /** u16: row of the handler table. */
  handler: 0,
  /** u16: offset in the page, 12 bits; length, 4 bits. */
  position: 2,
  /** u8: register operands in the order of the instruction. */
  a: 4,
  b: 5,
  /** u8: registers of the memory operand; without one, the third and fourth register operand. */
  base: 6,
  index: 7,
  /** i32: displacement; of branches: linked record if not taken, or 0; without memory: second immediate, or low half of a 64-bit one. */
  displacement: 8,
  /** i32: immediate; of branches: linked record if taken, or 0; upper half of a 64-bit immediate or address. */
  immediate: 12,
  /** u8: register operand behind a memory operand, in an immediate's place. */
  last: 15,
  /** u32, of a block's first record: how often it may still run before it is called hot. */
  heat: 4,
  /** u32, of a record that enters another page: the record to go to. */
  target: 4,
  /** u32, of a block's first record that leads to a region: the region's slot; its `displacement` says where it is entered, see `RegionEntry`. */
  slot: 4,
} as const;

export const recordSize = 16;

/** Rows of the handler table that are no instruction. */
export const Row = {
  /** Start of a block: takes its length (`immediate`) from the budget or ends the run. */
  block: 0,
  /** End of a block without branch: goes to the block that `immediate` is linked to. */
  end: 1,
  /** Edge to another linear page: moves by `displacement` if that page is the host page `immediate`. */
  page: 2,
  /** The code here was written to: TypeScript decodes anew. */
  stale: 3,
  /** TypeScript executes the instruction. */
  service: 4,
  /** Start of a block that was compiled: runs its region. */
  region: 5,
  /** Before a block whose instruction reaches into the next page: goes to `target` if that page is the host page `immediate`. */
  cross: 6,
  /** Start of a block that was written to, and found anew elsewhere: goes to `immediate`. */
  forward: 7,
  firstInstruction: 8,
} as const;

/** Why generated code returned to TypeScript; in the state's `exitReason`. */
export const ExitReason = {
  /** The budget is too small to go on at `exitRecord`. */
  budget: 0,
  /** A direct branch that is not linked yet; which of the record's two links is in `exitAddress`. */
  link: 1,
  /** An exception of the instruction at `exitRecord`. */
  fault: 2,
  /** To the linear address `exitAddress`, which the jump cache does not know. */
  jump: 3,
  /** `Row.stale`. */
  stale: 4,
  /** `Row.service`. */
  service: 5,
  /** The block at `exitRecord` ran often enough to be compiled; it was not begun. */
  hot: 6,
} as const;
