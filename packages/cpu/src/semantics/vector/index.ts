import type { Family } from '../operation.ts';
import { control } from './control.ts';
import { cryptography } from './cryptography.ts';
import { integers } from './integers.ts';
import { logic } from './logic.ts';
import { masked } from './masked.ts';
import { moves } from './moves.ts';
import { shifts } from './shifts.ts';
import { shuffles } from './shuffles.ts';
import { sse4a } from './sse4a.ts';
import { strings } from './strings.ts';

/** MMX, SSE, AVX and AVX2 without floating-point arithmetic. */
export const vectorFamilies: readonly Family[] = [
  moves,
  shuffles,
  integers,
  shifts,
  logic,
  masked,
  strings,
  cryptography,
  sse4a,
  control,
];

/**
 * Legacy instructions of exception class 4 whose memory operand may lie anywhere (SDM vol. 2A, table 2-21; class 4M says so itself). All others of 16
 * bytes and class 1, 2 or 4 want alignment.
 */
export const unaligned: readonly string[] = [
  'LDDQU',
  'PCMPESTRI',
  'PCMPESTRI64',
  'PCMPESTRM',
  'PCMPESTRM64',
  'PCMPISTRI',
  'PCMPISTRM',
];

/** More of them on AMD's processors (seen on Zen 5): the SDM wants these aligned. */
export const unalignedOnAmd: readonly string[] = [
  'SHA1MSG1',
  'SHA1MSG2',
  'SHA1NEXTE',
  'SHA1RNDS4',
  'SHA256MSG1',
  'SHA256MSG2',
  'SHA256RNDS2',
];
