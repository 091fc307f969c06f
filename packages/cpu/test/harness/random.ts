/** xorshift32: answers 32 random bits, unsigned. */
export type Random = () => number;

export function randomNumbers(seed: number): Random {
  // Neighbouring seeds must not give neighbouring sequences.
  let state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) | 0 || 1;
  const next = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  for (let i = 0; i < 8; i++) next();
  return next;
}

export function pick<T>(random: Random, from: ArrayLike<T>): T {
  return from[random() % from.length];
}
