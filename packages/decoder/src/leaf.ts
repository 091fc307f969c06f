/** Bits that the generated table gives the decoder for each encoding. */
export const Leaf = {
  /** Bits 0–3: row of the immediate layouts. */
  immediateMask: 15,
  modrm: 0x10,
  lock: 0x20,
  /** Two bits: vector class of the index register (1 XMM, 2 YMM, 3 ZMM), 0 if general. */
  vectorIndexShift: 6,
  /** Three bits: log2 of N, the EVEX disp8 factor. */
  disp8Shift: 8,
  /** Two bits: log2 of that factor when broadcasting, 0 if the encoding has no broadcast. */
  broadcastShift: 11,
  vvvv: 0x2000,
  opmask: 0x4000,
  opmaskRequired: 0x8000,
  zeroing: 0x10000,
  sae: 0x20000,
  rounding: 0x40000,
  noFlags: 0x80000,
  operandSize64: 0x100000,
  /** The first operand may be memory. */
  memoryFirst: 0x200000,
  /** ModRM.mod is ignored: always the register form. */
  anyMod: 0x400000,
  /** 67 is ignored in 64-bit mode (SDM vol. 1, 17.5.1: MPX). */
  address64: 0x800000,
  /** APX: the last EVEX payload byte holds NF and ND, or SCC, instead of z, aaa and b. */
  apxPayload: 0x1000000,
  /** APX CCMP and CTEST: SCC in the payload's low four bits, default flag values in vvvv. */
  conditional: 0x2000000,
} as const;

/** Rules that few encodings have; 0 for most, so that the decoder skips them all at once. */
export const Check = {
  regBelow8: 1,
  regSegment: 0x2,
  /** CS cannot be loaded. */
  regSegmentWritten: 0x4,
  regControl: 0x8,
  regDebug: 0x10,
  regTest: 0x20,
  regBound: 0x40,
  rmBound: 0x80,
  vvvvBelow8: 0x100,
  sibRequired: 0x200,
  noRipRelative: 0x400,
  no16BitAddress: 0x800,
  /** General registers have no R' / V' before APX. */
  regGpr: 0x1000,
  vvvvGpr: 0x2000,
  distinct: 0x4000,
  distinctDestination: 0x8000,
  no66: 0x10000,
  address32Only: 0x20000,
  noRex2: 0x40000,
  lockIsRegisterBit: 0x80000,
  rmBelow8: 0x100000,
  /** PUSH2, POP2: RSP is not allowed. */
  noRsp: 0x200000,
  no67: 0x400000,
  /** EVEX.R and R' have no meaning and must not be used. */
  noR: 0x800000,
} as const;
