import { isCanonical } from '@nest86/mmu';
import { Exception } from '../semantics/operation.ts';
import { Segment } from '../state/layout.ts';
import { attributeBig, attributeLong } from '../state/segment-cache.ts';
import { EventSource } from '../virtualization/events.ts';
import { singleStep } from './breakpoints.ts';
import { guestFault } from './fault.ts';
import { setPrivilege } from './gates.ts';
import { Flag, inLongMode, inRealMode } from './modes.ts';
import { in64BitMode } from './operands.ts';
import { writeSegment } from './segment-registers.ts';
import type { Service, Services, SystemUnit } from './unit.ts';

/*
 * Fast system calls: SYSCALL and SYSRET, SYSENTER and SYSEXIT (SDM vol. 3, 5.8.7 and 5.8.8; APM vol. 2, 6.1). No descriptor is read; the
 * segments get the fixed attributes of a flat model. On Intel, SYSCALL is for 64-bit code only; on AMD it works in every mode and SYSENTER
 * not in long mode.
 */

const eferSce = 1;

/** Present code segment, executed and read, accessed, G = 1. */
const code = 0x809b;
/** Present data segment, written, accessed, B and G = 1. */
const data: number = 0x8093 | attributeBig;
/** Flags that SYSRET loads: all but RF and VM. */
const returnedFlags = 0x3c_7fd7;
const { trap, resume, interrupt, virtual8086 } = Flag;

const [rcx, rdx, rsp, r11] = [1, 2, 4, 11];

function isAmd(unit: SystemUnit): boolean {
  return unit.mmu.model.vendor === 'amd';
}

function enterSegments(unit: SystemUnit, selector: number, privilege: number, isLong: boolean): void {
  const mode = isLong ? attributeLong : attributeBig;
  writeSegment(unit, Segment.cs, selector, 0, 0, -1, code | mode | (privilege << 5));
  setPrivilege(unit, privilege);
}

function enterStack(unit: SystemUnit, selector: number, privilege: number): void {
  writeSegment(unit, Segment.ss, selector, 0, 0, -1, data | (privilege << 5));
}

function requireSyscall(unit: SystemUnit): void {
  const isThere = (unit.context.efer & eferSce) !== 0 && (isAmd(unit) || in64BitMode(unit));
  if (!isThere) throw guestFault(Exception.invalidOpcode);
}

function changeFlags(unit: SystemUnit, flags: number): void {
  unit.state.flags = flags;
  unit.contextChanged();
}

/**
 * SYSCALL and SYSRET are single-stepped by TF as they leave it: a system call whose mask has TF is not trapped, a return with TF is at once.
 * Known from what Linux says of Intel and AMD (commits c8401dda2f0a and, of SYSRET, its entry code).
 */
function stepByNewFlag({ state, breakpoints, events }: SystemUnit): void {
  if (breakpoints === undefined) return;
  const isSet = (state.get('systemFlags') & trap) !== 0;
  if (!isSet) breakpoints.met &= ~singleStep;
  else if ((breakpoints.met & singleStep) === 0 && events !== undefined) {
    events.pending |= EventSource.debugTrap;
    events.debugBits |= singleStep;
  }
}

/** SDM vol. 2, SYSCALL. */
const syscall: Service = (unit) => {
  requireSyscall(unit);
  const { state } = unit;
  const selector = state.high('star') & 0xfffc;
  const flags = state.flags & ~resume;
  const wasLong = in64BitMode(unit);
  if (inLongMode(unit)) {
    // CSTAR: where AMD's compatibility mode goes.
    const target = wasLong ? 'lstar' : 'cstar';
    state.setPair('gpr', unit.nextLow, unit.nextHigh, rcx);
    state.setPair('gpr', flags, 0, r11);
    unit.nextLow = state.low(target);
    unit.nextHigh = state.high(target);
    enterSegments(unit, selector, 0, true);
    enterStack(unit, selector + 8, 0);
    changeFlags(unit, flags & ~state.low('sfmask'));
    stepByNewFlag(unit);
    return;
  }
  state.setPair('gpr', unit.nextLow, 0, rcx);
  unit.nextLow = state.low('star');
  unit.nextHigh = 0;
  enterSegments(unit, selector, 0, false);
  enterStack(unit, selector + 8, 0);
  changeFlags(unit, flags & ~(interrupt | virtual8086));
};

