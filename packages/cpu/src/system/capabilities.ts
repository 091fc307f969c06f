import { type CpuidBit, CpuidReader } from './cpuid-bits.ts';
import { componentsInSupervisorState, componentsInUserState } from './extended-state.ts';
import type { CpuidSource } from './unit.ts';

/**
 * What the processor has, as the masks and numbers that checks of registers want: what CPUID says, read once (S3-01, S3-07). Whether an
 * instruction exists at all is not asked here; its encoding's feature decides that before a service is called.
 */
export interface Capabilities {
  /** Bits of CR4 that may be set. */
  readonly cr4: number;
  /** Bits of EFER that may be set, LMA among them. 0: there is no EFER. */
  readonly efer: number;
  /** Bits of XCR0 that may be set; they all lie in its low half. */
  readonly xcr0: number;
  /** The same for IA32_XSS. */
  readonly xss: number;
  /** The compacted format of XSAVE areas is known: XSAVEC, or XSAVES. */
  readonly hasCompaction: boolean;
  /** XSAVES, and with it IA32_XSS. */
  readonly hasXsaves: boolean;
  /** XGETBV with ECX = 1. */
  readonly hasXinuse: boolean;
  /** By number: offset of a state component in the standard format of an XSAVE area (CPUID 0Dh, EBX). */
  readonly componentOffsets: ArrayLike<number>;
  /** Bit per state component that starts at a multiple of 64 in the compacted format (CPUID 0Dh, ECX bit 1). */
  readonly alignedComponents: number;
  /** Bits of MXCSR that may be set; also what is saved as MXCSR_MASK. */
  readonly mxcsr: number;
  /** FXSAVE and XSAVE store the selectors of the x87 pointers as 0 (CPUID 7.EBX bit 13). */
  readonly dropsFpuSelectors: boolean;
  /** Width of linear addresses in bits, 48 or 57, whether or not CR4.LA57 is set: what is canonical in an MSR. */
  readonly linearBits: number;
  /** IA32_TIME_STAMP_COUNTER exists, and IA32_PAT. */
  readonly hasTsc: boolean;
  readonly hasPat: boolean;
  /** IA32_TSC_AUX exists: RDTSCP or RDPID. */
  readonly hasTscAux: boolean;
  /** IA32_SYSENTER_CS and its neighbours exist. */
  readonly hasSysenter: boolean;
  /** MWAIT's ECX bit 0: an interrupt ends the wait though IF is 0 (CPUID 5.ECX bit 1). */
  readonly mwaitBreaksOnInterrupt: boolean;
}

const [EAX, EBX, ECX, EDX] = [0, 1, 2, 3];
const extended = 0x8000_0001 | 0;

/** Bits of CR4 with the features that bring them (SDM vol. 3, 2.5). PCE is there with RDPMC, that is always. */
const cr4Bits: readonly (readonly [bit: number, place: CpuidBit])[] = [
  [0, [1, 0, EDX, 1]], // VME
  [1, [1, 0, EDX, 1]], // PVI
  [2, [1, 0, EDX, 4]], // TSD
  [3, [1, 0, EDX, 2]], // DE
  [4, [1, 0, EDX, 3]], // PSE
  [5, [1, 0, EDX, 6]], // PAE
  [6, [1, 0, EDX, 7]], // MCE
  [7, [1, 0, EDX, 13]], // PGE
  [9, [1, 0, EDX, 24]], // OSFXSR
  [10, [1, 0, EDX, 25]], // OSXMMEXCPT
  [11, [7, 0, ECX, 2]], // UMIP
  [12, [7, 0, ECX, 16]], // LA57
  [13, [1, 0, ECX, 5]], // VMXE
  [14, [1, 0, ECX, 6]], // SMXE
  [16, [7, 0, EBX, 0]], // FSGSBASE
  [17, [1, 0, ECX, 17]], // PCIDE
  [18, [1, 0, ECX, 26]], // OSXSAVE
  [20, [7, 0, EBX, 7]], // SMEP
  [21, [7, 0, EBX, 20]], // SMAP
  [22, [7, 0, ECX, 3]], // PKE
  [23, [7, 0, ECX, 7]], // CET, shadow stacks
  [23, [7, 0, EDX, 20]], // CET, indirect branch tracking
  [24, [7, 0, ECX, 31]], // PKS
];
const cr4Pce = 1 << 8;

