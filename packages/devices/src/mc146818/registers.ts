/** Indices of the MC146818A's registers (data sheet, figure 15), and of the century as the FADT names it. */
export const Index = {
  seconds: 0x00,
  secondsAlarm: 0x01,
  minutes: 0x02,
  minutesAlarm: 0x03,
  hours: 0x04,
  hoursAlarm: 0x05,
  dayOfWeek: 0x06,
  dayOfMonth: 0x07,
  month: 0x08,
  year: 0x09,
  a: 0x0a,
  b: 0x0b,
  c: 0x0c,
  d: 0x0d,
  century: 0x32,
} as const;

export const RegisterA = { updateInProgress: 0x80, divider: 0x70, running: 0x20, rate: 0x0f } as const;

export const RegisterB = {
  set: 0x80,
  periodicInterrupt: 0x40,
  alarmInterrupt: 0x20,
  updateInterrupt: 0x10,
  binary: 0x04,
  hours24: 0x02,
} as const;

/** Flags of register C stand where register B enables them. */
export const RegisterC = { request: 0x80, periodic: 0x40, alarm: 0x20, updateEnded: 0x10 } as const;

export const validRamAndTime = 0x80;

/** Bit 7 of port 70h holds NMIs back. */
export const nmiMask = 0x80;
