import { SnapshotMismatchError } from '../snapshot-mismatch.ts';
import { requireVersion } from '../snapshot-version.ts';
import type { BlockStore, OverlayState } from './block-store.ts';

const blockSize = 4096;

/** Writes that stay in memory, over a base that is only read. A block of 4096 bytes is copied when it is first written. */
export class CopyOnWriteStore implements BlockStore {
  readonly size: number;
  private readonly blocks = new Map<number, Uint8Array>();

  constructor(private readonly base: Pick<BlockStore, 'size' | 'read'>) {
    this.size = base.size;
  }

  /** Bytes of memory that the copied blocks take. */
  get copied(): number {
    return this.blocks.size * blockSize;
  }

  read(offset: number, target: Uint8Array): void {
    for (let done = 0; done < target.length; ) {
      const at = offset + done;
      const block = this.blocks.get(Math.floor(at / blockSize));
      const start = at % blockSize;
      let length = Math.min(blockSize - start, target.length - done);
      if (block !== undefined) target.set(block.subarray(start, start + length), done);
      else {
        // As much as possible in one read of the base.
        while (done + length < target.length && !this.blocks.has((at + length) / blockSize))
          length = Math.min(length + blockSize, target.length - done);
        this.base.read(at, target.subarray(done, done + length));
      }
      done += length;
    }
  }

  write(offset: number, source: Uint8Array): void {
    for (let done = 0; done < source.length; ) {
      const at = offset + done;
      const index = Math.floor(at / blockSize);
      const start = at % blockSize;
      const length = Math.min(blockSize - start, source.length - done);
      let block = this.blocks.get(index);
      if (block === undefined) {
        block = new Uint8Array(blockSize);
        const inside = Math.min(blockSize, this.size - index * blockSize);
        if (length < inside) this.base.read(index * blockSize, block.subarray(0, inside));
        this.blocks.set(index, block);
      }
      block.set(source.subarray(done, done + length), start);
      done += length;
    }
  }

  flush(): void {}

  save(): OverlayState {
    const blocks = [...this.blocks].sort(([a], [b]) => a - b);
    return {
      version: 1,
      size: this.size,
      blocks: blocks.map(([index, bytes]) => [index, bytes.slice()] as const),
    };
  }

  /** @throws SnapshotVersionError, SnapshotMismatchError */
  restore(state: OverlayState): void {
    requireVersion('a disk overlay', state, 1);
    if (state.size !== this.size)
      throw new SnapshotMismatchError(`disk overlay: of ${state.size} bytes, the base has ${this.size}`);
    this.blocks.clear();
    for (const [index, bytes] of state.blocks) this.blocks.set(index, bytes.slice());
  }
}
