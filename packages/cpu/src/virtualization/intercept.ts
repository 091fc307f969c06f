/**
 * Classes of instructions that a guest's owner may want to see: bits of the static mask (virtualization.md D1). What tells the members of a
 * class apart (which register, port, MSR) is in {@link InterceptedInstruction}; the extension's bitmaps and masks decide there.
 */
export const Intercept = {
  cpuid: 1,
  halt: 2,
  pause: 4,
  timeStampCounter: 8,
  /** RDTSCP and RDPID, which a control of VMX may take away altogether. */
  processorId: 0x10,
  performanceCounter: 0x20,
  invalidatePage: 0x40,
  /** INVD. */
  invalidateCaches: 0x80,
  /** WBINVD, WBNOINVD. */
  writeBackCaches: 0x100,
  /** MONITOR, MONITORX. */
  monitor: 0x200,
  /** MWAIT, MWAITX. */
  monitorWait: 0x400,
  /** XSETBV. */
  extendedControl: 0x800,
  /** LGDT LIDT LLDT LTR SGDT SIDT SLDT STR. */
  descriptorTable: 0x1000,
  /** CR0, CR2, CR4; SMSW. */
  controlRead: 0x2000,
  /** The same; CLTS, LMSW. */
  controlWrite: 0x4000,
  /** CR3. */
  pageTableRead: 0x8000,
  pageTableWrite: 0x1_0000,
  /** CR8. */
  taskPriorityRead: 0x2_0000,
  taskPriorityWrite: 0x4_0000,
  /** MOV to and from debug registers. */
  debugRegister: 0x8_0000,
  /** IN, OUT, INS, OUTS. */
  port: 0x10_0000,
  /** RDMSR, WRMSR. */
  msr: 0x20_0000,
  taskSwitch: 0x40_0000,
  /** INT n; INT3, INTO and INT1 are exceptions to the port. */
  softwareInterrupt: 0x80_0000,
  interruptReturn: 0x100_0000,
  pushFlags: 0x200_0000,
  popFlags: 0x400_0000,
  /** RSM. */
  resume: 0x800_0000,
  /** RDRAND, RDSEED. */
  random: 0x1000_0000,
  /** INVPCID. */
  invalidateContext: 0x2000_0000,
  /** UMWAIT, TPAUSE. */
  timedWait: 0x4000_0000,
  /** XSAVES, XRSTORS. */
  supervisorState: -0x8000_0000,
} as const;

/**
 * By mnemonic: instructions that generated code executes unless they are intercepted. Their bits are part of the code's key; the others concern
 * what TypeScript executes anyway, so guests that differ in them only share their code. Whoever stages an interceptable instruction adds it.
 */
const stagedIntercepts: Readonly<Record<string, number>> = {
  PAUSE: Intercept.pause,
  PUSHF: Intercept.pushFlags,
  PUSHFD: Intercept.pushFlags,
  PUSHFQ: Intercept.pushFlags,
  POPF: Intercept.popFlags,
  POPFD: Intercept.popFlags,
  POPFQ: Intercept.popFlags,
  IRETQ: Intercept.interruptReturn,
};

/** All bits of {@link codeInterceptOf}. */
export const codeIntercepts: number = Object.values(stagedIntercepts).reduce((all, bit) => all | bit, 0);

/** Bit of an instruction that generated code may execute, 0 for the many that nobody intercepts. */
export function codeInterceptOf(mnemonic: string): number {
  return stagedIntercepts[mnemonic] ?? 0;
}

/** Bit of a MOV from a control register. */
export function controlReadIntercept(number: number): number {
  if (number === 3) return Intercept.pageTableRead;
  return number === 8 ? Intercept.taskPriorityRead : Intercept.controlRead;
}

/** Bit of a MOV to a control register. */
export function controlWriteIntercept(number: number): number {
  if (number === 3) return Intercept.pageTableWrite;
  return number === 8 ? Intercept.taskPriorityWrite : Intercept.controlWrite;
}
