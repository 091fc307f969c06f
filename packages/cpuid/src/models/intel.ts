import { archCapabilities } from '../arch-capabilities.ts';
import { featuresIn, type LeafRow } from '../features.ts';
import type { CpuModelData } from './model-data.ts';

// Words as processors were seen to answer them (stepping 50654h: Core i9-7900X with a Xeon's features beside it; 90672h: Core i5-12400).

const skylakeFeatures: readonly LeafRow[] = [
  [1, 0, 0, 0, 0x7ffefbbf, 0xbfebfbff],
  [6, 0, 0x77, 0, 9, 0],
  // PKU is the Xeon's. EDX is what its microcode brings since 2018: MD_CLEAR, IBRS and IBPB, STIBP, L1D_FLUSH, SSBD.
  [7, 0, 0, 0xd39ffffb, 8, 0x9c000400 | 0],
  [0xd, 1, 0xf, 0, 0, 0],
  [0x80000001, 0, 0, 0, 0x121, 0x2c100800],
  [0x80000007, 0, 0, 0, 0, 0x100],
];

export const skylakeServer: CpuModelData = {
  name: 'skylake-server',
  description: 'Intel Xeon of 2017 (Skylake-SP)',
  vendor: 'intel',
  family: 6,
  model: 0x55,
  stepping: 4,
  brand: 'Intel Xeon Processor (Skylake)',
  physicalBits: 46,
  features: [...featuresIn(skylakeFeatures), 'hypervisor'],
  leaves: [
    [2, 0, 0x76036301, 0x00f0b5ff, 0, 0x00c30000],
    [4, 0, 0x121, 0x01c0003f, 0x3f, 0],
    [4, 1, 0x122, 0x01c0003f, 0x3f, 0],
    [4, 2, 0x143, 0x03c0003f, 0x3ff, 0],
    [4, 3, 0x163, 0x0280003f, 0x4fff, 4],
    [5, 0, 0x40, 0x40, 3, 0x2020],
    [0x80000006, 0, 0, 0, 0x01006040, 0],
  ],
  highestBasic: 0x16,
  highestExtended: 0x80000008,
  microcode: 0x2007006,
};

const alderLakeFeatures: readonly LeafRow[] = [
  [1, 0, 0, 0, 0x7ffafbbf, 0xbfebfbff],
  [6, 0, 0xdf8ff7, 0, 0x401, 0],
  // Without AVX-512, which microcode took away before long.
  [7, 0, 0, 0x239ca7eb, 0x98c007ac, 0xfc184410],
  [7, 1, 0x00401c10, 0, 0, 0],
  [0xd, 1, 0xf, 0, 0, 0],
  [0x80000001, 0, 0, 0, 0x121, 0x2c100800],
  [0x80000007, 0, 0, 0, 0, 0x100],
];

export const alderLake: CpuModelData = {
  name: 'alder-lake',
  description: 'Intel Core of 2021 (Alder Lake), performance cores alone',
  vendor: 'intel',
  family: 6,
  model: 0x97,
  stepping: 2,
  brand: 'Intel Core Processor (Alder Lake)',
  physicalBits: 39,
  features: [...featuresIn(alderLakeFeatures), 'hypervisor'],
  leaves: [
    [2, 0, 0x00feff01, 0xf0, 0, 0],
    [4, 0, 0x121, 0x02c0003f, 0x3f, 0],
    [4, 1, 0x122, 0x01c0003f, 0x3f, 0],
    [4, 2, 0x143, 0x0240003f, 0x7ff, 0],
    [4, 3, 0x163, 0x0200003f, 0x7fff, 4],
    [5, 0, 0x40, 0x40, 3, 0x10101020],
    [0x18, 0, 8, 0, 0, 0],
    [0x18, 1, 0, 0x00080001, 0x20, 0x4022],
    [0x18, 2, 0, 0x00080006, 4, 0x4022],
    [0x18, 3, 0, 0x0010000f, 1, 0x4125],
    [0x18, 4, 0, 0x00040001, 0x10, 0x4024],
    [0x18, 5, 0, 0x00040006, 8, 0x4024],
    [0x18, 6, 0, 0x00080008, 1, 0x4124],
    [0x18, 7, 0, 0x00080007, 0x80, 0x4043],
    [0x18, 8, 0, 0x00080009, 0x80, 0x4043],
    [0x80000006, 0, 0, 0, 0x05007040, 0],
  ],
  highestBasic: 0x20,
  highestExtended: 0x80000008,
  // The erratum of INVLPG and global pages is mended from 2Eh on.
  microcode: 0x36,
  archCapabilities: archCapabilities(
    'rdcl-no ibrs-all skip-l1dfl-vmentry mds-no if-pschange-mc-no taa-no sbdr-ssdp-no fbsdp-no psdp-no fb-clear ' +
      'gds-no rfds-no its-no',
  ),
};
