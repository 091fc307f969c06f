import { MemoryMapError } from '../errors.ts';
import { FlatView } from './flat-view.ts';
import { DirtyTracker, PageWatch, type WriteObserver } from './page-watch.ts';
import {
  aligned,
  checkRegion,
  hex,
  PageKind,
  pageSize,
  physicalPages,
  type Region,
  type RegionHandle,
} from './regions.ts';

export interface PhysicalMemoryInit {
  /** What holds RAM and ROM: often the buffer of a `WebAssembly.Memory`. */
  readonly buffer: ArrayBufferLike;
  /** Where in the buffer this memory's bytes begin, a multiple of 4096. Default 0. */
  readonly offset?: number;
  /** How many bytes it has, a multiple of 4096. Default: up to the end of the buffer. */
  readonly size?: number;
}

/** Who keeps something derived from the map, such as a fast TLB. */
export interface MemoryListener {
  /** These pages may now be something else: another region, other backing. */
  layoutChanged?(firstPage: number, count: number): void;
  /** Writes to these backing pages must from now on come through the memory. */
  pagesProtected?(firstBackingPage: number, count: number): void;
}

/** Told of each access to a device's registers, for traces. */
interface DeviceObserver {
  /** @param offset from the region's start @param size bytes */
  accessed(region: string, offset: number, size: number, isWrite: boolean, value: number): void;
}

/**
 * The guest-physical address space. Pages of RAM and ROM lie in one buffer; the engine may read and write RAM there directly, and every
 * other write (walkers, DMA, debuggers, restored images) goes through this class, the one place where watched pages are noticed.
 *
 * A page is a Number below 2^40, an address a Number below 2^52, as the names say. Reading where nothing is gives ones; nothing a guest
 * does can throw.
 */
export class PhysicalMemory {
  /** Offset in the buffer of backing page 0. */
  readonly base: number;
  /** Backing pages. */
  readonly pages: number;
  /** Watches per backing page. @internal */
  readonly watchCounts: Uint8Array;
  /** The buffer as 32-bit words. @internal */
  words!: Int32Array;
  /** The buffer as bytes. */
  bytes!: Uint8Array;
  private view!: DataView;
  private shared = false;
  private flat: FlatView;
  private regions: Region[] = [];
  private readonly watches: PageWatch[] = [];
  private readonly listeners: MemoryListener[] = [];
  private a20Enabled = true;
  /** The interval of the last answer of `offsetOf`: first page, end, offset of page 0 if it went on so far down. Empty: end is 0. */
  private readonly recent: Float64Array = new Float64Array(3);

  deviceObserver: DeviceObserver | undefined = undefined;

  constructor({ buffer, offset = 0, size }: PhysicalMemoryInit) {
    const bytes = size ?? Math.max(0, buffer.byteLength - offset);
    if (!aligned(offset)) throw new MemoryMapError(`offset ${offset}: a multiple of 4096 is allowed`);
    if (!aligned(bytes)) throw new MemoryMapError(`size ${bytes}: a multiple of 4096 is allowed`);
    this.base = offset;
    this.pages = bytes / pageSize;
    this.attach(buffer);
    this.watchCounts = new Uint8Array(this.pages);
    this.flat = new FlatView([], offset);
  }

  /** Takes another buffer of at least the same size, as after `WebAssembly.Memory.grow`. */
  attach(buffer: ArrayBufferLike): void {
    const end = this.base + this.pages * pageSize;
    if (buffer.byteLength < end)
      throw new MemoryMapError(`buffer of ${buffer.byteLength} bytes: at least ${end} are needed`);
    this.bytes = new Uint8Array(buffer);
    this.words = new Int32Array(buffer, 0, Math.floor(buffer.byteLength / 4));
    this.view = new DataView(buffer);
    this.shared = typeof SharedArrayBuffer !== 'undefined' && buffer instanceof SharedArrayBuffer;
  }

  // The map.

  /** @throws MemoryMapError if the region does not fit the address space or the buffer */
  addRegion(region: Region): RegionHandle {
    checkRegion(region, this.pages * pageSize);
    const own = { ...region };
    this.setRegions([...this.regions, own], own);
    return {
      region: own,
      remove: () => {
        if (this.regions.includes(own))
          this.setRegions(
            this.regions.filter((other) => other !== own),
            own,
          );
      },
    };
  }

  private setRegions(regions: Region[], changed: Region): void {
    this.regions = regions;
    this.flat = new FlatView(regions, this.base);
    this.announceLayout(changed.start / pageSize, changed.size / pageSize);
  }

  /** The region that answers at `page`, if one does. */
  regionAt(page: number): Region | undefined {
    return this.flat.regions[this.flat.owners[this.interval(page)]];
  }

  /** Whether address line 20 works. Off, bit 20 of every physical address is 0, as in a PC before its firmware enables it. */
  get a20(): boolean {
    return this.a20Enabled;
  }

  set a20(enabled: boolean) {
    if (enabled === this.a20Enabled) return;
    this.a20Enabled = enabled;
    this.announceLayout(0, physicalPages);
  }

