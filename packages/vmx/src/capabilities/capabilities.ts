import { highestIndex, regionBytes } from '../vmcs/fields.ts';
import { vmcsRevision } from '../vmcs/vmcs.ts';
import { alwaysOn, type ControlWord, Secondary, vmxControls } from './controls.ts';

/** What the capabilities follow from: `CpuidModel` of `@nest86/cpuid` is one. */
export interface VmxFeatures {
  has(feature: string): boolean;
  /** MAXPHYADDR. */
  readonly physicalBits: number;
  /** 48 or 57. */
  readonly linearBits: number;
}

export interface VmxCapabilityOptions {
  /** Controls that are not to be offered, as `secondary.ept`. What needs one of them goes, too. */
  readonly without?: Iterable<string>;
  /** Bits of CR4 that the processor knows; VMXE is added. Default: all that are not reserved for ever. */
  readonly cr4?: number;
}

/** Numbers of the capability MSRs (SDM vol. 3, appendix A). */
export const VmxMsr = {
  basic: 0x480,
  pin: 0x481,
  primary: 0x482,
  exit: 0x483,
  entry: 0x484,
  misc: 0x485,
  cr0Fixed0: 0x486,
  cr0Fixed1: 0x487,
  cr4Fixed0: 0x488,
  cr4Fixed1: 0x489,
  vmcsEnum: 0x48a,
  secondary: 0x48b,
  eptVpid: 0x48c,
  truePin: 0x48d,
  truePrimary: 0x48e,
  trueExit: 0x48f,
  trueEntry: 0x490,
  vmFunctions: 0x491,
} as const;

/** An option that names no control. */
export class VmxOptionError extends Error {
  override readonly name: string = 'VmxOptionError';
}

/** Controls without which another one is not offered. */
const dependencies: readonly (readonly [control: string, needs: string])[] = [
  ['secondary.unrestrictedGuest', 'secondary.ept'],
  ['secondary.pml', 'secondary.ept'],
  ['secondary.violationException', 'secondary.ept'],
  ['secondary.modeBasedExecute', 'secondary.ept'],
  ['exit.saveTimer', 'pin.preemptionTimer'],
];

/** The preemption timer counts once for each 2^0 ticks of the time stamp counter: an instruction is much, where exits cost nothing. */
export const timerShift = 0;

/** Bits of IA32_VMX_EPT_VPID_CAP (SDM vol. 3, A.10). */
const EptCap = {
  executeOnly: 1,
  walk4: 0x40,
  walk5: 0x80,
  uncacheable: 0x100,
  writeBack: 0x4000,
  pages2M: 0x1_0000,
  pages1G: 0x2_0000,
  invept: 0x10_0000,
  accessedDirty: 0x20_0000,
  advancedInformation: 0x40_0000,
  inveptSingle: 0x200_0000,
  inveptAll: 0x400_0000,
} as const;
/** INVVPID and its four types, in the high half. */
const invvpidTypes = 0xf01;

/** What VMX can do on a processor. Words that a control field must have, and may have. */
export class VmxCapabilities {
  readonly physicalBits: number;
  readonly linearBits: number;
  /** Per word: bits that must be 1 whatever software asks for, and all that may be 1. */
  readonly required: Readonly<Record<ControlWord, number>>;
  readonly allowed: Readonly<Record<ControlWord, number>>;
  readonly cr0Fixed0: number = 0x8000_0021 | 0;
  readonly cr0Fixed1 = -1;
  readonly cr4Fixed0 = 0x2000;
  readonly cr4Fixed1: number;
  /** Low half of IA32_VMX_EPT_VPID_CAP. */
  readonly ept: number;
  readonly hasInvvpid: boolean;
  /** Bits of the VM-function controls that may be 1: EPTP switching. */
  readonly vmFunctions: number;
  /** MSRs in one of the three lists (SDM vol. 3, A.6). */
  readonly mostMsrs = 512;
  readonly cr3Targets = 4;
  private readonly msrs = new Map<number, readonly [low: number, high: number]>();

