import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { nest86 } from './fake-io.ts';
// The command is loaded when it is asked for; here, before the first test's time begins.
import '../src/commands/run.ts';

const guest = 'bench.elf';
const files = {
  [guest]: readFileSync(new URL('../../../guests/bench/bench.elf', import.meta.url)),
  'large.elf': new Uint8Array(0x20_0001),
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

  test('--cpu takes features away: the AVX2 kernel of the guest notices', async () => {
    const argv = ['run', '--kernel', guest, '--append', 'only=avx2 scale=0'];
    const { stdout } = await nest86([...argv, '--expect', 'done'], { files });
    expect(stdout).toContain('end avx2 ');
    const without = await nest86([...argv, '--cpu', 'default,-avx2', '--expect', 'end avx2'], { files });
    expect(without.code).not.toBe(0);
  });

  test('--accel lockstep runs the guest twice and says nothing if both agree', async () => {
    const argv = ['run', '--kernel', guest, '--append', 'only=alu scale=0', '--memory', '16M', '--stats'];
    const { code, stdout, stderr } = await nest86([...argv, '--accel', 'lockstep'], { files });
    expect(code).toBe(33);
    expect(stdout.match(/^end alu/gm)).toHaveLength(1);
    expect(stderr).not.toContain('nest86:');
    const two = await nest86([...argv, '--accel', 'lockstep', '--smp', '2', '--initrd', guest], { files });
    expect([two.code, two.stdout.match(/^end alu/gm)?.length]).toEqual([33, 1]);
  });

  test('--profile and --dump-region tell what ran and what became of it', async () => {
    const argv = ['run', '--kernel', guest, '--append', 'only=alu scale=1 repeat=1', '--memory', '16M'];
    const { stderr } = await nest86([...argv, '--profile', '--dump-region', 'hot'], { files });
    expect(stderr).toMatch(/share +runs.*\n +9\d\.\d\d % /);
    expect(stderr).toMatch(/\d+ blocks, 9\d\.\d % of their instructions in regions\n/);
    const [, address] = /^region of .*\n(?: .*\n)*([\da-f]+) {2}[\da-f]+ +\w/m.exec(stderr)!;
    const other = await nest86([...argv, '--dump-region', `0x${address}`], { files });
    expect(other.stderr).toContain(`\n${address}  `);
    const none = await nest86([...argv, '--accel', 'interp', '--dump-region', '0x1234'], { files });
    expect(none.stderr).toContain('no region that was compiled holds 1234');
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
    [
      ['run', '--kernel', guest, '--memory', 'many'],
      2,
      '--memory many: a number of bytes such as 4096, 0x1000, 64K or 2G is allowed',
    ],
    [['run', '--kernel', guest, '--memory', '3585M'], 2, 'multiples of 64K from 2M to 3584M are allowed'],
    [['run', '--kernel', guest, '--memory', '2097153'], 2, 'multiples of 64K from 2M'],
    [
      ['run', '--kernel', guest, '--dump-region', 'cold'],
      2,
      '--dump-region cold: hot, or an address such as 0x100040, is allowed',
    ],
    [['run', '--kernel', guest, '--accel', 'fast'], 2, '--accel fast: jit, interp or lockstep is allowed'],
    [
      ['run', '--kernel', guest, '--accel', 'lockstep', '--clock', 'realtime'],
      2,
      'needs --clock deterministic',
    ],
    [['run', '--kernel', guest, '--accel', 'lockstep', '--gdb', '1234'], 2, '--trace do not go with it'],
    [
      ['run', '--kernel', guest, '--timeout', '0'],
      2,
      '--timeout 0: a whole number from 1 to 1000000 is allowed',
    ],
    [['run', '--kernel', guest, '--timeout', '1.5'], 2, '--timeout 1.5: a whole number'],
    [['run', '--kernel', guest, '--timeout', '1e9'], 2, '--timeout 1e9: a whole number'],
    [['run', '--kernel', guest, '--expect', ''], 2, '--expect : a text is needed'],
    [['run', '--kernel', guest, '--expect'], 2, '--expect needs a value'],
    [
      ['run', '--kernel', guest, '--seed', '0'],
      2,
      '--seed 0: a whole number from 1 to 4294967295 is allowed',
    ],
    [
      ['run', '--kernel', guest, '--cpu', 'skylake'],
      2,
      '--cpu skylake: there is no model "skylake": did you mean skylake-server?',
    ],
    [['run', '--kernel', guest, '--cpu', 'default,+avx1024'], 2, 'feature "avx1024": allowed are fpu, vme'],
    [['run', '--kernel', guest, '--cpu', 'default,-avx1024'], 2, 'feature "avx1024": allowed are fpu, vme'],
    [['run', '--kernel', guest, '--cpu', 'default,level=3'], 2, 'there is no key "level"'],
    [['run', '--kernel', guest, '--cpu', 'zen4,+avx512f'], 2, '+avx512f: this machine does not have it'],
    [['run', '--kernel', guest, '--cpu', 'zen4,-avx,+avx2'], 2, 'avx2 needs avx, which is taken away'],
    [['run', '--kernel', guest, '--stats=yes'], 2, '--stats is a switch'],
    [['run', '--kernel', guest, 'more.elf'], 2, '"more.elf": files are given by --kernel'],
    [['run', '--kernel', guest, '--append', 'x\u0000'], 1, 'character 2 of the command line'],
    [['run', '--kernel', 'notes.txt', '--kernel', ''], 2, '--kernel : a file name is needed'],
    [['run', '--kernel', 'large.elf', '--memory', '2M'], 1, '2097153 bytes do not fit'],
    [['run', '--kernel', 'nowhere.elf'], 1, 'nowhere.elf'],
    [['run', '--kernel', 'notes.txt'], 1, 'no kind of image that can be started'],
  ])('%j is refused', async (argv, code, message) => {
    const answer = await nest86(argv, { files });
    expect(answer.code).toBe(code);
    expect(answer.stderr).toContain(message);
  });
});
