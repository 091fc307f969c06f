import type { Register } from './registers.ts';

/** What `decode` answers. */
export const DecodeStatus = {
  /** A complete instruction. */
  ok: 0,
  /** The bytes raise #UD on every processor that the options describe, or are longer than 15. */
  invalid: 1,
  /** More bytes are needed to tell. */
  truncated: 2,
} as const;
export type DecodeStatus = (typeof DecodeStatus)[keyof typeof DecodeStatus];

/** Bits of {@link Instruction.prefixes}. */
export const Prefix = {
  lock: 1,
  /** F2 */
  repne: 2,
  /** F3 */
  rep: 4,
  operandSize: 8,
  addressSize: 16,
  rex: 32,
  /** APX's two-byte D5 prefix; its payload is in {@link Instruction.rex}. */
  rex2: 64,
  /** Any of 26, 2E, 36, 3E, 64, 65, whether or not it has an effect. */
  segment: 128,
} as const;

/** Values of {@link Instruction.space}. */
export const EncodingSpace = { legacy: 0, vex: 1, xop: 2, evex: 3 } as const;

/**
 * One decoded instruction. `decode` fills an object that the caller owns and may reuse for ever; it allocates nothing.
 * Fields that the instruction does not have are 0 unless said otherwise. Offsets count from the first byte.
 */
export class Instruction {
  status: number = DecodeStatus.invalid;
  /** Row of the instruction table (`reference` tells its text); 0 if not ok. */
  encoding = 0;
  /** Where the operands of the encoding are described. @internal */
  operandList = 0;
  /** Bytes taken, 1 to 15. For an invalid instruction: bytes looked at. */
  length = 0;
  /** 16, 32 or 64: code size of the segment decoded for. */
  mode = 64;

  /** Bits of {@link Prefix}. */
  prefixes = 0;
  /** Last of F2 and F3, or 0: which one acts as mandatory or repeat prefix. */
  repeat = 0;
  /**
   * Segment override: 0 none, else 1 + number (ES 1, CS 2, SS 3, DS 4, FS 5, GS 6). In 64-bit mode processors ignore all but FS and
   * GS; one of these is reported in preference to the others.
   */
  segmentOverride = 0;
  /** REX byte (40h to 4Fh), or REX2 payload, or 0. */
  rex = 0;
  /** {@link EncodingSpace} */
  space = 0;
  /** Legacy and REX2: 0 one-byte, 1 0F, 2 0F38, 3 0F3A, 4 3DNow!. VEX, XOP, EVEX: the map field. */
  opcodeMap = 0;
  opcode = 0;
  opcodeOffset = 0;
  /** Effective operand size in bits (16, 32, 64). */
  operandSize = 0;
  /** Effective address size in bits (16, 32, 64). */
  addressSize = 0;

  /** ModRM byte or -1. */
  modrm = -1;
  /** SIB byte or -1. */
  sib = -1;
  /** ModRM.reg with its extension bits, 0 to 31. */
  reg = 0;
  /** ModRM.rm with its extension bits as the number of a general register, 0 to 31. Only meaningful in the register form. */
  rm = 0;
  /** The same for a vector register: EVEX.X extends it, not APX's B4. */
  rmVector = 0;
  /** VEX/XOP/EVEX.vvvv, uninverted, with V', 0 to 31. */
  vvvv = 0;
  /** W of REX, REX2, VEX, XOP or EVEX. */
  w = 0;
  /** Vector length: 0 128 bits, 1 256, 2 512. */
  vectorLength = 0;
  /** EVEX.L'L as encoded: the rounding mode when rounding is embedded. */
  rounding = 0;
  /** EVEX.aaa, the opmask register. */
  opmask = 0;
  /** EVEX.z */
  zeroing = 0;
  /** EVEX.b: broadcast, embedded rounding or suppressed exceptions. */
  broadcast = 0;
  /** APX: EVEX.ND, a destination of its own in vvvv. */
  newDestination = 0;
  /** APX: EVEX.NF. */
  noFlags = 0;
  /** APX CCMP and CTEST: flags if the condition fails: bit 0 CF, 1 ZF, 2 SF, 3 OF. */
  defaultFlags = 0;

  /** Base register of the ModRM memory operand; 0 none. RIP or EIP if relative to the next instruction. */
  base: Register = 0;
  /** Index register (a vector register for gathers and scatters); 0 none. */
  index: Register = 0;
  /** log2 of the factor of the index, 0 to 3. */
  scale = 0;
  /** Displacement, sign-extended to 32 bits and already multiplied by N for EVEX disp8; low half for absolute offsets. */
  displacement = 0;
  /** High half: sign of the displacement, or upper half of a 64-bit absolute offset. */
  displacementHigh = 0;
  /** Encoded size in bytes. */
  displacementSize = 0;
  displacementOffset = 0;

  /** Immediate or branch displacement, sign-extended from its encoded size to 32 bits; low half of imm64. */
  immediate = 0;
  /** High half: sign, or upper half of imm64. */
  immediateHigh = 0;
  /** Encoded size in bytes of the first immediate. */
  immediateSize = 0;
  immediateOffset = 0;
  /** Second immediate, zero-extended: ENTER's level, EXTRQ's index, selector of a far pointer. */
  immediate2 = 0;
  /** Encoded size in bytes of the second immediate. */
  immediate2Size = 0;
}
