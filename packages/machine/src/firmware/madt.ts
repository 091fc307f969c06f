import { Structure } from '../load/structure.ts';
import { finish, headerBytes, newTable } from './acpi-table.ts';
import { Gsi, Interrupt, Mmio, Power } from './platform.ts';

/** Kinds of interrupt controller structures (ACPI 6.5, table 5.21). */
const Kind = {
  localApic: 0,
  ioApic: 1,
  override: 2,
  localApicNmi: 4,
  localX2apic: 9,
  localX2apicNmi: 10,
} as const;

const enabled = 1;
/** PCAT_COMPAT: there are two 8259As. */
const hasLegacyControllers = 1;
/** Flags of an override: active high, level. */
const activeHighLevel = 0xd;
/** Highest APIC ID of the xAPIC; FFh is the broadcast. */
const highestXapicId = 0xfe;
const allProcessors = 0xff;
const allX2apicProcessors = 0xffff_ffff;

/** Multiple APIC description table, revision 5. @param apicIds of the processors, in the order of their _UID */
export function interruptControllers(apicIds: readonly number[]): Uint8Array {
  const entries = [
    ...apicIds.map(processor),
    structure(Kind.ioApic, 12, (entry) => {
      entry.put32(4, Mmio.ioApic);
    }),
    override(Interrupt.timer, Gsi.timer, 0),
    override(Power.interrupt, Power.interrupt, activeHighLevel),
    structure(Kind.localApicNmi, 6, (entry) => {
      entry.put8(2, allProcessors);
      entry.put8(5, 1);
    }),
  ];
  if (apicIds.some((id) => id > highestXapicId))
    entries.push(
      structure(Kind.localX2apicNmi, 12, (entry) => {
        entry.put32(4, allX2apicProcessors);
        entry.put8(8, 1);
      }),
    );
  const size = entries.reduce((sum, { length }) => sum + length, headerBytes + 8);
  const table = newTable('APIC', 5, size);
  table.put32(36, Mmio.localApic);
  table.put32(40, hasLegacyControllers);
  let at = headerBytes + 8;
  for (const entry of entries) {
    table.putBytes(at, entry);
    at += entry.length;
  }
  return finish(table);
}

function processor(apicId: number, uid: number): Uint8Array {
  if (apicId <= highestXapicId && uid < allProcessors)
    return structure(Kind.localApic, 8, (entry) => {
      entry.put8(2, uid);
      entry.put8(3, apicId);
      entry.put32(4, enabled);
    });
  return structure(Kind.localX2apic, 16, (entry) => {
    entry.put32(4, apicId);
    entry.put32(8, enabled);
    entry.put32(12, uid);
  });
}

/** An ISA interrupt that is not what it is by default: edge, active high, at the GSI of its number. */
function override(source: number, gsi: number, flags: number): Uint8Array {
  return structure(Kind.override, 10, (entry) => {
    entry.put8(3, source);
    entry.put32(4, gsi);
    entry.put16(8, flags);
  });
}

function structure(kind: number, bytes: number, fill: (entry: Structure) => void): Uint8Array {
  const entry = new Structure(bytes);
  entry.put8(0, kind);
  entry.put8(1, bytes);
  fill(entry);
  return entry.bytes;
}
