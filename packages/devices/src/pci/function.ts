import type { InterruptLine } from '../interrupt-line.ts';
import type { PortHandler } from '../port-map.ts';
import { SnapshotMismatchError } from '../snapshot-mismatch.ts';
import { requireVersion } from '../snapshot-version.ts';
import type { AddressSpace, MmioHandler } from './ports.ts';
import { BaseAddress, Command, Config, Status } from './registers.ts';
import type { PciFunctionState } from './state.ts';

/** A range of memory or ports that the guest places. A 64-bit one takes `index` and the next. */
export type BaseAddressRegister =
  | {
      /** 0 to 5. */
      readonly index: number;
      readonly kind: 'memory';
      readonly width: 32 | 64;
      /** Bytes, a power of 2, 4096 to 2^31: a page is the least that a machine can map. */
      readonly size: number;
      readonly prefetchable?: boolean;
      readonly handler: MmioHandler;
    }
  | {
      readonly index: number;
      readonly kind: 'io';
      /** Ports, a power of 2, 4 to 256. */
      readonly size: number;
      readonly handler: PortHandler;
    };

export interface Capability {
  readonly id: number;
  /** What follows ID and next pointer. */
  readonly bytes: readonly number[];
  /** Bits that software may write, as long as `bytes`; absent: none. */
  readonly writable?: readonly number[];
  /** Before a read that touches the capability: the time to bring its bytes up to date. Offsets count from the ID. */
  beforeRead?(offset: number, size: number): void;
  /** After a write that touches the capability; not after `reset` and `restore`. */
  written?(offset: number, size: number): void;
}

export interface PciFunctionInit {
  readonly vendorId: number;
  readonly deviceId: number;
  readonly revision?: number;
  /** Base class, sub-class and interface, as 0x060000 for a host bridge (appendix D). */
  readonly classCode: number;
  readonly subsystemVendorId?: number;
  readonly subsystemId?: number;
  /** 1 to 4 for INTA to INTD, 0 for none. */
  readonly interruptPin?: number;
  readonly bars?: readonly BaseAddressRegister[];
  /** Called whenever the command register may have changed, after `reset` and `restore` too. */
  commandChanged?(): void;
}

interface PlacedCapability extends Capability {
  readonly at: number;
  readonly length: number;
}

interface Place {
  readonly bar: BaseAddressRegister;
  /** Where it answers now; -1: nowhere. */
  address: number;
  mapping: { remove(): void } | undefined;
}

/** What a bus gives to a function. */
interface Connection {
  readonly space: AddressSpace;
  readonly interrupt: InterruptLine;
}

const writableCommand =
  Command.io |
  Command.memory |
  Command.busMaster |
  Command.parityResponse |
  Command.serr |
  Command.interruptDisable;
const addressLimit = 2 ** 52;

/** A type 0 function: configuration space, base address registers, capabilities, an INTx interrupt. */
export class PciFunction {
  /** The bytes as they are read. */
  readonly config: Uint8Array = new Uint8Array(Config.end);
  private readonly writable = new Uint8Array(Config.end);
  private readonly initial: Uint8Array = new Uint8Array(Config.end);
  private readonly capabilities: PlacedCapability[] = [];
  private capabilityEnd = 0x40;
  private readonly places: Place[] = [];
  private connection: Connection | undefined;
  private interrupt = false;
  private isMessageSignalled = false;

  /** @throws RangeError for base address registers that overlap or whose size cannot be */
  constructor(private readonly init: PciFunctionInit) {
    const { config, writable } = this;
    this.put(Config.vendorId, 2, init.vendorId);
    this.put(Config.deviceId, 2, init.deviceId);
    config[Config.revision] = init.revision ?? 0;
    this.put(Config.classCode, 3, init.classCode);
    this.put(Config.subsystemVendorId, 2, init.subsystemVendorId ?? 0);
    this.put(Config.subsystemId, 2, init.subsystemId ?? 0);
    config[Config.interruptPin] = init.interruptPin ?? 0;
    writable[Config.command] = writableCommand & 0xff;
    writable[Config.command + 1] = writableCommand >> 8;
    writable[Config.cacheLineSize] = 0xff;
    writable[Config.latencyTimer] = 0xff;
    writable[Config.interruptLine] = 0xff;
    for (const bar of init.bars ?? []) this.addBar(bar);
    this.initial.set(config);
  }

