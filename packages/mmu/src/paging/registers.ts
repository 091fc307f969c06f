/** Bits of the registers that govern paging, by their names in the manuals (SDM vol. 3, 2.5 and 4.1; APM vol. 2, 3.1). */
export const Cr0 = { pe: 1, wp: 0x1_0000, nw: 0x2000_0000, cd: 0x4000_0000, pg: -0x8000_0000 } as const;

export const Cr4 = {
  pse: 16,
  pae: 32,
  pge: 128,
  la57: 0x1000,
  pcide: 0x2_0000,
  smep: 0x10_0000,
  smap: 0x20_0000,
  pke: 0x40_0000,
  cet: 0x80_0000,
  pks: 0x100_0000,
} as const;

export const Efer = { lme: 256, lma: 0x400, nxe: 0x800 } as const;

/** Bits of the low half of a paging-structure entry. Bit 63 (XD, NX) is the sign of the high half. */
export const Pte = {
  present: 1,
  write: 2,
  user: 4,
  writeThrough: 8,
  cacheDisable: 16,
  accessed: 32,
  dirty: 64,
  /** PS where an entry may map a page; PAT in an entry that maps 4 KiB. */
  large: 128,
  global: 256,
  /** PAT in an entry that maps a large page. */
  largePat: 0x1000,
} as const;

/** Bits of a page-fault error code (SDM vol. 3, 4.7). */
export const PageFaultCode = {
  present: 1,
  write: 2,
  user: 4,
  reserved: 8,
  fetch: 16,
  protectionKey: 32,
  shadowStack: 64,
} as const;

/** How linear addresses are translated. */
export const PagingMode = { none: 0, legacy: 1, pae: 2, level4: 3, level5: 4 } as const;
