/** What a block's header says about the region that it leads to, in one word. */
export interface RegionEntry {
  /** Number of the block in the region. */
  readonly block: number;
  /** Number of its page. */
  readonly page: number;
  /** What the budget must cover, instructions. */
  readonly need: number;
}

export function packEntry({ block, page, need }: RegionEntry): number {
  return (need << entryField.need.shift) | (page << entryField.page.shift) | block;
}

/** Places of the fields. */
export const entryField = {
  block: { shift: 0, mask: 0xff },
  page: { shift: 8, mask: 0xff },
  need: { shift: 16, mask: 0xffff },
} as const;
