import { Cr0, Cr4, Efer } from '@nest86/mmu';
import { Exception } from '../semantics/operation.ts';
import type { StateField } from '../state/layout.ts';
import { Segment } from '../state/layout.ts';
import { Answer } from '../virtualization/extension.ts';
import { Intercept } from '../virtualization/intercept.ts';
import { askAboutValue } from '../virtualization/questions.ts';
import { readTimeStampCounter } from '../virtualization/time.ts';
import { isCanonicalIn } from './capabilities.ts';
import { guestFault } from './fault.ts';
import { requireLevel0 } from './privilege.ts';
import type { Service, Services, SystemUnit } from './unit.ts';

/*
 * Model-specific registers that the processor core owns (SDM vol. 4, table 2-2; APM vol. 2, appendix A). All others are asked of `unit.msrs`; one
 * that nobody knows raises #GP(0). So does a register that belongs to a feature which is not there (S3-32).
 */

/** Numbers, unsigned, by the manual's names. */
export const Msr = {
  TIME_STAMP_COUNTER: 0x10,
  APIC_BASE: 0x1b,
  SMBASE: 0x9e,
  SYSENTER_CS: 0x174,
  SYSENTER_ESP: 0x175,
  SYSENTER_EIP: 0x176,
  MISC_ENABLE: 0x1a0,
  DEBUGCTL: 0x1d9,
  PAT: 0x277,
  PKRS: 0x6e1,
  XSS: 0xda0,
  EFER: 0xc000_0080,
  STAR: 0xc000_0081,
  LSTAR: 0xc000_0082,
  CSTAR: 0xc000_0083,
  FMASK: 0xc000_0084,
  FS_BASE: 0xc000_0100,
  GS_BASE: 0xc000_0101,
  KERNEL_GS_BASE: 0xc000_0102,
  TSC_AUX: 0xc000_0103,
  /** AMD's name for SMBASE. */
  SMM_BASE: 0xc001_0111,
} as const;

const value = new Int32Array(2);

function generalProtection(): never {
  throw guestFault(Exception.generalProtection, 0);
}

/** SDM vol. 2, RDMSR: EDX:EAX, and the upper halves of RAX and RDX become 0. */
const rdmsr: Service = (unit, instruction) => {
  requireLevel0(unit);
  const { state } = unit;
  const index = state.low('gpr', rcx) >>> 0;
  const answer = askAboutValue(unit, Intercept.msr, instruction, index, false, 0, value);
  if (answer === Answer.exit) return;
  if (answer === Answer.continue && !readMsr(unit, index, value)) generalProtection();
  state.setPair('gpr', value[0], 0, rax);
  state.setPair('gpr', value[1], 0, rdx);
};

/** SDM vol. 2, WRMSR. */
const wrmsr: Service = (unit, instruction) => {
  requireLevel0(unit);
  const { state } = unit;
  const index = state.low('gpr', rcx) >>> 0;
  value[0] = state.low('gpr', rax);
  value[1] = state.low('gpr', rdx);
  if (askAboutValue(unit, Intercept.msr, instruction, index, true, 0, value) !== Answer.continue) return;
  writeMsr(unit, index, value[0], value[1]);
};

/**
 * Value of a register.
 *
 * @param index unsigned
 * @param out low half first
 * @returns false if it does not exist
 */
export function readMsr(unit: SystemUnit, index: number, out: Int32Array): boolean {
  const { state, context } = unit;
  if (!exists(unit, index)) return false;
  switch (index) {
    case Msr.TIME_STAMP_COUNTER:
      readTimeStampCounter(unit, out);
      return true;
    case Msr.EFER:
      out[0] = context.efer;
      out[1] = 0;
      return true;
    case Msr.PKRS:
      out[0] = context.pkrs;
      out[1] = 0;
      return true;
    case Msr.FS_BASE:
    case Msr.GS_BASE: {
      const segment = index === Msr.FS_BASE ? Segment.fs : Segment.gs;
      out[0] = state.low('segmentBase', segment);
      out[1] = state.high('segmentBase', segment);
      return true;
    }
    default: {
      const field = fieldOf(index);
      if (field === undefined) return unit.msrs.read(index, out);
      out[0] = state.low(field);
      out[1] = state.high(field);
      return true;
    }
  }
}

