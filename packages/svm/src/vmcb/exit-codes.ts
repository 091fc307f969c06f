/** Exit codes (APM vol. 2, appendix C); ranges by their first. */
export const ExitCode = {
  crRead: 0x00,
  crWrite: 0x10,
  drRead: 0x20,
  drWrite: 0x30,
  exception: 0x40,
  intr: 0x60,
  nmi: 0x61,
  smi: 0x62,
  init: 0x63,
  vintr: 0x64,
  cr0SelectiveWrite: 0x65,
  idtrRead: 0x66,
  gdtrRead: 0x67,
  ldtrRead: 0x68,
  trRead: 0x69,
  idtrWrite: 0x6a,
  gdtrWrite: 0x6b,
  ldtrWrite: 0x6c,
  trWrite: 0x6d,
  rdtsc: 0x6e,
  rdpmc: 0x6f,
  pushf: 0x70,
  popf: 0x71,
  cpuid: 0x72,
  rsm: 0x73,
  iret: 0x74,
  swint: 0x75,
  invd: 0x76,
  pause: 0x77,
  hlt: 0x78,
  invlpg: 0x79,
  invlpga: 0x7a,
  ioio: 0x7b,
  msr: 0x7c,
  taskSwitch: 0x7d,
  ferrFreeze: 0x7e,
  shutdown: 0x7f,
  vmrun: 0x80,
  vmmcall: 0x81,
  vmload: 0x82,
  vmsave: 0x83,
  stgi: 0x84,
  clgi: 0x85,
  skinit: 0x86,
  rdtscp: 0x87,
  icebp: 0x88,
  wbinvd: 0x89,
  monitor: 0x8a,
  mwait: 0x8b,
  mwaitConditional: 0x8c,
  xsetbv: 0x8d,
  rdpru: 0x8e,
  eferWriteTrap: 0x8f,
  crWriteTrap: 0x90,
  invlpgb: 0xa0,
  invlpgbIllegal: 0xa1,
  invpcid: 0xa2,
  mcommit: 0xa3,
  tlbsync: 0xa4,
  busLock: 0xa5,
  idleHlt: 0xa6,
  nestedPageFault: 0x400,
  avicIncompleteIpi: 0x401,
  avicNoAcceleration: 0x402,
  vmgexit: 0x403,
  /** VMEXIT_INVALID: the VMCB's state is not allowed. All 64 bits are set. */
  invalid: -1,
  busy: -2,
} as const;

const ranges: readonly (readonly [first: number, count: number, text: string])[] = [
  [ExitCode.crRead, 16, 'CR#_READ'],
  [ExitCode.crWrite, 16, 'CR#_WRITE'],
  [ExitCode.drRead, 16, 'DR#_READ'],
  [ExitCode.drWrite, 16, 'DR#_WRITE'],
  [ExitCode.crWriteTrap, 16, 'CR#_WRITE_TRAP'],
];

const special: Readonly<Record<number, string>> = {
  [ExitCode.cr0SelectiveWrite]: 'CR0_SEL_WRITE',
  [ExitCode.taskSwitch]: 'TASK_SWITCH',
  [ExitCode.ferrFreeze]: 'FERR_FREEZE',
  [ExitCode.mwaitConditional]: 'MWAIT_CONDITIONAL',
  [ExitCode.eferWriteTrap]: 'EFER_WRITE_TRAP',
  [ExitCode.invlpgbIllegal]: 'INVLPGB_ILLEGAL',
  [ExitCode.busLock]: 'BUSLOCK',
  [ExitCode.nestedPageFault]: 'NPF',
  [ExitCode.avicIncompleteIpi]: 'AVIC_INCOMPLETE_IPI',
  [ExitCode.avicNoAcceleration]: 'AVIC_NOACCEL',
};

const exceptionNames =
  'DE DB NMI BP OF BR UD NM DF CSO TS NP SS GP PF 15 MF AC MC XF VE CP 22 23 24 25 26 27 HV VC SX 31'.split(
    ' ',
  );

const names = new Map<number, string>();
for (const [name, code] of Object.entries(ExitCode))
  names.set(code, special[code] ?? name.replace(/(?<=r)(Read|Write)/, '_$1').toUpperCase());
for (const [first, count, text] of ranges)
  for (let i = 0; i < count; i++) names.set(first + i, text.replace('#', String(i)));
for (let i = 0; i < 32; i++) names.set(ExitCode.exception + i, `EXCP_${exceptionNames[i]}`);

/** The manual's name of an exit code without `VMEXIT_`, or its number in hexadecimal. @param code its low half, signed or unsigned */
export function exitName(code: number): string {
  return names.get(code | 0) ?? `${(code >>> 0).toString(16)}h`;
}
