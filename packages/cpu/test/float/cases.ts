import { caseWords } from './oracle.ts';

export type OperandType = 'f16' | 'f32' | 'f64' | 'i32' | 'i64';

/** xorshift32: unsigned 32 bits each. */
export function randomNumbers(seed: number): () => number {
  let state = seed | 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

const formats = {
  f16: { fraction: 10, exponent: 5 },
  f32: { fraction: 23, exponent: 8 },
  f64: { fraction: 52, exponent: 11 },
} as const;

/** A fraction: any, few ones at the top or at the bottom (halfway cases), all ones, a small integer's. */
function randomFraction(bits: number, random: () => number): bigint {
  const all = (1n << BigInt(bits)) - 1n;
  const any = ((BigInt(random()) << 32n) | BigInt(random())) & all;
  switch (random() & 7) {
    case 0:
      return 0n;
    case 1:
      return all;
    case 2:
      return all ^ (1n << BigInt(random() % bits));
    case 3:
      return 1n << BigInt(random() % bits);
    case 4:
      // Ones only in the upper places: exact sums and products.
      return any & (all ^ (all >> BigInt(random() % bits)));
    case 5:
      return any & (all >> BigInt(random() % bits));
    default:
      return any;
  }
}

function randomFloat(
  { fraction, exponent }: { fraction: number; exponent: number },
  random: () => number,
): bigint {
  const max = (1 << exponent) - 1;
  const bias = max >> 1;
  const choices = [
    0,
    0,
    1,
    2,
    random() % (fraction + 2),
    max,
    max - 1,
    max - 2,
    bias,
    bias + (random() % 5) - 2,
    bias + (random() % 5) - 2,
    bias + (random() % (fraction + 3)),
    bias + (random() % 66),
    bias - (random() % (2 * fraction + 3)),
    (bias >> 1) + (random() % 5) - 2,
    bias + (bias >> 1) + (random() % 5) - 2,
    bias - (bias >> 3) + (random() % (bias >> 2)),
    random() % (max + 1),
  ];
  const chosen = Math.min(max, Math.max(0, choices[random() % choices.length]));
  let part = randomFraction(fraction, random);
  // Zeros and infinities are what all-zero fractions make; more of them.
  if ((chosen === 0 || chosen === max) && random() % 3 === 0) part = 0n;
  const sign = BigInt(random() & 1);
  return (((sign << BigInt(exponent)) | BigInt(chosen)) << BigInt(fraction)) | part;
}

function randomInteger(bits: number, random: () => number): bigint {
  const any = (BigInt(random()) << 32n) | BigInt(random());
  const small = any >> BigInt(random() % 64);
  const value = [any, small, -small, (1n << BigInt(random() % 64)) + BigInt(random() % 3) - 1n][random() & 3];
  return BigInt.asUintN(bits, value);
}

function randomOperand(type: OperandType, random: () => number): bigint {
  if (type === 'i32' || type === 'i64') return randomInteger(type === 'i32' ? 32 : 64, random);
  return randomFloat(formats[type], random);
}

/** Near another operand, for cancellation: the last places, the exponent or the sign differ. */
function neighbour(type: OperandType, value: bigint, random: () => number): bigint {
  if (type === 'i32' || type === 'i64') return value;
  const { fraction, exponent } = formats[type];
  const changed = [
    value,
    value + BigInt(random() % 5) - 2n,
    value + (BigInt(random() % 3) - 1n) * (1n << BigInt(fraction)),
    value ^ (1n << BigInt(random() % fraction)),
  ][random() & 3];
  return BigInt.asUintN(
    fraction + exponent + 1,
    changed ^ (BigInt(random() & 1) << BigInt(fraction + exponent)),
  );
}

/**
 * MXCSR: in a quarter as programs have it after a while, in a quarter as it is at first; else any rounding, masks and flags, DAZ and FTZ each in
 * a quarter.
 */
function randomControl(random: () => number): number {
  const kind = random() & 7;
  if (kind < 2) return 0x1fa0;
  if (kind < 4) return 0x1f80;
  const masks = random() & 1 ? 0x1f80 : random() & 0x1f80;
  const bits = random();
  const flags = bits & 0x100000 ? bits & 0x3f : 0;
  return masks | flags | (bits & 0x6000) | (bits & 0x30000 ? 0 : 1 << 15) | (bits & 0xc0000 ? 0 : 1 << 6);
}

/** @param mxcsr fixed, or random if left out */
export function randomCases(
  types: readonly OperandType[],
  count: number,
  seed: number,
  mxcsr?: number,
): Uint32Array {
  const random = randomNumbers(seed);
  const words = new Uint32Array(count * caseWords);
  for (let i = 0; i < count; i++) {
    const operands: bigint[] = [];
    for (const type of types) {
      const previous = operands.length > 0 ? operands[random() % operands.length] : undefined;
      operands.push(
        previous !== undefined && random() % 4 === 0
          ? neighbour(type, previous, random)
          : randomOperand(type, random),
      );
    }
    operands.forEach((operand, n) => {
      words[i * caseWords + 2 * n] = Number(operand & 0xffffffffn);
      words[i * caseWords + 2 * n + 1] = Number(operand >> 32n);
    });
    words[i * caseWords + 6] = mxcsr ?? randomControl(random);
  }
  return words;
}
