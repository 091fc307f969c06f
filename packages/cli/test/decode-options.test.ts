import { DecoderOptions } from '@nest86/decoder';
import { expect, test } from 'vitest';
import { decoderFeatures } from '../src/decode/features.ts';
import { nest86 } from './fake-io.ts';
import { tinyElf } from './tiny-elf.ts';

const files = {
  'a.out': tinyElf({ sections: [{ name: '.text', bytes: [0x90, 0xc3] }] }),
  'boot.img': Uint8Array.from({ length: 512 }, () => 0x90),
  empty: new Uint8Array(0),
};

test.each([
  [[], 'nothing to decode; give --hex "48 01 d8", or a FILE (- is standard input)'],
  [['--hex', '48', '01', 'd8'], '--hex takes one word: put quotes around the bytes, as in --hex "48 01 d8"'],
  [['--hex', '48', 'a.out'], '--hex and FILE (a.out) exclude each other'],
  [['--hex', '4801d'], '--hex 4801d: "4801d" has 5 digits; each byte has two'],
  [['--hex', '48 0g'], '--hex 48 0g: "g" is no hexadecimal digit; bytes such as 48 01 d8 are allowed'],
  [['--hex', ' '], '--hex : bytes such as 48 01 d8 are needed'],
  [['--hex', '0x'], '--hex 0x: "0x" has 0 digits; each byte has two'],
  [['--hex', '90', '--raw'], '--raw says how a FILE is read; --hex is raw already'],
  [['--hex', '90', '--section', '.text'], '--section is for ELF files; not allowed with --hex'],
  [['--hex', '90', '--offset', '1'], '--offset is allowed only with --raw'],
  [['--hex', '90', '--mode', '63'], '--mode 63: 16, 32 or 64 is allowed'],
  [['--hex', '90', '--syntax', 'masm'], '--syntax masm: intel, att or nasm is allowed'],
  [['--hex', '90', '--vendor', 'via'], '--vendor via: intel or amd is allowed'],
  [['--hex', '90', '--color', 'yes'], '--color yes: auto, always or never is allowed'],
  [['--hex', '90', '--limit', 'all'], '--limit all: a whole number from 0 is allowed'],
  [['--hex', '90', '--enable', 'tzct'], '--enable tzct: there is no "tzct": did you mean tzcnt? apx, mpx'],
  [
    ['--hex', '90', '--mode', '16', '--address', '0x100000000'],
    '--address 0x100000000: up to 0xffffffff is allowed',
  ],
  [['a.out', 'boot.img'], 'one FILE at a time is allowed, not 2 (a.out boot.img)'],
  [['a.out', '--address', '0x400000'], '--address is for bytes that have none'],
  [['a.out', '--length', '4'], '--length is allowed only with --raw'],
  [['a.out', '--section', '.txt'], '--section .txt: there is no such section; did you mean .text?'],
  [['a.out', '--section', 'data'], '--section data: there is no such section; code is in .text'],
  [['a.out', '--raw', '--section', '.text'], '--section is for ELF files; not allowed with --raw'],
  [['boot.img', '--raw', '--offset', '512'], '--offset 512: less than 512 is allowed'],
  [['boot.img', '--raw', '--offset', '500', '--length', '13'], '--length 13: up to 12 is allowed'],
])('%j: one line and exit code 2', async (argv, message) => {
  const { code, stdout, stderr, leftOpen } = await nest86(['decode', ...argv], { files });
  expect(stderr.slice(0, `nest86 decode: ${message}`.length)).toBe(`nest86 decode: ${message}`);
  expect(stderr.split('\n')).toHaveLength(2);
  expect([code, stdout, leftOpen]).toEqual([2, '', 0]);
});

test.each([
  [['nothing'], 'nothing: no such file'],
  [['boot.img'], 'boot.img: is not an ELF file; --raw decodes any bytes'],
  [['empty'], 'empty: is empty'],
  [['empty', '--raw'], 'empty: is empty'],
  [['-'], 'standard input: is empty'],
])('%j: one line and exit code 1', async (argv, message) => {
  expect(await nest86(['decode', ...argv], { files })).toMatchObject({
    code: 1,
    stdout: '',
    stderr: `nest86 decode: ${message}\n`,
    leftOpen: 0,
  });
});

test('the decoder knows every feature of the help', () => {
  for (const name of Object.keys(decoderFeatures) as (keyof typeof decoderFeatures)[])
    expect(new DecoderOptions({ enable: [name] }).has(name)).toBe(true);
});