  /** @throws VmxOptionError for a control that does not exist */
  constructor(features: VmxFeatures, { without = [], cr4 = 0x01ff_7fff }: VmxCapabilityOptions = {}) {
    this.physicalBits = features.physicalBits;
    this.linearBits = features.linearBits;
    const absent = new Set(without);
    const known = new Set(vmxControls.map(({ word, name }) => `${word}.${name}`));
    for (const name of absent)
      if (!known.has(name))
        throw new VmxOptionError(`control "${name}": allowed are ${[...known].join(', ')}`);
    for (const [control, need] of dependencies) if (absent.has(need)) absent.add(control);
    const allowed = { pin: 0, primary: 0, secondary: 0, exit: 0, entry: 0 };
    for (const { word, bit, name, needs, isSeat } of vmxControls)
      if (
        isSeat !== true &&
        !absent.has(`${word}.${name}`) &&
        (needs?.some((need) => features.has(need)) ?? true)
      )
        allowed[word] |= bit;
    const words = Object.keys(allowed) as ControlWord[];
    for (const word of words) allowed[word] |= alwaysOn[word][0];
    this.allowed = allowed;
    this.required = Object.fromEntries(words.map((word) => [word, alwaysOn[word][1]])) as Record<
      ControlWord,
      number
    >;
    this.cr4Fixed1 = cr4 | this.cr4Fixed0;
    const hasEpt = (allowed.secondary & Secondary.ept) !== 0;
    this.hasInvvpid = (allowed.secondary & Secondary.vpid) !== 0;
    this.vmFunctions = hasEpt && (allowed.secondary & Secondary.vmFunctions) !== 0 ? 1 : 0;
    this.ept = hasEpt
      ? EptCap.executeOnly |
        EptCap.walk4 |
        (features.linearBits === 57 ? EptCap.walk5 : 0) |
        EptCap.uncacheable |
        EptCap.writeBack |
        EptCap.pages2M |
        EptCap.pages1G |
        EptCap.invept |
        EptCap.accessedDirty |
        EptCap.advancedInformation |
        EptCap.inveptSingle |
        EptCap.inveptAll
      : 0;
    this.defineMsrs(features);
  }

  private defineMsrs(features: VmxFeatures): void {
    const { msrs, allowed, required } = this;
    // Region of 4 KiB, write-back, INS and OUTS tell their information, TRUE MSRs. Bit 56: hardware exceptions with or without error code.
    const widths = features.has('lm') ? 0 : 1 << 16;
    msrs.set(VmxMsr.basic, [vmcsRevision, regionBytes | widths | (6 << 18) | (1 << 22) | (1 << 23)]);
    const plain = (word: ControlWord): readonly [number, number] => [alwaysOn[word][0], allowed[word]];
    msrs.set(VmxMsr.pin, plain('pin'));
    msrs.set(VmxMsr.primary, plain('primary'));
    msrs.set(VmxMsr.exit, plain('exit'));
    msrs.set(VmxMsr.entry, plain('entry'));
    msrs.set(VmxMsr.truePin, [required.pin, allowed.pin]);
    msrs.set(VmxMsr.truePrimary, [required.primary, allowed.primary]);
    msrs.set(VmxMsr.trueExit, [required.exit, allowed.exit]);
    msrs.set(VmxMsr.trueEntry, [required.entry, allowed.entry]);
    if (allowed.secondary !== 0) msrs.set(VmxMsr.secondary, [0, allowed.secondary]);
    // LMA is stored at exits; HLT, shutdown and wait-for-SIPI; four CR3 targets; any field can be written; events of length 0.
    const storesLma = (allowed.secondary & Secondary.unrestrictedGuest) !== 0 ? 0x20 : 0;
    const misc = timerShift | storesLma | 0x1c0 | (this.cr3Targets << 16) | (1 << 29) | (1 << 30);
    msrs.set(VmxMsr.misc, [misc, 0]);
    msrs.set(VmxMsr.cr0Fixed0, [this.cr0Fixed0, 0]);
    msrs.set(VmxMsr.cr0Fixed1, [this.cr0Fixed1, 0]);
    msrs.set(VmxMsr.cr4Fixed0, [this.cr4Fixed0, 0]);
    msrs.set(VmxMsr.cr4Fixed1, [this.cr4Fixed1, 0]);
    msrs.set(VmxMsr.vmcsEnum, [highestIndex << 1, 0]);
    if ((this.ept | (this.hasInvvpid ? 1 : 0)) !== 0)
      msrs.set(VmxMsr.eptVpid, [this.ept, this.hasInvvpid ? invvpidTypes : 0]);
    if (this.vmFunctions !== 0) msrs.set(VmxMsr.vmFunctions, [this.vmFunctions, 0]);
  }

  /** Value of a capability MSR, low half first; false if there is none. */
  read(index: number, out: Int32Array): boolean {
    const value = this.msrs.get(index);
    if (value === undefined) return false;
    out[0] = value[0];
    out[1] = value[1];
    return true;
  }

  /** Whether an EPTP may be used (SDM vol. 3, 27.2.1.1): memory type, levels, A and D, reserved and address bits. */
  takesEptp(low: number, high: number): boolean {
    const type = low & 7;
    if (type !== 0 && type !== 6) return false;
    const levels = (low >>> 3) & 7;
    if (levels !== 3 && (levels !== 4 || (this.ept & EptCap.walk5) === 0)) return false;
    return (low & 0xf80) === 0 && this.isPhysical(high);
  }

  /** No bit from MAXPHYADDR on. */
  isPhysical(high: number): boolean {
    return this.physicalBits >= 64 || (high & (-1 << (this.physicalBits - 32))) === 0;
  }

  /** Canonical in as many bits as the processor has. */
  isCanonical(high: number): boolean {
    const sign = high >> (this.linearBits - 33);
    return sign === 0 || sign === -1;
  }
}
