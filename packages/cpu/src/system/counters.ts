import { Exception } from '../semantics/operation.ts';
import { Intercept } from '../virtualization/intercept.ts';
import { isIntercepted } from '../virtualization/questions.ts';
import { readTimeStampCounter } from '../virtualization/time.ts';
import { guestFault } from './fault.ts';
import { writeOperand } from './operands.ts';
import type { Service, Services, SystemUnit } from './unit.ts';

// Time stamp counter, processor ID and performance counters (SDM vol. 2, RDTSC, RDTSCP, RDPID, RDPMC).

const value = new Int32Array(2);

const cr4Tsd = 1 << 2;
const cr4Pce = 1 << 8;

const rax = 0;
const rcx = 1;
const rdx = 2;

/** CR4.TSD keeps the counter to CPL 0. In real-address mode CPL is 0. */
function requireTime({ context, state }: SystemUnit): void {
  if ((context.cr4 & cr4Tsd) !== 0 && state.get('cpl') !== 0)
    throw guestFault(Exception.generalProtection, 0);
}

function readTime(unit: SystemUnit): void {
  const { state } = unit;
  readTimeStampCounter(unit, value);
  state.setPair('gpr', value[0], 0, rax);
  state.setPair('gpr', value[1], 0, rdx);
}

const rdtsc: Service = (unit, instruction) => {
  requireTime(unit);
  if (!isIntercepted(unit, Intercept.timeStampCounter, instruction)) readTime(unit);
};

const rdtscp: Service = (unit, instruction) => {
  requireTime(unit);
  if (isIntercepted(unit, Intercept.processorId, instruction)) return;
  readTime(unit);
  unit.state.setPair('gpr', unit.state.low('tscAux'), 0, rcx);
};

/** IA32_TSC_AUX at any CPL, whatever CR4.TSD. */
const rdpid: Service = (unit, instruction) => {
  if (isIntercepted(unit, Intercept.processorId, instruction)) return;
  writeOperand(unit, instruction, 0, unit.state.low('tscAux'), 0);
};

/**
 * RDPMC. Counters are the MSRs that hold them, so whoever has these has the instruction (SDM vol. 3, 20.2; APM vol. 2, 13.2): Intel's general
 * counters from C1h and, by ECX bit 30, its fixed ones from 309h; AMD's from C0010201h, every second.
 */
const rdpmc: Service = (unit, instruction) => {
  const { state } = unit;
  if (state.get('cpl') !== 0 && (unit.context.cr4 & cr4Pce) === 0)
    throw guestFault(Exception.generalProtection, 0);
  if (isIntercepted(unit, Intercept.performanceCounter, instruction)) return;
  const index = state.low('gpr', rcx);
  if (!unit.msrs.read(counterMsr(unit, index), value)) throw guestFault(Exception.generalProtection, 0);
  state.setPair('gpr', value[0], 0, rax);
  state.setPair('gpr', value[1], 0, rdx);
};

const fixed = 1 << 30;

function counterMsr(unit: SystemUnit, index: number): number {
  if (index >>> 0 < 64) return unit.mmu.model.vendor === 'amd' ? 0xc001_0201 + 2 * index : 0xc1 + index;
  if ((index & ~0x3f) === fixed && unit.mmu.model.vendor === 'intel') return 0x309 + (index & 0x3f);
  throw guestFault(Exception.generalProtection, 0);
}

export const counterServices: Services = {
  RDTSC: rdtsc,
  RDTSCP: rdtscp,
  RDPID: rdpid,
  RDPMC: rdpmc,
};
