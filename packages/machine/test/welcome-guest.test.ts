import { readFileSync } from 'node:fs';
import { VirtioEntropy } from '@nest86/devices';
import { describe, expect, test } from 'vitest';
import { Machine, readBootImage, stateHash } from '../src/index.ts';

// The guest of `npm start` (guests/welcome): it tests the machine by itself, and switches it off.

const image = readBootImage(readFileSync(new URL('../../../guests/welcome/welcome.elf', import.meta.url)));
/** The guest needs a quarter. */
const limit = 50_000_000;

interface Outcome {
  readonly end: string;
  readonly text: string;
  readonly hashes: readonly string[];
}

function boot(accel: 'jit' | 'interp', processors: number): Outcome {
  let text = '';
  const serial = { write: (byte: number) => void (text += String.fromCharCode(byte)) };
  const devices = [new VirtioEntropy({ fill: (bytes) => void bytes.fill(0) })];
  const machine = new Machine({ memory: 64 << 20, serial, accel, processors, devices });
  machine.start(image, { commandLine: 'speed=2' });
  const { reason } = machine.run(limit);
  const hashes = machine.processors.map(({ processor }) => stateHash(processor));
  return { end: reason, text, hashes };
}

describe.each([1, 2])('%i processors', (processors) => {
  const compiled = boot('jit', processors);

  test('it switches the machine off', () => {
    expect(compiled.end).toBe('poweroff');
  });

  test('each of its tests is ok', () => {
    const count = processors === 1 ? 7 : 8;
    expect(compiled.text.match(/\.{12} .*/g)).toEqual(new Array(count).fill('............ ok'));
    expect(compiled.text).toContain(`\nAll ${count} tests passed.\n`);
  });

  test('it finds what there is', () => {
    const { text } = compiled;
    expect(text).toContain('  usable         64 MiB\n');
    expect(text).toContain('  date and time  2026-01-01 00:00:00\n');
    expect(text).toContain('24 inputs, at fec00000h\n');
    expect(text).toContain('3 timers, 10 MHz, at fed00000h\n');
    expect(text).toContain('00:01.0  1af4:1044  virtio entropy\n');
    if (processors > 1) expect(text).toContain(' 1 of 1 answered\n');
    // An instruction takes a nanosecond.
    expect(text).toMatch(/ {2}speed {10}1000 million instructions per second/);
  });

  test('interpreted, all is the same', () => {
    expect(boot('interp', processors)).toEqual(compiled);
  });
});
