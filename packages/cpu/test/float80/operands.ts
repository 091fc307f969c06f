import { caseSize } from './oracle.ts';

/** Random 32-bit numbers, reproducible (mulberry32). */
class Random {
  constructor(private state: number) {}

  bits(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (t ^ (t >>> 14)) >>> 0;
  }

  /** From 0 to `count` - 1. */
  below(count: number): number {
    return Math.floor((this.bits() / 2 ** 32) * count);
  }

  oneIn(count: number): boolean {
    return this.below(count) === 0;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)];
  }
}

/** An 80-bit value: sign and exponent, upper and lower half of the significand. */
type Words = readonly [signExponent: number, high: number, low: number];

const top = 0x80000000;
/** One of each class and its neighbours (SDM vol. 1, table 8-3). */
const edges: readonly Words[] = [
  [0, 0, 0],
  [0, 0, 1],
  [0, 0x7fffffff, 0xffffffff],
  [0, top, 0],
  [0, top, 1],
  [0, 0xffffffff, 0xffffffff],
  [1, top, 0],
  [1, top, 1],
  [1, 0xffffffff, 0xffffffff],
  [0x3fff, top, 0],
  [0x3fff, top, 1],
  [0x3ffe, 0xffffffff, 0xffffffff],
  [0x3ffe, top, 0],
  [0x4000, top, 0],
  [0x4000, 0xc0000000, 0],
  [0x4001, 0xa0000000, 0],
  [0x7ffe, 0xffffffff, 0xffffffff],
  [0x7ffe, top, 0],
  [0x7fff, top, 0],
  [0x7fff, top, 1],
  [0x7fff, 0xc0000000, 0],
  [0x7fff, 0xc0000000, 1],
  [0x7fff, 0xffffffff, 0xffffffff],
  [0x7fff, 0xbfffffff, 0xffffffff],
  // Not supported: pseudo-infinity, pseudo-NaNs, unnormals.
  [0x7fff, 0, 0],
  [0x7fff, 0x40000000, 1],
  [0x7fff, 0, 1],
  [0x3fff, 0x40000000, 0],
  [0x4010, 0, 0],
  [1, 0x7fffffff, 0xffffffff],
];

/** Significands with runs of equal bits: halfway cases and carries of every precision. */
function significand(random: Random): [number, number] {
  let [high, low] = [random.bits(), random.bits()];
  switch (random.below(6)) {
    case 0:
      [high, low] = [random.bits() & random.bits() & random.bits(), 0];
      break;
    case 1: {
      // Ones, or zeros, from some bit on; then perhaps a bit more.
      const length = random.below(65);
      const mask = (1n << BigInt(length)) - 1n;
      let bits = (BigInt(high) << 32n) | BigInt(low);
      bits = random.oneIn(2) ? bits | mask : bits & ~mask;
      if (random.oneIn(2)) bits ^= 1n << BigInt(random.below(64));
      [high, low] = [Number((bits >> 32n) & 0xffffffffn), Number(bits & 0xffffffffn)];
      break;
    }
    case 2:
      low = 0;
      high &= 0xffffff00;
      break;
    case 3:
      low &= 0xfffff800;
      break;
    default:
  }
  return [high | top, low];
}

function exponent(random: Random): number {
  switch (random.below(8)) {
    case 0:
      return random.below(0x7fff);
    case 1:
      return random.below(70);
    case 2:
      return 0x7ffe - random.below(70);
    default:
      return 0x3fff - 70 + random.below(140);
  }
}

function operand(random: Random): Words {
  const sign = random.oneIn(2) ? 0x8000 : 0;
  if (random.oneIn(12)) {
    const [signExponent, high, low] = random.pick(edges);
    return [signExponent | sign, high, low];
  }
  const [high, low] = significand(random);
  if (random.oneIn(16)) return [sign, (high >>> random.below(33)) >>> 0, low];
  return [sign | exponent(random), high, low];
}

/** One that has to do with `a`, so that bits meet or vanish. */
function near(random: Random, a: Words): Words {
  const sign = random.oneIn(2) ? 0x8000 : 0;
  const [high, low] = random.oneIn(2)
    ? [a[1], (a[2] ^ (random.bits() >>> random.below(33))) >>> 0]
    : significand(random);
  const distance = random.oneIn(2) ? random.below(5) - 2 : random.below(141) - 70;
  return [sign | Math.min(0x7ffe, Math.max(0, (a[0] & 0x7fff) + distance)), high, low];
}

