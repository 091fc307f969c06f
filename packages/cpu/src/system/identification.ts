import { operandRegister, registerSize } from '@nest86/decoder';
import { Exception } from '../semantics/operation.ts';
import { Intercept } from '../virtualization/intercept.ts';
import { isIntercepted } from '../virtualization/questions.ts';
import { guestFault } from './fault.ts';
import { writeOperand } from './operands.ts';
import type { Service, Services } from './unit.ts';

// Instructions that ask the processor something or fence it, and those that are undefined by definition.

const out = new Int32Array(4);
const value = new Int32Array(2);

/** MISC_FEATURES_ENABLES (Intel) and HWCR (AMD): CPUID is for CPL 0 only. */
const miscFeaturesEnables = 0x140;
const hwcr = 0xc001_0015;
const hwcrCpuidUserDisable = 1 << 3;

/** CF PF AF ZF SF OF. */
const statusFlags = 0x8d5;

/** SDM vol. 2, CPUID. CPUID faulting outside CPL 0 and SMM: S0-29; AMD: CPUID 80000021h.EAX bit 17, HWCR bit 35. */
const cpuid: Service = (unit, instruction) => {
  const { state } = unit;
  if (state.get('cpl') !== 0 && state.get('inSmm') === 0) {
    const faults =
      unit.mmu.model.vendor === 'amd'
        ? unit.msrs.read(hwcr, value) && (value[1] & hwcrCpuidUserDisable) !== 0
        : unit.msrs.read(miscFeaturesEnables, value) && (value[0] & 1) !== 0;
    if (faults) throw guestFault(Exception.generalProtection, 0);
  }
  if (isIntercepted(unit, Intercept.cpuid, instruction)) return;
  unit.cpuid.read(state.low('gpr', 0), state.low('gpr', 1), out);
  // EAX, EBX, ECX, EDX; the numbers of the registers have another order.
  state.setPair('gpr', out[0], 0, 0);
  state.setPair('gpr', out[1], 0, 3);
  state.setPair('gpr', out[2], 0, 1);
  state.setPair('gpr', out[3], 0, 2);
};

/** RDRAND and RDSEED: always with success, that is CF 1 and the other status flags 0. */
const random: Service = (unit, instruction) => {
  if (isIntercepted(unit, Intercept.random, instruction)) return;
  const low = unit.random();
  const isWide = registerSize(operandRegister(instruction, 0)) === 8;
  writeOperand(unit, instruction, 0, low, isWide ? unit.random() : 0);
  unit.state.flags = (unit.state.flags & ~statusFlags) | 1;
};

/** Everything is in order here already. */
const serialize: Service = () => {};

/** UD0, UD1, UD2, UDB; GETSEC, whose CR4.SMXE is never set. */
const undefinedInstruction: Service = () => {
  throw guestFault(Exception.invalidOpcode);
};

export const identificationServices: Services = {
  CPUID: cpuid,
  RDRAND: random,
  RDSEED: random,
  SERIALIZE: serialize,
  UD0: undefinedInstruction,
  UD1: undefinedInstruction,
  UD2: undefinedInstruction,
  UDB: undefinedInstruction,
  GETSEC: undefinedInstruction,
  GETSECQ: undefinedInstruction,
};
