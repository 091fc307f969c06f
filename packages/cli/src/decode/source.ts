import { memorySource } from '../byte-source.ts';
import { codeNames, ElfError, type ElfFile, isElf, readElf } from '../elf/index.ts';
import { Complaint, UsageError } from '../errors.ts';
import type { ByteSource, Io } from '../io.ts';
import { nearest } from '../options/nearest.ts';
import type { Region } from './sweep.ts';

/** What to disassemble. */
export interface Input {
  /** One line about it. */
  readonly title: string;
  readonly source: ByteSource;
  readonly regions: readonly Region[];
  readonly mode: 16 | 32 | 64;
}

/** The options that choose it. */
export interface InputOptions {
  readonly hex: Uint8Array | undefined;
  readonly raw: boolean;
  readonly offset: number | undefined;
  readonly length: number | undefined;
  readonly address: bigint | undefined;
  readonly section: readonly string[];
  readonly mode: 16 | 32 | 64 | undefined;
}

/** Opens what the options and the words of the command line name. Who gets it closes its source. @throws Complaint */
export async function openInput(options: InputOptions, files: readonly string[], io: Io): Promise<Input> {
  checkCombination(options, files);
  if (options.hex !== undefined) return hexInput(options.hex, options);
  const [file] = files;
  const source = file === '-' ? memorySource(await io.readStdin()) : await io.openFile(file);
  const name = file === '-' ? 'standard input' : file;
  try {
    return options.raw ? rawInput(name, source, options) : elfInput(name, source, options);
  } catch (error) {
    source.close();
    throw error instanceof ElfError ? new Complaint(`${name}: ${error.message}`) : error;
  }
}

function checkCombination(options: InputOptions, files: readonly string[]): void {
  const { hex, raw, section } = options;
  if (hex === undefined && files.length === 0)
    throw new UsageError('nothing to decode; give --hex "48 01 d8", or a FILE (- is standard input)');
  if (hex !== undefined && files.length > 0) {
    const looksLikeBytes = files.every((word) => /^(0x)?[\da-f]{2},?$/i.test(word));
    throw new UsageError(
      looksLikeBytes
        ? '--hex takes one word: put quotes around the bytes, as in --hex "48 01 d8"'
        : `--hex and FILE (${files[0]}) exclude each other`,
    );
  }
  if (files.length > 1)
    throw new UsageError(`one FILE at a time is allowed, not ${files.length} (${files.join(' ')})`);
  if (hex !== undefined && raw) throw new UsageError('--raw says how a FILE is read; --hex is raw already');
  if (section.length > 0 && (raw || hex !== undefined))
    throw new UsageError(`--section is for ELF files; not allowed with ${raw ? '--raw' : '--hex'}`);
  if (raw) return;
  for (const name of ['offset', 'length'] as const)
    if (options[name] !== undefined) throw new UsageError(`--${name} is allowed only with --raw`);
  if (options.address !== undefined && hex === undefined)
    throw new UsageError(
      '--address is for bytes that have none: allowed with --hex and --raw, an ELF file has its own',
    );
}

function hexInput(bytes: Uint8Array, { address, mode = 64 }: InputOptions): Input {
  const region = { name: '', offset: 0, size: bytes.length, address: checkAddress(address, mode) };
  return { title: `${bytes.length} bytes`, source: memorySource(bytes), regions: [region], mode };
}

function rawInput(name: string, source: ByteSource, options: InputOptions): Input {
  const { offset = 0, mode = 64 } = options;
  if (source.size === 0) throw new Complaint(`${name}: is empty`);
  if (offset >= source.size)
    throw new UsageError(`--offset ${offset}: less than ${source.size} is allowed, the file's size`);
  const left = source.size - offset;
  const { length: size = left } = options;
  if (size > left)
    throw new UsageError(
      `--length ${size}: up to ${left} is allowed, the bytes from offset ${offset} to the file's end`,
    );
  const region = { name: '', offset, size, address: checkAddress(options.address, mode) };
  return {
    title: `${name}: ${size.toLocaleString('en-US')} raw bytes as ${mode}-bit code`,
    source,
    regions: [region],
    mode,
  };
}

function checkAddress(address: bigint = 0n, mode: number): bigint {
  if (mode !== 64 && address >= 1n << 32n)
    throw new UsageError(
      `--address 0x${address.toString(16)}: up to 0xffffffff is allowed with --mode ${mode}`,
    );
  return address;
}

function elfInput(name: string, source: ByteSource, options: InputOptions): Input {
  if (source.size === 0) throw new Complaint(`${name}: is empty`);
  if (!isElf(source)) throw new Complaint(`${name}: is not an ELF file; --raw decodes any bytes`);
  const elf = readElf(source);
  const regions =
    options.section.length > 0 ? options.section.flatMap((wanted) => sectionsNamed(elf, wanted)) : elf.code;
  if (regions.length === 0)
    throw new Complaint(
      `${name}: has no code (no executable ${elf.kind} with bytes); --section NAME decodes any section`,
    );
  const mode = options.mode ?? elf.mode;
  const size = regions.reduce((sum, region) => sum + region.size, 0);
  const parts = `${regions.length} ${elf.kind}${regions.length === 1 ? '' : 's'}`;
  return {
    title: `${name}: ELF, ${mode}-bit code, ${size.toLocaleString('en-US')} bytes of it in ${parts}`,
    source,
    regions,
    mode,
  };
}

function sectionsNamed(elf: ElfFile, wanted: string): readonly Region[] {
  const found = elf.sectionsNamed(wanted);
  if (found.length > 0) return found;
  const names = codeNames(elf);
  const near = nearest(wanted, names);
  const shown = names.slice(0, 8).join(', ') + (names.length > 8 ? ' …' : '');
  const hint = near
    ? `did you mean ${near}?`
    : names.length > 0
      ? `code is in ${shown}`
      : 'and no section has code';
  throw new UsageError(`--section ${wanted}: there is no such section; ${hint}`);
}
