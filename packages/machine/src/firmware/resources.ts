import { type Aml, buffer, littleEndian } from './aml.ts';

/*
 * Resource descriptors (ACPI 6.5 §6.4): what a device decodes and which interrupts it raises. Windows are a bridge's: it hands them on.
 */

/** Resource type of the address space descriptors (§6.4.3.5). */
const Space = { memory: 0, io: 1, bus: 2 } as const;

/** Least and greatest address are fixed, decoding is positive, and the device is the one that hands on: "resource producer". */
const producerFlags = 0x0c;
const readWrite = 1;
/** Both the ISA and the other ranges. */
const entireRange = 3;

/** Ports of a device, decoded with 16 bits. */
export function ioPorts(first: number, count: number): Aml {
  return [0x47, 1, ...littleEndian(first, 2), ...littleEndian(first, 2), 1, count];
}

/** An edge-triggered, active-high interrupt that nobody shares. */
export function isaInterrupt(line: number): Aml {
  return [0x22, ...littleEndian(1 << line, 2)];
}

/** Register pages of a device. */
export function fixedMemory(address: number, bytes: number): Aml {
  return [0x86, 9, 0, readWrite, ...littleEndian(address, 4), ...littleEndian(bytes, 4)];
}

/** Buses behind a host bridge. */
export function busWindow(first: number, last: number): Aml {
  return addressSpace(0x88, 2, Space.bus, 0, first, last);
}

/** Ports behind a host bridge. */
export function ioWindow(first: number, last: number): Aml {
  return addressSpace(0x88, 2, Space.io, entireRange, first, last);
}

/** Memory below 4 GiB behind a host bridge, not cacheable. */
export function memoryWindow(first: number, last: number): Aml {
  return addressSpace(0x87, 4, Space.memory, readWrite, first, last);
}

function addressSpace(
  tag: number,
  width: 2 | 4,
  type: number,
  flags: number,
  first: number,
  last: number,
): Aml {
  const numbers = [0, first, last, 0, last - first + 1];
  return [
    tag,
    ...littleEndian(3 + 5 * width, 2),
    type,
    producerFlags,
    flags,
    ...numbers.flatMap((value) => littleEndian(value, width)),
  ];
}

/** Descriptors and the end tag; its checksum 0 says that there is none. */
export function resourceTemplate(...descriptors: readonly Aml[]): Aml {
  return buffer([...descriptors.flat(), 0x79, 0]);
}
