import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { commands } from '../src/commands/index.ts';
import { nest86 } from './fake-io.ts';

test('help names every command, and is also what comes without words', async () => {
  const { code, stdout, stderr } = await nest86(['--help']);
  expect([code, stderr]).toEqual([0, '']);
  for (const { name, summary } of commands) expect(stdout).toMatch(new RegExp(`${name} +${summary}`));
  expect((await nest86([])).stdout).toBe(stdout);
  expect((await nest86(['help'])).stdout).toBe(stdout);
});

test.each(commands.map(({ name, load }) => [name, load] as const))(
  'help of %s shows all its options',
  async (name, load) => {
    const { code, stdout } = await nest86([name, '--help']);
    expect(code).toBe(0);
    for (const option of Object.keys((await load()).schema)) expect(stdout).toContain(`--${option}`);
    expect(stdout).toContain('Examples:');
    expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(120);
    // Asked for help, no option is wrong.
    expect((await nest86([name, '--nonsense', '-h'])).stdout).toBe(stdout);
    expect((await nest86(['help', name])).stdout).toBe(stdout);
  },
);

test("the version is the manifest's", async () => {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  expect(await nest86(['--version'])).toMatchObject({ code: 0, stdout: `nest86 ${version}\n` });
  expect((await nest86(['-V'])).stdout).toBe(`nest86 ${version}\n`);
});

test.each([
  [['decoed'], 'nest86 decoed: no such command; did you mean decode?\n'],
  [['frobnicate'], 'nest86 frobnicate: no such command; decode, run, cpuid or snapshot is allowed\n'],
  [['help', 'frobnicate'], 'nest86: no such command; decode, run, cpuid or snapshot is allowed\n'],
  [['--hex', '90'], 'nest86: no such option: --hex; a command comes first: decode, run, cpuid or snapshot\n'],
  [['decode', '--sintax', 'att'], 'nest86 decode: no such option: --sintax; did you mean --syntax?\n'],
  [['decode', '--help-me'], 'nest86 decode: no such option: --help-me;'],
])('%j: one line and exit code 2', async (argv, message) => {
  const { code, stdout, stderr } = await nest86(argv);
  expect([code, stdout]).toEqual([2, '']);
  expect(stderr.startsWith(message) && stderr.endsWith('\n')).toBe(true);
  expect(stderr.split('\n')).toHaveLength(2);
});
