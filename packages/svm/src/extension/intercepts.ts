import { ControlAccess, Intercept, type InterceptedInstruction } from '@nest86/cpu/virtualization';
import { Intercept1, Intercept2, Intercept3, VirtualInterrupt } from '../vmcb/bits.ts';
import { ExitCode } from '../vmcb/exit-codes.ts';
import { vmcbOffset } from '../vmcb/layout.ts';
import type { Vmcb } from '../vmcb/vmcb.ts';

/** Classes of the processor's port that a bit of each intercept word needs. */
const classes1: readonly (readonly [bits: number, classes: number])[] = [
  [Intercept1.cr0Selective, Intercept.controlWrite],
  [
    Intercept1.idtrRead |
      Intercept1.gdtrRead |
      Intercept1.ldtrRead |
      Intercept1.trRead |
      Intercept1.idtrWrite |
      Intercept1.gdtrWrite |
      Intercept1.ldtrWrite |
      Intercept1.trWrite,
    Intercept.descriptorTable,
  ],
  [Intercept1.rdtsc, Intercept.timeStampCounter],
  [Intercept1.rdpmc, Intercept.performanceCounter],
  [Intercept1.pushf, Intercept.pushFlags],
  [Intercept1.popf, Intercept.popFlags],
  [Intercept1.cpuid, Intercept.cpuid],
  [Intercept1.rsm, Intercept.resume],
  [Intercept1.iret, Intercept.interruptReturn],
  [Intercept1.intn, Intercept.softwareInterrupt],
  [Intercept1.invd, Intercept.invalidateCaches],
  [Intercept1.pause, Intercept.pause],
  [Intercept1.hlt, Intercept.halt],
  [Intercept1.invlpg, Intercept.invalidatePage],
  [Intercept1.ioio, Intercept.port],
  [Intercept1.msr, Intercept.msr],
  [Intercept1.taskSwitch, Intercept.taskSwitch],
];
const classes2: readonly (readonly [bits: number, classes: number])[] = [
  [Intercept2.rdtscp, Intercept.processorId],
  [Intercept2.wbinvd, Intercept.writeBackCaches],
  [Intercept2.monitor, Intercept.monitor],
  [Intercept2.mwait, Intercept.monitorWait],
  [Intercept2.xsetbv, Intercept.extendedControl],
];

/** CR0, CR2, CR4. */
const controlRegisters = 0x15;

/** All classes that a VMCB's guest must be asked about. */
export function classesOf(vmcb: Vmcb): number {
  const first = vmcb.low(vmcbOffset.intercept1);
  const second = vmcb.low(vmcbOffset.intercept2);
  let classes = 0;
  for (const [bits, needed] of classes1) if ((first & bits) !== 0) classes |= needed;
  for (const [bits, needed] of classes2) if ((second & bits) !== 0) classes |= needed;
  if ((vmcb.low(vmcbOffset.intercept3) & Intercept3.invpcid) !== 0) classes |= Intercept.invalidateContext;
  const controls = vmcb.low(vmcbOffset.interceptCr);
  if ((controls & controlRegisters) !== 0) classes |= Intercept.controlRead;
  if ((controls & (controlRegisters << 16)) !== 0) classes |= Intercept.controlWrite;
  if ((controls & 8) !== 0) classes |= Intercept.pageTableRead;
  if ((controls & 0x8_0000) !== 0) classes |= Intercept.pageTableWrite;
  const isMasking = (vmcb.low(vmcbOffset.virtualInterrupt) & VirtualInterrupt.masking) !== 0;
  if (isMasking || (controls & 0x100) !== 0) classes |= Intercept.taskPriorityRead;
  if (isMasking || (controls & 0x100_0000) !== 0) classes |= Intercept.taskPriorityWrite;
  if (vmcb.low(vmcbOffset.interceptDr) !== 0) classes |= Intercept.debugRegister;
  return classes;
}

/** Exit code of a class whose members the VMCB does not tell apart; -1 for the others. */
export function plainCode(what: number): number {
  switch (what) {
    case Intercept.cpuid:
      return ExitCode.cpuid;
    case Intercept.halt:
      return ExitCode.hlt;
    case Intercept.timeStampCounter:
      return ExitCode.rdtsc;
    case Intercept.performanceCounter:
      return ExitCode.rdpmc;
    case Intercept.invalidateCaches:
      return ExitCode.invd;
    case Intercept.writeBackCaches:
      return ExitCode.wbinvd;
    case Intercept.monitor:
      return ExitCode.monitor;
    case Intercept.monitorWait:
      return ExitCode.mwait;
    case Intercept.extendedControl:
      return ExitCode.xsetbv;
    case Intercept.interruptReturn:
      return ExitCode.iret;
    case Intercept.pushFlags:
      return ExitCode.pushf;
    case Intercept.popFlags:
      return ExitCode.popf;
    case Intercept.resume:
      return ExitCode.rsm;
    case Intercept.invalidateContext:
      return ExitCode.invpcid;
    default:
      return -1;
  }
}

/** GDTR, IDTR, LDTR, TR by the port's numbers: bit of a read, distance to that of a write, code likewise. */
export function descriptorTableCode(vmcb: Vmcb, { number, isWrite }: InterceptedInstruction): number {
  const place = number === 0 ? 1 : number === 1 ? 0 : number === 6 ? 2 : 3;
  const index = place + (isWrite ? 4 : 0);
  return (vmcb.low(vmcbOffset.intercept1) & (Intercept1.idtrRead << index)) !== 0
    ? ExitCode.idtrRead + index
    : -1;
}

/** Bits of CR0 whose change the selective intercept lets pass: TS, MP. */
const passedBits = 0xa;

/** @param cr0 as it is */
export function controlRegisterCode(vmcb: Vmcb, question: InterceptedInstruction, cr0: number): number {
  const { number, isWrite, kind, valueLow } = question;
  if (((vmcb.low(vmcbOffset.interceptCr) >>> (number + (isWrite ? 16 : 0))) & 1) !== 0)
    return (isWrite ? ExitCode.crWrite : ExitCode.crRead) + number;
  if (number !== 0 || !isWrite || (vmcb.low(vmcbOffset.intercept1) & Intercept1.cr0Selective) === 0)
    return -1;
  // LMSW exits whatever it writes, CLTS never (APM vol. 2, 15.9).
  if (kind === ControlAccess.clearTaskSwitched) return -1;
  const isSelected = kind === ControlAccess.loadMachineStatus || ((valueLow ^ cr0) & ~passedBits) !== 0;
  return isSelected ? ExitCode.cr0SelectiveWrite : -1;
}

export function debugRegisterCode(vmcb: Vmcb, { number, isWrite }: InterceptedInstruction): number {
  if (((vmcb.low(vmcbOffset.interceptDr) >>> (number + (isWrite ? 16 : 0))) & 1) === 0) return -1;
  return (isWrite ? ExitCode.drWrite : ExitCode.drRead) + number;
}
