import { Exception } from '../semantics/operation.ts';
import { Intercept } from '../virtualization/intercept.ts';
import { isRegisterIntercepted } from '../virtualization/questions.ts';
import { isCanonicalIn } from './capabilities.ts';
import { guestFault } from './fault.ts';
import {
  addTo,
  checkAlignment,
  in64BitMode,
  operandAddress,
  readLinear,
  Use,
  writeLinear,
} from './operands.ts';
import { requireLevel0 } from './privilege.ts';
import type { Service, Services } from './unit.ts';

/*
 * GDTR and IDTR (SDM vol. 2, LGDT/LIDT, SGDT, SIDT; vol. 3, 2.4). In memory a pseudo-descriptor (SDM vol. 3, 3.5.1): limit, 16 bits, then base,
 * 32 bits, in 64-bit mode 64.
 */

const gdtr = 0;
const idtr = 1;

const address = new Int32Array(2);
const base = new Int32Array(2);
const limit = new Int32Array(2);
const cr4Umip = 1 << 11;

function load(table: number): Service {
  return (unit, instruction) => {
    requireLevel0(unit);
    if (isRegisterIntercepted(unit, Intercept.descriptorTable, instruction, table, true)) return;
    const is64Bit = in64BitMode(unit);
    operandAddress(unit, instruction, 0, is64Bit ? 10 : 6, Use.read, address);
    readLinear(unit, address[0], address[1], 2, limit);
    addTo(address, 2, 0);
    if (!is64Bit) address[1] = 0;
    readLinear(unit, address[0], address[1], is64Bit ? 8 : 4, base);
    if (is64Bit) {
      if (!isCanonicalIn(unit.capabilities, base[1])) throw guestFault(Exception.generalProtection, 0);
    } else if (instruction.operandSize === 16) {
      // As the 80286: 24 bits.
      base[0] &= 0xff_ffff;
    }
    unit.state.setPair('tableBase', base[0], base[1], table);
    unit.state.set('tableLimit', limit[0], table);
  };
}

function store(table: number): Service {
  return (unit, instruction) => {
    if ((unit.context.cr4 & cr4Umip) !== 0) requireLevel0(unit);
    if (isRegisterIntercepted(unit, Intercept.descriptorTable, instruction, table, false)) return;
    const { state } = unit;
    const is64Bit = in64BitMode(unit);
    const bytes = is64Bit ? 8 : 4;
    operandAddress(unit, instruction, 0, bytes + 2, Use.write, address);
    // The two parts are aligned by themselves (SDM vol. 3, 3.5.1): the whole at an odd word.
    checkAlignment(unit, address[0], 2);
    checkAlignment(unit, address[0] + 2, bytes);
    unit.memory.probe(address[0], address[1], bytes + 2, true);
    writeLinear(unit, address[0], address[1], 2, state.get('tableLimit', table), 0);
    addTo(address, 2, 0);
    if (!is64Bit) address[1] = 0;
    // All 32 bits of the base, also with a 16-bit operand.
    writeLinear(
      unit,
      address[0],
      address[1],
      bytes,
      state.low('tableBase', table),
      state.high('tableBase', table),
    );
  };
}

export const tableServices: Services = {
  LGDT: load(gdtr),
  LIDT: load(idtr),
  SGDT: store(gdtr),
  SIDT: store(idtr),
};
