import type { VirtioMmio, VirtioPci } from '../../src/index.ts';
import { type Board, capabilitiesOf, type Ram } from './surroundings.ts';

/** The registers that a driver needs, on either transport. */
export interface DriverTransport {
  status: number;
  deviceFeatures(word: number): number;
  acceptFeatures(word: number, value: number): void;
  setUpQueue(index: number, size: number, areas: readonly [number, number, number]): void;
  notify(queue: number): void;
  readConfig(offset: number, size: number): number;
  writeConfig(offset: number, size: number, value: number): void;
  /** Cause of the interrupt, and acknowledges it. */
  takeInterrupt(): number;
}

/** Finds the structures by the capabilities, as a driver has to (virtio 1.2, 4.1.4). */
export function pciTransport(device: VirtioPci, board: Board): DriverTransport {
  const { pciFunction } = device;
  const structures = new Map<number, { base: number; multiplier: number }>();
  for (const { id, at } of capabilitiesOf(pciFunction)) {
    const type = pciFunction.readConfig(at + 3, 1);
    const bar = pciFunction.readConfig(at + 4, 1);
    if (id !== 9 || structures.has(type)) continue;
    const low = pciFunction.readConfig(0x10 + 4 * bar, 4) & ~15;
    const base = (low >>> 0) + pciFunction.readConfig(at + 8, 4);
    structures.set(type, { base, multiplier: type === 2 ? pciFunction.readConfig(at + 16, 4) : 0 });
  }
  const base = (type: number) => structures.get(type)!.base;
  const common = base(1);
  return {
    get status() {
      return board.read(common + 20, 1);
    },
    set status(value) {
      board.write(common + 20, 1, value);
    },
    deviceFeatures(word) {
      board.write(common, 4, word);
      return board.read(common + 4, 4);
    },
    acceptFeatures(word, value) {
      board.write(common + 8, 4, word);
      board.write(common + 12, 4, value);
    },
    setUpQueue(index, size, areas) {
      board.write(common + 22, 2, index);
      board.write(common + 24, 2, size);
      for (const [i, address] of areas.entries()) {
        board.write(common + 32 + 8 * i, 4, address);
        board.write(common + 36 + 8 * i, 4, Math.floor(address / 2 ** 32));
      }
      board.write(common + 28, 2, 1);
    },
    notify(queue) {
      board.write(common + 22, 2, queue);
      const { base: start, multiplier } = structures.get(2)!;
      board.write(start + multiplier * board.read(common + 30, 2), 2, queue);
    },
    readConfig: (offset, size) => board.read(base(4) + offset, size),
    writeConfig: (offset, size, value) => board.write(base(4) + offset, size, value),
    takeInterrupt: () => board.read(base(3), 1),
  };
}

export function mmioTransport(device: VirtioMmio): DriverTransport {
  return {
    get status() {
      return device.read(0x70, 4);
    },
    set status(value) {
      device.write(0x70, 4, value);
    },
    deviceFeatures(word) {
      device.write(0x14, 4, word);
      return device.read(0x10, 4) >>> 0;
    },
    acceptFeatures(word, value) {
      device.write(0x24, 4, word);
      device.write(0x20, 4, value);
    },
    setUpQueue(index, size, areas) {
      device.write(0x30, 4, index);
      device.write(0x38, 4, size);
      for (const [i, address] of areas.entries()) {
        device.write(0x80 + 16 * i, 4, address);
        device.write(0x84 + 16 * i, 4, Math.floor(address / 2 ** 32));
      }
      device.write(0x44, 4, 1);
    },
    notify: (queue) => device.write(0x50, 4, queue),
    readConfig: (offset, size) => device.read(0x100 + offset, size),
    writeConfig: (offset, size, value) => device.write(0x100 + offset, size, value),
    takeInterrupt() {
      const cause = device.read(0x60, 4);
      device.write(0x64, 4, cause);
      return cause;
    },
  };
}

export const eventIndexFeature: number = 1 << 29;
export const indirectFeature: number = 1 << 28;

/** @returns whether the device took the features (3.1.1) */
export function negotiate(transport: DriverTransport, features: number, highFeatures = 1): boolean {
  transport.status = 0;
  transport.status |= 1;
  transport.status |= 2;
  transport.acceptFeatures(0, features);
  transport.acceptFeatures(1, highFeatures);
  transport.status |= 8;
  return (transport.status & 8) !== 0;
}

/** A piece of a chain: bytes for the device to read, or room for it to write. */
export type Piece = { readonly at: number; readonly length: number; readonly isWritable?: boolean };

