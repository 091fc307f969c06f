/** Offsets in the page of the local APIC (SDM vol. 3, table 12-1). The MSR of x2APIC mode is 800h + offset / 16. */
export const Register = {
  id: 0x20,
  version: 0x30,
  taskPriority: 0x80,
  processorPriority: 0xa0,
  endOfInterrupt: 0xb0,
  logicalDestination: 0xd0,
  destinationFormat: 0xe0,
  spuriousVector: 0xf0,
  /** First of eight: in service. */
  inService: 0x100,
  /** First of eight: trigger mode, 1 for level. */
  triggerMode: 0x180,
  /** First of eight: interrupt request. */
  request: 0x200,
  errorStatus: 0x280,
  lvtCmci: 0x2f0,
  commandLow: 0x300,
  commandHigh: 0x310,
  lvtTimer: 0x320,
  lvtThermal: 0x330,
  lvtPerformance: 0x340,
  lvtLint0: 0x350,
  lvtLint1: 0x360,
  lvtError: 0x370,
  initialCount: 0x380,
  currentCount: 0x390,
  divideConfiguration: 0x3e0,
  /** x2APIC mode only. */
  selfIpi: 0x3f0,
} as const;

/** IA32_APIC_BASE, IA32_TSC_DEADLINE, and the register of offset 0 in x2APIC mode. */
export const Msr = { apicBase: 0x1b, tscDeadline: 0x6e0, x2apicFirst: 0x800 } as const;

/** IA32_APIC_BASE, low half. */
export const ApicBase = { bootstrap: 0x100, x2apic: 0x400, enable: 0x800 } as const;

/** Spurious-interrupt vector register. */
export const Spurious = { enable: 0x100, focusDisabled: 0x200, suppressBroadcast: 0x1000 } as const;

/** Version register: 14h, and what else is in it. */
export const Version = { value: 0x14, maxLvtShift: 16, canSuppressBroadcast: 0x100_0000 } as const;

/** Entries of the local vector table. */
export const Lvt = {
  vector: 0xff,
  deliveryMode: 0x700,
  polarity: 0x2000,
  remoteIrr: 0x4000,
  level: 0x8000,
  masked: 0x1_0000,
  periodic: 0x2_0000,
  tscDeadline: 0x4_0000,
  timerModeShift: 17,
} as const;

/** Error status register. */
export const ApicError = {
  sendIllegalVector: 0x20,
  receiveIllegalVector: 0x40,
  illegalRegister: 0x80,
} as const;

/** Interrupt command register, low half. */
export const Command = {
  logical: 0x800,
  assert: 0x4000,
  level: 0x8000,
  shorthandShift: 18,
  /** What can be written; the delivery status is always idle. */
  writable: 0xc_cfff,
  /** Bits that must be 0 in x2APIC mode. Bit 12 is reserved too; Intel's processors take it, so it is not among them. */
  reserved: 0xfff3_2000,
} as const;

export const Shorthand = { none: 0, self: 1, all: 2, others: 3 } as const;
