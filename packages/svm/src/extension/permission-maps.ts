import type { InterceptedInstruction } from '@nest86/cpu/virtualization';
import type { PhysicalMemory } from '@nest86/mmu';
import { vmcbOffset } from '../vmcb/layout.ts';
import type { Vmcb } from '../vmcb/vmcb.ts';

/** Byte of a map in memory. */
function mapByte(memory: PhysicalMemory, vmcb: Vmcb, base: number, offset: number): number {
  const page = (vmcb.high(base) & 0xfffff) * 0x10_0000 + (vmcb.low(base) >>> 12);
  return memory.read(page + (offset >> 12), offset & 0xfff, 1) & 0xff;
}

/** Whether the MSR permission map intercepts an access (APM vol. 2, 15.11). @param index unsigned */
export function interceptsMsr(memory: PhysicalMemory, vmcb: Vmcb, index: number, isWrite: boolean): boolean {
  let range: number;
  if (index < 0x2000) range = 0;
  else if (index >= 0xc000_0000 && index < 0xc000_2000) range = 0x800;
  else if (index >= 0xc001_0000 && index < 0xc001_2000) range = 0x1000;
  // What no range covers is intercepted.
  else return true;
  const place = index & 0x1fff;
  const bits = mapByte(memory, vmcb, vmcbOffset.msrpmBase, range + (place >> 2)) >> (2 * (place & 3));
  return (bits & (isWrite ? 2 : 1)) !== 0;
}

/** Whether the I/O permission map intercepts an access: a bit per port, also of those beyond the first (APM vol. 2, 15.10.1). */
export function interceptsPort(memory: PhysicalMemory, vmcb: Vmcb, port: number, bytes: number): boolean {
  const first = port >> 3;
  const low = mapByte(memory, vmcb, vmcbOffset.iopmBase, first);
  const high = mapByte(memory, vmcb, vmcbOffset.iopmBase, first + 1);
  return ((((high << 8) | low) >> (port & 7)) & ((1 << bytes) - 1)) !== 0;
}

/** EXITINFO1 of an I/O intercept (APM vol. 2, 15.10.2). */
export function portInformation({
  number,
  bytes,
  isWrite,
  segment,
  instruction,
}: InterceptedInstruction): number {
  const isString = segment >= 0;
  const size = bytes === 1 ? 0x10 : bytes === 2 ? 0x20 : 0x40;
  const address = instruction.addressSize === 16 ? 0x80 : instruction.addressSize === 32 ? 0x100 : 0x200;
  return (
    (isWrite ? 0 : 1) |
    (isString ? 4 | (segment << 10) : 0) |
    (isString && instruction.repeat !== 0 ? 8 : 0) |
    size |
    address |
    (number << 16)
  );
}
