import { type Expressions, Op, type Value, ValueType } from '@nest86/wasm';
import type { LibraryFunction } from '../function.ts';

/** 32-bit elements, lowest first. */
function split(x: Expressions, vector: Value): [Value, Value, Value, Value] {
  const element = (i: number): Value => x.extractLane(Op.i32x4ExtractLane, vector, i);
  return [element(0), element(1), element(2), element(3)];
}

function join(x: Expressions, elements: readonly Value[]): Value {
  return elements.reduce(
    (vector, element, i) =>
      i === 0 ? x.compute(Op.i32x4Splat, element) : x.replaceLane(Op.i32x4ReplaceLane, vector, element, i),
    elements[0],
  );
}

const sum = (x: Expressions, values: readonly Value[]): Value => values.reduce((a, b) => x.add(a, b));

/** Exclusive-or of rotations to the right, and of a shift if there is one. */
function mixBits(x: Expressions, value: Value, rotations: readonly number[], shift?: number): Value {
  const parts = rotations.map((count) => x.rotr(value, x.i32(count)));
  if (shift !== undefined) parts.push(x.shrU(value, x.i32(shift)));
  return parts.reduce((a, b) => x.xor(a, b));
}

function choose(x: Expressions, b: Value, c: Value, d: Value): Value {
  return x.xor(d, x.and(b, x.xor(c, d)));
}

function majority(x: Expressions, b: Value, c: Value, d: Value): Value {
  return x.or(x.and(b, c), x.and(d, x.or(b, c)));
}

function parity(x: Expressions, b: Value, c: Value, d: Value): Value {
  return x.xor(x.xor(b, c), d);
}

/** f and K of the four groups of rounds (FIPS 180-4, 4.1.1, 4.2.1). */
const sha1Groups = [
  { mix: choose, constant: 0x5a827999 },
  { mix: parity, constant: 0x6ed9eba1 },
  { mix: majority, constant: 0x8f1bbcdc },
  { mix: parity, constant: 0xca62c1d6 },
] as const;

/** SHA1RNDS4 for an immediate: (A B C D from the top, W with E in its top) → A B C D. */
export const sha1Rounds: readonly LibraryFunction[] = sha1Groups.map(({ mix, constant }, group) => ({
  name: `sha1Rounds${group}`,
  parameters: [ValueType.v128, ValueType.v128],
  result: ValueType.v128,
  build: (x, [state, message]) => {
    let [d, c, b, a] = split(x, state);
    let e = x.i32(0);
    for (const w of split(x, message).reverse()) {
      const next = sum(x, [mix(x, b, c, d), x.rotl(a, x.i32(5)), w, e, x.i32(constant | 0)]);
      [a, b, c, d, e] = [next, a, x.rotl(b, x.i32(30)), c, d];
    }
    return join(x, [d, c, b, a]);
  },
}));

/** SHA1MSG2: (W from SHA1MSG1, W13 to W15) → W16 to W19. */
export const sha1Message2: LibraryFunction = {
  name: 'sha1Message2',
  parameters: [ValueType.v128, ValueType.v128],
  result: ValueType.v128,
  build: (x, [first, second]) => {
    const [w15, w14, w13] = split(x, second);
    const [a3, a2, a1, a0] = split(x, first);
    const next = (a: Value, b: Value): Value => x.rotl(x.xor(a, b), x.i32(1));
    const w16 = next(a0, w13);
    return join(x, [next(a3, w16), next(a2, w15), next(a1, w14), w16]);
  },
};

/** SHA256RNDS2: (C D G H from the top, A B E F, W + K in the low elements) → A B E F. */
export const sha256Rounds: LibraryFunction = {
  name: 'sha256Rounds',
  parameters: [ValueType.v128, ValueType.v128, ValueType.v128],
  result: ValueType.v128,
  build: (x, [first, second, keys]) => {
    let [h, g, d, c] = split(x, first);
    let [f, e, b, a] = split(x, second);
    for (const key of split(x, keys).slice(0, 2)) {
      const t1 = sum(x, [h, mixBits(x, e, [6, 11, 25]), choose(x, e, f, g), key]);
      const t2 = x.add(mixBits(x, a, [2, 13, 22]), majority(x, a, b, c));
      [a, b, c, d, e, f, g, h] = [x.add(t1, t2), a, b, c, x.add(d, t1), e, f, g];
    }
    return join(x, [f, e, b, a]);
  },
};

/** SHA256MSG1: (W0 to W3, W4 lowest) → W + σ0 of the next W. */
export const sha256Message1: LibraryFunction = {
  name: 'sha256Message1',
  parameters: [ValueType.v128, ValueType.v128],
  result: ValueType.v128,
  build: (x, [first, second]) => {
    const w = [...split(x, first), x.extractLane(Op.i32x4ExtractLane, second, 0)];
    return join(
      x,
      [0, 1, 2, 3].map((i) => x.add(w[i], mixBits(x, w[i + 1], [7, 18], 3))),
    );
  },
};

/** SHA256MSG2: (sums, W14 and W15 at the top) → W16 to W19. */
export const sha256Message2: LibraryFunction = {
  name: 'sha256Message2',
  parameters: [ValueType.v128, ValueType.v128],
  result: ValueType.v128,
  build: (x, [first, second]) => {
    const sums = split(x, first);
    const w = split(x, second).slice(2);
    for (let i = 0; i < 4; i++) w.push(x.add(sums[i], mixBits(x, w[i], [17, 19], 10)));
    return join(x, w.slice(2));
  },
};
