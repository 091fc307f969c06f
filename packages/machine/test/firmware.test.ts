import { describe, expect, test } from 'vitest';
import { acpiTables } from '../src/firmware/acpi.ts';
import { device, eisaId, integer, name, packageOf, scope, text } from '../src/firmware/aml.ts';
import { biosDataArea } from '../src/firmware/bios-data.ts';
import { resourceTemplate } from '../src/firmware/resources.ts';

const sum = (bytes: Uint8Array): number => bytes.reduce((total, byte) => total + byte, 0) & 0xff;

describe.each([1, 4, 64, 255])('ACPI tables of %i processors', (count) => {
  const apicIds = Array.from({ length: count }, (_, i) => i);
  const { block, rsdp, tables } = acpiTables(apicIds);
  const view = new DataView(block.bytes.buffer);
  const at = (address: number): number => address - block.address;
  const signature = (address: number): string =>
    String.fromCharCode(...block.bytes.subarray(at(address), at(address) + 4));
  const tableAt = (address: number): Uint8Array =>
    block.bytes.subarray(at(address), at(address) + view.getUint32(at(address) + 4, true));

  test('lie in the BIOS area, one behind the other, with right checksums', () => {
    expect(block.address + block.memorySize).toBeLessThanOrEqual(0x10_0000);
    let end = rsdp.address + rsdp.bytes.length;
    for (const { address, bytes, signature } of tables) {
      expect(address).toBeGreaterThanOrEqual(end);
      end = address + bytes.length;
      if (signature !== 'FACS') expect(sum(bytes), signature).toBe(0);
      expect(new DataView(bytes.buffer).getUint32(4, true), signature).toBe(bytes.length);
    }
    expect(sum(rsdp.bytes.subarray(0, 20))).toBe(0);
    expect(sum(rsdp.bytes)).toBe(0);
  });

  test('are found from the root pointer, by RSDT and XSDT', () => {
    expect(String.fromCharCode(...block.bytes.subarray(0, 8))).toBe('RSD PTR ');
    const rsdt = view.getUint32(16, true);
    const xsdt = Number(view.getBigUint64(24, true));
    const short = Array.from({ length: 4 }, (_, i) => view.getUint32(at(rsdt) + 36 + 4 * i, true));
    const long = Array.from({ length: 4 }, (_, i) => Number(view.getBigUint64(at(xsdt) + 36 + 8 * i, true)));
    expect([signature(rsdt), signature(xsdt)]).toEqual(['RSDT', 'XSDT']);
    expect(short.map(signature)).toEqual(['FACP', 'APIC', 'HPET', 'MCFG']);
    expect(long).toEqual(short);
    const facp = at(short[0]);
    expect(signature(view.getUint32(facp + 36, true))).toBe('FACS');
    expect(view.getUint32(facp + 36, true) % 64).toBe(0);
    expect(signature(view.getUint32(facp + 40, true))).toBe('DSDT');
    // Reset register: I/O, 8 bits, CF9h, value 6.
    expect([...block.bytes.subarray(facp + 116, facp + 129)]).toEqual([
      1, 8, 0, 1, 0xf9, 0xc, 0, 0, 0, 0, 0, 0, 6,
    ]);
  });

  test('the MADT names every processor and the wiring', () => {
    const madt = tableAt(view.getUint32(at(view.getUint32(16, true)) + 40, true));
    const entries: Uint8Array[] = [];
    for (let offset = 44; offset < madt.length; offset += madt[offset + 1])
      entries.push(madt.subarray(offset, offset + madt[offset + 1]));
    const kinds = entries.map(([kind]) => kind);
    expect(kinds).toEqual([...Array<number>(count).fill(0), 1, 2, 2, 4]);
    expect(entries.slice(0, count).map((entry) => [entry[2], entry[3], entry[4]])).toEqual(
      apicIds.map((id) => [id, id, 1]),
    );
    const [ioApic, timer, power, nmi] = entries.slice(count);
    expect([...ioApic]).toEqual([1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0]);
    expect([...timer]).toEqual([2, 10, 0, 0, 2, 0, 0, 0, 0, 0]);
    expect([...power]).toEqual([2, 10, 0, 9, 9, 0, 0, 0, 0xd, 0]);
    expect([...nmi]).toEqual([4, 6, 0xff, 0, 0, 1]);
  });

  test('every term of the DSDT ends where the one around it says', () => {
    const dsdt = tables.find((table) => table.signature === 'DSDT')?.bytes ?? new Uint8Array();
    const devices = devicesIn(dsdt, 36, dsdt.length);
    expect(devices.slice(count)).toEqual(
      ['PCI0', 'PCI0.COM1', 'PCI0.RTC_', 'PCI0.KBD_', 'PCI0.MOU_', 'MBRD', 'HPET'].map(
        (name) => `\\_SB_.${name}`,
      ),
    );
    expect(new Set(devices).size).toBe(count + 7);
  });
});

