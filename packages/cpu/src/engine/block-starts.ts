/** Chains of blocks by the hash of their starts. */
const chains = 1 << 16;
/** Words for each block: host address of its first byte, number of its mode, number of the next block of the chain or 0. */
const words = 4;

/** Numbers of blocks by where they begin: numbers in a row, so that a search does not visit the blocks themselves, which are all over the heap. */
export class BlockStarts {
  /** By hash: the number of the block that was added last, or 0. */
  private readonly heads = new Int32Array(chains);
  private entries = new Int32Array(1024 * words);

  /** @param host address of the first byte @returns the block's number, or 0 */
  find(host: number, mode: number): number {
    const { entries } = this;
    let number = this.heads[hashOf(host, mode)];
    while (number !== 0) {
      const at = number * words;
      if (entries[at] === (host | 0) && entries[at + 1] === mode) return number;
      number = entries[at + 2];
    }
    return 0;
  }

  /** @param number of the block, from 1 on; none is added twice */
  add(number: number, host: number, mode: number): void {
    if ((number + 1) * words > this.entries.length) {
      const larger = new Int32Array(this.entries.length * 2);
      larger.set(this.entries);
      this.entries = larger;
    }
    const hash = hashOf(host, mode);
    const { entries } = this;
    entries[number * words] = host;
    entries[number * words + 1] = mode;
    entries[number * words + 2] = this.heads[hash];
    this.heads[hash] = number;
  }

  delete(number: number): void {
    const { entries, heads } = this;
    const at = number * words;
    const hash = hashOf(entries[at], entries[at + 1]);
    let before = heads[hash];
    if (before === number) heads[hash] = entries[at + 2];
    else {
      while (before !== 0 && entries[before * words + 2] !== number) before = entries[before * words + 2];
      if (before !== 0) entries[before * words + 2] = entries[at + 2];
    }
  }

  clear(): void {
    this.heads.fill(0);
  }
}

function hashOf(host: number, mode: number): number {
  return Math.imul(host ^ (mode << 5), 0x9e3779b1) >>> 16;
}