/** The driver's side of a split queue, with all its areas in one place. */
export class DriverQueue {
  private nextDescriptor = 0;
  private availableIndex = 0;
  private seen = 0;
  readonly areas: readonly [number, number, number];

  constructor(
    readonly ram: Ram,
    readonly base: number,
    readonly size: number,
  ) {
    const driver = base + 16 * size;
    const device = (driver + 6 + 2 * size + 3) & ~3;
    this.areas = [base, driver, device];
  }

  /** Where the areas end. */
  get end(): number {
    return this.areas[2] + 6 + 8 * this.size;
  }

  descriptor(index: number, address: number, length: number, flags: number, next: number): void {
    writeDescriptor(this.ram, this.base + 16 * index, address, length, flags, next);
  }

  /** Publishes a chain. @returns its head */
  add(pieces: readonly Piece[], indirectTable?: number): number {
    const { ram, size } = this;
    const flagsOf = (i: number) => (pieces[i].isWritable ? 2 : 0) | (i < pieces.length - 1 ? 1 : 0);
    const head = this.nextDescriptor % size;
    if (indirectTable !== undefined) {
      for (const [i, { at, length }] of pieces.entries())
        writeDescriptor(ram, indirectTable + 16 * i, at, length, flagsOf(i), i + 1);
      this.descriptor(head, indirectTable, 16 * pieces.length, 4, 0);
      this.nextDescriptor++;
    } else {
      for (const [i, { at, length }] of pieces.entries())
        this.descriptor(
          (this.nextDescriptor + i) % size,
          at,
          length,
          flagsOf(i),
          (this.nextDescriptor + i + 1) % size,
        );
      this.nextDescriptor += pieces.length;
    }
    this.offer(head);
    return head;
  }

  offer(head: number): void {
    const { view } = this.ram;
    view.setUint16(this.areas[1] + 4 + 2 * (this.availableIndex % this.size), head, true);
    this.availableIndex = (this.availableIndex + 1) & 0xffff;
    view.setUint16(this.areas[1] + 2, this.availableIndex, true);
  }

  /** The next entry of the used ring; undefined: nothing new. */
  take(): { head: number; length: number } | undefined {
    const { view } = this.ram;
    if (view.getUint16(this.areas[2] + 2, true) === this.seen) return undefined;
    const at = this.areas[2] + 4 + 8 * (this.seen % this.size);
    this.seen = (this.seen + 1) & 0xffff;
    return { head: view.getUint32(at, true), length: view.getUint32(at + 4, true) };
  }

  /** Index of used entries after which the driver wants an interrupt. */
  set usedEvent(index: number) {
    this.ram.view.setUint16(this.areas[1] + 4 + 2 * this.size, index, true);
  }

  /** Index of available entries after which the device wants a notification. */
  get availableEvent(): number {
    return this.ram.view.getUint16(this.areas[2] + 4 + 8 * this.size, true);
  }
}

export function writeDescriptor(
  { view }: Ram,
  at: number,
  address: number,
  length: number,
  flags: number,
  next: number,
): void {
  view.setUint32(at, address % 2 ** 32, true);
  view.setUint32(at + 4, Math.floor(address / 2 ** 32), true);
  view.setUint32(at + 8, length, true);
  view.setUint16(at + 12, flags, true);
  view.setUint16(at + 14, next, true);
}

/** A request to a disk: header, data and status at `at`. @returns the pieces, status last */
export function blockRequest(
  ram: Ram,
  at: number,
  { type, sector, read = 0, write = new Uint8Array(0) }: BlockRequest,
): Piece[] {
  ram.view.setUint32(at, type, true);
  ram.view.setUint32(at + 4, 0, true);
  ram.view.setUint32(at + 8, sector % 2 ** 32, true);
  ram.view.setUint32(at + 12, Math.floor(sector / 2 ** 32), true);
  ram.view.setUint8(at + 16, 0xee);
  ram.bytes.set(write, at + 32);
  const pieces: Piece[] = [{ at, length: 16 }];
  if (write.length > 0) pieces.push({ at: at + 32, length: write.length });
  if (read > 0) pieces.push({ at: at + 32, length: read, isWritable: true });
  return [...pieces, { at: at + 16, length: 1, isWritable: true }];
}

export interface BlockRequest {
  readonly type: number;
  readonly sector: number;
  /** Bytes to be read. */
  readonly read?: number;
  readonly write?: Uint8Array;
}
