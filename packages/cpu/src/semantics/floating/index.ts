import type { Family } from '../operation.ts';
import { approximate } from './approximate.ts';
import { arithmetic } from './arithmetic.ts';
import { compare } from './compare.ts';
import { convert } from './convert.ts';
import { dotProducts } from './dot-product.ts';
import { fused } from './fused.ts';
import { half } from './half.ts';
import { round } from './round.ts';
import { toInteger } from './to-integer.ts';

/** Floating-point instructions of SSE to SSE4.1, AVX, FMA and F16C. */
export const floatingFamilies: readonly Family[] = [
  arithmetic,
  compare,
  convert,
  toInteger,
  half,
  round,
  dotProducts,
  approximate,
  fused,
];