  get command(): number {
    return this.config[Config.command] | (this.config[Config.command + 1] << 8);
  }

  /** Whether the function may reach memory and send messages. */
  get isBusMaster(): boolean {
    return (this.config[Config.command] & Command.busMaster) !== 0;
  }

  get bars(): readonly BaseAddressRegister[] {
    return this.places.map(({ bar }) => bar);
  }

  /** Appends to the list of capabilities. @returns its offset. @throws RangeError when the 192 bytes are full */
  addCapability(capability: Capability): number {
    const at = this.capabilityEnd;
    const length = 2 + capability.bytes.length;
    if (at + length > Config.end) throw new RangeError('capabilities: 192 bytes are all there is');
    const last = this.capabilities.at(-1);
    const { config } = this;
    config[last === undefined ? Config.capabilities : last.at + 1] = at;
    config[Config.status] |= Status.capabilities;
    config[at] = capability.id;
    config.set(capability.bytes, at + 2);
    if (capability.writable !== undefined) this.writable.set(capability.writable, at + 2);
    this.capabilities.push({
      ...capability,
      at,
      length,
    });
    this.capabilityEnd = (at + length + 3) & ~3;
    this.initial.set(config);
    return at;
  }

  /** @internal the bus's business */
  connect(connection: Connection): void {
    this.connection = connection;
  }

  /** @internal */
  setMultifunction(): void {
    this.config[Config.headerType] |= 0x80;
    this.initial[Config.headerType] |= 0x80;
  }

  /** @param offset 0 to 255; the access ends in the same word of 4 bytes */
  readConfig(offset: number, size: number): number {
    for (const capability of this.capabilities)
      if (offset + size > capability.at && offset < capability.at + capability.length)
        capability.beforeRead?.(offset - capability.at, size);
    let value = 0;
    for (let i = 0; i < size; i++) value |= this.config[offset + i] << (8 * i);
    return value;
  }

  writeConfig(offset: number, size: number, value: number): void {
    const { config, writable } = this;
    for (let i = 0; i < size; i++) {
      const mask = writable[offset + i];
      config[offset + i] = (config[offset + i] & ~mask) | ((value >>> (8 * i)) & mask);
    }
    if (offset < Config.status && offset + size > Config.command) {
      this.place();
      this.updateInterrupt();
      this.init.commandChanged?.();
    } else if (offset >= Config.baseAddress && offset < 0x28) this.place();
    for (const capability of this.capabilities)
      if (offset + size > capability.at && offset < capability.at + capability.length)
        capability.written?.(offset - capability.at, size);
  }

  /** Sets the level of the function's INTx interrupt. */
  setInterrupt(level: boolean): void {
    this.interrupt = level;
    this.updateInterrupt();
  }

  /** With MSI or MSI-X on, a function leaves its INTx pin alone (6.8). */
  setMessageSignalled(on: boolean): void {
    this.isMessageSignalled = on;
    this.updateInterrupt();
  }

  /** Where a base address register answers now; undefined: nowhere. */
  addressOf(index: number): number | undefined {
    const address = this.places.find(({ bar }) => bar.index === index)?.address ?? -1;
    return address < 0 ? undefined : address;
  }

  /** Writes a base address register, as firmware does. @param address a multiple of the register's size */
  setAddress(index: number, address: number): void {
    const place = this.places.find(({ bar }) => bar.index === index);
    if (place === undefined) throw new RangeError(`base address register ${index} does not exist`);
    const at = Config.baseAddress + 4 * index;
    this.writeConfig(at, 4, address % 0x1_0000_0000);
    if (place.bar.kind === 'memory' && place.bar.width === 64)
      this.writeConfig(at + 4, 4, Math.floor(address / 0x1_0000_0000));
  }

  reset(): void {
    this.config.set(this.initial);
    this.interrupt = false;
    this.isMessageSignalled = false;
    this.refresh();
  }

  save(): PciFunctionState {
    return { version: 1, config: [...this.config], interrupt: this.interrupt };
  }

