/**
 * Compares the text of every instruction in ELF files with iced-x86's, in all three syntaxes:
 *
 *     tsx packages/decoder/scripts/format-binaries.ts FILE…
 *
 * Executable sections (segments, if there are no sections) are read from front to back; where no instruction starts, from the next
 * byte. Prints a line for each file, and the first differences; answers 1 if there are any.
 */
import { readFileSync } from 'node:fs';
import { oracleOptions } from '../test/oracle/iced.ts';
import { TextComparison } from '../test/oracle/text-comparison.ts';

interface Code {
  readonly bytes: Uint8Array;
  readonly address: bigint;
}

const machines: Record<number, 32 | 64> = { 3: 32, 62: 64 };

/** Code of an ELF file for x86. */
function readElf(path: string): { mode: 32 | 64; code: Code[] } {
  const file = readFileSync(path);
  const fail = (what: string): never => {
    throw new Error(`${path}: ${what}`);
  };
  if (file.length < 64 || file.readUInt32BE(0) !== 0x7f454c46) fail('not an ELF file');
  const is64 = file[4] === 2;
  const mode =
    machines[file.readUInt16LE(18)] ?? fail(`machine ${file.readUInt16LE(18)}; want 3 (i386) or 62 (x86-64)`);
  const word = (offset: number): number =>
    is64 ? Number(file.readBigUInt64LE(offset)) : file.readUInt32LE(offset);
  const address = (offset: number): bigint =>
    is64 ? file.readBigUInt64LE(offset) : BigInt(file.readUInt32LE(offset));

  const code: Code[] = [];
  const add = (start: number, size: number, at: bigint): void => {
    if (size > 0) code.push({ bytes: new Uint8Array(file.subarray(start, start + size)), address: at });
  };
  const sections = word(is64 ? 40 : 32);
  const [sectionSize, sectionCount] = [58, 60].map((offset) =>
    file.readUInt16LE(is64 ? offset : offset - 12),
  );
  const progbits = 1;
  const executable = 4;
  for (let i = 0; i < sectionCount && sections > 0; i++) {
    const header = sections + i * sectionSize;
    const isCode = file.readUInt32LE(header + 4) === progbits && (word(header + 8) & executable) !== 0;
    if (isCode && is64) add(word(header + 24), word(header + 32), address(header + 16));
    else if (isCode) add(word(header + 16), word(header + 20), address(header + 12));
  }
  if (code.length > 0) return { mode, code };

  const segments = word(is64 ? 32 : 28);
  const [segmentSize, segmentCount] = [54, 56].map((offset) =>
    file.readUInt16LE(is64 ? offset : offset - 12),
  );
  for (let i = 0; i < segmentCount; i++) {
    const header = segments + i * segmentSize;
    if (file.readUInt32LE(header) !== 1 || (file.readUInt32LE(header + (is64 ? 4 : 24)) & 1) === 0) continue;
    if (is64) add(word(header + 8), word(header + 32), address(header + 16));
    else add(word(header + 4), word(header + 16), address(header + 8));
  }
  return { mode, code };
}

const paths = process.argv.slice(2);
if (paths.length === 0) {
  console.error('usage: format-binaries.ts FILE…');
  process.exitCode = 2;
}
for (const path of paths) {
  const { mode, code } = readElf(path);
  const comparison = new TextComparison({}, 5);
  const pair = oracleOptions(mode);
  const start = Date.now();
  for (const { bytes, address } of code) comparison.add(bytes, 0, pair, address);
  const seconds = ((Date.now() - start) / 1000).toFixed(1);
  console.log(
    `${path}: ${comparison.compared} instructions, ${comparison.differing} differences, ${seconds} s`,
  );
  for (const difference of comparison.differences) console.log(`  ${difference}`);
  if (comparison.differing > 0) process.exitCode = 1;
}
