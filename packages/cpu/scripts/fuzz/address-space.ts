import { codeAddress, scratchAddress } from '../../test/harness/host-state.ts';

/*
 * What fuzz programs find in memory. The scratch page and the code are where the native harness has them, so that its cases fit. Pages that
 * follow each other are apart in physical memory; code is mapped twice.
 */

export const pageSize = 4096;
export { codeAddress, scratchAddress };
/** Two pages; what is before them is not mapped. */
export const scratchPages = 2;
/** Behind the scratch pages: may be read only. */
export const constantAddress: number = scratchAddress + scratchPages * pageSize;
/** Two pages between unmapped ones. */
export const stackAddress: number = scratchAddress + 6 * pageSize;
export const stackPages = 2;
export const stackTop: number = stackAddress + pageSize + 0x800;
/** Counters of loops and tables of addresses. */
export const dataAddress: number = scratchAddress + 10 * pageSize;
/** Page tables of the pages at the scratch address and at the code, for programs that change them. */
export const scratchTable: number = scratchAddress + 12 * pageSize;
export const codeTable: number = scratchAddress + 13 * pageSize;
/** Of the supervisor: tables of segments and interrupts, task state, stack; and a handler that returns at once. */
export const systemAddress: number = scratchAddress + 14 * pageSize;
export const codePages = 4;
/** The code again. */
export const aliasAddress: number = codeAddress + 0x10_0000;

export const ramSize = 0x2_0000;
export const tables = 0x1000;

interface Mapping {
  readonly linear: number;
  readonly physical: number;
  readonly isWritable: boolean;
  readonly isSystem?: boolean;
}

const code: readonly number[] = [0x12000, 0x10000, 0x13000, 0x11000];
const mappings: readonly Mapping[] = [
  { linear: scratchAddress, physical: 0x9000, isWritable: true },
  { linear: scratchAddress + pageSize, physical: 0x7000, isWritable: true },
  { linear: constantAddress, physical: 0x8000, isWritable: false },
  { linear: stackAddress, physical: 0xb000, isWritable: true },
  { linear: stackAddress + pageSize, physical: 0xa000, isWritable: true },
  { linear: dataAddress, physical: 0xc000, isWritable: true },
  { linear: scratchTable, physical: tables + 0x3000, isWritable: true },
  { linear: codeTable, physical: tables + 0x4000, isWritable: true },
  { linear: systemAddress, physical: 0xe000, isWritable: true, isSystem: true },
  ...code.map((physical, i) => ({ linear: codeAddress + i * pageSize, physical, isWritable: true })),
  ...code.map((physical, i) => ({ linear: aliasAddress + i * pageSize, physical, isWritable: true })),
];

/** Physical address of a mapped linear one, or -1. */
export function physicalOf(linear: number): number {
  const page = linear - (linear % pageSize);
  const found = mappings.find((mapping) => mapping.linear === page);
  return found === undefined ? -1 : found.physical + (linear - page);
}

/** Writes the page tables into RAM. */
export function writeTables(ram: Uint8Array): void {
  const view = new DataView(ram.buffer, ram.byteOffset);
  const user = 7;
  const level3 = tables + 0x1000;
  const level2 = tables + 0x2000;
  view.setUint32(tables, level3 | user, true);
  view.setUint32(level3, level2 | user, true);
  for (const { linear, physical, isWritable, isSystem = false } of mappings) {
    const table = tables + (linear < codeAddress ? 0x3000 : 0x4000);
    view.setUint32(level2 + 8 * (linear >>> 21), table | user, true);
    view.setUint32(
      table + 8 * ((linear >>> 12) & 511),
      physical | (isSystem ? 3 : isWritable ? user : 5),
      true,
    );
  }
}

/** Offsets in the system page. */
export const globalTable = 0;
export const taskState = 0x80;
export const interruptTable = 0x100;
const interruptHandler = 0xc00;
const systemStack = 0x1000;
/** The vector that interrupts have. */
export const interruptVector = 0x40;
/** Selectors; those of CPL 3 with RPL 3. */
export const selectors = { code0: 0x08, data0: 0x10, code3: 0x1b, data3: 0x23 } as const;

/** Writes the system page into RAM: one gate, for {@link interruptVector}. */
export function writeSystem(ram: Uint8Array): void {
  const start = physicalOf(systemAddress);
  const view = new DataView(ram.buffer, ram.byteOffset + start);
  const descriptors = [
    0n,
    0x00af9b000000ffffn,
    0x00cf93000000ffffn,
    0x00affb000000ffffn,
    0x00cff3000000ffffn,
  ];
  for (const [i, descriptor] of descriptors.entries())
    view.setBigUint64(globalTable + 8 * i, descriptor, true);
  view.setUint32(taskState + 4, systemAddress + systemStack, true);
  const gate = interruptTable + 16 * interruptVector;
  const handler = systemAddress + interruptHandler;
  view.setUint16(gate, handler & 0xffff, true);
  view.setUint16(gate + 2, selectors.code0, true);
  view.setUint16(gate + 4, 0x8e00, true);
  view.setUint16(gate + 6, handler >>> 16, true);
  // INC DWORD [counter]; IRETQ.
  const code = [0xff, 0x04, 0x25, 0, 0, 0, 0, 0x48, 0xcf];
  ram.set(code, start + interruptHandler);
  view.setUint32(interruptHandler + 3, systemAddress + interruptHandler + 0x80, true);
}
