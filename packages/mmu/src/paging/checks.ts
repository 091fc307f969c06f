import { Invpcid } from '../tlb/backend.ts';
import type { PagingContext } from './context.ts';
import type { PagingModel } from './model.ts';
import { Cr0, Cr4, Efer, PagingMode } from './registers.ts';

/** Whether a linear address is canonical in the context's mode; outside 64-bit modes every one is (SDM vol. 1, 3.3.7.1). */
export function isCanonical(context: PagingContext, low: number, high: number): boolean {
  if (context.mode < PagingMode.level4) return true;
  return canonicalFor(context.mode === PagingMode.level5, low, high);
}

function canonicalFor(level5: boolean, _low: number, high: number): boolean {
  const sign = level5 ? high >> 24 : high >> 15;
  return sign === 0 || sign === -1;
}

/** Whether MOV to CR0 raises #GP(0) (SDM vol. 2, MOV-control registers; S0-07). @param cs64 the code segment is a 64-bit one */
export function cr0Faults(context: PagingContext, value: number, cs64: boolean): boolean {
  const { cr0, cr4, efer } = context;
  const turnsOn = (value & Cr0.pg) !== 0 && (cr0 & Cr0.pg) === 0;
  const turnsOff = (value & Cr0.pg) === 0 && (cr0 & Cr0.pg) !== 0;
  if ((value & Cr0.pg) !== 0 && (value & Cr0.pe) === 0) return true;
  if ((value & Cr0.nw) !== 0 && (value & Cr0.cd) === 0) return true;
  if (turnsOn && (efer & Efer.lme) !== 0 && ((cr4 & Cr4.pae) === 0 || cs64)) return true;
  if (turnsOff && ((cr4 & Cr4.pcide) !== 0 || cs64)) return true;
  return (value & Cr0.wp) === 0 && (cr4 & Cr4.cet) !== 0;
}

/**
 * Whether a 64-bit MOV to CR3 raises #GP(0): a bit from MAXPHYADDR to 62, or bit 63 without PCIDE (S0-08, S3-06). Outside 64-bit mode the
 * operand has 32 bits and nothing can be wrong with it but PDPTEs.
 */
export function cr3Faults(context: PagingContext, model: PagingModel, high: number): boolean {
  if (high < 0 && (context.cr4 & Cr4.pcide) === 0) return true;
  return (high & (model.reservedHigh | 0x7ff0_0000)) !== 0;
}

/**
 * Whether MOV to CR4 raises #GP(0) (S0-07, S3-07).
 *
 * @param reserved bits whose features are not there
 */
export function cr4Faults(context: PagingContext, value: number, reserved: number): boolean {
  const { cr0, cr3Low, cr4, efer } = context;
  const long = (efer & Efer.lma) !== 0;
  if ((value & reserved) !== 0) return true;
  if ((value & ~cr4 & Cr4.pcide) !== 0 && (!long || (cr3Low & 0xfff) !== 0)) return true;
  if (long && ((value & Cr4.pae) === 0 || ((value ^ cr4) & Cr4.la57) !== 0)) return true;
  return (value & Cr4.cet) !== 0 && (cr0 & Cr0.wp) === 0;
}

/**
 * Whether INVPCID raises #GP(0) for its type and descriptor (SDM vol. 2, INVPCID; S0-09). CPL and presence are the decoder's and the engine's.
 *
 * @param descriptor four words, low first: PCID and reserved bits, linear address
 */
export function invpcidFaults(context: PagingContext, type: number, descriptor: ArrayLike<number>): boolean {
  if (type < 0 || type > Invpcid.allExceptGlobals) return true;
  if ((descriptor[0] & ~0xfff) !== 0 || descriptor[1] !== 0) return true;
  const usesPcid = type === Invpcid.address || type === Invpcid.context;
  if (usesPcid && (context.cr4 & Cr4.pcide) === 0 && descriptor[0] !== 0) return true;
  return type === Invpcid.address && !isCanonical(context, descriptor[2], descriptor[3]);
}
