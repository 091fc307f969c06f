import { expect, test } from 'vitest';
import { nest86 } from './fake-io.ts';

const hex = async (bytes: string, ...options: string[]) =>
  await nest86(['decode', '--hex', bytes, ...options]);

test.each([
  '48 01 d8',
  '4801d8',
  '0x48 0x01 0xd8',
  '0x48,0x01,0xd8',
  '48,01,d8',
  '\\x48\\x01\\xD8',
  ' 48\n01\td8 ',
  '0x4801d8',
])('%j is add rax, rbx, and nothing else is printed', async (bytes) =>
  expect(await hex(bytes)).toMatchObject({ code: 0, stdout: 'add rax, rbx\n', stderr: '' }),
);

test.each([
  ['intel', 'mov dword ptr [rsp+8], 1\n'],
  ['att', 'movl $1, 8(%rsp)\n'],
  ['nasm', 'mov dword [rsp+8], 1\n'],
])('--syntax %s', async (syntax, text) => {
  const { stdout } = await hex('c7 44 24 08 01 00 00 00', '--syntax', syntax);
  // How numbers and blanks are written is the formatter's business.
  const normal = (line: string) => line.replaceAll('0x', '').replace(/ *([,+]) */g, '$1');
  expect(normal(stdout)).toBe(normal(text));
});

test('--mode: the same bytes', async () => {
  expect((await hex('48', '--mode', '32')).stdout).toBe('dec eax\n');
  expect((await hex('48', '--mode', '16')).stdout).toBe('dec ax\n');
});

test('--vendor, --enable and --disable reach the decoder', async () => {
  expect((await hex('0f 0f c1 9e', '--vendor', 'amd')).stdout).toBe('pfadd mm0, mm1\n');
  expect((await hex('0f 0f c1 9e', '--enable', '3dnow')).stdout).toBe('pfadd mm0, mm1\n');
  expect((await hex('f3 0f bc c1', '--disable', 'pause,tzcnt')).stdout).toContain('bsf eax, ecx');
});

test('several instructions: one per line; -v shows where and which bytes; --address and --limit', async () => {
  expect((await hex('48 01 d8 c3')).stdout).toMatch(/^add rax, rbx\nret\n$/);
  const { stdout } = await hex('48 01 d8 c3', '-v', '--address', '0xfffffffffffffffd');
  expect(stdout.split('\n').map((line) => line.split(/ {2,}/))).toEqual([
    ['fffffffffffffffd:', '48 01 d8', 'add rax, rbx'],
    ['', '0:', 'c3', expect.stringMatching(/^ret/)],
    [''],
  ]);
  expect((await hex('48 01 d8 c3', '--limit', '1')).stdout).toBe('add rax, rbx\n');
});

test('relative targets count from --address', async () => {
  expect((await hex('eb fe', '--address', '0x7c00')).stdout).toContain('7c00');
  expect((await hex('eb fe', '--address', '0xffffffff81000000')).stdout).toContain('ffffffff81000000');
});

test('memory relative to RIP stays relative as long as the address is unknown', async () => {
  const bytes = '48 8b 05 00 10 00 00';
  expect((await hex(bytes)).stdout).toContain('rip');
  expect((await hex(bytes, '--address', '0x400000')).stdout).toContain('401007');
});

test('what is no instruction is explained on stderr, after what came before it', async () => {
  expect(await hex('48 01 d8 0f 04 55')).toMatchObject({
    code: 1,
    stdout: 'add rax, rbx\n',
    stderr: 'nest86 decode: invalid at offset 3: 0f 04 …: no instruction has this opcode\n',
  });
  expect((await hex('90 48', '--json')).stderr).toBe(
    'nest86 decode: invalid at offset 1: 48: truncated: more bytes are needed\n',
  );
});

test('colours come only when asked for or on a terminal that wants them', async () => {
  const argv = ['decode', '--hex', '48 01 d8'];
  const colour = '\x1b[';
  expect((await nest86(argv, { isTerminal: true })).stdout).toContain(colour);
  expect((await nest86([...argv, '--color', 'always'])).stdout).toContain(colour);
  expect((await nest86([...argv, '--color', 'never'], { isTerminal: true })).stdout).not.toContain(colour);
  expect((await nest86(argv, { isTerminal: true, environment: { NO_COLOR: '1' } })).stdout).not.toContain(
    escape,
  );
  expect((await nest86(argv, { isTerminal: true, environment: { TERM: 'dumb' } })).stdout).not.toContain(
    escape,
  );
});

test('a coloured line is the plain line when colours are taken away', async () => {
  for (const syntax of ['intel', 'att', 'nasm'])
    for (const bytes of [
      '48 01 d8',
      'f0 48 0f b1 54 88 10',
      '62 f1 7c d9 58 c1',
      'c5 fb 10 05 00 00 00 00',
      'e8 00 00 00 00',
    ]) {
      const plain = (await hex(bytes, '--syntax', syntax)).stdout;
      const coloured = (await hex(bytes, '--syntax', syntax, '--color', 'always')).stdout;
      // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what colours are made of
      expect(coloured.replaceAll(/\x1b\[[\d;]*m/g, '')).toBe(plain);
    }
});
