import { spawnSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** 32-bit words of one case: a, b, c of two each (low first), MXCSR, padding. */
export const caseWords = 8;
/** 32-bit words of one result: value of two, exception flags, 1 where an unmasked exception left no value. */
export const resultWords = 4;

let binary: string | undefined;

/** Builds the oracle once. @throws Error if gcc is missing or the host is not x86-64 */
function oracle(): string {
  if (binary !== undefined) return binary;
  if (process.arch !== 'x64' || process.platform !== 'linux')
    throw new Error('the oracle needs Linux on x86-64');
  const path = join(mkdtempSync(join(tmpdir(), 'nest86-')), 'oracle');
  const source = fileURLToPath(new URL('oracle.c', import.meta.url));
  const { status, stderr } = spawnSync('gcc', ['-O1', '-o', path, source], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`gcc cannot build ${source}: ${stderr}`);
  binary = path;
  return path;
}

/** What the host processor answers. @param name a row of oracle.c */
export function askHost(name: string, cases: Uint32Array): Uint32Array {
  const input = new Uint8Array(cases.buffer, cases.byteOffset, cases.byteLength);
  const { status, stdout } = spawnSync(oracle(), [name], { input, maxBuffer: 2 ** 30 });
  const words = (cases.length / caseWords) * resultWords;
  if (status !== 0 || stdout.length !== words * 4) throw new Error(`the oracle cannot run ${name}`);
  return new Uint32Array(new Uint8Array(stdout).buffer);
}
