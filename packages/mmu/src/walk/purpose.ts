/** What a guest-physical address is accessed for. */
export const Purpose = {
  /** As the access itself. */
  final: 0,
  /** To read an entry of a guest paging structure during a walk. */
  structure: 1,
  /** To set A or D in such an entry. */
  update: 2,
  /** To load PDPTE registers: no linear address, and a read even where walks count as writes. */
  load: 3,
} as const;
