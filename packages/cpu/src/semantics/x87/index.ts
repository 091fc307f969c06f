import type { Family } from '../operation.ts';
import { calculations } from './arithmetic.ts';
import { comparisons } from './comparisons.ts';
import { control } from './control.ts';
import { loads } from './loads.ts';
import { moves } from './moves.ts';
import { stores } from './stores.ts';

/** Instructions of the x87 FPU. FNSTENV, FLDENV, FNSAVE and FRSTOR are TypeScript's. */
export const x87Families: readonly Family[] = [control, loads, stores, moves, calculations, comparisons];
