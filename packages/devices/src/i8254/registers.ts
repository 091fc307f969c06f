/** Offsets from port 40h (Intel 8254 data sheet, "Programming"). 0 to 2 are the counters. */
export const controlOffset = 3;

/** Fields of the control word. */
export const ControlWord = {
  bcd: 0x01,
  modeShift: 1,
  accessShift: 4,
  counterShift: 6,
} as const;

/** RW1 and RW0 of the control word. */
export const CounterAccess = { latch: 0, low: 1, high: 2, both: 3 } as const;

/** Bits of the read-back command, whose counter field is 3. The first two are active low. */
export const ReadBack = { noCount: 0x20, noStatus: 0x10 } as const;

/** Bits of a latched status byte above the mode. */
export const CounterStatus = { output: 0x80, nullCount: 0x40 } as const;

/** Port 61h (NMI status and control, 82371AB PIIX4). */
export const SystemControl = {
  gate2: 0x01,
  speaker: 0x02,
  writable: 0x0f,
  refreshToggle: 0x10,
  output2: 0x20,
} as const;