/** Bits of EFER, likewise (SDM vol. 3, 2.2.1; APM vol. 2, 3.1.7). FFXSR is not offered: FXSAVE always saves the XMM registers. */
const eferBits: readonly (readonly [bit: number, place: CpuidBit])[] = [
  [0, [extended, 0, EDX, 11]], // SCE
  // Intel shows SYSCALL to 64-bit code only (S3-08); a processor with long mode has it.
  [0, [extended, 0, EDX, 29]],
  [8, [extended, 0, EDX, 29]], // LME
  [10, [extended, 0, EDX, 29]], // LMA
  [11, [extended, 0, EDX, 20]], // NXE
  [12, [extended, 0, ECX, 2]], // SVME
  [15, [extended, 0, ECX, 17]], // TCE
  [21, [0x8000_0021 | 0, 0, EAX, 8]], // AIBRSE
];

/** Reads CPUID. Bits in it that follow CR4 or an MSR are not asked, so it does not matter when this is called. */
export function capabilitiesOf(cpuid: CpuidSource): Capabilities {
  const reader = new CpuidReader(cpuid);
  const word = reader.word.bind(reader);
  const has = reader.has.bind(reader);
  const mask = (rows: readonly (readonly [number, CpuidBit])[]): number =>
    rows.reduce((all, [bit, place]) => (has(place) ? all | (1 << bit) : all), 0);

  const hasXsave = has([1, 0, ECX, 26]);
  const xcr0 = hasXsave ? word(13, 0, EAX) & componentsInUserState : 0;
  const hasXsaves = hasXsave && has([13, 1, EAX, 3]);
  const xss = hasXsaves ? word(13, 1, ECX) & componentsInSupervisorState : 0;
  const componentOffsets = new Uint32Array(32);
  let alignedComponents = 0;
  for (let component = 2; component < 32; component++) {
    if (((xcr0 | xss) & (1 << component)) === 0) continue;
    componentOffsets[component] = word(13, component, EBX);
    if ((word(13, component, ECX) & 2) !== 0) alignedComponents |= 1 << component;
  }
  return {
    cr4: mask(cr4Bits) | cr4Pce,
    efer: mask(eferBits),
    xcr0,
    xss,
    hasCompaction: hasXsave && (has([13, 1, EAX, 1]) || hasXsaves),
    hasXsaves,
    hasXinuse: hasXsave && has([13, 1, EAX, 2]),
    componentOffsets,
    alignedComponents,
    // With SSE2 comes DAZ. Bit 17, AMD's misaligned exception mask, is not offered.
    mxcsr: has([1, 0, EDX, 26]) ? 0xffff : 0xffbf,
    dropsFpuSelectors: has([7, 0, EBX, 13]),
    linearBits: has([7, 0, ECX, 16]) ? 57 : 48,
    hasTsc: has([1, 0, EDX, 4]),
    hasPat: has([1, 0, EDX, 16]),
    hasTscAux: has([extended, 0, EDX, 27]) || has([7, 0, ECX, 22]),
    hasSysenter: has([1, 0, EDX, 11]),
    mwaitBreaksOnInterrupt: has([5, 0, ECX, 1]),
  };
}

/**
 * Whether an address is canonical for registers that hold one: MSRs, bases of segments, GDTR and IDTR. Processors with 57 bits take all of
 * them there whatever CR4.LA57 (KVM's finding on hardware, Linux commit 9245fd6b8531).
 */
export function isCanonicalIn(capabilities: Capabilities, high: number): boolean {
  const sign = high >> (capabilities.linearBits - 33);
  return sign === 0 || sign === -1;
}
