import { Segment } from '../state/layout.ts';
import { attributeUnusable } from '../state/segment-cache.ts';
import { inLongMode } from './modes.ts';
import { addTo } from './operands.ts';
import type { SystemUnit } from './unit.ts';

/** Types of system descriptors, S = 0 (SDM vol. 3, table 3-2). In long mode the 32-bit ones are those of 64 bits, and the others are gone. */
export const SystemType = {
  tss16: 1,
  ldt: 2,
  busyTss16: 3,
  callGate16: 4,
  taskGate: 5,
  interruptGate16: 6,
  trapGate16: 7,
  tss: 9,
  busyTss: 11,
  callGate: 12,
  interruptGate: 14,
  trapGate: 15,
} as const;

/** Types 8 to 15 of a system descriptor are the 32-bit forms (64-bit ones in long mode), 0 to 7 the 16-bit forms. */
export const systemType32 = 8;
/** In a TSS descriptor's type: the task runs, or waits for one that it called. */
const busy = 2;

const address = new Int32Array(2);

/**
 * A descriptor as it was read from the GDT or an LDT (SDM vol. 3, 3.4.5 and 3.5): eight bytes as two words, and the upper half of the
 * base where it has sixteen bytes. Callers own one and reuse it.
 */
export class Descriptor {
  selector = 0;
  /** Bytes 3:0 and 7:4. */
  low = 0;
  high = 0;
  /** Bytes 11:8 of a system descriptor of 16 bytes: bits 63:32 of a base or offset; else 0. */
  upper = 0;
  /** Linear address in its table. */
  addressLow = 0;
  addressHigh = 0;

  get base(): number {
    return (this.low >>> 16) | ((this.high & 0xff) << 16) | (this.high & 0xff00_0000);
  }

  /** In bytes, scaled by G; as Int32. */
  get limit(): number {
    const limit = (this.low & 0xffff) | (this.high & 0xf_0000);
    return (this.high & 0x80_0000) !== 0 ? (limit << 12) | 0xfff : limit;
  }

  /** As the state's `segmentAttributes` has them. */
  get attributes(): number {
    return (this.high >>> 8) & 0xf0ff;
  }

  get type(): number {
    return (this.high >>> 8) & 15;
  }

  get privilege(): number {
    return (this.high >>> 13) & 3;
  }

  get isPresent(): boolean {
    return (this.high & 0x8000) !== 0;
  }

  /** S = 0: a table, a task state segment or a gate. */
  get isSystem(): boolean {
    return (this.high & 0x1000) === 0;
  }

  get isCode(): boolean {
    return (this.high & 0x1800) === 0x1800;
  }

  get isConformingCode(): boolean {
    return (this.high & 0x1c00) === 0x1c00;
  }

  /** Data, or code that may be read. */
  get isReadable(): boolean {
    return !this.isSystem && (this.high & 0xa00) !== 0x800;
  }

  get isWritableData(): boolean {
    return (this.high & 0x1a00) === 0x1200;
  }

  /** L of a code segment. */
  get isLong(): boolean {
    return (this.high & 0x20_0000) !== 0;
  }

  /** D of a code segment, B of a stack segment. */
  get isBig(): boolean {
    return (this.high & 0x40_0000) !== 0;
  }

  // Gates (SDM vol. 3, 5.8.3 and 6.11).

  get targetSelector(): number {
    return this.low >>> 16;
  }

  /** Offset, bits 31:0. */
  get targetOffset(): number {
    return (this.low & 0xffff) | (this.high & 0xffff_0000);
  }

  /** Parameters that a call gate copies. */
  get parameterCount(): number {
    return this.high & 31;
  }
}

/** Bits 15:2 of a selector are 0. */
export function isNull(selector: number): boolean {
  return (selector & 0xfffc) === 0;
}

/** Error code that names a selector (SDM vol. 3, 6.13). @param external EXT, 0 or 1 */
export function selectorError(selector: number, external = 0): number {
  return (selector & 0xfffc) | external;
}

/**
 * Reads the descriptor that a selector names, as a supervisor whatever the CPL.
 *
 * @returns false if it lies outside its table, or names an LDT and there is none
 * @throws GuestFault #PF
 */
export function readDescriptor(unit: SystemUnit, selector: number, out: Descriptor): boolean {
  const { state, memory } = unit;
  const index = selector & 0xfff8;
  if ((selector & 4) === 0) {
    if (index + 7 > state.get('tableLimit') >>> 0) return false;
    address[0] = state.low('tableBase');
    address[1] = state.high('tableBase');
  } else {
    if ((state.get('segmentAttributes', Segment.ldtr) & attributeUnusable) !== 0) return false;
    if (index + 7 > state.get('segmentLimit', Segment.ldtr) >>> 0) return false;
    address[0] = state.low('segmentBase', Segment.ldtr);
    address[1] = state.high('segmentBase', Segment.ldtr);
  }
  addTo(address, index, 0);
  if (!inLongMode(unit)) address[1] = 0;
  out.selector = selector;
  out.addressLow = address[0];
  out.addressHigh = address[1];
  out.upper = 0;
  memory.readPair(address[0], address[1], address, true);
  out.low = address[0];
  out.high = address[1];
  return true;
}

/**
 * Reads the second half of a descriptor of 16 bytes: LDT, TSS and call gate in long mode (SDM vol. 3, 3.5.2 and 5.8.3.1).
 *
 * @returns false if it lies outside the table, or the type field in it is not 0
 */
export function readUpperHalf(unit: SystemUnit, descriptor: Descriptor): boolean {
  const { state } = unit;
  const { selector } = descriptor;
  const limit = (selector & 4) === 0 ? state.get('tableLimit') : state.get('segmentLimit', Segment.ldtr);
  if ((selector & 0xfff8) + 15 > limit >>> 0) return false;
  descriptor.upper = readPart(unit, descriptor, 8);
  return (readPart(unit, descriptor, 12) & 0x1f00) === 0;
}

function readPart(unit: SystemUnit, descriptor: Descriptor, offset: number): number {
  address[0] = descriptor.addressLow;
  address[1] = descriptor.addressHigh;
  addTo(address, offset, 0);
  if (!inLongMode(unit)) address[1] = 0;
  return unit.memory.read(address[0], address[1], 4, true);
}

/** Sets the accessed bit of a code or data segment, in memory and here; no write if it is set (SDM vol. 3, 3.4.5.1). */
export function setAccessed(unit: SystemUnit, descriptor: Descriptor): void {
  if ((descriptor.high & 0x100) !== 0) return;
  writeType(unit, descriptor, descriptor.high | 0x100);
}

/** Sets or clears the busy bit of a TSS, in memory and here. */
export function setBusy(unit: SystemUnit, descriptor: Descriptor, isBusy: boolean): void {
  const bit = busy << 8;
  writeType(unit, descriptor, isBusy ? descriptor.high | bit : descriptor.high & ~bit);
}

/** Checks that `setBusy` or `setAccessed` can write. */
export function probeType(unit: SystemUnit, descriptor: Descriptor): void {
  typeAddress(unit, descriptor);
  unit.memory.probe(address[0], address[1], 1, true, true);
}

function writeType(unit: SystemUnit, descriptor: Descriptor, high: number): void {
  typeAddress(unit, descriptor);
  unit.memory.write(address[0], address[1], 1, (high >>> 8) & 0xff, true);
  descriptor.high = high;
}

function typeAddress(unit: SystemUnit, descriptor: Descriptor): void {
  address[0] = descriptor.addressLow;
  address[1] = descriptor.addressHigh;
  addTo(address, 5, 0);
  if (!inLongMode(unit)) address[1] = 0;
}