test('processors beyond APIC ID 254 are named as x2APICs', () => {
  const { tables } = acpiTables([0, 300]);
  const madt = tables.find(({ signature }) => signature === 'APIC')?.bytes ?? new Uint8Array();
  expect([...madt.subarray(52, 68)]).toEqual([9, 16, 0, 0, 44, 1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
  expect([...madt.subarray(-12)]).toEqual([10, 12, 0, 0, 255, 255, 255, 255, 1, 0, 0, 0]);
});

test('too many processors are refused', () => {
  expect(() => acpiTables(Array.from({ length: 4096 }, (_, i) => i))).toThrow('do not fit');
});

/** Paths of the devices in AML between two offsets, each term read to its end; throws where a term is none or is longer than what holds it. */
function devicesIn(bytes: Uint8Array, begin: number, end: number, path = ''): string[] {
  const found: string[] = [];
  let at = begin;
  const segment = (): string => {
    at += 4;
    return String.fromCharCode(...bytes.subarray(at - 4, at));
  };
  const nameString = (): string => {
    let name = '';
    if (bytes[at] === 0x5c) {
      at++;
      name = '\\';
    }
    const isDual = bytes[at] === 0x2e;
    if (isDual) at++;
    return name + (isDual ? `${segment()}.${segment()}` : segment());
  };
  const sized = (): number => {
    const start = at;
    const extra = bytes[at] >> 6;
    let length = extra === 0 ? bytes[at] : bytes[at] & 15;
    for (let i = 0; i < extra; i++) length |= bytes[++at] << (4 + 8 * i);
    at++;
    if (start + length > end) throw new Error(`the term at ${start} ends behind what holds it`);
    return start + length;
  };
  const value = (): void => {
    const opcode = bytes[at++];
    const sizes = new Map([
      [0, 0],
      [1, 0],
      [0x0a, 1],
      [0x0b, 2],
      [0x0c, 4],
    ]);
    const size = sizes.get(opcode);
    if (size !== undefined) at += size;
    else if (opcode === 0x0d) at = bytes.indexOf(0, at) + 1;
    else if (opcode === 0x11) at = sized();
    else if (opcode === 0x12) {
      const last = sized();
      for (let count = bytes[at++]; count > 0; count--) value();
      if (at !== last) throw new Error(`the package at ${last} is not full`);
    } else throw new Error(`0x${opcode.toString(16)} at ${at - 1} begins no value`);
  };
  while (at < end) {
    const opcode = bytes[at++];
    if (opcode === 8) {
      nameString();
      value();
    } else if (opcode === 0x14) at = sized();
    else if (opcode === 0x10 || (opcode === 0x5b && bytes[at++] === 0x82)) {
      const last = sized();
      const name = `${path}${nameString()}`;
      if (opcode !== 0x10) found.push(name);
      found.push(...devicesIn(bytes, at, last, `${name}.`));
      at = last;
    } else throw new Error(`0x${opcode.toString(16)} at ${at - 1} begins no term`);
  }
  return found;
}

describe('AML', () => {
  test.each([
    [integer(0), [0]],
    [integer(1), [1]],
    [integer(255), [0x0a, 255]],
    [integer(0x1234), [0x0b, 0x34, 0x12]],
    [integer(0xdeadbeef), [0x0c, 0xef, 0xbe, 0xad, 0xde]],
    [text('ab'), [0x0d, 0x61, 0x62, 0]],
    // ACPI 6.5 §19.3.4: EISAID("PNP0A08").
    [eisaId('PNP0A08'), [0x0c, 0x41, 0xd0, 0x0a, 0x08]],
    [name('\\_S5', integer(7)), [8, 0x5c, 0x5f, 0x53, 0x35, 0x5f, 0x0a, 7]],
    [packageOf(integer(0), integer(1)), [0x12, 4, 2, 0, 1]],
    [device('A'), [0x5b, 0x82, 5, 0x41, 0x5f, 0x5f, 0x5f]],
    [scope('\\'), [0x10, 3, 0x5c, 0]],
    [resourceTemplate(), [0x11, 5, 0x0a, 2, 0x79, 0]],
  ])('term %#', (encoded, bytes) => {
    expect(encoded).toEqual(bytes);
  });

  test('lengths of one, two and three bytes count themselves', () => {
    const heads = [58, 59, 4089, 4090].map((bytes) => scope('A', Array<number>(bytes).fill(1)).slice(1, 4));
    expect(heads[0][0]).toBe(0x3f);
    expect(heads[1].slice(0, 2)).toEqual([0x41, 4]);
    expect(heads[2].slice(0, 2)).toEqual([0x4f, 0xff]);
    expect(heads[3]).toEqual([0x81, 0, 1]);
  });

  test('names that are none', () => {
    expect(() => name('abc', integer(0))).toThrow('no name of ACPI');
    expect(() => name('TOOLONG', integer(0))).toThrow('no name of ACPI');
  });
});

test('the BIOS data area tells of COM1, the extended area and 639 KiB', () => {
  const { address, bytes } = biosDataArea();
  const view = new DataView(bytes.buffer);
  expect([address, ...[0, 0x0e, 0x13].map((at) => view.getUint16(at, true))]).toEqual([
    0x400, 0x3f8, 0x9fc0, 639,
  ]);
});