  addListener(listener: MemoryListener): { remove(): void } {
    this.listeners.push(listener);
    return {
      remove: () => {
        const at = this.listeners.indexOf(listener);
        if (at >= 0) this.listeners.splice(at, 1);
      },
    };
  }

  private announceLayout(firstPage: number, count: number): void {
    this.recent.fill(0);
    for (const listener of this.listeners) listener.layoutChanged?.(firstPage, count);
  }

  // Look-up by page: what engines and walkers call.

  private interval(page: number): number {
    return this.flat.find(this.a20Enabled ? page : withoutA20(page));
  }

  /** {@link PageKind} of a page. */
  kindOf(page: number): number {
    return this.flat.kinds[this.interval(page)];
  }

  /** Offset in the buffer of a page of RAM or ROM, -1 for anything else. */
  offsetOf(page: number): number {
    const { recent } = this;
    if (page >= recent[0] && page < recent[1]) return recent[2] + page * pageSize;
    return this.findOffset(page);
  }

  private findOffset(page: number): number {
    if (!this.a20Enabled) page = withoutA20(page);
    const { flat, recent } = this;
    const i = flat.find(page);
    const offset = flat.offsets[i];
    if (offset < 0) return -1;
    const bias = offset - flat.starts[i] * pageSize;
    if (this.a20Enabled) {
      recent[0] = flat.starts[i];
      recent[1] = flat.starts[i + 1];
      recent[2] = bias;
    }
    return bias + page * pageSize;
  }

  /** As `offsetOf`, for RAM only. */
  writableOffsetOf(page: number): number {
    return this.kindOf(page) === PageKind.ram ? this.offsetOf(page) : -1;
  }

  /** Whether writes at this offset of the buffer must come through the memory. */
  isWatched(offset: number): boolean {
    const at = offset - this.base;
    return this.watchCounts[at < 0x1_0000_0000 ? at >>> 12 : Math.floor(at / pageSize)] !== 0;
  }

  // Accesses. They stay inside one page; `readBytes` and `writeBytes` cross pages.

  read(page: number, offset: number, size: number): number {
    const base = this.offsetOf(page);
    if (base < 0) return this.readDevice(page, offset, size);
    if (size === 4) return this.view.getInt32(base + offset, true);
    return size === 2 ? this.view.getUint16(base + offset, true) : this.bytes[base + offset];
  }

  /** Halves of the entry that `loadEntry` read; `entryHigh` is 0 for a 32-bit entry. */
  entryLow = 0;
  entryHigh = 0;

  /** Reads an aligned page-table entry of 4 or 8 bytes, the latter never torn, into `entryLow` and `entryHigh`. */
  loadEntry(page: number, offset: number, wide: boolean): void {
    const base = this.offsetOf(page);
    if (base < 0) {
      this.entryLow = this.readDevice(page, offset, 4);
      this.entryHigh = wide ? this.readDevice(page, offset + 4, 4) : 0;
      return;
    }
    const at = wordIndex(base + offset);
    const { words } = this;
    if (!wide) {
      this.entryLow = words[at];
      this.entryHigh = 0;
      return;
    }
    this.entryLow = words[at];
    this.entryHigh = words[at + 1];
    if (!this.shared) return;
    // Another thread may have written between the halves: both are of one moment once the first has not changed around the second.
    for (let low = Atomics.load(words, at); ; low = this.entryLow) {
      this.entryHigh = Atomics.load(words, at + 1);
      this.entryLow = Atomics.load(words, at);
      if (this.entryLow === low) return;
    }
  }

  /** Writes 1, 2 or 4 bytes, to whatever is there. */
  write(page: number, offset: number, size: number, value: number): void {
    const base = this.writableOffsetOf(page);
    if (base < 0) {
      this.writeDevice(page, offset, size, value);
      return;
    }
    if (size === 4) this.view.setInt32(base + offset, value, true);
    else if (size === 2) this.view.setUint16(base + offset, value, true);
    else this.bytes[base + offset] = value;
    this.written(base + offset, size);
  }

  /**
   * Sets bits in a page-table entry if it still is what the walker read: one atomic step when the buffer is shared (SDM vol. 3, 4.8, "locked").
   * Where nothing can be written there is nothing to set, and the answer is true.
   *
   * @returns whether the entry was as expected
   */
  updateEntry(
    page: number,
    offset: number,
    wide: boolean,
    low: number,
    high: number,
    newLow: number,
  ): boolean {
    const base = this.writableOffsetOf(page);
    if (base < 0) {
      this.writeDevice(page, offset, 4, newLow);
      return true;
    }
    const at = wordIndex(base + offset);
    if (this.shared && wide) {
      // BigInt is slow, but entries lack their A or D bit once in their life.
      const quads = new BigInt64Array(this.bytes.buffer, base + offset, 1);
      const upper = BigInt(high) << 32n;
      const expected = BigInt.asIntN(64, upper | BigInt(low >>> 0));
      if (
        Atomics.compareExchange(quads, 0, expected, BigInt.asIntN(64, upper | BigInt(newLow >>> 0))) !==
        expected
      )
        return false;
    } else if (this.shared) {
      if (Atomics.compareExchange(this.words, at, low, newLow) !== low) return false;
    } else {
      if (this.words[at] !== low || (wide && this.words[at + 1] !== high)) return false;
      this.words[at] = newLow;
    }
    this.written(base + offset, 4);
    return true;
  }

