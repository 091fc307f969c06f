import type { PortHandler } from '../port-map.ts';
import { requireVersion } from '../snapshot-version.ts';
import type { GuestMemory } from '../virtio/guest-memory.ts';
import { DmaControl, FwCfgKey, Port } from './registers.ts';
import type { FwCfgState } from './state.ts';

export interface FwCfgInit {
  /** Bytes of RAM. */
  readonly ramSize: number;
  readonly cpus: number;
  readonly memory: GuestMemory;
}

const nameLimit = 55;
const directoryEntry = 64;
const fileLimit = 64;
const chunk = 65536;
/** Zeros that one DMA access reads behind the end of an item; more is an error. */
const zerosLimit = 1024 * 1024;
/** What the DMA address reads as, big-endian. */
const dmaSignature = 'QEMU CFG';

/** QEMU's firmware configuration interface: named items that firmware and kernels read at ports 510h to 51Bh or by DMA. */
export class FwCfg implements PortHandler {
  private readonly items = new Map<number, Uint8Array>();
  private readonly files: { readonly name: string; readonly key: number }[] = [];
  private readonly memory: GuestMemory;
  private key = 0;
  private offset = 0;
  private dmaHigh = 0;

  constructor({ ramSize, cpus, memory }: FwCfgInit) {
    this.memory = memory;
    this.set(FwCfgKey.signature, Uint8Array.of(0x51, 0x45, 0x4d, 0x55));
    this.set(FwCfgKey.features, Uint8Array.of(3, 0, 0, 0));
    const size = new DataView(new ArrayBuffer(8));
    size.setUint32(0, ramSize % 0x1_0000_0000, true);
    size.setUint32(4, Math.floor(ramSize / 0x1_0000_0000), true);
    this.set(FwCfgKey.ramSize, new Uint8Array(size.buffer));
    this.set(FwCfgKey.cpus, Uint8Array.of(cpus & 0xff, cpus >> 8));
    this.writeDirectory();
  }

  /** Sets an item with a number of its own. @param key 0 to FFFFh */
  set(key: number, bytes: Uint8Array): void {
    this.items.set(key, bytes);
  }

  /** Adds a file, or replaces the one of that name. @param name up to 55 characters of ASCII, such as `etc/e820`. @throws RangeError for a longer one, or the 65th */
  add(name: string, bytes: Uint8Array): void {
    if (name.length === 0 || name.length > nameLimit)
      throw new RangeError(`file name "${name}": 1 to ${nameLimit} characters are allowed`);
    let file = this.files.find((other) => other.name === name);
    if (file === undefined) {
      if (this.files.length === fileLimit)
        throw new RangeError(`file "${name}": there are ${fileLimit} already`);
      file = { name, key: FwCfgKey.firstFile + this.files.length };
      this.files.push(file);
    }
    this.set(file.key, bytes);
    this.writeDirectory();
  }

  read(offset: number, bytes: number): number {
    let value = 0;
    for (let i = 0; i < bytes; i++) value |= this.readByte(offset + i) << (8 * i);
    return value;
  }

  write(offset: number, bytes: number, value: number): void {
    if (offset === Port.selector && bytes === 2) this.select(value & 0xffff);
    else if (bytes === 4 && offset === Port.dma) this.dmaHigh = swap(value);
    else if (bytes === 4 && offset === Port.dma + 4) {
      const address = this.dmaHigh * 0x1_0000_0000 + swap(value);
      this.dmaHigh = 0;
      this.access(address);
    }
  }

  reset(): void {
    this.key = this.offset = this.dmaHigh = 0;
  }

  save(): FwCfgState {
    return { version: 1, key: this.key, offset: this.offset, dmaHigh: this.dmaHigh };
  }

  /** @throws SnapshotVersionError */
  restore(state: FwCfgState): void {
    requireVersion('fw_cfg', state, 1);
    this.key = state.key;
    this.offset = state.offset;
    this.dmaHigh = state.dmaHigh;
  }

  private select(key: number): void {
    this.key = key;
    this.offset = 0;
  }

  private readByte(port: number): number {
    if (port === Port.data) {
      const byte = this.items.get(this.key)?.[this.offset];
      if (byte === undefined) return 0;
      this.offset++;
      return byte;
    }
    return port >= Port.dma && port < Port.end ? dmaSignature.charCodeAt(port - Port.dma) : 0xff;
  }

  /** Carries out the access that a structure of 16 bytes, big-endian, describes: control, length, address. */
  private access(address: number): void {
    const command = new Uint8Array(16);
    if (address + 16 > 2 ** 52 || !this.memory.read(address, command)) return;
    const view = new DataView(command.buffer);
    const control = view.getUint32(0);
    const length = view.getUint32(4);
    const high = view.getUint32(8);
    const target = high * 0x1_0000_0000 + view.getUint32(12);
    if ((control & DmaControl.select) !== 0) this.select(control >>> 16);
    let isDone = true;
    if ((control & DmaControl.read) !== 0) isDone = high < 0x100000 && this.copy(target, length);
    else if ((control & DmaControl.write) !== 0) isDone = false;
    else if ((control & DmaControl.skip) !== 0) this.advance(length);
    view.setUint32(0, isDone ? 0 : DmaControl.error);
    this.memory.write(address, command.subarray(0, 4));
  }

  private advance(length: number): void {
    this.offset = Math.min(this.offset + length, this.items.get(this.key)?.length ?? 0);
  }

  /** @returns whether all of it went to RAM */
  private copy(target: number, length: number): boolean {
    const item = this.items.get(this.key) ?? new Uint8Array(0);
    const available = Math.max(0, Math.min(length, item.length - this.offset));
    if (length - available > zerosLimit || target + length > 2 ** 52) return false;
    const { offset } = this;
    this.advance(length);
    if (!this.memory.write(target, item.subarray(offset, offset + available))) return false;
    for (let done = available; done < length; done += chunk)
      if (!this.memory.write(target + done, new Uint8Array(Math.min(chunk, length - done)))) return false;
    return true;
  }

  /** Number of files; for each its size, its key and its name, all big-endian. */
  private writeDirectory(): void {
    const files = [...this.files].sort((a, b) => (a.name < b.name ? -1 : 1));
    const bytes = new Uint8Array(4 + directoryEntry * files.length);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, files.length);
    for (const [i, { name, key }] of files.entries()) {
      const at = 4 + directoryEntry * i;
      view.setUint32(at, this.items.get(key)?.length ?? 0);
      view.setUint16(at + 4, key);
      for (let j = 0; j < name.length; j++) bytes[at + 8 + j] = name.charCodeAt(j);
    }
    this.set(FwCfgKey.fileDirectory, bytes);
  }
}

function swap(value: number): number {
  return ((value << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)) >>> 0;
}
