import { featuresIn, type LeafRow } from '../features.ts';
import type { CpuModelData } from './model-data.ts';

// What the microcode of 2023 brought against speculative return stack overflow, processors do not tell; hypervisors do, or guests warn.
// Words as processors were seen to answer them (830F10h: EPYC 7742; A10F11h: EPYC 9654).

const zen2Features: readonly LeafRow[] = [
  [1, 0, 0, 0, 0x7ef8320b, 0x178bfbff],
  [6, 0, 4, 0, 1, 0],
  [7, 0, 0, 0x219c91a9, 0x00400004, 0],
  [0xd, 1, 0xf, 0, 0, 0],
  [0x80000001, 0, 0, 0, 0x75c237ff, 0x2fd3fbff],
  [0x80000007, 0, 0, 0, 0, 0x6799],
  [0x80000008, 0, 0, 0x018ef357, 0, 0],
  [0x8000000a, 0, 0, 0, 0, 0x0013b4ff],
];

export const zen2: CpuModelData = {
  name: 'zen2',
  description: 'AMD EPYC of 2019 (Rome)',
  vendor: 'amd',
  family: 0x17,
  model: 0x31,
  stepping: 0,
  brand: 'AMD EPYC-Rome Processor',
  physicalBits: 48,
  features: [...featuresIn(zen2Features), 'hypervisor', 'ibpb-brtype'],
  leaves: [
    [5, 0, 0x40, 0x40, 3, 0x11],
    [0x80000005, 0, 0xff40ff40, 0xff40ff40, 0x20080140, 0x20080140],
    [0x80000006, 0, 0x48006400, 0x68006400, 0x02006140, 0x08009140],
    [0x80000019, 0, 0xf040f040, 0, 0, 0],
    [0x8000001a, 0, 6, 0, 0, 0],
    [0x8000001d, 0, 0x121, 0x01c0003f, 0x3f, 0],
    [0x8000001d, 1, 0x122, 0x01c0003f, 0x3f, 0],
    [0x8000001d, 2, 0x143, 0x01c0003f, 0x3ff, 2],
    [0x8000001d, 3, 0x163, 0x03c0003f, 0x3fff, 1],
  ],
  highestBasic: 0x10,
  highestExtended: 0x80000020,
  coresPerL3: 4,
  microcode: 0x0830107c,
};

const zen4Features: readonly LeafRow[] = [
  [1, 0, 0, 0, 0x7efa320b, 0x178bfbff],
  [6, 0, 4, 0, 1, 0],
  [7, 0, 0, 0xf1bf97a9, 0x00415fce, 0x10000010],
  [7, 1, 0x20, 0, 0, 0],
  [0xd, 1, 0xf, 0, 0, 0],
  [0x80000001, 0, 0, 0, 0x75c237ff, 0x2fd3fbff],
  [0x80000007, 0, 0, 0, 0, 0x6799],
  [0x80000008, 0, 0, 0x79bef25f, 0, 0],
  [0x8000000a, 0, 0, 0, 0, 0x1fbfb4ff],
  [0x80000021, 0, 0x00062fcf, 0, 0, 0],
];

export const zen4: CpuModelData = {
  name: 'zen4',
  description: 'AMD EPYC of 2022 (Genoa)',
  vendor: 'amd',
  family: 0x19,
  model: 0x11,
  stepping: 1,
  brand: 'AMD EPYC-Genoa Processor',
  physicalBits: 52,
  features: [...featuresIn(zen4Features), 'hypervisor', 'sbpb', 'ibpb-brtype'],
  leaves: [
    [5, 0, 0x40, 0x40, 3, 0x11],
    [0x80000005, 0, 0xff48ff40, 0xff48ff40, 0x20080140, 0x20080140],
    [0x80000006, 0, 0x5c002200, 0x6c004200, 0x04006140, 0x0c009140],
    [0x80000019, 0, 0xf048f040, 0xf0400000, 0, 0],
    [0x8000001a, 0, 6, 0, 0, 0],
    [0x8000001d, 0, 0x121, 0x01c0003f, 0x3f, 0],
    [0x8000001d, 1, 0x122, 0x01c0003f, 0x3f, 0],
    [0x8000001d, 2, 0x143, 0x01c0003f, 0x7ff, 2],
    [0x8000001d, 3, 0x163, 0x03c0003f, 0x7fff, 1],
  ],
  highestBasic: 0x10,
  highestExtended: 0x80000022,
  coresPerL3: 8,
  microcode: 0x0a101148,
};
