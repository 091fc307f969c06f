import { describe, expect, test } from 'vitest';
import { highestVector, type LocalApic } from '../src/index.ts';
import { enable, makeBoard, offsets, read, readMsr } from './board.ts';

/** xorshift32: the same accesses in each run. */
function makeRandom(seed: number) {
  let state = seed;
  return (bound: number): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % bound;
  };
}

const registers = Object.values(offsets);

function makeActions(seed: number) {
  const random = makeRandom(seed);
  const board = makeBoard([0, 1, 2, 0x11], { external: { acknowledge: () => 0x20 } });
  const { apics, clock, fabric, ioApic } = board;
  for (const apic of apics) enable(apic);
  const word = () => (random(2) === 0 ? random(0x8_0000) : random(2 ** 32) | 0);
  const out = new Int32Array(2);
  const act = (): void => {
    const apic = apics[random(apics.length)];
    switch (random(12)) {
      case 0:
      case 1:
        apic.mmio.write(random(8) === 0 ? random(0x1000) : registers[random(registers.length)], 4, word());
        break;
      case 2:
        apic.mmio.read(random(0x1000), 1 << random(3));
        break;
      case 3:
        apic.msrs.write(0x800 + random(0x40), word(), random(4) === 0 ? random(20) : 0);
        break;
      case 4:
        apic.msrs.read(0x7f8 + random(0x110), out);
        break;
      case 5:
        if (random(20) === 0) apic.msrs.write(0x1b, 0xfee0_0000 | (random(4) << 10) | (random(2) << 8), 0);
        else apic.mmio.write(offsets.svr, 4, 0x1ff);
        break;
      case 6:
        apic.msrs.write(0x6e0, random(2 ** 20), 0);
        break;
      case 7:
        if (random(2) === 0) ioApic.write(0, 4, random(0x48));
        else ioApic.write(random(8) === 0 ? random(0x1000) : 0x10, 4, word());
        ioApic.read(random(0x20), 4);
        break;
      case 8:
        ioApic.line(random(24)).set(random(2) === 0);
        (random(2) === 0 ? apic.lint0 : apic.lint1).set(random(2) === 0);
        break;
      case 9:
        fabric.deliverMsi(0xfee0_0000 + random(0x10_0000), word());
        break;
      case 10:
        clock.advance(random(20_000));
        break;
      default:
        if (apic.isPending) apic.acknowledge();
        if (random(2) === 0) apic.mmio.write(offsets.eoi, 4, 0);
        if (random(500) === 0) apic.initialize();
    }
  };
  return { ...board, act };
}

function readPage(apic: LocalApic, offset: number): number {
  return apic.isX2apic ? readMsr(apic, 0x800 + (offset >> 4))![0] : read(apic, offset);
}

/** What is kept beside the registers must be what the registers say. */
function check(apic: LocalApic): void {
  if (!apic.isEnabled) return;
  const page = {
    read: (offset: number) => readPage(apic, offset) | 0,
    write: () => {},
    atomicOr: () => 0,
    atomicAnd: () => 0,
  };
  const request = highestVector(page, offsets.irr);
  const service = highestVector(page, offsets.isr);
  const task = readPage(apic, offsets.tpr);
  const priority = service >> 4 > task >> 4 ? service & 0xf0 : task;
  // Told at once only where it is wrong: there are many of these.
  if (readPage(apic, offsets.ppr) !== priority) expect(readPage(apic, offsets.ppr)).toBe(priority);
  if (request >> 4 > priority >> 4 && !apic.isPending) expect.fail(`vector ${request} is not pending`);
  for (const base of [offsets.irr, offsets.isr, offsets.tmr])
    if ((readPage(apic, base) & 0xffff) !== 0) expect.fail(`a vector below 16 is in ${base}`);
}

describe('whatever a guest does', () => {
  for (const seed of [1, 0x5eed])
    test(`100,000 accesses, seed ${seed}: no exception, and the cached priorities are right`, () => {
      const { act, apics, clock, told } = makeActions(seed);
      for (let index = 0; index < 100_000; index++) {
        act();
        if (index % 16 === 0) for (const apic of apics) check(apic);
        told.length = 0;
      }
      expect(clock.next).toBeGreaterThanOrEqual(clock.now);
    });

  test('a snapshot at any moment continues as the original does', () => {
    for (let seed = 1; seed <= 40; seed++) {
      const original = makeActions(seed);
      const copy = makeActions(seed);
      // The copy did the same until here, so that both go on with the same random numbers; then it forgets, and is restored.
      for (let index = 0; index < 200; index++) {
        original.act();
        copy.act();
      }
      for (const apic of copy.apics) apic.reset();
      copy.ioApic.reset();
      const texts = original.apics.map((apic) => JSON.stringify(apic.save()));
      copy.ioApic.restore(JSON.parse(JSON.stringify(original.ioApic.save())));
      for (const [index, apic] of copy.apics.entries()) apic.restore(JSON.parse(texts[index]));
      for (let index = 0; index < 300; index++) {
        original.act();
        copy.act();
      }
      expect(copy.apics.map((apic) => apic.save())).toEqual(original.apics.map((apic) => apic.save()));
      expect(copy.ioApic.save()).toEqual(original.ioApic.save());
    }
  });

  test('snapshots of other versions are refused', () => {
    const { apic, ioApic } = makeBoard();
    expect(() => apic.restore({ ...apic.save(), version: 2 as 1 })).toThrow(
      'version 2; version 1 is understood',
    );
    expect(() => ioApic.restore({ ...ioApic.save(), version: 0 as 1 })).toThrow(
      'version 0; version 1 is understood',
    );
  });
});
