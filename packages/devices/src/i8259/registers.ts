/** Bits of an 8259A's command words (Intel 8259A data sheet, figures 7 and 8). Offset 0 is A0 = 0, offset 1 is A0 = 1. */
export const Icw1 = { needsIcw4: 0x01, single: 0x02, initialize: 0x10 } as const;

export const Icw4 = { autoEoi: 0x02, specialFullyNested: 0x10 } as const;

/** Bits 7:5 of OCW2; bits 2:0 are a level. */
export const Ocw2 = {
  rotateInAutoEoiClear: 0x00,
  eoi: 0x20,
  specificEoi: 0x60,
  rotateInAutoEoiSet: 0x80,
  rotateOnEoi: 0xa0,
  setPriority: 0xc0,
  rotateOnSpecificEoi: 0xe0,
} as const;

/** What makes a write to offset 0 an OCW3 is bit 3. */
export const Ocw3 = {
  readIsr: 0x01,
  readRegister: 0x02,
  poll: 0x04,
  isOcw3: 0x08,
  specialMask: 0x20,
  enableSpecialMask: 0x40,
} as const;

/** Levels that ELCR can make level-triggered: all but timer, keyboard, cascade, RTC and coprocessor error (82371AB PIIX4, 4D0h and 4D1h). */
export const levelCapable = { master: 0xf8, slave: 0xde } as const;
