import { GuestFault, readMsr, writeMsr } from '@nest86/cpu/virtualization';
import { pageOf, type VmxCore } from './core.ts';

/** FS.base and GS.base; an entry of a list may not name them (SDM vol. 3, 27.4). */
const fsBase = 0xc000_0100;
const gsBase = 0xc000_0101;
const smmMonitorControl = 0x9b;
const smbase = 0x9e;
/** Microcode: writes of these start or lead to an update. */
const biosUpdate = 0x79;
const biosSign = 0x8b;
/** Stored as the processor has it, without the guest's offset. */
const timeStampCounter = 0x10;
const value = new Int32Array(2);

/** Whether an entry must not name a register: x2APIC's, and those above. */
function isForbidden(index: number, reserved: number, isLoad: boolean): boolean {
  if (reserved !== 0 || index >>> 8 === 8) return true;
  if (index === smbase) return true;
  return (
    isLoad &&
    (index === fsBase ||
      index === gsBase ||
      index === smmMonitorControl ||
      index === biosUpdate ||
      index === biosSign)
  );
}

/**
 * Loads the registers of a list (SDM vol. 3, 27.4 and 28.6).
 *
 * @returns 0, or the number of the first entry that could not be loaded, from 1 on
 */
export function loadMsrs(core: VmxCore, count: number, low: number, high: number): number {
  const { unit, physical, capabilities } = core;
  const entries = count >>> 0;
  for (let i = 0; i < entries; i++) {
    if (i >= capabilities.mostMsrs) return i + 1;
    const at = (low >>> 0) + 16 * i;
    const page = pageOf(at | 0, (high + Math.floor(at / 2 ** 32)) | 0);
    const offset = at & 0xff0;
    const index = physical.read(page, offset, 4) >>> 0;
    if (isForbidden(index, physical.read(page, offset + 4, 4), true)) return i + 1;
    try {
      writeMsr(unit, index, physical.read(page, offset + 8, 4), physical.read(page, offset + 12, 4));
    } catch (fault) {
      if (!(fault instanceof GuestFault) || fault.vector < 0) throw fault;
      return i + 1;
    }
  }
  return 0;
}

/** Stores the registers of a list (SDM vol. 3, 28.4). @returns as for {@link loadMsrs} */
export function storeMsrs(core: VmxCore, count: number, low: number, high: number): number {
  const { unit, physical, capabilities } = core;
  const entries = count >>> 0;
  for (let i = 0; i < entries; i++) {
    if (i >= capabilities.mostMsrs) return i + 1;
    const at = (low >>> 0) + 16 * i;
    const page = pageOf(at | 0, (high + Math.floor(at / 2 ** 32)) | 0);
    const offset = at & 0xff0;
    const index = physical.read(page, offset, 4) >>> 0;
    if (isForbidden(index, physical.read(page, offset + 4, 4), false)) return i + 1;
    if (index === timeStampCounter) unit.time.tsc(value);
    else if (!readMsr(unit, index, value)) return i + 1;
    physical.write(page, offset + 8, 4, value[0]);
    physical.write(page, offset + 12, 4, value[1]);
  }
  return 0;
}
