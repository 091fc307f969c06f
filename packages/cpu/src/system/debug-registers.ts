import { operandRegister, RegisterClass, registerClass, registerNumber } from '@nest86/decoder';
import { Exception } from '../semantics/operation.ts';
import { Intercept } from '../virtualization/intercept.ts';
import { isRegisterIntercepted } from '../virtualization/questions.ts';
import { debugFault, guestFault } from './fault.ts';
import { readRegister, writeRegister } from './operands.ts';
import { requireLevel0 } from './privilege.ts';
import type { Service, Services, SystemUnit } from './unit.ts';

// Debug registers (SDM vol. 2, MOV—Move to/from Debug Registers; vol. 3, 18.2).

const value = new Int32Array(2);

const cr4De = 1 << 3;
/** DR6: access to debug registers was detected. */
const dr6Bd = 1 << 13;
/** DR7: accesses to debug registers are detected. */
const dr7Gd = 1 << 13;

/** B0 to B3, BD, BS, BT can be written; the other bits of DR6 are fixed, most of them 1 (SDM vol. 3, 18.2.3). */
const dr6Writable = 0xe00f;
const dr6Ones = 0xffff_0ff0 | 0;
/** Bits 11, 12, 14, 15 of DR7 are 0, bit 10 is 1 (SDM vol. 3, 18.2.4). */
const dr7Writable = 0xffff_23ff | 0;
const dr7Ones = 0x400;

/** DR6 as it reads after a value was written to it. */
export function fixedDr6(low: number): number {
  return (low & dr6Writable) | dr6Ones;
}

/** DR7 likewise. */
export function fixedDr7(low: number): number {
  return (low & dr7Writable) | dr7Ones;
}

/** MOV to or from a debug register: 64 bits wide in 64-bit mode, else 32. */
const mov: Service = (unit, instruction) => {
  const { state, context } = unit;
  const target = operandRegister(instruction, 0);
  const source = operandRegister(instruction, 1);
  const isWrite = registerClass(target) === RegisterClass.debug;
  let number = registerNumber(isWrite ? target : source);
  if (number > 7) throw guestFault(Exception.invalidOpcode);
  // DR4 and DR5 are other names of DR6 and DR7, unless debugging extensions take them away (SDM vol. 3, 18.2.2).
  const isAlias = number === 4 || number === 5;
  if (isAlias && (context.cr4 & cr4De) !== 0) throw guestFault(Exception.invalidOpcode);
  requireLevel0(unit);
  // An owner sees the name that the instruction uses (APM vol. 2, 15.8.3).
  if (isRegisterIntercepted(unit, Intercept.debugRegister, instruction, number, isWrite)) return;
  if (isAlias) number += 2;
  if ((state.low('debug', 7) & dr7Gd) !== 0) {
    // The exception brings its reason along in DR6; its delivery clears GD (SDM vol. 3, 18.2.4).
    throw debugFault(dr6Bd);
  }
  if (!isWrite) {
    writeRegister(unit, target, state.low('debug', number), state.high('debug', number));
    return;
  }
  readRegister(unit, source, value);
  writeDebug(unit, number, value[0], value[1]);
};

function writeDebug(unit: SystemUnit, number: number, low: number, high: number): void {
  const { state } = unit;
  if (number < 4) {
    // Any address, canonical or not (SDM vol. 3, 18.2.6).
    state.setPair('debug', low, high, number);
  } else {
    if (high !== 0) throw guestFault(Exception.generalProtection, 0);
    state.setPair('debug', number === 6 ? fixedDr6(low) : fixedDr7(low), 0, number);
  }
  unit.breakpointsChanged();
}

export const debugRegisterServices: Services = { 'MOV.DEBUG': mov };
