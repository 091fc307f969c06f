import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { memoryMap } from '../src/firmware/memory-map.ts';
import { BareMachine, ImageError, MachineOptionError, readBootImage } from '../src/index.ts';
import { planBoot } from '../src/load/boot-plan.ts';

const image = new Uint8Array(readFileSync(new URL('../../../guests/bench/bench.elf', import.meta.url)));
const output = { write: () => {} };

/** An ELF file of 64 bits with one program header and what it points at. */
function elf(
  header: { type: number; offset?: number; size?: number; memory?: number },
  bytes: readonly number[],
) {
  const file = new Uint8Array(120 + bytes.length);
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(18, 62, true);
  view.setBigUint64(32, 64n, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, 1, true);
  const { type, offset = 120, size = bytes.length, memory = size } = header;
  view.setUint32(64, type, true);
  view.setBigUint64(72, BigInt(offset), true);
  view.setBigUint64(96, BigInt(size), true);
  view.setBigUint64(104, BigInt(memory), true);
  file.set(bytes, 120);
  return file;
}

describe('damaged images are refused', () => {
  test('whatever bytes of the headers are wrong', () => {
    let random = 1;
    const next = (below: number): number => {
      random = (Math.imul(random, 1103515245) + 12345) & 0x7fffffff;
      return (random >>> 8) % below;
    };
    const machine = new BareMachine({ memory: 2 << 20, output, accel: 'interp' });
    let refused = 0;
    for (let i = 0; i < 3000; i++) {
      const length = next(8) === 0 ? next(4096) : image.length;
      const file = image.slice(0, length);
      const count = 1 + next(4);
      for (let j = 0; j < count; j++) file[next(next(2) === 0 ? 64 : 512)] = next(2) === 0 ? 255 : next(256);
      try {
        machine.load(readBootImage(file), '');
      } catch (error) {
        if (!(error instanceof ImageError)) throw error;
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(1000);
  });

  test.each([
    ['a name longer than the notes', [0xff, 0xff, 0xff, 0xff, 4, 0, 0, 0, 18, 0, 0, 0]],
    ['a name of 2 GiB', [0, 0, 0, 0x80, 4, 0, 0, 0, 18, 0, 0, 0]],
    ['a description longer than the notes', [4, 0, 0, 0, 0xfc, 0xff, 0xff, 0xff, 18, 0, 0, 0]],
  ])('note with %s', (_name, bytes) => {
    expect(() => readBootImage(elf({ type: 4 }, bytes))).toThrow('no PVH note: no kind of image');
  });

  test('a PVH note without an address', () => {
    const note = [4, 0, 0, 0, 0, 0, 0, 0, 18, 0, 0, 0, 0x58, 0x65, 0x6e, 0];
    expect(() => readBootImage(elf({ type: 4 }, note))).toThrow('the PVH note has no entry address');
  });

  test('a segment with more bytes than memory', () => {
    expect(() => readBootImage(elf({ type: 1, memory: 2 }, [1, 2, 3, 4]))).toThrow(
      'ELF segment 0 has 4 bytes for 2 bytes of memory',
    );
  });

  test('a command line that is too long', () => {
    const machine = new BareMachine({ memory: 256 << 20, output, accel: 'interp' });
    expect(() => machine.load(readBootImage(image), 'x'.repeat(8193))).toThrow('8192 are allowed');
    expect(() => machine.load(readBootImage(image), 'über')).toThrow('character 1 of the command line');
  });
});

describe('wrong options are refused', () => {
  const make = (options: object) => () => new BareMachine({ memory: 1 << 20, output, ...options });

  test.each([
    [{ memory: 0 }, 'memory 0: multiples of 65536 from 1 MiB to 3584 MiB are allowed'],
    [{ memory: 1_500_000 }, 'memory 1500000: multiples of 65536'],
    [{ memory: Number.NaN }, 'memory NaN: multiples of 65536'],
    [{ memory: 2 ** 32 }, 'memory 4294967296: multiples of 65536'],
    [{ seed: 0 }, 'seed 0: a whole number other than 0 is allowed'],
    [{ seed: 1.5 }, 'seed 1.5: a whole number'],
  ])('%j', (options, message) => {
    expect(make(options)).toThrow(MachineOptionError);
    expect(make(options)).toThrow(message);
  });

  test('options of the parts are refused by the parts', () => {
    expect(make({ accel: 'fast' })).toThrow('accel fast: jit or interp is allowed');
    expect(make({ tlb: 'big' })).toThrow('TLB "big": one of set-associative, exact');
  });
});

describe('boot information', () => {
  const place = (segments: readonly (readonly [address: number, memorySize: number])[]): number =>
    planBoot(
      {
        protocol: 'multiboot',
        // Of one that is entered at its first byte.
        entry: segments[0][0],
        segments: segments.map(([address, memorySize]) => ({
          address,
          memorySize,
          bytes: new Uint8Array(0),
        })),
      },
      { map: memoryMap(1 << 24), commandLine: 'a' },
    ).writes[segments.length].address;

  test.each([
    ['at 9000h', [[0x100000, 0x1000]], 0x9000],
    [
      'behind an image that lies there',
      [
        [0x8000, 0x286c],
        [0xb000, 0x2a30],
      ],
      0xe000,
    ],
  ] as const)('%s', (_name, segments, address) => {
    expect(place(segments)).toBe(address);
  });

  test('no room', () => {
    expect(() => place([[0, 0xa0000]])).toThrow('no room for the boot information');
  });
});
