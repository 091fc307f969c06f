import type { Chain } from './chain.ts';
import type { GuestMemory } from './guest-memory.ts';
import { AvailableFlag, DescriptorFlag } from './registers.ts';
import type { QueueState } from './state.ts';

/** What `SplitQueue.fetch` found. */
export const Fetch = { none: 0, chain: 1, broken: 2 } as const;

/** The parts of a queue (2.6). */
export const Area = { descriptors: 0, driver: 1, device: 2 } as const;

const wordLimit = 2 ** 32;
const addressLimit = 2 ** 52;
/** "A driver MUST NOT create a descriptor chain longer than 2^32 bytes in total" (2.7.5.1). */
const chainLimit = 2 ** 32;

/**
 * A split virtqueue from the device's side (virtio 1.2, 2.7). Nothing in the rings is trusted: every walk is bounded by the queue's
 * size, and what no driver may do is reported as broken.
 */
export class SplitQueue {
  /** Entries, a power of 2. */
  size: number;
  isEnabled = false;
  /** MSI-X vector of the PCI transport. */
  vector = 0xffff;
  /** Addresses of the descriptor table, of the available ring (driver area) and of the used ring (device area). */
  private descriptors = 0;
  private driver = 0;
  private device = 0;
  /** Index, modulo 2^16, of the next entry in the available ring. */
  private nextAvailable = 0;
  private nextUsed = 0;
  /** `nextUsed` when the driver was last told, for the event index. */
  private announced = 0;
  private readonly scratch = new Uint8Array(16);
  private readonly view = new DataView(this.scratch.buffer);
  private readonly two = this.scratch.subarray(0, 2);
  private readonly eight = this.scratch.subarray(0, 8);

  constructor(
    private readonly memory: GuestMemory,
    /** Entries at most, a power of 2. */
    readonly limit: number,
  ) {
    this.size = limit;
  }

  /** Sizes that are no power of 2 or too large are dropped (4.1.4.3.2 leaves them to the driver). */
  setSize(size: number): void {
    if (size > 0 && size <= this.limit && (size & (size - 1)) === 0) this.size = size;
  }

  /** A half of an area's address. @param area as in {@link Area} */
  addressWord(area: number, isHigh: boolean): number {
    const address =
      area === Area.descriptors ? this.descriptors : area === Area.driver ? this.driver : this.device;
    return isHigh ? Math.floor(address / wordLimit) : address % wordLimit;
  }

  /** Takes a half of an area's address. What lies beyond 2^52 is kept as such, without its exact place. */
  setAddressWord(area: number, isHigh: boolean, value: number): void {
    const other = this.addressWord(area, !isHigh);
    const [low, high] = isHigh ? [other, value >>> 0] : [value >>> 0, other];
    const address = low + Math.min(high, addressLimit / wordLimit) * wordLimit;
    if (area === Area.descriptors) this.descriptors = address;
    else if (area === Area.driver) this.driver = address;
    else this.device = address;
  }

  /** Whether all three areas end below 2^52. */
  get isReachable(): boolean {
    const { descriptors, driver, device, size } = this;
    return Math.max(descriptors + 16 * size, driver + 6 + 2 * size, device + 6 + 8 * size) <= addressLimit;
  }

  /** Takes the next chain without removing it from the ring. */
  fetch(chain: Chain, indirectAllowed: boolean): number {
    const { size, nextAvailable } = this;
    if (!this.readTwo(this.driver + 2)) return Fetch.broken;
    const waiting = (this.view.getUint16(0, true) - nextAvailable) & 0xffff;
    if (waiting === 0) return Fetch.none;
    if (waiting > size) return Fetch.broken;
    if (!this.readTwo(this.driver + 4 + 2 * (nextAvailable & (size - 1)))) return Fetch.broken;
    const head = this.view.getUint16(0, true);
    chain.start(head);
    return this.walk(chain, head, indirectAllowed) ? Fetch.chain : Fetch.broken;
  }

