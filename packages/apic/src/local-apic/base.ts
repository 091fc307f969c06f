import { ApicBase } from '../registers.ts';

const defaultAddress = 0xfee0_0000;

/** IA32_APIC_BASE: where the page is, and which mode the APIC is in (SDM vol. 3, 12.4.3 and 12.12.5). */
export class ApicBaseRegister {
  low = 0;
  high = 0;
  /** Bits that raise #GP. */
  private readonly reservedLow: number;
  private readonly reservedHigh: number;

  constructor(hasX2apic: boolean, physicalAddressBits: number) {
    this.reservedLow = 0x2ff | (hasX2apic ? 0 : ApicBase.x2apic);
    this.reservedHigh = -1 << (physicalAddressBits - 32);
  }

  get isEnabled(): boolean {
    return (this.low & ApicBase.enable) !== 0;
  }

  get isX2apic(): boolean {
    return (this.low & ApicBase.x2apic) !== 0;
  }

  /** Guest-physical, a multiple of 4096. */
  get address(): number {
    return this.high * 0x1_0000_0000 + ((this.low & 0xffff_f000) >>> 0);
  }

  /** @returns false for #GP: reserved bits, or a change of mode that is not allowed */
  write(low: number, high: number): boolean {
    if ((low & this.reservedLow) !== 0 || (high & this.reservedHigh) !== 0) return false;
    const isOn = (low & ApicBase.enable) !== 0;
    const isX2apic = (low & ApicBase.x2apic) !== 0;
    if (isX2apic && (!isOn || !this.isEnabled)) return false;
    if (this.isX2apic && isOn && !isX2apic) return false;
    this.low = low | 0;
    this.high = high | 0;
    return true;
  }

  reset(isBootstrap: boolean): void {
    this.low = defaultAddress | ApicBase.enable | (isBootstrap ? ApicBase.bootstrap : 0);
    this.high = 0;
  }
}
