import { Machine, SeededRandom, VirtioEntropy, writeSnapshot } from '@nest86/machine';
import { describe, expect, test } from 'vitest';
import { deflate } from '../src/snapshot/deflate.ts';
import { nest86 } from './fake-io.ts';

const machine = new Machine({
  memory: 4 << 20,
  processors: 2,
  serial: { write: () => {} },
  devices: [new VirtioEntropy(new SeededRandom(1))],
});
// RAM holds no code: both fault until they shut down, or do nothing.
machine.run(10);
const pieces = [...writeSnapshot(machine.save(), { compressor: deflate })];
const file = Uint8Array.from(Buffer.concat(pieces));

describe('nest86 snapshot', () => {
  test('info tells what was saved, and what it takes', async () => {
    const { code, stdout, leftOpen } = await nest86(['snapshot', 'info', 'a.snap'], {
      files: { 'a.snap': file },
    });
    expect([code, leftOpen]).toEqual([0, 0]);
    expect(stdout).toContain(`file          ${file.length} bytes\n`);
    expect(stdout).toContain('machine       2 processors, 4 MiB, deterministic time\n');
    expect(stdout).toContain('device 0      entropy (features 0)\n');
    expect(stdout).toMatch(/^instructions {2}\d+ \(\d+ \d+\)$/m);
    for (const unit of ['about', 'processor/1', 'apic/0', 'tlb/1', 'virtio/0', 'ram'])
      expect(stdout).toMatch(new RegExp(`^${unit} +\\d+$`, 'm'));
  });

  test.each([
    ['damaged', file.map((byte, i) => (i === 60 ? byte ^ 1 : byte)), /a\.snap: .*damaged.*checksum/],
    ['cut off', file.slice(0, 5000), /a\.snap: the snapshot ends in unit .*, at byte 5000/],
    ['another file', Uint8Array.of(1, 2, 3), /a\.snap: this is no snapshot of nest86/],
  ])('a file that is %s', async (_what, bytes, message) => {
    const { code, stderr } = await nest86(['snapshot', 'info', 'a.snap'], { files: { 'a.snap': bytes } });
    expect(code).toBe(1);
    expect(stderr).toMatch(message);
  });

  test.each([
    [['snapshot'], '"info FILE" is what can be asked'],
    [['snapshot', 'load', 'a'], '"load": "info FILE" is what can be asked'],
    [['snapshot', 'info'], 'info: one FILE is asked for'],
  ])('%j is refused', async (argv, message) => {
    const { code, stderr } = await nest86(argv);
    expect(code).toBe(2);
    expect(stderr).toContain(message);
  });
});
