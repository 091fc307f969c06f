import { spawnSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Bytes of a case: a, b (16 each, as FLD tbyte reads them), control word, condition codes before. */
export const caseSize = 48;
/** Bytes of a result: ST(0), ST(1), memory operand (16 each), status word, tag word. */
export const resultSize = 64;

const binaries = new Map<string, string>();

function binary(source: string, libraries: readonly string[]): string {
  let path = binaries.get(source);
  if (path === undefined) {
    if (process.arch !== 'x64' || process.platform !== 'linux')
      throw new Error('the x87 oracle needs Linux on x86-64');
    path = join(mkdtempSync(join(tmpdir(), 'nest86-')), 'oracle');
    const file = fileURLToPath(new URL(source, import.meta.url));
    const { status, stderr } = spawnSync('gcc', ['-O1', '-o', path, file, ...libraries], {
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(`gcc cannot build ${file}: ${stderr}`);
    binaries.set(source, path);
  }
  return path;
}

/** What the host processor makes of cases, in the form of oracle.c. @param name of an operation there */
export function runOnHost(name: string, cases: Uint8Array): Uint8Array {
  return run(binary('oracle.c', []), name, cases);
}

/** Bytes of a case and its two results, for {@link errors}. */
export const judgedSize: number = caseSize + 32;

/** Errors in units of the last place of results, against arithmetic of 113 bits. @param judged in the form of reference.c */
export function errors(name: string, judged: Uint8Array): Float64Array {
  const bytes = run(binary('reference.c', ['-lquadmath']), name, judged);
  return new Float64Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
}

function run(path: string, name: string, input: Uint8Array): Uint8Array {
  const { stdout, status } = spawnSync(path, [name], { input, maxBuffer: 2 ** 30 });
  if (status !== 0) throw new Error(`the oracle ended with ${status} for ${name}`);
  return stdout;
}
