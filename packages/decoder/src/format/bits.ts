/*
 * Positions in the generated columns of the formatters; scripts/table/format-*.ts writes them, the formatters read them.
 * Masks over modes have bit 0 for 16-bit code, bit 1 for 32-bit, bit 2 for 64-bit.
 */

/** Column that all syntaxes share. */
export const Common = {
  lock: 0x1,
  xacquire: 0x2,
  xrelease: 0x4,
  /** F3 is written `rep`. */
  rep: 0x8,
  /** F3 is written `repe`. */
  repe: 0x10,
  /** F2 is written `repne`. */
  repne: 0x20,
  /** F2 is written `bnd`. */
  bnd: 0x40,
  notrack: 0x80,
  /** 2E and 3E are branch hints. */
  hint: 0x100,
  /** Segment overrides of the memory operand have no effect. */
  noSegment: 0x200,
  /** The EVEX.b of the register form is embedded rounding. */
  rounding: 0x400,
  /** The EVEX.b of the register form suppresses exceptions. */
  sae: 0x800,
  /** Pseudo-operations that the immediate selects: row of `families` in pseudo.ts, 0 none. */
  pseudoShift: 12,
  /** ST(1) as the operand is left away, with all operands. */
  impliesSt1: 0x8000,
  /** The immediate 10 is left away (AAM, AAD). */
  implies10: 0x10000,
  /** Three operands, of which the first two are written once if they are the same register. */
  imul: 0x20000,
  /** XCHG of the accumulator with itself if the operand size is not the mode's: NOP. */
  nop: 0x40000,
  /** APX: default flags value in vvvv. */
  defaultFlags: 0x80000,
  /** XCHG: locks without the prefix. */
  locksAlways: 0x100000,
  /** APX: the EVEX form of an instruction that REX2 can encode as well. */
  promoted: 0x200000,
  /** Memory at an implied address in a segment that can be overridden. */
  implicitSegment: 0x400000,
  /** MPX: base and index are two separate numbers, the factor of the index has no effect. */
  noScale: 0x800000,
  /** 66 is a mandatory prefix. */
  mandatory66: 0x1000000,
  /** F2 or F3 is a mandatory prefix. */
  usesRepeat: 0x2000000,
  /** The operand size is 64 bits with and without REX.W. */
  ignoresW: 0x4000000,
  /** 66 decides the operand size. */
  sized: 0x8000000,
} as const;

/** How an operand size that no operand shows is written. */
export const SizeMark = {
  none: 0,
  /** `data16`, `o16` in front of the mnemonic. */
  prefix: 1,
  /** `pushw`, `retd`: a letter behind the mnemonic. */
  suffix: 2,
  /** `.byte 0x66; ` in front, as there is no word for it. */
  byte: 3,
  /** `call word 3`: in front of the operand. */
  keyword: 4,
} as const;

/** Column of each syntax. */
export const Style = {
  /** Row of `names`: the mnemonic, where it is not the manual's. */
  nameShift: 0,
  nameMask: 255,
  /** {@link SizeMark} */
  markShift: 8,
  markMask: 7,
  /** Modes in which the mark is written. */
  markModesShift: 11,
  /** 0 16 bits, 1 32, 2 64. */
  markSizeShift: 14,
  /** The segment of an implied address is a prefix in front of the mnemonic. */
  segmentPrefix: 0x10000,
  /** Modes in which the memory operand's size is written: its keyword, or the suffix in AT&T. */
  memorySizeShift: 17,
  /** An address size other than the mode's is written as a prefix. */
  addressPrefix: 0x100000,
  /** LOOP: the address size as prefix, suffix or operand. */
  loop: 0x200000,
  /** AT&T: objdump does without the suffix if the size is the usual one. */
  plainInObjdump: 0x400000,
  far: 0x400000,
  short: 0x800000,
  /** AT&T: `*` in front of the operand. NASM: `near`. */
  indirect: 0x1000000,
  near: 0x1000000,
  /** moffs with a 64-bit address is MOVABS (AT&T), has the address size as keyword (NASM). */
  movabs: 0x2000000,
  /** Intel: the opmask is an operand, not a decoration. NASM: ST(i) is behind `to`. */
  opmaskOperand: 0x4000000,
  to: 0x4000000,
  /** AT&T: suffix letter, row of `suffixes` in att.ts. */
  suffixShift: 27,
  /** NASM: the mark stands only with a memory operand. */
  markOnlyMemory: 0x8000000,
  /** Intel and NASM: memory has no size that could be written, even if all sizes are asked for. */
  unsized: 0x20000000,
  /** NASM: the size of the element stands in front of broadcast memory. */
  sizedBroadcast: 0x10000000,
} as const;

/** One element of a recipe: what stands in an operand's place. */
export const Slot = {
  /** The instruction's operand of that number, in Intel's order; may come with one of the next two. */
  operand: 7,
  /** A wide general register by its 16-bit name. */
  as16: 8,
  /** A 64-bit general register by its 32-bit name. */
  as32: 16,
  /** Behind this: a fixed register, row of `fixedRegisters`. */
  fixed: 32,
  opmask: 48,
  /** Segment override, if there is one. */
  segment: 49,
  /** Embedded rounding or suppressed exceptions, if there are. */
  rounding: 50,
  end: 63,
} as const;

export const fixedRegisters = ['st', 'xmm0', 'ax', 'eax', 'rax', 'ecx'] as const;
