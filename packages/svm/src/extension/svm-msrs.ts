/** MSRs of SVM (APM vol. 2, 15.30). */
export const SvmMsr = {
  TSC_RATIO: 0xc000_0104,
  VM_CR: 0xc001_0114,
  VM_HSAVE_PA: 0xc001_0117,
  SVM_KEY: 0xc001_0118,
} as const;

/** Bits of VM_CR. */
export const VmCr = { dpd: 1, redirectInit: 2, disableA20: 4, lock: 8, disable: 16 } as const;

const vmCrBits: number = VmCr.dpd | VmCr.redirectInit | VmCr.disableA20 | VmCr.lock | VmCr.disable;

export interface SvmMsrsParts {
  physicalBits(): number;
  readonly hasTscRatio: boolean;
  readonly hasLock: boolean;
  /** EFER.SVME. */
  isEnabled(): boolean;
  /** VM_CR or the ratio was written. */
  changed(): void;
}

/** The MSRs that SVM brings. */
export class SvmMsrs {
  vmCr = 0;
  /** 8.32 fixed point; 1.0 after RESET. */
  ratioLow = 0;
  ratioHigh = 1;
  hsaveLow = 0;
  hsaveHigh = 0;
  /** Clears VM_CR.LOCK when it is written again; 0: nothing does. */
  private keyLow = 0;
  private keyHigh = 0;

  constructor(private readonly parts: SvmMsrsParts) {}

  /** As after RESET. */
  reset(): void {
    this.vmCr = 0;
    this.ratioLow = 0;
    this.ratioHigh = 1;
    this.hsaveLow = 0;
    this.hsaveHigh = 0;
    this.keyLow = 0;
    this.keyHigh = 0;
  }

  /** As after INIT (S2-13): SVMDIS stays where it is locked. */
  initialize(): void {
    this.vmCr &= (this.vmCr & VmCr.lock) !== 0 ? VmCr.lock | VmCr.disable : 0;
  }

  read(index: number, out: Int32Array): boolean {
    switch (index) {
      case SvmMsr.VM_CR:
        out[0] = this.vmCr;
        out[1] = 0;
        return true;
      case SvmMsr.VM_HSAVE_PA:
        out[0] = this.hsaveLow;
        out[1] = this.hsaveHigh;
        return true;
      case SvmMsr.TSC_RATIO:
        if (!this.parts.hasTscRatio) return false;
        out[0] = this.ratioLow;
        out[1] = this.ratioHigh;
        return true;
      case SvmMsr.SVM_KEY:
        // It can be written, never read (APM vol. 2, 15.31).
        if (!this.parts.hasLock) return false;
        out[0] = 0;
        out[1] = 0;
        return true;
      default:
        return false;
    }
  }

  write(index: number, low: number, high: number): boolean {
    const { parts } = this;
    switch (index) {
      case SvmMsr.VM_CR:
        return this.writeVmCr(low, high);
      case SvmMsr.VM_HSAVE_PA:
        if ((low & 0xfff) !== 0 || (high & (-1 << (parts.physicalBits() - 32))) !== 0) return false;
        this.hsaveLow = low;
        this.hsaveHigh = high;
        return true;
      case SvmMsr.TSC_RATIO:
        if (!parts.hasTscRatio || (high & ~0xff) !== 0) return false;
        this.ratioLow = low;
        this.ratioHigh = high;
        parts.changed();
        return true;
      case SvmMsr.SVM_KEY:
        return parts.hasLock && this.writeKey(low, high);
      default:
        return false;
    }
  }

  private writeVmCr(low: number, high: number): boolean {
    if (high !== 0 || (low & ~vmCrBits) !== 0) return false;
    if ((low & VmCr.disable) !== 0 && this.parts.isEnabled()) return false;
    // LOCK can only be set, and keeps SVMDIS as it is.
    const kept = (this.vmCr & VmCr.lock) !== 0 ? VmCr.lock | VmCr.disable : 0;
    this.vmCr = (low & ~kept) | (this.vmCr & kept);
    this.parts.changed();
    return true;
  }

  /** While LOCK is 0 the key is set, then it opens the lock. */
  private writeKey(low: number, high: number): boolean {
    if ((this.vmCr & VmCr.lock) === 0) {
      this.keyLow = low;
      this.keyHigh = high;
    } else if ((this.keyLow !== 0 || this.keyHigh !== 0) && low === this.keyLow && high === this.keyHigh)
      this.vmCr &= ~VmCr.lock;
    return true;
  }

  save(): readonly number[] {
    const { vmCr, ratioLow, ratioHigh, hsaveLow, hsaveHigh, keyLow, keyHigh } = this;
    return [vmCr, ratioLow, ratioHigh, hsaveLow, hsaveHigh, keyLow, keyHigh];
  }

  restore(saved: readonly number[]): void {
    [this.vmCr, this.ratioLow, this.ratioHigh, this.hsaveLow, this.hsaveHigh, this.keyLow, this.keyHigh] =
      saved;
  }
}
