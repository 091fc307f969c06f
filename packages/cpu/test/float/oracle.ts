import { spawnSync } from 'node:child_process';
import { nativeProgram } from '../harness/native-program.ts';

/** 32-bit words of one case: a, b, c of two each (low first), MXCSR, padding. */
export const caseWords = 8;
/** 32-bit words of one result: value of two, exception flags, 1 where an unmasked exception left no value. */
export const resultWords = 4;

/** What the host processor answers. @param name a row of oracle.c */
export function askHost(name: string, cases: Uint32Array): Uint32Array {
  const input = new Uint8Array(cases.buffer, cases.byteOffset, cases.byteLength);
  const { status, stdout } = spawnSync(nativeProgram(new URL('oracle.c', import.meta.url)), [name], {
    input,
    maxBuffer: 2 ** 30,
  });
  const words = (cases.length / caseWords) * resultWords;
  if (status !== 0 || stdout.length !== words * 4) throw new Error(`the oracle cannot run ${name}`);
  return new Uint32Array(new Uint8Array(stdout).buffer);
}
