/** Bits of `intercept1` (offset 00Ch; APM vol. 2, table B-1). */
export const Intercept1 = {
  intr: 0x1,
  nmi: 0x2,
  smi: 0x4,
  init: 0x8,
  vintr: 0x10,
  cr0Selective: 0x20,
  idtrRead: 0x40,
  gdtrRead: 0x80,
  ldtrRead: 0x100,
  trRead: 0x200,
  idtrWrite: 0x400,
  gdtrWrite: 0x800,
  ldtrWrite: 0x1000,
  trWrite: 0x2000,
  rdtsc: 0x4000,
  rdpmc: 0x8000,
  pushf: 0x1_0000,
  popf: 0x2_0000,
  cpuid: 0x4_0000,
  rsm: 0x8_0000,
  iret: 0x10_0000,
  intn: 0x20_0000,
  invd: 0x40_0000,
  pause: 0x80_0000,
  hlt: 0x100_0000,
  invlpg: 0x200_0000,
  invlpga: 0x400_0000,
  ioio: 0x800_0000,
  msr: 0x1000_0000,
  taskSwitch: 0x2000_0000,
  ferrFreeze: 0x4000_0000,
  shutdown: -0x8000_0000,
} as const;

/** Bits of `intercept2` (offset 010h). */
export const Intercept2 = {
  vmrun: 0x1,
  vmmcall: 0x2,
  vmload: 0x4,
  vmsave: 0x8,
  stgi: 0x10,
  clgi: 0x20,
  skinit: 0x40,
  rdtscp: 0x80,
  icebp: 0x100,
  wbinvd: 0x200,
  monitor: 0x400,
  mwait: 0x800,
  mwaitArmed: 0x1000,
  xsetbv: 0x2000,
  rdpru: 0x4000,
  eferWrite: 0x8000,
} as const;

/** Bits of `intercept3` (offset 014h). */
export const Intercept3 = {
  invlpgb: 1,
  invlpgbIllegal: 2,
  invpcid: 4,
  mcommit: 8,
  tlbsync: 16,
  busLock: 32,
  idleHlt: 64,
} as const;

/** Bits of `virtualInterrupt` (offset 060h). */
export const VirtualInterrupt = {
  taskPriority: 0xff,
  request: 0x100,
  globalFlag: 0x200,
  nmiPending: 0x800,
  nmiMask: 0x1000,
  priority: 0xf_0000,
  ignoreTaskPriority: 0x10_0000,
  masking: 0x100_0000,
  globalFlagEnable: 0x200_0000,
  nmiEnable: 0x400_0000,
  x2avic: 0x4000_0000,
  avic: -0x8000_0000,
} as const;

/** Bits of `eventInjection` and `exitIntInfo` (APM vol. 2, 15.20): vector 7:0, type 10:8, error code in the upper half. */
export const EventField = { errorValid: 0x800, valid: -0x8000_0000 } as const;
