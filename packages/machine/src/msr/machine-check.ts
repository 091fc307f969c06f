import { Register } from './registers.ts';

const banks = 4;
/** Number of banks; MCG_CTL_P. Neither corrected-error interrupts nor recovery. */
const capabilities = banks | (1 << 8);
const registersOfBank = 4;
/** RIPV, EIPV, MCIP. */
const statusBits = 7;

/** Registers of a bank, from its first one on; behind these, address and more. */
const Part = { control: 0, status: 1 } as const;

export interface MachineCheckState {
  /** Low halves and high halves of MCi_CTL. */
  readonly controls: readonly number[];
  readonly globalStatus: number;
  readonly globalControl: readonly number[];
}

/** Machine-check registers (SDM vol. 3, 17.3) of a machine in which nothing ever breaks: banks that are empty. */
export class MachineCheck {
  private readonly controls = new Int32Array(banks * 2);
  private readonly globalControl = new Int32Array(2);
  private globalStatus = 0;

  reset(): void {
    this.controls.fill(0);
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
        if (place % registersOfBank === Part.control) {
          const bank = Math.floor(place / registersOfBank);
          out[0] = this.controls[bank * 2];
          out[1] = this.controls[bank * 2 + 1];
        }
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
        if (part === Part.control) {
          this.controls.set([low, high], Math.floor(place / registersOfBank) * 2);
          return true;
        }
        // Errors are cleared with 0; nothing else can be written.
        return (low === 0 && high === 0) || (part === Part.status && takesStatus);
      }
    }
  }

  save(): MachineCheckState {
    return {
      controls: [...this.controls],
      globalStatus: this.globalStatus,
      globalControl: [...this.globalControl],
    };
  }

  restore(state: MachineCheckState): void {
    this.controls.set(state.controls);
    this.globalStatus = state.globalStatus;
    this.globalControl.set(state.globalControl);
  }
}

/** Number from MC0_CTL on, or -1. */
function placeOf(index: number): number {
  const place = index - Register.MC0_CTL;
  return place >= 0 && place < banks * registersOfBank ? place : -1;
}
