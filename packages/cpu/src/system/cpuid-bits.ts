import type { CpuidSource } from './unit.ts';

/** Where CPUID tells of a feature: leaf, subleaf, register (0 EAX … 3 EDX), bit. */
export type CpuidBit = readonly [leaf: number, subleaf: number, register: number, bit: number];

/** Reads leaves of CPUID; those that there are not are 0. */
export class CpuidReader {
  private readonly out = new Int32Array(4);
  private readonly highest = new Map<number, number>();

  constructor(private readonly cpuid: CpuidSource) {}

  /** One register of a leaf. */
  word(leaf: number, subleaf: number, register: number): number {
    const { cpuid, out, highest } = this;
    // Leaves beyond the highest answer with something else (S3-12).
    const base = leaf & ~0xffff;
    let last = highest.get(base);
    if (last === undefined) {
      cpuid.read(base, 0, out);
      last = (out[0] & ~0xffff) === base ? out[0] >>> 0 : 0;
      highest.set(base, last);
    }
    if (leaf >>> 0 > last) return 0;
    cpuid.read(leaf, subleaf, out);
    return out[register];
  }

  has([leaf, subleaf, register, bit]: CpuidBit): boolean {
    return ((this.word(leaf, subleaf, register) >>> bit) & 1) !== 0;
  }
}