  /** @throws SnapshotVersionError, SnapshotMismatchError */
  restore(state: PciFunctionState): void {
    requireVersion('a PCI function', state, 1);
    for (const at of [Config.vendorId, Config.deviceId])
      for (const i of [at, at + 1])
        if (state.config[i] !== this.config[i])
          throw new SnapshotMismatchError('PCI function: the snapshot is of another device');
    for (let i = 0; i < Config.end; i++)
      this.config[i] = (this.initial[i] & ~this.writable[i]) | (state.config[i] & this.writable[i]);
    this.interrupt = state.interrupt;
    this.refresh();
  }

  /** Everything that follows from the configuration space. */
  private refresh(): void {
    this.place();
    this.init.commandChanged?.();
    this.updateInterrupt();
  }

  private put(at: number, size: number, value: number): void {
    for (let i = 0; i < size; i++) this.config[at + i] = value >>> (8 * i);
  }

  private addBar(bar: BaseAddressRegister): void {
    const { index, size, kind } = bar;
    const words = kind === 'memory' && bar.width === 64 ? 2 : 1;
    const [least, most] = kind === 'memory' ? [4096, 0x80000000] : [4, 256];
    if (!Number.isInteger(Math.log2(size)) || size < least || size > most)
      throw new RangeError(`base address register of ${size} bytes: a power of 2 from ${least} to ${most}`);
    if (!Number.isInteger(index) || index < 0 || index + words > 6)
      throw new RangeError(`base address register ${index}: 0 to 5, 64-bit ones 0 to 4`);
    const at = Config.baseAddress + 4 * index;
    for (let i = at; i < at + 4 * words; i++) {
      // A register that is there has writable bits in its top byte.
      if (this.writable[i] !== 0 || this.writable[at + 3] !== 0)
        throw new RangeError(`base address register ${index} is taken already`);
    }
    const mask = -size;
    for (let i = 0; i < 4; i++) this.writable[at + i] = mask >>> (8 * i);
    if (words === 2) this.writable.fill(0xff, at + 4, at + 8);
    this.config[at] =
      kind === 'io'
        ? BaseAddress.io
        : (words === 2 ? BaseAddress.memory64 : 0) | (bar.prefetchable ? BaseAddress.prefetchable : 0);
    this.places.push({ bar, address: -1, mapping: undefined });
  }

  /** Puts the handlers where the base address registers say. */
  private place(): void {
    const { command } = this;
    for (const place of this.places) {
      const isOn = (command & (place.bar.kind === 'io' ? Command.io : Command.memory)) !== 0;
      const address = isOn ? this.decode(place.bar) : -1;
      if (address === place.address) continue;
      place.mapping?.remove();
      place.mapping = undefined;
      place.address = address;
      const space = this.connection?.space;
      if (address < 0 || space === undefined) continue;
      place.mapping =
        place.bar.kind === 'io'
          ? space.mapIo(address, place.bar.size, place.bar.handler)
          : space.mapMemory(address, place.bar.size, place.bar.handler);
    }
  }

  /** The address in a register; -1 for one that is not set (0) or is being sized (the end of what it can reach). */
  private decode(bar: BaseAddressRegister): number {
    const at = Config.baseAddress + 4 * bar.index;
    const low = (this.word(at) & -bar.size) >>> 0;
    const is64 = bar.kind === 'memory' && bar.width === 64;
    const address = low + (is64 ? (this.word(at + 4) >>> 0) * 0x1_0000_0000 : 0);
    const limit = bar.kind === 'io' ? 0x10000 : is64 ? addressLimit : 0x1_0000_0000;
    const end = address + bar.size;
    // Sizing with decoding on would put a 32-bit range at the very end, and a 64-bit one there between its two writes.
    return address === 0 || end >= limit || end === 0x1_0000_0000 ? -1 : address;
  }

  private word(at: number): number {
    const { config } = this;
    return config[at] | (config[at + 1] << 8) | (config[at + 2] << 16) | (config[at + 3] << 24);
  }

  private updateInterrupt(): void {
    const { config } = this;
    config[Config.status] =
      (config[Config.status] & ~Status.interrupt) | (this.interrupt ? Status.interrupt : 0);
    this.connection?.interrupt.set(
      this.interrupt && !this.isMessageSignalled && (this.command & Command.interruptDisable) === 0,
    );
  }
}
