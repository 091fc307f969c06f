/**
 * Where the state of a virtual processor lies in its block of linear memory. This table is the only place that knows an offset: generated
 * code, snapshots and TypeScript ask it. Control registers are not here: they live in the memory unit's `PagingContext`.
 */
const fields = [
  // Cells that address forms and operands name by their byte offset, which must fit a record's byte fields: first.
  /** RAX to R15; 64 bits each. */
  ['gpr', 8, 16],
  /** Always 0: base or index of an address that has none. */
  ['zero', 8, 1],
  /** Linear address of the page that instructions are fetched from. */
  ['pageBase', 8, 1],
  /** `pageBase` less the base of CS, wrapped to 32 bits outside 64-bit code: adding the offset in the page gives RIP. */
  ['instructionBase', 8, 1],

  /** Canonical status flags, see semantics/flags.ts. */
  ['flagResult', 8, 1],
  ['flagAux', 4, 1],
  /** The other bits of RFLAGS, in their places: TF IF DF IOPL NT RF VM AC VIF VIP ID. */
  ['systemFlags', 4, 1],

  // Segments by number ES CS SS DS FS GS, then LDTR, TR.
  /** Linear address. */
  ['segmentBase', 8, 8],
  /** Lowest and highest offset that an access may touch, unsigned; lowest above highest: none. */
  ['segmentFirst', 4, 8],
  ['segmentLast', 4, 8],
  /** Bit 0: data may be read, bit 1: written. */
  ['segmentRights', 4, 8],
  ['segmentSelector', 4, 8],
  /** Limit in bytes, scaled by G. */
  ['segmentLimit', 4, 8],
  /** As in bits 23:8 of a descriptor's upper half, shifted to 0: type 3:0, S 4, DPL 6:5, P 7, AVL 12, L 13, D/B 14, G 15; bit 16: unusable. */
  ['segmentAttributes', 4, 8],
  /** GDTR, IDTR. */
  ['tableBase', 8, 2],
  ['tableLimit', 4, 2],
  /** Current privilege level. */
  ['cpl', 4, 1],

  /** Byte address of the fast TLB bank of the present context; its jump cache follows the entries. */
  ['tlbBank', 4, 1],
  /** Banks that SYSCALL and SYSRET go to where nothing else changes than the privilege, or 0: TypeScript executes them. */
  ['callBank', 4, 1],
  ['returnBank', 4, 1],
  /** Bits 9 and up are set while an interrupt or NMI may wait: what sets IF leaves to TypeScript. Not 0: STI from 0 does, also in a guest. */
  ['eventWaits', 4, 1],
  /** Host address of the page that instructions are fetched from; -1: it must be looked for at the next block. */
  ['codeHost', 4, 1],
  /** Instructions that may still retire before the run ends. */
  ['budget', 4, 1],
  /** Not 0: RDTSC is `tscAtEnd` less a tick for each 2^(this − 1) instructions of `budget`. Else TypeScript executes it. */
  ['tscIsStaged', 4, 1],
  ['tscAtEnd', 8, 1],
  /** Why generated code returned: a row of `ExitReason`, and the record of the instruction. */
  ['exitReason', 4, 1],
  ['exitRecord', 4, 1],
  /** Target of an indirect branch, or which link of a direct one; see `ExitReason`. */
  ['exitAddress', 8, 1],
  /** The exception that `ExitReason.fault` speaks of: vector, error code (-1: none), and for a page fault the linear address. */
  ['faultVector', 4, 1],
  ['faultError', 4, 1],
  ['faultAddress', 8, 1],

  // SSE, AVX.
  ['mxcsr', 4, 1],
  /** Exceptions that library functions met, in the positions of MXCSR's or the x87 status word's flags. */
  ['floatFlags', 4, 1],
  /** Sign and exponent of a library function's 80-bit result, and its second result. */
  ['floatExponent', 4, 1],
  ['floatSecondExponent', 4, 1],
  ['floatSecond', 8, 1],

  // x87. Physical registers R0 to R7 (TOP is in the status word), 16 bytes each: significand, then sign and exponent in 16 bits.
  ['x87', 16, 8],
  ['x87Control', 4, 1],
  ['x87Status', 4, 1],
  /** Bit n: R n is not empty, as in an XSAVE image. */
  ['x87Tags', 4, 1],
  /** Last opcode, 11 bits; last instruction and data pointers: offset and selector. */
  ['x87Opcode', 4, 1],
  ['x87InstructionPointer', 8, 1],
  ['x87DataPointer', 8, 1],
  ['x87InstructionSelector', 4, 1],
  ['x87DataSelector', 4, 1],

  /** XCR0. */
  ['xcr0', 8, 1],
  /** XMM, YMM, ZMM registers, 64 bytes apart. */
  ['vector', 64, 32],
  /** Opmasks. */
  ['opmask', 8, 8],

  ['cr2', 8, 1],
  /** DR0 to DR7. */
  ['debug', 8, 8],
  /** Model-specific registers that nothing else holds; see `msrField`. */
  ['tscAux', 8, 1],
  ['star', 8, 1],
  ['lstar', 8, 1],
  ['cstar', 8, 1],
  ['sfmask', 8, 1],
  ['kernelGsBase', 8, 1],
  ['sysenterCs', 8, 1],
  ['sysenterEsp', 8, 1],
  ['sysenterEip', 8, 1],
  ['pat', 8, 1],
  ['miscEnable', 8, 1],
  ['apicBase', 8, 1],
  ['xss', 8, 1],
  ['debugControl', 8, 1],
  ['smbase', 8, 1],

  /** RIP between runs. */
  ['rip', 8, 1],
  /** See `Activity`. */
  ['activity', 4, 1],
  /** Interrupt shadow: 1 after STI, 2 after MOV or POP to SS; gone after one instruction. */
  ['interruptShadow', 4, 1],
  /** NMIs are blocked until IRET. */
  ['nmiBlocked', 4, 1],
  ['inSmm', 4, 1],

  // Predicted returns: a ring of 16 entries of 16 bytes, linear address, record to go on with, host address of its page.
  ['returnTop', 4, 1],
  ['returns', 16, 16],

  /** Bytes of accesses that one page of RAM cannot serve: a slot of 64 bytes for each place an instruction holds at a time. */
  ['scratch', 64, 4],
] as const;

export type StateField = (typeof fields)[number][0];

/** All fields in order: name, bytes of an element, elements. */
export const stateFields: readonly (readonly [name: StateField, size: number, count: number])[] = fields;

const offsets: Partial<Record<StateField, number>> = {};
let end = 0;
for (const [name, size, count] of fields) {
  end = Math.ceil(end / size) * size;
  offsets[name] = end;
  end += size * count;
}

/** Byte offset of each field in the block. A copy: V8 keeps what was filled by names as a hash table, but not what is spread from it (measured). */
export const stateOffset: Readonly<Record<StateField, number>> = {
  ...(offsets as Record<StateField, number>),
};

/** Bytes of a block; blocks start at multiples of it. */
export const stateSize: number = Math.ceil(end / 4096) * 4096;

/** Segment numbers, in the order of their encoding (SDM vol. 1, 3.4.2). */
export const Segment = { es: 0, cs: 1, ss: 2, ds: 3, fs: 4, gs: 5, ldtr: 6, tr: 7 } as const;

/** What the processor does between runs. */
export const Activity = { running: 0, halted: 1, waitForSipi: 2, shutdown: 3 } as const;
