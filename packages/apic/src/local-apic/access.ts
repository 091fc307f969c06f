import { ApicError, Msr, Register } from '../registers.ts';
import { Access } from './legality.ts';
import type { LocalApic } from './local-apic.ts';

/** The page of a local APIC in xAPIC mode: 32-bit registers at multiples of 16. */
export class ApicMmio {
  constructor(private readonly apic: LocalApic) {}

  /** @param offset 0 to FFFh @returns what lies within the register; 0 beside it */
  read(offset: number, _size: number): number {
    const { apic } = this;
    if (!apic.isMmioVisible) return -1;
    const lane = offset & 15;
    if (lane > 3) return 0;
    const register = offset & 0xff0;
    const access = register < 0x400 ? apic.legality.xapic[register >> 4] : Access.none;
    if ((access & Access.read) !== 0) return apic.readRegister(register) >> (lane << 3);
    if (access === Access.none) apic.noteError(ApicError.illegalRegister);
    return 0;
  }

  /** Only whole registers can be written; all else does nothing. */
  write(offset: number, size: number, value: number): void {
    const { apic } = this;
    if (!apic.isMmioVisible || size !== 4 || (offset & 15) !== 0) return;
    const register = offset & 0xff0;
    const { xapic, writable } = apic.legality;
    const access = register < 0x400 ? xapic[register >> 4] : Access.none;
    if ((access & Access.write) !== 0) apic.writeRegister(register, value & writable[register >> 4]);
    else if (access === Access.none) apic.noteError(ApicError.illegalRegister);
  }
}

/** MSRs of a local APIC: those of x2APIC mode, IA32_APIC_BASE and IA32_TSC_DEADLINE. */
export class ApicMsrs {
  constructor(
    private readonly apic: LocalApic,
    private readonly hasDeadline: boolean,
  ) {}

  /** @returns whether there is such a register; false raises #GP */
  read(index: number, out: Int32Array): boolean {
    const { apic } = this;
    if (index === Msr.apicBase) {
      apic.readBase(out);
      return true;
    }
    if (index === Msr.tscDeadline) {
      if (!this.hasDeadline) return false;
      const { timer } = apic;
      out[0] = timer.low;
      out[1] = timer.high;
      return true;
    }
    if (!this.allows(index, Access.read)) return false;
    const register = (index - Msr.x2apicFirst) << 4;
    out[0] = apic.readRegister(register);
    out[1] = register === Register.commandLow ? apic.readRegister(Register.commandHigh) : 0;
    return true;
  }

  /** @returns whether the write is allowed; false raises #GP, and nothing has changed */
  write(index: number, low: number, high: number): boolean {
    const { apic } = this;
    if (index === Msr.apicBase) return apic.writeBase(low, high);
    if (index === Msr.tscDeadline) {
      if (!this.hasDeadline) return false;
      apic.timer.setDeadline(low | 0, high | 0);
      return true;
    }
    if (!this.allows(index, Access.write)) return false;
    const register = (index - Msr.x2apicFirst) << 4;
    const { reserved, writable } = apic.legality;
    if ((low & reserved[register >> 4]) !== 0) return false;
    if (register === Register.commandLow) apic.writeRegister(Register.commandHigh, high);
    else if (high !== 0) return false;
    apic.writeRegister(register, low & writable[register >> 4]);
    return true;
  }

  private allows(index: number, access: number): boolean {
    const { apic } = this;
    const register = index - Msr.x2apicFirst;
    return apic.isX2apic && register >= 0 && register < 64 && (apic.legality.x2apic[register] & access) !== 0;
  }
}

/** CR8: bits 7:4 of the task priority. Works while the APIC is disabled too. */
export class ApicTaskPriority {
  constructor(private readonly apic: LocalApic) {}

  read(): number {
    return (this.apic.readRegister(Register.taskPriority) >> 4) & 15;
  }

  write(value: number): void {
    this.apic.writeRegister(Register.taskPriority, (value & 15) << 4);
  }
}
