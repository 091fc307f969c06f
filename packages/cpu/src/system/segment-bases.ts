import { Exception } from '../semantics/operation.ts';
import { Segment } from '../state/layout.ts';
import { isCanonicalIn } from './capabilities.ts';
import { guestFault } from './fault.ts';
import { in64BitMode, readOperand, writeOperand } from './operands.ts';
import { requireLevel0 } from './privilege.ts';
import type { Service, Services, SystemUnit } from './unit.ts';

// Bases of FS and GS without a descriptor (SDM vol. 2, RDFSBASE, WRFSBASE, SWAPGS; vol. 3, 3.4.4 and 5.8.8).

const value = new Int32Array(2);
const cr4Fsgsbase = 1 << 16;

function require64BitMode(unit: SystemUnit): void {
  if (!in64BitMode(unit)) throw guestFault(Exception.invalidOpcode);
}

function requireBases(unit: SystemUnit): void {
  require64BitMode(unit);
  if ((unit.context.cr4 & cr4Fsgsbase) === 0) throw guestFault(Exception.invalidOpcode);
}

function readBase(segment: number): Service {
  return (unit, instruction) => {
    requireBases(unit);
    const { state } = unit;
    writeOperand(unit, instruction, 0, state.low('segmentBase', segment), state.high('segmentBase', segment));
  };
}

/** A 32-bit operand is zero-extended. */
function writeBase(segment: number): Service {
  return (unit, instruction) => {
    requireBases(unit);
    readOperand(unit, instruction, 0, value);
    if (!isCanonicalIn(unit.capabilities, value[1])) throw guestFault(Exception.generalProtection, 0);
    unit.state.setPair('segmentBase', value[0], value[1], segment);
  };
}

const swapgs: Service = (unit) => {
  require64BitMode(unit);
  requireLevel0(unit);
  const { state } = unit;
  const low = state.low('segmentBase', Segment.gs);
  const high = state.high('segmentBase', Segment.gs);
  state.setPair('segmentBase', state.low('kernelGsBase'), state.high('kernelGsBase'), Segment.gs);
  state.setPair('kernelGsBase', low, high);
};

export const segmentBaseServices: Services = {
  RDFSBASE: readBase(Segment.fs),
  RDGSBASE: readBase(Segment.gs),
  WRFSBASE: writeBase(Segment.fs),
  WRGSBASE: writeBase(Segment.gs),
  SWAPGS: swapgs,
};
