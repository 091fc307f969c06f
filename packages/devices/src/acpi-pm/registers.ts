/** Offsets in the block of 64 ports, as 82801 (ICH) chipsets lay it out at PMBASE; names of ACPI 6.5, section 4.8. */
export const Register = {
  /** PM1a event block: status and enable, two bytes each. */
  pm1Status: 0x00,
  pm1Enable: 0x02,
  /** PM1a control block, two bytes. */
  pm1Control: 0x04,
  /** PM timer, four bytes. */
  timer: 0x08,
  /** GPE0 block: eight bytes of status, eight of enables. */
  gpe0: 0x20,
} as const;

/** Bits of PM1 status and, but for wake, of PM1 enable (table 4.10). */
export const Pm1 = {
  timer: 0x0001,
  global: 0x0020,
  powerButton: 0x0100,
  sleepButton: 0x0200,
  rtc: 0x0400,
  wake: 0x8000,
} as const;

/** Bits of PM1 control (table 4.13). */
export const Control = {
  /** The machine is in ACPI mode from the start: always 1. */
  sciEnable: 0x0001,
  sleepTypeShift: 10,
  sleepType: 0x1c00,
  sleepEnable: 0x2000,
  writable: 0x1c02,
} as const;

/** Bits of the reset control register at CF9h (82371AB PIIX4, RC). */
export const ResetControlBits = { hard: 0x02, cpu: 0x04, full: 0x08 } as const;
