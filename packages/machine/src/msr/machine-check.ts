import { Register } from './registers.ts';

const banks = 4;
/** Number of banks; MCG_CTL_P. Neither corrected-error interrupts nor recovery. */
const capabilities = banks | (1 << 8);
const registersOfBank = 4;
/** RIPV, EIPV, MCIP. */
const statusBits = 7;

/** Registers of a bank, from its first one on; behind these, address and more. */
const Part = { control: 0, status: 1 } as const;
/** Bits of MCi_CTL that may be 0 while all others are 1: systems work around errors of K8's GART (bit 10) and of old Pentiums (bit 0). */
const mayBeClear = 0x401;

export interface MachineCheckState {
  /** Low and high halves of all registers of all banks. */
  readonly banks: readonly number[];
  readonly globalStatus: number;
  readonly globalControl: readonly number[];
}

/**
 * Machine-check registers (SDM vol. 3, 17.3) of a machine in which nothing ever breaks: banks that are empty. Their address and what else is known of an
 * error keep what is written, as under KVM and on AMD's processors; Intel's take 0 alone (17.3.2.3).
 */
export class MachineCheck {
  private readonly banks = new Int32Array(banks * registersOfBank * 2);
  private readonly globalControl = new Int32Array(2);
  private globalStatus = 0;

  reset(): void {
    this.banks.fill(0);
    this.globalControl.fill(0);
    this.globalStatus = 0;
  }

  /** @returns whether there is such a register */
  read(index: number, out: Int32Array): boolean {
    out[0] = 0;
    out[1] = 0;
    switch (index) {
      case Register.MCG_CAP:
        out[0] = capabilities;
        return true;
      case Register.MCG_STATUS:
        out[0] = this.globalStatus;
        return true;
      case Register.MCG_CTL:
        out.set(this.globalControl);
        return true;
      default: {
        const place = placeOf(index);
        if (place < 0) return false;
        out[0] = this.banks[place * 2];
        out[1] = this.banks[place * 2 + 1];
        return true;
      }
    }
  }

  /**
   * @param takesStatus AMD's HWCR.McStatusWrEn is set: the status of a bank may be written, and is lost
   * @returns whether the write is allowed
   */
  write(index: number, low: number, high: number, takesStatus: boolean): boolean {
    switch (index) {
      case Register.MCG_CAP:
        return false;
      case Register.MCG_STATUS:
        if (high !== 0 || (low & ~statusBits) !== 0) return false;
        this.globalStatus = low;
        return true;
      case Register.MCG_CTL:
        // All on, or all off.
        if (low !== high || (low !== 0 && low !== -1)) return false;
        this.globalControl.fill(low);
        return true;
      default: {
        const place = placeOf(index);
        if (place < 0) return false;
        const part = place % registersOfBank;
        const isZero = low === 0 && high === 0;
        // Errors are cleared with 0; nothing else can be written.
        if (part === Part.status) return isZero || takesStatus;
        // All on, or all off (SDM vol. 3, 17.3.2.1, of the P6 family; KVM holds every guest to it).
        if (part === Part.control && !isZero && ((low | mayBeClear) !== -1 || high !== -1)) return false;
        this.banks[place * 2] = low;
        this.banks[place * 2 + 1] = high;
        return true;
      }
    }
  }

  save(): MachineCheckState {
    return {
      banks: [...this.banks],
      globalStatus: this.globalStatus,
      globalControl: [...this.globalControl],
    };
  }

  restore(state: MachineCheckState): void {
    this.banks.set(state.banks);
    this.globalStatus = state.globalStatus;
    this.globalControl.set(state.globalControl);
  }
}

/** Number from MC0_CTL on, or -1. */
function placeOf(index: number): number {
  const place = index - Register.MC0_CTL;
  return place >= 0 && place < banks * registersOfBank ? place : -1;
}
