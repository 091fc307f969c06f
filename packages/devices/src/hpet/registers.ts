/** Offsets of the HPET's registers (IA-PC HPET specification 1.0a, section 2.3). Each has eight bytes. */
export const Register = {
  capabilities: 0x000,
  configuration: 0x010,
  interruptStatus: 0x020,
  mainCounter: 0x0f0,
  /** Of timer 0; those of the next follow after {@link timerStride}. */
  timers: 0x100,
} as const;

export const timerStride = 0x20;

/** Offsets in a timer's block. */
export const TimerRegister = { configuration: 0x00, comparator: 0x08 } as const;

/** Low half of the capabilities; the high one is the counter's period in femtoseconds. */
export const Capabilities = {
  revision: 0x01,
  lastTimerShift: 8,
  counter64: 0x2000,
  legacyReplacement: 0x8000,
  vendor: 0x8086_0000,
} as const;

export const Configuration = { enable: 0x01, legacyReplacement: 0x02 } as const;

/** Low half of a timer's configuration and capabilities; the high one is INT_ROUTE_CAP. */
export const TimerConfiguration = {
  level: 0x0002,
  interruptEnable: 0x0004,
  periodic: 0x0008,
  periodicCapable: 0x0010,
  size64: 0x0020,
  valueSet: 0x0040,
  mode32: 0x0100,
  routeShift: 9,
  writable: 0x3f4e,
} as const;
