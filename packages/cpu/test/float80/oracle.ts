import { spawnSync } from 'node:child_process';
import { nativeProgram } from '../harness/native-program.ts';

/** Bytes of a case: a, b (16 each, as FLD tbyte reads them), control word, condition codes before. */
export const caseSize = 48;
/** Bytes of a result: ST(0), ST(1), memory operand (16 each), status word, tag word. */
export const resultSize = 64;

/** What the host processor makes of cases, in the form of oracle.c. @param name of an operation there */
export function runOnHost(name: string, cases: Uint8Array): Uint8Array {
  return run(nativeProgram(new URL('oracle.c', import.meta.url)), name, cases);
}

/** Bytes of a case and its two results, for {@link errors}. */
export const judgedSize: number = caseSize + 32;

/** Errors in units of the last place of results, against arithmetic of 113 bits. @param judged in the form of reference.c */
export function errors(name: string, judged: Uint8Array): Float64Array {
  const bytes = run(nativeProgram(new URL('reference.c', import.meta.url), ['-lquadmath']), name, judged);
  return new Float64Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
}

function run(path: string, name: string, input: Uint8Array): Uint8Array {
  const { stdout, status } = spawnSync(path, [name], { input, maxBuffer: 2 ** 30 });
  if (status !== 0) throw new Error(`the oracle ended with ${status} for ${name}`);
  return stdout;
}
