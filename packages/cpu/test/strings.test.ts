import { describe, expect, test } from 'vitest';
import { BareProcessor } from './bare-processor.ts';

/*
 * Long string instructions. What each repetition does is compared with the host processor (host.test.ts); here it is that bulk moves do the same, stop where
 * a run ends, and go on.
 */

const codeAddress = 0x1000;
/** UD2 */
const end = [0x0f, 0x0b];
const from = 0x10_0000;
const to = 0x20_0000;
const [rax, rcx, rsi, rdi] = [0, 1, 6, 7];
const elements = [1, 2, 4, 8] as const;

function pattern(bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, i) => (i * 31 + (i >> 8) * 7) & 0xff);
}

function start(code: readonly number[], registers: Readonly<Record<number, number>>): BareProcessor {
  const bare = new BareProcessor({ accel: 'interp' });
  bare.ram.set([...code, ...end], codeAddress);
  for (const [number, value] of Object.entries(registers)) bare.setRegister(Number(number), BigInt(value));
  bare.rip = codeAddress;
  return bare;
}

function codeOf(opcode: number, size: number): number[] {
  const wide = size === 1 ? opcode : opcode + 1;
  return size === 2 ? [0x66, 0xf3, wide] : size === 8 ? [0xf3, 0x48, wide] : [0xf3, wide];
}

/** What byte-by-byte copying upward does. */
function copied(ram: Uint8Array, target: number, source: number, bytes: number): Uint8Array {
  const expected = ram.slice();
  for (let i = 0; i < bytes; i++) expected[target + i] = expected[source + i];
  return expected;
}

describe.each(elements)('REP MOVS and REP STOS of %i bytes', (size) => {
  const count = 5000;
  const bytes = count * size;

  test.each([
    ['pages apart', from + 24, to + 8],
    ['with unaligned elements', from + 3, to + 4093],
    ['down by less than a page', from + 160, from],
    ['down by less than an element: the first is not read again', from + 7, from],
    ['up by 40 bytes: what was written is read again', from, from + 40],
    ['up by 3 bytes', from, from + 3],
    ['onto itself', from, from],
  ])('moves %s', (_, source, target) => {
    const bare = start(codeOf(0xa4, size), { [rcx]: count, [rsi]: source, [rdi]: target });
    bare.ram.set(pattern(bytes), source);
    // Elements are read whole before they are written.
    const expected = bare.ram.slice();
    for (let i = 0; i < bytes; i += size) expected.copyWithin(target + i, source + i, source + i + size);
    bare.processor.run(count + 10);
    expect(bare.seen?.vector).toBe(6);
    expect(Buffer.compare(bare.ram.subarray(0, to + 0x100000), expected.subarray(0, to + 0x100000))).toBe(0);
    expect([rcx, rsi, rdi].map((number) => Number(bare.register(number)))).toEqual([
      0,
      source + bytes,
      target + bytes,
    ]);
    expect(bare.processor.retired).toBe(count);
  });

  test.each([0, -1, 0x5a5a5a5a, 0x12345678])('stores %i', (value) => {
    const bare = start(codeOf(0xaa, size), { [rcx]: count, [rdi]: to + 5 });
    const element = Buffer.alloc(8);
    element.writeBigInt64LE((BigInt(value) << 32n) | BigInt(value >>> 0));
    bare.setRegister(rax, element.readBigUInt64LE());
    const expected = bare.ram.slice();
    for (let i = 0; i < bytes; i++) expected[to + 5 + i] = element[i % size];
    bare.processor.run(count + 10);
    expect(Buffer.compare(bare.ram.subarray(0, to + 0x100000), expected.subarray(0, to + 0x100000))).toBe(0);
    expect([rcx, rdi].map((number) => Number(bare.register(number)))).toEqual([0, to + 5 + bytes]);
    expect(bare.processor.retired).toBe(count);
  });

  test('a run that ends within goes on where it ended, and counts each repetition', () => {
    const bare = start(codeOf(0xa4, size), { [rcx]: count, [rsi]: from, [rdi]: to });
    bare.ram.set(pattern(bytes), from);
    const expected = copied(bare.ram, to, from, bytes);
    let done = 0;
    for (const part of [1, 2, 700, 1, 4000, 1000]) {
      bare.processor.run(part);
      done = Math.min(done + part, count);
      expect(Number(bare.register(rcx))).toBe(count - done);
      expect(Number(bare.register(rsi))).toBe(from + done * size);
      expect(Number(bare.register(rdi))).toBe(to + done * size);
      expect(bare.processor.retired).toBe(done);
      expect(Number(bare.rip)).toBe(done < count ? codeAddress : codeAddress + codeOf(0xa4, size).length);
    }
    expect(Buffer.compare(bare.ram.subarray(0, to + 0x100000), expected.subarray(0, to + 0x100000))).toBe(0);
  });

  test('a page fault within leaves the repetition that met it undone', () => {
    const bare = start(codeOf(0xa4, size), { [rcx]: count, [rsi]: from, [rdi]: to });
    // The 2 MiB page behind the target is not present.
    const target = to + 0x200000 - 3 * size;
    bare.setRegister(rdi, BigInt(target));
    const view = new DataView(bare.ram.buffer, bare.ram.byteOffset);
    const directory = bare.ram.length - 0x6000 + 0x2000;
    view.setBigUint64(directory + 8 * ((to + 0x200000) >>> 21), 0n, true);
    bare.processor.run(count);
    expect(bare.seen?.vector).toBe(14);
    expect([rcx, rsi, rdi].map((number) => Number(bare.register(number)))).toEqual([
      count - 3,
      from + 3 * size,
      to + 0x200000,
    ]);
    expect(Number(bare.rip)).toBe(codeAddress);
  });

  test('downward, element by element', () => {
    const bare = start([0xfd, ...codeOf(0xa4, size)], {
      [rcx]: 20,
      [rsi]: from + 19 * size,
      [rdi]: from + 21 * size,
    });
    bare.ram.set(pattern(400), from);
    const expected = bare.ram.slice();
    for (let i = 19; i >= 0; i--)
      expected.copyWithin(from + (i + 2) * size, from + i * size, from + (i + 1) * size);
    bare.processor.run(100);
    expect(Buffer.compare(bare.ram.subarray(from, to), expected.subarray(from, to))).toBe(0);
    expect([rcx, rsi, rdi].map((number) => Number(bare.register(number)))).toEqual([
      0,
      from - size,
      from + size,
    ]);
  });
});

