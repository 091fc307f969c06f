import { describe, expect, test } from 'vitest';
import { nest86 } from './fake-io.ts';
import { nobits, tinyElf } from './tiny-elf.ts';

const add = [0x48, 0x01, 0xd8];
const ret = 0xc3;
const program = tinyElf({
  sections: [
    { name: '.init', bytes: [...add, ret], address: 0x401000 },
    { name: '.data', bytes: [0x90], address: 0x403000, flags: 3 },
    { name: '.text', bytes: [0x06, ...add, 0x48], address: 0xffffffff81000000n },
    { name: '.bss', bytes: [], address: 0x405000, type: nobits },
  ],
});
const files = { 'a.out': program, 'boot.img': Uint8Array.from([0, 0, ...add, ret]) };

/** Lines in columns; blank lines left out. */
const table = (text: string) =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.trim().split(/ {2,}/));

test('an ELF file: each executable section with address, bytes and text; what is no code is (bad), and exit code 0', async () => {
  const { code, stdout, stderr, leftOpen } = await nest86(['decode', 'a.out'], { files });
  expect([code, stderr, leftOpen]).toEqual([0, '', 0]);
  expect(table(stdout)).toEqual([
    ['a.out: ELF, 64-bit code, 9 bytes of it in 2 sections'],
    ['.init'],
    ['401000:', '48 01 d8', 'add rax, rbx'],
    ['401003:', 'c3', expect.stringMatching(/^ret/)],
    ['.text'],
    ['ffffffff81000000:', '06', '(bad)'],
    ['ffffffff81000001:', '48 01 d8', 'add rax, rbx'],
    ['ffffffff81000004:', '48', '(bad)'],
  ]);
});

test('--section takes any section with bytes', async () => {
  const { stdout } = await nest86(['decode', 'a.out', '--section', '.data', '--section', '.init'], { files });
  expect(table(stdout).map(([first]) => first)).toEqual([
    'a.out: ELF, 64-bit code, 5 bytes of it in 2 sections',
    '.data',
    '403000:',
    '.init',
    '401000:',
    '401003:',
  ]);
  expect(await nest86(['decode', 'a.out', '--section', '.bss'], { files })).toMatchObject({
    code: 1,
    stderr: 'nest86 decode: a.out: section .bss has no bytes in the file (NOBITS)\n',
  });
});

test('the machine decides the mode, --mode overrides it', async () => {
  const sections = [{ name: '.text', bytes: [0x48, 0xc3], address: 0x8048000 }];
  const elf = {
    i386: tinyElf({ bits: 32, machine: 3, sections }),
    x32: tinyElf({ bits: 32, machine: 62, sections }),
  };
  const texts = async (...argv: string[]) =>
    table((await nest86(['decode', ...argv], { files: elf })).stdout)
      .slice(2)
      .map((row) => row[2]);
  expect(await texts('i386')).toEqual(['dec eax', expect.stringMatching(/^ret/)]);
  expect(await texts('i386', '--mode', '16')).toEqual(['dec ax', expect.stringMatching(/^ret/)]);
  expect(await texts('x32')).toEqual([expect.stringMatching(/^ret/)]);
});

test('raw bytes, from a file and from standard input', async () => {
  const argv = ['--raw', '--offset', '2', '--length', '3', '--address', '0x7c00', '--mode', '64'];
  const { stdout } = await nest86(['decode', 'boot.img', ...argv], { files });
  expect(table(stdout)).toEqual([
    ['boot.img: 3 raw bytes as 64-bit code'],
    ['7c00:', '48 01 d8', 'add rax, rbx'],
  ]);
  const piped = await nest86(['decode', '-', ...argv], { stdin: files['boot.img'] });
  expect(table(piped.stdout).slice(1)).toEqual(table(stdout).slice(1));
  expect((await nest86(['decode', '-'], { stdin: program })).stdout).toContain('add rax, rbx');
});

test('--json: one object per line', async () => {
  const { stdout } = await nest86(['decode', 'a.out', '--json', '--limit', '3'], { files });
  const lines = stdout.trim().split('\n');
  expect(lines.map((line) => JSON.parse(line))).toEqual([
    { address: '0x401000', section: '.init', bytes: '48 01 d8', mnemonic: 'add', text: 'add rax, rbx' },
    {
      address: '0x401003',
      section: '.init',
      bytes: 'c3',
      mnemonic: 'ret',
      text: expect.stringMatching(/^ret/),
    },
    { address: '0xffffffff81000000', section: '.text', bytes: '06', bad: true },
  ]);
});

