import { Exception } from '../semantics/operation.ts';
import { Intercept } from '../virtualization/intercept.ts';
import { isIntercepted } from '../virtualization/questions.ts';
import { guestFault } from './fault.ts';
import { Flag, inRealMode, inVirtual8086Mode, ioPrivilegeLevel } from './modes.ts';
import { moveStackPointer, peek, push } from './operands.ts';
import type { Service, Services, SystemUnit } from './unit.ts';

/*
 * RFLAGS: PUSHF, POPF, CLI, STI, CLAC, STAC (SDM vol. 2 under these names; vol. 3, 21.3 and 21.4 for virtual interrupts in virtual-8086 and
 * protected mode).
 */

const value = new Int32Array(2);

const cr4Vme = 1 << 0;
const cr4Pvi = 1 << 1;

/** What POPF may change at all: CF PF AF ZF SF TF IF DF OF IOPL NT, and with 32 or 64 bits AC and ID. */
const popped16 = 0x7fd5;
const popped32 = 0x24_7fd5;

function generalProtection(): never {
  throw guestFault(Exception.generalProtection, 0);
}

const pushf: Service = (unit, instruction) => {
  if (isIntercepted(unit, Intercept.pushFlags, instruction)) return;
  const size = instruction.operandSize;
  let image = unit.state.flags;
  if (inVirtual8086Mode(unit) && ioPrivilegeLevel(unit) < 3) {
    if ((unit.context.cr4 & cr4Vme) === 0 || size !== 16) generalProtection();
    // The program sees VIF as its IF, and IOPL 3.
    const interrupt = (image & Flag.virtualInterrupt) !== 0 ? Flag.interrupt : 0;
    image = (image & ~Flag.interrupt) | interrupt | Flag.ioPrivilege;
  }
  // RF and VM are never seen.
  push(unit, size / 8, image & ~(Flag.resume | Flag.virtual8086), 0);
};

const popf: Service = (unit, instruction) => {
  if (isIntercepted(unit, Intercept.popFlags, instruction)) return;
  const { state } = unit;
  const size = instruction.operandSize;
  const before = state.flags;
  const privilege = ioPrivilegeLevel(unit);
  let writable = size === 16 ? popped16 : popped32;
  if (inVirtual8086Mode(unit)) {
    if (privilege < 3) {
      popVirtual(unit, size, before);
      return;
    }
    writable &= ~Flag.ioPrivilege;
  } else if (state.get('cpl') !== 0) {
    // In real-address mode CPL is 0.
    writable &= ~Flag.ioPrivilege;
    if (state.get('cpl') > privilege) writable &= ~Flag.interrupt;
  }
  peek(unit, 0, size / 8, value);
  moveStackPointer(unit, size / 8);
  writeFlags(unit, (before & ~(writable | Flag.resume)) | (value[0] & writable));
};

/** Virtual-8086 mode with IOPL below 3: IF of the image goes to VIF (SDM vol. 3, 21.3.3.4). */
function popVirtual(unit: SystemUnit, size: number, before: number): void {
  if ((unit.context.cr4 & cr4Vme) === 0 || size !== 16) generalProtection();
  peek(unit, 0, 2, value);
  const image = value[0];
  const enables = (image & Flag.interrupt) !== 0;
  if ((image & Flag.trap) !== 0 || (enables && (before & Flag.virtualInterruptPending) !== 0))
    generalProtection();
  moveStackPointer(unit, 2);
  const writable = popped16 & ~(Flag.ioPrivilege | Flag.interrupt);
  const kept = before & ~(writable | Flag.resume | Flag.virtualInterrupt);
  writeFlags(unit, kept | (image & writable) | (enables ? Flag.virtualInterrupt : 0));
}

/** Writes RFLAGS; AC decides what supervisor accesses may touch. */
function writeFlags(unit: SystemUnit, flags: number): void {
  const changed = unit.state.flags ^ flags;
  unit.state.flags = flags;
  if ((changed & Flag.alignment) !== 0) unit.contextChanged();
}

/** Which flag CLI and STI mean: IF, VIF, or 0 if they are not allowed (SDM vol. 2, tables of CLI and STI). */
function interruptFlag(unit: SystemUnit): number {
  const { state, context } = unit;
  if (inRealMode(unit) || ioPrivilegeLevel(unit) >= state.get('cpl')) return Flag.interrupt;
  // CPL is 3 in virtual-8086 mode, so IOPL is below 3 here.
  if (inVirtual8086Mode(unit)) return (context.cr4 & cr4Vme) !== 0 ? Flag.virtualInterrupt : 0;
  return state.get('cpl') === 3 && (context.cr4 & cr4Pvi) !== 0 ? Flag.virtualInterrupt : 0;
}

const cli: Service = (unit) => {
  const flag = interruptFlag(unit);
  if (flag === 0) generalProtection();
  unit.state.set('systemFlags', unit.state.get('systemFlags') & ~flag);
};

const sti: Service = (unit) => {
  const { state } = unit;
  const flag = interruptFlag(unit);
  const before = state.get('systemFlags');
  if (flag === 0) generalProtection();
  if (flag === Flag.virtualInterrupt) {
    // An interrupt waits for this: the monitor must hear of it.
    if ((before & Flag.virtualInterruptPending) !== 0) generalProtection();
  } else if ((before & Flag.interrupt) === 0) {
    // One more instruction before the first interrupt.
    state.set('interruptShadow', 1);
  }
  state.set('systemFlags', before | flag);
};

/** #UD, not #GP, where privilege is missing. */
function alignmentFlag(isSet: boolean): Service {
  return (unit) => {
    const { state } = unit;
    if (state.get('cpl') !== 0) throw guestFault(Exception.invalidOpcode);
    const before = state.get('systemFlags');
    state.set('systemFlags', isSet ? before | Flag.alignment : before & ~Flag.alignment);
    unit.contextChanged();
  };
}

export const flagServices: Services = {
  PUSHF: pushf,
  PUSHFD: pushf,
  PUSHFQ: pushf,
  POPF: popf,
  POPFD: popf,
  POPFQ: popf,
  CLI: cli,
  STI: sti,
  CLAC: alignmentFlag(false),
  STAC: alignmentFlag(true),
};
