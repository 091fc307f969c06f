import type { BootWrite } from '../load/boot-plan.ts';
import { Structure } from '../load/structure.ts';
import { checksum, finish, headerBytes, newTable, oemId } from './acpi-table.ts';
import { differentiatedDescription } from './dsdt.ts';
import { fixedDescription } from './fadt.ts';
import { interruptControllers } from './madt.ts';
import { hpetCapabilities, hpetMinimumTick, Mmio } from './platform.ts';
import { lowRom } from './reset-rom.ts';

/** ACPI's tables, and where the first of them lies. */
export interface AcpiTables {
  /** Everything as one block, from {@link AcpiTables.rsdp} on. */
  readonly block: BootWrite;
  /** The root pointer (revision 2). */
  readonly rsdp: { readonly address: number; readonly bytes: Uint8Array };
  /** Each table with its address, for tools. */
  readonly tables: readonly AcpiTable[];
}

interface AcpiTable {
  readonly signature: string;
  readonly address: number;
  readonly bytes: Uint8Array;
}

/** Programs search the upper 64 KiB of the BIOS area for the root pointer, every 16 bytes. */
const rootPointer = 0xf0000;
const rootPointerBytes = 36;
const alignment = 64;

/**
 * The tables of a machine.
 *
 * @param apicIds of its processors: 1 to 255 of them; _UID is the place in the list
 */
export function acpiTables(apicIds: readonly number[]): AcpiTables {
  const tables: AcpiTable[] = [];
  let next = rootPointer + alignment;
  const place = (signature: string, bytes: Uint8Array): number => {
    const address = next;
    tables.push({ signature, address, bytes });
    next = Math.ceil((address + bytes.length) / alignment) * alignment;
    return address;
  };
  const facs = place('FACS', firmwareControl());
  const dsdt = place('DSDT', dsdtTable(apicIds.length));
  const listed = [
    place('FACP', fixedDescription(facs, dsdt)),
    place('APIC', interruptControllers(apicIds)),
    place('HPET', eventTimerTable()),
    place('MCFG', configurationSpace()),
  ];
  const rsdt = place('RSDT', listOf('RSDT', 4, listed));
  const xsdt = place('XSDT', listOf('XSDT', 8, listed));
  if (next > lowRom) throw new RangeError(`ACPI tables for ${apicIds.length} processors do not fit`);
  const rsdp = { address: rootPointer, bytes: rootPointerTable(rsdt, xsdt) };
  const block = new Uint8Array(next - rootPointer);
  block.set(rsdp.bytes);
  for (const { address, bytes } of tables) block.set(bytes, address - rootPointer);
  return { block: { address: rootPointer, bytes: block, memorySize: block.length }, rsdp, tables };
}

/** Root system description pointer, of revision 2; its first 20 bytes are revision 1's (ACPI 6.5 §5.2.5.3). */
function rootPointerTable(rsdt: number, xsdt: number): Uint8Array {
  const pointer = new Structure(rootPointerBytes);
  pointer.putText(0, 'RSD PTR ');
  pointer.putText(9, oemId);
  pointer.put8(15, 2);
  pointer.put32(16, rsdt);
  pointer.put8(8, checksum(pointer.bytes.subarray(0, 20)));
  pointer.put32(20, rootPointerBytes);
  pointer.put64(24, xsdt);
  pointer.put8(32, checksum(pointer.bytes));
  return pointer.bytes;
}

/** RSDT (entries of 4 bytes) or XSDT (8). */
function listOf(signature: string, bytes: 4 | 8, addresses: readonly number[]): Uint8Array {
  const table = newTable(signature, 1, headerBytes + bytes * addresses.length);
  for (const [i, address] of addresses.entries()) table.put32(headerBytes + bytes * i, address);
  return finish(table);
}

/** Firmware ACPI control structure, version 2: no global lock to share, no waking vector (§5.2.10). It has no checksum. */
function firmwareControl(): Uint8Array {
  const facs = new Structure(64);
  facs.putText(0, 'FACS');
  facs.put32(4, 64);
  facs.put8(32, 2);
  return facs.bytes;
}

function dsdtTable(processors: number): Uint8Array {
  const aml = differentiatedDescription(processors);
  // Revision 2: integers of 64 bits.
  const table = newTable('DSDT', 2, headerBytes + aml.length);
  table.putBytes(headerBytes, Uint8Array.from(aml));
  return finish(table);
}

/** IA-PC HPET description table (HPET 1.0a §3.2.4). */
function eventTimerTable(): Uint8Array {
  const table = newTable('HPET', 1, 56);
  table.put32(36, hpetCapabilities);
  // A generic address structure: system memory, registers of 64 bits.
  table.put8(41, 64);
  table.put64(44, Mmio.hpet);
  table.put16(53, hpetMinimumTick);
  return finish(table);
}

/** PCI Express memory-mapped configuration space (PCI Firmware 3.3 §4.1.2): segment 0, all buses. */
function configurationSpace(): Uint8Array {
  const table = newTable('MCFG', 1, 60);
  table.put64(44, Mmio.ecam);
  table.put8(55, 255);
  return finish(table);
}