/** The state's field of a register that is nothing but stored. */
function fieldOf(index: number): StateField | undefined {
  switch (index) {
    case Msr.SMBASE:
    case Msr.SMM_BASE:
      return 'smbase';
    case Msr.SYSENTER_CS:
      return 'sysenterCs';
    case Msr.SYSENTER_ESP:
      return 'sysenterEsp';
    case Msr.SYSENTER_EIP:
      return 'sysenterEip';
    case Msr.MISC_ENABLE:
      return 'miscEnable';
    case Msr.DEBUGCTL:
      return 'debugControl';
    case Msr.PAT:
      return 'pat';
    case Msr.XSS:
      return 'xss';
    case Msr.STAR:
      return 'star';
    case Msr.LSTAR:
      return 'lstar';
    case Msr.CSTAR:
      return 'cstar';
    case Msr.FMASK:
      return 'sfmask';
    case Msr.KERNEL_GS_BASE:
      return 'kernelGsBase';
    case Msr.TSC_AUX:
      return 'tscAux';
    default:
      return undefined;
  }
}

/** Whether a register is there with the features of this processor. What the core does not own is taken to be. */
function exists(unit: SystemUnit, index: number): boolean {
  const { capabilities, state } = unit;
  const isAmd = unit.mmu.model.vendor === 'amd';
  switch (index) {
    case Msr.EFER:
      return capabilities.efer !== 0;
    case Msr.STAR:
    case Msr.LSTAR:
    case Msr.CSTAR:
    case Msr.FMASK:
    case Msr.FS_BASE:
    case Msr.GS_BASE:
    case Msr.KERNEL_GS_BASE:
      return (capabilities.efer & Efer.lme) !== 0;
    case Msr.SYSENTER_CS:
    case Msr.SYSENTER_ESP:
    case Msr.SYSENTER_EIP:
      return capabilities.hasSysenter;
    case Msr.TIME_STAMP_COUNTER:
      return capabilities.hasTsc;
    case Msr.PAT:
      return capabilities.hasPat;
    case Msr.TSC_AUX:
      return capabilities.hasTscAux;
    case Msr.PKRS:
      return (capabilities.cr4 & Cr4.pks) !== 0;
    case Msr.XSS:
      return capabilities.hasXsaves;
    case Msr.MISC_ENABLE:
      return !isAmd;
    case Msr.SMBASE:
      // Intel shows it inside SMM only.
      return !isAmd && state.get('inSmm') !== 0;
    case Msr.SMM_BASE:
      return isAmd;
    default:
      return true;
  }
}

/** Writes a register with its checks. @param index unsigned @throws GuestFault #GP(0) */
export function writeMsr(unit: SystemUnit, index: number, low: number, high: number): void {
  const { state, capabilities } = unit;
  const isAmd = unit.mmu.model.vendor === 'amd';
  if (!exists(unit, index)) generalProtection();
  switch (index) {
    case Msr.TIME_STAMP_COUNTER:
      unit.time.writeTsc(low, high);
      return;
    case Msr.EFER:
      writeEfer(unit, low, high);
      return;
    case Msr.APIC_BASE:
      if (!unit.msrs.write(index, low, high)) generalProtection();
      state.setPair('apicBase', low, high);
      return;
    case Msr.SMBASE:
      generalProtection();
      return;
    case Msr.SMM_BASE:
      if (high !== 0) generalProtection();
      state.setPair('smbase', low, 0);
      return;
    case Msr.SYSENTER_CS:
      // 32 bits are kept, of which SYSENTER uses the lower half.
      state.setPair('sysenterCs', low, 0);
      return;
    case Msr.SYSENTER_ESP:
    case Msr.SYSENTER_EIP: {
      const field = index === Msr.SYSENTER_ESP ? 'sysenterEsp' : 'sysenterEip';
      // AMD has no SYSENTER in long mode, and 32 bits of the registers.
      if (!isAmd) requireCanonical(unit, high);
      state.setPair(field, low, isAmd ? 0 : high);
      return;
    }
    case Msr.MISC_ENABLE:
      writeMiscEnable(unit, low, high);
      return;
    case Msr.DEBUGCTL:
      if (high !== 0 || (low & ~(isAmd ? amdDebugControl : intelDebugControl)) !== 0) generalProtection();
      state.setPair('debugControl', low, 0);
      unit.breakpointsChanged();
      return;
    case Msr.PAT:
      if (!isPat(low) || !isPat(high)) generalProtection();
      state.setPair('pat', low, high);
      return;
    case Msr.PKRS:
      if (high !== 0) generalProtection();
      unit.context.pkrs = low;
      unit.contextChanged();
      return;
    case Msr.XSS:
      if (high !== 0 || (low & ~capabilities.xss) !== 0) generalProtection();
      state.setPair('xss', low, 0);
      return;
    case Msr.STAR:
      state.setPair('star', low, high);
      return;
    case Msr.LSTAR:
    case Msr.CSTAR:
      requireCanonical(unit, high);
      state.setPair(index === Msr.LSTAR ? 'lstar' : 'cstar', low, high);
      return;
    case Msr.FMASK:
      // Reserved bits: #GP on Intel, ignored on AMD.
      if (high !== 0 && !isAmd) generalProtection();
      state.setPair('sfmask', low, 0);
      return;
    case Msr.TSC_AUX:
      if (high !== 0 && !isAmd) generalProtection();
      state.setPair('tscAux', low, 0);
      return;
    case Msr.FS_BASE:
    case Msr.GS_BASE:
      requireCanonical(unit, high);
      state.setPair('segmentBase', low, high, index === Msr.FS_BASE ? Segment.fs : Segment.gs);
      return;
    case Msr.KERNEL_GS_BASE:
      requireCanonical(unit, high);
      state.setPair('kernelGsBase', low, high);
      return;
    default:
      if (!unit.msrs.write(index, low, high)) generalProtection();
  }
}