/** All rounding modes and precisions; mostly all exceptions masked, else any. */
function control(random: Random): number {
  const masks = random.oneIn(2) ? 0x3f : random.below(64);
  return 0x40 | masks | (random.below(4) << 8) | (random.below(4) << 10);
}

function writeOperand(view: DataView, at: number, [signExponent, high, low]: Words): void {
  view.setUint32(at, low, true);
  view.setUint32(at + 4, high >>> 0, true);
  view.setUint16(at + 8, signExponent, true);
}

/** @param make operands, if not arbitrary ones */
function randomCases(count: number, seed: number, make: Make = pair): Uint8Array {
  const random = new Random(seed);
  const cases = new Uint8Array(count * caseSize);
  const view = new DataView(cases.buffer);
  for (let i = 0; i < count; i++) {
    const at = i * caseSize;
    const [a, b] = make(random);
    writeOperand(view, at, a);
    writeOperand(view, at + 16, b);
    view.setUint16(at + 32, control(random), true);
    view.setUint16(at + 34, random.bits() & 0x4700, true);
  }
  return cases;
}

/** A value whose exponent is in a range; edges as well. */
function between(random: Random, least: number, most: number): Words {
  const any = operand(random);
  if (random.oneIn(4)) return any;
  return [(any[0] & 0x8000) | (least + random.below(most - least + 1)), (any[1] | top) >>> 0, any[2]];
}

/** Bits of a narrower format, at the beginning of an operand's place. */
function narrow(random: Random, bits: 32 | 64): Words {
  const fraction = bits === 32 ? 23 : 20;
  const special = bits === 32 ? 0xff : 0x7ff;
  const [high, low] = significand(random);
  const exponents = [
    0,
    1,
    special - 1,
    special,
    random.below(special),
    (special >> 1) + random.below(40) - 20,
  ];
  // Mostly few bits of the fraction, so that infinities and zeros occur.
  const digits = random.oneIn(4) ? 0 : random.oneIn(4) ? 1 << (fraction - 1) : high >>> (32 - fraction);
  const lower = random.oneIn(2) ? 0 : low;
  const upper = ((random.below(2) << 31) | (random.pick(exponents) << fraction) | digits) >>> 0;
  return bits === 32 ? [0, 0, upper] : [0, upper, lower];
}

const bias = 0x3fff;
type Make = (random: Random) => readonly [Words, Words];

/** Operands that are worth trying, by the names of oracle.c. @defaultValue {@link pair} */
const makers: Readonly<Record<string, Make>> = {
  ld32: (random) => [narrow(random, 32), operand(random)],
  ld64: (random) => [narrow(random, 64), operand(random)],
  add32: (random) => [operand(random), narrow(random, 32)],
  divr32: (random) => [operand(random), narrow(random, 32)],
  com32: (random) => [operand(random), narrow(random, 32)],
  sub64: (random) => [operand(random), narrow(random, 64)],
  mul64: (random) => [operand(random), narrow(random, 64)],
  com64: (random) => [operand(random), narrow(random, 64)],
  st32: (random) =>
    random.oneIn(2)
      ? [between(random, bias - 155, bias - 122), operand(random)]
      : [between(random, bias + 120, bias + 130), operand(random)],
  st64: (random) =>
    random.oneIn(2)
      ? [between(random, bias - 1080, bias - 1018), operand(random)]
      : [between(random, bias + 1018, bias + 1027), operand(random)],
  scale: (random) => [operand(random), between(random, bias - 1, bias + 17)],
  ist16: (random) => [between(random, bias - 2, bias + 18), operand(random)],
  istt16: (random) => [between(random, bias - 2, bias + 18), operand(random)],
  ist32: (random) => [between(random, bias - 2, bias + 34), operand(random)],
  istt32: (random) => [between(random, bias - 2, bias + 34), operand(random)],
  bstp: (random) => [between(random, bias - 2, bias + 61), operand(random)],
  f2xm1: (random) => [between(random, bias - 70, bias - 1), operand(random)],
  sin: (random) => [between(random, bias - 40, bias + 63), operand(random)],
  cos: (random) => [between(random, bias - 40, bias + 63), operand(random)],
};

/** The same for every run with this seed. @param name of oracle.c */
export function casesFor(name: string, count: number, seed: number): Uint8Array {
  return randomCases(count, seed, makers[name]);
}

function pair(random: Random): readonly [Words, Words] {
  const a = operand(random);
  return [a, random.oneIn(2) ? operand(random) : near(random, a)];
}
