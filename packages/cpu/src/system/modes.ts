import { Cr0, Efer } from '@nest86/mmu';
import { stateOffset } from '../state/layout.ts';
import type { SystemUnit } from './unit.ts';

/** Cell of the state, as a word. */
const flagsCell: number = stateOffset.systemFlags >> 2;

/** Bits of RFLAGS that transfers look at or change (SDM vol. 1, 3.4.3; vol. 3, 2.3). */
export const Flag = {
  zero: 0x40,
  trap: 0x100,
  interrupt: 0x200,
  /** I/O privilege level, two bits. */
  ioPrivilege: 0x3000,
  nestedTask: 0x4000,
  resume: 0x10000,
  virtual8086: 0x20000,
  alignment: 0x40000,
  virtualInterrupt: 0x80000,
  virtualInterruptPending: 0x100000,
} as const;

/** CR0.PE is 0: real-address mode. */
export function inRealMode(unit: SystemUnit): boolean {
  return (unit.context.cr0 & Cr0.pe) === 0;
}

/** EFLAGS.VM; it can only be 1 where CR0.PE is. */
export function inVirtual8086Mode(unit: SystemUnit): boolean {
  return (unit.state.words[flagsCell] & Flag.virtual8086) !== 0;
}

/** Selectors are paragraph numbers: real-address and virtual-8086 mode. */
export function hasParagraphSelectors(unit: SystemUnit): boolean {
  return inRealMode(unit) || inVirtual8086Mode(unit);
}

/** EFER.LMA: 64-bit or compatibility mode. */
export function inLongMode(unit: SystemUnit): boolean {
  return (unit.context.efer & Efer.lma) !== 0;
}

/** IOPL, 0 to 3. */
export function ioPrivilegeLevel(unit: SystemUnit): number {
  return (unit.state.words[flagsCell] >>> 12) & 3;
}
