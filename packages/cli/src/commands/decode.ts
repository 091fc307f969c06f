import { type DecoderFeature, DecoderOptions, type DecoderOptionsInit } from '@nest86/decoder';
import { ChunkedOutput } from '../chunked-output.ts';
import { type Command, defineCommand } from '../command.ts';
import { palette } from '../decode/colour.ts';
import { decodeHex } from '../decode/decode-hex.ts';
import { decodeRegions } from '../decode/decode-regions.ts';
import { decoderFeatures } from '../decode/features.ts';
import { hexBytes } from '../decode/hex.ts';
import { openInput } from '../decode/source.ts';
import { addressUnknown, syntaxes } from '../decode/syntax.ts';
import type { Io } from '../io.ts';
import { flag, optional, repeated, type Values, withDefault } from '../options/schema.ts';
import { address, byteCount, choice, integer, names, text } from '../options/values.ts';

const features = Object.keys(decoderFeatures) as DecoderFeature[];
const input = 'Input';
const processor = 'Processor';
const output = 'Output';

const options = {
  hex: optional(hexBytes, 'BYTES', {
    group: input,
    help: 'Decode these bytes: "48 01 d8", 4801d8, 0x48,0x01,0xd8.',
  }),
  section: repeated((name) => [text('a section name')(name)], 'NAME', {
    group: input,
    help: 'Decode this section of an ELF file instead of all executable ones; may be given again.',
  }),
  raw: flag({ group: input, help: 'FILE is bare machine code, whatever it looks like.' }),
  offset: optional(byteCount, 'N', {
    group: input,
    help: 'With --raw: start N bytes into the file (also 64K, 0x1000).',
  }),
  length: optional(byteCount, 'N', { group: input, help: 'With --raw: decode N bytes.' }),
  address: optional(address, 'ADDR', {
    group: input,
    help: 'With --hex and --raw: address of the first byte, default 0.',
  }),
  mode: optional(choice({ 16: 16, 32: 32, 64: 64 } as const), 'BITS', {
    group: processor,
    help: 'Code size: 16, 32 or 64. Default: what the ELF file says, else 64.',
  }),
  vendor: withDefault<'intel' | 'amd'>('intel', choice({ intel: 'intel', amd: 'amd' }), 'NAME', {
    group: processor,
    help: 'intel or amd: whose processor, where they differ. Default: intel.',
  }),
  enable: repeated(names(features), 'FEATURE,…', {
    group: processor,
    help: 'Know these instructions too; listed below.',
  }),
  disable: repeated(names(features), 'FEATURE,…', {
    group: processor,
    help: 'Do not know these instructions.',
  }),
  syntax: withDefault(syntaxes.intel, choice(syntaxes), 'NAME', {
    group: output,
    help: 'intel, att or nasm. Default: intel.',
  }),
  verbose: flag({ short: 'v', group: output, help: 'With --hex: show address and bytes too, as for files.' }),
  limit: optional(integer(0), 'N', {
    group: output,
    help: 'Print at most N instructions. --stats still counts all of them.',
  }),
  stats: flag({ group: output, help: 'Print statistics at the end.' }),
  json: flag({
    group: output,
    help: 'Print JSON: all that is known about each instruction with --hex, one line per instruction for files.',
  }),
  color: withDefault<'auto' | 'always' | 'never'>(
    'auto',
    choice({ auto: 'auto', always: 'always', never: 'never' }),
    'WHEN',
    { group: output, help: 'auto (on a terminal), always or never. Default: auto.' },
  ),
};

const isOn = (name: DecoderFeature) => new DecoderOptions().has(name);

const notes = `
Examples:
  nest86 decode --hex "48 01 d8"                      add rax, rbx
  nest86 decode --hex "62 f1 7c 48 58 c1" --json      everything about vaddps
  nest86 decode --syntax att --limit 40 a.out         the beginning of a program
  nest86 decode --section .init.text --stats vmlinux  one section, with statistics
  nest86 decode --raw --mode 16 --address 0x7c00 --length 446 boot.img
  objcopy -O binary -j .text a.out /dev/stdout | nest86 decode --raw -

Features for --enable and --disable (those that are on unless disabled have a +):
${features.map((name) => `  ${isOn(name) ? '+' : ' '} ${name.padEnd(18)}${decoderFeatures[name]}`).join('\n')}

With --hex, bytes that are no instruction are explained, and the exit code is 1. In files they are printed as (bad), one
byte at a time, and the exit code is 0. Wrong options: 2.`;

export const decodeCommand: Command = defineCommand({
  usage: ['--hex BYTES [OPTIONS]', 'FILE [OPTIONS]          (- is standard input)'],
  notes,
  options,
  run,
});

async function run(values: Values<typeof options>, positionals: readonly string[], io: Io): Promise<number> {
  const input = await openInput(values, positionals, io);
  try {
    const { vendor, enable, disable } = values;
    const processor: DecoderOptionsInit = { mode: input.mode, vendor, enable, disable };
    const job = {
      input,
      processor,
      decoder: new DecoderOptions(processor),
      syntax: values.syntax,
      format: values.hex !== undefined && values.address === undefined ? addressUnknown : undefined,
      palette: palette(values.color, io),
      output: new ChunkedOutput(io.stdout),
      limit: values.limit ?? Number.POSITIVE_INFINITY,
      isJson: values.json,
      isVerbose: values.verbose,
      withStatistics: values.stats,
      io,
    };
    return values.hex !== undefined && !values.stats
      ? await decodeHex(job, values.hex)
      : await decodeRegions(job);
  } finally {
    input.source.close();
  }
}
