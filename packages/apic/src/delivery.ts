/** Delivery mode of a message or an entry, bits 10:8 (SDM vol. 3, fig. 12-8 and 12-12). */
export const DeliveryMode = {
  fixed: 0,
  lowestPriority: 1,
  smi: 2,
  nmi: 4,
  init: 5,
  startUp: 6,
  extInt: 7,
} as const;

/** Takes messages for local APICs: what I/O APICs, devices and processors send to. */
export interface MessageSink {
  /**
   * Delivers one message. Destinations of 8 bits (I/O APIC, MSI, xAPIC mode) broadcast with FFh.
   *
   * @param mode {@link DeliveryMode}
   * @param isLevel level-triggered: its end is told to the I/O APICs
   * @returns whether an APIC took it
   */
  deliver(destination: number, isLogical: boolean, mode: number, vector: number, isLevel: boolean): boolean;
}
