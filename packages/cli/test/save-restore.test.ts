import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { nest86, type Outcome } from './fake-io.ts';
// The command is loaded when it is asked for; here, before the first test's time begins.
import '../src/commands/run.ts';

const kernel = readFileSync(new URL('../../../guests/bench/bench.elf', import.meta.url));
const disk = new Uint8Array(8192).fill(7);
const world = { files: { 'bench.elf': kernel, 'disk.img': disk } };
const guest = ['--append', 'only=alu scale=1 repeat=1'];
const start = ['run', '--kernel', 'bench.elf', '--memory', '8M', ...guest];
const half = 1_000_000;

/** What `--stats` says of the processors' state and instructions. */
function stateOf({ stderr }: Outcome): string {
  return `${/^state .*$/m.exec(stderr)} ${/^instructions .*$/m.exec(stderr)}`;
}

describe('a saved machine goes on as the one that was not', () => {
  let whole: Outcome;
  let saved: Outcome;

  beforeAll(async () => {
    whole = await nest86([...start, '--stats', '--save', 'end.snap'], world);
    saved = await nest86([...start, '--stats', '--save', 'half.snap', '--save-at', `${half}`], world);
  }, 30_000);

  test('saving changes nothing', () => {
    expect(whole.stderr).toMatch(/^nest86: saved end\.snap: \d+ bytes, at \d+ instructions$/m);
    expect(saved.stderr).toContain('nest86: saved half.snap: ');
    expect(saved.stderr).toContain(`, at ${half} instructions\n`);
    expect([whole.code, saved.code, saved.stdout]).toEqual([33, 33, whole.stdout]);
    expect(stateOf(saved)).toBe(stateOf(whole));
  });

  test.each(['jit', 'interp'])('restored with %s, every byte of the end is the same', async (accel) => {
    const argv = ['run', '--restore', 'half.snap', '--stats', '--accel', accel, '--save', 'end.snap'];
    const { code, stdout, stderr, files, leftOpen } = await nest86(argv, { files: saved.files });
    expect([code, leftOpen]).toEqual([33, 0]);
    expect(whole.stdout.endsWith(stdout)).toBe(true);
    expect(stateOf({ stderr } as Outcome)).toBe(stateOf(whole));
    expect(Buffer.compare(files['end.snap'], whole.files['end.snap'])).toBe(0);
  });

  test('a run that has ended ends again, with its exit code', async () => {
    const { code, stdout } = await nest86(['run', '--restore', 'end.snap'], { files: whole.files });
    expect([code, stdout]).toEqual([33, '']);
  });

  test.each([
    [
      ['--memory', '16M'],
      'the snapshot is of another machine: memory: 8388608 bytes in the snapshot, 16777216 bytes here',
    ],
    [['--smp', '2'], 'processors: 1 in the snapshot, 2 here'],
    [['--clock', 'realtime'], 'clock: deterministic in the snapshot, realtime here'],
    [['--cpu', 'zen2'], 'CPU vendor: intel in the snapshot, amd here'],
    [['--cpu', 'default,-avx2'], 'CPU features: avx2'],
    [['--tlb', 'exact'], 'unit tlb/0: TLB "set-associative'],
    [['--disk', 'disk.img'], 'device 0: entropy (features 0) in the snapshot, disk of 8192 bytes'],
  ])('%j is another machine', async (options, message) => {
    const files = { ...saved.files, ...world.files };
    const { code, stderr, leftOpen } = await nest86(['run', '--restore', 'half.snap', ...options], { files });
    expect([code, leftOpen]).toEqual([1, 0]);
    expect(stderr).toMatch(/^nest86 run: half\.snap: .*\n$/);
    expect(stderr).toContain(message);
  });

  test.each([
    ['no snapshot', () => kernel, 'this is no snapshot of nest86'],
    ['empty', () => new Uint8Array(0), 'this is no snapshot of nest86'],
    [
      'cut',
      (file: Uint8Array) => file.slice(0, file.length - 100),
      /the snapshot ends in unit ram\/\d+, at byte/,
    ],
    [
      'damaged',
      (file: Uint8Array) => file.map((byte, i) => (i === file.length - 50 ? byte ^ 4 : byte)),
      'is damaged: its checksum does not fit',
    ],
  ])('a file that is %s', async (_, change, message) => {
    const files = { 'half.snap': change(saved.files['half.snap']) };
    const { code, stderr } = await nest86(['run', '--restore', 'half.snap'], { files });
    expect(code).toBe(1);
    expect(stderr).toMatch(/^nest86 run: half\.snap: .*\n$/);
    expect(stderr).toMatch(message);
  });

  test('--save-at lies behind what a snapshot has run', async () => {
    const argv = ['run', '--restore', 'half.snap', '--save', 'x', '--save-at', '5'];
    const { code, stderr } = await nest86(argv, { files: saved.files });
    expect([code, stderr]).toEqual([
      2,
      `nest86 run: --save-at 5: the snapshot is at ${half} instructions already\n`,
    ]);
  });
});

test('a machine with a disk asks for it', async () => {
  const argv = [...start, '--disk', 'disk.img', '--save', 'a.snap'];
  const { files } = await nest86(argv, world);
  const without = await nest86(['run', '--restore', 'a.snap'], { files });
  expect([without.code, without.stderr]).toEqual([
    1,
    expect.stringMatching(
      /^nest86 run: a\.snap: the machine that was saved has a disk of 8192 bytes .*: --disk FILE is missing\n$/,
    ),
  ]);
  expect((await nest86(['run', '--restore', 'a.snap', '--disk', 'disk.img'], { files })).code).toBe(33);
});

describe('what cannot be saved', () => {
  test('a full disk: one line, exit code 1, the old file', async () => {
    const old = Uint8Array.of(1, 2, 3);
    const files = { ...world.files, 'a.snap': old };
    for (const options of [[], ['--save-at', '1000']]) {
      const argv = [...start, '--save', 'a.snap', ...options];
      const outcome = await nest86(argv, { files, room: 20_000 });
      expect([outcome.code, outcome.stderr]).toEqual([
        1,
        'nest86 run: a.snap: cannot be written: no space left on the device\n',
      ]);
      expect(outcome.files['a.snap']).toBe(old);
    }
  });

  test('a folder that is not there, before the guest has run for nothing', async () => {
    const { code, stdout, stderr } = await nest86([...start, '--save', 'nowhere/a.snap'], world);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toBe('nest86 run: nowhere/a.snap: cannot be written: no such file\n');
  });

  test('a count that the run does not reach', async () => {
    const { code, stderr, files } = await nest86(
      [...start, '--save', 'a', '--save-at', '1000000000000'],
      world,
    );
    expect([code, 'a' in files]).toEqual([1, false]);
    expect(stderr).toMatch(
      /a: nothing was saved: the run ended after \d+ instructions, before --save-at 1000000000000\n$/,
    );
  });

  test.each([
    [['run', '--restore', 'a', '--kernel', 'b'], '--restore: no --kernel, --initrd, --append go with it'],
    [['run', '--restore', 'a', '--append', 'b'], '--restore: no --kernel, --initrd, --append go with it'],
    [[...start, '--save-at', '5'], '--save-at: --save FILE is missing'],
    [[...start, '--save', 'a', '--accel', 'lockstep'], '--save, --restore and --trace do not go with it'],
  ])('%j is refused', async (argv, message) => {
    const { code, stderr } = await nest86(argv, world);
    expect(code).toBe(2);
    expect(stderr).toContain(message);
  });
});
