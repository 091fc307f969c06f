/** Bits that the generated table gives the decoder for each encoding. */
export const Leaf = {
  /** Bits 0–3: row of the immediate layouts. */
  immediateMask: 15,
  modrm: 1 << 4,
  lock: 1 << 5,
  /** Two bits: vector class of the index register (1 XMM, 2 YMM, 3 ZMM), 0 if general. */
  vectorIndexShift: 6,
  /** Three bits: log2 of N, the EVEX disp8 factor. */
  disp8Shift: 8,
  /** Two bits: log2 of that factor when broadcasting, 0 if the encoding has no broadcast. */
  broadcastShift: 11,
  vvvv: 1 << 13,
  opmask: 1 << 14,
  opmaskRequired: 1 << 15,
  zeroing: 1 << 16,
  sae: 1 << 17,
  rounding: 1 << 18,
  noFlags: 1 << 19,
  operandSize64: 1 << 20,
  /** The first operand may be memory. */
  memoryFirst: 1 << 21,
  /** ModRM.mod is ignored: always the register form. */
  anyMod: 1 << 22,
  /** 67 is ignored in 64-bit mode (SDM vol. 1, 17.5.1: MPX). */
  address64: 1 << 23,
  /** APX: the last EVEX payload byte holds NF and ND, or SCC, instead of z, aaa and b. */
  apxPayload: 1 << 24,
  /** APX CCMP and CTEST: SCC in the payload's low four bits, default flag values in vvvv. */
  conditional: 1 << 25,
} as const;

/** Rules that few encodings have; 0 for most, so that the decoder skips them all at once. */
export const Check = {
  regBelow8: 1,
  regSegment: 1 << 1,
  /** CS cannot be loaded. */
  regSegmentWritten: 1 << 2,
  regControl: 1 << 3,
  regDebug: 1 << 4,
  regTest: 1 << 5,
  regBound: 1 << 6,
  rmBound: 1 << 7,
  vvvvBelow8: 1 << 8,
  sibRequired: 1 << 9,
  noRipRelative: 1 << 10,
  no16BitAddress: 1 << 11,
  /** General registers have no R' / V' before APX. */
  regGpr: 1 << 12,
  vvvvGpr: 1 << 13,
  distinct: 1 << 14,
  distinctDestination: 1 << 15,
  no66: 1 << 16,
  address32Only: 1 << 17,
  noRex2: 1 << 18,
  lockIsRegisterBit: 1 << 19,
  rmBelow8: 1 << 20,
  /** PUSH2, POP2: RSP is not allowed. */
  noRsp: 1 << 21,
  no67: 1 << 22,
  /** EVEX.R and R' have no meaning and must not be used. */
  noR: 1 << 23,
} as const;
