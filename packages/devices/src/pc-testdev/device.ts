import type { InterruptLine } from '../interrupt-line.ts';
import type { MmioHandler } from '../pci/ports.ts';
import type { BytePorts, PortHandler } from '../port-map.ts';
import { requireVersion } from '../snapshot-version.ts';
import type { PcTestDeviceState } from './state.ts';

export interface PcTestDevicePorts {
  /** A global system interrupt. @param input 0 to 23 @returns undefined where there is none */
  line(input: number): InterruptLine | undefined;
}

/** Bytes of its memory. */
const memorySize = 0x1_0000;
const lineCount = 24;

/** QEMU's pc-testdev, which kvm-unit-tests use: a latch, interrupt lines, and memory that is MMIO. */
export class PcTestDevice {
  /** E0h, four ports: a latch of 32 bits. */
  readonly latch: PortHandler = {
    read: (offset, bytes) => this.readLatch(offset, bytes),
    write: (offset, bytes, value) => this.writeLatch(offset, bytes, value),
  };
  /** E4h, four ports: flushes the page at the address that is written; there is nothing to flush here. */
  readonly flush: PortHandler = { read: () => 0, write: () => {} };
  /** E8h, four ports: the same latch by bytes. */
  readonly byteLatch: BytePorts = {
    read: (offset) => this.readLatch(offset, 1),
    write: (offset, value) => this.writeLatch(offset, 1, value),
  };
  /** 2000h, 24 ports: the level of each line. */
  readonly lines: PortHandler = {
    read: () => 0,
    write: (offset, _bytes, value) => this.writeLine(offset, value !== 0),
  };
  /** FF000000h, 64 KiB. */
  readonly memory: MmioHandler = {
    read: (offset, size) => readBytes(this.bytes, offset & (memorySize - 1), size),
    write: (offset, size, value) => writeBytes(this.bytes, offset & (memorySize - 1), size, value),
  };
  private readonly bytes = new Uint8Array(memorySize);
  private latched = 0;
  private levels = 0;

  constructor(private readonly ports: PcTestDevicePorts) {}

  /** Lines fall; latch and memory stay, as RAM would. */
  reset(): void {
    for (let input = 0; input < lineCount; input++)
      if (((this.levels >> input) & 1) !== 0) this.writeLine(input, false);
  }

  save(): PcTestDeviceState {
    let end = memorySize;
    while (end > 0 && this.bytes[end - 1] === 0) end--;
    return { version: 1, latch: this.latched, levels: this.levels, bytes: [...this.bytes.subarray(0, end)] };
  }

  /** @throws SnapshotVersionError */
  restore(state: PcTestDeviceState): void {
    requireVersion('pc-testdev', state, 1);
    this.latched = state.latch;
    this.bytes.fill(0);
    this.bytes.set(state.bytes.slice(0, memorySize));
    const concerned = this.levels | state.levels;
    for (let input = 0; input < lineCount; input++)
      if (((concerned >> input) & 1) !== 0) this.writeLine(input, ((state.levels >> input) & 1) !== 0);
  }

  private readLatch(offset: number, bytes: number): number {
    const value = this.latched >>> (8 * (offset & 3));
    return bytes === 4 ? value : value & (bytes === 2 ? 0xffff : 0xff);
  }

  private writeLatch(offset: number, bytes: number, value: number): void {
    const shift = 8 * (offset & 3);
    const mask = (bytes === 4 ? -1 : bytes === 2 ? 0xffff : 0xff) << shift;
    this.latched = (this.latched & ~mask) | ((value << shift) & mask);
  }

  private writeLine(input: number, level: boolean): void {
    this.levels = level ? this.levels | (1 << input) : this.levels & ~(1 << input);
    this.ports.line(input)?.set(level);
  }
}

function readBytes(bytes: Uint8Array, offset: number, size: number): number {
  let value = 0;
  for (let i = 0; i < size; i++) value |= (bytes[offset + i] ?? 0) << (8 * i);
  return value >>> 0;
}

function writeBytes(bytes: Uint8Array, offset: number, size: number, value: number): void {
  for (let i = 0; i < size; i++) bytes[offset + i] = value >>> (8 * i);
}
