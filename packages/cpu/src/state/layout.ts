/**
 * Where the state of a virtual processor lies in its block of linear memory. This table is the only place that knows an offset: generated
 * code, snapshots and TypeScript ask it.
 */
const fields = [
  // Cells that address forms and operands name by their byte offset, which must fit a record's byte fields: first.
  /** RAX to R15; 64 bits each. */
  ['gpr', 8, 16],
  /** Always 0: base or index of an address that has none. */
  ['zero', 8, 1],
  /** Linear address of the page that instructions are fetched from. */
  ['pageBase', 8, 1],

  /** Canonical flags, see semantics/flags.ts. */
  ['flagResult', 8, 1],
  ['flagAux', 4, 1],

  /** By number ES CS SS DS FS GS, then LDTR, TR. Base: linear address. */
  ['segmentBase', 8, 8],

  /** Byte address of the fast TLB bank of the present context. */
  ['tlbBank', 4, 1],
  /** Byte address of the jump cache. */
  ['jumpCache', 4, 1],
  /** Instructions that may still retire before the run ends. */
  ['budget', 4, 1],
  /** Why generated code returned: a row of `ExitReason`, and the record of the instruction. */
  ['exitReason', 4, 1],
  ['exitRecord', 4, 1],
  /** Target of an indirect branch, or which link of a direct one; see `ExitReason`. */
  ['exitAddress', 8, 1],
  /** Linear address of the access that faulted. */
  ['faultAddress', 8, 1],

  /** Bytes of an access that one page or RAM cannot serve. */
  ['scratch', 64, 1],
] as const;

export type StateField = (typeof fields)[number][0];

const offsets: Partial<Record<StateField, number>> = {};
let end = 0;
for (const [name, size, count] of fields) {
  end = Math.ceil(end / size) * size;
  offsets[name] = end;
  end += size * count;
}

/** Byte offset of each field in the block. */
export const stateOffset: Readonly<Record<StateField, number>> = offsets as Record<StateField, number>;

/** Bytes of a block; blocks start at multiples of it. */
export const stateSize: number = Math.ceil(end / 4096) * 4096;
