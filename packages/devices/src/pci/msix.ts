import { SnapshotMismatchError } from '../snapshot-mismatch.ts';
import { requireVersion } from '../snapshot-version.ts';
import type { PciFunction } from './function.ts';
import type { MessageSink, MmioHandler } from './ports.ts';
import { CapabilityId, MsixControl } from './registers.ts';
import type { MsixState } from './state.ts';

/** Where the pending bits begin in the range that holds both tables: behind 2048 vectors there would be no room in a page. */
const pendingOffset = 0x800;
const vectorLimit = 128;

/**
 * MSI-X for one function (PCI 3.0, 6.8.2): up to 128 vectors, table and pending bits in one memory range of 4096 bytes, which a
 * base address register of the function must show ({@link Msix.handler}).
 */
export class Msix {
  /** Address, upper address, data, control. */
  private readonly table: Uint32Array;
  private readonly pending: Uint8Array;
  private pciFunction: PciFunction | undefined;
  private controlAt = 0;

  /** @throws RangeError unless 1 to 128 vectors */
  constructor(
    readonly vectors: number,
    private readonly sink: MessageSink,
  ) {
    if (!(vectors >= 1 && vectors <= vectorLimit))
      throw new RangeError(`${vectors} vectors: 1 to ${vectorLimit} are allowed`);
    this.table = new Uint32Array(4 * vectors);
    this.pending = new Uint8Array(vectors);
    this.reset();
  }

  /** Table at offset 0, pending bits at 800h. Software accesses it in whole words of 4 or 8 bytes (6.8.2). */
  readonly handler: MmioHandler = {
    read: (offset, size) => {
      const word = this.readWord(offset & ~3) >>> (8 * (offset & 3));
      return size === 4 ? word | 0 : word & (size === 2 ? 0xffff : 0xff);
    },
    write: (offset, size, value) => {
      const at = offset >> 2;
      if (size !== 4 || (offset & 3) !== 0 || at >= this.table.length) return;
      this.table[at] = (at & 3) === 3 ? value & MsixControl.vectorMask : (at & 3) === 0 ? value & ~3 : value;
      if ((at & 3) === 3) this.send(at >> 2);
    },
  };

  /** Adds the capability. @param bar index of the base address register that shows {@link Msix.handler} */
  attach(pciFunction: PciFunction, bar: number): void {
    const size = this.vectors - 1;
    this.pciFunction = pciFunction;
    this.controlAt =
      2 +
      pciFunction.addCapability({
        id: CapabilityId.msix,
        bytes: [size & 0xff, size >> 8, bar, 0, 0, 0, bar, pendingOffset >> 8, 0, 0],
        writable: [0, (MsixControl.enable | MsixControl.functionMask) >> 8, 0, 0, 0, 0, 0, 0, 0, 0],
        written: () => this.controlChanged(),
      });
  }

  get isEnabled(): boolean {
    return (this.control & MsixControl.enable) !== 0;
  }

  /** Sends the vector's message, now or when nothing masks it any more. Without effect while MSI-X is off or for a vector that does not exist. */
  notify(vector: number): void {
    if (!this.isEnabled || vector >= this.vectors) return;
    this.pending[vector] = 1;
    this.send(vector);
  }

  /** Capability or bus mastering changed: what waited may go. */
  controlChanged(): void {
    this.pciFunction?.setMessageSignalled(this.isEnabled);
    for (let vector = 0; vector < this.vectors; vector++) this.send(vector);
  }

  reset(): void {
    this.table.fill(0);
    for (let at = 3; at < this.table.length; at += 4) this.table[at] = MsixControl.vectorMask;
    this.pending.fill(0);
  }

  save(): MsixState {
    return { version: 1, table: [...this.table], pending: [...this.pending] };
  }

  /** To be called before the function's own restore. @throws SnapshotVersionError, SnapshotMismatchError */
  restore(state: MsixState): void {
    requireVersion('MSI-X', state, 1);
    if (state.pending.length !== this.vectors)
      throw new SnapshotMismatchError(`MSI-X: ${state.pending.length} vectors, ${this.vectors} are here`);
    this.table.set(state.table);
    this.pending.set(state.pending);
  }

  private get control(): number {
    return (this.pciFunction?.config[this.controlAt + 1] ?? 0) << 8;
  }

  private send(vector: number): void {
    const { table, pending, pciFunction } = this;
    if (pending[vector] === 0 || pciFunction === undefined || !pciFunction.isBusMaster) return;
    if ((this.control & (MsixControl.enable | MsixControl.functionMask)) !== MsixControl.enable) return;
    const at = 4 * vector;
    if ((table[at + 3] & MsixControl.vectorMask) !== 0) return;
    pending[vector] = 0;
    this.sink.message(table[at] + table[at + 1] * 0x1_0000_0000, table[at + 2]);
  }

  private readWord(offset: number): number {
    const at = offset >> 2;
    if (at < this.table.length) return this.table[at];
    const first = 8 * (offset - pendingOffset);
    let bits = 0;
    for (let i = 0; i < 32; i++) if (first >= 0 && this.pending[first + i] === 1) bits |= 1 << i;
    return bits >>> 0;
  }
}
