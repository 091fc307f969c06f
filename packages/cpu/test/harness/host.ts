import { spawnSync } from 'node:child_process';
import { type Batch, type Outcome, stateBytes, stateOf } from './host-state.ts';
import { nativeProgram } from './native-program.ts';

/** struct test_case and struct result of harness.c. */
const caseHeader = 88;
const caseBytes = caseHeader + stateBytes;
const resultHeader = 24;
/** What the host processor makes of each case. The states are views of one buffer. */
export function runOnHost({ mode, page, cases }: Batch): Outcome[] {
  const input = Buffer.alloc(page.length + cases.length * caseBytes);
  input.set(page);
  let at = page.length;
  for (const { code, before, patchOffset, patch } of cases) {
    input[at] = code.length;
    input.set(code, at + 1);
    input.writeUInt16LE(patchOffset, at + 16);
    input.writeUInt16LE(patch.length, at + 18);
    input.writeUInt32LE(mode, at + 20);
    input.set(patch, at + 24);
    input.set(before.bytes, at + caseHeader);
    at += caseBytes;
  }
  const { stdout, status, signal } = spawnSync(
    nativeProgram(new URL('harness.c', import.meta.url), ['-no-pie']),
    { input, maxBuffer: 2 ** 30 },
  );
  if (status !== 0)
    throw new Error(`the harness ended with ${status ?? signal}, at most ${cases.length} cases in`);
  at = 0;
  return cases.map(() => {
    const first = stdout.readUInt32LE(at + 16);
    const count = stdout.readUInt32LE(at + 20);
    const start = at + resultHeader;
    const end = start + stateBytes;
    const outcome = {
      problem: undefined,
      vector: stdout.readInt32LE(at),
      error: stdout.readUInt32LE(at + 4),
      address: stdout.readBigUInt64LE(at + 8),
      state: stateOf(stdout.subarray(start, end)),
      changedFrom: first,
      changed: stdout.subarray(end, end + count),
    };
    at = end + count;
    return outcome;
  });
}
