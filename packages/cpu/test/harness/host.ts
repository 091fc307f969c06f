import { spawnSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Batch, type Outcome, stateBytes, stateOf } from './host-state.ts';

/** struct test_case and struct result of harness.c. */
const caseHeader = 88;
const caseBytes = caseHeader + stateBytes;
const resultHeader = 24;
let binary: string | undefined;

/** Builds the harness once. @throws Error if gcc is missing or the host is not x86-64 */
function harness(): string {
  if (binary !== undefined) return binary;
  if (process.arch !== 'x64' || process.platform !== 'linux')
    throw new Error('the host harness needs Linux on x86-64');
  const path = join(mkdtempSync(join(tmpdir(), 'nest86-')), 'harness');
  const source = fileURLToPath(new URL('harness.c', import.meta.url));
  const { status, stderr } = spawnSync('gcc', ['-O1', '-no-pie', '-o', path, source], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`gcc cannot build ${source}: ${stderr}`);
  binary = path;
  return path;
}

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
  const { stdout, status, signal } = spawnSync(harness(), { input, maxBuffer: 2 ** 30 });
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
