import { archCapabilities } from '../arch-capabilities.ts';
import type { LeafRow } from '../features.ts';
import type { CpuModelData } from './model-data.ts';

/** Level 1: 32 KiB of 8 ways each; level 2: 1 MiB of 16 ways; level 3: 16 MiB of 16 ways; TLBs as Skylake's. */
const leaves: readonly LeafRow[] = [
  [2, 0, 0x76036301, 0x00f0b5ff, 0, 0x00c30000],
  [4, 0, 0x121, 0x01c0003f, 0x3f, 0],
  [4, 1, 0x122, 0x01c0003f, 0x3f, 0],
  [4, 2, 0x143, 0x03c0003f, 0x3ff, 0],
  [4, 3, 0x163, 0x03c0003f, 0x3fff, 0],
  [5, 0, 0x40, 0x40, 3, 0],
  [0x80000006, 0, 0, 0, 0x04008040, 0],
];

/** The level of the psABI (x86-64-v2 …) with what a board brings, and what makes a kernel quick without depending on the level. */
const common =
  'fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 ss ' +
  'sse3 ssse3 cx16 sse4.1 sse4.2 popcnt x2apic tsc-deadline hypervisor tsc-adjust arat ' +
  'syscall nx rdtscp lm lahf-lm invtsc arch-capabilities spec-ctrl';

const version3 =
  'pclmulqdq fma pcid movbe aes xsave avx f16c rdrand fsgsbase bmi1 avx2 smep bmi2 erms invpcid rdseed adx smap ' +
  'clflushopt umip pku fsrm xsaveopt xsavec xgetbv1 xsaves pdpe1gb abm 3dnowprefetch stibp ssbd';

/** Nothing is speculated here, so nothing leaks that way: kernels need no mitigation. */
const immune = archCapabilities(
  'rdcl-no ibrs-all skip-l1dfl-vmentry ssb-no mds-no if-pschange-mc-no taa-no sbdr-ssdp-no fbsdp-no psdp-no ' +
    'bhi-no pbrsb-no gds-no rfds-no its-no',
);

const generic = {
  vendor: 'intel',
  family: 6,
  model: 0x9e,
  stepping: 10,
  brand: 'nest86 x86-64 processor',
  physicalBits: 40,
  leaves,
  highestBasic: 0x16,
  highestExtended: 0x80000008,
  microcode: 1,
  archCapabilities: immune,
} as const;

export const x8664v2: CpuModelData = {
  ...generic,
  name: 'x86-64-v2',
  description: 'level 2 of the x86-64 psABI, up to SSE4.2',
  features: common.split(' '),
};

export const x8664v3: CpuModelData = {
  ...generic,
  name: 'x86-64-v3',
  description: 'level 3 of the x86-64 psABI, up to AVX2, and what else such processors have',
  features: `${common} ${version3}`.split(' '),
};
