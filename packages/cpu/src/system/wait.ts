import { type Instruction, operandRegister } from '@nest86/decoder';
import { Exception } from '../semantics/operation.ts';
import { Activity, Segment } from '../state/layout.ts';
import { Intercept } from '../virtualization/intercept.ts';
import { isIntercepted } from '../virtualization/questions.ts';
import { guestFault } from './fault.ts';
import { in64BitMode, linearAddress, readOperand, readRegister, Use } from './operands.ts';
import { requireLevel0 } from './privilege.ts';
import type { Service, Services, SystemUnit } from './unit.ts';

/*
 * Waiting: HLT, MONITOR and MWAIT, AMD's MONITORX and MWAITX, UMONITOR, UMWAIT and TPAUSE (SDM vol. 2 under these names; vol. 3, 9.10;
 * APM vol. 3).
 *
 * A monitored wait may end for reasons of the implementation's own, and here it ends at once: the run ends, so that others get their turn, and
 * the program, which must test its condition anyway, comes back.
 */

const address = new Int32Array(2);
const value = new Int32Array(2);

const rax = 0;
const rcx = 1;

const miscMonitor = 1 << 18;
const cr4Tsd = 1 << 2;
/** CF PF AF ZF SF OF. */
const statusFlags = 0x8d5;

function generalProtection(): never {
  throw guestFault(Exception.generalProtection, 0);
}

/** SDM vol. 2, HLT. RIP is that of the next instruction when an interrupt ends it. */
const hlt: Service = (unit, instruction) => {
  requireLevel0(unit);
  if (isIntercepted(unit, Intercept.halt, instruction)) return;
  unit.state.set('activity', Activity.halted);
  unit.stop();
};

/** MONITOR and MWAIT are there by IA32_MISC_ENABLE, which AMD does not have, and for CPL 0 (S3-24). */
function requireMonitor(unit: SystemUnit): void {
  const { state } = unit;
  const isOff = unit.mmu.model.vendor === 'intel' && (state.low('miscEnable') & miscMonitor) === 0;
  if (isOff || state.get('cpl') !== 0) throw guestFault(Exception.invalidOpcode);
}

/** Extensions or hints in ECX, in 64-bit mode RCX, beyond those allowed: #GP(0). */
function requireExtensions(unit: SystemUnit, allowed: number): void {
  const { state } = unit;
  if ((state.low('gpr', rcx) & ~allowed) !== 0) generalProtection();
  if (in64BitMode(unit) && state.high('gpr', rcx) !== 0) generalProtection();
}

/** Checks and touches the address to watch, in DS or another segment: it counts as a load of a byte. */
function watch(unit: SystemUnit, instruction: Instruction, low: number, high: number): void {
  let segment: number = Segment.ds;
  const override = instruction.segmentOverride - 1;
  if (override >= 0 && (instruction.mode !== 64 || override >= Segment.fs)) segment = override;
  const { addressSize } = instruction;
  address[0] = addressSize === 16 ? low & 0xffff : low;
  address[1] = addressSize === 64 ? high : 0;
  linearAddress(unit, segment, address[0], address[1], 1, Use.read, address);
  unit.memory.read(address[0], address[1], 1);
}

const monitor: Service = (unit, instruction) => {
  requireMonitor(unit);
  if (isIntercepted(unit, Intercept.monitor, instruction)) return;
  requireExtensions(unit, 0);
  watch(unit, instruction, unit.state.low('gpr', rax), unit.state.high('gpr', rax));
};

const mwait: Service = (unit, instruction) => {
  requireMonitor(unit);
  if (isIntercepted(unit, Intercept.monitorWait, instruction)) return;
  requireExtensions(unit, unit.capabilities.mwaitBreaksOnInterrupt ? 1 : 0);
  unit.stop();
};

/** At any CPL (APM vol. 3, MONITORX). */
const monitorx: Service = (unit, instruction) => {
  if (isIntercepted(unit, Intercept.monitor, instruction)) return;
  requireExtensions(unit, 0);
  watch(unit, instruction, unit.state.low('gpr', rax), unit.state.high('gpr', rax));
};

/** ECX: bit 0 an interrupt ends the wait though IF is 0, bit 1 EBX is a timeout. */
const mwaitx: Service = (unit, instruction) => {
  if (isIntercepted(unit, Intercept.monitorWait, instruction)) return;
  requireExtensions(unit, 3);
  unit.stop();
};

const umonitor: Service = (unit, instruction) => {
  readRegister(unit, operandRegister(instruction, 0), value);
  watch(unit, instruction, value[0], value[1]);
};

/** UMWAIT and TPAUSE. CF stays 0: the operating system's limit did not end the wait. */
const waitUntil: Service = (unit, instruction) => {
  const { state } = unit;
  if ((unit.context.cr4 & cr4Tsd) !== 0 && state.get('cpl') !== 0) generalProtection();
  if (isIntercepted(unit, Intercept.timedWait, instruction)) return;
  readOperand(unit, instruction, 0, value);
  // Bit 0 chooses between C0.1 and C0.2.
  if ((value[0] & ~1) !== 0) generalProtection();
  state.flags &= ~statusFlags;
  unit.stop();
};

/** Only where somebody wants to see it; else generated code executes it. */
const pause: Service = (unit, instruction) => {
  isIntercepted(unit, Intercept.pause, instruction);
};

export const waitServices: Services = {
  PAUSE: pause,
  HLT: hlt,
  MONITOR: monitor,
  MWAIT: mwait,
  MONITORX: monitorx,
  MWAITX: mwaitx,
  UMONITOR: umonitor,
  UMWAIT: waitUntil,
  TPAUSE: waitUntil,
};
