/** A state component of XSAVE (CPUID 0Dh, subleaves from 2). */
export interface XsaveComponent {
  readonly bit: number;
  /** Bytes. */
  readonly size: number;
  /** In the standard format. 0 for supervisor components, which have no place there. */
  readonly offset: number;
  /** Enabled by IA32_XSS and not by XCR0. */
  readonly isSupervisor: boolean;
  /** At a multiple of 64 in the compacted format. */
  readonly isAligned: boolean;
  /** It is there with any of these. */
  readonly features: readonly string[];
}

const component = (
  bit: number,
  size: number,
  offset: number,
  features: string,
  kind: 'user' | 'supervisor' = 'user',
  isAligned = false,
): XsaveComponent => ({
  bit,
  size,
  offset,
  isSupervisor: kind === 'supervisor',
  isAligned,
  features: features.split(' '),
});

/** Intel's layout (SDM vol. 1, 13.4 and 13.5). */
export const intelComponents: readonly XsaveComponent[] = [
  component(2, 256, 576, 'avx'),
  component(3, 64, 960, 'mpx'),
  component(4, 64, 1024, 'mpx'),
  component(5, 64, 1088, 'avx512f'),
  component(6, 512, 1152, 'avx512f'),
  component(7, 1024, 1664, 'avx512f'),
  component(8, 128, 0, 'intel-pt', 'supervisor'),
  component(9, 8, 2688, 'pku'),
  component(11, 16, 0, 'shstk ibt', 'supervisor'),
  component(12, 24, 0, 'shstk', 'supervisor'),
  component(14, 48, 0, 'uintr', 'supervisor'),
  component(15, 808, 0, 'arch-lbr', 'supervisor'),
  component(16, 8, 0, 'hwp', 'supervisor'),
  component(17, 64, 2752, 'amx-tile', 'user', true),
  component(18, 8192, 2816, 'amx-tile', 'user', true),
];

/** AMD's, which never had MPX: AVX-512 follows AVX (an EPYC 9654 answers so). */
export const amdComponents: readonly XsaveComponent[] = [
  component(2, 256, 576, 'avx'),
  component(5, 64, 832, 'avx512f'),
  component(6, 512, 896, 'avx512f'),
  component(7, 1024, 1408, 'avx512f'),
  component(9, 8, 2432, 'pku'),
  component(11, 16, 0, 'shstk', 'supervisor'),
  component(12, 24, 0, 'shstk', 'supervisor'),
];

/** x87, SSE and the header. */
const legacyAndHeader = 576;

/** Bytes of an area in the standard format that has these components. */
export function standardSize(components: readonly XsaveComponent[], mask: number): number {
  let size = legacyAndHeader;
  for (const { bit, offset, size: length, isSupervisor } of components)
    if (!isSupervisor && ((mask >>> bit) & 1) !== 0) size = Math.max(size, offset + length);
  return size;
}

/** The same in the compacted format: they follow each other (SDM vol. 1, 13.4.3). */
export function compactedSize(components: readonly XsaveComponent[], mask: number): number {
  let size = legacyAndHeader;
  for (const { bit, size: length, isAligned } of components) {
    if (((mask >>> bit) & 1) === 0) continue;
    if (isAligned) size = (size + 63) & ~63;
    size += length;
  }
  return size;
}
