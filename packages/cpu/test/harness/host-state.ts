/*
 * The user state of one case as the harness has it (struct state of harness.c), in the 912 bytes of a Uint8Array: general registers, RFLAGS, RIP, an
 * FXSAVE64 image, upper halves of the YMM registers.
 */

import type { Vendor } from './host-processor.ts';

/** Byte offsets in a state. */
export const stateAt = {
  /** RAX to R15 by their numbers, 8 bytes each. */
  gpr: 0,
  rflags: 128,
  rip: 136,
  /** FXSAVE64 image; what follows lies in it. */
  fx: 144,
  x87Control: 144,
  x87Status: 146,
  /** Bit n: physical register n is not empty. */
  x87Tags: 148,
  mxcsr: 168,
  /** ST(0) to ST(7), 16 bytes each, of which 10 count. */
  st: 176,
  /** XMM0 to XMM15. */
  xmm: 304,
  /** Bits 255:128 of YMM0 to YMM15. */
  upper: 656,
} as const;
export const stateBytes = 912;

/** Where the harness puts things; the engine under test has them at the same linear addresses. */
export const scratchAddress = 0x10002000;
/** One page, whose neighbours are not mapped. */
export const scratchSize = 4096;
export const codeAddress = 0x20000000;
export const codeSize = 0x40000;
/** Each case has a slot of so many bytes in the code area. */
export const slotSize = 64;
/** Distance of a slot's start to where branches may go. */
export const landingOffset = 32;

/** CF PF AF ZF SF OF in RFLAGS. */
export const statusFlags = 0x8d5;
export const directionFlag = 0x400;

/** Of the code that is compared. */
export type CodeSize = 32 | 64;

/** What there is before and after an instruction. */
export interface HostState {
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

export function stateOf(bytes: Uint8Array): HostState {
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, stateBytes) };
}

/** One instruction and everything it finds. */
export interface HostCase {
  readonly code: Uint8Array;
  readonly mode: CodeSize;
  /** Whose processor it is for. */
  readonly vendor: Vendor;
  readonly mnemonic: string;
  readonly encoding: number;
  /** It has a memory operand by ModRM. */
  readonly isMemory: boolean;
  /** Status flags that the manual defines after this instruction. */
  readonly definedFlags: number;
  /** The instruction's address, in the state as RIP too. */
  readonly address: number;
  readonly before: HostState;
  /** The scratch page before the instruction, but for `patch`. */
  readonly page: Uint8Array;
  /** Bytes of the scratch page that differ from the batch's page, from `patchOffset` on. */
  readonly patchOffset: number;
  readonly patch: Uint8Array;
}

/** Cases that share the content of the scratch page. */
export interface Batch {
  readonly vendor: Vendor;
  /** 32 is compatibility mode. */
  readonly mode: CodeSize;
  readonly seed: number;
  readonly page: Uint8Array;
  readonly cases: readonly HostCase[];
}

/** How an instruction ended. */
export interface Outcome {
  /** Exception vector, -1 none. */
  readonly vector: number;
  /** Of a page fault: error code. */
  readonly error: number;
  /** CR2 of a page fault. */
  readonly address: bigint;
  /** RIP is that of the next instruction, or of the fault. */
  readonly state: HostState;
  /** Bytes of the scratch page that changed, from `changedFrom` on; bytes between changed ones count. */
  readonly changedFrom: number;
  readonly changed: Uint8Array;
  /** What the engine cannot do. */
  readonly problem: string | undefined;
}
