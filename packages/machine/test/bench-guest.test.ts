import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { BareMachine, ImageError, readBootImage } from '../src/index.ts';

const guests = new URL('../../../guests/', import.meta.url);
const bench = readFileSync(new URL('bench/bench.elf', guests));

/** Checksum and instructions of each kernel at scale 0, as a real processor has them. */
const expected = readFileSync(new URL('bench/expected.txt', guests), 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('0 '))
  .map((line) => line.split(' '))
  // 8 million instructions for one round.
  .filter(([, name]) => name !== 'chase');

function runKernel(name: string, accel: 'interp' | 'jit'): string {
  let text = '';
  const output = { write: (byte: number) => (text += String.fromCharCode(byte)) };
  const machine = new BareMachine({ memory: 256 << 20, output, accel });
  machine.load(readBootImage(bench), `only=${name} scale=0`);
  const end = machine.run(200_000_000);
  expect(machine.engine.statistics.failures).toEqual([]);
  return `${text}${JSON.stringify(end)}`;
}

describe('the benchmark guest computes what a real processor does', () => {
  test.each(expected)('scale %s: %s', (_scale, name, checksum, work) => {
    for (const accel of ['interp', 'jit'] as const) {
      const text = runKernel(name, accel);
      expect(text).toContain(`end ${name} checksum=${checksum} work=${work} `);
      expect(text).toContain('{"reason":"exit","exitCode":33}');
    }
  });
});

test('a file that is no image is refused with a reason', () => {
  expect(() => readBootImage(new Uint8Array(100))).toThrow(ImageError);
});

test('an image that does not fit the memory is refused', () => {
  const machine = new BareMachine({ memory: 1 << 20, output: { write: () => {} } });
  expect(() => machine.load(readBootImage(bench), '')).toThrow('the image needs memory from');
});
