import type { RandomSource } from './entropy.ts';

/** Bytes that are the same for the same seed, by xorshift128 (Marsaglia, 2003): for machines that repeat themselves, not for secrets. */
export class SeededRandom implements RandomSource {
  private readonly state: Uint32Array;

  /** @param seed unsigned 32-bit */
  constructor(seed: number) {
    // Any state but zeros will do; the first outputs are dropped because they resemble the seed.
    this.state = Uint32Array.of(seed, 0x9e3779b9, 0x243f6a88, 0xb7e15162);
    for (let i = 0; i < 16; i++) this.next();
  }

  fill(target: Uint8Array): void {
    for (let i = 0; i < target.length; i += 4) {
      const word = this.next();
      for (let j = i; j < Math.min(i + 4, target.length); j++) target[j] = word >>> (8 * (j - i));
    }
  }

  /** Four words, from which a copy goes on. */
  save(): number[] {
    return [...this.state];
  }

  restore(state: readonly number[]): void {
    this.state.set(state);
  }

  private next(): number {
    const { state } = this;
    const mixed = state[3] ^ (state[3] << 11);
    state[3] = state[2];
    state[2] = state[1];
    state[1] = state[0];
    state[0] = state[0] ^ (state[0] >>> 19) ^ mixed ^ (mixed >>> 8);
    return state[0];
  }
}