  /** Copies from `address` on; unbacked pages are read through their handlers, byte by byte. */
  readBytes(address: number, target: Uint8Array): void {
    for (let done = 0; done < target.length; ) {
      const page = Math.floor((address + done) / pageSize) % physicalPages;
      const offset = (address + done) % pageSize;
      const length = Math.min(pageSize - offset, target.length - done);
      const base = this.offsetOf(page);
      if (base >= 0) target.set(this.bytes.subarray(base + offset, base + offset + length), done);
      else for (let i = 0; i < length; i++) target[done + i] = this.readDevice(page, offset + i, 1);
      done += length;
    }
  }

  writeBytes(address: number, source: Uint8Array): void {
    for (let done = 0; done < source.length; ) {
      const page = Math.floor((address + done) / pageSize) % physicalPages;
      const offset = (address + done) % pageSize;
      const length = Math.min(pageSize - offset, source.length - done);
      const base = this.writableOffsetOf(page);
      if (base >= 0) {
        this.bytes.set(source.subarray(done, done + length), base + offset);
        this.written(base + offset, length);
      } else for (let i = 0; i < length; i++) this.writeDevice(page, offset + i, 1, source[done + i]);
      done += length;
    }
  }

  /**
   * Tells observers that bytes were written: for engines that wrote to the buffer themselves. The bytes lie in one page.
   *
   * @param offset in the buffer
   */
  written(offset: number, length: number): void {
    const page = Math.floor((offset - this.base) / pageSize);
    if (this.watchCounts[page] === 0) return;
    const inPage = (offset - this.base) % pageSize;
    // An observer may take its page out of its set, or dispose of a watch.
    for (const watch of this.watches.slice()) if (watch.has(page)) watch.observer(page, inPage, length);
  }

  // Interest in writes.

  /** An empty set of pages whose writes `observer` hears of. */
  watch(observer: WriteObserver): PageWatch {
    if (this.watches.length >= 255) throw new MemoryMapError('a 256th watch: 255 are allowed');
    const watch = new PageWatch(this, observer);
    this.watches.push(watch);
    return watch;
  }

  /** Dirty tracking of backing pages for one consumer; all are clean at first. */
  trackDirty(first = 0, count: number = this.pages - first): DirtyTracker {
    return new DirtyTracker((observer) => this.watch(observer), first, count);
  }

  /** @internal */
  dropWatch(watch: PageWatch): void {
    const at = this.watches.indexOf(watch);
    if (at >= 0) this.watches.splice(at, 1);
  }

  /** @internal */
  protect(firstBackingPage: number, count: number): void {
    for (const listener of this.listeners) listener.pagesProtected?.(firstBackingPage, count);
  }

  // Devices.

  private readDevice(page: number, offset: number, size: number): number {
    const region = this.regionAt(page);
    const ones = size === 4 ? -1 : 2 ** (8 * size) - 1;
    if (region?.kind !== 'mmio') return ones;
    const at = this.deviceOffset(region, page, offset);
    const value = region.handler.read(at, size) & ones;
    this.deviceObserver?.accessed(region.name ?? 'MMIO', at, size, false, value);
    return value;
  }

  private writeDevice(page: number, offset: number, size: number, value: number): void {
    const region = this.regionAt(page);
    if (region?.kind !== 'mmio') return;
    const at = this.deviceOffset(region, page, offset);
    // Before the device acts: it may end the run, or interrupt somebody.
    this.deviceObserver?.accessed(region.name ?? 'MMIO', at, size, true, value);
    region.handler.write(at, size, value);
  }

  private deviceOffset(region: Region, page: number, offset: number): number {
    return (this.a20Enabled ? page : withoutA20(page)) * pageSize + offset - region.start;
  }

  /** The map for people: one line per interval. */
  describe(): string[] {
    const { starts, owners, regions } = this.flat;
    return [...owners].flatMap((owner, i) => {
      const region = regions[owner];
      if (region === undefined) return [];
      const range = `${hex(starts[i] * pageSize)}-${hex(starts[i + 1] * pageSize - 1)}`;
      return [`${range} ${region.kind}${region.name === undefined ? '' : ` ${region.name}`}`];
    });
  }
}

function wordIndex(offset: number): number {
  return offset < 0x1_0000_0000 ? offset >>> 2 : offset / 4;
}

/** Bit 20 of an address is bit 8 of its page number. */
function withoutA20(page: number): number {
  return page - (Math.floor(page / 256) % 2) * 256;
}
