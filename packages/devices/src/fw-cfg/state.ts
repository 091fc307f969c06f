/** Snapshot of the interface; the items are their owner's. */
export interface FwCfgState {
  readonly version: 1;
  readonly key: number;
  /** Next byte of the item. */
  readonly offset: number;
  /** Upper half of the DMA address. */
  readonly dmaHigh: number;
}
