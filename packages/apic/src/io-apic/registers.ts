/** Offsets in the page of an I/O APIC (82093AA data sheet, 3.1; EOI is of the versions 20h and later). */
export const IoRegister = { select: 0x00, window: 0x10, endOfInterrupt: 0x40 } as const;

/** What the select register chooses; from `redirection` on two registers for each pin, low half first. */
export const IoIndex = { id: 0, version: 1, arbitration: 2, redirection: 0x10 } as const;

/** Low half of a redirection entry. */
export const Redirection = {
  vector: 0xff,
  deliveryMode: 0x700,
  logical: 0x800,
  remoteIrr: 0x4000,
  level: 0x8000,
  masked: 0x1_0000,
  /** All but delivery status (always idle), remote IRR and reserved bits. */
  writable: 0x1_afff,
} as const;