/** SDM vol. 2, SYSRET. AMD changes only the selector of SS and lets the fetch find what is not canonical (APM vol. 3, SYSRET). */
const sysret: Service = (unit, instruction) => {
  requireSyscall(unit);
  const { state } = unit;
  if (inRealMode(unit)) throw guestFault(Exception.invalidOpcode);
  if (state.get('cpl') !== 0) throw guestFault(Exception.generalProtection, 0);
  const isLong = instruction.operandSize === 64;
  const low = state.low('gpr', rcx);
  const high = isLong ? state.high('gpr', rcx) : 0;
  if (!isAmd(unit) && !isCanonical(unit.context, low, high)) throw guestFault(Exception.generalProtection, 0);
  const selector = state.high('star') >>> 16;
  const flags = in64BitMode(unit) ? state.low('gpr', r11) & returnedFlags : state.flags | interrupt;
  unit.nextLow = low;
  unit.nextHigh = high;
  enterSegments(unit, (isLong ? selector + 16 : selector) | 3, 3, isLong);
  if (isAmd(unit)) state.set('segmentSelector', (selector + 8) & 0xffff, Segment.ss);
  else enterStack(unit, (selector + 8) | 3, 3);
  changeFlags(unit, flags);
  stepByNewFlag(unit);
};

/** IA32_SYSENTER_CS, if it names a segment. @throws GuestFault #GP(0) */
function systemSelector(unit: SystemUnit): number {
  const selector = unit.state.low('sysenterCs') & 0xffff;
  if (inRealMode(unit) || (selector & 0xfffc) === 0) throw guestFault(Exception.generalProtection, 0);
  return selector;
}

function requireSysenter(unit: SystemUnit): void {
  if (isAmd(unit) && inLongMode(unit)) throw guestFault(Exception.invalidOpcode);
}

/** SDM vol. 2, SYSENTER. It saves nothing: user code says in registers where to return. */
const sysenter: Service = (unit) => {
  requireSysenter(unit);
  const selector = systemSelector(unit) & 0xfffc;
  const { state } = unit;
  const isLong = inLongMode(unit);
  changeFlags(unit, state.flags & ~(interrupt | virtual8086 | resume));
  state.setPair('gpr', state.low('sysenterEsp'), isLong ? state.high('sysenterEsp') : 0, rsp);
  unit.nextLow = state.low('sysenterEip');
  unit.nextHigh = isLong ? state.high('sysenterEip') : 0;
  enterSegments(unit, selector, 0, isLong);
  enterStack(unit, selector + 8, 0);
};

/** SDM vol. 2, SYSEXIT: to EDX, with ECX as stack pointer. */
const sysexit: Service = (unit, instruction) => {
  requireSysenter(unit);
  const { state, context } = unit;
  const selector = systemSelector(unit);
  if (state.get('cpl') !== 0) throw guestFault(Exception.generalProtection, 0);
  const isLong = instruction.operandSize === 64;
  const [stackLow, targetLow] = [state.low('gpr', rcx), state.low('gpr', rdx)];
  const stackHigh = isLong ? state.high('gpr', rcx) : 0;
  const targetHigh = isLong ? state.high('gpr', rdx) : 0;
  if (!isCanonical(context, stackLow, stackHigh) || !isCanonical(context, targetLow, targetHigh))
    throw guestFault(Exception.generalProtection, 0);
  const target = (selector + (isLong ? 32 : 16)) | 3;
  state.setPair('gpr', stackLow, stackHigh, rsp);
  unit.nextLow = targetLow;
  unit.nextHigh = targetHigh;
  enterSegments(unit, target, 3, isLong);
  enterStack(unit, target + 8, 3);
};

export const systemCallServices: Services = {
  SYSCALL: syscall,
  SYSRET: sysret,
  SYSRETQ: sysret,
  SYSENTER: sysenter,
  SYSEXIT: sysexit,
  SYSEXITQ: sysexit,
};
