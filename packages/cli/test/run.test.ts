import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { nest86 } from './fake-io.ts';

const guest = 'bench.elf';
const files = {
  [guest]: readFileSync(new URL('../../../guests/bench/bench.elf', import.meta.url)),
  'notes.txt': new TextEncoder().encode('not an image'.repeat(20)),
};

describe('nest86 run', () => {
  test('--expect exits 0 once the text has appeared', async () => {
    const { code, stdout } = await nest86(
      ['run', '--kernel', guest, '--append', 'only=alu scale=0', '--expect', 'done'],
      { files },
    );
    expect(code).toBe(0);
    expect(stdout).toContain('end alu checksum=203378b2356acdfd');
  });

  test("without it, the guest's exit code is ours", async () => {
    const { code, stderr } = await nest86(
      ['run', '--kernel', guest, '--append', 'only=alu scale=0', '--stats'],
      { files },
    );
    expect(code).toBe(33);
    expect(stderr).toMatch(/instructions {2}\d+/);
  });

  test.each([
    [['run'], 2, '--kernel FILE is missing'],
    [
      ['run', '--kernel', guest, '--memory', '100'],
      2,
      '--memory 100: multiples of 64K from 2M to 3584M are allowed',
    ],
    [['run', '--kernel', guest, '--tlb', 'big'], 2, 'set-associative, exact, chaos or none'],
    [['run', '--kernel', 'nowhere.elf'], 1, 'nowhere.elf'],
    [['run', '--kernel', 'notes.txt'], 1, 'neither kind of image'],
  ])('%j is refused', async (argv, code, message) => {
    const answer = await nest86(argv, { files });
    expect(answer.code).toBe(code);
    expect(answer.stderr).toContain(message);
  });
});
