/** What a debugger outside the machine stops at. */
export type HostStopKind = 'execute' | 'write' | 'read' | 'access';

/** A range of linear addresses; code is met by the first byte of an instruction. */
export interface HostStop {
  readonly kind: HostStopKind;
  readonly low: number;
  readonly high: number;
  /** From 1 to 1,048,576. */
  readonly bytes: number;
}

/** The part of a watched range that lies in one page. */
interface WatchedBytes {
  readonly stop: HostStop;
  /** Offsets in the page of the first and last byte. */
  readonly first: number;
  readonly last: number;
}

interface StopPage {
  /** Offsets of instructions. */
  readonly code: number[];
  readonly data: WatchedBytes[];
}

const pageSize = 4096;

/**
 * Breakpoints and watchpoints of the machine's owner. The guest sees nothing of them: its memory and debug registers stay as they are. Pages that hold
 * one are kept out of the fast TLB, so that all that goes there comes to TypeScript, and code of other pages runs as ever.
 */
export class HostStops {
  watchesCode = false;
  watchesData = false;
  /** Told when one is met: ahead of its instruction for code, in the midst of the instruction for data. */
  onMet: (stop: HostStop) => void = () => {};
  private pages = new Map<number, StopPage>();
  // Where the processor goes on although it was told to stop there: RIP, and instructions retired.
  private passLow = 0;
  private passHigh = 0;
  private passRetired = -1;

  /** Takes the place of all there were. `Processor.stopsChanged` must follow. */
  set(stops: readonly HostStop[]): void {
    this.pages = new Map();
    for (const stop of stops) this.add(stop);
    this.watchesCode = stops.some(({ kind }) => kind === 'execute');
    this.watchesData = stops.some(({ kind }) => kind !== 'execute');
  }

  private add(stop: HostStop): void {
    const { kind, low, bytes } = stop;
    const offset = low & (pageSize - 1);
    const first = numberOf(low, stop.high);
    if (kind === 'execute') {
      this.page(first).code.push(offset);
      return;
    }
    for (let page = first, at = -offset; at < bytes; page++, at += pageSize)
      this.page(page).data.push({
        stop,
        first: Math.max(0, -at),
        last: Math.min(pageSize, bytes - at) - 1,
      });
  }

  private page(number: number): StopPage {
    const known = this.pages.get(number);
    if (known !== undefined) return known;
    const page: StopPage = { code: [], data: [] };
    this.pages.set(number, page);
    return page;
  }

  // Code.

  /** Whether a page has breakpoints on code. */
  hasCode(low: number, high: number): boolean {
    if (!this.watchesCode) return false;
    const page = this.pages.get(numberOf(low, high));
    return page !== undefined && page.code.length > 0;
  }

  /** Whether there is one at the linear address of an instruction. */
  isAt(low: number, high: number): boolean {
    return this.pages.get(numberOf(low, high))?.code.includes(low & (pageSize - 1)) === true;
  }

  /** The instruction at RIP is executed next, breakpoint or not. @param retired count of the processor */
  pass(ripLow: number, ripHigh: number, retired: number): void {
    this.passLow = ripLow;
    this.passHigh = ripHigh;
    this.passRetired = retired;
  }

  passes(ripLow: number, ripHigh: number, retired: number): boolean {
    return retired === this.passRetired && ripLow === this.passLow && ripHigh === this.passHigh;
  }

  // Data.

  /** Whether a page has watched bytes. */
  hasData(low: number, high: number): boolean {
    if (!this.watchesData) return false;
    const page = this.pages.get(numberOf(low, high));
    return page !== undefined && page.data.length > 0;
  }

  /** What an access meets. */
  watching(
    low: number,
    high: number,
    bytes: number,
    isRead: boolean,
    isWrite: boolean,
  ): HostStop | undefined {
    const number = numberOf(low, high);
    const offset = low & (pageSize - 1);
    const here = find(this.pages.get(number), offset, offset + bytes - 1, isRead, isWrite);
    if (here !== undefined || offset + bytes <= pageSize) return here;
    return find(this.pages.get(number + 1), 0, offset + bytes - 1 - pageSize, isRead, isWrite);
  }

  /** Notes an access. */
  access(low: number, high: number, bytes: number, isWrite: boolean): void {
    const stop = this.watching(low, high, bytes, !isWrite, isWrite);
    if (stop !== undefined) this.onMet(stop);
  }
}

function find(
  page: StopPage | undefined,
  first: number,
  last: number,
  isRead: boolean,
  isWrite: boolean,
): HostStop | undefined {
  if (page === undefined) return undefined;
  for (const watched of page.data) {
    const { kind } = watched.stop;
    if ((kind === 'write' && !isWrite) || (kind === 'read' && !isRead)) continue;
    if (first <= watched.last && last >= watched.first) return watched.stop;
  }
  return undefined;
}

/** Number of a linear page. */
function numberOf(low: number, high: number): number {
  return (high >>> 0) * 0x10_0000 + (low >>> 12);
}