  /** Moves the chain that was fetched last to the used ring. @param written bytes from the start of its writable part. @returns false if that is not RAM */
  complete(chain: Chain, written: number): boolean {
    const { view, size } = this;
    this.nextAvailable = (this.nextAvailable + 1) & 0xffff;
    view.setUint32(0, chain.head, true);
    view.setUint32(4, written, true);
    if (!this.memory.write(this.device + 4 + 8 * (this.nextUsed & (size - 1)), this.eight)) return false;
    this.nextUsed = (this.nextUsed + 1) & 0xffff;
    view.setUint16(0, this.nextUsed, true);
    return this.memory.write(this.device + 2, this.two);
  }

  /** Whether chains wait. */
  get hasWork(): boolean {
    return this.readTwo(this.driver + 2) && this.view.getUint16(0, true) !== this.nextAvailable;
  }

  /** Asks for a notification at the next chain (2.7.10). */
  requestNotification(): boolean {
    this.view.setUint16(0, this.nextAvailable, true);
    return this.memory.write(this.device + 4 + 8 * this.size, this.two);
  }

  /** Whether the driver wants to hear of the chains that were completed since it was asked last (2.7.7). */
  wantsInterrupt(eventIndex: boolean): boolean {
    const { nextUsed, announced } = this;
    if (nextUsed === announced) return false;
    this.announced = nextUsed;
    if (!eventIndex)
      return this.readTwo(this.driver) && (this.view.getUint16(0, true) & AvailableFlag.noInterrupt) === 0;
    if (!this.readTwo(this.driver + 4 + 2 * this.size)) return false;
    const event = this.view.getUint16(0, true);
    return ((nextUsed - event - 1) & 0xffff) < ((nextUsed - announced) & 0xffff);
  }

  reset(): void {
    this.size = this.limit;
    this.isEnabled = false;
    this.descriptors = this.driver = this.device = 0;
    this.vector = 0xffff;
    this.nextAvailable = this.nextUsed = this.announced = 0;
  }

  save(): QueueState {
    const { size, isEnabled, descriptors, driver, device, vector, nextAvailable, nextUsed, announced } = this;
    return { size, isEnabled, descriptors, driver, device, vector, nextAvailable, nextUsed, announced };
  }

  restore(state: QueueState): void {
    this.setSize(state.size);
    this.isEnabled = state.isEnabled;
    this.descriptors = state.descriptors;
    this.driver = state.driver;
    this.device = state.device;
    this.vector = state.vector;
    this.nextAvailable = state.nextAvailable;
    this.nextUsed = state.nextUsed;
    this.announced = state.announced;
  }

  /** Collects a chain. @returns false for what no driver may do (2.7.5) */
  private walk(chain: Chain, head: number, indirectAllowed: boolean): boolean {
    const { view } = this;
    let table = this.descriptors;
    let entries = this.size;
    let isIndirect = false;
    let index = head;
    // Each turn takes one descriptor; more than there are means a loop.
    for (let left = entries; left > 0; left--) {
      if (index >= entries || table >= addressLimit || !this.memory.read(table + 16 * index, this.scratch))
        return false;
      const length = view.getUint32(8, true);
      const flags = view.getUint16(12, true);
      const upper = view.getUint32(4, true);
      if (upper >= 0x100000) return false;
      const address = upper * 0x1_0000_0000 + view.getUint32(0, true);
      if ((flags & DescriptorFlag.indirect) !== 0) {
        const count = length / 16;
        if (isIndirect || !indirectAllowed || (flags & DescriptorFlag.next) !== 0) return false;
        if (count < 1 || count > this.limit || !Number.isInteger(count)) return false;
        isIndirect = true;
        table = address;
        entries = count;
        index = 0;
        left = count + 1;
        continue;
      }
      const next = view.getUint16(14, true);
      if (address + length > addressLimit) return false;
      if (!chain.append(address, length, (flags & DescriptorFlag.write) !== 0)) return false;
      if ((flags & DescriptorFlag.next) === 0)
        return chain.readableLength + chain.writableLength <= chainLimit;
      index = next;
    }
    return false;
  }

  private readTwo(address: number): boolean {
    return this.memory.read(address, this.two);
  }
}