test('code that REP STOS writes over is decoded anew', () => {
  // cld or std, 64 times, by the byte in AL; then UD2.
  const sled = codeAddress + 0x44;
  const bare = start([0xf3, 0xaa, 0xeb, 0x40], {});
  bare.ram.set(end, sled + 64);
  for (const [al, flag] of [
    [0xfd, 0x400],
    [0xfc, 0],
    [0xfd, 0x400],
  ]) {
    bare.setRegister(rax, BigInt(al));
    bare.setRegister(rcx, 64n);
    bare.setRegister(rdi, BigInt(sled));
    bare.processor.state.flags = 2;
    bare.rip = codeAddress;
    bare.processor.run(1000);
    expect(bare.processor.state.flags & 0x400).toBe(flag);
    expect(Number(bare.rip)).toBe(sled + 64);
  }
});

test.each([1, 2, 100])(
  'REP MOVS reads through what its own first store has found out about the page (%i at a time)',
  (piece) => {
    // MOV AL, [rsi]; REP MOVSB
    const bare = start([0x8a, 0x06, 0xf3, 0xa4], { [rcx]: 3, [rsi]: 0x40_0004, [rdi]: 0x40_0001 });
    bare.processor.run(1);
    // Without INVLPG: reads may still go where they went, but the first write walks, to set D.
    const view = new DataView(bare.ram.buffer, bare.ram.byteOffset);
    view.setUint32(bare.ram.length - 0x6000 + 0x2000 + 16, 0x60_0087, true);
    bare.ram.set([1, 2, 3], 0x40_0004);
    bare.ram.set([4, 5, 6], 0x60_0004);
    for (let done = 0; done < 3; done += piece) bare.processor.run(Math.min(piece, 3 - done));
    expect([...bare.ram.subarray(0x60_0001, 0x60_0004)]).toEqual([1, 5, 6]);
  },
);
