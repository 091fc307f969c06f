/** Ports, from 510h (QEMU, docs/specs/fw_cfg). */
export const Port = { selector: 0, data: 1, dma: 4, end: 12 } as const;

/** Keys of items. */
export const FwCfgKey = {
  /** "QEMU". */
  signature: 0x00,
  /** Bit 0: the ports work; bit 1: so does DMA. */
  features: 0x01,
  /** Bytes, 64 bits. */
  ramSize: 0x03,
  /** Number of processors at power-on, 16 bits. */
  cpus: 0x05,
  fileDirectory: 0x19,
  firstFile: 0x20,
} as const;

/** The control word of a DMA access, as the guest's CPU sees it after swapping; the key is in bits 31:16. */
export const DmaControl = { error: 1, read: 2, skip: 4, select: 8, write: 16 } as const;
