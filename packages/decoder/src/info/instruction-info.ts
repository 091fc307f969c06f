/** No instruction uses more registers than VZEROUPPER or SKINIT, some 32. */
const registerLimit = 64;
/** No instruction uses more memory than ENTER with level 31: 62 places. */
const memoryLimit = 64;

/**
 * What one instruction uses. `readInfo` fills an object that the caller owns and may reuse for ever; it allocates nothing. Entries
 * of the arrays at and beyond the counts are leftovers.
 */
export class InstructionInfo {
  /** Registers in the lists below; each register stands there once. */
  registerCount = 0;
  readonly registers: Uint16Array = new Uint16Array(registerLimit);
  /** `Access` bits of each. */
  readonly registerAccess: Uint8Array = new Uint8Array(registerLimit);

  /** Pieces of memory in the lists below, explicit operands first. */
  memoryCount = 0;
  /** `Access` bits of each. */
  readonly memoryAccess: Uint8Array = new Uint8Array(memoryLimit);
  /** Bytes; 0 where the size is not fixed: repeated string instructions, XSAVE areas, tiles. Of gathers and scatters: one element's. */
  readonly memorySize: Uint16Array = new Uint16Array(memoryLimit);
  /** Segment register; in 64-bit mode only FS and GS have an effect. 0 if the segment plays no part. */
  readonly memorySegment: Uint16Array = new Uint16Array(memoryLimit);
  /** Base register, 0 if none. RIP or EIP: relative to the next instruction. */
  readonly memoryBase: Uint16Array = new Uint16Array(memoryLimit);
  /** Index register, 0 if none; a vector register for gathers and scatters. */
  readonly memoryIndex: Uint16Array = new Uint16Array(memoryLimit);
  /** log2 of the factor of the index, 0 to 3. */
  readonly memoryScale: Uint8Array = new Uint8Array(memoryLimit);
  /** Low 32 bits of the displacement, which is sign-extended: the sum wraps at the address size. */
  readonly memoryDisplacement: Int32Array = new Int32Array(memoryLimit);
  readonly memoryDisplacementHigh: Int32Array = new Int32Array(memoryLimit);
  /** Bits of an address: 16, 32, 64. */
  readonly memoryAddressSize: Uint8Array = new Uint8Array(memoryLimit);
  /** Bits of each element of a vector index: 32 or 64; 0 if the index is no vector. */
  readonly memoryVectorIndex: Uint8Array = new Uint8Array(memoryLimit);
  /** Number of the explicit operand, or -1 for implicit memory. */
  readonly memoryOperand: Int8Array = new Int8Array(memoryLimit);

  /** `Flag` bits that are read. */
  flagsRead = 0;
  /** Flags that take a value from the result. */
  flagsWritten = 0;
  /** Flags that become 0 whatever the operands. */
  flagsCleared = 0;
  /** Flags that become 1 whatever the operands. */
  flagsSet = 0;
  /** Flags whose value is undefined afterwards. */
  flagsUndefined = 0;
}
