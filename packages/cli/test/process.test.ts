import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Complaint } from '../src/errors.ts';
import { nodeIo } from '../src/node-io.ts';

// What only real files, pipes and processes can show.
const root = fileURLToPath(new URL('../../..', import.meta.url));
const main = 'packages/cli/src/main.ts';
const flags = '--conditions=nest86-source --import tsx';
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'nest86-cli-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const shell = (script: string) =>
  spawnSync('bash', ['-c', script], {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, NEST86: `"${process.execPath}" ${flags} ${main}`, FOLDER: folder },
  });

test('the command as a process: output, exit code, a reader that goes away, a pipe as FILE', () => {
  const nops = join(folder, 'nops');
  writeFileSync(nops, new Uint8Array(2_000_000).fill(0x90));
  const { stdout, stderr } = shell(`
    eval "$NEST86" decode --hex "'48 01 d8'"; echo "exit $?"
    eval "$NEST86" decode --raw "$FOLDER/nops" | head -n 2 | tail -n 1; echo "exit \${PIPESTATUS[0]}"
    eval "$NEST86" decode --raw --limit 1 '<(printf "\\xf4")' | tail -n 1
    printf '\\xf4' | eval "$NEST86" decode --raw - | tail -n 1
    eval "$NEST86" decode / ; echo "exit $?"`);
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/ {2,}/));
  expect(lines).toEqual([
    ['add rax, rbx'],
    ['exit 0'],
    ['0:', '90', 'nop'],
    ['exit 0'],
    ['0:', 'f4', 'hlt'],
    ['0:', 'f4', 'hlt'],
    ['exit 1'],
  ]);
  expect(stderr).toBe('nest86 decode: /: is a directory, not a file\n');
}, 60_000);

describe('files', () => {
  const open = (path: string) => nodeIo().openFile(path);

  test('are read at any position', async () => {
    const path = join(folder, 'digits');
    writeFileSync(path, '0123456789');
    const file = await open(path);
    const target = new Uint8Array(4);
    expect([file.size, file.read(target, 7)]).toEqual([10, 3]);
    expect(Buffer.from(target.subarray(0, 3)).toString()).toBe('789');
    file.close();
  });

  test('that cannot be opened are a complaint', async () => {
    await expect(open(join(folder, 'nothing'))).rejects.toThrow(
      new Complaint(`${folder}/nothing: no such file`),
    );
    await expect(open(folder)).rejects.toThrow('is a directory, not a file');
    await expect(open(`${folder}/${'x'.repeat(300)}`)).rejects.toThrow('the name is too long');
    writeFileSync(join(folder, 'file'), '');
    await expect(open(`${folder}/file/x`)).rejects.toThrow('a part of the path is not a directory');
    await expect(open('a\0b')).rejects.toThrow(Complaint);
  });
});
