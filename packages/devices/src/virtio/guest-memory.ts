/** The guest's RAM as a device sees it. */
export interface GuestMemory {
  /** Fills `target`. @param address below 2^52. @returns false if not all of it is RAM */
  read(address: number, target: Uint8Array): boolean;
  /** @returns false if not all of it is RAM; what was written by then may stay */
  write(address: number, source: Uint8Array): boolean;
}