function requireCanonical(unit: SystemUnit, high: number): void {
  if (!isCanonicalIn(unit.capabilities, high)) generalProtection();
}

/** SDM vol. 3, 2.2.1; APM vol. 2, 3.1.7. */
function writeEfer(unit: SystemUnit, low: number, high: number): void {
  const { context, capabilities } = unit;
  const before = context.efer;
  if (high !== 0 || (low & ~capabilities.efer) !== 0) generalProtection();
  if ((low & Efer.nxe) !== 0 && (unit.state.high('miscEnable') & miscNoExecuteDisable) !== 0)
    generalProtection();
  // LMA is the processor's. Intel ignores what is written to it; AMD wants it as it is.
  if (((low ^ before) & Efer.lma) !== 0 && unit.mmu.model.vendor === 'amd') generalProtection();
  if (((low ^ before) & Efer.lme) !== 0 && (context.cr0 & Cr0.pg) !== 0) generalProtection();
  context.efer = (low & ~Efer.lma) | (before & Efer.lma);
  context.update();
  unit.contextChanged();
}

/**
 * Bits of IA32_MISC_ENABLE that can be changed: fast strings 0, thermal control 3, SpeedStep 16, MONITOR 18, limit of CPUID 22, xTPR messages 23.
 * Bits 7, 11 and 12 tell what there is and keep their values; the rest is reserved (S3-25).
 */
const miscWritable = 0x00c5_0009;
const miscReadOnly = 0x1880;
/** Bit 34: NX is not to be had. */
const miscNoExecuteDisable = 4;

function writeMiscEnable(unit: SystemUnit, low: number, high: number): void {
  if ((high & ~miscNoExecuteDisable) !== 0 || (low & ~(miscWritable | miscReadOnly)) !== 0)
    generalProtection();
  const before = unit.state.low('miscEnable');
  unit.state.setPair('miscEnable', (low & miscWritable) | (before & miscReadOnly), high);
}

/** LBR and BTF; AMD also has the four breakpoint pins. */
const intelDebugControl = 3;
const amdDebugControl = 0x3f;

/** Four entries of the PAT: each UC, WC, WT, WP, WB or UC- (SDM vol. 3, table 12-10). */
function isPat(half: number): boolean {
  for (let shift = 0; shift < 32; shift += 8) {
    const type = (half >>> shift) & 0xff;
    if (type > 7 || type === 2 || type === 3) return false;
  }
  return true;
}

const rax = 0;
const rcx = 1;
const rdx = 2;

export const msrServices: Services = { RDMSR: rdmsr, WRMSR: wrmsr, WRMSRNS: wrmsr };
