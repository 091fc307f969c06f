/*
 * Pseudo-operations: mnemonics that hold what is an immediate in the encoding. A family's mnemonics are a stem, the predicate and
 * the rest of the manual's mnemonic: cmp + eq + ps.
 */

const sseCompare = 'eq lt le unord neq nlt nle ord';
const avxCompare = `${sseCompare} eq_uq nge ngt false neq_oq ge gt true eq_os lt_oq le_oq unord_s neq_us nlt_uq nle_uq ord_s eq_us nge_uq ngt_uq false_os neq_os ge_oq gt_oq true_us`;

interface Family {
  readonly stem: RegExp;
  /** Predicate by immediate. */
  readonly predicates: readonly (string | undefined)[];
}

const carrylessMultiply: (string | undefined)[] = [];
carrylessMultiply[0x00] = 'lql';
carrylessMultiply[0x01] = 'hql';
carrylessMultiply[0x10] = 'lqh';
carrylessMultiply[0x11] = 'hqh';

/** By the number that scripts/table/format-common.ts gives them, from 1. */
const families: readonly Family[] = [
  { stem: /^cmp/, predicates: sseCompare.split(' ') },
  { stem: /^vcmp/, predicates: avxCompare.split(' ') },
  { stem: /^vpcmp/, predicates: 'eq lt le false neq nlt nle true'.split(' ') },
  { stem: /^vpcom/, predicates: 'lt le gt ge eq neq false true'.split(' ') },
  { stem: /^v?pclmul/, predicates: carrylessMultiply },
];

/** Mnemonic with the predicate that `immediate` selects in its place; empty if it selects none. */
export function pseudoMnemonic(family: number, mnemonic: string, immediate: number): string {
  const { stem, predicates } = families[family - 1];
  const predicate = predicates[immediate];
  const length = stem.exec(mnemonic)?.[0].length ?? 0;
  return predicate === undefined ? '' : mnemonic.slice(0, length) + predicate + mnemonic.slice(length);
}
