/**
 * The fast TLB: a direct-mapped cache of the TLB backend in linear memory, which generated code asks before each access. Tags are linear page
 * addresses, those of {@link emptyTag} where an access must take the slow path; `addend` brings a linear address to its host address. A bank belongs to one
 * context, privilege and code mode. It holds entries for data, entries for code, and the jump cache of that context.
 */
export const tlbEntry = { readTag: 0, writeTag: 8, addend: 16, size: 32 } as const;
export const tlbEntries = 1024;
/**
 * An entry's number is the page's xor the page's shifted right by so much: pages whose distance is a multiple of the size would share one
 * otherwise, and stacks and heaps lie at such distances.
 */
export const tlbFold = 10;

/** Byte offset in a bank of the entry for the page of an address. @param low lower half of the address */
export function tlbEntryOffset(low: number): number {
  return (((low >>> 12) ^ (low >>> (12 + tlbFold))) << 5) & ((tlbEntries - 1) << 5);
}

/**
 * Lower and upper half of the tag of a data entry that knows no page: the tag of a page that has another entry, since generated code looks only at how far
 * an address is from the tag. @param entry number of the entry
 */
export function emptyTag(entry: number): EmptyTag {
  return entry === 0 ? secondPage : lastPage;
}

interface EmptyTag {
  readonly low: number;
  readonly high: number;
}
const secondPage: EmptyTag = { low: 1 << 12, high: 0 };
/** Its entry is the first. */
const lastPage: EmptyTag = { low: -1, high: -1 };

/** Pages that may be fetched from. `host` is the host address of the page. */
export const codeEntry = { tag: 0, host: 8, size: 16 } as const;
export const codeEntries = 512;
/** From a bank's first byte. */
export const codeEntriesOffset = 32768;

/** Records of targets of indirect branches, by linear address; good while their page lies at the host address `host`. */
export const jumpCacheEntry = { tag: 0, record: 8, host: 12, size: 16 } as const;
export const jumpCacheEntries = 4096;
/** An address's entry: the upper 12 bits of its lower half times this; targets are often aligned, so low bits alone would collide. */
export const jumpCacheFactor = 0x9e3779b1;
/** From a bank's first byte. */
export const jumpCacheOffset = 40960;
/** From a bank's first byte: i64, a number that changes whenever one of the bank's entries for code does; no two banks ever have the same. */
export const codeGenerationOffset = 106496;
/** From a bank's first byte: i32, a number that changes whenever the TLB backend loses a page that the bank may have had. */
export const lossesOffset = 106504;
export const bankSize = 106560;

/** What generated code asks of the slow path: bits of the `what` of an access. Bits 7:0 are the number of bytes. */
export const AccessRequest = {
  write: 0x100,
  /** The bytes are read too. */
  modify: 0x200,
  /** In SS, or implied by a stack operation: #SS instead of #GP. */
  stack: 0x400,
  /** Not an access: the segment forbids it. */
  segmentFault: 0x800,
  /** Not an access: bytes that must be aligned are not (#GP(0) in vectors, #AC in others). */
  misalignedVector: 0x1000,
  misaligned: 0x2000,
  /** Scratch slot, 0 to 3. */
  slotShift: 16,
} as const;
