/*
 * The VM-execution, exit and entry controls: one table from which capability MSRs, checks and explanations follow (virtualization.md D15; SDM
 * vol. 3, 25.6 to 25.8).
 */

/** Pin-based controls (SDM vol. 3, table 25-5). */
export const Pin = {
  externalInterrupt: 1,
  nmi: 8,
  virtualNmis: 0x20,
  preemptionTimer: 0x40,
  postedInterrupts: 0x80,
} as const;

/** Primary processor-based controls (table 25-6). */
export const Primary = {
  interruptWindow: 4,
  tscOffset: 8,
  hlt: 0x80,
  invlpg: 0x200,
  mwait: 0x400,
  rdpmc: 0x800,
  rdtsc: 0x1000,
  cr3Load: 0x8000,
  cr3Store: 0x1_0000,
  cr8Load: 0x8_0000,
  cr8Store: 0x10_0000,
  tprShadow: 0x20_0000,
  nmiWindow: 0x40_0000,
  movDr: 0x80_0000,
  unconditionalIo: 0x100_0000,
  ioBitmaps: 0x200_0000,
  monitorTrap: 0x800_0000,
  msrBitmaps: 0x1000_0000,
  monitor: 0x2000_0000,
  pause: 0x4000_0000,
  secondary: -0x8000_0000,
} as const;

/** Secondary processor-based controls (table 25-7). */
export const Secondary = {
  apicAccesses: 1,
  ept: 2,
  descriptorTable: 4,
  rdtscp: 8,
  x2apicMode: 0x10,
  vpid: 0x20,
  wbinvd: 0x40,
  unrestrictedGuest: 0x80,
  apicRegisters: 0x100,
  virtualInterrupts: 0x200,
  pauseLoop: 0x400,
  rdrand: 0x800,
  invpcid: 0x1000,
  vmFunctions: 0x2000,
  shadowing: 0x4000,
  encls: 0x8000,
  rdseed: 0x1_0000,
  pml: 0x2_0000,
  violationException: 0x4_0000,
  xsaves: 0x10_0000,
  modeBasedExecute: 0x40_0000,
  tscScaling: 0x200_0000,
  userWait: 0x400_0000,
} as const;

/** Primary VM-exit controls (table 25-13). */
export const Exit = {
  saveDebug: 4,
  hostLongMode: 0x200,
  loadPerfGlobal: 0x1000,
  acknowledge: 0x8000,
  savePat: 0x4_0000,
  loadPat: 0x8_0000,
  saveEfer: 0x10_0000,
  loadEfer: 0x20_0000,
  saveTimer: 0x40_0000,
  clearBndcfgs: 0x80_0000,
} as const;

/** VM-entry controls (table 25-15). */
export const Entry = {
  loadDebug: 4,
  longMode: 0x200,
  toSmm: 0x400,
  endDualMonitor: 0x800,
  loadPerfGlobal: 0x2000,
  loadPat: 0x4000,
  loadEfer: 0x8000,
  loadBndcfgs: 0x1_0000,
} as const;

export type ControlWord = 'pin' | 'primary' | 'secondary' | 'exit' | 'entry';

export interface Control {
  readonly word: ControlWord;
  readonly bit: number;
  readonly name: string;
  /** Features of CPUID of which the processor needs one; none: always. */
  readonly needs?: readonly string[];
  /** It has a seat here and no behaviour: it is never offered. */
  readonly isSeat?: boolean;
}

const names: readonly (readonly [ControlWord, Readonly<Record<string, number>>])[] = [
  ['pin', Pin],
  ['primary', Primary],
  ['secondary', Secondary],
  ['exit', Exit],
  ['entry', Entry],
];

/** S3-33: bits that are offered with a feature of CPUID only. */
const needs: Readonly<Record<string, readonly string[]>> = {
  'secondary.rdtscp': ['rdtscp', 'rdpid'],
  'secondary.rdrand': ['rdrand'],
  'secondary.invpcid': ['invpcid'],
  'secondary.rdseed': ['rdseed'],
  'secondary.xsaves': ['xsaves'],
  'secondary.userWait': ['waitpkg'],
  'exit.loadEfer': ['lm'],
  'exit.saveEfer': ['lm'],
  'exit.hostLongMode': ['lm'],
  'entry.loadEfer': ['lm'],
  'entry.longMode': ['lm'],
};

const seats: ReadonlySet<string> = new Set([
  'pin.postedInterrupts',
  'secondary.apicAccesses',
  'secondary.x2apicMode',
  'secondary.apicRegisters',
  'secondary.virtualInterrupts',
  'secondary.pauseLoop',
  'secondary.encls',
  'exit.loadPerfGlobal',
  'exit.clearBndcfgs',
  'entry.toSmm',
  'entry.endDualMonitor',
  'entry.loadPerfGlobal',
  'entry.loadBndcfgs',
]);

/** All controls that are known here. */
export const vmxControls: readonly Control[] = names.flatMap(([word, bits]) =>
  Object.entries(bits).map(([name, bit]): Control => {
    const key = `${word}.${name}`;
    return {
      word,
      bit,
      name,
      ...(needs[key] && { needs: needs[key] }),
      ...(seats.has(key) && { isSeat: true }),
    };
  }),
);

/** Bits that must be 1 (SDM vol. 3, A.2 to A.5): the "default1" class, and what of it the TRUE capability MSRs leave. */
export const alwaysOn: Readonly<Record<ControlWord, readonly [plain: number, real: number]>> = {
  pin: [0x16, 0x16],
  primary: [0x0401_e172, 0x0400_6172],
  secondary: [0, 0],
  exit: [0x3_6dff, 0x3_6dfb],
  entry: [0x11ff, 0x11fb],
};
