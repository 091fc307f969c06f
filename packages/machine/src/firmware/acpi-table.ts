import { Structure } from '../load/structure.ts';

/** Bytes of the header that begins every table but RSDP and FACS (ACPI 6.5 §5.2.6). */
export const headerBytes = 36;
const checksumAt = 9;
export const oemId = 'NEST86';

/** A table of so many bytes, header included; {@link finish} it when it is filled. */
export function newTable(signature: string, revision: number, bytes: number): Structure {
  const table = new Structure(bytes);
  table.putText(0, signature);
  table.put32(4, bytes);
  table.put8(8, revision);
  table.putText(10, oemId);
  table.putText(16, 'NEST86PC');
  table.put32(24, 1);
  table.putText(28, 'NE86');
  table.put32(32, 1);
  return table;
}

/** Writes the checksum. */
export function finish(table: Structure): Uint8Array {
  table.put8(checksumAt, checksum(table.bytes));
  return table.bytes;
}

/** What makes the sum of the bytes 0. */
export function checksum(bytes: Uint8Array): number {
  return -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff;
}
