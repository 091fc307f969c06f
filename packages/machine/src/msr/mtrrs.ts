import { Register } from './registers.ts';

/** Pairs of variable ranges; 8 of them, as processors have had at least. */
const variableRanges = 8;
const fixedRanges: readonly number[] = [
  Register.MTRR_FIX64K_00000,
  Register.MTRR_FIX16K_80000,
  Register.MTRR_FIX16K_A0000,
  ...Array.from({ length: 8 }, (_, i) => Register.MTRR_FIX4K_C0000 + i),
];
/** VCNT; FIX: fixed ranges; WC. */
const capabilities = variableRanges | (1 << 8) | (1 << 10);
/** Of MTRR_DEF_TYPE: FE (fixed ranges) and E (all). */
const defTypeEnables = 0xc00;
const maskValid = 1 << 11;
/** AMD's RdMem and WrMem in the bytes of fixed ranges. */
const amdDramBits = 0x1818_1818;

const Type = { uncacheable: 0, writeProtected: 5, writeBack: 6 } as const;

/** Half by half: a register is two words, low first. */
export interface MtrrsState {
  readonly variable: readonly number[];
  readonly fixed: readonly number[];
  readonly defType: number;
}

/**
 * Memory type range registers (SDM vol. 3, 13.11). Memory behaves as write-back whatever they say: there is no cache that could tell the
 * difference. What is written is checked as a processor does.
 */
export class Mtrrs {
  private readonly variable = new Int32Array(variableRanges * 4);
  private readonly fixed = new Int32Array(fixedRanges.length * 2);
  private defType = 0;
  /** Bits of a base's or mask's high half that are no address. */
  private readonly reservedHigh: number;

  /** @param physicalBits MAXPHYADDR, 32 to 52 (S3-06) */
  constructor(physicalBits: number) {
    this.reservedHigh = -1 << (physicalBits - 32);
  }

  /** All off, as after RESET. */
  reset(): void {
    this.variable.fill(0);
    this.fixed.fill(0);
    this.defType = 0;
  }

  /**
   * As firmware leaves them: RAM write-back, the graphics window uncacheable, ROMs write-protected, and the hole below 4 GiB uncacheable.
   *
   * @param holeStart first byte of the hole, a power of two away from 4 GiB: C000_0000h and the like
   */
  programAsFirmware(holeStart: number): void {
    this.reset();
    const types: readonly number[] = [
      Type.writeBack,
      Type.writeBack,
      Type.uncacheable,
      ...Array.from({ length: 8 }, () => Type.writeProtected),
    ];
    types.forEach((type, i) => {
      this.fixed.fill(type * 0x0101_0101, i * 2, i * 2 + 2);
    });
    this.variable[0] = holeStart | Type.uncacheable;
    this.variable[2] = holeStart | maskValid;
    this.variable[3] = ~this.reservedHigh;
    this.defType = defTypeEnables | Type.writeBack;
  }

  /** @returns whether there is such a register */
  read(index: number, out: Int32Array): boolean {
    const words = this.wordsOf(index);
    if (words !== undefined) {
      const at = this.placeOf(index);
      out[0] = words[at];
      out[1] = words[at + 1];
      return true;
    }
    if (index === Register.MTRRCAP) out[0] = capabilities;
    else if (index === Register.MTRR_DEF_TYPE) out[0] = this.defType;
    else return false;
    out[1] = 0;
    return true;
  }

  /**
   * @param hasDramBits AMD's SYSCFG.MtrrFixDramModEn is set
   * @returns whether the write is allowed; false also for what is not there
   */
  write(index: number, low: number, high: number, hasDramBits: boolean): boolean {
    if (index === Register.MTRR_DEF_TYPE) {
      if (high !== 0 || (low & ~(defTypeEnables | 0xff)) !== 0 || !isType(low & 0xff)) return false;
      this.defType = low;
      return true;
    }
    const words = this.wordsOf(index);
    if (words === undefined) return false;
    if (words === this.fixed) {
      const ignored = hasDramBits ? amdDramBits : 0;
      if (!areTypes(low & ~ignored) || !areTypes(high & ~ignored)) return false;
    } else {
      if ((high & this.reservedHigh) !== 0) return false;
      const isMask = (index & 1) !== 0;
      if (isMask ? (low & 0x7ff) !== 0 : (low & 0xf00) !== 0 || !isType(low & 0xff)) return false;
    }
    const at = this.placeOf(index);
    words[at] = low;
    words[at + 1] = high;
    return true;
  }

  save(): MtrrsState {
    return { variable: [...this.variable], fixed: [...this.fixed], defType: this.defType };
  }

  restore(state: MtrrsState): void {
    this.variable.set(state.variable);
    this.fixed.set(state.fixed);
    this.defType = state.defType;
  }

  private wordsOf(index: number): Int32Array | undefined {
    if (index >= Register.MTRR_PHYSBASE0 && index < Register.MTRR_PHYSBASE0 + variableRanges * 2)
      return this.variable;
    return fixedRanges.includes(index) ? this.fixed : undefined;
  }

  private placeOf(index: number): number {
    return index < Register.MTRR_FIX64K_00000
      ? (index - Register.MTRR_PHYSBASE0) * 2
      : fixedRanges.indexOf(index) * 2;
  }
}

/** UC, WC, WT, WP, WB. */
function isType(type: number): boolean {
  return type <= 6 && type !== 2 && type !== 3;
}

function areTypes(half: number): boolean {
  for (let shift = 0; shift < 32; shift += 8) if (!isType((half >>> shift) & 0xff)) return false;
  return true;
}
