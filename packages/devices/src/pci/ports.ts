import type { PortHandler } from '../port-map.ts';

/** What answers in physical memory. `offset` counts from the range's start; sizes are 1, 2 and 4 bytes, values signed or unsigned. */
export interface MmioHandler {
  read(offset: number, size: number): number;
  write(offset: number, size: number, value: number): void;
}

/**
 * Where base address registers put their handlers. A guest may write any address: one that RAM or another device already has is
 * no error, and what was there first should keep answering. Neither method may throw.
 */
export interface AddressSpace {
  /** @param address a multiple of `size`. @param size bytes, a power of 2, at least 4096 */
  mapMemory(address: number, size: number, handler: MmioHandler): { remove(): void };
  /** @param port a multiple of `size`. @param size ports, a power of 2 from 4 to 256 */
  mapIo(port: number, size: number, handler: PortHandler): { remove(): void };
}

/** Takes message-signalled interrupts: a write of 4 bytes to `address`, as the local APICs receive it. */
export interface MessageSink {
  /** @param address below 2^64, a multiple of 4. @param data unsigned 32-bit */
  message(address: number, data: number): void;
}
