import type { GuestMemory, PciFunction } from '../../src/index.ts';
import { PciBus } from '../../src/index.ts';

/** RAM from address 0, and nothing behind it. */
export class Ram implements GuestMemory {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Accesses so far. */
  accesses = 0;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
    this.view = new DataView(this.bytes.buffer);
  }

  read(address: number, target: Uint8Array): boolean {
    if (!this.has(address, target.length)) return false;
    target.set(this.bytes.subarray(address, address + target.length));
    return true;
  }

  write(address: number, source: Uint8Array): boolean {
    if (!this.has(address, source.length)) return false;
    this.bytes.set(source, address);
    return true;
  }

  /** Devices promise addresses below 2^52; tests hold them to it. */
  private has(address: number, length: number): boolean {
    this.accesses++;
    if (!Number.isInteger(address) || address < 0 || address >= 2 ** 52)
      throw new Error(`address ${address}`);
    return address + length <= this.bytes.length;
  }
}

interface Range {
  readonly address: number;
  readonly size: number;
  readonly handler: {
    read(offset: number, size: number): number;
    write(offset: number, size: number, value: number): void;
  };
}

/** A board: an address space in which base address registers put their ranges, interrupt lines, a sink of messages. */
export class Board {
  readonly memory: Range[] = [];
  readonly io: Range[] = [];
  readonly lines: boolean[] = [false, false, false, false];
  readonly messages: (readonly [address: number, data: number])[] = [];
  readonly bus: PciBus;

  constructor() {
    const put = (list: Range[]) => (address: number, size: number, handler: Range['handler']) => {
      const range = { address, size, handler };
      list.push(range);
      return { remove: () => void list.splice(list.indexOf(range), 1) };
    };
    const line = (i: number) => ({ set: (level: boolean) => void (this.lines[i] = level) });
    this.bus = new PciBus({
      space: { mapMemory: put(this.memory), mapIo: put(this.io) },
      interrupts: [line(0), line(1), line(2), line(3)],
    });
  }

  message(address: number, data: number): void {
    this.messages.push([address, data]);
  }

  read(address: number, size: number): number {
    const range = this.memory.find((one) => address >= one.address && address < one.address + one.size);
    const value = range === undefined ? -1 : range.handler.read(address - range.address, size);
    return size === 4 ? value >>> 0 : value & (2 ** (8 * size) - 1);
  }

  write(address: number, size: number, value: number): void {
    const range = this.memory.find((one) => address >= one.address && address < one.address + one.size);
    range?.handler.write(address - range.address, size, value);
  }
}

/** Offsets of a function's capabilities, in order. */
export function capabilitiesOf(pciFunction: PciFunction): { id: number; at: number }[] {
  const found = [];
  for (let at = pciFunction.readConfig(0x34, 1); at !== 0; at = pciFunction.readConfig(at + 1, 1))
    found.push({ id: pciFunction.readConfig(at, 1), at });
  return found;
}

/** A sequence that its seed determines. */
export function sequence(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}
