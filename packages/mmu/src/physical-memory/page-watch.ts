import { MemoryMapError } from '../errors.ts';

/** Called after bytes of a watched page were written; pages are backing pages, so writes through every alias are seen. */
export type WriteObserver = (backingPage: number, offset: number, length: number) => void;

/** What a watch needs of its memory. @internal */
export interface WatchedMemory {
  /** Watches per backing page. */
  readonly watchCounts: Uint8Array;
  protect(firstBackingPage: number, count: number): void;
  dropWatch(watch: PageWatch): void;
}

/**
 * A set of backing pages whose writes someone wants to hear of: pages with translated code, pages that are still clean. While a page is in
 * any set, a fast path must not write to it (`isWatched`); joining a set is announced to the memory's listeners.
 */
export class PageWatch {
  private readonly bits: Int32Array;
  private readonly memory: WatchedMemory;
  readonly observer: WriteObserver;

  /** @internal Made by `PhysicalMemory.watch`. */
  constructor(memory: WatchedMemory, observer: WriteObserver) {
    this.memory = memory;
    this.observer = observer;
    this.bits = new Int32Array((memory.watchCounts.length + 31) >>> 5);
  }

  has(page: number): boolean {
    return ((this.bits[page >>> 5] >>> (page & 31)) & 1) !== 0;
  }

  add(page: number): void {
    this.addRange(page, 1);
  }

  /** Adds pages and announces them once. */
  addRange(first: number, count: number): void {
    this.checkRange(first, count);
    for (let page = first; page < first + count; page++) {
      if (this.has(page)) continue;
      this.bits[page >>> 5] |= 1 << (page & 31);
      this.memory.watchCounts[page]++;
    }
    this.memory.protect(first, count);
  }

  delete(page: number): void {
    if (!this.has(page)) return;
    this.bits[page >>> 5] &= ~(1 << (page & 31));
    this.memory.watchCounts[page]--;
  }

  /** Watches nothing any more and is forgotten by the memory. */
  dispose(): void {
    for (let page = 0; page < this.memory.watchCounts.length; page++) this.delete(page);
    this.memory.dropWatch(this);
  }

  private checkRange(first: number, count: number): void {
    const pages = this.memory.watchCounts.length;
    if (
      !Number.isInteger(first) ||
      !Number.isInteger(count) ||
      first < 0 ||
      count < 0 ||
      first + count > pages
    )
      throw new MemoryMapError(
        `backing pages ${first} to ${first + count - 1}: 0 to ${pages - 1} are allowed`,
      );
  }
}

/**
 * Which pages of a range have been written since they were last collected, for one consumer (migration, a display); any number of them may
 * look at the same pages. A clean page is watched, a dirty one is not: it costs nothing until it is collected.
 */
export class DirtyTracker {
  readonly first: number;
  readonly count: number;
  private readonly clean: PageWatch;

  /** @internal Made by `PhysicalMemory.trackDirty`. */
  constructor(watch: (observer: WriteObserver) => PageWatch, first: number, count: number) {
    this.first = first;
    this.count = count;
    this.clean = watch((page) => this.clean.delete(page));
    this.clean.addRange(first, count);
  }

  isDirty(page: number): boolean {
    return page >= this.first && page < this.first + this.count && !this.clean.has(page);
  }

  /** Declares pages written, such as all of them before a first pass. */
  mark(first: number = this.first, count: number = this.count): void {
    for (let page = first; page < first + count; page++) this.clean.delete(page);
  }

  /** Hands over the dirty pages, ascending, and starts afresh: they are clean before `visit` sees the first of them. */
  collect(visit: (backingPage: number) => void): void {
    const dirty: number[] = [];
    for (let page = this.first; page < this.first + this.count; page++)
      if (!this.clean.has(page)) dirty.push(page);
    if (dirty.length === 0) return;
    this.clean.addRange(this.first, this.count);
    for (const page of dirty) visit(page);
  }

  dispose(): void {
    this.clean.dispose();
  }
}
