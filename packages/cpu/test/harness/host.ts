import { spawnSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type HostCase, type HostState, scratchSize, statusFlags } from './cases.ts';

const stateSize = 16 * 8 + 8 + scratchSize;
let binary: string | undefined;

/** Builds the harness once. @throws Error if gcc is missing or the host is not x86-64 */
function harness(): string {
  if (binary !== undefined) return binary;
  if (process.arch !== 'x64' || process.platform !== 'linux')
    throw new Error('the host harness needs Linux on x86-64');
  const path = join(mkdtempSync(join(tmpdir(), 'nest86-')), 'harness');
  const source = fileURLToPath(new URL('harness.c', import.meta.url));
  const { status, stderr } = spawnSync('gcc', ['-O1', '-o', path, source], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`gcc cannot build ${source}: ${stderr}`);
  binary = path;
  return path;
}

/** What the host processor makes of each case; undefined where it faulted. */
export function runOnHost(cases: readonly HostCase[]): (HostState | undefined)[] {
  const input = Buffer.alloc(cases.length * (16 + stateSize));
  cases.forEach(({ code, before }, i) => {
    const at = i * (16 + stateSize);
    input[at] = code.length;
    input.set(code, at + 1);
    for (const [number, value] of before.registers.entries())
      input.writeBigUInt64LE(value, at + 16 + 8 * number);
    input.writeBigUInt64LE(BigInt(before.flags | 2), at + 16 + 128);
    input.set(before.memory, at + 16 + 136);
  });
  const { stdout, status } = spawnSync(harness(), { input, maxBuffer: 2 ** 30 });
  if (status !== 0) throw new Error(`the harness ended with ${status}`);
  return cases.map((_, i) => {
    const at = i * (8 + stateSize);
    if (stdout.readBigUInt64LE(at) !== 0n) return undefined;
    return {
      registers: Array.from({ length: 16 }, (_, number) => stdout.readBigUInt64LE(at + 8 + 8 * number)),
      flags: Number(stdout.readBigUInt64LE(at + 136)) & statusFlags,
      memory: new Uint8Array(stdout.subarray(at + 144, at + 144 + scratchSize)),
    };
  });
}