describe('--stats', () => {
  test('counts everything, whatever --limit shows', async () => {
    for (const limit of ['0', '1', '1000']) {
      const { stdout } = await nest86(['decode', 'a.out', '--stats', '--json', '--limit', limit], { files });
      const { statistics } = JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
      expect(statistics).toMatchObject({
        instructions: 3,
        bytes: 9,
        invalidBytes: 2,
        mnemonics: { add: 2, ret: 1 },
        encodings: { legacy: 3 },
        lengths: { 1: 1, 3: 2 },
      });
      expect(statistics.averageLength).toBeCloseTo(7 / 3);
    }
  });

  test('the table', async () => {
    const { stdout, stderr } = await nest86(['decode', 'a.out', '--stats', '--limit', '1'], { files });
    expect(stderr).toBe('');
    expect(stdout).toContain('… 1 of 5 lines shown');
    expect(stdout).toMatch(/^instructions +3, 2\.33 bytes long on average$/m);
    expect(stdout).toMatch(/^bytes +9, 2 of them invalid \(22\.22 %\)$/m);
    expect(stdout).toMatch(/^add +2 +66\.7 % █/m);
    expect(stdout).toMatch(/legacy +3 +100\.0 %/);
    expect(stdout).toMatch(/^speed .* instructions\/s, .* bytes\/s$/m);
  });

  test('works for --hex too', async () => {
    const { code, stdout } = await nest86(['decode', '--hex', '48 01 d8 06', '--stats', '--limit', '0']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^instructions +1, 3\.00/m);
  });

  test('progress is shown on a terminal only, and removed', async () => {
    const large = Uint8Array.from({ length: 300000 }, () => 0x90);
    const argv = ['decode', '--raw', '--stats', '--limit', '0', 'nops'];
    const { stderr, stdout } = await nest86(argv, { files: { nops: large }, isTerminal: true });
    expect(stderr).toContain('\r\x1b[Kdecoding 21 % ');
    expect(stderr.endsWith('\r\x1b[K')).toBe(true);
    expect(stdout).toContain('300,000');
    expect((await nest86(argv, { files: { nops: large } })).stderr).toBe('');
  });
});

describe('a large file', () => {
  // A prime period, so that instructions lie across every border of the window.
  const period = [0x48, 0x01, 0xd8, 0xc3, 0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8, 0x90, 0x66, 0x90];
  const large = Uint8Array.from({ length: period.length * 60000 }, (_, i) => period[i % period.length]);

  test('is decoded across the borders of the window', async () => {
    const argv = ['decode', '--raw', '--stats', '--json', '--limit', '0', 'large'];
    const { statistics } = JSON.parse((await nest86(argv, { files: { large } })).stdout);
    expect(statistics).toMatchObject({
      instructions: 300000,
      invalidBytes: 0,
      lengths: { 1: 120000, 2: 60000, 3: 60000, 10: 60000 },
    });
  });

  test('is printed in chunks, and no further than somebody reads', async () => {
    const whole = await nest86(['decode', '--raw', 'large'], { files: { large } });
    expect(whole.stdout.split('\n')).toHaveLength(300002);
    expect(whole.writes).toBeLessThan(whole.stdout.length / 50000);
    const cut = await nest86(['decode', '--raw', 'large'], { files: { large }, readerStopsAfter: 100000 });
    expect(cut).toMatchObject({ code: 0, stderr: '', leftOpen: 0 });
    expect(cut.stdout.length).toBeLessThan(300000);
  });

  test('that shrinks while it is read is decoded as far as it goes', async () => {
    const { Sweep } = await import('../src/decode/sweep.ts');
    const { DecoderOptions } = await import('@nest86/decoder');
    const { memorySource } = await import('../src/byte-source.ts');
    const region = { name: '', offset: 0, size: large.length * 2, address: 0n };
    const sweep = new Sweep(memorySource(large), region, new DecoderOptions());
    let count = 0;
    while (sweep.next()) count++;
    expect(count).toBe(300000);
  });
});
