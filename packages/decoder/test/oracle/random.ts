/** xorshift32: the same numbers everywhere for the same seed. */
export class Random {
  private state: number;

  constructor(seed: number) {
    this.state = seed | 0 || 0x9e3779b9;
  }

  /** 0 to 2^32 - 1. */
  next(): number {
    let { state } = this;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.state = state;
    return state >>> 0;
  }

  below(limit: number): number {
    return this.next() % limit;
  }
}

const stride = 16;
const batch = 1 << 16;
const prefixes = [0x66, 0xf2, 0xf3, 0xf0, 0x67, 0x2e, 0x64, 0x3e];

/**
 * Byte strings, one per 16 bytes of the buffer. Three of four are pulled towards the escapes, VEX, XOP, EVEX and REX, which uniform bytes
 * rarely reach; the rest is uniform.
 */
export function randomStrings(
  mode: 16 | 32 | 64,
  count: number,
  seed: number,
  use: (buffer: Uint8Array, stride: number) => void,
): void {
  const random = new Random(seed);
  const buffer = new Uint8Array(batch * stride);
  for (let done = 0; done < count; done += batch) {
    const size = Math.min(batch, count - done);
    const words = new Int32Array(buffer.buffer, 0, size * 4);
    for (let i = 0; i < words.length; i++) words[i] = random.next();
    for (let i = 0; i < size; i++) pull(buffer, i * stride, mode, random);
    use(buffer.subarray(0, size * stride), stride);
  }
}

function pull(bytes: Uint8Array, start: number, mode: number, random: Random): void {
  const kind = random.below(16);
  let at = start;
  for (let left = random.below(8); left > 5; left--) bytes[at++] = prefixes[random.below(prefixes.length)];
  const vectorBits = mode === 64 ? 0 : 0xc0;
  if (kind < 4) {
    bytes[at] = 0x0f;
  } else if (kind < 6) {
    bytes[at++] = 0x0f;
    bytes[at] = random.below(2) ? 0x38 : 0x3a;
  } else if (kind < 8) {
    bytes[at++] = 0xc4;
    bytes[at] = (bytes[at] & 0xe0) | vectorBits | (1 + random.below(3));
  } else if (kind < 11) {
    bytes[at++] = 0x62;
    bytes[at] = (bytes[at] & 0xf0) | vectorBits | (1 + random.below(7));
    bytes[at + 1] |= 4;
    if (random.below(2)) bytes[at + 2] &= 0x6f;
    if (random.below(2)) {
      bytes[at + 1] |= 0x78;
      bytes[at + 2] |= 8;
    }
  } else if (kind === 11 && mode === 64) {
    bytes[at] = 0x40 | random.below(16);
    if (random.below(2)) bytes[at + 1] = 0x0f;
  } else if (kind === 12) {
    bytes[at++] = 0x8f;
    bytes[at] = (bytes[at] & 0xe0) | (8 + random.below(3));
  }
}
