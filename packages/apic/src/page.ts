/**
 * A page of APIC registers: the local APIC's own, or a page of guest memory (virtual-APIC page, AVIC backing page). What is atomic is so
 * towards other threads that post interrupts into the same page.
 */
export interface ApicPage {
  /** @param offset a multiple of 16, 0 to 3F0h @returns the 32 bits there, signed */
  read(offset: number): number;
  write(offset: number, value: number): void;
  /** @returns what was there before, signed */
  atomicOr(offset: number, bits: number): number;
  /** @returns what was there before, signed */
  atomicAnd(offset: number, bits: number): number;
}

/** The registers of a local APIC in memory of their own. */
export class RegisterPage implements ApicPage {
  /** By offset / 16. */
  readonly words: Int32Array = new Int32Array(64);

  read(offset: number): number {
    return this.words[offset >> 4];
  }

  write(offset: number, value: number): void {
    this.words[offset >> 4] = value;
  }

  atomicOr(offset: number, bits: number): number {
    return Atomics.or(this.words, offset >> 4, bits);
  }

  atomicAnd(offset: number, bits: number): number {
    return Atomics.and(this.words, offset >> 4, bits);
  }
}
