import type { Structure } from '../load/structure.ts';
import { finish, newTable } from './acpi-table.ts';
import { centuryRegister, Power, Reset } from './platform.ts';

/** Offsets in the table (ACPI 6.5, table 5.9). */
const Field = {
  firmwareControl: 36,
  dsdt: 40,
  profile: 45,
  interrupt: 46,
  eventBlock: 56,
  controlBlock: 64,
  timerBlock: 76,
  eventBytes: 88,
  controlBytes: 89,
  timerBytes: 91,
  latencyC2: 96,
  latencyC3: 98,
  century: 108,
  bootArchitecture: 109,
  flags: 112,
  resetRegister: 116,
  resetValue: 128,
  minorVersion: 131,
  extendedDsdt: 140,
  extendedEventBlock: 148,
  extendedControlBlock: 172,
  extendedTimerBlock: 208,
  end: 276,
} as const;

/** Fixed feature flags (table 5.10). */
const Flag = {
  wbinvd: 1 << 0,
  c1: 1 << 2,
  noFixedSleepButton: 1 << 5,
  noFixedClockWake: 1 << 6,
  timerHas32Bits: 1 << 8,
  hasResetRegister: 1 << 10,
} as const;

/** IA-PC boot architecture flags (table 5.11). */
const Architecture = { legacyDevices: 1, has8042: 2, noVga: 4, noAspm: 16 } as const;

const enterpriseServer = 4;

/** Fixed ACPI description table, revision 6.5: fixed hardware at {@link Power}'s ports. */
export function fixedDescription(facs: number, dsdt: number): Uint8Array {
  const table = newTable('FACP', 6, Field.end);
  table.put32(Field.firmwareControl, facs);
  table.put32(Field.dsdt, dsdt);
  table.put8(Field.profile, enterpriseServer);
  table.put16(Field.interrupt, Power.interrupt);
  table.put32(Field.eventBlock, Power.eventPort);
  table.put32(Field.controlBlock, Power.controlPort);
  table.put32(Field.timerBlock, Power.timerPort);
  table.put8(Field.eventBytes, Power.eventBytes);
  table.put8(Field.controlBytes, Power.controlBytes);
  table.put8(Field.timerBytes, Power.timerBytes);
  // Beyond 100 and 1,000 microseconds there are no C2 and C3.
  table.put16(Field.latencyC2, 101);
  table.put16(Field.latencyC3, 1001);
  table.put8(Field.century, centuryRegister);
  const { legacyDevices, has8042, noVga, noAspm } = Architecture;
  table.put16(Field.bootArchitecture, legacyDevices | has8042 | noVga | noAspm);
  table.put32(
    Field.flags,
    Flag.wbinvd |
      Flag.c1 |
      Flag.noFixedSleepButton |
      Flag.noFixedClockWake |
      Flag.timerHas32Bits |
      Flag.hasResetRegister,
  );
  putPort(table, Field.resetRegister, Reset.port, 1);
  table.put8(Field.resetValue, Reset.value);
  table.put8(Field.minorVersion, 5);
  table.put64(Field.extendedDsdt, dsdt);
  putPort(table, Field.extendedEventBlock, Power.eventPort, Power.eventBytes);
  putPort(table, Field.extendedControlBlock, Power.controlPort, Power.controlBytes);
  putPort(table, Field.extendedTimerBlock, Power.timerPort, Power.timerBytes);
  return finish(table);
}

/** A generic address structure (§5.2.3.2) of I/O ports, 1 to 4 bytes. */
function putPort(table: Structure, at: number, port: number, bytes: number): void {
  const systemIo = 1;
  table.put8(at, systemIo);
  table.put8(at + 1, bytes * 8);
  // Status and enable of the event block are two registers of 16 bits: access by words.
  table.put8(at + 3, at === Field.extendedEventBlock ? 2 : Math.log2(bytes) + 1);
  table.put64(at + 4, port);
}
