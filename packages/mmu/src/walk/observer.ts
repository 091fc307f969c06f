/** Hears of each entry that a walk reads. For traces; walks without one pay a comparison. */
export interface WalkObserver {
  /**
   * @param stage 1 the guest's tables, 2 the second stage's
   * @param level 1 page table, 2 page directory, 3 PDPT, 4 PML4, 5 PML5
   * @param page physical page of the table; for stage 1 guest-physical; -1 for a PDPTE register
   * @param offset of the entry in the table
   */
  entry(stage: number, level: number, page: number, offset: number, low: number, high: number): void;
}
